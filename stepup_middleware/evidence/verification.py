"""Verify an evidence bundle offline: with the bundle and whom the auditor trusts, and nothing else.

What is proved: each record shown is in the tree that the log signed, word for word; trusted witnesses saw this tree at
their times; the person's key signed this action. That no further record belongs to the step-up is the word of whoever
made the bundle: no proof over single leaves can show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from stepup_middleware.core.events import AuditRecord, EventName
from stepup_middleware.core.findings import Finding as CoreFinding
from stepup_middleware.core.findings import LocatedRecord
from stepup_middleware.core.moments import iso
from stepup_middleware.core.proofs import SignatureHolds, check_proof
from stepup_middleware.core.retention import CLOCKS_DIFFER
from stepup_middleware.core.schema import violations
from stepup_middleware.core.sequence import check_events, read_event
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.keys import VerifiedSignature, VerifierKey, verify_note
from stepup_middleware.log.merkle import includes
from stepup_middleware.log.notes import Note, NoteError, read_note
from stepup_middleware.log.records import entry_of, read_body, read_entry

from .bundle import ProvedRecord, read_records
from .report import PROOF_CHECKS, Check, Finding, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What an auditor knows from elsewhere.

    ``log_keys``, ``witness_keys``: public keys. ``quorum``: how many of the witnesses must have cosigned.
    ``checkpoints``: some that were kept when they were signed. ``rp_id``: the relying party that the person used.
    """

    log_keys: Sequence[VerifierKey] = ()
    witness_keys: Sequence[VerifierKey] = ()
    quorum: int = 1
    checkpoints: Sequence[Checkpoint] = ()
    rp_id: str | None = None


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
        self.witnessed: dict[str, datetime] = {}

    def report(self) -> Report:
        times = [*self._log_signed(), *self._witnesses_cosigned()]
        self._not_another_history()
        located = [each for where, record in self.records.items() if (each := self._record(where, record, times))]
        events = [each for each in located if each.where != "enrolment"]
        self._order()
        self._members(events)
        if len(located) == len(self.records):
            self._events(events, next((each for each in located if each.where == "enrolment"), None))
        return Report(
            findings=tuple(self.findings),
            made=frozenset(self.made),
            events=tuple(each.record for each in events),
            witnessed=self.witnessed,
        )

    def _note(self, check: Check, where: str, problem: str, *, unverifiable: bool = False) -> None:
        self.findings.append(Finding(check=check, field=where, problem=problem, unverifiable=unverifiable))

    def _add(self, found: Iterator[CoreFinding] | Sequence[CoreFinding]) -> None:
        self.findings += map(Finding.of, found)

    # who signed the tree

    def _log_signed(self) -> Iterator[datetime]:
        """Yield the times at which the log says that it signed."""
        if not self.trust.log_keys:
            self._note(Check.CHECKPOINT, "checkpoint", "no trusted vkey of the log was given", unverifiable=True)
            return
        keys = [key for key in self.trust.log_keys if key.name == self.checkpoint.origin]
        verified = self._verified(Check.CHECKPOINT, keys)
        if verified is None:
            return
        if not verified:
            self._note(Check.CHECKPOINT, "checkpoint", "is signed by no key that you trust for this log")
        missing = {key.type for key in keys} - {each.key.type for each in verified}
        if verified and missing:
            problem = "lacks a signature of a type that you have a vkey of this log for"
            self._note(Check.CHECKPOINT, "checkpoint", problem, unverifiable=True)
        yield from (_moment(each.at_seconds) for each in verified if each.at_seconds)

    def _witnesses_cosigned(self) -> Iterator[datetime]:
        """Yield the times at which trusted witnesses cosigned."""
        names = {key.name for key in self.trust.witness_keys}
        if not names:
            return
        self.made.add(Check.WITNESSES)
        verified = self._verified(Check.WITNESSES, self.trust.witness_keys)
        if verified is None:
            return
        for each in verified:
            if each.at_seconds:
                at = _moment(each.at_seconds)
                self.witnessed[each.key.name] = min(at, self.witnessed.get(each.key.name, at))
        if len(self.witnessed) < self.trust.quorum:
            problem = f"{len(self.witnessed)} of {len(names)} trusted witnesses cosigned, not {self.trust.quorum}"
            self._note(Check.WITNESSES, "checkpoint", problem, unverifiable=True)
        yield from self.witnessed.values()

    def _verified(self, check: Check, keys: Sequence[VerifierKey]) -> list[VerifiedSignature] | None:
        try:
            return verify_note(self.note, keys)
        except NoteError as error:
            self._note(check, "checkpoint", str(error))
            return None

    def _not_another_history(self) -> None:
        for kept in self.trust.checkpoints:
            same_size = (kept.origin, kept.size) == (self.checkpoint.origin, self.checkpoint.size)
            if same_size and kept.root != self.checkpoint.root:
                problem = "has another root than the checkpoint of this size that was kept: there are two histories"
                self._note(Check.CHECKPOINT, "checkpoint", problem)

    # what is in the tree

    def _record(self, where: str, record: ProvedRecord, times: Sequence[datetime]) -> LocatedRecord | None:
        """Check that a record is in the tree, word for word. Returns its event where it can be read."""
        try:
            entry = read_entry(record.entry)
        except ValueError as error:
            self._note(Check.INCLUSION, f"{where}.entry", str(error))
            return None
        if not includes(
            root=self.checkpoint.root,
            size=self.checkpoint.size,
            index=record.index,
            leaf_hash=entry.leaf_hash,
            proof=record.path,
        ):
            problem = "the path does not lead from this entry and index to the root of the checkpoint"
            self._note(Check.INCLUSION, f"{where}.path", problem)
        if not entry.is_of(record.body):
            self._note(Check.INCLUSION, f"{where}.body", "is not the body of this entry: its hash is another")
        if any(entry.at > time + CLOCKS_DIFFER for time in times):
            self._note(Check.INCLUSION, f"{where}.entry", "says that it was written after the checkpoint was signed")
        try:
            text = read_body(record.body)
        except ValueError as error:
            self._note(Check.EVENTS, f"{where}.body", str(error))
            return None
        event, found = read_event(where, "", 0, b"", b"", text)
        self._add(found)
        if event is None:
            return None
        if iso(entry.at) != iso(event.at):
            self._note(Check.EVENTS, f"{where}.entry", "its at is not what the body says")
        if entry.keep_until != _keep_until(event):
            self._note(Check.EVENTS, f"{where}.entry", "its keep_until is not what the body says")
        return LocatedRecord(where=where, record=event)

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


def _keep_until(event: AuditRecord) -> date | None:
    """Return the last day on which an event is kept, None where its years are no number or beyond every calendar."""
    if type(event.retention_years) is not int:  # its text may have said anything
        return None
    try:
        return entry_of("", at=event.at, retention_years=event.retention_years).keep_until
    except (ValueError, OverflowError):
        return None


def _moment(at_seconds: int) -> datetime:
    """Return the time of a signature; one that no calendar has is as late as can be."""
    try:
        return datetime.fromtimestamp(at_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC) - CLOCKS_DIFFER
