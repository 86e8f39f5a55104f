"""Walk the leaves of one log to their real end: the tree anew, and everything that the database says of it compared.

Rows count, not counters: the tree is what the leaves give. Tiles, state, stored checkpoints and those that were kept
elsewhere must be of this tree. As each of them is a beginning of it, they are consistent with each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from stepup_middleware.core.moments import iso
from stepup_middleware.core.retention import CLOCKS_DIFFER
from stepup_middleware.log.checkpoints import Checkpoint, checkpoint_of, read_checkpoint
from stepup_middleware.log.integrator import TreeState
from stepup_middleware.log.merkle import HASH_BYTES
from stepup_middleware.log.notes import NoteError, read_note
from stepup_middleware.log.records import ENTRY, TREE_STATE, RowMacs, Scalar
from stepup_middleware.log.stored import Leaf
from stepup_middleware.log.tiles import TILE_WIDTH, TiledTree, TileId, has_tile, tile_path
from stepup_middleware.stores.audit_log import AuditLog

from .findings import Bits, LogFinding, LogSummary
from .trust import Trust, judge_checkpoint

LOWEST = -(2**62)  # below every number of a row that an honest writer gave
LOWEST_SMALL = -(2**31)  # likewise, of a column that has 32 bits in some databases
_LEAVES = 2048  # read at a time
_PAGE = 100  # checkpoints read at a time
_TILES = 1000  # ids of tiles read at a time
_NAMED = 10_000  # tiles that the tree has not
_RETRIES = 50  # of reading the end of a log that grows meanwhile
_SECOND = slice(0, 19)  # of a time in text: up to its seconds, which compare as text does


@dataclass(slots=True, kw_only=True)
class Walked:
    """What the walk over the leaves of a log leaves for the walk over its records.

    ``over`` are the leaves whose bodies may be gone. ``early`` says of leaves that their time lies before a checkpoint
    that does not have them; not every event may.
    """

    number: int
    origin: str | None
    size: int = 0
    covered: int = 0
    over: Bits = field(default_factory=Bits)
    seen: Bits = field(default_factory=Bits)
    early: dict[int, str] = field(default_factory=dict)
    tail_from: str = ""  # of the leaves under no trusted checkpoint the earliest time, up to its second; or empty
    tail_until: str = ""  # and the latest
    root: bytes = b""
    beyond: list[tuple[int, str]] = field(default_factory=list)  # checkpoints of more leaves than there are


@dataclass(frozen=True, slots=True)
class _Stop:
    """A size of the tree at which its root must be a certain one."""

    size: int
    where: str
    checkpoint: Checkpoint
    trusted: bool
    witnessed: datetime | None  # the earliest time that a trusted witness gives it
    outside: bool


class TreeWalk:
    """The walk over one log. ``walked`` is filled as it goes."""

    def __init__(
        self,
        log: AuditLog,
        number: int,
        state: TreeState | None,
        *,
        trust: Trust,
        macs: RowMacs | None,
        today: datetime,
        summary: LogSummary,
    ) -> None:
        self._log = log
        self._state = state
        self._trust = trust
        self._macs = macs
        self._today = today.date().isoformat()
        self._summary = summary
        self._tree = TiledTree()
        self._hashes: list[bytes] = []
        self._whole = True  # until a leaf is missing: then nothing can be said of the tree behind it
        self._latest = ""
        self._not_before = ""
        self._not_before_by = ""
        self._found: list[LogFinding] = []
        self._stored_after = LOWEST
        self._stored: list[_Stop] = []
        self._stored_done = False
        self._bad_roots = 0
        self.walked = Walked(number=number, origin=None if state is None else state.origin)

    def _wrong(self, where: str, field_: str, problem: str, *, unverifiable: bool = False) -> None:
        if self.walked.number != 1:
            where = f"log {self.walked.number} {where}"
        self._found.append(LogFinding(where=where, field=field_, problem=problem, unverifiable=unverifiable))

    def _told(self) -> Iterator[LogFinding]:
        found, self._found = self._found, []
        yield from found

    async def run(self) -> AsyncIterator[LogFinding]:
        """Walk. Yields what does not hold."""
        number = self.walked.number
        if self.walked.origin is None:
            self._wrong("log", "trees", "the row with the size and root of the tree is missing")
            first = await self._log.checkpoints(after_size=LOWEST, limit=1, log=number)
            self.walked.origin = _origin_of(first[0].note) if first else None
        kept = sorted((each for each in self._trust.checkpoints if each.origin == self.walked.origin), key=_size)
        outside = [
            _Stop(each.size, f"kept checkpoint {each.size}", each, trusted=True, witnessed=None, outside=True)
            for each in kept
        ]
        first_index = LOWEST
        beyond: Sequence[TileId] | None = None
        for _ in range(_RETRIES):
            while batch := await self._log.leaves(first=first_index, limit=_LEAVES, log=number):
                first_index = batch[-1].index + 1
                async for finding in self._leaves(batch, outside):
                    yield finding
            if beyond is None:  # of the tree as it is now: it may grow into them before the end is found
                beyond = await self._tiles_beyond()
            state = (await self._log.trees())[number - 1 : number]
            edge = await self._log.read_tiles(set(TiledTree.edge_tiles(self._tree.size)), log=number)
            if not await self._log.leaves(first=first_index, limit=1, log=number):
                self._end(state[0] if state else None, edge, beyond)
                break
        else:
            self._wrong("leaves", "idx", "the log grew faster than it could be read", unverifiable=True)
        async for finding in self._beyond(outside):
            yield finding
        for finding in self._told():
            yield finding

    async def _tiles_beyond(self) -> Sequence[TileId]:
        """Return the tiles that a tree of the leaves walked so far has not, not more than are worth naming."""
        found: list[TileId] = []
        after = TileId(LOWEST_SMALL, LOWEST)
        number = self.walked.number
        while len(found) < _NAMED and (page := await self._log.tile_ids(log=number, after=after, limit=_TILES)):
            found += [tile for tile in page if not has_tile(self.walked.size, tile)]
            after = page[-1]
        return found

    # leaves

    async def _leaves(self, batch: Sequence[Leaf], outside: list[_Stop]) -> AsyncIterator[LogFinding]:
        stop = await self._next_stop(outside)
        for leaf in batch:
            while stop is not None and self._whole and stop.size <= self.walked.size:
                await self._flush()
                self._reached(stop)
                self._drop(stop, outside)
                stop = await self._next_stop(outside)
            self._leaf(leaf)
        await self._flush()
        self._summary.leaves += len(batch)
        for finding in self._told():
            yield finding

    def _leaf(self, leaf: Leaf) -> None:
        walked, index, entry = self.walked, leaf.index, leaf.entry
        if index != walked.size and self._whole:
            self._wrong(f"leaf {index}", "idx", f"leaf {walked.size} is missing: this is the next one there is")
            self._whole = False
        found = ENTRY.fullmatch(entry) if isinstance(entry, str) else None
        if found is None:
            self._wrong(f"leaf {index}", "entry", "is no entry of a record")
            self._whole = False
        if found is None or not self._whole:
            return  # nothing can be said of the tree from here on
        walked.size += 1
        at, _, keep_until = found.groups()
        second = at[_SECOND]
        if keep_until < self._today:
            walked.over.add(index)
        self._latest = max(self._latest, second)
        if second < self._not_before and len(walked.early) < 10_000:
            walked.early[index] = self._not_before_by
        if not walked.tail_from or second < walked.tail_from:
            walked.tail_from = second
        if second > walked.tail_until:
            walked.tail_until = second
        self._hashes.append(sha256(b"\0" + entry.encode()).digest())

    async def _flush(self) -> None:
        """Append the leaves that were read to the tree, and compare the tiles that they give."""
        if not self._hashes:
            return
        self._tree, written = self._tree.append(self._hashes)
        self._hashes = []
        stored = await self._log.read_tiles(written, log=self.walked.number)
        for tile, hashes in written.items():
            self._compare(tile, hashes, stored.get(tile, b""), whole=len(hashes) == TILE_WIDTH * HASH_BYTES)

    def _compare(self, tile: TileId, hashes: bytes, stored: bytes, *, whole: bool) -> None:
        if stored == hashes or (not whole and bytes(stored[: len(hashes)]) == hashes):
            return
        where = tile_path(tile)
        if len(stored) < len(hashes):
            self._wrong(where, "hashes", f"has {len(stored) // HASH_BYTES} hashes, not {len(hashes) // HASH_BYTES}")
            return
        for at in range(0, len(hashes), HASH_BYTES):
            if stored[at : at + HASH_BYTES] != hashes[at : at + HASH_BYTES]:
                index = tile.number * TILE_WIDTH + at // HASH_BYTES
                if tile.level == 0:
                    self._wrong(f"leaf {index}", "entry", f"is not the one whose hash {where} has")
                else:
                    self._wrong(where, "hashes", f"hash {at // HASH_BYTES} is not that of the leaves below it")
                return
        self._wrong(where, "hashes", "has more hashes than leaves give it")

    # checkpoints

    async def _next_stop(self, outside: list[_Stop]) -> _Stop | None:
        """Return the smallest stop that was not reached yet."""
        if not self._stored and not self._stored_done:
            await self._read_checkpoints()
        stops = [*self._stored[:1], *outside[:1]]
        return min(stops, key=_size_of_stop, default=None)

    def _drop(self, stop: _Stop, outside: list[_Stop]) -> None:
        if self._stored and self._stored[0] is stop:
            self._stored.pop(0)
        else:
            outside.pop(0)

    async def _read_checkpoints(self) -> None:
        while not self._stored:
            page = await self._log.checkpoints(after_size=self._stored_after, limit=_PAGE, log=self.walked.number)
            for kept in page:
                self._summary.checkpoints += 1
                self._stored_after = kept.size
                self._stored += self._stop_of(kept.size, kept.note)
            if len(page) < _PAGE:
                self._stored_done = True
                return

    def _stop_of(self, size: int, text: str) -> Iterator[_Stop]:
        where = f"checkpoint {size}"
        try:
            note = read_note(text)
            checkpoint = read_checkpoint(note.text)
        except (NoteError, TypeError, AttributeError) as error:
            self._wrong(where, "note", str(error))
            return
        if checkpoint.size != size:
            self._wrong(where, "size", f"is not the size that the note signs: {checkpoint.size}")
        if checkpoint.origin != self.walked.origin:
            self._wrong(where, "note", "is of a log with another origin")
            return
        signed = judge_checkpoint(note, checkpoint, self._trust, where)
        for finding in signed.findings:
            if not finding.unverifiable:
                self._wrong(where, "note", finding.problem)
        witnessed = min(signed.witnessed.values(), default=None)
        yield _Stop(checkpoint.size, where, checkpoint, signed.signed and signed.holds, witnessed, outside=False)

    def _reached(self, stop: _Stop) -> None:
        """Compare the tree as it is at a stop, whose leaves are all read."""
        if stop.size != self._tree.size:  # smaller than one before it: a note that says another size than its row
            self._wrong(stop.where, "size", "checkpoints are not in the order of their sizes")
            return
        if self._tree.root() != stop.checkpoint.root:
            self._bad_roots += 1
            if self._bad_roots == 1:
                problem = "signs another root than the leaves give: records before it were altered, removed or added"
                self._wrong(stop.where, "root", problem)
            return
        if stop.outside:
            self._summary.outside += 1
        if stop.trusted and not self._bad_roots:
            self.walked.covered = stop.size
            self.walked.tail_from = self.walked.tail_until = ""
        if stop.witnessed is not None:
            if self._latest > iso(stop.witnessed + CLOCKS_DIFFER)[_SECOND]:
                problem = f"a leaf says that it was written after this was witnessed: {self._latest}"
                self._wrong(stop.where, "note", problem)
            second = iso(stop.witnessed - CLOCKS_DIFFER - timedelta(seconds=1))[_SECOND]
            if second > self._not_before:
                self._not_before = second
                self._not_before_by = f"is earlier than {stop.where}, which was witnessed before it had its leaf"

    async def _beyond(self, outside: list[_Stop]) -> AsyncIterator[LogFinding]:
        """Compare the stops at the end, and report those beyond it."""
        while (stop := await self._next_stop(outside)) is not None:
            self._drop(stop, outside)
            if stop.size <= self.walked.size and self._whole:
                self._reached(stop)
            elif self._whole and (stop.outside or not await self._is_there(stop.size)):
                self.walked.beyond.append((stop.size, stop.where))
        self.walked.root = self._tree.root()
        self._summary.uncovered += self.walked.size - self.walked.covered
        for finding in self._told():
            yield finding

    async def _is_there(self, size: int) -> bool:
        """Tell whether the log has grown so far since its leaves were read."""
        return bool(await self._log.leaves(first=size - 1, limit=1, log=self.walked.number))

    # the end

    def _end(self, state: TreeState | None, edge: Mapping[TileId, bytes], beyond: Sequence[TileId]) -> None:
        """Compare state and edge, which were read while the log did not grow."""
        if self._whole:
            for tile in TiledTree.edge_tiles(self._tree.size):
                self._compare(tile, self._tree.edge[tile.level], edge.get(tile, b""), whole=True)
        for tile in beyond:
            if not has_tile(self.walked.size, tile):
                self._wrong(f"tile {tile.level}/{tile.number}", "number", "a tree of these leaves has no such tile")
        if state is None:
            return
        if self._whole and state.size != self._tree.size:
            self._wrong("log", "trees.size", f"is {state.size}, and there are {self._tree.size} leaves")
        elif self._whole and state.root != self._tree.root():
            self._wrong("log", "trees.root", "is not the root that the leaves give")
        values: dict[str, Scalar] = {"origin": state.origin, "size": state.size, "root": state.root}
        if self._macs is not None and not self._macs.holds(TREE_STATE, values, state.mac):
            by_another = state.mac is not None and not self._macs.has_key_of(state.mac)
            why = ": by a key that was not given, so give all keys of the app" if by_another else ""
            self._wrong("log", "trees.mac", f"the size and root of the tree have no MAC of this installation{why}")


def _origin_of(text: str) -> str | None:
    try:
        return checkpoint_of(text).origin
    except (NoteError, TypeError, AttributeError):
        return None


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


def _size_of_stop(stop: _Stop) -> int:
    return stop.size
