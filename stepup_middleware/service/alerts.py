"""The alerts of a workspace: tokens that were presented again, how often, and which admin has looked at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import AuditRecord, EventName, event_by
from stepup_middleware.core.moments import iso
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.records import Records

from .admin import AdminGuard
from .audit import AuditService
from .requester import Scope

MOST_ALERTS = 500  # that are looked through, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAlert:
    """A token that was presented again after its redemption, by somebody who had not presented it before.

    ``record`` is the ``ACCOUNT_STEPUP_REUSED`` that told of it, ``count`` how often the token had been presented since
    its redemption when the log last told, by whomever. ``likely_retry``: the same person, session and address, within
    seconds of the redemption, as a proxy or a browser does that sends a request once more. ``acknowledged`` is the
    ``ALERT_ACKNOWLEDGED`` of the admin who looked at it first, None while nobody has.
    """

    record: AuditRecord
    count: int
    likely_retry: bool
    acknowledged: AuditRecord | None


class AlertService:
    """Lists the alerts of a workspace, and lets its admins acknowledge them."""

    def __init__(self, *, store: Records, audit: AuditService, guard: AdminGuard) -> None:
        self._store = store
        self._audit = audit
        self._guard = guard

    async def list(self, workspace_id: str, *, since: datetime) -> tuple[ReplayAlert, ...]:
        """Return the alerts since a time, newest first, at most 500. Raises ``StoreError``."""
        wanted = AuditFilter(event=EventName.REUSED, since=since)
        page = await self._audit.page(workspace_id, wanted, limit=MOST_ALERTS)
        counts: dict[str, int] = {}
        for record in page.events:
            counts[record.prompt_id] = max(counts.get(record.prompt_id, 1), _count(record))
        alerts = [record for record in page.events if record.is_alert]
        seen = await self._acknowledged(workspace_id, alerts[-1].at) if alerts else {}
        return tuple(
            ReplayAlert(
                record=record,
                count=counts[record.prompt_id],
                likely_retry=record.data.get("likely_retry") is True,
                acknowledged=seen.get(record.seq),
            )
            for record in alerts
        )

    async def waiting(self, workspace_id: str, *, since: datetime) -> int:
        """Return how many alerts since a time nobody has acknowledged. Raises ``StoreError``."""
        return sum(alert.acknowledged is None for alert in await self.list(workspace_id, since=since))

    async def acknowledge(self, subject: Subject, seq: int, *, scope: Scope | None = None) -> bool:
        """Note in the log that an admin has looked at an alert: ``ALERT_ACKNOWLEDGED``, once, whoever comes later.

        ``seq`` is that of the alert's record; False: the admin's workspace has no such alert. ``scope`` is that of the
        request by which the admin asks: the log has its address and browser. Raises ``NotPermitted`` for anybody but
        an admin, which the log has too, and ``StoreError``.
        """
        who = self._guard.at(subject, scope)
        await self._guard.check(who, "acknowledge_alert")
        wanted = AuditFilter(event=EventName.REUSED)
        found = await self._store.audit_after(subject.workspace_id, wanted, after=seq - 1, limit=1)
        if not found or found[0].seq != seq or not found[0].is_alert:
            return False
        alert = found[0]
        if seq in await self._acknowledged(subject.workspace_id, alert.at):
            return True
        event = event_by(
            who,
            EventName.ALERT_ACKNOWLEDGED,
            at=self._guard.clock(),
            purpose=alert.purpose,
            retention_years=alert.retention_years,
            data={"alert": {"at": iso(alert.at), "prompt": alert.prompt_id, "seq": seq}},
        )
        await self._store.append([event])
        return True

    async def _acknowledged(self, workspace_id: str, since: datetime) -> Mapping[int, AuditRecord]:
        """Return the first acknowledgement of each alert, by the alert's sequence number."""
        found: dict[int, AuditRecord] = {}
        wanted = AuditFilter(event=EventName.ALERT_ACKNOWLEDGED, since=since)
        async for record in self._audit.stream(workspace_id, wanted):
            found.setdefault(int(record.data["alert"]["seq"]), record)
        return found


def _count(record: AuditRecord) -> int:
    count = record.data.get("count", 1)
    return count if isinstance(count, int) else 1
