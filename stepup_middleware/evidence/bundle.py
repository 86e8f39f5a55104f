"""The evidence bundle, ``stepup-evidence-2``. ``schemas/evidence-2.json`` describes it member by member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def as_dict(self, places: Mapping[bytes, int]) -> dict[str, Any]:
        """Return the record as a JSON value. ``places`` are those of all hashes in the bundle's list."""
        path = [places[hash_] for hash_ in self.path]
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
        shown = [*self.records, *([] if self.enrolment is None else [self.enrolment])]
        hashes = dict.fromkeys(hash_ for record in shown for hash_ in record.path)
        places = {hash_: place for place, hash_ in enumerate(hashes)}
        return {
            "format": FORMAT,
            "prompt_id": self.prompt_id,
            "workspace_id": self.workspace_id,
            "records": [record.as_dict(places) for record in self.records],
            "enrolment": None if self.enrolment is None else self.enrolment.as_dict(places),
            "hashes": [encode_base64(hash_) for hash_ in hashes],
            "checkpoint": str(self.note),
        }


def read_records(bundle: Mapping[str, Any]) -> dict[str, ProvedRecord]:
    """Return the records of a bundle that has the shape of the schema, by their places: ``records[1]``, ``enrolment``.

    Raises ``ValueError`` unless the paths use each of the bundle's hashes, and each is listed once.
    """
    shown = {f"records[{number}]": members for number, members in enumerate(bundle["records"])}
    if bundle["enrolment"] is not None:
        shown["enrolment"] = bundle["enrolment"]
    hashes = list(map(decode_base64, bundle["hashes"]))
    used = {place for members in shown.values() for place in members["path"]}
    if used != set(range(len(hashes))) or len(set(hashes)) != len(hashes):
        raise ValueError("the paths use each of the hashes, and each is listed once")
    return {
        where: ProvedRecord(
            index=members["index"],
            entry=members["entry"],
            path=tuple(hashes[place] for place in members["path"]),
            body=members["body"],
        )
        for where, members in shown.items()
    }
