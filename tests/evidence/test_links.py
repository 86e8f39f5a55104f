"""A log that takes another's place: verifying spans both, names what was lost between, and finds a fork."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.evidence.findings import LogFinding
from stepup_middleware.evidence.links import links
from stepup_middleware.evidence.tree_walk import Walked
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, SigningKey, sign_checkpoint
from stepup_middleware.log.merkle import hash_leaf
from stepup_middleware.log.notes import encode_base64
from stepup_middleware.log.stored import Leaf, StoredRecord
from stepup_middleware.log.tiles import TiledTree, TileId

OLD, NEW = "log.example.com/one", "log.example.com/two"
KEYS = tuple(SigningKey.generate(OLD, type_) for type_ in LOG_TYPES)
TRUST = Trust(log_keys=[key.verifier for key in KEYS])


class Tiles:
    """The tiles of a tree in memory."""

    def __init__(self, tiles: Mapping[TileId, bytes]) -> None:
        self.tiles = tiles

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        return {tile: self.tiles[tile] for tile in tiles if tile in self.tiles}


def tree(*leaves: str) -> tuple[TiledTree, Tiles]:
    grown, tiles = TiledTree().append([hash_leaf(leaf.encode()) for leaf in leaves])
    return grown, Tiles(tiles)


def signed(grown: TiledTree, keys: tuple[SigningKey, ...] = KEYS, origin: str = OLD) -> str:
    return str(sign_checkpoint(Checkpoint(origin, grown.size, grown.root()), keys, 1_790_000_000))


def first_of(previous: dict[str, Any], event: str = "LOG_BEGUN") -> StoredRecord:
    body = canonical_json({"event": event, "data": {"origin": NEW, "previous": previous}})
    return StoredRecord(
        seq=9, id="9", body=body, entry="", mac=b"", refused=None, leaf=Leaf(log=2, index=0, record_id="9", entry=""),
        workspace="", subject="", event=event, outcome="success", purpose="", prompt="", factor="", token=None,
        person=None, held=None, at=0,
    )  # fmt: skip


async def found(previous: dict[str, Any] | None, beyond: list[tuple[int, str]] | None = None) -> list[LogFinding]:
    """Return what is found between the old log of three leaves and a new one that says this of it."""
    grown, tiles = tree("a", "b", "c")
    old = Walked(number=1, origin=OLD, size=3, root=grown.root(), beyond=beyond or [])
    firsts = {} if previous is None else {2: first_of(previous)}
    walks = {1: old, 2: Walked(number=2, origin=NEW, size=1)}
    return [each async for each in links(walks, firsts, {1: tiles, 2: Tiles({})}, TRUST)]


def says(**changes: Any) -> dict[str, Any]:
    grown, _ = tree("a", "b", "c")
    values = {"origin": OLD, "size": 3, "root": encode_base64(grown.root()), "checkpoint": signed(tree("a", "b")[0])}
    return values | changes


async def test_a_log_that_goes_on_from_all_that_the_old_one_had_is_whole() -> None:
    assert await found(says()) == []
    assert await found(says(checkpoint="")) == []


async def test_what_was_signed_and_is_lost_is_named() -> None:
    previous = says(checkpoint=signed(tree("a", "b", "c", "d", "e")[0]))
    (finding,) = await found(previous, beyond=[(5, "kept checkpoint 5")])
    assert finding.unverifiable
    assert finding.problem == f"2 records of {OLD} were signed, and are lost: from 3 on"


async def test_more_than_the_new_log_tells_of_was_cut_off() -> None:
    previous = says(checkpoint=signed(tree("a", "b", "c", "d", "e")[0]))
    gap, cut = await found(previous, beyond=[(6, "kept checkpoint 6")])
    assert gap.unverifiable
    assert (cut.unverifiable, cut.where, cut.field) == (False, "kept checkpoint 6", "size")
    (cut,) = await found(says(checkpoint=""), beyond=[(6, "kept checkpoint 6")])
    assert cut.problem == "is of 6 leaves, and there are 3: the end of the log was cut off"


async def test_another_history_of_the_old_log_is_found() -> None:
    stranger = tuple(SigningKey.generate(OLD, type_) for type_ in LOG_TYPES)
    for previous, problem in (
        (
            says(checkpoint=signed(tree("a", "x")[0])),
            "signs another root than the old log has: there are two histories",
        ),
        (says(checkpoint=signed(tree("a", "b")[0], stranger)), "is signed by no key that you trust for this log"),
        (says(checkpoint=signed(tree("a", "b")[0], origin=NEW)), "is of another log than the one before"),
        (says(checkpoint="none"), "a note is a text, an empty line, and lines of signatures"),
        (says(root=encode_base64(bytes(32))), "is not that of the log before"),
        (says(size=4), "the log before had 4 leaves when this one began, and has 3"),
        (says(origin=NEW), f"is not that of the log before, {OLD}"),
    ):
        (finding,) = await found(previous)
        assert (finding.problem, finding.unverifiable) == (problem, False)


async def test_a_new_log_says_what_it_goes_on_from() -> None:
    for previous in (None, says(size="3"), {"origin": OLD}):
        (finding,) = await found(previous)
        assert finding.problem == "does not say which log it goes on from"


async def test_a_database_in_which_no_log_was_begun_has_nothing_to_link() -> None:
    assert [finding async for finding in links({}, {}, {}, TRUST)] == []
