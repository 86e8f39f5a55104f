"""Makes the bound request of what came and of where a gate stands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from operator import ne
from typing import NamedTuple
from urllib.parse import unquote

from stepup_middleware.asgi import Scope
from stepup_middleware.core.binding import NOWHERE_ELSE, BoundRequest, Lines, Reached
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.multipart import REPLACED, boundary_of
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.roots import quote_path

from .body import WholeBody, content_digest
from .bound_headers import FORWARDED, FRAMING, UNTOLD, hyphened, is_bound

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
        self._further = FRAMING.union(bind_headers) if framing else frozenset(bind_headers)
        self._cookies = cookies
        self._length = 0

    def read(self, lines: Iterable[tuple[bytes, bytes]], *, replaced: bool) -> tuple[tuple[str, ...], Lines]:
        """Return the ``Host`` lines, and the others that are bound. Raises ``Unbindable`` for too many of them."""
        authority: list[str] = []
        fields: list[tuple[str, str]] = []
        for name, value in lines:
            if name == b"host":
                authority.append(value.decode("latin-1"))
            elif name == b"cookie" and name not in self._further:
                fields += _cookies_named(value, self._cookies) if self._cookies else ()
            elif (
                is_bound(name)
                or (self._further and hyphened(name) in self._further)
                or (name == FORWARDED and b"host" in value.lower())
            ):
                if name == b"content-type" and replaced:
                    value = REPLACED
                elif name == b"content-length":
                    value = COUNTED
                elif hyphened(name) in UNTOLD:
                    value = content_digest(sha256(value).digest()).encode()
                fields.append((name.decode("latin-1"), value.decode("latin-1")))
        # the order of different names says nothing (RFC 9110 §5.3); a browser that repeats a request has another
        fields.sort(key=_name_in_wsgi)
        self._length += sum(map(len, chain(*fields, authority))) + len("host") * len(authority)
        if self._length > LONGEST_FIELDS:
            raise Unbindable(RefusalCode.HEADERS_TOO_LONG)
        return tuple(authority), tuple(fields)


def _name_in_wsgi(field: tuple[str, str]) -> str:
    return field[0].replace("_", "-")


def _cookies_named(line: bytes, names: Collection[bytes]) -> Iterator[tuple[str, str]]:
    for pair in line.split(b";"):
        if pair.partition(b"=")[0].strip() in names:
            yield "cookie", pair.strip().decode("latin-1")


def bound_request(
    wire: Wire,
    scope: Scope,
    body: WholeBody | None,
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
    lines = scope["headers"]
    changed = len(lines) != len(wire.headers) or any(map(ne, lines, wire.headers))
    came = _named(wire.headers, b"content-type")
    found = _named(lines, b"content-type") if changed else came
    path = wire.raw_path.decode("latin-1").partition("?")[0] or quote_path(wire.path)
    canonical = None
    if body is not None and body.content_types == came == found:
        canonical = body.canonical
    # of a body that is not bound, the boundary says nothing: a browser writes a new one each time
    replaced = canonical is not None or (
        body is None and len(came) == 1 and came == found and boundary_of(came[0]) is not None
    )
    framing = body is not None and b"multipart" in b" ".join((*came, *found)).lower()
    reader = _Reader(bind_headers, cookies, framing=framing)
    authority, fields = reader.read(wire.headers, replaced=replaced)
    request = BoundRequest(
        method=wire.method,
        authority=authority,
        path=path,
        query=wire.query.decode("latin-1"),
        root_path=wire.root_path,
        fields=fields,
        content_digest=None if body is None else canonical or body.as_it_came,
        boundary_replaced=replaced,
    )
    here = reader.read(lines, replaced=replaced) if changed else (authority, fields)
    reached = _reached(request, scope, here, framework, reading)
    there = (reached.root_path, reached.path, reached.raw_path, reached.query, *(reached.framework or ()))
    texts = (request.path, request.query, request.root_path, *filter(None, there))
    if max(map(len, texts)) > LONGEST_PATH:
        raise Unbindable(RefusalCode.TARGET_TOO_LONG)
    if not "".join(texts).isascii() and any(storable(text, LONGEST_PATH) != text for text in texts):
        raise Unbindable(RefusalCode.BAD_REQUEST)  # what UTF-8 cannot carry would not be bound
    return request if reached == NOWHERE_ELSE else replace(request, reached=reached)


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
    raw, query = (scope.get("raw_path") or b"").decode("latin-1"), scope.get("query_string", b"").decode("latin-1")
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


def below_root(path: str, root_path: str) -> str:
    """Return the path of the wire as a browser has it, below any root path.

    Behind a proxy that strips a prefix, some servers give the stripped path and the prefix apart, others together.
    """
    root = quote_path(root_path).rstrip("/")
    return path if not root or path == root or path.startswith(root + "/") else root + path
