"""Verify an export of the log with its manifest, offline.

It proves of an NDJSON export: each record is in the tree that the log signed, word for word; events and proofs hold.
That no record is missing is what the log's keys claim in the manifest: a tree shows what is in it, and not which
workspace its other leaves are of. CSV and OCSF do not have the whole record; of them the claim alone can be told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.canonical import canonical_json, strict_json
from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.core.retention import CLOCKS_DIFFER
from stepup_middleware.log.keys import verify_note
from stepup_middleware.log.leaf_sets import root_of_set
from stepup_middleware.log.notes import NoteError

from .assertions import CheckAssertions, HeldAssertions
from .findings import LogFinding, LogSummary
from .manifest import ExportClaim, Manifest
from .prompts import Placed, PromptJudge
from .record import MISSHAPEN, read_record_at
from .trust import Trust, judge_checkpoint

PLACE = ("seq", "id", "log", "index", "entry")  # of a line, beside the members of the body
_NEVER = datetime.max.replace(tzinfo=UTC) - CLOCKS_DIFFER
_AT_ONCE = 1000  # records, before the proofs among them are verified


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What was read of a file: its length, its SHA-256 in hexadecimal, and how many lines it has."""

    length: int
    sha256: str
    lines: int


class ExportedFile(Protocol):
    """An export's file, and an index over its records that is made while it is read, in bounded memory."""

    def lines(self) -> Iterator[str]:
        """Yield its lines."""
        ...

    @property
    def facts(self) -> FileFacts:
        """What was read."""
        ...

    def add(self, record: AuditRecord, leaf_hash: bytes) -> bool:
        """Note the record of the line that was read last. False where one with its number or leaf was there."""
        ...

    def leaves(self, log: int, size: int) -> Generator[tuple[int, bytes], None, None]:
        """Yield index and hash of the leaves of a tree up to a size, ascending."""
        ...

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> Sequence[AuditRecord]:
        """Return records that were noted, as ``AuditLog.audit_after`` does."""
        ...


class ExportVerifier:
    """One verification of an export. ``summary`` tells how far it came."""

    def __init__(
        self, file: ExportedFile, manifest: Manifest, trust: Trust, *, check_assertions: CheckAssertions | None
    ) -> None:
        self.summary = LogSummary(origins=[tree.checkpoint.origin for tree in manifest.claim.trees])
        self._file = file
        self._manifest = manifest
        self._trust = trust
        self._sizes = {tree.log: tree.checkpoint.size for tree in manifest.claim.trees}
        self._held = HeldAssertions[str](check_assertions)
        self._judges = check_assertions is not None and not manifest.claim.wanted
        self._latest: dict[int, datetime] = {}
        self._unproved = 0
        self._prompts = PromptJudge(
            file, today=manifest.claim.made_at, rp_id=trust.rp_id, holds=self._held.hold, summary=self.summary
        )

    async def run(self, *, told: Callable[[str, int], None] | None = None) -> AsyncIterator[LogFinding]:
        """Yield every finding. ``told`` is called with what is counted, ``records``, and how many."""
        async for finding in self._run(told or (lambda what, count: None)):
            self.summary.count(finding)
            yield finding

    async def _run(self, told: Callable[[str, int], None]) -> AsyncIterator[LogFinding]:
        claim = self._manifest.claim
        for finding in self._claim(claim):
            yield finding
        for at, tree in enumerate(self._manifest.trees):
            judged = judge_checkpoint(tree.note, claim.trees[at].checkpoint, self._trust, f"trees[{at}].checkpoint")
            self.summary.checkpoints += 1
            self._latest[claim.trees[at].log] = min(judged.times, default=_NEVER) + CLOCKS_DIFFER
            for each in judged.findings:
                yield LogFinding(
                    where="manifest", field=each.field, problem=each.problem, unverifiable=each.unverifiable
                )
        async for finding in self._lines(claim, told):
            yield finding
        for finding in self._file_is_claimed(claim):
            yield finding
        if claim.form is ExportFormat.NDJSON:
            for finding in self._trees(claim):
                yield finding
        else:
            problem = "its lines do not have the whole records: only NDJSON can be compared with the log's tree"
            yield LogFinding(where="export", field="format", problem=problem, unverifiable=True)
        if claim.unproved:
            problem = f"{claim.unproved} records were under no checkpoint when the export was made"
            yield LogFinding(where="export", field="unproved", problem=problem, unverifiable=True)

    # the claim

    def _claim(self, claim: ExportClaim) -> Iterator[LogFinding]:
        def told(field: str, problem: str, *, unverifiable: bool = True) -> LogFinding:
            return LogFinding(where="manifest", field=field, problem=problem, unverifiable=unverifiable)

        signature = self._manifest.signature
        keys = self._trust.of_log(claim.origin)
        if signature is None:
            yield told("signature", "nobody signed that this is all: the records can be proved, a missing one not")
        elif not keys:
            yield told("signature", "no trusted vkey of the log that signed was given")
        else:
            try:
                signed = verify_note(signature, keys)
            except NoteError as error:
                yield told("signature", str(error), unverifiable=False)
                return
            if not signed:
                yield told("signature", "is by no key that you trust for this log", unverifiable=False)
            elif {key.type for key in keys} - {each.key.type for each in signed}:
                yield told("signature", "lacks a signature of a type that you have a vkey of this log for")

    def _file_is_claimed(self, claim: ExportClaim) -> Iterator[LogFinding]:
        facts = self._file.facts
        is_csv = claim.form is ExportFormat.CSV  # a record of which may have several lines
        for name, is_, said in (
            ("bytes", facts.length, claim.length),
            ("sha256", facts.sha256, claim.sha256),
            ("records", claim.records if is_csv else facts.lines, claim.records),
            ("unproved", self._unproved, claim.unproved if claim.form is ExportFormat.NDJSON else 0),
        ):
            if is_ != said:
                problem = f"is {said} in the manifest, and {is_} in the file: it is not the file that was exported"
                yield LogFinding(where="export", field=name, problem=problem)

    # lines

    async def _lines(self, claim: ExportClaim, told: Callable[[str, int], None]) -> AsyncIterator[LogFinding]:
        last = -1
        for number, line in enumerate(self._file.lines(), 1):
            if claim.form is not ExportFormat.NDJSON:
                continue
            where = f"line {number}"
            record, findings = self._record(where, line, claim)
            for finding in findings:
                yield finding
            self.summary.records += 1
            if record is None:
                continue
            if record.seq <= last:
                yield LogFinding(where=where, field="seq", problem="is not greater than that of the line before")
            last = max(last, record.seq)
            if self._judges:
                self._held.judged = where
                place = None if record.index is None else (record.log or 0, record.index)
                async for finding in self._prompts.judge(Placed(record, place)):
                    yield replace(finding, where=where)
            if number % _AT_ONCE == 0:
                told("records", number)
                async for finding in self._proved():
                    yield finding
        async for finding in self._proved():
            yield finding
        if claim.wanted and claim.form is ExportFormat.NDJSON:
            problem = "not all records were asked for: events and proofs of a step-up are judged where it is whole"
            yield LogFinding(where="export", field="filter", problem=problem, unverifiable=True)

    def _record(self, where: str, line: str, claim: ExportClaim) -> tuple[AuditRecord | None, Sequence[LogFinding]]:
        """Read a line and note its record."""
        try:
            members = strict_json(line)
            place = {name: members.pop(name) for name in PLACE}
            body = canonical_json(members)
        except MISSHAPEN:
            return None, [LogFinding(where=where, field="", problem="is no record of an NDJSON export")]
        if not _is_place(place):
            return None, [LogFinding(where=where, field="", problem=f"{', '.join(PLACE)} are not as they are written")]
        id_ = place["id"]
        read = read_record_at("", place["entry"], body)
        found = [
            LogFinding(where=where, field=each.field.removeprefix("."), problem=each.problem, record_id=id_)
            for each in read.findings
        ]
        if read.event is None or read.entry is None:
            return None, found
        record = replace(read.event, seq=place["seq"], id=id_, log=place["log"], index=place["index"])
        if claim.workspace is not None and record.workspace_id != claim.workspace:
            problem = "is not the workspace of the manifest"
            found.append(LogFinding(where=where, field="workspace", problem=problem, record_id=id_))
        if record.index is None or record.index >= self._sizes.get(record.log or 0, 0):
            self._unproved += 1
        elif read.entry.at > self._latest[record.log or 0]:
            problem = "says that it was written after the checkpoint was signed"
            found.append(LogFinding(where=where, field="entry", problem=problem, record_id=id_))
        if not self._file.add(record, read.entry.leaf_hash):
            problem = "a line before has the same number, or the same leaf"
            found.append(LogFinding(where=where, field="seq, index", problem=problem, record_id=id_))
            return None, found
        return record, found

    async def _proved(self) -> AsyncIterator[LogFinding]:
        for where in await self._held.wrong():
            yield LogFinding(
                where=where,
                field="body.data.proof.signature",
                problem="does not verify under public_key over authenticator_data and client_data_json",
            )

    # trees

    def _trees(self, claim: ExportClaim) -> Iterable[LogFinding]:
        for at, (claimed, shown) in enumerate(zip(claim.trees, self._manifest.trees, strict=True)):
            where, size = f"trees[{at}]", claimed.checkpoint.size
            try:
                with closing(self._file.leaves(claimed.log, size)) as leaves:
                    root = root_of_set(leaves, shown.hashes, size)
            except ValueError as error:
                yield LogFinding(where="export", field=f"{where}.hashes", problem=str(error))
                continue
            if root != claimed.checkpoint.root:
                problem = "the records and the hashes do not give the root that was signed: a record is not in the tree"
                yield LogFinding(where="export", field=where, problem=problem)


def _is_place(place: dict[str, Any]) -> bool:
    """Tell whether the members beside the body are a number, two texts, and a place or none."""
    log, index = place["log"], place["index"]
    has_leaf = type(log) is int and type(index) is int and 0 < log < 2**31 and 0 <= index < 2**62
    return (
        type(place["seq"]) is int
        and 0 <= place["seq"] < 2**62
        and isinstance(place["id"], str)
        and isinstance(place["entry"], str)
        and (has_leaf or (log is None and index is None))
    )
