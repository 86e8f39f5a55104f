"""Other bodies, and what is said of a body."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.differential.wire import Wire

from .kinds import Change, change_type, double, form_of, may, never


def _on_bytes(kind: bytes, change: Callable[[Random, bytes], bytes]) -> Change:
    def changed(rng: Random, wire: Wire) -> bool:
        if not isinstance(wire.content, bytes) or kind not in (wire.header(b"content-type") or b""):
            return False
        old, wire.content = wire.content, change(rng, wire.content)
        return old != wire.content

    return changed


def _urlencoded(rng: Random, body: bytes) -> bytes:
    pairs = body.split(b"&")
    return rng.choice(
        (
            b"&".join(reversed(pairs)),
            body.replace(b"&", b";", 1),
            body.replace(b"+", b"%20"),
            body.replace(b"%", b"%25", 1),
            body.lower(),
            body + b"&",
            body + b"&amount=1000000",
            body + b";amount=1000000",
            body.replace(b"=", b"", 1),
            body.replace(b"a", b"%61", 1),
            body + b"\r\n",
            body + b"&_method=DELETE",
            body.replace(b"%C3%A9", b"%E9"),
        )
    )


def _json(rng: Random, body: bytes) -> bytes:
    return rng.choice(
        (
            body.replace(b"{", b'{"amount":2,', 1).replace(b",}", b"}"),
            body[:-1] + b',"amount":1000000}' if body.endswith(b"}") else body + b" ",
            body.replace(b":", b" : ", 1),
            body.replace(b"1", b"1.0", 1),
            body.replace(b"1", b"10e-1", 1),
            body.replace(b"a", b"\\u0061", 1),
            b"\xef\xbb\xbf" + body,
            body.decode("utf-8", "replace").encode("utf-16"),
            b" " + body,
            body + b"\n",
            body.replace(b"true", b"false").replace(b"null", b"NaN"),
        )
    )


def _any_bytes(rng: Random, body: bytes) -> bytes:
    return rng.choice((body + b"\0", body + b"\n", body[:-1], b"\xff" + body, body.swapcase()))


never("fields of a form in another spelling")(_on_bytes(b"urlencoded", _urlencoded))
never("JSON in another spelling")(_on_bytes(b"json", _json))
never("bytes of a body")(_on_bytes(b"", _any_bytes))


@never("content type in another spelling")
def _(rng: Random, wire: Wire) -> bool:
    return change_type(
        wire,
        rng.choice(
            (
                bytes.upper,
                bytes.title,
                lambda value: value + rng.choice((b"; charset=latin-1", b"; charset=utf-16", b"; charset=utf-7")),
                lambda value: value.replace(b"; ", b";") if b"; " in value else value + b" ",
                lambda value: value.replace(b"/", b" / ", 1),
                lambda value: b"text/plain, " + value,
                lambda value: value + b";",
            )
        ),
    )


@never("content type exchanged")
def _(rng: Random, wire: Wire) -> bool:
    kinds = (b"application/json", b"application/x-www-form-urlencoded", b"text/plain", None)
    new = rng.choice((*kinds, b"multipart/form-data; boundary=XB", b"multipart/form-data"))
    if new == wire.header(b"content-type"):
        return False
    wire.put(b"content-type", new)
    return True


@never("content type doubled")
def _(rng: Random, wire: Wire) -> bool:
    mine = wire.header(b"content-type")
    kinds = (b"text/plain", b"application/json", b"application/x-www-form-urlencoded")
    other = rng.choice((*kinds, b"multipart/form-data; boundary=in", mine or b"x/y"))
    double(wire, b"content-type", other, before=rng.random() < 0.5)
    return True


@never("content encoding")
def _(rng: Random, wire: Wire) -> bool:
    value = rng.choice((b"gzip", b"identity", b"GZIP", b"deflate", b"gzip, gzip", b"br"))
    if rng.random() < 0.3 or value == wire.header(b"content-encoding"):
        double(wire, b"content-encoding", value, before=rng.random() < 0.5)
    else:
        wire.put(b"content-encoding", value)
    return True


@never("content length that is not true")
def _(rng: Random, wire: Wire) -> bool:
    length = len(wire.body)
    lies = [length + 1, length // 2, max(length - 1, 0), 0, length * 2 + 3]
    lie = rng.choice([number for number in lies if number != length] or [7])
    wire.framing = b"%d" % lie
    return True


@never("content length doubled or spelled otherwise")
def _(rng: Random, wire: Wire) -> bool:
    length = len(wire.body)
    wire.framing = rng.choice((b"%d|0" % length, b"0|%d" % length, b"+%d", b"0x%x", b"%d, %d", b"-1", b"", b"1e1"))
    wire.framing = wire.framing.replace(b"%d", b"%d" % length).replace(b"%x", b"%x" % length)
    return True


def _declared_or_not(wire: Wire) -> bool:
    if wire.framing not in (b"length", b"chunked", b"bare"):
        return False
    undeclared = b"bare" if "h2" in wire.server else b"chunked"
    wire.framing = undeclared if wire.framing == b"length" else b"length"
    return True


@never("length of a form in parts declared or not")
def _(rng: Random, wire: Wire) -> bool:
    return form_of(wire) is not None and _declared_or_not(wire)


@may("length of another body declared or not")
def _(rng: Random, wire: Wire) -> bool:
    return form_of(wire) is None and _declared_or_not(wire)
