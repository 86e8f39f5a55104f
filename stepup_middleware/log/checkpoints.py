"""Checkpoints (C2SP tlog-checkpoint): which log, how many leaves, which root. And the text that a cosigner of one
signs.

A cosignature (C2SP tlog-cosignature) is a statement with a time: of all trees of this log that the cosigner has
seen, this is the largest, and all are consistent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .merkle import HASH_BYTES, LARGEST_SIZE
from .notes import LONGEST_NAME, NoteError, decode_base64, encode_base64, read_note

LATEST_TIME = 2**63 - 1  # seconds since 1970, what a cosignature can carry

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_SUBTREE_LABEL = b"subtree/v1\n\0"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree. ``extensions`` are further lines, which the log alone answers for."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if not all(lines) or any(character < " " for line in lines for character in line):
            raise NoteError("the lines of a checkpoint are not empty and have no control characters")
        if not 1 <= len(self.origin.encode("utf-8", "replace")) <= LONGEST_NAME:
            raise NoteError(f"the origin of a checkpoint has from 1 to {LONGEST_NAME} bytes")
        if not 0 <= self.size <= LARGEST_SIZE or len(self.root) != HASH_BYTES:
            raise NoteError("a checkpoint has a size of at most 2**62 and a root of 32 bytes")

    @property
    def text(self) -> str:
        """The text that the log signs, with its last newline."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def read_checkpoint(text: str) -> Checkpoint:
    """Parse the text of a checkpoint, without signatures. Raises ``NoteError``."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise NoteError("a checkpoint has three lines: origin, size and root")
    origin, size, root, *extensions = lines[:-1]
    return Checkpoint(origin, read_decimal(size), decode_base64(root), tuple(extensions))


def checkpoint_of(note: str) -> Checkpoint:
    """Parse the checkpoint that a note signs; its signatures are not verified. Raises ``NoteError``."""
    return read_checkpoint(read_note(note).text)


def read_decimal(text: str) -> int:
    """Return the size of a tree in its one spelling. Raises ``NoteError``."""
    if _DECIMAL.fullmatch(text) is None or int(text) > LARGEST_SIZE:
        raise NoteError("the size of a tree is a decimal number of at most 2**62, without leading zeroes")
    return int(text)


def ed25519_message(checkpoint: Checkpoint, at_seconds: int) -> bytes:
    """Return what a cosigner with an Ed25519 key signs (type 0x04)."""
    return f"cosignature/v1\ntime {at_seconds}\n{checkpoint.text}".encode()


def mldsa44_message(name: str, checkpoint: Checkpoint, at_seconds: int) -> bytes:
    """Return what a cosigner of this name with an ML-DSA-44 key signs (type 0x06): the whole tree, from leaf 0."""
    return b"".join(
        (
            _SUBTREE_LABEL,
            _opaque(name),
            at_seconds.to_bytes(8, "big"),
            _opaque(checkpoint.origin),
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _opaque(text: str) -> bytes:
    """Return text behind its length in one byte (RFC 8446 §3.4)."""
    raw = text.encode()
    return bytes([len(raw)]) + raw
