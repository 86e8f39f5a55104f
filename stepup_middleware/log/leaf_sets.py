"""One proof for many leaves: the hashes of the largest parts of the tree that have none of them, left to right.

The tree is walked from its root as RFC 9162 §2.1 splits it. A part without any of the leaves is one hash of the proof;
a leaf of the set is its own hash. Making the proof and verifying it walk alike, and neither keeps more than the way
from the root to where it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from .merkle import EMPTY_ROOT, HASH_BYTES, LARGEST_SIZE, Range, hash_children, split
from .tiles import TileReader, hash_ranges

T = TypeVar("T")
_RANGES = 1000  # hashed at a time


def parts_without(indexes: Iterable[int], size: int) -> Iterator[Range]:
    """Yield the largest parts of the tree of a size that have none of the leaves; ``indexes`` ascend."""
    rest = _Ahead(indexes)

    def walk(start: int, end: int) -> Iterator[Range]:
        if rest.head is None or rest.head >= end:
            yield Range(start, end)
        elif end - start == 1:
            rest.take()
        else:
            middle = start + split(end - start)
            yield from walk(start, middle)
            yield from walk(middle, end)

    if size:
        yield from walk(0, size)


async def prove_set(reader: TileReader, indexes: Iterable[int], size: int) -> AsyncIterator[bytes]:
    """Yield the hashes that prove these leaves, ascending, to be in the tree of a size. Raises ``TileError``."""
    parts = parts_without(indexes, size)
    while some := list(islice(parts, _RANGES)):
        for hash_ in await hash_ranges(reader, some):
            yield hash_


def root_of_set(leaves: Iterable[tuple[int, bytes]], hashes: Iterable[bytes], size: int) -> bytes:
    """Return the root that leaves (index and hash, ascending) and the hashes of the other parts give.

    Raises ``ValueError`` unless all of them have their place in a tree of this size, each once.
    """
    if not 0 <= size <= LARGEST_SIZE:
        raise ValueError("no tree is that large")
    rest, others = _Ahead(leaves), iter(hashes)

    def walk(start: int, end: int) -> bytes:
        if rest.head is None or rest.head[0] >= end:
            return _hash(next(others, b""))
        if end - start == 1:
            index, leaf = rest.head
            if index != start:
                raise ValueError(f"leaf {index} has no place of its own in a tree of {size} leaves")
            rest.take()
            return _hash(leaf)
        middle = start + split(end - start)
        left = walk(start, middle)
        return hash_children(left, walk(middle, end))

    root = walk(0, size) if size else EMPTY_ROOT
    if rest.head is not None:
        raise ValueError(f"leaf {rest.head[0]} has no place of its own in a tree of {size} leaves")
    if next(others, None) is not None:
        raise ValueError("the proof has more hashes than there are parts")
    return root


def _hash(value: bytes) -> bytes:
    if len(value) != HASH_BYTES:
        raise ValueError("the proof has fewer hashes than there are parts")
    return value


class _Ahead(Generic[T]):
    """Values with the next one in view: ``head``, None at the end."""

    def __init__(self, values: Iterable[T]) -> None:
        self._values = iter(values)
        self.head: T | None = next(self._values, None)

    def take(self) -> None:
        self.head = next(self._values, None)
