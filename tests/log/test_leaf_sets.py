"""One proof for many leaves, against the roots of RFC 9162 written out naively."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.log.leaf_sets import parts_without, prove_set, root_of_set
from stepup_middleware.log.tiles import TiledTree, TileId
from tests.log.support import leaves, naive_root

MOST = 700  # leaves: three tiles


class Tiles:
    """The tiles of a tree over some leaves."""

    def __init__(self, size: int) -> None:
        _, self.tiles = TiledTree().append(leaves(size))

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        return {tile: self.tiles[tile] for tile in tiles if tile in self.tiles}


def proved(size: int, indexes: Collection[int]) -> list[bytes]:
    async def made() -> list[bytes]:
        return [hash_ async for hash_ in prove_set(Tiles(size), sorted(indexes), size)]

    return asyncio.run(made())


sets = st.integers(0, MOST).flatmap(
    lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)) if size else st.just(set[int]()))
)


@given(sets)
def test_any_leaves_of_any_tree_and_the_hashes_of_the_rest_give_its_root(drawn: tuple[int, set[int]]) -> None:
    size, indexes = drawn
    hashes = leaves(size)
    shown = [(index, hashes[index]) for index in sorted(indexes)]
    assert root_of_set(shown, proved(size, indexes), size) == naive_root(hashes)


@given(sets.filter(lambda drawn: drawn[0] > 1), st.data())
def test_no_other_leaves_and_no_other_hashes_give_it(drawn: tuple[int, set[int]], data: st.DataObject) -> None:
    size, indexes = drawn
    hashes = leaves(size)
    shown = [(index, hashes[index]) for index in sorted(indexes)]
    proof = proved(size, indexes)
    kind = data.draw(st.sampled_from(["leaf left out", "leaf added", "leaf altered", "leaf moved", "cut", "longer"]))
    if kind == "cut":
        proof = proof[:-1] if proof else [b""]
    elif kind == "longer":
        proof = [*proof, hashes[0]]
    elif kind == "leaf added":
        shown = sorted([*shown, (data.draw(st.integers(0, size + 5)), b"\1" * 32)])
    elif not shown:
        return
    else:
        at = data.draw(st.integers(0, len(shown) - 1))
        index, hash_ = shown.pop(at)
        if kind == "leaf altered":
            shown.insert(at, (index, bytes(byte ^ 1 for byte in hash_)))
        if kind == "leaf moved":
            shown = sorted([*shown, (data.draw(st.integers(0, size - 1).filter(lambda to: to != index)), hash_)])
    try:
        assert root_of_set(shown, proof, size) != naive_root(hashes)
    except ValueError:
        return


@given(sets)
def test_the_parts_and_the_leaves_are_the_tree_each_leaf_once(drawn: tuple[int, set[int]]) -> None:
    size, indexes = drawn
    covered = [index for part in parts_without(sorted(indexes), size) for index in range(*part)]
    assert sorted([*covered, *indexes]) == list(range(size))


def test_a_tree_has_no_leaf_beyond_its_size() -> None:
    with pytest.raises(ValueError, match="leaf 4 has no place"):
        root_of_set([(4, b"\1" * 32)], [naive_root(leaves(4))], 4)
    with pytest.raises(ValueError, match="no tree"):
        root_of_set([], [], -1)
    for claimed in ([0, 1, 1], [0, 0, 2], [-1, 1, 2], [0, 0, 1]):  # each in the place of the next one
        with pytest.raises(ValueError, match="no place of its own"):
            root_of_set(list(zip(claimed, leaves(3), strict=True)), [], 3)
