"""``SQLApprovals``: the verbs of approvals, each handed to the writer or a reader of a driver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.approvals import (
    Approval,
    ApprovalChange,
    ApprovalEnd,
    ApprovalMark,
    ApprovalNews,
    ApprovalRefused,
    Decider,
)
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.approval_rows import APPROVALS, approval_of
from stepup_middleware.stores.approvals import ApprovalRecords
from stepup_middleware.stores.rows import Row

from . import approvals
from .engine import Engine


class SQLApprovals(ApprovalRecords):
    """The verbs of approvals over the engine of one database."""

    _engine: Engine

    def _counted(self, rows: Sequence[Row]) -> tuple[Approval, ...]:
        """Return the approvals of rows that are as this installation wrote them, and tell of the others."""
        macs = self._engine.macs
        holds = [macs is None or APPROVALS.holds(macs, row) for row in rows]
        self._engine.met([approvals.tampered_approval(row) for row, ours in zip(rows, holds, strict=True) if not ours])
        return tuple(approval_of(row) for row, ours in zip(rows, holds, strict=True) if ours)

    async def ask_approval(self, new: Approval, *, event: AuditEvent, now: datetime) -> ApprovalRefused | None:
        return await self._engine.write(lambda transaction: approvals.ask(transaction, new, event, now))

    async def get_approval(self, prompt_id: str) -> Approval | None:
        if not self._engine.storable(prompt_id):
            return None
        row = await self._engine.state.fetch_one("get_approval", prompt_id)
        return next(iter(self._counted([] if row is None else [row])), None)

    async def approvals_by_code(self, code: bytes) -> tuple[Approval, ...]:
        return self._counted(await self._engine.state.fetch_all("approvals_by_code", code))

    async def waiting_approvals(self, workspace_id: str, subject_id: str, *, now: datetime) -> tuple[Approval, ...]:
        rows = await self._engine.state.fetch_all("waiting_approvals", workspace_id, subject_id, to_micros(now))
        return self._counted(rows)

    async def decided_approvals(self, workspace_id: str, subject_id: str, *, after: datetime) -> tuple[Approval, ...]:
        rows = await self._engine.state.fetch_all("decided_approvals", workspace_id, subject_id, to_micros(after))
        return self._counted(rows)

    async def match_approval(
        self, prompt_id: str, digits: str, *, decider: Decider, wrong: AuditEvent, denied: AuditEvent, now: datetime
    ) -> Approval | None:
        if not self._engine.storable(prompt_id):
            return None
        return await self._engine.write(
            lambda transaction: approvals.match(transaction, prompt_id, digits, decider, wrong, denied, now)
        )

    async def end_approval(self, prompt_id: str, end: ApprovalEnd, *, event: AuditEvent | None) -> bool:
        if not self._engine.storable(prompt_id):
            return False
        return await self._engine.write(lambda transaction: approvals.end(transaction, prompt_id, end, event))

    async def end_approvals_of_session(
        self, workspace_id: str, subject_id: str, session: str, end: ApprovalEnd
    ) -> None:
        await self._engine.write(
            lambda transaction: approvals.end_all(transaction, workspace_id, subject_id, session, end)
        )

    async def approval_news(self, *, after: ApprovalMark | None, limit: int) -> ApprovalNews:
        known, most = (0, 0) if after is None else (after.number, limit)
        rows = await self._engine.state.fetch_all("approval_news", known, most)
        if not rows:
            raise StoreError("the schema of the store is incomplete")
        epoch, last = rows[0][:2]
        if after is None or epoch != after.epoch:
            return ApprovalNews(ApprovalMark(epoch, last))
        changes = tuple(ApprovalChange(*row[2:]) for row in rows if row[2] is not None)
        return ApprovalNews(ApprovalMark(epoch, changes[-1].number if len(changes) == limit else last), changes)
