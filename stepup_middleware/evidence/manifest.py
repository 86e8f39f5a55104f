"""The manifest of an export, ``stepup-export-1``: what the file is said to have, and what proves its records.

That its records are in the log's tree, the tree proves. That no other record was to be in it is the claim of whoever
made the export, which the keys of the log sign. ``schemas/export-1.json`` describes it member by member.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from stepup_middleware.core.canonical import canonical_json, strict_json
from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.core.moments import iso
from stepup_middleware.core.schema import violations
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.notes import Note, NoteError, decode_base64, encode_base64, read_note

FORMAT = "stepup-export-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedTree:
    """A tree of which an export has every record that was asked for: its number, and the checkpoint up to which."""

    log: int
    checkpoint: Checkpoint

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        origin, size, root = self.checkpoint.origin, self.checkpoint.size, encode_base64(self.checkpoint.root)
        return {"log": self.log, "origin": origin, "root": root, "size": size}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportClaim:
    """What an export is said to be.

    ``workspace`` None: all. ``wanted`` are pairs of name and value, none for all records. ``records`` are those in the
    file, ``unproved`` those of them that were under no checkpoint. ``origin`` is the log that signs, or empty.
    """

    made_at: datetime
    origin: str
    workspace: str | None
    wanted: tuple[tuple[str, str], ...]
    form: ExportFormat
    records: int
    unproved: int
    length: int
    sha256: str
    trees: tuple[ClaimedTree, ...]

    @property
    def text(self) -> str:
        """The claim as RFC 8785 JSON."""
        return canonical_json(
            {
                "v": 1,
                "made_at": iso(self.made_at),
                "origin": self.origin,
                "workspace": self.workspace,
                "filter": [list(pair) for pair in self.wanted],
                "format": self.form.value,
                "records": self.records,
                "unproved": self.unproved,
                "bytes": self.length,
                "sha256": self.sha256,
                "trees": [tree.as_dict() for tree in self.trees],
            }
        )

    @property
    def statement(self) -> Checkpoint:
        """What the keys of the log sign of it: a checkpoint in form, under a name that no log has."""
        digest = sha256(self.text.encode()).digest()
        return Checkpoint(f"{FORMAT}/{digest.hex()}", self.records, digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedTree:
    """The signed checkpoint of a tree, and the hashes of all its parts that have none of the records."""

    note: Note
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of an export: its claim, the note that signs it, and for each tree of the claim its proof."""

    claim: ExportClaim
    signature: Note | None
    trees: Sequence[ProvedTree]

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as a JSON value, which ``export-1.json`` describes."""
        return {
            "format": FORMAT,
            "claim": self.claim.text,
            "signature": None if self.signature is None else str(self.signature),
            "trees": [
                {"checkpoint": str(tree.note), "hashes": [encode_base64(hash_) for hash_ in tree.hashes]}
                for tree in self.trees
            ],
        }


@cache
def export_schema() -> Mapping[str, Any]:
    """Return the published schema of the manifest, ``schemas/export-1.json``."""
    text = files("stepup_middleware").joinpath("schemas", "export-1.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


class ManifestError(ValueError):
    """A manifest that is none: ``field`` is the member, and the text says what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


def read_manifest(value: object) -> Manifest:
    """Return the manifest of a JSON value that ``strict_json`` read. Raises ``ManifestError``."""
    for path, problem in violations(export_schema(), value):
        raise ManifestError(path or "manifest", problem)
    members: dict[str, Any] = value if isinstance(value, dict) else {}
    claim = _read_claim(members["claim"])
    trees = []
    for at, (claimed, shown) in enumerate(zip(claim.trees, members["trees"], strict=False)):
        where = f"trees[{at}].checkpoint"
        note = _read_note(where, shown["checkpoint"])
        try:
            same = read_checkpoint(note.text)
        except NoteError as error:
            raise ManifestError(where, str(error)) from None
        if (same.origin, same.size, same.root) != (
            claimed.checkpoint.origin,
            claimed.checkpoint.size,
            claimed.checkpoint.root,
        ):
            raise ManifestError(where, "is not the tree that the claim names")
        trees.append(ProvedTree(note=note, hashes=[decode_base64(text) for text in shown["hashes"]]))
    if len(members["trees"]) != len(claim.trees):
        raise ManifestError("trees", "are not those that the claim names")
    signature = None if members["signature"] is None else _read_note("signature", members["signature"])
    if signature is not None and signature.text != claim.statement.text:
        raise ManifestError("signature", "signs another claim")
    return Manifest(claim=claim, signature=signature, trees=trees)


def _read_claim(text: str) -> ExportClaim:
    try:
        members = strict_json(text)
    except ValueError as error:
        raise ManifestError("claim", f"is not JSON: {error}") from None
    schema = export_schema()
    for path, problem in violations({**schema["$defs"]["claim"], "$defs": schema["$defs"]}, members):
        raise ManifestError(f"claim.{path}" if path else "claim", problem)
    try:
        claim = ExportClaim(
            made_at=datetime.fromisoformat(members["made_at"]),
            origin=members["origin"],
            workspace=members["workspace"],
            wanted=tuple((name, value) for name, value in members["filter"]),
            form=ExportFormat(members["format"]),
            records=members["records"],
            unproved=members["unproved"],
            length=members["bytes"],
            sha256=members["sha256"],
            trees=tuple(
                ClaimedTree(
                    log=tree["log"], checkpoint=Checkpoint(tree["origin"], tree["size"], decode_base64(tree["root"]))
                )
                for tree in members["trees"]
            ),
        )
        canonical = claim.text == text
    except (ValueError, UnicodeError) as error:
        raise ManifestError("claim", str(error)) from None
    numbers = [tree.log for tree in claim.trees]
    if not canonical or sorted(set(numbers)) != numbers or claim.unproved > claim.records:
        raise ManifestError("claim", "is RFC 8785 JSON, with each tree once and by its number")
    return claim


def _read_note(where: str, text: str) -> Note:
    try:
        return read_note(text)
    except NoteError as error:
        raise ManifestError(where, str(error)) from None
