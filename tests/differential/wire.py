"""A request as it goes over the wire, and the ASGI scope that a server makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import httptools

Header = tuple[bytes, bytes]
Scope = MutableMapping[str, Any]


@dataclass(slots=True)
class Part:
    """A part of a multipart body: the lines above its content, and the content."""

    headers: list[bytes]
    content: bytes


@dataclass(slots=True)
class Multipart:
    """A multipart body in its pieces, so that each of them can be written in another way."""

    boundary: bytes
    parts: list[Part]
    newline: bytes = b"\r\n"
    before: bytes = b""
    after: bytes = b"\r\n"
    padding: bytes = b""
    closing: bytes = b"--"

    def copy(self) -> Multipart:
        return replace(self, parts=[Part(list(part.headers), part.content) for part in self.parts])

    def written(self) -> bytes:
        """Return the bytes."""
        end = self.newline
        pieces = [self.before]
        for part in self.parts:
            pieces += [b"--", self.boundary, self.padding, end]
            for line in part.headers:
                pieces += [line, end]
            pieces += [end, part.content, end]
        pieces += [b"--", self.boundary, self.closing, self.after]
        return b"".join(pieces)


@dataclass(slots=True)
class Wire:
    """A request. ``stack`` and ``server`` say who reads it; two requests are compared at the same stack only.

    ``framing`` is ``length`` (a true ``Content-Length``), ``chunked``, ``bare`` (neither, as HTTP/2 allows) or the
    value of a ``Content-Length`` of any kind. ``cuts`` are the places where the body is cut into messages, ``trailers``
    the header lines that come after it. ``root_path`` is what the server says of it: as its operator has set it, or as
    the client has where the server believes that (daphne).
    """

    method: bytes
    target: bytes
    headers: list[Header]
    content: bytes | Multipart = b""
    framing: bytes = b"length"
    cuts: tuple[int, ...] = ()
    trailers: tuple[Header, ...] = ()
    root_path: str = ""
    server: str = "h11"
    stack: str = "plain"

    def copy(self) -> Wire:
        content = self.content if isinstance(self.content, bytes) else self.content.copy()
        return replace(self, headers=list(self.headers), content=content)

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.written()

    def lines(self, body: bytes) -> list[Header]:
        """Return the header lines, with those that frame the body."""
        if self.framing == b"length":
            framing = [(b"content-length", b"%d" % len(body))] if body or self.method not in (b"GET", b"HEAD") else []
        elif self.framing == b"chunked":
            framing = [(b"transfer-encoding", b"chunked")]
        elif self.framing == b"bare":
            framing = []
        else:
            framing = [(b"content-length", value) for value in self.framing.split(b"|")]
        return [*self.headers, *framing]

    def key(self) -> tuple[Any, ...]:
        """Return everything that is sent, to be compared."""
        body = self.body
        rest = (self.cuts, self.trailers, self.root_path, self.server)
        return (self.method, self.target, tuple(self.lines(body)), body, *rest)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in the pieces in which it arrives."""
        body, start = self.body, 0
        for cut in self.cuts:
            if start < cut < len(body):
                yield body[start:cut]
                start = cut
        yield body[start:]

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, by its name in lower case."""
        return next((value for found, value in self.headers if found.lower() == name), None)

    def put(self, name: bytes, value: bytes | None) -> None:
        """Set the only line of a header, in its place; None takes it away."""
        at = next((n for n, (found, _) in enumerate(self.headers) if found.lower() == name), len(self.headers))
        self.headers = [line for line in self.headers if line[0].lower() != name]
        if value is not None:
            self.headers.insert(at, (name, value))


def _plain(target: bytes) -> tuple[bytes, str, bytes]:
    path, _, query = target.partition(b"?")
    return path, unquote(path.decode("ascii")), query


def _parsed(target: bytes) -> tuple[bytes, str, bytes]:
    url = httptools.parse_url(target)
    path = url.path or b""
    text = path.decode("ascii")
    return path, unquote(text) if "%" in text else text, url.query or b""


# how each server makes a path, its raw form and the query of a request's target; all hand out the path undecoded
SERVERS: dict[str, tuple[str, Callable[[bytes], tuple[bytes, str, bytes]]]] = {
    "h11": ("1.1", _plain),
    "httptools": ("1.1", _parsed),
    "hypercorn": ("1.1", _plain),
    "hypercorn h2": ("2", _plain),
}


def scope_of(wire: Wire) -> Scope:
    """Return the scope that the request's server would make.

    Raises ``httptools.HttpParserInvalidURLError`` or ``UnicodeError`` for what the server would refuse.
    """
    version, reading = SERVERS[wire.server]
    raw_path, path, query = reading(wire.target)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "server": ("127.0.0.1", 8000),
        "client": ("192.0.2.1", 40_000),
        "scheme": "http",
        "method": wire.method.decode("ascii"),
        "root_path": wire.root_path,
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in wire.lines(wire.body)],
        "state": {},
    }
