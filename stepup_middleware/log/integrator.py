"""From record to leaf: the one step that gives records their places in the tree.

A step takes the records that have no leaf yet, never those above some number: serial numbers commit out of order. It
checks before it extends: the state that the database keeps has a MAC, the tiles at the right edge must give its root,
and the tree must have grown from the one that this process saw last. Where that fails, nothing is written and nothing
may be signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from .merkle import EMPTY_ROOT, hash_leaf, is_consistent
from .records import TREE_STATE, RowMacs, names_body
from .tiles import TiledTree, TileError, TileId, TileReader, prove_consistency

BATCH = 4096  # records in one step


class Fault(StrEnum):
    """The fault that a step found."""

    RECORD_MAC = "a record has no MAC of this installation: somebody else wrote it, or altered it"
    RECORD_ENTRY = "the entry of a record is not that of its body"
    STATE_MAC = "the size and root of the tree have no MAC of this installation"
    STATE_TILES = "the tiles do not give the root that was kept: the tree was changed"
    TREE_SHRANK = "the tree is smaller than it was: an older copy of the database, or leaves were removed"
    TREE_DIFFERS = "the tree is another than it was"
    TREE_OF_ANOTHER_LOG = "the tree is that of a log with another origin"
    LEAVES_AHEAD = "there are leaves that no tree has: somebody else wrote them"
    TREE_MISSING = "the tree that this installation had is gone"


class PendingRecord(NamedTuple):
    """A record that has no leaf. ``seq`` is its serial number: of one prompt's records, the later has the higher."""

    seq: int
    id: str
    body: str
    entry: str
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeState:
    """How far the tree of a log has grown, as the database keeps it."""

    origin: str
    size: int
    root: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class SeenTree:
    """The tree as somebody outside the database saw it: this process at its last step, or a checkpoint."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The writes of a step, in one transaction: the state, whole tiles, each record's index, what was refused."""

    state: TreeState | None = None
    tiles: Mapping[TileId, bytes] = field(default_factory=dict)
    indexes: Mapping[str, int] = field(default_factory=dict)  # by record id
    refused: Mapping[str, Fault] = field(default_factory=dict)  # records that get no leaf, by id
    alarm: Fault | None = None  # of the tree; nothing else is in the step then

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.state is None and not self.refused


class TreeReader(TileReader, Protocol):
    """Where the tree and its leaves are kept."""

    async def leaf_ahead(self) -> tuple[int, int] | None:
        """Return tree and index of a leaf that no tree has, by the sizes that are kept; None where there is none."""
        ...


class IntegrationStore(TreeReader, Protocol):
    """The part of a store that a step needs, all within one transaction that only one process has at a time."""

    async def read_tree_state(self) -> TreeState | None:
        """Return the state of the tree, None before the first step."""
        ...

    async def pending_records(self, limit: int) -> Sequence[PendingRecord]:
        """Return records that have no leaf and were not refused, those of the lowest serial numbers."""
        ...

    async def write_step(self, step: Step) -> None:
        """Write the state, the tiles, and each record's index; mark what was refused, so that it waits no longer.

        No record ever gets two indexes, and no index two records: a constraint, whose violation is an alarm.
        """
        ...


def state_of(origin: str, tree: TiledTree, macs: RowMacs) -> TreeState:
    """Return the state of a tree, with its MAC."""
    size, root = tree.size, tree.root()
    mac = macs.make(TREE_STATE, {"origin": origin, "size": size, "root": root})
    return TreeState(origin=origin, size=size, root=root, mac=mac)


def integrate(state: TreeState, tree: TiledTree, pending: Sequence[PendingRecord], macs: RowMacs) -> Step:
    """Return the step that gives records their leaves. ``tree`` is the one of the state, and was checked.

    A record whose MAC or entry does not hold gets no leaf: it is refused, and does not hold up the others.
    """
    indexes: dict[str, int] = {}
    leaf_hashes: list[bytes] = []
    refused: dict[str, Fault] = {}
    for record in sorted(pending, key=lambda each: each.seq):
        if fault := _fault_of(record, macs):
            refused[record.id] = fault
        else:
            indexes[record.id] = tree.size + len(leaf_hashes)
            leaf_hashes.append(hash_leaf(record.entry.encode()))
    if not leaf_hashes:
        return Step(refused=refused)
    grown, tiles = tree.append(leaf_hashes)
    return Step(state=state_of(state.origin, grown, macs), tiles=tiles, indexes=indexes, refused=refused)


def _fault_of(record: PendingRecord, macs: RowMacs) -> Fault | None:
    """Return why a record gets no leaf, None where it gets one. A database may say anything, of any type."""
    if {type(record.id), type(record.entry), type(record.body)} != {str}:
        return Fault.RECORD_MAC
    if not macs.holds_for_record(record.id, record.entry, record.mac):
        return Fault.RECORD_MAC
    return None if names_body(record.entry, record.body) else Fault.RECORD_ENTRY


async def check_tree(
    store: TreeReader, state: TreeState | None, *, origin: str, seen: SeenTree, macs: RowMacs
) -> TiledTree | Fault:
    """Return the tree that the database has, or why it is not the one that was seen, grown.

    A leaf that no tree has is in the way of the one that belongs there, and keeps a record that it names from its own.
    """
    tree: TiledTree | Fault
    if state is None:
        tree = Fault.TREE_MISSING if seen.size else TiledTree()
    else:
        tree = await _check_state(store, state, origin=origin, seen=seen, macs=macs)
    return tree if isinstance(tree, Fault) or await store.leaf_ahead() is None else Fault.LEAVES_AHEAD


async def _check_state(
    store: TileReader, state: TreeState, *, origin: str, seen: SeenTree, macs: RowMacs
) -> TiledTree | Fault:
    if not macs.holds(TREE_STATE, {"origin": state.origin, "size": state.size, "root": state.root}, state.mac):
        return Fault.STATE_MAC
    if state.origin != origin:
        return Fault.TREE_OF_ANOTHER_LOG
    try:
        tree = TiledTree.from_tiles(state.size, await store.read_tiles(TiledTree.edge_tiles(state.size)))
        if tree.root() != state.root:
            return Fault.STATE_TILES
        if state.size < seen.size:
            return Fault.TREE_SHRANK
        if not await _grew_from(store, state, seen):
            return Fault.TREE_DIFFERS
    except TileError:
        return Fault.STATE_TILES
    return tree


async def _grew_from(store: TileReader, state: TreeState, seen: SeenTree) -> bool:
    if seen.size == 0:
        return True
    proof = await prove_consistency(store, seen.size, state.size)
    return is_consistent(old=seen.size, old_root=seen.root, size=state.size, root=state.root, proof=proof)


async def take_step(
    store: IntegrationStore, *, origin: str, seen: SeenTree, macs: RowMacs, limit: int = BATCH
) -> tuple[Step, SeenTree]:
    """Take one step within the store's transaction, and return it with the tree as it is now.

    The caller repeats it while it got as many records as it asked for. After an alarm nothing was written.
    """
    state = await store.read_tree_state()
    tree = await check_tree(store, state, origin=origin, seen=seen, macs=macs)
    if isinstance(tree, Fault):
        return Step(alarm=tree), seen
    state = state or state_of(origin, tree, macs)
    step = integrate(state, tree, await store.pending_records(limit), macs)
    if not step.is_empty:
        await store.write_step(step)
    after = step.state or state
    return step, SeenTree(after.size, after.root)
