"""The audit log of an SQL database, for whoever only reads it."""

from __future__ import annotations

from stepup_middleware.core.audit import AuditFilter, ChainStart
from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.heads import SignedHead
from stepup_middleware.stores.records import AuditLog
from stepup_middleware.stores.rows import chain_start_of, head_of, record_of

from .engine import LogReader


class SQLLog(AuditLog):
    """Reads the log by a reader and the statements of the schema."""

    _log: LogReader

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        return await self._log.follow(workspace_id, wanted, after=after, limit=limit)

    async def last_seq(self) -> int:
        return await self._log.last_seq()

    async def audit_segment(self, chain: str, first: int, last: int) -> tuple[AuditRecord, ...]:
        return tuple(record_of(row) for row in await self._log.fetch_all("segment", chain, first, last))

    async def chain_heads(self) -> tuple[AuditRecord, ...]:
        return tuple(record_of(row) for row in await self._log.fetch_all("chain_heads"))

    async def chain_starts(self) -> tuple[ChainStart, ...]:
        return tuple(chain_start_of(row) for row in await self._log.fetch_all("chain_starts"))

    async def heads(self, chain: str, *, from_link: int = 0, limit: int = 100) -> tuple[SignedHead, ...]:
        return tuple(head_of(row) for row in await self._log.fetch_all("heads", chain, from_link, limit))

    async def signed_chains(self) -> tuple[str, ...]:
        return tuple(chain for (chain,) in await self._log.fetch_all("signed_chains"))
