"""Judge an evidence bundle offline: with the bundle and what the auditor trusts, and nothing else.

``proofs.Check`` names all that is judged. The verdict is ``verified`` only when every single check was made
and held; what cannot be told (a one-time password, a head without a trusted key) is never counted as good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

from .canonical import canonical_json
from .decisions import CLOCK_SKEW
from .events import AuditRecord, EventName
from .findings import PROOF_CHECKS, Check, Finding, LocatedRecord
from .proofs import SignatureHolds, check_proof
from .schema import violations
from .segments import SegmentJudge
from .sequence import check_events, read_event
from .trust import Trust


class Verdict(StrEnum):
    """``verified``: everything was checked and held. ``not_verifiable``: nothing is wrong, not all can be told."""

    VERIFIED = "verified"
    NOT_VERIFIABLE = "not_verifiable"
    FAILED = "failed"


class Status(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NOT_VERIFIABLE = "not verifiable"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The judgement of one bundle. ``events`` are those that could be read, in the order of the log."""

    findings: tuple[Finding, ...]
    made: frozenset[Check]
    events: tuple[AuditRecord, ...] = ()

    def status(self, check: Check) -> Status:
        """Return how one check went."""
        found = [finding for finding in self.findings if finding.check is check]
        if any(not finding.unverifiable for finding in found):
            return Status.FAILED
        if found:
            return Status.NOT_VERIFIABLE
        return Status.OK if check in self.made else Status.NOT_CHECKED

    @property
    def verdict(self) -> Verdict:
        statuses = {self.status(check) for check in Check}
        if Status.FAILED in statuses:
            return Verdict.FAILED
        return Verdict.VERIFIED if statuses == {Status.OK} else Verdict.NOT_VERIFIABLE

    def event(self, name: EventName) -> AuditRecord | None:
        """Return the first event of a name."""
        return next((record for record in self.events if record.event is name), None)


def verify_bundle(
    bundle: object, trust: Trust, *, schema: Mapping[str, Any], signature_holds: SignatureHolds
) -> Report:
    """Judge a bundle, parsed by ``canonical.strict_json``. Never raises for anything that a bundle may hold.

    ``schema`` is ``schemas/evidence-1.json``. Hashes at most one link per leaf and runs one signature
    verification per head and proof.
    """
    shape = [
        Finding(check=Check.FORMAT, field=path or "bundle", problem=problem)
        for path, problem in violations(schema, bundle)
    ]
    if shape or not isinstance(bundle, dict):
        return Report(findings=tuple(shape), made=frozenset({Check.FORMAT}))
    return _Judge(bundle, trust, signature_holds).report()


class _Judge:
    """One judgement: the bundle has the right shape when it comes here."""

    def __init__(self, bundle: dict[str, Any], trust: Trust, signature_holds: SignatureHolds) -> None:
        self.bundle = bundle
        self.trust = trust
        self.signature_holds = signature_holds
        self.findings: list[Finding] = []
        self.made = {Check.FORMAT}
        self.entries: dict[str, dict[str, Any]] = {
            f"events[{index}]": entry for index, entry in enumerate(bundle["events"])
        }
        if bundle["enrolment"] is not None:
            self.entries["enrolment"] = bundle["enrolment"]
        self.placed = {where: placed for where in self.entries if (placed := self._read(where)) is not None}

    def _read(self, where: str) -> LocatedRecord | None:
        entry = self.entries[where]
        previous, hash_ = bytes.fromhex(entry["previous"]), bytes.fromhex(entry["hash"])
        record, found = read_event(where, entry["body"])
        self.findings += found
        if record is None:
            return None
        placed = replace(record, chain=entry["chain"], link=entry["link"], previous=previous, hash=hash_)
        return LocatedRecord(where=where, record=placed)

    def _note(self, check: Check, where: str, problem: str, *, unverifiable: bool = False) -> None:
        self.findings.append(Finding(check=check, field=where, problem=problem, unverifiable=unverifiable))

    def report(self) -> Report:
        events = [placed for where, placed in self.placed.items() if where != "enrolment"]
        self.made.update((Check.CHAIN, Check.HEAD))
        self.findings += SegmentJudge(self.entries, self.bundle["segments"], self.trust).judge()
        self._members(events)
        if len(self.placed) == len(self.entries):
            self._events(events)
        return Report(
            findings=tuple(self.findings),
            made=frozenset(self.made),
            events=tuple(placed.record for placed in events),
        )

    # what was logged, and in which order

    def _members(self, events: Sequence[LocatedRecord]) -> None:
        """The bundle's own members say what the events say."""
        for placed in events:
            for name, value in (("prompt", placed.record.prompt_id), ("workspace", placed.record.workspace_id)):
                if value != self.bundle[f"{name}_id"]:
                    self._note(Check.FORMAT, f"{name}_id", f"is not that of {placed.where}")
        kept = next((each.record.data.get("proof") for each in events if each.record.event is EventName.VERIFIED), None)
        shown = self.bundle["proof"]
        if canonical_json(shown) != canonical_json(kept):  # as text: -7.0 equals -7
            differing = (
                [
                    f"proof.{name}"
                    for name in sorted({*shown, *kept})
                    if canonical_json(shown.get(name)) != canonical_json(kept.get(name))
                ]
                if isinstance(shown, dict) and isinstance(kept, dict)
                else ["proof"]
            )
            for where in differing:
                self._note(Check.FORMAT, where, "is not what the ACCOUNT_STEPUP_VERIFIED event keeps")
        signers = {segment["head"]["key_id"] for segment in self.bundle["segments"] if segment["head"] is not None}
        if self.bundle["head_key_ids"] != sorted(signers):
            self._note(Check.FORMAT, "head_key_ids", "are not the keys of the heads")

    def _events(self, events: Sequence[LocatedRecord]) -> None:
        self.made.add(Check.EVENTS)
        for one, other in pairwise(events):
            if one.record.chain == other.record.chain and one.record.link >= other.record.link:
                self._note(Check.EVENTS, f"{other.where}.link", f"does not come after {one.where}")
            elif one.record.chain != other.record.chain and one.record.at > other.record.at + CLOCK_SKEW:
                self._note(Check.EVENTS, other.field("at"), f"is earlier than {one.where}")
        self.findings += check_events(events)
        by_name = {placed.record.event: placed for placed in reversed(events)}
        challenge, verified = by_name.get(EventName.CHALLENGE_REQUESTED), by_name.get(EventName.VERIFIED)
        enrolment = self.placed.get("enrolment")
        if challenge is None or verified is None:
            if enrolment is not None:
                self._note(Check.ENROLMENT, "enrolment", "nobody proved themselves with this factor")
            return
        first, since = challenge.record, None if enrolment is None else enrolment.record
        if since is not None and since.chain == first.chain and since.link >= first.link:
            self._note(Check.ENROLMENT, "enrolment.link", "comes after the prompt: such a factor serves no prompt")
        found = list(
            check_proof(
                challenge,
                verified,
                by_name.get(EventName.ACTION_AUTHORIZED),
                enrolment,
                signature_holds=self.signature_holds,
                rp_id=self.trust.rp_id,
            )
        )
        self.findings += found
        proof = verified.record.data.get("proof")
        if isinstance(proof, dict) and proof.get("type") == "webauthn":
            self.made.update(PROOF_CHECKS)
        elif enrolment is not None and enrolment.record.factor_id != verified.record.factor_id:
            self._note(Check.ENROLMENT, enrolment.field("factor_id"), f"is not that of {verified.where}")
