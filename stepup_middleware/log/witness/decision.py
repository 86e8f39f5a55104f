"""The question to a witness, and how it decides: pure, in the order of C2SP tlog-witness ``add-checkpoint``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint, read_decimal
from stepup_middleware.log.keys import VerifierKey, verify_note
from stepup_middleware.log.merkle import EMPTY_ROOT, HASH_BYTES, LONGEST_PROOF, is_consistent
from stepup_middleware.log.notes import LARGEST_NOTE, Note, NoteError, decode_base64, encode_base64, read_note

LARGEST_REQUEST = LARGEST_NOTE + 4096  # bytes: the proof takes less than 3 kB
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"


class NotCosigned(Exception):
    """Why a witness does not cosign: the HTTP status and the text of its answer."""

    def __init__(self, status: int, text: str, content_type: str = TEXT_TYPE) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.content_type = content_type


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size of the tree that the witness cosigned last, a proof from there, and the new checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the note. Raises ``NoteError`` where it is none."""
        return read_checkpoint(self.note.text)

    def __str__(self) -> str:
        """Return the body of the request."""
        proof = "".join(f"{encode_base64(hash_)}\n" for hash_ in self.proof)
        return f"old {self.old_size}\n{proof}\n{self.note}"


def read_add_checkpoint(raw: bytes) -> AddCheckpoint:
    """Parse the body of a request. Raises ``NotCosigned`` with status 400."""
    head, _, note = raw.partition(b"\n\n")
    try:
        first, *hashes = head.decode().split("\n")
        if not first.startswith("old "):
            raise NoteError("the first line is the word old, a space and a size")
        if len(hashes) > LONGEST_PROOF:
            raise NoteError(f"a proof has at most {LONGEST_PROOF} hashes")
        proof = tuple(map(decode_base64, hashes))
        if any(len(hash_) != HASH_BYTES for hash_ in proof):
            raise NoteError("each line of a proof is a hash of 32 bytes in base64")
        request = AddCheckpoint(read_decimal(first.removeprefix("old ")), proof, read_note(note))
        request.checkpoint  # noqa: B018 - read for its error
    except UnicodeDecodeError:
        raise NotCosigned(400, "the request is text in UTF-8") from None
    except NoteError as error:
        raise NotCosigned(400, str(error)) from None
    return request


def check_signed(request: AddCheckpoint, logs: Mapping[str, Sequence[VerifierKey]]) -> None:
    """Check what needs no memory: that a trusted key of the log signed. ``logs`` has the keys by origin.

    Raises ``NotCosigned`` with status 404, 403 or 400.
    """
    checkpoint = request.checkpoint
    keys = logs.get(checkpoint.origin)
    if keys is None:
        raise NotCosigned(404, "this witness does not know a log of this origin")
    try:
        verified = verify_note(request.note, keys)
    except NoteError as error:
        raise NotCosigned(403, str(error)) from None
    if not verified:
        raise NotCosigned(403, "no key that this witness trusts for the log has signed the checkpoint")
    if request.old_size > checkpoint.size:
        raise NotCosigned(400, "the old size is larger than that of the checkpoint")


def check_grew(request: AddCheckpoint, latest: Checkpoint | None) -> None:
    """Check the checkpoint against the one that was cosigned last. Raises ``NotCosigned`` with status 409 or 422."""
    new, old_size = request.checkpoint, 0 if latest is None else latest.size
    if request.old_size != old_size:
        raise NotCosigned(409, f"{old_size}\n", SIZE_TYPE)
    if new.size == 0 and new.root != EMPTY_ROOT:
        raise NotCosigned(422, "a tree without leaves has the hash of the empty string as its root")
    if latest is None or latest.size == 0:
        if request.proof:
            raise NotCosigned(422, "the empty tree is the beginning of every tree: there is nothing to prove")
    elif not is_consistent(old=latest.size, old_root=latest.root, size=new.size, root=new.root, proof=request.proof):
        raise NotCosigned(
            422, "the checkpoint is not proved to have grown from the one that this witness cosigned last"
        )
