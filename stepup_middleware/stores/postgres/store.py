"""``PostgresStore``: the verbs of the contract, each handed to the writer or a reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Decision, IssuedToken, Presentation, Redemption, Verdict
from stepup_middleware.core.events import AuditEvent, AuditRecord
from stepup_middleware.core.factors import Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Asked, NoFactor, Prompt, StoredPrompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.authorized import aborted_event, make_ready
from stepup_middleware.stores.base import (
    Alert,
    AttemptLimit,
    AuditFilter,
    AuditPage,
    ChainStart,
    Enrolment,
    EventCounts,
    GrantRefused,
    Purged,
    SignedHead,
    Store,
    TokenGrant,
    TooMany,
)
from stepup_middleware.stores.rows import (
    chain_start_of,
    counts_of,
    enrolment_of,
    factor_of,
    head_of,
    policy_of,
    prompt_of,
    record_of,
)
from stepup_middleware.stores.waiting import Audience, Heard

from . import audit, factors, ledger, prompts, tokens
from .operations import Kind, Operation
from .parameters import shown_row, storable
from .transaction import Transaction


class PostgresStore(Store):
    """The store for several nodes: one PostgreSQL database (13 or newer), reached through asyncpg.

    ``dsn`` is a libpq connection string or URL; further keyword arguments go to ``asyncpg.connect`` (``ssl``,
    ``password``, …). ``timeout`` bounds every call: what is answered later raises ``StoreTimeoutError``, and
    may still take effect. ``statement_cache_size=0`` is for a pooler in transaction mode that does not know
    prepared statements.

    The tables live in the schema ``stepup``, made and migrated by ``start``. A role that shall not be able to
    change the audit log gets the rights of ``schema/grants.sql`` and runs on a schema that its owner migrated.

    A restart of the server, a failover, a recovery from an archive, a dump read back and a data directory put
    back end all tokens that were outstanding: that costs one more prompt. After restoring a snapshot of a
    machine together with its memory, call ``revoke_all``.

    Raises ``ConfigurationError`` when asyncpg is not installed or an argument cannot be used.
    """

    def __init__(
        self,
        dsn: str,
        *,
        timeout: timedelta = timedelta(seconds=2),
        statement_cache_size: int = 200,
        **options: Any,
    ) -> None:
        if timeout <= timedelta(0):
            raise ConfigurationError("the store's timeout must be positive")
        if statement_cache_size < 0:
            raise ConfigurationError("statement_cache_size must not be negative")
        try:
            from .engine import Engine
        except ModuleNotFoundError as error:
            raise ConfigurationError("PostgresStore needs asyncpg: install stepup-middleware[postgres]") from error
        self._audience = Audience()
        self._engine = Engine(
            dsn,
            self._audience,
            seconds=timeout.total_seconds(),
            statement_cache_size=statement_cache_size,
            options=options,
        )
        self._write = self._engine.write
        self._read = self._engine.database

    async def start(self) -> None:
        await self._engine.start()

    async def close(self) -> None:
        await self._engine.close()

    # prompts and ceremonies

    async def ask(self, asked: Asked, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        answer: Prompt | NoFactor | TooMany = await self._engine.perform(Operation(Kind.ASK, (asked, open_limit)))
        return answer

    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        row = await self._read.row("get_prompt", prompt_id, to_micros(now)) if storable(prompt_id) else None
        return None if row is None else prompt_of(row)

    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        if not storable(prompt_id):
            return False
        return await self._write(lambda transaction: prompts.set_challenge(transaction, prompt_id, challenge, now))

    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        if not storable(prompt_id):
            return None
        return await self._write(lambda transaction: prompts.pop_challenge(transaction, prompt_id, now))

    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        return await self._write(
            lambda transaction: prompts.reserve_attempt(transaction, workspace_id, subject_id, bucket, limit, now)
        )

    async def issue_token(self, grant: TokenGrant) -> TokenReference | GrantRefused:
        answer: TokenReference | GrantRefused = await self._engine.perform(Operation(Kind.ISSUE, grant))
        return answer

    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent, now: datetime) -> bool:
        if not storable(prompt_id):
            return False
        return await self._write(lambda transaction: prompts.cancel(transaction, prompt_id, event, now))

    # redemption

    async def redeem(self, shown: Presentation) -> Redemption:
        def late(answer: Redemption) -> None:
            if answer.decision.verdict is Verdict.REDEEMED and answer.row is not None:
                self._engine.append_soon(aborted_event(shown, answer.row))

        answer: Redemption = await self._engine.perform(
            Operation(Kind.REDEEM, make_ready(shown, shown_row(shown)), late)
        )
        return answer

    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        await self._write(lambda transaction: tokens.revoke_session(transaction, workspace_id, subject_id, session))

    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        await self._write(lambda transaction: tokens.revoke_all(transaction, event))

    # for a hot store before this one: see stores/ledger.py

    async def hot_epoch(self) -> tuple[int, str]:
        """Return the current epoch, and the place of the hot server that serves it."""
        row = await self._read.row("read_hot")
        if row is None:
            raise StoreError("the schema of the store is incomplete")
        return row[0], row[1]

    async def begin_hot_epoch(self, place: str, *, after: int) -> tuple[int, str]:
        """Begin the epoch after ``after`` at a place, unless somebody was faster. Returns the current one."""
        return await self._write(lambda transaction: ledger.begin(transaction, place, after))

    async def ask_hot(self, asked: Asked, *, epoch: int) -> Prompt | NoFactor | None:
        """Decide a prompt from policy and factors and write its events. None: the epoch is over."""
        return await self._write(lambda transaction: ledger.ask(transaction, asked, epoch))

    async def prove_hot(self, grant: TokenGrant, *, epoch: int) -> GrantRefused | None:
        """Check and advance the factor behind a grant, clear its bucket and write its event, or say why not.

        An epoch that is over is a closed prompt.
        """
        return await self._write(lambda transaction: ledger.prove(transaction, grant, epoch))

    async def authorize_hot(
        self, redeemed: Sequence[tuple[Presentation, IssuedToken]], *, epoch: int
    ) -> Sequence[Decision]:
        """Write ``ACTION_AUTHORIZED`` for each token that was redeemed elsewhere, or the refusal and why."""
        batch = [(make_ready(shown), row) for shown, row in redeemed]
        answer: Sequence[Decision] = await self._engine.perform(Operation(Kind.AUTHORIZE, (batch, epoch)))
        return answer

    # audit

    async def append(self, events: Sequence[AuditEvent]) -> None:
        async def run(transaction: Transaction) -> None:
            for event in events:
                transaction.append(event)

        await self._write(run)

    def append_soon(self, event: AuditEvent) -> None:
        self._engine.append_soon(event)

    def subscribe(self, heard: Heard) -> None:
        self._audience.subscribe(heard)

    async def audit_page(
        self, workspace_id: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> AuditPage:
        text, parameters = audit.query(workspace_id, wanted, first=None, end=before, newest_first=True, limit=limit + 1)
        found = [record_of(row) for row in await self._read.fetch(text, *parameters)]
        shown = tuple(found[:limit])
        return AuditPage(events=shown, next=shown[-1].seq if len(found) > limit and shown else None)

    async def count_events(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        last = await self._engine.settled()
        if not storable(workspace_id):
            return counts_of((), last)
        end = None if until is None else to_micros(until)
        return counts_of(await self._read.rows("count_events", workspace_id, to_micros(since), end, last), last)

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        text, parameters = audit.query(
            workspace_id, wanted, first=after + 1, end=await self._engine.settled() + 1, newest_first=False, limit=limit
        )
        return tuple(record_of(row) for row in await self._read.fetch(text, *parameters))

    async def last_seq(self) -> int:
        return await self._engine.last_seq()

    async def audit_segment(self, chain: str, first: int, last: int) -> tuple[AuditRecord, ...]:
        return tuple(record_of(row) for row in await self._read.rows("segment", chain, first, last))

    async def chain_heads(self) -> tuple[AuditRecord, ...]:
        return tuple(record_of(row) for row in await self._read.rows("chain_heads"))

    async def chain_starts(self) -> tuple[ChainStart, ...]:
        return tuple(chain_start_of(row) for row in await self._read.rows("chain_starts"))

    async def add_head(self, head: SignedHead) -> None:
        row = (head.chain, head.link, head.hash, to_micros(head.at), head.key_id, head.signature)
        await self._write(lambda transaction: transaction.changed("add_head", *row))

    async def heads(self, chain: str, *, from_link: int = 0, limit: int = 100) -> tuple[SignedHead, ...]:
        return tuple(head_of(row) for row in await self._read.rows("heads", chain, from_link, limit))

    async def signed_chains(self) -> tuple[str, ...]:
        return tuple(chain for (chain,) in await self._read.rows("signed_chains"))

    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        await self._engine.wait(after, seconds)

    async def purge(self, *, now: datetime, limit: int, vouched: bool = False) -> Purged:
        return await self._engine.apart(lambda transaction: audit.purge(transaction, now, limit, vouched=vouched))

    async def claim_alerts(self, *, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
        return await self._write(lambda transaction: audit.claim_alerts(transaction, now, until, limit))

    async def settle_alert(self, seq: int, *, had: Sequence[str], over: bool) -> None:
        await self._write(lambda transaction: audit.settle_alert(transaction, seq, had, over=over))

    # policy

    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        return policy_of(await self._read.rows("read_policy", workspace_id))

    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        return await self._write(lambda transaction: factors.set_policy(transaction, workspace_id, changes, events))

    # factors

    async def list_factors(self, workspace_id: str, subject_id: str) -> tuple[Factor, ...]:
        return tuple(factor_of(row) for row in await self._read.rows("list_factors", workspace_id, subject_id))

    async def user_handle(self, workspace_id: str, subject_id: str, *, fresh: bytes) -> bytes:
        return await self._write(lambda transaction: factors.user_handle(transaction, workspace_id, subject_id, fresh))

    async def begin_enrolment(self, enrolment: Enrolment, *, now: datetime) -> None:
        await self._write(lambda transaction: factors.begin_enrolment(transaction, enrolment))

    async def pop_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str | None, now: datetime
    ) -> Enrolment | None:
        if not storable(id):
            return None
        key = (workspace_id, subject_id, session, kind.value, to_micros(now), id)
        row = await self._write(lambda transaction: transaction.row("pop_enrolment", *key))
        return None if row is None else enrolment_of(workspace_id, subject_id, session, kind, row)

    async def get_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str, now: datetime
    ) -> Enrolment | None:
        if not storable(id):
            return None
        row = await self._read.row("read_enrolment", workspace_id, subject_id, session, kind.value, to_micros(now), id)
        return None if row is None else enrolment_of(workspace_id, subject_id, session, kind, row)

    async def add_webauthn_factor(
        self, workspace_id: str, subject_id: str, factor: WebAuthnFactor, *, event: AuditEvent, first: bool = False
    ) -> bool:
        return await self._write(
            lambda transaction: factors.add_webauthn_factor(
                transaction, workspace_id, subject_id, factor, event, first=first
            )
        )

    async def add_totp_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: TOTPFactor,
        *,
        enrolment_id: str,
        event: AuditEvent,
        first: bool = False,
    ) -> bool:
        return await self._write(
            lambda transaction: factors.add_totp_factor(
                transaction, workspace_id, subject_id, factor, enrolment_id, event, first=first
            )
        )

    async def rename_factor(self, workspace_id: str, subject_id: str, factor_id: str, name: str) -> bool:
        if not storable(factor_id):
            return False
        key = (name, factor_id, workspace_id, subject_id)
        return await self._write(lambda transaction: transaction.changed("rename_factor", *key)) == 1

    async def remove_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor_id: str,
        *,
        event: AuditEvent,
        now: datetime,
        only_spare: bool = False,
    ) -> bool:
        if not storable(factor_id):
            return False
        return await self._write(
            lambda transaction: factors.remove_factor(
                transaction, workspace_id, subject_id, factor_id, event, only_spare=only_spare
            )
        )

    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        row = await self._read.row("read_last_step", workspace_id, subject_id)
        return 0 if row is None else int(row[0])

    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        key = (workspace_id, subject_id, step)
        return await self._write(lambda transaction: transaction.changed("advance_step", *key)) == 1

    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Callable[[bytes], bytes]) -> str | None:
        return await self._write(lambda transaction: factors.reencrypt(transaction, limit, after, rewrite))
