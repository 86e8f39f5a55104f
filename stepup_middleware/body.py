"""Reading a body within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

BODY_SECONDS = 15.0  # from the first to the last byte of a body that we read ourselves
MAX_FORM_FIELDS = 1000
_URL_ENCODED = b"application/x-www-form-urlencoded"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyTooLarge(Exception):
    """The body is longer than it may be."""


class BodyTooSlow(Exception):
    """The body did not arrive in time, or the client left."""


async def chunks_of(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the chunks of a request body. Raises ``BodyTooSlow`` when the client disconnects."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyTooSlow
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def check_declared(declared: bytes | None, limit: int) -> None:
    """Raise ``BodyTooLarge`` for a ``Content-Length`` that is above ``limit`` bytes."""
    if declared is not None and declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
        raise BodyTooLarge


async def read_body(chunks: AsyncIterator[bytes], *, declared: bytes | None, limit: int) -> bytes:
    """Return a whole body of at most ``limit`` bytes; ``declared`` is its ``Content-Length``, if any.

    A body declared too long is refused unread. Raises ``BodyTooLarge`` or ``BodyTooSlow``.
    """
    check_declared(declared, limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in chunks:
                if len(body) + len(chunk) > limit:
                    raise BodyTooLarge
                body += chunk
    except TimeoutError:
        raise BodyTooSlow from None
    return bytes(body)


def replaying(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that hands out the body that was read, and then whatever the server says."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return pending.pop() if pending else await receive()

    return again


class Arriving:
    """The ``receive`` of a request with a body, which notes that the app has begun to read it.

    The body is kept as it passes only where ``keeps`` says so when it begins, and up to ``limit`` bytes: that of a
    form which a page of ours may have to repeat, whatever framework has read it by then.
    """

    __slots__ = ("_keeps", "_kept", "_limit", "_reading", "_receive", "_scope", "_whole", "taken")

    def __init__(self, receive: Receive, scope: Scope, keeps: Callable[[Scope], bool], limit: int) -> None:
        self._receive = receive
        self._scope = scope
        self._keeps = keeps
        self._limit = limit
        self._kept: bytearray | None = None
        self._reading = self._whole = self.taken = False

    async def __call__(self) -> MutableMapping[str, Any]:
        self._reading = True
        message = await self._receive()
        self._reading = False
        if message["type"] == "http.request":
            if not self.taken:
                self.taken = True
                self._kept = bytearray() if self._keeps(self._scope) else None
            if self._kept is not None:
                self._kept += message.get("body", b"")
                if len(self._kept) > self._limit:
                    self._kept = None
            self._whole = not message.get("more_body", False)
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body: what was kept of it, and what is still to come.

        Raises ``BodyTooLarge`` when it was not kept, ``BodyTooSlow`` when somebody else is still reading it.
        """
        if self.taken:
            if self._kept is None:
                raise BodyTooLarge
            yield bytes(self._kept)
        if not self._whole:
            if self._reading:
                raise BodyTooSlow
            async for chunk in chunks_of(self._receive):
                yield chunk


def form_kind(content_type: bytes) -> bytes | None:
    """Return the media type of a form that browsers send, None for any other content."""
    kind = content_type.partition(b";")[0].strip().lower()
    return kind if kind in (_URL_ENCODED, b"multipart/form-data") else None


async def form_fields(body: bytes, content_type: bytes) -> list[tuple[str, str, bytes]] | None:
    """Return ``(name, file name or "", value)`` of a form body in order; None when it is no form.

    Raises ``ValueError`` for a form that cannot be parsed.
    """
    kind = form_kind(content_type)
    if kind is None:
        return None
    if kind == _URL_ENCODED:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MAX_FORM_FIELDS
        )
        return [(name, "", value.encode()) for name, value in pairs]

    from starlette.datastructures import Headers, UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        Headers(raw=[(b"content-type", content_type)]),
        once(),
        max_files=MAX_FORM_FIELDS,
        max_fields=MAX_FORM_FIELDS,
        max_part_size=len(body) + 1,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise ValueError("not a multipart form") from error
    try:
        fields: list[tuple[str, str, bytes]] = []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                fields.append((name, value.filename or "", await value.read()))
            else:
                fields.append((name, "", value.encode()))
        return fields
    finally:
        await form.close()
