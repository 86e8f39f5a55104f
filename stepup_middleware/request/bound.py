"""Makes the bound request of what came and of where a gate stands."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from stepup_middleware.asgi import Scope, headers
from stepup_middleware.core.binding import BoundRequest, Reached, content_digest
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.multipart import REPLACED, boundary_of
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.roots import quote_path

from .body import BodyDigest

LONGEST_PATH = 8192  # characters of a path, and of a query
LONGEST_FIELDS = 16_384  # characters of all bound header lines together
METHOD_OVERRIDES = (b"x-http-method-override", b"x-http-method", b"x-method-override")
# what decides how a request is routed or its body read, besides the target
READ_BY = frozenset(
    {
        b"content-type",
        b"content-encoding",
        *METHOD_OVERRIDES,
        b"x-forwarded-host",
        b"x-forwarded-prefix",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
FORWARDED = b"forwarded"  # RFC 7239: bound where it names a host; without one it says who sent, and from which port
FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # bound with a multipart body: Django reads none
COUNTED = b"the length of the body"  # without a length. Its number is checked, and depends on the boundary


class Unbindable(Exception):
    """A part of the request is longer than what a proof is bound to; ``code`` is the refusal's."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


class Wire(NamedTuple):
    """What the server said of a request, before anything in the app could change it."""

    method: str
    path: str
    raw_path: bytes
    root_path: str
    query: bytes


def wire_of(scope: Scope) -> Wire:
    """Return what the server said of a request."""
    get = scope.get
    return Wire(
        get("method", "WEBSOCKET"),
        scope["path"],
        get("raw_path") or b"",
        get("root_path", ""),
        get("query_string", b""),
    )


def hyphened(name: bytes) -> bytes:
    """Return the name of a header as WSGI and CGI have it, where ``_`` and ``-`` are one."""
    return name.replace(b"_", b"-") if b"_" in name else name


def bound_request(
    wire: Wire,
    scope: Scope,
    body: BodyDigest | None,
    *,
    bind_headers: Collection[bytes] = (),
    framework: tuple[str, str] | None = None,
) -> BoundRequest:
    """Return what a proof for a request is bound to.

    ``wire`` is what came, ``scope`` the one in which the gate stands; ``body`` is None where the tag does not bind
    it; ``bind_headers`` are further names of headers, in lower case; ``framework`` is the method and the path as the
    framework's own request object has them, if it has one. Raises ``Unbindable``.
    """
    types = headers(scope, b"content-type")
    names = READ_BY.union(bind_headers) if bind_headers else READ_BY
    if body is not None and any(b"multipart" in value.lower() for value in types):
        names |= FRAMING
    path = wire.raw_path.partition(b"?")[0].decode("latin-1") or quote_path(wire.path)
    query = wire.query.decode("latin-1")
    if len(path) > LONGEST_PATH or len(query) > LONGEST_PATH:
        raise Unbindable(RefusalCode.TARGET_TOO_LONG)
    canonical = None
    if body is not None and body.content_types == types:
        canonical = body.canonical()
    # of a body that is not bound, the boundary says nothing: a browser writes a new one each time
    replaced = canonical is not None or (body is None and len(types) == 1 and boundary_of(types[0]) is not None)
    authority: list[str] = []
    fields: list[tuple[str, str]] = []
    length = 0
    for name, value in scope["headers"]:
        if name == b"host":
            authority.append(value.decode("latin-1"))
        elif hyphened(name) in names or (name == FORWARDED and b"host" in value.lower()):
            if name == b"content-type" and replaced:
                value = REPLACED
            elif name == b"content-length":
                value = COUNTED
            fields.append((name.decode("latin-1"), value.decode("latin-1")))
        else:
            continue
        length += len(name) + len(value)
    if length > LONGEST_FIELDS:
        raise Unbindable(RefusalCode.HEADERS_TOO_LONG)
    return BoundRequest(
        method=wire.method,
        authority=tuple(authority),
        path=path,
        query=query,
        fields=tuple(fields),
        content_digest=None if body is None else content_digest(canonical or body.plain()),
        boundary_replaced=replaced,
        reached=_reached(wire, path, scope, framework),
    )


def _reached(wire: Wire, raw: str, scope: Scope, framework: tuple[str, str] | None) -> Reached | None:
    """Return the method, path and query at which the gate stands, None where they are those of the wire.

    A framework that hands a mounted app the rest of the path leaves root path and path, joined, as they were.
    """
    method, path, query = scope.get("method", "WEBSOCKET"), _whole_path(scope), scope.get("query_string", b"")
    came = _joined(wire.root_path, wire.path)
    if framework is not None and (
        framework[0] != method or framework[1] not in (path, came, wire.path, raw, below_root(raw, wire.root_path))
    ):
        method, path = framework
    elif method == wire.method and query == wire.query and path == came:
        return None
    if len(path) > LONGEST_PATH or len(query) > LONGEST_PATH:
        raise Unbindable(RefusalCode.TARGET_TOO_LONG)
    if storable(path, LONGEST_PATH) != path:
        raise Unbindable(RefusalCode.BAD_REQUEST)  # what UTF-8 cannot carry would not be bound
    return Reached(str(method), path, query.decode("latin-1"))


def _whole_path(scope: Scope) -> str:
    return _joined(scope.get("root_path", ""), scope["path"])


def _joined(root: str, path: str) -> str:
    return path if not root or path.startswith(root) else root + path


def below_root(path: str, root_path: str) -> str:
    """Return the path of the wire as a browser has it, below any root path.

    Behind a proxy that strips a prefix, some servers give the stripped path and the prefix apart, others together.
    """
    root = quote_path(root_path).rstrip("/")
    return path if not root or path == root or path.startswith(root + "/") else root + path
