"""Redemption: presentations of one moment share a pipeline, and each counts once the records behind authorized it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from typing import Any

from stepup_middleware.core import replays
from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.decisions import (
    Decision,
    Presentation,
    Redemption,
    TokenRow,
    TokenState,
    Verdict,
    decide,
)
from stepup_middleware.core.events import EventName
from stepup_middleware.core.presentations import presentation_events
from stepup_middleware.core.replays import NONE, Replay, Replays, presenter_digest
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.authorized import aborted_event
from stepup_middleware.stores.deadlines import Deadlines
from stepup_middleware.stores.epoch_store import EpochStore
from stepup_middleware.stores.sealing import tampered_token

from .codec import redeemed_token, shown_arguments, token_holds, token_key, token_of
from .node import Elsewhere, as_store_error
from .server import RedisServer

MOST_TOGETHER = 512  # presentations in one pipeline
_LOOK_AGAIN_SECONDS = 0.02  # whether a token that was consumed is in the log by now
LEAST_APART = 32  # fewer presentations are not divided
MOST_WAITING = 10_000  # presentations that nobody has begun
MOST_REMEMBERED = 2_000  # successes of this process that a repeated presentation is recognised by

Waiting = tuple[Presentation, "asyncio.Future[Redemption]"]


class Redeemer:
    """Redeems tokens of a server on behalf of a store, one pipeline after another.

    All tokens that a pipeline consumed are authorized by the records behind in one transaction, while the next runs.
    """

    def __init__(self, server: RedisServer, behind: EpochStore, *, seconds: float) -> None:
        self._server = server
        self._behind = behind
        self._seconds = seconds
        self._deadlines: Deadlines | None = None
        self._queue: list[Waiting] = []
        self._authorized: OrderedDict[bytes, Redemption] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._finishing: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many presentations nobody has begun."""
        return len(self._queue)

    async def redeem(self, shown: Presentation) -> Redemption:
        """Redeem a token, or say why not. The result is durable in the records. Raises ``StoreError``."""
        if len(self._queue) >= MOST_WAITING:
            raise StoreError("too many presentations wait for the hot store")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Redemption] = loop.create_future()
        self._queue.append((shown, future))
        if self._deadlines is None:
            self._deadlines = Deadlines(loop, self._seconds)
        self._deadlines.watch(future)
        if self._task is None:
            self._task = loop.create_task(self._drain(), name="stepup-redis-redeemer")
        try:
            return await future
        except asyncio.CancelledError:
            # the answer may have come in the same moment as the cancellation
            if future.done() and not future.cancelled() and future.exception() is None:
                self._tell_late(shown, future.result())
            raise

    def _answer(self, one: Waiting, answer: Redemption | Exception) -> None:
        shown, future = one
        if future.done():
            if isinstance(answer, Redemption):
                self._tell_late(shown, answer)
        elif isinstance(answer, Exception):
            future.set_exception(as_store_error(answer))
        else:
            future.set_result(answer)

    def _tell_late(self, shown: Presentation, answer: Redemption) -> None:
        """Log a redemption that nobody waited for any more: the action did not run (X04)."""
        if answer.decision.verdict is Verdict.REDEEMED and answer.row is not None:
            self._behind.append_soon(aborted_event(shown, answer.row))

    async def close(self) -> None:
        """Finish what is under way."""
        while tasks := [*self._finishing, *([self._task] if self._task else [])]:
            await asyncio.wait(tasks)
        if self._deadlines is not None:
            self._deadlines.close()

    # one pipeline after another

    async def _drain(self) -> None:
        try:
            await asyncio.sleep(0)  # presentations of the same iteration of the event loop come along
            while self._queue:
                # a presentation that was cancelled or timed out before it was begun never happens
                most = self._share()
                batch = [one for one in self._queue[:most] if not one[1].done()]
                del self._queue[:most]
                await self._run(batch)
        finally:
            self._task = None

    def _share(self) -> int:
        """Return how many to take: all, or the half if the records have nothing to do, so that both work at once."""
        waiting = len(self._queue)
        return min(MOST_TOGETHER, waiting if self._finishing or waiting < LEAST_APART else (waiting + 1) // 2)

    async def _run(self, batch: list[Waiting]) -> None:
        visit, left = self._server.visit, batch
        try:
            left = [one for one, _ in await self._attempt(left)]
            if left:
                # tokens that a lost server consumed do not count: they were not authorized
                await self._server.locate(visit)
                for one, fault in await self._attempt(left):
                    self._answer(one, fault)
        except BaseException as error:
            for one in left:
                self._answer(one, error if isinstance(error, StoreError) else StoreError("the store is closed"))
            if not isinstance(error, Exception):
                raise

    async def _attempt(self, batch: list[Waiting]) -> list[tuple[Waiting, Elsewhere]]:
        """Run the script for each; return those whose server is lost or not of the epoch, while the rest goes on."""
        epoch = self._server.epoch
        scripts = [
            self._server.script("redeem", [token_key(shown.reference)], *shown_arguments(shown, epoch))
            for shown, _ in batch
        ]
        lost: list[tuple[Waiting, Elsewhere]] = []
        there: list[tuple[Waiting, Any]] = []
        for one, reply in zip(batch, await self._server.run_each(scripts), strict=True):
            if isinstance(reply, Elsewhere):
                lost.append((one, reply))
            else:
                there.append((one, reply))
        if there:
            task = asyncio.create_task(self._finish(there, epoch), name="stepup-redis-authorizing")
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)
        return lost

    # what follows

    async def _finish(self, batch: list[tuple[Waiting, Any]], epoch: int) -> None:
        """Authorize what was consumed, and say of the rest why not."""
        consumed: list[tuple[Waiting, bytes]] = []
        rest = []
        for one, reply in batch:
            if isinstance(reply, Exception):
                self._answer(one, reply)
            elif reply and reply[0] == 1:
                consumed.append((one, reply[1]))
            else:
                rest.append(self._explain(one, epoch, reply))
        ours = [each for each in consumed if token_holds(self._behind.row_macs, each[0][0].reference, epoch, each[1])]
        if ours:
            rest.append(self._authorize(ours, epoch))
        rest += [self._explain(one, epoch, ()) for one, body in consumed if (one, body) not in ours]
        await asyncio.gather(*rest)

    async def _authorize(self, consumed: list[tuple[Waiting, bytes]], epoch: int) -> None:
        """Let the records decide on tokens that were consumed."""
        refused: list[tuple[Waiting, bytes, Decision]] = []
        try:
            rows = [(shown, redeemed_token(shown, body)) for (shown, _), body in consumed]
            decisions = await self._behind.authorize_for_hot_store(rows, epoch=epoch)
            for (one, body), (shown, row), decision in zip(consumed, rows, decisions, strict=True):
                if decision.verdict is not Verdict.REDEEMED:
                    refused.append((one, body, decision))
                    continue
                answer = Redemption(decision=decision, row=row)
                self._authorized[shown.attempt] = answer
                if len(self._authorized) > MOST_REMEMBERED:
                    self._authorized.popitem(last=False)
                self._answer(one, answer)
            if refused:
                await self._revoke_consumed(refused)
        except BaseException as error:
            # S02: consumed and not known to be logged: the action does not run, and the records decide the next time
            for one, _ in consumed:
                self._answer(one, error if isinstance(error, Exception) else StoreError("the store is closed"))
            if not isinstance(error, Exception):
                raise

    async def _revoke_consumed(self, refused: list[tuple[Waiting, bytes, Decision]]) -> None:
        await self._server.run(
            [
                self._server.script(
                    "revoke", [token_key(shown.reference)], decision.revoke or "epoch", shown.attempt.hex(), ""
                )
                for (shown, _), _, decision in refused
            ]
        )
        for one, body, decision in refused:
            issued = token_of(one[0].reference, TokenState.ISSUED, body, None, None, NONE)
            self._answer(one, Redemption(decision=decision, row=issued))

    async def _explain(self, one: Waiting, epoch: int, reply: Any) -> None:
        try:
            self._answer(one, await self._judge(one[0], epoch, reply))
        except BaseException as error:
            self._answer(one, error if isinstance(error, Exception) else StoreError("the store is closed"))
            if not isinstance(error, Exception):
                raise

    async def _judge(self, shown: Presentation, epoch: int, reply: Any) -> Redemption:
        """Say why the guard refused a presentation, and do what follows from it."""
        token = _row_of(shown, epoch, reply, self._behind.row_macs)
        if token is None and reply != []:  # this installation did not mint it as it is
            self._behind.met([tampered_token(shown)])
        if token is not None and token.state is TokenState.REDEEMED and token.attempt == shown.attempt:
            known = self._authorized.get(shown.attempt)
            if known is None:
                raise StoreError(
                    "this presentation consumed its token, and its authorization is not known to be logged"
                )
            # S04: the answer of this very presentation was lost on its way; its event is written
            return known
        forsaken = token is not None and token.state is TokenState.REDEEMED and not await self._was_authorized(token)
        if token is not None and forsaken:
            lasts = int(reply[2]) == epoch
            token = replace(token, state=TokenState.ISSUED if lasts else TokenState.REVOKED, attempt=None)
        held = token is not None and await self._is_held(token, shown)
        decision = decide(token, shown, factor_live=token is None or await self._factor_lives(token), held=held)
        if decision.verdict is Verdict.REDEEMED:
            if token is None or not forsaken:
                raise StoreError("the script and the decision table disagree on a token")
            return await self._take_over(shown, token, epoch)
        key = token_key(shown.reference)
        if decision.revoke:
            await self._server.run([self._server.script("revoke", [key], decision.revoke, "", "")])
        replay = None
        if decision.verdict is Verdict.REUSED and token is not None:
            replay = await self._note_replay(key, shown)
            token = replace(token, replays=replay.after)
        if replay is None or replay.told:
            try:
                await self._behind.append(presentation_events(shown, decision, token, replay=replay))
            except BaseException:
                await self._forget_presenter(key, shown)
                raise
        return Redemption(decision=decision, row=token)

    async def _was_authorized(self, token: TokenRow) -> bool:
        """Whether the log has the action of a consumed token, or has it soon, for who consumed it may yet write it."""
        wanted = AuditFilter(event=EventName.ACTION_AUTHORIZED, prompt=token.prompt_id)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds / 2
        while not (await self._behind.audit_page(token.workspace_id, wanted, before=None, limit=1)).events:
            if loop.time() >= end:
                return False
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return True

    async def _take_over(self, shown: Presentation, token: TokenRow, epoch: int) -> Redemption:
        """Authorize a token whose process died, or could not write, between its script and the log.

        The records decide, as for each token: they have one ``ACTION_AUTHORIZED`` of it, whoever comes first.
        """
        (decision,) = await self._behind.authorize_for_hot_store([(shown, token)], epoch=epoch)
        answer = Redemption(decision=decision, row=token)
        if decision.verdict is Verdict.REDEEMED:
            self._authorized[shown.attempt] = answer
        return answer

    async def _note_replay(self, key: str, shown: Presentation) -> Replay:
        """Count a replay in the row; the script decides by the row of its moment, as ``Replays.and_of`` does."""
        presenter = presenter_digest(shown.workspace_id, shown.subject_id, shown.session, shown.ip)
        script = self._server.script("replay", [key], presenter, replays.MOST_REMEMBERED, replays.DIGEST_BYTES)
        ((count, presenters, new),) = await self._server.run([script])
        return Replay(Replays(count, presenters), new_presenter=bool(new))

    async def _forget_presenter(self, key: str, shown: Presentation) -> None:
        """Let a presenter whose replay could not be logged be a new one next time."""
        presenter = presenter_digest(shown.workspace_id, shown.subject_id, shown.session, shown.ip)
        with suppress(StoreError):
            await self._server.run([self._server.script("forget", [key], presenter, replays.DIGEST_BYTES)])

    async def _factor_lives(self, token: TokenRow) -> bool:
        factors = await self._behind.list_factors(token.workspace_id, token.subject_id)
        return any(factor.id == token.factor_id for factor in factors)

    async def _is_held(self, token: TokenRow, shown: Presentation) -> bool:
        hold = await self._behind.hold_of(token.workspace_id, token.subject_id, now=shown.now)
        return hold is not None


def _row_of(shown: Presentation, epoch: int, reply: Any, macs: RowMacs) -> TokenRow | None:
    """Return the token of a refused presentation as ``core.decisions`` judges it, None for one that does not count."""
    if not reply:
        return None
    _, state, row_epoch, body, attempt, redeemed, count, presenters = reply
    if not token_holds(macs, shown.reference, int(row_epoch), body):
        return None
    known = Replays(int(count or 0), presenters or b"")
    token = token_of(shown.reference, TokenState(state.decode()), body, attempt, redeemed, known)
    # a token that this very presentation consumed, before it learnt that the epoch was over, was never authorized
    ours = token.state is TokenState.REDEEMED and token.attempt == shown.attempt
    if int(row_epoch) != epoch and (token.state is TokenState.ISSUED or ours):
        token = replace(token, state=TokenState.REVOKED)
    return token
