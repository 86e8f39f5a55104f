"""``SQLStore``: the verbs of the contract, each handed to the writer or a reader of a driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Self

from stepup_middleware.core.attempts import AttemptLimit, TooMany
from stepup_middleware.core.audit import AuditFilter, AuditPage, Backlog, Delivery, EventCounts, Load
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Decision, Presentation, Redemption, TokenRow, Verdict
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import NoFactor, Prompt, PromptRequest, StoredPrompt
from stepup_middleware.core.recovery import FactorsReset
from stepup_middleware.core.retention import DELIVERIES_LATE, Purged
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.core.topics import Topic
from stepup_middleware.errors import StoreError
from stepup_middleware.log.integrator import BATCH, SeenTree, Step, TreeState
from stepup_middleware.log.records import RowKind, RowMacs
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.stores.authorized import aborted_event, prepare_redemption
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.epoch_store import EpochStore
from stepup_middleware.stores.rows import Row, prompt_of
from stepup_middleware.stores.sealing import (
    PROMPTS,
    MissingKeys,
    Tampered,
    TamperTaker,
)
from stepup_middleware.stores.subscribers import Subscriber, Unwritten

from . import deliveries, epochs, factors, keys, policies, prompts, tokens
from .approval_verbs import SQLApprovals
from .engine import Engine
from .factor_verbs import SQLFactors
from .integration import Integrator, add_checkpoint, begin_log
from .operations import ASK, AUTHORIZE, ISSUE, REDEEM
from .purge import Purge
from .reading import SQLLog
from .recovery_verbs import SQLRecovery
from .transaction import Transaction

_END_SECONDS = 10.0  # for the end of all: it waits for what has begun, and goes before what has not


class SQLStore(SQLLog, SQLFactors, SQLRecovery, SQLApprovals, Store, EpochStore):
    """A store over the engine of one database. See the contract for what each verb does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = engine.state
        self._log = engine.log
        self._write = engine.write
        self._integrator = Integrator(engine.log)
        self._purge = Purge()

    def use(self, macs: RowMacs | None) -> Self:
        self._engine.macs = macs
        return self

    async def start(self) -> None:
        await self._engine.start()

    async def close(self) -> None:
        await self._engine.close()

    # prompts and ceremonies

    async def ask(self, asked: PromptRequest, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        return await self._engine.running().perform(ASK, (asked, open_limit))

    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        if not self._engine.storable(prompt_id):
            return None
        row = await self._state.fetch_one("get_prompt", prompt_id, to_micros(now))
        if row is None:
            return None
        *head, _, created_at, expires_at, body, mac = row  # all but the state, which the log tells
        if not self._holds(PROMPTS, (*head, created_at, expires_at, body, mac)):
            self._engine.met([Tampered("prompts", prompt_id, str(row[1]), str(row[2]))])
            return None
        return prompt_of(row)

    def _holds(self, kind: RowKind, row: Row) -> bool:
        """Tell whether a row counts, as far as this store can tell: one without MACs only reads."""
        macs = self._engine.macs
        return macs is None or kind.holds(macs, row)

    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        if not self._engine.storable(prompt_id):
            return False
        return await self._write(lambda transaction: prompts.set_challenge(transaction, prompt_id, challenge, now))

    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        if not self._engine.storable(prompt_id):
            return None
        return await self._write(lambda transaction: prompts.pop_challenge(transaction, prompt_id, now))

    async def issue_tokens(self, grants: Sequence[TokenGrant]) -> Sequence[TokenReference | GrantRefused]:
        return await self._engine.running().perform(ISSUE, tuple(grants))

    async def collect_token(self, reference: TokenReference, *, ttl: timedelta, now: datetime) -> datetime | None:
        return await self._write(lambda transaction: tokens.collect(transaction, reference, ttl, now))

    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent | None, now: datetime) -> bool:
        if not self._engine.storable(prompt_id):
            return False
        return await self._write(lambda transaction: prompts.cancel(transaction, prompt_id, event, now))

    async def reset_factors(self, wanted: FactorsReset, events: Sequence[AuditEvent], *, now: datetime) -> bool:
        return await self.reset_factors_for_hot_store(wanted, events, now=now)

    # redemption

    async def redeem(self, shown: Presentation) -> Redemption:
        def late(answer: tokens.Redeemed) -> None:
            redemption = tokens.redemption_of(shown, answer)
            if redemption.decision.verdict is Verdict.REDEEMED and redemption.row is not None:
                self._engine.append_soon(aborted_event(shown, redemption.row))

        prepared = prepare_redemption(shown, self._engine.presentation_row(shown))
        return tokens.redemption_of(shown, await self._engine.running().perform(REDEEM, prepared, late))

    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        await self._write(
            lambda transaction: tokens.revoke_session(transaction, workspace_id, subject_id, session, now)
        )

    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        await self.end_epoch_for_hot_store(event=event)

    # for a hot store before this one

    async def epoch_for_hot_store(self) -> tuple[int, str]:
        return await self._write(epochs.read)

    async def begin_epoch_for_hot_store(self, place: str, *, after: int) -> tuple[int, str]:
        return await self._write(lambda transaction: epochs.begin(transaction, place, after))

    async def end_epoch_for_hot_store(self, *, event: AuditEvent | None) -> None:
        await self._engine.write(lambda transaction: tokens.revoke_all(transaction, event), seconds=_END_SECONDS)

    async def ask_for_hot_store(self, asked: PromptRequest, *, epoch: int) -> Prompt | NoFactor | None:
        return await self._write(lambda transaction: epochs.ask(transaction, asked, epoch))

    async def prove_for_hot_store(
        self, grants: Sequence[tuple[TokenGrant, TokenReference]], *, epoch: int
    ) -> Sequence[GrantRefused | None]:
        return await self._write(lambda transaction: epochs.prove(transaction, grants, epoch))

    async def authorize_for_hot_store(
        self, redeemed: Sequence[tuple[Presentation, TokenRow]], *, epoch: int
    ) -> Sequence[Decision]:
        return await self._engine.running().perform(
            AUTHORIZE, ([(prepare_redemption(shown), row) for shown, row in redeemed], epoch)
        )

    # attempts and time-steps

    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        return await self._write(
            lambda transaction: prompts.reserve_attempt(transaction, workspace_id, subject_id, bucket, limit, now)
        )

    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        row = await self._state.fetch_one("read_last_step", workspace_id, subject_id)
        return 0 if row is None else int(row[0])

    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        return await self._write(
            lambda transaction: factors.advance_time_step(transaction, workspace_id, subject_id, step)
        )

    # audit

    async def append(self, events: Sequence[AuditEvent]) -> None:
        async def run(transaction: Transaction) -> None:
            for event in events:
                transaction.append(event)

        await self._write(run)

    async def probe(self) -> None:
        await self._write(lambda transaction: transaction.execute("probe"))

    async def backlog(self, *, now: datetime, limit: int) -> Backlog:
        leafless, since = await self._integrator.waiting(limit)
        late = await self._state.fetch_all("late_deliveries", to_micros(now - DELIVERIES_LATE), limit)
        return Backlog(
            leafless=leafless,
            since=None if since is None else from_micros(since),
            undelivered={Topic(topic): count for topic, count in late},
        )

    @property
    def load(self) -> Load:
        return self._engine.load

    def append_soon(self, event: AuditEvent) -> None:
        self._engine.append_soon(event)

    def on_unwritten(self, taker: Unwritten) -> None:
        self._engine.on_unwritten(taker)

    def subscribe(self, subscriber: Subscriber) -> None:
        self._engine.subscribe(subscriber)

    async def audit_page(
        self, workspace_id: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> AuditPage:
        found = await self._log.query(workspace_id, wanted, before=before, limit=limit + 1)
        shown = found[:limit]
        return AuditPage(events=shown, next=shown[-1].seq if len(found) > limit and shown else None)

    async def count_events(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        return await self._log.count_events(workspace_id, since, until)

    async def integrate(self, *, origin: str, seen: SeenTree, limit: int = BATCH) -> tuple[Step, SeenTree]:
        integrator = self._integrator
        settled = await integrator.look()
        if settled is None:
            return Step(), seen
        step, after, done = await self._write(
            lambda transaction: integrator.step(transaction, settled, origin=origin, seen=seen, limit=limit)
        )
        integrator.committed(step, done, limit)
        return step, after

    async def begin_log(self, origin: str, make: Callable[[TreeState | None], AuditEvent]) -> bool:
        return await self._write(lambda transaction: begin_log(transaction, origin, make))

    async def add_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        return await self._write(lambda transaction: add_checkpoint(transaction, checkpoint))

    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        await self._engine.wait(after, seconds)

    async def purge(self, *, now: datetime, limit: int, clock_confirmed: bool = False) -> Purged:
        return await self._engine.apart(
            lambda transaction: self._purge.step(transaction, now, limit, clock_confirmed=clock_confirmed)
        )

    async def claim_deliveries(
        self, topics: Sequence[Topic], *, now: datetime, until: datetime, limit: int
    ) -> tuple[Delivery, ...]:
        return await self._write(
            lambda transaction: deliveries.claim_deliveries(transaction, topics, now, until, limit)
        )

    async def settle_delivery(self, seq: int, topic: Topic, *, had: Sequence[str], over: bool) -> None:
        await self._write(lambda transaction: deliveries.settle_delivery(transaction, seq, topic, had, over=over))

    # policy

    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        found = policies.read_row(await self._state.fetch_one("read_policy", workspace_id))
        policy, tampered = policies.policy_of(self._engine.macs, workspace_id, *found)
        self._engine.met(tampered)
        return policy

    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        return await self._write(lambda transaction: policies.set_policy(transaction, workspace_id, changes, events))

    # keys and rows

    async def check_mac_keys(self) -> MissingKeys:
        return await self._write(keys.check)

    def on_tampering(self, taker: TamperTaker) -> None:
        self._engine.on_tampering(taker)

    def met(self, rows: Sequence[Tampered]) -> None:
        self._engine.met(rows)

    @property
    def row_macs(self) -> RowMacs:
        if self._engine.macs is None:
            raise StoreError("the store was given no MACs for its rows: call use(macs) before start")
        return self._engine.macs
