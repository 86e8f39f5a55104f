"""Flags the failures of a cluster on their way to the app's sinks."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import replace
from datetime import datetime

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.clusters import FAILURE_CLUSTER, FAILURES, ClusterRule, is_failure
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records

logger = get_logger("stepup_middleware")

_KEPT = 1_000  # purposes of workspaces whose latest failures are remembered
_PAGE = 50  # records
_PATIENCE_SECONDS = 1.0  # for the log: an alert that follows must not wait for long


class FailureClusterFlagger:
    """Finds the failures that complete a cluster on their purpose, over all processes.

    Failures that this process wrote are remembered, and the log is read only while they are not enough, so that a flood
    of failures costs few reads. If the log does not answer in time, the event goes out without the flag;
    ``audit.clusters`` finds every cluster.
    """

    def __init__(self, *, store: Records, rule: ClusterRule) -> None:
        self._store = store
        self._rule = rule
        self._latest: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()

    async def flagged(self, seq: int, event: AuditEvent) -> AuditEvent:
        """Return an event that was written as ``seq``, flagged ``failure_cluster`` where it is part of one."""
        if not is_failure(event.name, event.purpose, event.reason):
            return event
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                clustered = self._enough_here(event) or await self._enough_in_the_log(seq, event)
        except Exception:
            logger.warning(
                "the log could not be asked for a cluster of failures; the event goes out unflagged", exc_info=True
            )
            return event
        return replace(event, flags=(*event.flags, FAILURE_CLUSTER)) if clustered else event

    def _enough_here(self, event: AuditEvent) -> bool:
        key = (event.workspace_id, event.purpose)
        latest = self._latest.setdefault(key, deque(maxlen=self._rule.failures))
        self._latest.move_to_end(key)
        if len(self._latest) > _KEPT:
            self._latest.popitem(last=False)
        latest.append(event.at)
        return len(latest) == self._rule.failures and event.at - latest[0] <= self._rule.within

    async def _enough_in_the_log(self, seq: int, event: AuditEvent) -> bool:
        count = 0
        for name in FAILURES:
            wanted = AuditFilter(event=name, purpose=event.purpose, since=event.at - self._rule.within)
            before: int | None = seq + 1
            while before is not None and count < self._rule.failures:
                page = await self._store.audit_page(event.workspace_id, wanted, before=before, limit=_PAGE)
                count += sum(is_failure(each.event, each.purpose, each.reason) for each in page.events)
                before = page.next
        return count >= self._rule.failures
