"""Verify an evidence bundle offline: with the bundle and whom the auditor trusts, and nothing else.

It proves: each record shown is in the tree that the log signed, word for word; trusted witnesses saw this tree at
their times; the person's key signed this action. That no further record belongs to the step-up is the word of whoever
made the bundle: no proof over single leaves can show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from stepup_middleware.core.events import EventName
from stepup_middleware.core.findings import Finding as CoreFinding
from stepup_middleware.core.findings import LocatedRecord
from stepup_middleware.core.proofs import SignatureHolds, check_proof
from stepup_middleware.core.retention import CLOCKS_DIFFER
from stepup_middleware.core.schema import violations
from stepup_middleware.core.sequence import check_events
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.merkle import includes
from stepup_middleware.log.notes import Note, NoteError, read_note

from .bundle import ProvedRecord, read_records
from .record import read_record_at
from .report import PROOF_CHECKS, Check, Finding, Report
from .trust import Trust, judge_checkpoint


@cache
def evidence_schema() -> Mapping[str, Any]:
    """Return the published schema of the bundle, ``schemas/evidence-2.json``."""
    text = files("stepup_middleware").joinpath("schemas", "evidence-2.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def verify_bundle(bundle: object, trust: Trust, *, signature_holds: SignatureHolds) -> Report:
    """Verify a bundle, parsed by ``canonical.strict_json``. Never raises for anything that a bundle may hold."""
    shape = [
        Finding(check=Check.FORMAT, field=path or "bundle", problem=problem)
        for path, problem in violations(evidence_schema(), bundle)
    ]
    if shape or not isinstance(bundle, dict):
        return Report(findings=tuple(shape), made=frozenset({Check.FORMAT}))
    try:
        note = read_note(bundle["checkpoint"])
        checkpoint = read_checkpoint(note.text)
    except NoteError as error:
        return _misshapen("checkpoint", error)
    try:
        records = read_records(bundle)
    except ValueError as error:
        return _misshapen("hashes", error)
    return _Verification(bundle, records, note, checkpoint, trust, signature_holds).report()


def _misshapen(field: str, error: ValueError) -> Report:
    found = Finding(check=Check.FORMAT, field=field, problem=str(error))
    return Report(findings=(found,), made=frozenset({Check.FORMAT}))


class _Verification:
    """One verification: the bundle has the right shape when it comes here."""

    def __init__(
        self,
        bundle: dict[str, Any],
        records: Mapping[str, ProvedRecord],
        note: Note,
        checkpoint: Checkpoint,
        trust: Trust,
        signature_holds: SignatureHolds,
    ) -> None:
        self.bundle = bundle
        self.records = records
        self.note = note
        self.checkpoint = checkpoint
        self.trust = trust
        self.signature_holds = signature_holds
        self.findings: list[Finding] = []
        self.made = {Check.FORMAT, Check.INCLUSION, Check.CHECKPOINT}

    def report(self) -> Report:
        tree = judge_checkpoint(self.note, self.checkpoint, self.trust)
        self.findings += tree.findings
        self.made |= {Check.WITNESSES} if self.trust.of_witnesses(self.checkpoint.origin) else set()
        located = [each for where, record in self.records.items() if (each := self._record(where, record, tree.times))]
        events = [each for each in located if each.where != "enrolment"]
        self._order()
        self._members(events)
        if len(located) == len(self.records):
            self._events(events, next((each for each in located if each.where == "enrolment"), None))
        return Report(
            findings=tuple(self.findings),
            made=frozenset(self.made),
            events=tuple(each.record for each in events),
            witnessed=tree.witnessed,
        )

    def _note(self, check: Check, where: str, problem: str, *, unverifiable: bool = False) -> None:
        self.findings.append(Finding(check=check, field=where, problem=problem, unverifiable=unverifiable))

    def _add(self, found: Iterator[CoreFinding] | Sequence[CoreFinding]) -> None:
        self.findings += map(Finding.of, found)

    # what is in the tree

    def _record(self, where: str, record: ProvedRecord, times: Sequence[datetime]) -> LocatedRecord | None:
        """Check that a record is in the tree, word for word. Returns its event where it can be read."""
        read = read_record_at(where, record.entry, record.body)
        self.findings += read.findings
        if read.entry is None:
            return None
        if not includes(
            root=self.checkpoint.root,
            size=self.checkpoint.size,
            index=record.index,
            leaf_hash=read.entry.leaf_hash,
            proof=record.path,
        ):
            problem = "the path does not lead from this entry and index to the root of the checkpoint"
            self._note(Check.INCLUSION, f"{where}.path", problem)
        if any(read.entry.at - time > CLOCKS_DIFFER for time in times):
            self._note(Check.INCLUSION, f"{where}.entry", "says that it was written after the checkpoint was signed")
        return None if read.event is None else LocatedRecord(where=where, record=read.event)

    def _order(self) -> None:
        numbered = [(where, record.index) for where, record in self.records.items() if where != "enrolment"]
        for (one, first), (other, second) in pairwise(numbered):
            if second <= first:
                self._note(Check.EVENTS, f"{other}.index", f"does not come after {one}")
        if "enrolment" in self.records and self.records["enrolment"].index >= numbered[0][1]:
            self._note(Check.ENROLMENT, "enrolment.index", "comes after the prompt: such a factor serves no prompt")

    # what the records say

    def _members(self, events: Sequence[LocatedRecord]) -> None:
        for each in events:
            for name, value in (("prompt", each.record.prompt_id), ("workspace", each.record.workspace_id)):
                if value != self.bundle[f"{name}_id"]:
                    self._note(Check.FORMAT, f"{name}_id", f"is not that of {each.where}")

    def _events(self, events: Sequence[LocatedRecord], enrolment: LocatedRecord | None) -> None:
        self.made.add(Check.EVENTS)
        self._add(check_events(events))
        by_name = {each.record.event: each for each in reversed(events)}
        challenge, verified = by_name.get(EventName.CHALLENGE_REQUESTED), by_name.get(EventName.VERIFIED)
        if challenge is None or verified is None:
            if enrolment is not None:
                self._note(Check.ENROLMENT, "enrolment", "nobody proved themselves with this factor")
            return
        self._add(
            check_proof(
                challenge,
                verified,
                by_name.get(EventName.ACTION_AUTHORIZED),
                enrolment,
                signature_holds=self.signature_holds,
                rp_id=self.trust.rp_id,
            )
        )
        proof = verified.record.data.get("proof")
        if isinstance(proof, dict) and proof.get("type") == "webauthn":
            self.made.update(PROOF_CHECKS)
        elif enrolment is not None and enrolment.record.factor_id != verified.record.factor_id:
            self._note(Check.ENROLMENT, enrolment.field("factor_id"), f"is not that of {verified.where}")
