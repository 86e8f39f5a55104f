"""Whole requests against a whole app: nothing tagged runs without a proof, and nothing fails inside.

A request is text: method and target, headers, an empty line, the body. ``{prompt}`` stands for a prompt that
is open, ``{spent}`` for a token that was used, ``{session}`` for the cookie of a signed-in person.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote_to_bytes

from stepup_middleware.asgi import Scope
from stepup_middleware.core.cookies import cookie_name
from tests.support import ROTATE, TRANSMIT, Answer, Browser, House, call, scope_of

_PATIENCE = 20  # requests between two steps of the clock, which closes prompts and opens the rate limits


def scope_from(head: str) -> Scope:
    """Return the scope of a request as a server would make it of its head."""
    first, *lines = head.split("\n")
    method, _, target = first.partition(" ")
    path, _, query = target.partition("?")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name.strip().lower(), value.strip().encode("utf-8", "surrogateescape")))
    scope = scope_of(
        method.encode("ascii", "ignore").decode().upper() or "GET",  # RFC 9110 §9.1: a server takes a token alone
        unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8", "replace") or "/",
        query_string=query.encode("utf-8", "surrogateescape"),
        raw_path=path.encode("utf-8", "surrogateescape"),
    )
    scope["headers"] = [(name.encode("utf-8", "surrogateescape"), value) for name, value in headers]
    return scope


def hands_out_a_token(answer: Answer) -> bool:
    """Whether an answer has a token: as a member of JSON, or in the one-time cookie.

    A page that repeats a form has fields of the names that the client gave them, ``token`` too.
    """
    if any("json" in kind for kind in answer.headers("content-type")):
        told = json.loads(answer.body)
        return isinstance(told, dict) and "token" in told
    cookies = [cookie.partition(";")[0].partition("=") for cookie in answer.headers("set-cookie")]
    return any(value for name, _, value in cookies if name in (cookie_name(secure=True), cookie_name(secure=False)))


class Site:
    """The app under test on a loop of its own, somebody signed in, and what must not change."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        self._loop = asyncio.new_event_loop()
        self._count = 0
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.house = House(Path(self._folder.name))
        await self.house.stepup.start()
        self.ada = Browser(self.house, self.house.sign_in("ada"))
        await self.ada.enrol("passkey")
        await self.ada.enrol("totp", by="passkey")
        self.spent = await self.ada.token("POST", ROTATE, "passkey")
        await self.ada.post(ROTATE, token=self.spent)
        self.house.runs.clear()
        await self._ask()

    async def _ask(self) -> None:
        self.house.clock.advance(timedelta(hours=1))
        self.prompt = (await self.ada.prompt("POST", TRANSMIT))["prompt"]["id"]

    def close(self) -> None:
        """Close the app and forget its files."""
        self._loop.run_until_complete(self.house.stepup.close())
        self._loop.close()
        self._folder.cleanup()

    def check(self, data: bytes) -> None:
        """Send one request, and see that nothing ran, nothing failed and nothing was handed out."""
        self._loop.run_until_complete(self._check(data))

    async def _check(self, data: bytes) -> None:
        assert self.ada.subject is not None
        self._count += 1
        if self._count % _PATIENCE == 0:
            await self._ask()
        text = data.decode("utf-8", "surrogateescape")
        for name, value in (
            ("{prompt}", self.prompt),
            ("{spent}", self.spent),
            ("{session}", self.ada.subject.session_id),
        ):
            text = text.replace(name, value)
        head, _, body = text.partition("\n\n")
        scope = scope_from(head)
        answer = await call(self.house.app, scope, [body.encode("utf-8", "surrogateescape")])
        assert self.house.total == 0, "an endpoint ran without a proof"
        assert answer.status < 500, f"answered with {answer.status}"
        assert not hands_out_a_token(answer), "a token was handed out"
        if self._count % _PATIENCE == 0:
            factors = await self.house.stepup.factors.list(self.ada.subject)
            assert len(factors) == 2, "factors were changed"
