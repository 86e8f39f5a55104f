"""Answers that no cache keeps.

An authorized answer goes out as no-store in any case. A cache between the endpoint and the middleware sees the answer
before, so that it is marked at the gate, in the words that such caches obey (RFC 9111 §5.2.2; Django's: max-age).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from stepup_middleware.asgi import Message, Send

NOT_KEPT = "private, no-store, max-age=0"


def uncached(send: Send) -> Send:
    """Return a ``send`` that marks the answer of an app as not to be cached."""

    async def marking(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [entry for entry in message.get("headers", ()) if entry[0].lower() != b"cache-control"]
            message = {**message, "headers": [*kept, (b"cache-control", NOT_KEPT.encode())]}
        await send(message)

    return marking


def kept_nowhere(answer: Any) -> Any:
    """Mark a response object as not to be cached, where it has headers that can be set, and return it."""
    headers: Any = getattr(answer, "headers", None)
    if hasattr(headers, "__setitem__"):
        with suppress(Exception):  # a framework's own idea of headers: the middleware marks the answer in any case
            headers["Cache-Control"] = NOT_KEPT
    return answer
