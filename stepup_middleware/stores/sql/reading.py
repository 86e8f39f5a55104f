"""The audit log of an SQL database, for whoever only reads it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.log.integrator import TreeState
from stepup_middleware.log.stored import Leaf, StoredCheckpoint, StoredRecord
from stepup_middleware.log.tiles import TileId
from stepup_middleware.stores.audit_log import AuditLog
from stepup_middleware.stores.rows import Row

from .engine import LogReader
from .integration import ahead_of, tiles_of, tree_of


class SQLLog(AuditLog):
    """Reads the log by a reader and the statements of the schema."""

    _log: LogReader

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        return await self._log.follow(workspace_id, wanted, after=after, limit=limit)

    async def altered_schema(self) -> Sequence[tuple[str, str]]:
        return await self._log.altered_schema()

    async def damage(self) -> Sequence[str]:
        return await self._log.damage()

    async def last_seq(self) -> int:
        return await self._log.last_seq()

    async def trees(self) -> tuple[TreeState, ...]:
        return tuple(tree_of(row) for row in await self._log.fetch_all("trees"))

    async def _number(self, log: int | None) -> int:
        """Return the number of a tree, of the last one for None."""
        return log or len(await self._log.fetch_all("trees"))

    async def read_tiles(self, tiles: Collection[TileId], *, log: int | None = None) -> Mapping[TileId, bytes]:
        return tiles_of(await self._log.fetch_all("tiles", await self._number(log), json.dumps(sorted(tiles))))

    async def next_log(self, after: int) -> int | None:
        row = await self._log.fetch_one("next_log", after)
        return None if row is None else row[0]

    async def tile_ids(self, *, log: int, after: TileId, limit: int) -> tuple[TileId, ...]:
        rows = await self._log.fetch_all("tile_ids", log, after.level, after.number, limit)
        return tuple(TileId(level, number) for level, number in rows)

    async def leaves(self, *, first: int, limit: int, log: int | None = None) -> tuple[Leaf, ...]:
        rows = await self._log.fetch_all("leaves", await self._number(log), first, limit)
        return tuple(leaf_of(row) for row in rows)

    async def leaf_ahead(self) -> tuple[int, int] | None:
        return ahead_of(await self._log.fetch_all("leaf_ahead"))

    async def leaves_of(self, record_ids: Collection[str]) -> Mapping[str, Leaf]:
        rows = await self._log.fetch_all("leaves_of", json.dumps(sorted(record_ids)))
        return {leaf.record_id: leaf for leaf in map(leaf_of, rows)}

    async def stored_records(self, *, after: int, limit: int) -> tuple[StoredRecord, ...]:
        return tuple(stored_record_of(row) for row in await self._log.fetch_all("stored_records", after, limit))

    async def records_without_leaf(self, *, after: int, until: int) -> tuple[StoredRecord, ...]:
        return tuple(stored_record_of(row) for row in await self._log.fetch_all("without_leaf", after, until))

    async def checkpoints(
        self, *, after_size: int = -1, limit: int = 100, log: int | None = None
    ) -> tuple[StoredCheckpoint, ...]:
        rows = await self._log.fetch_all("checkpoints", await self._number(log), after_size, limit)
        return tuple(checkpoint_of(row) for row in rows)

    async def last_checkpoint(self, *, log: int | None = None) -> StoredCheckpoint | None:
        row = await self._log.fetch_one("last_checkpoint", await self._number(log))
        return None if row is None else checkpoint_of(row)


def stored_record_of(row: Row) -> StoredRecord:
    """Return the stored record of a row of ``stored_records``."""
    seq, id_, body, entry, mac, refused, log, index, committed, *columns = row
    leaf = None if index is None else Leaf(log, index, id_, committed)
    return StoredRecord(seq, id_, body, entry, mac, refused, leaf, *columns)


def leaf_of(row: Row) -> Leaf:
    """Return the leaf of a row."""
    return Leaf(*row)


def checkpoint_of(row: Row) -> StoredCheckpoint:
    """Return the checkpoint of a row."""
    log, size, note = row
    return StoredCheckpoint(log=log, size=size, note=note)
