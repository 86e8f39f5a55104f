"""Read the log from end to end, some hundred records at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.stores.audit_log import AuditLog

BATCH = 500


async def batches(
    log: AuditLog, workspace_id: str | None, wanted: AuditFilter | None = None, *, after: int = 0
) -> AsyncIterator[Sequence[AuditRecord]]:
    """Yield the records of a workspace (None: of all), oldest first, some hundred at a time.

    Ends at the end that the log has now.
    """
    last = await log.last_seq()
    while after < last:
        batch = await log.audit_after(workspace_id, wanted or AuditFilter(), after=after, limit=BATCH)
        if not batch:
            return
        after = batch[-1].seq
        yield batch if after <= last else [record for record in batch if record.seq <= last]
        if len(batch) < BATCH:
            return
