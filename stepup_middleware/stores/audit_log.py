"""The contract of the log, for whoever only reads it, and of what is opened and closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.log.integrator import TreeState
from stepup_middleware.log.stored import Leaf, StoredCheckpoint, StoredRecord
from stepup_middleware.log.tiles import TileId


class Opened(ABC):
    """What is opened before it is used and closed after: by ``start`` and ``close``, or as a context manager."""

    @abstractmethod
    async def start(self) -> None:
        """Open the store: create or migrate the schema, prove that it can be written durably.

        Raises ``ConfigurationError`` for a set-up that could lose a redemption, ``StoreError`` when the
        store cannot be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed over, then close. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AuditLog(ABC):
    """The log, for whoever only reads it: to verify it, to export it, to make evidence of it.

    Its records are the leaves of a tree (``log``), some time after they were written. There is one tree, numbered 1,
    and another for each time that a new log was begun: ``log=None`` is the last of them, which grows.
    """

    @abstractmethod
    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records with ``seq`` above ``after``, oldest first; None: every workspace."""

    async def altered_schema(self) -> Sequence[tuple[str, str]]:
        """Return the tables, indexes and triggers that are not as the library made them, each with what is wrong.

        None of a store of one's own, which made other ones or none.
        """
        return ()

    async def damage(self) -> Sequence[str]:
        """Return where the database contradicts itself: an index that lacks a row hides it.

        None where the database has means of its own to tell (PostgreSQL: ``pg_amcheck``), or cannot.
        """
        return ()

    @abstractmethod
    async def last_seq(self) -> int:
        """Return the highest sequence number of the log, 0 when it is empty."""

    @abstractmethod
    async def trees(self) -> tuple[TreeState, ...]:
        """Return the state of each tree, the first of them first; nothing before the first record has its leaf."""

    @abstractmethod
    async def read_tiles(self, tiles: Collection[TileId], *, log: int | None = None) -> Mapping[TileId, bytes]:
        """Return those of the tiles that there are, each as wide as it is kept (``log.tiles``)."""

    @abstractmethod
    async def next_log(self, after: int) -> int | None:
        """Return the lowest number above ``after`` that a tree, leaf, tile or checkpoint has, None for none."""

    @abstractmethod
    async def tile_ids(self, *, log: int, after: TileId, limit: int) -> tuple[TileId, ...]:
        """Return up to ``limit`` ids of the tiles that there are after another, by level and number."""

    @abstractmethod
    async def leaves(self, *, first: int, limit: int, log: int | None = None) -> tuple[Leaf, ...]:
        """Return up to ``limit`` leaves from index ``first`` on, in their order."""

    @abstractmethod
    async def leaf_ahead(self) -> tuple[int, int] | None:
        """Return tree and index of a leaf that no tree has, None for none; trees and leaves as of one moment.

        Its index is below 0, or not below the size of its tree, or it is of no tree.
        """

    @abstractmethod
    async def leaves_of(self, record_ids: Collection[str]) -> Mapping[str, Leaf]:
        """Return the leaves of records by their ids, of those that have one. The records may be purged."""

    @abstractmethod
    async def stored_records(self, *, after: int, limit: int) -> tuple[StoredRecord, ...]:
        """Return up to ``limit`` records with ``seq`` above ``after``, in its order, as they stand there."""

    @abstractmethod
    async def records_without_leaf(self, *, after: int, until: int) -> tuple[StoredRecord, ...]:
        """Return the records with ``after < seq <= until`` that wait for their leaf, or were refused one."""

    @abstractmethod
    async def checkpoints(
        self, *, after_size: int = -1, limit: int = 100, log: int | None = None
    ) -> tuple[StoredCheckpoint, ...]:
        """Return up to ``limit`` checkpoints of larger trees than ``after_size``, smallest first."""

    @abstractmethod
    async def last_checkpoint(self, *, log: int | None = None) -> StoredCheckpoint | None:
        """Return the checkpoint of the largest tree, None when none was kept."""
