"""Tiles: what they have is what the standard says, however the tree grew, and every proof comes out of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.log.merkle import root_of
from stepup_middleware.log.tiles import (
    TILE_WIDTH,
    TiledTree,
    TileError,
    TileId,
    has_tile,
    prove_consistency,
    prove_inclusion,
    read_root,
    read_tile_path,
    tile_path,
    tile_widths,
)
from tests.log.support import Tiles, leaves, naive_path, naive_proof, naive_root

STEPS = st.lists(st.sampled_from((0, 1, 2, 3, 100, 255, 256, 257, 600)), max_size=12)
LARGE = leaves(70_000)  # three levels: the example of the standard


def test_a_tree_of_70_000_leaves_has_the_tiles_that_the_standard_names() -> None:
    tiles = Tiles(LARGE).kept
    widths = {tile: len(hashes) // 32 for tile, hashes in tiles.items()}
    assert [sum(1 for tile, width in widths.items() if tile.level == 0 and width == TILE_WIDTH)] == [273]
    assert widths[TileId(0, 273)] == 112
    assert widths[TileId(1, 0)] == TILE_WIDTH
    assert widths[TileId(1, 1)] == 17
    assert widths[TileId(2, 0)] == 1
    assert len(widths) == 273 + 1 + 1 + 1 + 1
    assert tile_widths(70_000) == [70_000, 273, 1]
    assert Tiles(LARGE[:256]).kept.keys() == {TileId(0, 0), TileId(1, 0)}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_536, 65_537, 70_000])
def test_a_tree_has_the_tiles_that_are_written_and_no_others(size: int) -> None:
    near = [TileId(level, number) for level in range(-1, 9) for number in range(-1, 280)]
    assert {tile for tile in near if has_tile(size, tile)} == Tiles(LARGE[:size]).kept.keys()


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_tiles_are_the_same_however_the_tree_grew(steps: list[int]) -> None:
    grown = Tiles()
    for count in steps:
        grown.append(leaves(count, first=grown.tree.size))
    at_once = Tiles(leaves(sum(steps)))
    assert grown.kept == at_once.kept
    assert grown.tree == at_once.tree == TiledTree.from_tiles(sum(steps), grown.kept)
    assert grown.tree.root() == root_of(leaves(sum(steps)))


@given(st.integers(1, 70_000), st.data())
@settings(max_examples=25, deadline=None)
async def test_every_proof_comes_out_of_the_tiles_with_one_read(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    tiles = TREE
    before = tiles.reads
    assert await prove_inclusion(tiles, index, size) == naive_path(index, LARGE[:size])
    assert await prove_consistency(tiles, old, size) == naive_proof(old, LARGE[:size])
    assert await read_root(tiles, size) == naive_root(LARGE[:size])
    assert tiles.reads - before <= 3  # and none where there is nothing to prove


async def test_a_proof_from_the_empty_tree_is_empty() -> None:
    assert await prove_consistency(TREE, 0, 70_000) == []
    assert await prove_consistency(TREE, 0, 0) == []


@given(st.integers(0, 7), st.integers(0, 10**12), st.integers(1, TILE_WIDTH))
def test_a_path_of_a_tile_is_read_back(level: int, index: int, width: int) -> None:
    tile = TileId(level, index)
    assert read_tile_path(tile_path(tile, width)) == (tile, width)


def test_paths_are_those_of_the_standard() -> None:
    assert tile_path(TileId(0, 1234067)) == "tile/0/x001/x234/067"
    assert tile_path(TileId(2, 0), 1) == "tile/2/000.p/1"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/8/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/-1/000",
        "/tile/0/000",
        "tile/0/" + "x000/" * 40 + "000",
    ],
)
def test_a_path_of_any_other_spelling_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path of a tile"):
        read_tile_path(path)


@given(st.integers(257, 3000), st.data())
@settings(max_examples=40, deadline=None)
async def test_a_missing_or_short_tile_is_said_and_never_guessed(size: int, data: st.DataObject) -> None:
    tiles = Tiles(LARGE[:size])
    tile = data.draw(st.sampled_from(sorted(tiles.kept)))
    shorter = data.draw(st.integers(0, len(tiles.kept[tile]) - 1))
    tiles.kept[tile] = tiles.kept[tile][:shorter]
    root = naive_root(LARGE[:size])
    try:
        assert await read_root(tiles, size) == root  # what was cut off is not needed
        TiledTree.from_tiles(size, tiles.kept)
    except TileError as error:
        assert tile_path(tile) in str(error)


def test_a_state_that_does_not_fit_its_size_is_refused() -> None:
    for size, edge in ((1, ()), (1, (b"short",)), (256, (b"",)), (0, (b"",)), (2, (b"0" * 32,))):
        with pytest.raises(TileError):
            TiledTree(size, edge)
    with pytest.raises(ValueError, match="32 bytes"):
        TiledTree().append([b"short"])


TREE = Tiles(LARGE)
