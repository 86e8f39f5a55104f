"""A naive tree, straight from the definitions of RFC 9162 §2.1, and tiles in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

from stepup_middleware.log.tiles import TiledTree, TileId


def naive_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """MTH of §2.1.1, by recursion, over hashes of leaves."""
    if not leaf_hashes:
        return sha256().digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    k = naive_split(len(leaf_hashes))
    return sha256(b"\1" + naive_root(leaf_hashes[:k]) + naive_root(leaf_hashes[k:])).digest()


def naive_path(index: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """PATH of §2.1.3.1."""
    if len(leaf_hashes) == 1:
        return []
    k = naive_split(len(leaf_hashes))
    if index < k:
        return [*naive_path(index, leaf_hashes[:k]), naive_root(leaf_hashes[k:])]
    return [*naive_path(index - k, leaf_hashes[k:]), naive_root(leaf_hashes[:k])]


def naive_proof(old: int, leaf_hashes: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF of §2.1.4.1."""
    if old == len(leaf_hashes):
        return [] if whole else [naive_root(leaf_hashes)]
    k = naive_split(len(leaf_hashes))
    if old <= k:
        return [*naive_proof(old, leaf_hashes[:k], whole=whole), naive_root(leaf_hashes[k:])]
    return [*naive_proof(old - k, leaf_hashes[k:], whole=False), naive_root(leaf_hashes[:k])]


def naive_split(count: int) -> int:
    """Return the largest power of two that is smaller than a count."""
    k = 1
    while 2 * k < count:
        k *= 2
    return k


def leaves(count: int, first: int = 0) -> list[bytes]:
    """Return hashes that stand for leaves."""
    return [sha256(b"\0" + str(number).encode()).digest() for number in range(first, first + count)]


class Tiles:
    """Tiles in memory."""

    def __init__(self, leaf_hashes: Sequence[bytes] = ()) -> None:
        self.tree = TiledTree()
        self.kept: dict[TileId, bytes] = {}
        self.reads = 0
        self.append(leaf_hashes)

    def append(self, leaf_hashes: Sequence[bytes]) -> None:
        self.tree, written = self.tree.append(leaf_hashes)
        self.kept |= written

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        self.reads += 1
        return {tile: self.kept[tile] for tile in tiles if tile in self.kept}
