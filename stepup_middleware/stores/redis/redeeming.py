"""Redemption: presentations of one moment share a pipeline, and each is authorized by the ledger before it counts."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Any

from stepup_middleware.core.decisions import (
    IssuedToken,
    Presentation,
    Redemption,
    TokenState,
    Verdict,
    decide,
    presentation_event,
    worth_logging,
)
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.ledger import Ledger

from .codec import redeemed_token, shown_text, token_key, token_of
from .server import Elsewhere, Server, as_store_error

MOST_TOGETHER = 512  # presentations in one pipeline
MOST_WAITING = 10_000  # presentations that nobody has begun
MOST_REMEMBERED = 2_000  # successes of this process that a repeated presentation is recognised by

Waiting = tuple[Presentation, "asyncio.Future[tuple[int, Any]]"]


class Redeemer:
    """Redeems tokens of a server on behalf of a store, one pipeline after another."""

    def __init__(self, server: Server, behind: Store, ledger: Ledger) -> None:
        self._server = server
        self._behind = behind
        self._ledger = ledger
        self._queue: list[Waiting] = []
        self._authorized: OrderedDict[bytes, Redemption] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def redeem(self, shown: Presentation) -> Redemption:
        """Redeem a token, or say why not. What is returned is durable in the ledger. Raises ``StoreError``."""
        epoch, reply = await self._present(shown)
        if reply and reply[0] == 1:
            return await self._authorize(shown, epoch, reply[1])
        return await self._judge(shown, epoch, reply)

    async def close(self) -> None:
        """Finish the pipeline that is under way."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    # one pipeline after another

    async def _present(self, shown: Presentation) -> tuple[int, Any]:
        if len(self._queue) >= MOST_WAITING:
            raise StoreError("too many presentations wait for the hot store")
        future: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self._queue.append((shown, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="stepup-redis-redeemer")
        return await future

    async def _drain(self) -> None:
        try:
            await asyncio.sleep(0)  # who presents in the same turn of the loop comes along
            while self._queue:
                batch = [one for one in self._queue[:MOST_TOGETHER] if not one[1].done()]
                del self._queue[:MOST_TOGETHER]
                await self._run(batch)
        finally:
            self._task = None

    async def _run(self, batch: list[Waiting]) -> None:
        visit = self._server.visit
        try:
            try:
                epoch, replies = await self._attempt(batch)
            except Elsewhere:
                # what it consumed there counts for nothing: it was not authorized
                await self._server.locate(visit)
                epoch, replies = await self._attempt(batch)
        except BaseException as error:
            failure = error if isinstance(error, StoreError) else StoreError("the store is closed")
            for _, future in batch:
                if not future.done():
                    future.set_exception(failure)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(as_store_error(reply))
            else:
                future.set_result((epoch, reply))

    async def _attempt(self, batch: list[Waiting]) -> tuple[int, list[Any]]:
        epoch = self._server.epoch
        scripts = [
            self._server.script("redeem", [token_key(shown.reference)], shown_text(shown, epoch)) for shown, _ in batch
        ]
        return epoch, await self._server.run_each(scripts)

    # what follows

    async def _authorize(self, shown: Presentation, epoch: int, body: bytes) -> Redemption:
        """Let the ledger have the last word on a token that was consumed."""
        row = redeemed_token(shown, body)
        decision = await self._ledger.authorize_hot(shown, row, epoch=epoch)
        if decision.verdict is Verdict.REDEEMED:
            answer = Redemption(decision=decision, row=row)
            self._authorized[shown.attempt] = answer
            if len(self._authorized) > MOST_REMEMBERED:
                self._authorized.popitem(last=False)
            return answer
        reason = decision.revoke or "epoch"
        key = token_key(shown.reference)
        await self._server.run([self._server.script("revoke", [key], reason, shown.attempt.hex(), "")])
        issued = token_of(shown.reference, TokenState.ISSUED, body, None, None, None)
        return Redemption(decision=decision, row=issued)

    async def _judge(self, shown: Presentation, epoch: int, reply: Any) -> Redemption:
        """Say why the guard let a presentation down, and do what follows from it."""
        token = _row_of(shown, epoch, reply)
        if token is not None and token.state is TokenState.REDEEMED and token.attempt == shown.attempt:
            known = self._authorized.get(shown.attempt)
            if known is None:
                raise StoreError(
                    "this presentation consumed its token, and its authorization is not known to be logged"
                )
            # S04: the answer of this very presentation was lost on its way; its event is written
            return known
        decision = decide(token, shown, factor_live=token is None or await self._factor_lives(token))
        if decision.verdict is Verdict.REDEEMED:
            raise StoreError("the script and the decision table disagree on a token")
        key = token_key(shown.reference)
        if decision.revoke:
            await self._server.run([self._server.script("revoke", [key], decision.revoke, "", "")])
        replays = 0
        if decision.verdict is Verdict.REUSED and token is not None:
            (replays,) = await self._server.run([self._server.script("replay", [key])])
            token = replace(token, replays=replays)
            if not worth_logging(replays):
                return Redemption(decision=decision, row=token)
        await self._behind.append([presentation_event(shown, decision, token, replays=replays)])
        return Redemption(decision=decision, row=token)

    async def _factor_lives(self, token: IssuedToken) -> bool:
        factors = await self._behind.list_factors(token.workspace_id, token.subject_id)
        return any(factor.id == token.factor_id for factor in factors)


def _row_of(shown: Presentation, epoch: int, reply: Any) -> IssuedToken | None:
    """Return the token of a refused presentation as ``core.decisions`` judges it."""
    if not reply:
        return None
    _, state, row_epoch, body, attempt, redeemed, replays = reply
    token = token_of(shown.reference, TokenState(state.decode()), body, attempt, redeemed, replays)
    # what this very presentation consumed before it learnt that the epoch was over was never authorized
    ours = token.state is TokenState.REDEEMED and token.attempt == shown.attempt
    if int(row_epoch) != epoch and (token.state is TokenState.ISSUED or ours):
        token = replace(token, state=TokenState.REVOKED)
    return token
