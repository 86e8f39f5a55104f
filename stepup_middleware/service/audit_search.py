"""Searching the log for what no index has: a severity, a factor, a part of a step-up's number; and totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from stepup_middleware.core.audit import AuditFilter, AuditPage
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import Outcome, Severity
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.stores.records import Records

MOST_LOOKED_AT = 5_000  # records, by one call
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """What to look for: everything of ``filter``, and of these each that is set.

    ``severity`` and ``factor`` of the record; ``prompt_part``, some digits of the number of its step-up, from anywhere
    in it.
    """

    filter: AuditFilter = field(default_factory=AuditFilter)
    severity: Severity | None = None
    factor: FactorKind | None = None
    prompt_part: str | None = None

    def admits(self, record: AuditRecord) -> bool:
        """Whether a record that ``filter`` lets through is looked for."""
        return (
            self.severity in (None, record.severity)
            and self.factor in (None, record.factor_kind)
            and (self.prompt_part or "").lower() in record.prompt_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTotals:
    """What a search finds in numbers: ``events``, ``step_ups`` and ``people``, and events ``by_outcome``.

    ``complete`` is False where there was more to look at: then the numbers are those of the newest records.
    """

    events: int
    step_ups: int
    people: int
    by_outcome: Mapping[Outcome, int]
    complete: bool


class AuditSearcher:
    """Looks through the log, newest first, a bounded number of records a call."""

    def __init__(self, store: Records) -> None:
        self._store = store

    async def page(
        self, workspace_id: str, wanted: AuditSearch, *, before: int | None = None, limit: int = 50
    ) -> AuditPage:
        """Return up to ``limit`` records, newest first.

        ``next`` is set where there is more to look at, also when fewer were found: 5,000 records a call are looked at.
        Raises ``StoreError``.
        """
        found: list[AuditRecord] = []
        looked = 0
        while looked < MOST_LOOKED_AT:
            page = await self._read(workspace_id, wanted, before)
            for record in page.events:
                if wanted.admits(record):
                    found.append(record)
                    if len(found) == limit:
                        more = page.next is not None or record is not page.events[-1]
                        return AuditPage(events=tuple(found), next=record.seq if more else None)
            if page.next is None:
                return AuditPage(events=tuple(found), next=None)
            before, looked = page.next, looked + len(page.events)
        return AuditPage(events=tuple(found), next=before)

    async def totals(self, workspace_id: str, wanted: AuditSearch) -> AuditTotals:
        """Count what a search finds among the newest 5,000 records of its filter. Raises ``StoreError``."""
        outcomes = Counter[Outcome]()
        step_ups, people = set[str](), set[str]()
        before: int | None = None
        looked, complete = 0, False
        while looked < MOST_LOOKED_AT and not complete:
            page = await self._read(workspace_id, wanted, before)
            for record in page.events:
                if wanted.admits(record):
                    outcomes[record.outcome] += 1
                    step_ups.add(record.prompt_id)
                    people.add(record.subject_id)
            before, looked, complete = page.next, looked + len(page.events), page.next is None
        return AuditTotals(
            events=outcomes.total(),
            step_ups=len(step_ups - {""}),
            people=len(people - {""}),
            by_outcome=outcomes,
            complete=complete,
        )

    async def _read(self, workspace_id: str, wanted: AuditSearch, before: int | None) -> AuditPage:
        return await self._store.audit_page(workspace_id, wanted.filter, before=before, limit=_BATCH)
