"""The witness as an ASGI app: ``POST /add-checkpoint`` and ``GET /<SHA-256 of the origin>/checkpoint``.

It needs no login: a request counts for the signature of the log that is in it. Nothing here is secret but the key.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from starlette.types import Receive, Scope, Send

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.keys import VerifierKey

from .decision import LARGEST_REQUEST, TEXT_TYPE, AddCheckpoint, NotCosigned, check_signed, read_add_checkpoint
from .state import WitnessState

READ_SECONDS = 10.0  # for the whole body of a request

_logger = logging.getLogger("stepup_middleware.witness")
_MONITORED = re.compile(r"/([0-9a-f]{64})/checkpoint", re.ASCII)


def logs_by_origin(keys: Iterable[VerifierKey]) -> Mapping[str, Sequence[VerifierKey]]:
    """Return the keys of logs by their origins, which are the names of their keys."""
    logs: dict[str, list[VerifierKey]] = {}
    for key in keys:
        logs.setdefault(key.name, []).append(key)
    return logs


class WitnessApp:
    """A witness for these logs. ``clock`` returns seconds since 1970."""

    def __init__(
        self, state: WitnessState, logs: Iterable[VerifierKey], *, clock: Callable[[], float] = time.time
    ) -> None:
        self.state = state
        self.logs = logs_by_origin(logs)
        if not self.logs:
            raise ConfigurationError("a witness needs the vkey of at least one log")
        if state.name in self.logs:
            raise ConfigurationError(f"a log and this witness are both called {state.name}: names tell keys apart")
        self._origins = {sha256(origin.encode()).hexdigest(): origin for origin in self.logs}
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            status, text, content_type = await self._answer(scope, receive)
            body = text.encode()
            headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
            if status == 405:
                headers.append((b"allow", b"POST" if scope["path"] == "/add-checkpoint" else b"GET"))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        else:
            await send({"type": "websocket.close"})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(self.state.close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, str, str]:
        """Return the status, the text and the content type of an answer."""
        try:
            if scope["path"] == "/add-checkpoint":
                if scope["method"] != "POST":
                    raise NotCosigned(405, "a checkpoint is posted\n")
                return await self._add_checkpoint(await _read_body(receive))
            found = _MONITORED.fullmatch(scope["path"])
            if found is None:
                raise NotCosigned(404, "a witness has /add-checkpoint and /<SHA-256 of an origin>/checkpoint\n")
            if scope["method"] not in ("GET", "HEAD"):
                raise NotCosigned(405, "a checkpoint is read here\n")
            origin = self._origins.get(found[1])
            note = None if origin is None else await asyncio.to_thread(self.state.latest_note, origin)
            if note is None:
                raise NotCosigned(404, "this witness has not cosigned a checkpoint of such a log\n")
            return 200, note, TEXT_TYPE
        except NotCosigned as refusal:
            return refusal.status, refusal.text, refusal.content_type

    async def _add_checkpoint(self, raw: bytes) -> tuple[int, str, str]:
        request = read_add_checkpoint(raw)
        return await asyncio.to_thread(self._decide, request)

    def _decide(self, request: AddCheckpoint) -> tuple[int, str, str]:
        """Check and cosign. In a thread: it waits for the disk."""
        check_signed(request, self.logs)
        checkpoint = request.checkpoint
        try:
            lines = self.state.cosign(request, int(self._clock()))
        except NotCosigned as refusal:
            if refusal.status == 422:  # signed by the log itself: this note is the proof of what it did
                _logger.error("%s\nold %d\n%s", refusal.text, request.old_size, request.note)
            raise
        except sqlite3.Error as error:
            _logger.error("a checkpoint could not be kept, and was not cosigned: %s", error)
            raise NotCosigned(503, "the checkpoint could not be kept, and was not cosigned: try again\n") from error
        _logger.info("cosigned %s at size %d", checkpoint.origin, checkpoint.size)
        return 200, "".join(map(str, lines)), TEXT_TYPE


async def _read_body(receive: Receive) -> bytes:
    """Return the body of a request. Raises ``NotCosigned`` for one that is too large, too slow or broken off."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise NotCosigned(400, "the request was broken off\n")
                body += message.get("body", b"")
                if len(body) > LARGEST_REQUEST:
                    raise NotCosigned(413, f"a request has at most {LARGEST_REQUEST} bytes\n")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise NotCosigned(408, f"the request did not come within {READ_SECONDS:g} seconds\n") from None
