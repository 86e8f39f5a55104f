"""The binding of a whole request, by the code that the gates use."""

from __future__ import annotations

from collections.abc import Collection

from stepup_middleware.asgi import Scope, headers
from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.request.body import BodyDigest
from stepup_middleware.request.bound import bound_request, wire_of


def bound_request_of(
    scope: Scope, body: bytes | None, *, bind_headers: Collection[bytes] = (), reached_in: Scope | None = None
) -> BoundRequest:
    """Return what a proof for a whole request is bound to.

    ``scope`` is the server's, ``reached_in`` the one in which the gate stands, if another.
    """
    digest = None
    if body is not None:
        digest = BodyDigest(headers(scope, b"content-type"))
        digest.feed(body)
    whole = None if digest is None else digest.whole()
    return bound_request(wire_of(scope), reached_in or scope, whole, bind_headers=bind_headers)
