"""What a judgement of evidence says: which checks there are, and what did not hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .audit_record import AuditRecord


class Check(StrEnum):
    """What is judged, in the words of the table that people read."""

    FORMAT = "bundle format"
    EVENTS = "events and their order"
    DESCRIPTION = "description = action"
    CHALLENGE = "challenge = description"
    ORIGIN = "origin and relying party"
    FLAGS = "presence and verification"
    ENROLMENT = "public key = enrolment"
    SIGNATURE = "signature of the person's key"


PROOF_CHECKS = (Check.DESCRIPTION, Check.CHALLENGE, Check.ORIGIN, Check.FLAGS, Check.ENROLMENT, Check.SIGNATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not hold, or (``unverifiable``) that cannot be told from what there is."""

    check: Check
    field: str
    problem: str
    unverifiable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedRecord:
    """An event and where the reader finds it, such as ``events[1]``."""

    where: str
    record: AuditRecord

    def field(self, name: str) -> str:
        return f"{self.where}.body.{name}"
