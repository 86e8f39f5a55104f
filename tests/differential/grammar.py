"""Honest requests, out of a grammar: what browsers, scripts and programs send to the routes of the echo apps."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from random import Random
from urllib.parse import quote, quote_plus

from .apps import OPEN, OTHER_HOST
from .wire import SERVERS, Multipart, Part, Wire

BOUNDARIES = (
    b"XB",
    b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
    b"---------------------------9051914041544843365972754266",
    b"aaaa",
    b"a'()+_,-./:=?b",
    b"--",
    b"0",
)
NAMES = ("amount", "to", "file", "csrf_token", "_method", "a[]", "q", "né", 'quo"ted', "")
FILES = ("a.txt", "report.pdf", "été.png", 'a"b.txt', "c:\\x\\y.txt", "", "../up.bin")
TYPES = (b"text/plain", b"application/octet-stream", b"image/png", b"text/html; charset=utf-8", b"application/json")
WORDS = (
    "1",
    "1000000",
    "1.000",
    "1,5",
    "2026-03-01 12:00",
    "abc",
    "",
    "a b",
    "é",
    "x=y&z",
    "a;b",
    "100%",
    "日本",
    "line\r\nline",
    "--XB",
    "a+b",
    "%61",
)
SEGMENTS = ("1", "a", "ab", "a b", "é", "A", "007", "..", "a.b", "a:b", "~x", "-1", "x;y", "a+b")
NUMBERS = ("1", "7", "007", "-1", "1_0", "٣", "1e3")
TEMPLATES = ("x/{}", "x/{}", "x/{}/{}", "n/{#}", "p/{}/{}", "p/{}", "s/", "t", "host")
HOSTS = (b"localhost:8000", b"localhost:8000", b"127.0.0.1", OTHER_HOST.encode(), b"app.example:8443")
LARGE = 0.003  # of the files: 80 KiB to 1.6 MiB, of which some is kept on the disk
AGENTS = (b"Mozilla/5.0", b"curl/8.5.0", b"python-httpx/0.28")


def honest(rng: Random, ways: Sequence[str], stack: str) -> Wire:
    """Return an honest request to one of the reading ways of an app."""
    method = rng.choice((b"POST", b"POST", b"POST", b"POST", b"PUT", b"PATCH", b"DELETE", b"GET"))
    wire = Wire(
        method=method,
        target=_target(rng, ways, stack),
        headers=[(b"host", rng.choice(HOSTS)), (b"user-agent", rng.choice(AGENTS)), (b"accept", b"*/*")],
        stack=stack,
        server=rng.choice(tuple(SERVERS)),
    )
    if rng.random() < 0.3:
        wire.headers.append((b"cookie", b"session=ada; theme=dark"))
    if rng.random() < 0.1:
        wire.headers.append((b"x-forwarded-for", b"203.0.113.7"))
    if rng.random() < 0.5:
        wire.headers.append((b"accept-language", rng.choice((b"en", b"de", b"fr-FR, fr;q=0.9"))))
    if stack == "layered" and rng.random() < 0.2:
        wire.headers.append((b"x-http-method-override", rng.choice((b"DELETE", b"PUT", b"PATCH"))))
    if method != b"GET" or rng.random() < 0.1:
        rng.choice(_CONTENTS)(rng, wire)
    if rng.random() < 0.15:
        wire.framing = b"bare" if "h2" in wire.server else b"chunked"
    return wire


def batch(rng: Random, ways: Sequence[str]) -> Wire:
    """Return an honest request to the endpoint that calls the app."""
    methods = ("POST", "DELETE", "GET")
    items = [
        {"method": rng.choice(methods), "path": _target(rng, ways, "batch").decode()}
        for _ in range(rng.choice((1, 1, 1, 2, 2)))
    ]
    if len(items) == 2 and rng.random() < 0.4:
        path = items[0]["path"].partition("?")[0]
        items[1] = rng.choice((items[0], {**items[0], "path": path + "?other"}, {**items[0], "method": "PUT"}))
    headers = [(b"host", rng.choice(HOSTS)), (b"user-agent", b"batch/1"), (b"content-type", b"application/json")]
    return Wire(
        b"POST", b"/batch", headers, json.dumps(items).encode(), stack="batch", server=rng.choice(tuple(SERVERS))
    )


def _target(rng: Random, ways: Sequence[str], stack: str) -> bytes:
    path = rng.choice(TEMPLATES)
    while "{}" in path:
        path = path.replace("{}", quote(rng.choice(SEGMENTS), safe=":;+~"), 1)
    path = path.replace("{#}", quote(rng.choice(NUMBERS)))
    if rng.random() < 0.1:
        path = f"p/{rng.choice(ways)}/x/1"  # the end of it is a path as well, below another root path
    # no rule stands between a batch endpoint and the routes that it calls
    prefix = f"/{OPEN}" if stack != "batch" and rng.random() < 0.15 else ""
    query = ""
    if rng.random() < 0.4:
        pairs = [(rng.choice(("q", "a", "_method", "x")), rng.choice(WORDS)) for _ in range(rng.randint(1, 3))]
        query = "?" + "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    return f"{prefix}/{rng.choice(ways)}/{path}{query}".encode("ascii")


def _value(rng: Random) -> bytes:
    value = rng.choice(WORDS).encode()
    return value * rng.choice((1, 1, 1, 1, 40))


def quoted(text: str) -> bytes:
    """Return a name as browsers write it (HTML §4.10.21.8)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()


def part(rng: Random) -> Part:
    """Return a field or a file of a form."""
    line = b'Content-Disposition: form-data; name="' + quoted(rng.choice(NAMES)) + b'"'
    if rng.random() < 0.6:
        return Part([line], _value(rng))
    lines = [line + b'; filename="' + quoted(rng.choice(FILES)) + b'"', b"Content-Type: " + rng.choice(TYPES)]
    if rng.random() < LARGE:
        return Part(lines, rng.randbytes(4096) * rng.choice((20, 100, 400)))
    content = rng.choice((_value(rng), rng.randbytes(rng.randint(0, 60)), b"\r\n" * rng.randint(0, 3)))
    return Part(lines, content)


def multipart(rng: Random, wire: Wire) -> None:
    """A form as browsers send one with files."""
    boundary = rng.choice(BOUNDARIES)
    wire.content = Multipart(boundary, [part(rng) for _ in range(rng.randint(0, 4))])
    wire.headers.append((b"content-type", b"multipart/form-data; boundary=" + boundary))


def urlencoded(rng: Random, wire: Wire) -> None:
    """A form as browsers send one."""
    pairs = [(rng.choice(NAMES), rng.choice(WORDS)) for _ in range(rng.randint(0, 4))]
    wire.content = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode()
    wire.headers.append((b"content-type", b"application/x-www-form-urlencoded"))


def in_json(rng: Random, wire: Wire) -> None:
    """JSON, doubled keys and odd numbers included."""
    members = []
    for _ in range(rng.randint(0, 3)):
        value = rng.choice(
            ("1", "1.0", "1e2", "-0", "12345678901234567890", "true", "null", json.dumps(rng.choice(WORDS)), "[1,1]")
        )
        members.append(f"{json.dumps(rng.choice(NAMES))}:{value}")
    wire.content = rng.choice((f"{{{','.join(members)}}}", "[]", "1", '"x"', "")).encode()
    wire.headers.append((b"content-type", rng.choice((b"application/json", b"application/problem+json"))))


def text(rng: Random, wire: Wire) -> None:
    """Plain text."""
    wire.content = _value(rng)
    wire.headers.append((b"content-type", rng.choice((b"text/plain", b"text/plain; charset=utf-8"))))


def other_charset(rng: Random, wire: Wire) -> None:
    """Text, JSON or a form in a character set other than UTF-8."""
    charset = rng.choice(("latin-1", "windows-1252", "utf-16", "shift_jis", "utf-7"))
    kind = rng.choice((b"application/x-www-form-urlencoded", b"text/plain", b"application/json"))
    word = rng.choice(("caf\u00e9", "\u30c6", "abc", "+AGE-")).encode(charset, "replace")
    wire.content = {b"text/plain": word, b"application/json": b'{"amount":"' + word + b'"}'}.get(
        kind, b"amount=" + quote(word).encode()
    )
    wire.headers.append((b"content-type", kind + b"; charset=" + charset.encode()))


def compressed(rng: Random, wire: Wire) -> None:
    """A compressed body."""
    rng.choice((urlencoded, in_json, text))(rng, wire)
    assert isinstance(wire.content, bytes)
    wire.content = gzip.compress(wire.content, mtime=0)
    wire.headers.append((b"content-encoding", b"gzip"))


def untyped(rng: Random, wire: Wire) -> None:
    """Bytes that nothing is said of, or something that nobody knows."""
    wire.content = rng.choice((b"", b"amount=1", b'{"amount":1}', rng.randbytes(20)))
    if rng.random() < 0.5:
        kind = rng.choice((b"application/xml", b"application/x-msgpack", b"multipart/mixed; boundary=XB", b"x"))
        wire.headers.append((b"content-type", kind))


def nothing(rng: Random, wire: Wire) -> None:
    """No body."""


_CONTENTS = (
    multipart,
    multipart,
    multipart,
    multipart,
    urlencoded,
    urlencoded,
    in_json,
    in_json,
    text,
    other_charset,
    compressed,
    untyped,
    nothing,
)
