"""What the verification of a bundle says: each check, what did not hold, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import EventName
from stepup_middleware.core.findings import Finding as CoreFinding


class Check(StrEnum):
    """What is checked, in the words of the table that people read."""

    FORMAT = "bundle format"
    INCLUSION = "records are in the log's tree"
    CHECKPOINT = "the log signed the tree"
    WITNESSES = "witnesses saw the tree"
    EVENTS = "events and their order"
    DESCRIPTION = "description = action"
    CHALLENGE = "challenge = description"
    ORIGIN = "origin and relying party"
    FLAGS = "presence and verification"
    ENROLMENT = "public key = enrolment"
    SIGNATURE = "signature of the person's key"


PROOF_CHECKS = (Check.DESCRIPTION, Check.CHALLENGE, Check.ORIGIN, Check.FLAGS, Check.ENROLMENT, Check.SIGNATURE)


class Status(StrEnum):
    """How a check went."""

    OK = "ok"
    FAILED = "failed"
    NOT_VERIFIABLE = "not verifiable"
    NOT_CHECKED = "not checked"


class EvidenceVerdict(StrEnum):
    """What the checks come to together.

    ``not_verifiable``: nothing is wrong, but not everything can be told from what there is.
    """

    VERIFIED = "verified"
    NOT_VERIFIABLE = "not_verifiable"
    FAILED = "failed"

    @property
    def exit_code(self) -> int:
        """The exit code of a command that verifies; 2 is left for one that could not do its work."""
        return {"verified": 0, "failed": 1, "not_verifiable": 3}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not hold, or (``unverifiable``) that cannot be told. ``field`` is a path in the bundle."""

    check: Check
    field: str
    problem: str
    unverifiable: bool = False

    @classmethod
    def of(cls, found: CoreFinding) -> Finding:
        """Return a finding of the checks that look at events and proofs."""
        return cls(
            check=Check[found.check.name], field=found.field, problem=found.problem, unverifiable=found.unverifiable
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The verification of one bundle. ``events`` are those that could be read, in the order of the log.

    ``witnessed`` has the time of the earliest cosignature by each witness that is trusted and signed.
    """

    findings: tuple[Finding, ...]
    made: frozenset[Check]
    events: tuple[AuditRecord, ...] = ()
    witnessed: Mapping[str, datetime] = field(default_factory=dict)

    def status(self, check: Check) -> Status:
        """Return how one check went."""
        found = [finding for finding in self.findings if finding.check is check]
        if any(not finding.unverifiable for finding in found):
            return Status.FAILED
        if found:
            return Status.NOT_VERIFIABLE
        return Status.OK if check in self.made else Status.NOT_CHECKED

    @property
    def verdict(self) -> EvidenceVerdict:
        """Verified only where every check was made and held; witnesses count where some are trusted."""
        if any(not finding.unverifiable for finding in self.findings):
            return EvidenceVerdict.FAILED
        needed = set(Check) - ({Check.WITNESSES} - self.made)
        held = all(self.status(check) is Status.OK for check in needed)
        return EvidenceVerdict.VERIFIED if held else EvidenceVerdict.NOT_VERIFIABLE

    def event(self, name: EventName) -> AuditRecord | None:
        """Return the first event of a name."""
        return next((record for record in self.events if record.event is name), None)
