"""What the verification of a whole log says: what does not hold, where, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .report import EvidenceVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFinding:
    """Something that does not hold, or (``unverifiable``) that cannot be told.

    ``where`` is a row: ``seq 12``, ``leaf 7``, ``tile/0/000``, ``checkpoint 512``, or ``log`` for all of it. ``field``
    is its column, with a path into the body where there is one. ``record_id`` is that of the record, where one is
    meant.
    """

    where: str
    field: str
    problem: str
    unverifiable: bool = False
    record_id: str | None = None


@dataclass(slots=True, kw_only=True)
class LogSummary:
    """What a verification has looked at so far.

    ``outside``: how many checkpoints from outside the database the tree contains. ``uncovered``: leaves under no
    checkpoint that a trusted key signed. ``waiting``: records that had no leaf yet.
    """

    records: int = 0
    leaves: int = 0
    purged: int = 0
    waiting: int = 0
    checkpoints: int = 0
    outside: int = 0
    uncovered: int = 0
    proofs: int = 0
    one_time_passwords: int = 0
    incomplete: int = 0
    faults: int = 0
    untold: int = 0
    origins: list[str] = field(default_factory=list)

    def count(self, finding: LogFinding) -> None:
        """Count a finding."""
        if finding.unverifiable:
            self.untold += 1
        else:
            self.faults += 1

    @property
    def verdict(self) -> EvidenceVerdict:
        """What the findings come to."""
        if self.faults:
            return EvidenceVerdict.FAILED
        return EvidenceVerdict.NOT_VERIFIABLE if self.untold else EvidenceVerdict.VERIFIED


class Bits:
    """A set of small whole numbers, a bit each."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        byte = number >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 4096 - len(self._bits)))
        self._bits[byte] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] & 1 << (number & 7))

    def present(self) -> Iterator[int]:
        """Yield the numbers of the set, ascending."""
        for at, byte in enumerate(self._bits):
            if byte:
                yield from (number for number in range(at << 3, (at << 3) + 8) if byte & 1 << (number & 7))

    def absent(self, end: int) -> Iterator[int]:
        """Yield the numbers from 0 up to and without ``end`` that are not in the set."""
        for first in range(0, end, 8):
            byte = self._bits[first >> 3] if first >> 3 < len(self._bits) else 0
            if byte != 0xFF:
                yield from (at for at in range(first, min(first + 8, end)) if not byte & 1 << (at - first))


class SparseBits:
    """A set of whole numbers of any size, dense in few places: those of one place share a ``Bits``."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[int, Bits] = {}

    def add(self, number: int) -> bool:
        """Add a number. Returns whether it was there already."""
        place, within = number >> 20, number & 0xFFFFF
        bits = self._places.setdefault(place, Bits())
        known = within in bits
        bits.add(within)
        return known
