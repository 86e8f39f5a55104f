"""What a store keeps of the log, as it stands there: for whoever verifies it, and believes nothing that it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)  # one a row: frozen ones take three times as long to make
class Leaf:
    """A leaf: the number of its tree, its place there, the record that it was made of, and the entry it commits to."""

    log: int
    index: int
    record_id: str
    entry: str


class StoredRecord(NamedTuple):  # one a row: made in half the time that a dataclass of so many fields takes
    """A record with its row, not parsed and not checked. ``leaf`` is None until it has one, or for ever.

    ``seq`` is its serial number. ``refused`` says why it was refused a leaf. ``workspace`` to ``at`` (microseconds
    since 1970) are columns beside the body: an index over it, which proves nothing. A database that cannot hold a NUL
    has U+FFFD in its place there.
    """

    seq: int
    id: str
    body: str
    entry: str
    mac: bytes
    refused: str | None
    leaf: Leaf | None
    workspace: str
    subject: str
    event: str
    outcome: str
    purpose: str
    prompt: str
    factor: str
    token: int | None
    person: str | None
    held: int | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A signed checkpoint: the number of its tree, the size that it signs, and the note with all its signatures."""

    log: int
    size: int
    note: str
