"""The proof of one leaf as a file of its own (C2SP tlog-proof): index, path, and the checkpoint with its signatures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .checkpoints import read_checkpoint, read_decimal
from .keys import VerifiedSignature, VerifierKey, verify_note
from .merkle import HASH_BYTES, LONGEST_PROOF, includes
from .notes import LARGEST_NOTE, Note, NoteError, decode_base64, encode_base64, read_note

LARGEST_PROOF = LARGEST_NOTE + 64 * 1024  # bytes
_FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """A proof that a leaf is in a log. ``extra`` is whatever leads to the leaf; nothing proves it.

    In the proofs that this library writes it is the entry, whose hash is the leaf.
    """

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes = b""

    def __str__(self) -> str:
        """Return the file."""
        extra = f"extra {encode_base64(self.extra)}\n" if self.extra else ""
        path = "".join(f"{encode_base64(hash_)}\n" for hash_ in self.path)
        return f"{_FIRST_LINE}\n{extra}index {self.index}\n{path}\n{self.note}"

    def verify(self, leaf_hash: bytes, keys: Iterable[VerifierKey]) -> list[VerifiedSignature]:
        """Return the signatures of the checkpoint by these keys, where the leaf is in its tree.

        Raises ``NoteError`` where it is not, or where one of these signatures does not hold. The caller decides
        whether the signatures are enough.
        """
        checkpoint = read_checkpoint(self.note.text)
        if not includes(
            root=checkpoint.root, size=checkpoint.size, index=self.index, leaf_hash=leaf_hash, proof=self.path
        ):
            raise NoteError(f"the path does not lead from this leaf at index {self.index} to the root")
        return verify_note(self.note, keys)


def read_tlog_proof(raw: bytes) -> TlogProof:
    """Parse a proof. Raises ``NoteError``."""
    if len(raw) > LARGEST_PROOF:
        raise NoteError(f"a proof has at most {LARGEST_PROOF} bytes")
    head, _, note = raw.partition(b"\n\n")
    try:
        first, *lines = head.decode().split("\n")
    except UnicodeDecodeError:
        raise NoteError("a proof is text in UTF-8") from None
    if first != _FIRST_LINE:
        raise NoteError(f"the first line of a proof is {_FIRST_LINE}")
    extra = decode_base64(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else b""
    if not lines or not lines[0].startswith("index "):
        raise NoteError("a proof names the index of its leaf")
    path = tuple(map(decode_base64, lines[1:]))
    if len(path) > LONGEST_PROOF or any(len(hash_) != HASH_BYTES for hash_ in path):
        raise NoteError(f"the path of a proof has at most {LONGEST_PROOF} hashes of 32 bytes")
    proof = TlogProof(index=read_decimal(lines[0].removeprefix("index ")), path=path, note=read_note(note), extra=extra)
    read_checkpoint(proof.note.text)
    return proof
