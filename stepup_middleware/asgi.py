"""The types of ASGI, and the headers of a scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
AnyASGIApp = Callable[..., Awaitable[Any]]  # as frameworks type themselves: each with messages of its own

KEY = "stepup_middleware"  # where the middleware places its context; clients set headers, never scope keys


def header(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    """Return the first value of a header (lower-case name), or None."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def first_values(scope: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the first value of each header, as ``header`` does of one: for whoever looks for several."""
    return dict(reversed(scope["headers"]))


def headers(scope: Mapping[str, Any], name: bytes) -> list[bytes]:
    """Return every value of a header (lower-case name)."""
    return [value for key, value in scope["headers"] if key == name]
