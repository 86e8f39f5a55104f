"""The body of a request on its way into the app: noted as it passes, read ahead where a gate needs all of it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import IO, NamedTuple

from stepup_middleware.asgi import Message, Receive
from stepup_middleware.core.multipart import StrictForm, boundary_of

BODY_SECONDS = 15.0  # between two pieces of a body
WHOLE_BODY_SECONDS = 300.0  # from the first to the last piece
PIECE = 4096  # bytes up to which small pieces are kept as one: kept singly, each takes hundreds of bytes of memory
SPOOLED_BEYOND = 1024 * 1024  # bytes that are kept in memory of a body that is read ahead
DIGESTED = 64 * 1024  # bytes of a body whose digest is taken before the event loop runs again
REPEATED_FORM_LIMIT = 256 * 1024  # bytes of a form that a page of ours may carry over to its repetition


def content_digest(sha256_digest: bytes) -> str:
    """Return a ``Content-Digest`` of the SHA-256 of a body (RFC 9530 §2)."""
    return f"sha-256=:{b64encode(sha256_digest).decode()}:"


class WholeBody(NamedTuple):
    """The ``Content-Digest`` of a body, by the values of its ``content-type``.

    ``as_it_came`` is of its bytes, ``canonical`` of a strict multipart form with our boundary, None for any other body.
    """

    content_types: list[bytes]
    as_it_came: str
    canonical: str | None


class BodyDigest:
    """The digest of a body, taken while it passes; of a strict multipart form with our boundary besides.

    The work is done in small pieces: no other request waits for more than one of them.
    """

    __slots__ = ("_content_types", "_form", "_hash", "_reading", "_waiting", "length")

    def __init__(self, content_types: list[bytes]) -> None:
        self._content_types = content_types
        self.length = 0
        self._hash = sha256()
        boundary = boundary_of(content_types[0]) if len(content_types) == 1 else None
        self._form = None if boundary is None else StrictForm(boundary)
        self._reading = False  # the form has not read all that it has
        self._waiting = memoryview(b"")  # what has not been taken yet

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, all at once."""
        self.put(chunk)
        while self.unfinished:
            self.work()

    def put(self, chunk: bytes) -> None:
        """Put the next bytes of the body in, and do a piece of the work."""
        self.length += len(chunk)
        self._waiting = memoryview(bytes(self._waiting) + chunk if self._waiting else chunk)
        self.work()

    def work(self) -> None:
        """Do a piece of the work, bounded in bytes and in parts of a form."""
        form = self._form
        if self._reading and form is not None:
            self._reading = form.take(b"")
        else:
            piece, self._waiting = self._waiting[:DIGESTED], self._waiting[DIGESTED:]
            self._hash.update(piece)
            self._reading = form is not None and form.take(piece)

    @property
    def unfinished(self) -> bool:
        """Whether there is more work to do."""
        return self._reading or len(self._waiting) > 0

    async def finish(self) -> None:
        """Do all of the work, and let the event loop run in between."""
        while self.unfinished:
            await asyncio.sleep(0)
            self.work()

    def whole(self) -> WholeBody:
        """Return the digests of all that was put in, once the work is done."""
        form = None if self._form is None or self.unfinished else self._form.digest()
        as_it_came = content_digest(self._hash.digest())
        return WholeBody(self._content_types, as_it_came, None if form is None else content_digest(form))


class BodyTooLarge(Exception):
    """The body is longer than it may be."""


class BodyTooSlow(Exception):
    """The body did not arrive in time, or the client left."""


class BodyMismatch(Exception):
    """The body is not as long as one ``Content-Length`` says: by that number an app may read another."""


class _Spooled(NamedTuple):
    """A message whose body is in the file."""

    length: int
    more_body: bool


class RequestBody:
    """The ``receive`` that an app is handed, which takes the digest of the body as it passes.

    A gate that needs the whole body lets it be read ahead (``complete``); the app then receives what the server sent,
    small pieces joined, in its order, and after that what the server has to say. A lock keeps the two apart where
    a framework reads in a task of its own. Nothing is kept of a body that no gate asks about, but for a form of at
    most ``REPEATED_FORM_LIMIT`` bytes where ``keeps_form``, which a page of ours may have to repeat.
    """

    __slots__ = (
        "_ahead",
        "_declared",
        "_digest",
        "_fault",
        "_file",
        "_form",
        "_handed_out",
        "_in_memory",
        "_limit",
        "_lock",
        "_receive",
        "whole",
    )

    def __init__(
        self, receive: Receive, headers: Iterable[tuple[bytes, bytes]], *, limit: int, keeps_form: bool
    ) -> None:
        content_types: list[bytes] = []
        self._declared: list[bytes] = []
        for name, value in headers:
            if name == b"content-type":
                content_types.append(value)
            elif name == b"content-length":
                self._declared.append(value)
        self._receive = receive
        self._limit = limit
        self._digest: BodyDigest | None = BodyDigest(content_types)
        self._fault: type[Exception] = BodyTooLarge  # why there is no digest
        self._form = bytearray() if keeps_form else None
        self._lock = asyncio.Lock()
        self._ahead: list[Message | _Spooled] = []  # few, and none most of the time
        self._in_memory = 0
        self._handed_out = 0
        self._file: IO[bytes] | None = None
        self.whole = False

    async def __call__(self) -> Message:
        """Receive the next message, for the app."""
        if self.whole and not self._ahead:
            return await self._receive()
        async with self._lock:
            if self._ahead:
                return await self._next_kept()
            message = await self._receive()
            self._ahead.append(message)  # a reader that gives up while the digest is taken loses nothing
            await self._note(message)
            self._ahead.pop()
            return message

    async def complete(self) -> WholeBody:
        """Return the digests of the whole body; what the app has not read yet is read ahead for it.

        Raises ``BodyTooLarge``, ``BodyTooSlow`` or ``BodyMismatch``.
        """
        if self._is_declared_longer_than(self._limit):
            raise BodyTooLarge  # unread
        try:
            async with asyncio.timeout(BODY_SECONDS) as patience, self._lock:  # the last piece may be at its digest
                await self._read_ahead(patience, lambda: self._digest is not None)
                if self._digest is not None:
                    await self._digest.finish()  # a reader may have given up in between
        except TimeoutError:
            raise BodyTooSlow from None
        if self._digest is None:
            raise self._fault
        if self._declared not in ([], [b"%d" % self._digest.length]):
            raise BodyMismatch
        return self._digest.whole()

    def keep_form(self) -> None:
        """Keep the body for ``form``; where a piece of it has passed already, there is nothing to be kept."""
        if self._form is None and self._digest is not None and not self._digest.length:
            self._form = bytearray()

    async def form(self) -> bytes | None:
        """Return the body for who repeats or reads it; None where it was not kept, is too long or does not come."""
        if self._is_declared_longer_than(REPEATED_FORM_LIMIT):
            return None
        try:
            async with asyncio.timeout(BODY_SECONDS) as patience, self._lock:
                await self._read_ahead(patience, lambda: self._form is not None)
        except (TimeoutError, BodyTooSlow):
            return None
        return None if self._form is None else bytes(self._form)

    def close(self) -> None:
        """Drop what is kept: the request has ended."""
        self._ahead.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _is_declared_longer_than(self, limit: int) -> bool:
        numbers = filter(bytes.isdigit, self._declared)
        return any(len(declared) > 18 or int(declared) > limit for declared in numbers)

    async def _read_ahead(self, patience: asyncio.Timeout, wanted: Callable[[], bool]) -> None:
        """Read what has not come yet while it is wanted: each piece has its time, and all together have theirs."""
        time = asyncio.get_running_loop().time
        until = time() + WHOLE_BODY_SECONDS
        while not self.whole and wanted():
            await self._read_piece()
            if not self.whole:
                patience.reschedule(min(until, time() + BODY_SECONDS))

    async def _read_piece(self) -> None:
        message = await self._receive()
        self._ahead.append(message)  # a gate that gives up while the digest is taken loses nothing
        await self._note(message)
        self._ahead.pop()
        try:
            await self._keep(message)
        except asyncio.CancelledError:
            self._digest, self._fault = None, BodyTooSlow  # the app may miss a piece: no gate lets it through
            raise
        if message["type"] != "http.request":
            raise BodyTooSlow

    async def _note(self, message: Message) -> None:
        if message["type"] != "http.request" or self.whole:
            return
        chunk = message.get("body", b"")
        if self._form is not None:
            self._form += chunk
            if len(self._form) > REPEATED_FORM_LIMIT:
                self._form = None
        self.whole = not message.get("more_body", False)
        digest = self._digest
        if digest is None:
            return
        if digest.length + len(chunk) > self._limit:
            self._digest = None
        elif chunk:
            digest.put(chunk)
            await digest.finish()

    async def _keep(self, message: Message) -> None:
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if more and not chunk:
            return  # says nothing
        last = self._ahead[-1] if self._ahead and message["type"] == "http.request" else None
        if isinstance(last, _Spooled) and last.length + len(chunk) <= PIECE:
            await asyncio.to_thread(self._spool, chunk)
            self._ahead[-1] = _Spooled(last.length + len(chunk), more)
        elif not chunk or self._in_memory + len(chunk) <= SPOOLED_BEYOND:
            self._in_memory += len(chunk)
            if isinstance(last, dict) and len(last.get("body", b"")) + len(chunk) <= PIECE:
                self._ahead[-1] = {**last, "body": last.get("body", b"") + chunk, "more_body": more}
            else:
                self._ahead.append(message)
        else:
            await asyncio.to_thread(self._spool, chunk)
            self._ahead.append(_Spooled(len(chunk), more))

    def _spool(self, chunk: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="stepup-body-", buffering=0)  # noqa: SIM115 - until the end
        self._file.seek(0, os.SEEK_END)  # some of it may have been handed out
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    async def _next_kept(self) -> Message:
        kept = self._ahead.pop(0)
        if not isinstance(kept, _Spooled):
            return kept
        chunk = await asyncio.to_thread(self._unspool, kept.length)
        return {"type": "http.request", "body": chunk, "more_body": kept.more_body}

    def _unspool(self, length: int) -> bytes:
        assert self._file is not None  # noqa: S101 - it was written to
        self._file.seek(self._handed_out)
        parts = []
        while length:
            parts.append(self._file.read(length))
            length -= len(parts[-1])
        self._handed_out = self._file.tell()
        return b"".join(parts)
