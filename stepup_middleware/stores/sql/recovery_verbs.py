"""``SQLRecovery``: the verbs of recovery and of people, each handed to the writer or a reader of a driver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.proof import Proof
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
from stepup_middleware.log.records import RowKind
from stepup_middleware.stores.recovery import RecoveryRecords
from stepup_middleware.stores.recovery_rows import PEOPLE, cursor_of, hold_of, like, person_of, place_of
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import Tampered

from . import recovery
from .engine import Engine
from .standing import PASS, RECOVERY_CODES, REQUEST, RIGHT, StandingTable, by_person
from .transaction import Value

T = TypeVar("T")


class SQLRecovery(RecoveryRecords):
    """The verbs of recovery over the engine of one database."""

    _engine: Engine

    def _ours(self, kind: RowKind, row: Row | None) -> Row | None:
        """Return a row that is as this installation wrote it, and tell of one that is not."""
        macs = self._engine.macs
        if row is None or macs is None or kind.holds(macs, row):
            return row
        self._engine.met([Tampered(kind.table, f"{row[0]}/{row[1]}", str(row[0]), str(row[1]))])
        return None

    async def _read(self, table: StandingTable[T], workspace_id: str, subject_id: str) -> T | None:
        if not self._engine.storable(workspace_id, subject_id):
            return None
        return self._judge(table, await self._engine.state.fetch_all(table.statement, workspace_id, subject_id))

    def _judge(self, table: StandingTable[T], rows: Sequence[Row]) -> T | None:
        """Return what counts of a row, and tell of one that does not."""
        value, tampered = table.judge(self._engine.macs, rows)
        if tampered is not None:
            self._engine.met([tampered])
        return value

    async def issue_pass(self, new: EnrolmentPass, *, event: AuditEvent, proof: Proof | None = None) -> bool:
        return await self._engine.write(lambda transaction: recovery.issue_pass(transaction, new, event, proof))

    async def open_pass(self, workspace_id: str, subject_id: str) -> EnrolmentPass | None:
        return await self._read(PASS, workspace_id, subject_id)

    async def take_pass(
        self, digest: bytes, *, right: EnrolmentRight, event: AuditEvent, now: datetime
    ) -> PassRefused | None:
        return await self._engine.write(lambda transaction: recovery.take_pass(transaction, digest, right, event, now))

    async def enrolment_right(self, workspace_id: str, subject_id: str) -> EnrolmentRight | None:
        return await self._read(RIGHT, workspace_id, subject_id)

    async def put_recovery_codes(self, codes: RecoveryCodes, *, event: AuditEvent) -> bool:
        return await self._engine.write(lambda transaction: recovery.put_codes(transaction, codes, event))

    async def recovery_codes(self, workspace_id: str, subject_id: str) -> RecoveryCodes | None:
        return await self._read(RECOVERY_CODES, workspace_id, subject_id)

    async def use_recovery_code(
        self, set_id: str, number: int, *, right: EnrolmentRight, hold: Hold | None, bucket: str, event: AuditEvent
    ) -> bool:
        return await self._engine.write(
            lambda transaction: recovery.use_code(transaction, set_id, number, right, hold, bucket, event)
        )

    async def hold_of(self, workspace_id: str, subject_id: str, *, now: datetime) -> Hold | None:
        row = await self._engine.state.fetch_one("read_hold", workspace_id, subject_id)
        return hold_of(workspace_id, subject_id, None if row is None else row[0], now)

    async def request_reset(self, request: ResetRequest, *, event: AuditEvent, proof: Proof | None = None) -> bool:
        return await self._engine.write(lambda transaction: recovery.request_reset(transaction, request, event, proof))

    async def reset_requests(self, workspace_id: str, *, now: datetime) -> tuple[ResetRequest, ...]:
        rows = await self._engine.state.fetch_all(REQUEST.statement, workspace_id, to_micros(now))
        found = [self._judge(REQUEST, each) for each in by_person(rows)]
        return tuple(request for request in found if request is not None)

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
