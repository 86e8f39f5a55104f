"""The Merkle tree of RFC 9162 §2.1: its hashes, its roots, and proofs of inclusion and consistency.

The parts of a proof follow from two numbers: an index and a size, or an older and a newer size. The
functions that return ranges say which parts of the tree those are, bottom to top. Making a proof hashes these
ranges; verifying one folds their hashes back into the root. Both walk the same list, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
LARGEST_SIZE = 2**62  # leaves: beyond it a proof of consistency takes more than the 63 hashes that witnesses accept
LONGEST_PROOF = 63  # hashes
EMPTY_ROOT = sha256(b"").digest()


class Range(NamedTuple):
    """Leaves from ``start`` up to and without ``end``: a subtree, perfect or at the right edge of the tree."""

    start: int
    end: int


class Subtree(NamedTuple):
    """A perfect subtree: ``2**level`` leaves from ``number * 2**level`` on. A leaf has level 0."""

    level: int
    number: int


def hash_leaf(entry: bytes) -> bytes:
    """Return the 32-byte hash of a leaf."""
    return sha256(b"\0" + entry).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of a node of the tree."""
    return sha256(b"\1" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes, level by level: an odd last one moves up as it is."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        above = [hash_children(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = above if len(level) % 2 == 0 else [*above, level[-1]]
    return level[0]


def perfect_subtrees(range_: Range) -> Iterator[Subtree]:
    """Return the perfect subtrees that a range of the tree consists of, left to right, largest first."""
    start, end = range_
    while start < end:
        level = (end - start).bit_length() - 1
        yield Subtree(level, start >> level)
        start += 1 << level


def hash_range(range_: Range, hash_of: Callable[[Subtree], bytes]) -> bytes:
    """Return the hash of a range, from those of its perfect subtrees."""
    return fold([hash_of(subtree) for subtree in perfect_subtrees(range_)])


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the hashes of perfect subtrees, left to right, each smaller than the one before."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = hash_children(left, root)
    return root


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the siblings on the way from a leaf to the root (RFC 9162 §2.1.3.1).

    Raises ``ValueError`` where the tree has no such leaf.
    """
    if not 0 <= index < size <= LARGEST_SIZE:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, ranges = 0, size, []
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            ranges.append(Range(middle, end))
            end = middle
        else:
            ranges.append(Range(start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """Return the parts of the tree that show its first ``old`` leaves to be those of the older tree (§2.1.4.1).

    Raises ``ValueError`` unless 0 < old <= size: nothing is inconsistent with the empty tree.
    """
    if not 0 < old <= size <= LARGEST_SIZE:
        raise ValueError(f"no tree of {size} leaves grew from one of {old}")
    start, end, ranges = 0, size, []
    while end != old:
        middle = start + split(end - start)
        if old <= middle:
            ranges.append(Range(middle, end))
            end = middle
        else:
            ranges.append(Range(start, middle))
            start = middle
    if start:
        ranges.append(Range(start, old))
    return ranges[::-1]


def includes(*, root: bytes, size: int, index: int, leaf_hash: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof leads from a leaf to the root (§2.1.3.2). Never raises."""
    if not 0 <= index < size <= LARGEST_SIZE or not _are_hashes([root, leaf_hash, *proof]):
        return False
    ranges = inclusion_ranges(index, size)
    if len(ranges) != len(proof):
        return False
    reached = leaf_hash
    for range_, hash_ in zip(ranges, proof, strict=True):
        reached = hash_children(hash_, reached) if range_.start <= index else hash_children(reached, hash_)
    return reached == root


def is_consistent(*, old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that the tree of ``old`` leaves is the beginning of the other (§2.1.4.2).

    An older tree without leaves has no proof: False. Never raises.
    """
    if not 0 < old <= size <= LARGEST_SIZE:
        return False
    if old == size:
        return not proof and old_root == root
    if not _are_hashes([old_root, root, *proof]):
        return False
    ranges = consistency_ranges(old, size)
    if len(ranges) != len(proof):
        return False
    steps = list(zip(ranges, proof, strict=True))
    if ranges[0].end == old:
        (start, _), before = steps.pop(0)
    else:  # the older tree is one perfect subtree, whose hash is its root
        start, before = 0, old_root
    after = before
    for range_, hash_ in steps:
        if range_.end <= start:
            start, before, after = range_.start, hash_children(hash_, before), hash_children(hash_, after)
        else:
            after = hash_children(after, hash_)
    return before == old_root and after == root


class Frontier:
    """A tree that only grows, kept as the hashes of its perfect subtrees: at most 62 of them, largest first."""

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if not 0 <= size <= LARGEST_SIZE or len(hashes) != size.bit_count() or not _are_hashes(hashes):
            raise ValueError(f"a tree of {size} leaves has {max(size, 0).bit_count()} perfect subtrees")
        self.size = size
        self._hashes = list(hashes)

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf at the right."""
        if len(leaf_hash) != HASH_BYTES or self.size >= LARGEST_SIZE:
            raise ValueError("a leaf hash has 32 bytes")
        complete = self.size
        while complete & 1:
            leaf_hash = hash_children(self._hashes.pop(), leaf_hash)
            complete >>= 1
        self._hashes.append(leaf_hash)
        self.size += 1

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves at the right, in their order."""
        for leaf_hash in leaf_hashes:
            self.append(leaf_hash)

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        return fold(self._hashes)

    def __repr__(self) -> str:
        return f"<Frontier of {self.size} leaves>"


def split(size: int) -> int:
    """Return the largest power of two below a size of at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(values: Iterable[object]) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)
