"""The alerts of a workspace: what somebody must hear of at once, and which admin has looked at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import ALERTS, EventName, event_by
from stepup_middleware.core.moments import iso
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.records import Records
from stepup_middleware.stores.rows import MAX_ID

from .admin import AdminGuard
from .audit import AuditService
from .requester import Scope

MOST_ALERTS = 500  # that are looked through, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityAlert:
    """What somebody must hear of at once: ``record`` tells of it, and is an alert (``AuditRecord.is_alert``).

    ``ACCOUNT_STEPUP_REUSED``: a token was presented again after its redemption, by somebody who had not presented it
    before; ``count`` is how often, by whomever, when the log last told (1 for all others). ``likely_retry``: the same
    person, session and address, within seconds of the redemption, as a proxy or a browser does that sends a request
    once more. ``DATABASE_ALTERED``: somebody else wrote to the database; ``data["what"]`` says what was found.
    ``RECOVERY_CODE_USED``: a code took the place of a person's factors. ``acknowledged`` is the ``ALERT_ACKNOWLEDGED``
    of the admin who looked at it first, None while nobody has.
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

    async def list(self, workspace_id: str, *, since: datetime) -> tuple[SecurityAlert, ...]:
        """Return the alerts since a time, newest first, at most 500. Raises ``StoreError``.

        An alteration of the database that belongs to no workspace is for the admins of all.
        """
        found = [
            record
            for event in sorted(ALERTS)
            for of in ([workspace_id, ""] if event is EventName.DATABASE_ALTERED else [workspace_id])
            for record in (await self._audit.page(of, AuditFilter(event=event, since=since), limit=MOST_ALERTS)).events
        ]
        counts: dict[str, int] = {}
        for record in found:
            counts[record.prompt_id] = max(counts.get(record.prompt_id, 1), _count(record))
        alerts = sorted((record for record in found if record.is_alert), key=attrgetter("seq"), reverse=True)
        del alerts[MOST_ALERTS:]
        seen = await self._acknowledged(workspace_id, min(alert.at for alert in alerts)) if alerts else {}
        return tuple(
            SecurityAlert(
                record=record,
                count=counts[record.prompt_id] if record.event is EventName.REUSED else 1,
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
        alert = await self._alert(subject.workspace_id, seq)
        if alert is None:
            return False
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

    async def _alert(self, workspace_id: str, seq: int) -> AuditRecord | None:
        """Return the alert of a number that an admin of a workspace is shown."""
        if not 0 < seq <= MAX_ID:
            return None
        for of in (workspace_id, ""):
            found = await self._store.audit_after(of, AuditFilter(), after=seq - 1, limit=1)
            if found and found[0].seq == seq and found[0].is_alert:
                return found[0] if of or found[0].event is EventName.DATABASE_ALTERED else None
        return None

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
