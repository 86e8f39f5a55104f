"""Judge the events of step-ups as they come in the order of a log, with a bounded memory of those before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import EventName
from stepup_middleware.core.findings import Check, LocatedRecord
from stepup_middleware.core.findings import Finding as CoreFinding
from stepup_middleware.core.proofs import SignatureHolds, check_proof
from stepup_middleware.core.retention import later_by_years
from stepup_middleware.core.sequence import check_events

from .findings import LogFinding, LogSummary, SparseBits
from .record import MISSHAPEN

T = TypeVar("T")
_REMEMBERED = 1000  # step-ups, and enrolments: others are looked up in the log
_FOUND = 500  # records of one prompt that are looked up
_A_STEP_UP = timedelta(days=2)  # within this time of one of its records those before it were written, and more
_SPINE = (EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.ACTION_AUTHORIZED, EventName.ACTION_COMPLETED)


@dataclass(frozen=True, slots=True)
class Placed:
    """A record with the place of its leaf, None while it has none."""

    record: AuditRecord
    index: tuple[int, int] | None

    @property
    def located(self) -> LocatedRecord:
        return LocatedRecord(where=f"seq {self.record.seq}", record=self.record)


class _Memory(Generic[T]):
    """A bounded mapping that forgets what was used least of late."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        return self._kept.get(key)

    def put(self, key: str, value: T) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)


class Lookup(Protocol):
    """Where records of the log are looked up that came before."""

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> Sequence[AuditRecord]:
        """Return records, oldest first, as ``AuditLog.audit_after`` does."""
        ...


class PromptJudge:
    """Judges each event with those of its step-up before it; what is still to come is not missing yet."""

    def __init__(
        self, log: Lookup, *, today: datetime, rp_id: str | None, holds: SignatureHolds, summary: LogSummary
    ) -> None:
        self._log = log
        self._today = today
        self._rp_id = rp_id
        self._holds = holds
        self._summary = summary
        self._prompts: _Memory[list[Placed]] = _Memory()
        self._enrolments: _Memory[AuditRecord] = _Memory()
        self._tokens = SparseBits()

    async def judge(self, placed: Placed) -> AsyncIterator[LogFinding]:
        """Yield what does not hold about an event and those before it."""
        record = placed.record
        if record.event is EventName.FACTOR_ENROLLED:
            known = await self._enrolment(record.workspace_id, record.subject_id, record.factor_id, record.seq)
            if known is not None:
                yield _finding(record, "factor_id", f"was enrolled before, by seq {known.seq}")
            self._enrolments.put(_key(record.workspace_id, record.subject_id, record.factor_id), record)
        if record.event not in _SPINE:
            return
        token = record.as_event().token_id
        if token is not None and self._tokens.add(token):
            yield _finding(record, "data.token", "authorized an action before: a token does so once")
        before = await self._before(record)
        self._prompts.put(record.prompt_id, [*before, placed])
        if record.event is EventName.CHALLENGE_REQUESTED and not before:
            return
        if not self._complete(record, before):
            self._summary.incomplete += 1
            return
        for each in before:
            if each.index is not None and placed.index is not None and each.index > placed.index:
                yield _finding(record, "idx", f"has its leaf before seq {each.record.seq}, which it came after")
        here = f"seq {record.seq}."
        events = [each.located for each in (*before, placed)]
        for found in check_events(events):
            if not found.unverifiable and found.field.startswith(here):
                yield _finding(record, found.field.removeprefix(here), found.problem)
        if record.event is EventName.VERIFIED and before:
            async for finding in self._proof(events[0], events[-1]):
                yield finding

    def _complete(self, record: AuditRecord, before: Sequence[Placed]) -> bool:
        """Tell whether what is not there before a record can only be missing because somebody took it."""
        if before and before[0].record.event is EventName.CHALLENGE_REQUESTED:
            return True
        try:
            earliest = later_by_years(record.at - _A_STEP_UP, record.retention_years)
        except (ValueError, OverflowError, TypeError):
            return True
        return earliest.date() >= self._today.date()

    async def _before(self, record: AuditRecord) -> list[Placed]:
        kept = self._prompts.get(record.prompt_id)
        if kept is None:
            if record.event is EventName.CHALLENGE_REQUESTED:
                return []
            found = await self._read(None, AuditFilter(prompt=record.prompt_id), after=0)
            kept = [
                Placed(each, None if each.index is None else (each.log or 0, each.index))
                for each in found
                if each.event in _SPINE and each.seq < record.seq
            ]
        return kept

    async def _read(self, workspace: str | None, wanted: AuditFilter, *, after: int) -> Sequence[AuditRecord]:
        """Read records, none where one of them cannot be read: the walk over all says which."""
        try:
            return await self._log.audit_after(workspace, wanted, after=after, limit=_FOUND)
        except MISSHAPEN:
            return ()

    async def _proof(self, challenge: LocatedRecord, verified: LocatedRecord) -> AsyncIterator[LogFinding]:
        record = verified.record
        enrolled = await self._enrolment(record.workspace_id, record.subject_id, record.factor_id, record.seq)
        enrolment = None if enrolled is None else LocatedRecord(where=f"seq {enrolled.seq}", record=enrolled)
        one_time = False
        found: CoreFinding
        for found in check_proof(challenge, verified, None, enrolment, signature_holds=self._holds, rp_id=self._rp_id):
            if found.check is Check.SIGNATURE and found.unverifiable:
                one_time = True
            else:
                yield _finding(record, found.field.removeprefix(f"{verified.where}."), found.problem)
        self._summary.one_time_passwords += one_time
        self._summary.proofs += not one_time

    async def _enrolment(self, workspace: str, subject: str, factor_id: str, before: int) -> AuditRecord | None:
        """Return the first enrolment of a factor before a record. It outlives every proof that may be made with it."""
        key = _key(workspace, subject, factor_id)
        kept = self._enrolments.get(key)
        if kept is not None:
            return kept
        wanted, after = AuditFilter(event=EventName.FACTOR_ENROLLED, subject=subject), 0
        while batch := await self._read(workspace, wanted, after=after):
            for record in batch:
                if record.factor_id == factor_id and record.seq < before:
                    self._enrolments.put(key, record)
                    return record
            after = batch[-1].seq
        return None


def _key(*names: str) -> str:
    return "\0".join(names)


def _finding(record: AuditRecord, field: str, problem: str) -> LogFinding:
    field = field if field.startswith(("body.", "idx", "enrolment", "seq ")) else f"body.{field}"
    return LogFinding(where=f"seq {record.seq}", field=field, problem=problem, record_id=record.id)
