"""``SQLiteStore``: the verbs of the contract, each handed to the writer or a reader."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Decision, IssuedToken, Presentation, Redemption, Verdict
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Asked, NoFactor, Prompt, StoredPrompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.stores.authorized import aborted_event, make_ready
from stepup_middleware.stores.base import (
    Alert,
    AttemptLimit,
    AuditFilter,
    AuditPage,
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
    enrolment_of,
    factor_of,
    policy_of,
    prompt_of,
)
from stepup_middleware.stores.waiting import Heard

from . import audit, factors, ledger, policies, prompts, tokens
from .counting import count_events
from .engine import Engine
from .operations import Operation
from .reading import SQLiteLogReader
from .shown import shown_row
from .transaction import Transaction
from .walk import walk

_POLL_SECONDS = 0.2  # how often another process's records are looked for


class SQLiteStore(SQLiteLogReader, Store):
    """The embedded store: one SQLite file for all processes of one machine.

    ``path`` is the database file; it is created with mode 0600 in a folder that exists, and has the side
    files ``-wal``, ``-shm``, ``-turn`` and ``-fence``. ``timeout`` bounds every call: what is answered
    later raises ``StoreTimeoutError``, and the writer may still complete what it had begun.

    A copy of the file that is put back ends all tokens of that copy, provided that ``-fence`` was not put
    back with it. After restoring a whole disk, call ``revoke_all``.

    Raises ``ConfigurationError`` for a database in memory, which no two processes can share.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=2)) -> None:
        text = os.fspath(path)
        if not text or text.startswith((":memory:", "file:")):
            raise ConfigurationError("SQLiteStore needs the path of a file: memory is lost and cannot be shared")
        if timeout <= timedelta(0):
            raise ConfigurationError("the store's timeout must be positive")
        self._engine = Engine(Path(text).absolute(), timeout)
        self._write = self._engine.write
        self._sql = self._engine.sql
        self._state = self._engine.state
        self._log = self._engine.log

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._engine.path)!r})"

    async def start(self) -> None:
        await self._engine.start()

    async def close(self) -> None:
        await self._engine.close()

    # prompts and ceremonies

    async def ask(self, asked: Asked, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        operation = Operation(together=prompts.ask_all, entry=(asked, open_limit))
        answer: Prompt | NoFactor | TooMany = await self._engine.perform(operation)
        return answer

    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        row = await self._state.row(self._sql["get_prompt"], (prompt_id, to_micros(now)))
        return None if row is None else prompt_of(row)

    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        return await self._write(lambda transaction: prompts.set_challenge(transaction, prompt_id, challenge, now))

    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        return await self._write(lambda transaction: prompts.pop_challenge(transaction, prompt_id, now))

    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        return await self._write(
            lambda transaction: prompts.reserve_attempt(transaction, workspace_id, subject_id, bucket, limit, now)
        )

    async def issue_token(self, grant: TokenGrant) -> TokenReference | GrantRefused:
        return await self._write(lambda transaction: tokens.issue(transaction, grant))

    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent, now: datetime) -> bool:
        return await self._write(lambda transaction: prompts.cancel(transaction, prompt_id, event, now))

    # redemption

    async def redeem(self, shown: Presentation) -> Redemption:
        def late(answer: Any) -> None:
            redemption = tokens.redemption_of(shown, answer)
            if redemption.decision.verdict is Verdict.REDEEMED and redemption.row is not None:
                self._engine.append_soon(aborted_event(shown, redemption.row))

        operation = Operation(together=tokens.redeem_all, entry=make_ready(shown, shown_row(shown)), late=late)
        return tokens.redemption_of(shown, await self._engine.perform(operation))

    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        await self._write(lambda transaction: tokens.revoke_session(transaction, workspace_id, subject_id, session))

    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        await self._write(lambda transaction: tokens.revoke_all(transaction, event))

    # for a hot store before this one: see stores/ledger.py

    async def hot_epoch(self) -> tuple[int, str]:
        """Return the current epoch, and the place of the hot server that serves it."""
        return await self._write(ledger.read)

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
        return await self._write(lambda transaction: ledger.authorize(transaction, batch, epoch))

    # audit

    async def append(self, events: Sequence[AuditEvent]) -> None:
        def run(transaction: Transaction) -> None:
            for event in events:
                transaction.append(event)

        await self._write(run)

    def append_soon(self, event: AuditEvent) -> None:
        self._engine.append_soon(event)

    def subscribe(self, heard: Heard) -> None:
        self._engine.audience.subscribe(heard)

    async def audit_page(
        self, workspace_id: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> AuditPage:
        found = await walk(self._log, workspace_id, wanted, end=before, newest_first=True, limit=limit + 1)
        shown = found[:limit]
        return AuditPage(events=shown, next=shown[-1].seq if len(found) > limit and shown else None)

    async def count_events(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        return await count_events(self._log, self._sql, workspace_id, since, until)

    async def add_head(self, head: SignedHead) -> None:
        row = (head.chain, head.link, head.hash, to_micros(head.at), head.key_id, head.signature)

        def run(transaction: Transaction) -> None:
            transaction.run("add_head", row)

        await self._write(run)

    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while await self.last_seq() <= after and (left := end - loop.time()) > 0:
            await self._engine.audience.wait(min(left, _POLL_SECONDS))

    async def purge(self, *, now: datetime, limit: int, vouched: bool = False) -> Purged:
        return await self._write(lambda transaction: audit.purge(transaction, now, limit, vouched=vouched))

    async def claim_alerts(self, *, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
        return await self._write(lambda transaction: audit.claim_alerts(transaction, now, until, limit))

    async def settle_alert(self, seq: int, *, had: Sequence[str], over: bool) -> None:
        await self._write(lambda transaction: audit.settle_alert(transaction, seq, had, over=over))

    # policy

    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        rows = await self._state.rows(self._sql["read_policy_with_version"], (workspace_id,))
        return policy_of(rows)

    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        return await self._write(lambda transaction: policies.set_policy(transaction, workspace_id, changes, events))

    # factors

    async def list_factors(self, workspace_id: str, subject_id: str) -> tuple[Factor, ...]:
        rows = await self._state.rows(self._sql["list_factors"], (workspace_id, subject_id))
        return tuple(factor_of(row) for row in rows)

    async def user_handle(self, workspace_id: str, subject_id: str, *, fresh: bytes) -> bytes:
        return await self._write(lambda transaction: factors.user_handle(transaction, workspace_id, subject_id, fresh))

    async def begin_enrolment(self, enrolment: Enrolment, *, now: datetime) -> None:
        await self._write(lambda transaction: factors.begin_enrolment(transaction, enrolment))

    async def pop_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str | None, now: datetime
    ) -> Enrolment | None:
        return await self._write(
            lambda transaction: factors.pop_enrolment(transaction, workspace_id, subject_id, session, kind, id, now)
        )

    async def get_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str, now: datetime
    ) -> Enrolment | None:
        key = factors.enrolment_key(workspace_id, subject_id, session, kind, id, now)
        row = await self._state.row(self._sql["read_enrolment"], key)
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
        return await self._write(
            lambda transaction: bool(transaction.changed("rename_factor", (name, factor_id, workspace_id, subject_id)))
        )

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
        return await self._write(
            lambda transaction: factors.remove_factor(
                transaction, workspace_id, subject_id, factor_id, event, only_spare=only_spare
            )
        )

    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        row = await self._state.row(self._sql["read_last_step"], (workspace_id, subject_id))
        return 0 if row is None else row[0]

    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        return await self._write(
            lambda transaction: bool(transaction.changed("advance_step", (workspace_id, subject_id, step)))
        )

    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Callable[[bytes], bytes]) -> str | None:
        return await self._write(lambda transaction: factors.reencrypt(transaction, limit, after, rewrite))
