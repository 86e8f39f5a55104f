"""From record to leaf, in the transactions of a database: see ``log.integrator`` for what a step is."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.log.integrator import (
    PendingRecord,
    SeenTree,
    Step,
    TreeState,
    integrate,
    state_of,
    take_step,
)
from stepup_middleware.log.notes import with_signatures_of
from stepup_middleware.log.records import TREE_STATE
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.log.tiles import TiledTree, TileId
from stepup_middleware.stores.rows import Row

from .engine import LogReader
from .transaction import Transaction

STRETCH = 10_000  # serial numbers that are looked through at a time for records without a leaf: about 20 ms


class Integrator:
    """Gives records their leaves, one step after another; one process at a time, by a lock of the database.

    A step takes the records above ``_done`` that have no leaf: up to there this process knows that every record has
    one or was refused it. It begins before the records that an earlier process left without a leaf at the end of the
    log, so that they get theirs in their order. Earlier records are looked through once, a stretch beside each step:
    single ones that were left out, and those that were refused, whose MAC the keys of today may verify. After an alarm
    it begins anew: the database may be an older copy, whose records are others.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._done: int | None = None
        self._looked = 0  # up to here, what lies before is looked through
        self._before = 0  # and up to here it is to be
        self._again: list[int] = []  # what was found there: serial numbers
        self._complete: int | None = None  # up to here no record waits, as who counts those that do knows

    async def look(self) -> int | None:
        """Return up to where the log is settled; None where a step would find nothing to do."""
        settled = await self._log.last_seq()
        if self._done is None:
            self._before, self._again = await self._last_complete_stretch(settled)
            self._done, self._looked = self._before, 0
        elif settled == self._done and not self._again and self._looked == self._before:
            return None
        if not self._again and self._looked < self._before:
            end = min(self._looked + STRETCH, self._before)
            self._again = [seq for seq, _ in await self._without_leaf(self._looked, end)]
            self._looked = end
        return settled

    async def waiting(self, limit: int) -> tuple[int, int | None]:
        """Return how many records wait for their leaf, ``limit`` at most, and the moment of the first (microseconds).

        Single ones that an earlier process left out are not among them.
        """
        known = max(self._done or 0, self._complete or 0)
        newest = await self._log.last_seq()
        if known > newest:  # an older copy of the database came back
            self._done = self._complete = None
        if self._done is not None:
            self._complete = self._done
        elif self._complete is None:
            self._complete, _ = await self._last_complete_stretch(newest)
        rows = await self._log.fetch_all("waiting", self._complete, limit)
        return len(rows), min((row[0] for row in rows), default=None)

    async def _last_complete_stretch(self, end: int) -> tuple[int, list[int]]:
        """Return the end of the last stretch in which no record waits, and what is refused after it, to look at."""
        again: list[int] = []
        while end > 0:
            found = await self._without_leaf(end - STRETCH, end)
            if all(refused for _, refused in found):
                break
            again += [seq for seq, refused in found if refused]
            end -= STRETCH
        return max(0, end), again

    async def _without_leaf(self, after: int, until: int) -> Sequence[Row]:
        return await self._log.fetch_all("seqs_without_leaf", after, until)

    async def step(
        self, transaction: Transaction, settled: int, *, origin: str, seen: SeenTree, limit: int
    ) -> tuple[Step, SeenTree, int]:
        """Take a step in a transaction. Returns up to where all is done once that is committed."""
        await transaction.lock(["integrate"])
        store = _OneStep(transaction, self._done or 0, self._again[:limit])
        step, after = await take_step(store, origin=origin, seen=seen, macs=transaction.macs, limit=limit)
        return step, after, min(settled, store.last) if store.was_full else settled

    def committed(self, step: Step, done: int, limit: int) -> None:
        """Remember how far all is done, after a step."""
        if step.alarm is None:
            self._done = max(self._done or 0, done)
            del self._again[:limit]
        else:
            self._done = self._complete = None


async def begin_log(transaction: Transaction, origin: str, make: Callable[[TreeState | None], AuditEvent]) -> bool:
    """Begin a tree whose first leaf is an event about the tree before it."""
    await transaction.lock(["integrate"])
    rows = await transaction.fetch_all("trees")
    if any(row[1] == origin for row in rows):
        return False
    transaction.append(make(tree_of(rows[-1]) if rows else None))
    sealed = transaction.records[-1].sealed
    record = PendingRecord(seq=0, id=sealed.id, body=sealed.body, entry=sealed.entry, mac=sealed.mac)
    step = integrate(state_of(origin, TiledTree(), transaction.macs), TiledTree(), [record], transaction.macs)
    await _write(transaction, rows[-1][0] + 1 if rows else 1, step, {record.id: record})
    return True


async def reseal_trees(transaction: Transaction) -> None:
    """Rewrite the MAC of each tree under the first key. A forged one stays as it is."""
    await transaction.lock(["integrate"])
    for number, *row in await transaction.fetch_all("trees"):
        if TREE_STATE.holds(transaction.macs, row):
            await transaction.execute("put_tree", number, *TREE_STATE.sealed(transaction.macs, row[:-1]))


async def add_checkpoint(transaction: Transaction, checkpoint: StoredCheckpoint) -> bool:
    """Keep a checkpoint, or what another one of its size lacks of its signatures. Returns whether anything was new."""
    log, size, note = checkpoint.log, checkpoint.size, checkpoint.note
    if await transaction.execute("add_checkpoint", log, size, note) == 1:
        return True
    for row in await transaction.fetch_all("checkpoint_of_size", log, size):
        if (signed := with_signatures_of(row[2], note)) != row[2]:
            return await transaction.execute("sign_checkpoint_also", log, size, row[2], signed) == 1
    return False


class _OneStep:
    """What ``take_step`` needs of a store, in one transaction."""

    def __init__(self, transaction: Transaction, after: int, again: Sequence[int]) -> None:
        self._transaction = transaction
        self._after = after
        self._again = again
        self._log = 1
        self._records: dict[str, PendingRecord] = {}
        self.last = 0
        self.was_full = False

    async def read_tree_state(self) -> TreeState | None:
        rows = await self._transaction.fetch_all("trees")
        if not rows:
            return None
        self._log = rows[-1][0]
        return tree_of(rows[-1])

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        return tiles_of(await self._transaction.fetch_all("tiles", self._log, json.dumps(sorted(tiles))))

    async def leaf_ahead(self) -> tuple[int, int] | None:
        return ahead_of(await self._transaction.fetch_all("leaf_ahead"))

    async def pending_records(self, limit: int) -> Sequence[PendingRecord]:
        rows = list(await self._transaction.fetch_all("pending", self._after, limit))
        self.was_full = len(rows) == limit
        self.last = rows[-1][0] if rows else self._after
        if self._again:
            rows += await self._transaction.fetch_many("pending_of", [(seq,) for seq in self._again])
        found = [_pending_of(row) for row in rows]
        self._records = {record.id: record for record in found}
        return found

    async def write_step(self, step: Step) -> None:
        await _write(self._transaction, self._log, step, self._records)


async def _write(transaction: Transaction, log: int, step: Step, records: Mapping[str, PendingRecord]) -> None:
    """Write a step over these records, by their ids."""
    if step.state is not None:
        state = step.state
        leaves = [(log, index, id_, records[id_].entry) for id_, index in step.indexes.items()]
        await transaction.execute_many("insert_leaves", leaves)
        await transaction.execute_many("put_tiles", [(log, *tile, hashes) for tile, hashes in step.tiles.items()])
        await transaction.execute("put_tree", log, state.origin, state.size, state.root, state.mac)
    for id_, fault in step.refused.items():
        await transaction.execute("refuse_record", records[id_].seq, fault.name)  # what it has as an id may be no text


def tree_of(row: Row) -> TreeState:
    """Return the state of a tree of a row of ``trees``."""
    _, origin, size, root, mac = row
    return TreeState(origin=origin, size=size, root=root, mac=mac)


def tiles_of(rows: Iterable[Row]) -> dict[TileId, bytes]:
    """Return the tiles of rows of ``tiles``."""
    return {TileId(level, number): bytes(hashes) for level, number, hashes in rows}


def ahead_of(rows: Sequence[Row]) -> tuple[int, int] | None:
    """Return the leaf of ``leaf_ahead``."""
    return (rows[0][0], rows[0][1]) if rows else None


def _pending_of(row: Row) -> PendingRecord:
    seq, id_, body, entry, mac = row
    return PendingRecord(seq, id_, body, entry, mac if isinstance(mac, bytes) else b"")
