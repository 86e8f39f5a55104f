"""The evidence bundle, ``stepup-evidence-2``. ``schemas/evidence-2.json`` describes it member by member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepup_middleware.log.notes import Note, decode_base64, encode_base64
from stepup_middleware.log.tlog_proof import TlogProof

FORMAT = "stepup-evidence-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedRecord:
    """A record and the proof that it is in the tree: the index of its leaf, and the path from there to the root.

    ``entry`` and ``body`` are the texts that the log has.
    """

    index: int
    entry: str
    path: tuple[bytes, ...]
    body: str

    def as_dict(self) -> dict[str, Any]:
        """Return the record as a JSON value."""
        path = [encode_base64(hash_) for hash_ in self.path]
        return {"index": self.index, "entry": self.entry, "path": path, "body": self.body}

    def tlog_proof(self, note: Note) -> TlogProof:
        """Return the proof as a file of its own; its ``extra`` is the entry."""
        return TlogProof(index=self.index, path=self.path, note=note, extra=self.entry.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The evidence of one step-up. ``records`` are in the order of the log, ``note`` is the signed checkpoint."""

    prompt_id: str
    workspace_id: str
    records: Sequence[ProvedRecord]
    enrolment: ProvedRecord | None
    note: Note

    def as_dict(self) -> dict[str, Any]:
        """Return the bundle as a JSON value, which ``evidence-2.json`` describes."""
        return {
            "format": FORMAT,
            "prompt_id": self.prompt_id,
            "workspace_id": self.workspace_id,
            "records": [record.as_dict() for record in self.records],
            "enrolment": None if self.enrolment is None else self.enrolment.as_dict(),
            "checkpoint": str(self.note),
        }


def read_proved_record(members: dict[str, Any]) -> ProvedRecord:
    """Return a record of a bundle that has the shape of the schema."""
    path = tuple(map(decode_base64, members["path"]))
    return ProvedRecord(index=members["index"], entry=members["entry"], path=path, body=members["body"])
