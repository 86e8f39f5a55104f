"""``SQLRecovery``: the verbs of recovery and of people, each handed to the writer or a reader of a driver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.recovery import (
    EnrolmentPass,
    EnrolmentRight,
    FactorsReset,
    Hold,
    PassRefused,
    PeopleFilter,
    PeoplePage,
    Person,
    RecoveryCodes,
    ResetRequest,
)
from stepup_middleware.stores.recovery import RecoveryRecords
from stepup_middleware.stores.recovery_rows import (
    CODES,
    HOLDS,
    PASSES,
    PEOPLE,
    REQUESTS,
    RIGHTS,
    codes_of,
    cursor_of,
    hold_of,
    like,
    pass_of,
    person_of,
    place_of,
    request_of,
    right_of,
)
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import SealedTable, Tampered

from . import recovery
from .engine import Engine
from .transaction import Value


class SQLRecovery(RecoveryRecords):
    """The verbs of recovery over the engine of one database."""

    _engine: Engine

    def _ours(self, table: SealedTable, row: Row | None) -> Row | None:
        """Return a row that is as this installation wrote it, and tell of one that is not."""
        macs = self._engine.macs
        if row is None or macs is None or table.holds(macs, row):
            return row
        self._engine.met([Tampered(table.name, f"{row[0]}/{row[1]}", str(row[0]), str(row[1]))])
        return None

    async def _read(self, table: SealedTable, name: str, workspace_id: str, subject_id: str) -> Row | None:
        if not self._engine.storable(workspace_id, subject_id):
            return None
        return self._ours(table, await self._engine.state.fetch_one(name, workspace_id, subject_id))

    async def issue_pass(self, new: EnrolmentPass, *, event: AuditEvent) -> bool:
        return await self._engine.write(lambda transaction: recovery.issue_pass(transaction, new, event))

    async def open_pass(self, workspace_id: str, subject_id: str) -> EnrolmentPass | None:
        row = await self._read(PASSES, "last_pass", workspace_id, subject_id)
        return None if row is None else pass_of(row)

    async def take_pass(
        self, digest: bytes, *, right: EnrolmentRight, event: AuditEvent, now: datetime
    ) -> PassRefused | None:
        return await self._engine.write(lambda transaction: recovery.take_pass(transaction, digest, right, event, now))

    async def enrolment_right(self, workspace_id: str, subject_id: str) -> EnrolmentRight | None:
        row = await self._read(RIGHTS, "read_right", workspace_id, subject_id)
        return None if row is None else right_of(row)

    async def put_recovery_codes(self, codes: RecoveryCodes, *, event: AuditEvent) -> bool:
        return await self._engine.write(lambda transaction: recovery.put_codes(transaction, codes, event))

    async def recovery_codes(self, workspace_id: str, subject_id: str) -> RecoveryCodes | None:
        row = await self._read(CODES, "read_codes", workspace_id, subject_id)
        return None if row is None else codes_of(row)

    async def use_recovery_code(
        self, set_id: str, number: int, *, right: EnrolmentRight, hold: Hold | None, bucket: str, event: AuditEvent
    ) -> bool:
        return await self._engine.write(
            lambda transaction: recovery.use_code(transaction, set_id, number, right, hold, bucket, event)
        )

    async def hold_of(self, workspace_id: str, subject_id: str, *, now: datetime) -> Hold | None:
        row = await self._engine.state.fetch_one("read_hold", workspace_id, subject_id)
        self._ours(HOLDS, row)
        return hold_of(self._engine.macs, row, now)

    async def request_reset(self, request: ResetRequest, *, event: AuditEvent) -> None:
        await self._engine.write(lambda transaction: recovery.request_reset(transaction, request, event))

    async def reset_requests(self, workspace_id: str, *, now: datetime) -> tuple[ResetRequest, ...]:
        rows = await self._engine.state.fetch_all("read_requests", workspace_id, to_micros(now))
        return tuple(request_of(row) for row in rows if self._ours(REQUESTS, row) is not None)

    async def drop_reset_request(self, request: ResetRequest, *, event: AuditEvent) -> bool:
        return await self._engine.write(lambda transaction: recovery.drop_request(transaction, request, event))

    async def reset_factors_for_hot_store(
        self, wanted: FactorsReset, events: Sequence[AuditEvent], *, now: datetime
    ) -> bool:
        return await self._engine.write(lambda transaction: recovery.reset(transaction, wanted, events, now))

    async def note_person(self, workspace_id: str, person: Person) -> None:
        await self._engine.write(lambda transaction: recovery.note_person(transaction, workspace_id, person))

    async def get_person(self, workspace_id: str, subject_id: str) -> Person | None:
        if not self._engine.storable(subject_id):
            return None
        row = await self._engine.state.fetch_one("get_person", workspace_id, subject_id)
        self._ours(PEOPLE, row)
        return None if row is None else person_of(self._engine.macs, row)

    async def people(
        self, workspace_id: str, wanted: PeopleFilter, *, after: str | None = None, limit: int
    ) -> PeoplePage:
        sort, subject = place_of(after)
        if not self._engine.storable(wanted.text, sort, subject):
            return PeoplePage(people=(), next=None)
        rows = await self._engine.state.fetch_all("people", workspace_id, *_asked(wanted), sort, subject, limit + 1)
        shown = rows[:limit]
        for row in shown:
            self._ours(PEOPLE, row)
        return PeoplePage(
            people=tuple(person_of(self._engine.macs, row) for row in shown),
            next=cursor_of(shown[-1]) if len(rows) > limit and shown else None,
        )

    async def count_people(self, workspace_id: str, wanted: PeopleFilter) -> int:
        if not self._engine.storable(wanted.text):
            return 0
        row = await self._engine.state.fetch_one("count_people", workspace_id, *_asked(wanted))
        return 0 if row is None else int(row[0])


def _asked(wanted: PeopleFilter) -> tuple[Value, ...]:
    """Return the parameters of a filter."""
    lacking = -1 if wanted.lacking is None else wanted.lacking.strength
    return like(wanted.text), lacking, -1 if wanted.enrolled is None else int(wanted.enrolled)
