"""Makes the bound request of what came and of where a gate stands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from operator import ne
from typing import NamedTuple
from urllib.parse import unquote

from stepup_middleware.asgi import Scope, headers
from stepup_middleware.core.binding import NOWHERE_ELSE, BoundRequest, Lines, Reached, content_digest
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.multipart import REPLACED, boundary_of
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.roots import quote_path

from .body import BodyDigest
from .bound_headers import BEGINNINGS, BOUND, FORWARDED, FRAMING, UNTOLD, hyphened, overrides_method

LONGEST_PATH = 8192  # characters of a path, and of a query
LONGEST_FIELDS = 16_384  # characters of all bound header lines together
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
COUNTED = b"the length of the body"  # without a length. Its number is checked, and depends on the boundary


class Unbindable(Exception):
    """A part of the request is longer than what a proof is bound to; ``code`` is the refusal's."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


class Wire(NamedTuple):
    """What came, before anything in the app could change it. None of its parts can change."""

    method: str
    path: str
    raw_path: bytes
    root_path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def wire_of(scope: Scope) -> Wire:
    """Return what came. The scope's list of headers is from now on the app's own.

    A server may go on writing to its list: uvicorn with httptools adds the trailers of a body, which come when
    a gate has been passed.
    """
    get = scope.get
    headers = tuple(scope["headers"])
    scope["headers"] = list(headers)
    return Wire(
        get("method", "WEBSOCKET"),
        scope["path"],
        get("raw_path") or b"",
        get("root_path", ""),
        get("query_string", b""),
        headers,
    )


def header_names(names: Iterable[str]) -> tuple[bytes, ...]:
    """Return names of headers as they are looked for. Raises ``ConfigurationError`` for others (RFC 9110 §5.1)."""
    if isinstance(names, str | bytes):
        raise ConfigurationError(f"bind_headers is a list of header names, such as [{names!r}]")
    names = tuple(names)
    for name in names:
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ConfigurationError(f'bind_headers has names of headers, such as "X-Tenant", and not {name!r}')
    return tuple(hyphened(name.lower().encode()) for name in names)


class _Reader:
    """Picks the lines of headers that are bound: which do is decided once for a request."""

    def __init__(self, bind_headers: Collection[bytes], cookies: Collection[bytes], *, framing: bool) -> None:
        self._names = BOUND.union(bind_headers) if bind_headers else BOUND
        self._cookies = cookies
        self._framing = framing
        self._length = 0

    def read(self, lines: Iterable[tuple[bytes, bytes]], *, replaced: bool) -> tuple[tuple[str, ...], Lines]:
        """Return the ``Host`` lines, and the others that are bound. Raises ``Unbindable`` for too many of them."""
        authority: list[str] = []
        fields: list[tuple[str, str]] = []
        for name, value in lines:
            if name == b"host":
                authority.append(value.decode("latin-1"))
            elif name == b"cookie" and name not in self._names:
                fields += (("cookie", pair.decode("latin-1")) for pair in _cookies_named(value, self._cookies))
            elif self._is_bound(hyphened(name), value):
                if name == b"content-type" and replaced:
                    value = REPLACED
                elif name == b"content-length":
                    value = COUNTED
                elif hyphened(name) in UNTOLD:
                    value = content_digest(sha256(value).digest()).encode()
                fields.append((name.decode("latin-1"), value.decode("latin-1")))
        # the order of different names says nothing (RFC 9110 §5.3); a browser that repeats a request has another
        fields.sort(key=_name_in_wsgi)
        bound = [*(("host", value) for value in authority), *fields]
        self._length += sum(len(name) + len(value) for name, value in bound)
        if self._length > LONGEST_FIELDS:
            raise Unbindable(RefusalCode.HEADERS_TOO_LONG)
        return tuple(authority), tuple(fields)

    def _is_bound(self, name: bytes, value: bytes) -> bool:
        if name in FRAMING:
            return self._framing or name in self._names
        return (
            name in self._names
            or name.startswith(BEGINNINGS)
            or overrides_method(name)
            or (name == FORWARDED and b"host" in value.lower())
        )


def _name_in_wsgi(field: tuple[str, str]) -> str:
    return field[0].replace("_", "-")


def _cookies_named(line: bytes, names: Collection[bytes]) -> Iterator[bytes]:
    for pair in line.split(b";") if names else ():
        name = pair.partition(b"=")[0].strip()
        if name in names:
            yield pair.strip()


def bound_request(
    wire: Wire,
    scope: Scope,
    body: BodyDigest | None,
    *,
    bind_headers: Collection[bytes] = (),
    cookies: Collection[bytes] = (),
    framework: tuple[str, str] | None = None,
    reading: Lines = (),
) -> BoundRequest:
    """Return what a proof for a request is bound to.

    ``wire`` is what came, ``scope`` the one in which the gate stands; ``body`` is None where the tag does not bind
    it; ``bind_headers`` are further names of headers, in lower case, ``cookies`` names of cookies by which the
    framework reads a request; ``framework`` is the method and the path as the framework's own request object has them,
    where that is not what the scope says; ``reading`` what else it reads by. Raises ``Unbindable``.

    Everything is bound that the scope says, of what came and of where the gate stands: what follows from the former
    is not said again, and whatever else differs is (``Reached``). So two requests that are bound alike are alike to
    all that runs behind the gate, whoever changed which part of the scope, inside the middleware or outside.
    """
    came, found = _named(wire.headers, b"content-type"), headers(scope, b"content-type")
    path = _raw(wire.raw_path).partition("?")[0] or quote_path(wire.path)
    canonical = None
    if body is not None and body.content_types == came == found:
        canonical = body.canonical()
    # of a body that is not bound, the boundary says nothing: a browser writes a new one each time
    replaced = canonical is not None or (
        body is None and len(came) == 1 and came == found and boundary_of(came[0]) is not None
    )
    framing = body is not None and any(b"multipart" in value.lower() for value in (*came, *found))
    reader = _Reader(bind_headers, cookies, framing=framing)
    authority, fields = reader.read(wire.headers, replaced=replaced)
    request = BoundRequest(
        method=wire.method,
        authority=authority,
        path=path,
        query=wire.query.decode("latin-1"),
        root_path=wire.root_path,
        fields=fields,
        content_digest=None if body is None else content_digest(canonical or body.plain()),
        boundary_replaced=replaced,
    )
    here, lines = (authority, fields), scope["headers"]
    if len(lines) != len(wire.headers) or any(map(ne, lines, wire.headers)):
        here = reader.read(lines, replaced=replaced)
    reached = _reached(request, scope, here, framework, reading)
    texts = (request.path, request.query, request.root_path, *_texts(reached))
    if max(map(len, texts)) > LONGEST_PATH:
        raise Unbindable(RefusalCode.TARGET_TOO_LONG)
    if not all(text.isascii() or storable(text, LONGEST_PATH) == text for text in texts):
        raise Unbindable(RefusalCode.BAD_REQUEST)  # what UTF-8 cannot carry would not be bound
    return request if reached == NOWHERE_ELSE else replace(request, reached=reached)


def _raw(path: bytes | None) -> str:
    return "" if path is None else path.decode("latin-1")


def _named(lines: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for found, value in lines if found == name]


def _reached(
    request: BoundRequest,
    scope: Scope,
    here: tuple[tuple[str, ...], Lines],
    framework: tuple[str, str] | None,
    reading: Lines,
) -> Reached:
    """Return what of the gate's scope does not follow from the request as it came."""
    method, path, root = scope.get("method", "WEBSOCKET"), scope["path"], scope.get("root_path", "")
    raw, query = _raw(scope.get("raw_path")), scope.get("query_string", b"").decode("latin-1")
    authority, fields = here
    return Reached(
        method=None if method == request.method else str(method),
        root_path=None if root == request.root_path else str(root),
        path=None if path == unquote(request.path) else str(path),
        raw_path=None if raw == request.path else raw,
        query=None if query == request.query else query,
        authority=None if authority == request.authority else authority,
        fields=None if fields == request.fields else fields,
        framework=framework,
        reading=reading or None,
    )


def _texts(reached: Reached) -> Iterator[str]:
    """Yield the parts of a target, each of which is bounded."""
    for value in (reached.root_path, reached.path, reached.raw_path, reached.query, *(reached.framework or ())):
        if value is not None:
            yield value


def below_root(path: str, root_path: str) -> str:
    """Return the path of the wire as a browser has it, below any root path.

    Behind a proxy that strips a prefix, some servers give the stripped path and the prefix apart, others together.
    """
    root = quote_path(root_path).rstrip("/")
    return path if not root or path == root or path.startswith(root + "/") else root + path
