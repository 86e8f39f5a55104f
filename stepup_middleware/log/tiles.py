"""The tree as tiles of 256 hashes (C2SP tlog-tiles): appended to at the right edge, and enough for every proof.

A tile of level L has the roots of perfect subtrees of ``256**L`` leaves. Only tiles at the right edge are partial,
and a partial tile is the beginning of what it grows to; so a reader may hand out a wider tile than was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Protocol

from .merkle import (
    HASH_BYTES,
    LARGEST_SIZE,
    Frontier,
    Range,
    Subtree,
    consistency_ranges,
    hash_range,
    inclusion_ranges,
    perfect_subtrees,
    root_of,
)

TILE_HEIGHT = 8  # levels of the tree
TILE_WIDTH = 1 << TILE_HEIGHT  # hashes
_TILE_BYTES = TILE_WIDTH * HASH_BYTES
HIGHEST_LEVEL = (LARGEST_SIZE.bit_length() - 1) // TILE_HEIGHT

_PATH = re.compile(r"tile/(0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


class TileId(NamedTuple):
    """The place of a tile: its level, 0 for leaf hashes, and its number within the level."""

    level: int
    number: int


class TileReader(Protocol):
    """Where tiles are kept."""

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        """Return the hashes of those tiles that there are, each as wide as it is kept."""
        ...


class TileError(Exception):
    """A tile that a tree of this size must have is missing, too short, or no whole number of hashes."""


def tile_path(tile: TileId, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile below a log's prefix: ``tile/0/x001/x234/067``, with ``.p/112`` where it is partial."""
    if not 0 <= tile.level <= HIGHEST_LEVEL or tile.number < 0 or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"no tile: {tile}, {width} hashes wide")
    digits = str(tile.number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
    return f"tile/{tile.level}/{path}" + ("" if width == TILE_WIDTH else f".p/{width}")


def read_tile_path(path: str) -> tuple[TileId, int]:
    """Return the tile and the width that a path names. Raises ``ValueError`` for any other spelling."""
    found = _PATH.fullmatch(path) if len(path) <= 80 else None
    if found is not None:
        tile = TileId(int(found[1]), int(found[2].replace("x", "").replace("/", "")))
        width = TILE_WIDTH if found[3] is None else int(found[3])
        if tile.level <= HIGHEST_LEVEL and width <= TILE_WIDTH and tile_path(tile, width) == path:
            return tile, width
    raise ValueError("no path of a tile")


def tile_widths(size: int) -> list[int]:
    """Return how many hashes each level of a tree has, up to the last level that has any."""
    widths = []
    while size:
        widths.append(size)
        size >>= TILE_HEIGHT
    return widths


def has_tile(size: int, tile: TileId) -> bool:
    """Tell whether a tree of this size has a tile, whole or partial."""
    widths = tile_widths(size)
    return 0 <= tile.level < len(widths) and 0 <= tile.number * TILE_WIDTH < widths[tile.level]


@dataclass(frozen=True, slots=True)
class TiledTree:
    """The right edge of a tree: its size, and on each level the hashes of the tile that is still partial.

    It is all that appending needs, and the root follows from it: at most 8 tiles.
    """

    size: int = 0
    edge: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        widths = [width % TILE_WIDTH * HASH_BYTES for width in tile_widths(self.size)]
        if not 0 <= self.size <= LARGEST_SIZE or [len(hashes) for hashes in self.edge] != widths:
            raise TileError(f"these are not the tiles at the right edge of a tree of {self.size} leaves")

    @staticmethod
    def edge_tiles(size: int) -> list[TileId]:
        """Return the partial tiles of a tree of this size: what ``from_tiles`` needs."""
        return [
            TileId(level, width >> TILE_HEIGHT) for level, width in enumerate(tile_widths(size)) if width % TILE_WIDTH
        ]

    @classmethod
    def from_tiles(cls, size: int, tiles: Mapping[TileId, bytes]) -> TiledTree:
        """Return the tree of a size. Raises ``TileError`` where a tile is missing or has other than whole hashes."""
        edge = []
        for level, width in enumerate(tile_widths(size)):
            partial = width % TILE_WIDTH
            tile = TileId(level, width >> TILE_HEIGHT)
            edge.append(_hashes_of(tiles, tile, partial)[: partial * HASH_BYTES] if partial else b"")
        return cls(size, tuple(edge))

    def frontier(self) -> Frontier:
        """Return the hashes of the tree's perfect subtrees."""
        return Frontier(self.size, list(chain.from_iterable(map(_perfect_hashes, reversed(self.edge)))))

    def root(self) -> bytes:
        """Return the root of the tree."""
        return self.frontier().root()

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[TiledTree, dict[TileId, bytes]]:
        """Return the tree with these leaves at the right, and the tiles that are to be written, whole."""
        if any(len(leaf_hash) != HASH_BYTES for leaf_hash in leaf_hashes):
            raise ValueError("a leaf hash has 32 bytes")
        written: dict[TileId, bytes] = {}
        edge: list[bytes] = []
        added = list(leaf_hashes)
        level, before = 0, self.size
        while added or level < len(self.edge):
            hashes = (self.edge[level] if level < len(self.edge) else b"") + b"".join(added)
            first = before >> TILE_HEIGHT
            whole = len(hashes) // _TILE_BYTES
            tiles = [hashes[at * _TILE_BYTES : (at + 1) * _TILE_BYTES] for at in range(whole + 1)]
            if added:
                written |= {TileId(level, first + at): tile for at, tile in enumerate(tiles) if tile}
            edge.append(tiles[-1])
            added = [root_of(_split(tile)) for tile in tiles[:-1]]
            level, before = level + 1, first
        return TiledTree(self.size + len(leaf_hashes), tuple(edge)), written


async def prove_inclusion(reader: TileReader, index: int, size: int) -> list[bytes]:
    """Return the proof that a leaf is in the tree of this size. Raises ``TileError``, ``ValueError``."""
    return await hash_ranges(reader, inclusion_ranges(index, size))


async def prove_consistency(reader: TileReader, old: int, size: int) -> list[bytes]:
    """Return the proof that the tree of ``old`` leaves is the beginning of another; empty from the empty tree.

    Raises ``TileError``, and ``ValueError`` where old is larger than size.
    """
    return await hash_ranges(reader, consistency_ranges(old, size)) if old else []


async def read_root(reader: TileReader, size: int) -> bytes:
    """Return the root that the tiles give for a size that the tree has or had. Raises ``TileError``."""
    return (await hash_ranges(reader, [Range(0, size)]))[0]


def tile_of(subtree: Subtree) -> tuple[TileId, int, int]:
    """Return the tile under which a perfect subtree lies, and its first hash and their number within the tile."""
    level, within = divmod(subtree.level, TILE_HEIGHT)
    first = subtree.number << within
    return TileId(level, first >> TILE_HEIGHT), first % TILE_WIDTH, 1 << within


async def hash_ranges(reader: TileReader, ranges: Iterable[Range]) -> list[bytes]:
    """Return the hash of each range, with one read of all the tiles that they lie in."""
    wanted = list(ranges)
    places = [tile_of(subtree)[0] for range_ in wanted for subtree in perfect_subtrees(range_)]
    tiles = await reader.read_tiles(set(places)) if places else {}

    def hash_of(subtree: Subtree) -> bytes:
        tile, first, count = tile_of(subtree)
        hashes = _hashes_of(tiles, tile, first + count)
        return root_of(_split(hashes[first * HASH_BYTES : (first + count) * HASH_BYTES]))

    return [hash_range(range_, hash_of) for range_ in wanted]


def _hashes_of(tiles: Mapping[TileId, bytes], tile: TileId, width: int) -> bytes:
    """Return a tile that must have at least so many hashes."""
    hashes = tiles.get(tile, b"")
    if len(hashes) < width * HASH_BYTES or len(hashes) % HASH_BYTES or len(hashes) > _TILE_BYTES:
        raise TileError(f"{tile_path(tile)} must have {width} hashes, and has {len(hashes) / HASH_BYTES:g}")
    return hashes


@lru_cache(maxsize=32)  # the edge that a step has written is the one that the next step finds
def _perfect_hashes(partial: bytes) -> tuple[bytes, ...]:
    """Return the hashes of the perfect subtrees of a partial tile."""
    within = _split(partial)
    return tuple(
        root_of(within[number << level : (number + 1) << level])
        for level, number in perfect_subtrees(Range(0, len(within)))
    )


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
