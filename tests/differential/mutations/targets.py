"""The target of a request."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.differential.wire import Wire

from .kinds import Change, may, never

_ENDS = (
    *(b";x", b";a=b", b"%00", b"%0A", b"\\", b"%5C", b"/", b"//", b"%2F"),
    *(b"%20", b".", b"/.", b"%3F", b"%23"),
)


def _on_path(change: Callable[[Random, bytes], bytes]) -> Change:
    def changed(rng: Random, wire: Wire) -> bool:
        path, mark, query = wire.target.partition(b"?")
        new = change(rng, path)
        wire.target = new + mark + query
        return new != path

    return changed


def _tail(change: Callable[[Random, bytes], bytes]) -> Callable[[Random, bytes], bytes]:
    """Change what follows the way of reading, so that the request still reaches an endpoint."""

    def changed(rng: Random, path: bytes) -> bytes:
        head, slash, tail = path.rpartition(b"/")
        return head + slash + change(rng, tail)

    return changed


def _escaped(rng: Random, tail: bytes) -> bytes:
    places = [at for at, byte in enumerate(tail) if chr(byte).isalnum() and tail[max(at - 2, 0) : at].count(b"%") == 0]
    if not places:
        return tail + b"%61"
    at = rng.choice(places)
    return tail[:at] + b"%%%02x" % tail[at] + tail[at + 1 :]


def _escape_cased(rng: Random, tail: bytes) -> bytes:
    return tail.replace(b"%C3%A9", b"%c3%a9").replace(b"%20", b"+")


never("letter of the path escaped")(_on_path(_tail(_escaped)))
never("escape of the path in the other case")(_on_path(_tail(_escape_cased)))
never("slash escaped")(
    _on_path(lambda rng, path: rng.choice((b"%2F", b"%2f", b"%252F", b"%5C")).join(path.rsplit(b"/", 1)))
)
never("escaped slash within a segment")(
    _on_path(_tail(lambda rng, tail: tail[:1] + rng.choice((b"%2F", b"/", b"%2f", b"%252f")) + tail[1:]))
)
never("slashes doubled")(
    _on_path(lambda rng, path: b"//".join(path.rsplit(b"/", 1)) if rng.random() < 0.7 else b"/" + path)
)
never("dot segments")(
    _on_path(
        lambda rng, path: rng.choice((b"/./", b"/../", b"/x/../", b"/%2e/", b"/%2e%2e/", b"/.%2e/")).join(
            path.rsplit(b"/", 1)
        )
    )
)
never("end of the path")(_on_path(lambda rng, path: path + rng.choice(_ENDS)))
never("case of the path")(_on_path(_tail(lambda rng, tail: tail.swapcase())))
never("another segment")(_on_path(_tail(lambda rng, tail: tail + b"1")))
never("escapes that are no text")(
    _on_path(_tail(lambda rng, tail: tail + rng.choice((b"%FF", b"%C0%AF", b"%ED%A0%80", b"%", b"%zz", b"%u0061"))))
)


@never("query in another spelling")
def _(rng: Random, wire: Wire) -> bool:
    path, _, query = wire.target.partition(b"?")
    pairs = query.split(b"&")
    new = rng.choice(
        (
            b"&".join(reversed(pairs)),
            query.replace(b"&", b";", 1),
            query.replace(b"+", b"%20"),
            query.replace(b"q", b"%71", 1),
            query.lower(),
            query + b"&",
            b"&" + query,
            query + b"=",
            query + b"&q=2",
            query + b"?",
            b"_method=DELETE&" + query,
            query + b"&_method=PUT",
            query.replace(b"%", b"%25", 1),
            query + b"%00",
        )
    )
    wire.target = path + b"?" + new
    return new != query


@may("mark of an empty query")
def _(rng: Random, wire: Wire) -> bool:
    if b"?" in wire.target:
        return False
    wire.target += b"?"
    return True


@may("absolute form")
def _(rng: Random, wire: Wire) -> bool:
    if wire.server != "httptools" or not wire.target.startswith(b"/"):
        return False  # the others hand the whole of it out as the path
    wire.target = rng.choice((b"http://localhost:8000", b"http://evil.example", b"https://a")) + wire.target
    return True


@never("absolute form handed out as the path")
def _(rng: Random, wire: Wire) -> bool:
    if wire.server == "httptools":
        return False
    wire.target = b"http://localhost:8000" + wire.target
    return True
