"""What the log says of how a person may enrol without a factor: which pass, codes and right stand, and the hold.

Rows of passes, recovery codes, rights and resets have the secrets; whether a row counts the log decides, from which
nothing is taken unseen. So what was used, replaced or taken away counts no more when an older copy of its row is put
back, and a hold has no row at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .events import AuditEvent, EventName
from .factors import EnrolmentBasis
from .moments import iso, to_micros
from .recovery import EnrolmentPass, EnrolmentRight, RecoveryCodes, ResetRequest

Told = str | int | bool | None
"""What an event says of one thing: never a row, which an argument with a misspelt name would be."""

RECOVERY_EVENTS = frozenset(
    {
        EventName.ENROLMENT_PASS_ISSUED,
        EventName.ENROLMENT_PASS_USED,
        EventName.RECOVERY_CODES_ISSUED,
        EventName.RECOVERY_CODE_USED,
        EventName.FACTORS_RESET_REQUESTED,
        EventName.FACTORS_RESET,
        EventName.FACTOR_ENROLLED,
    }
)
"""The events from which all of it follows. The log finds those of a person by an index."""

HOLDING_EVENTS = frozenset({EventName.RECOVERY_CODE_USED, EventName.FACTORS_RESET})
"""Those of them that begin a hold, which their data has the end of."""


def person_concerned(event: AuditEvent) -> str | None:
    """Return the id of the person whose standing an event changes, None for any other event."""
    return event.person_id if event.name in RECOVERY_EVENTS else None


def held_until(event: AuditEvent) -> int | None:
    """Return until when an event holds its person, in microseconds since 1970; None where it does not."""
    until = event.data.get("hold_until") if event.name in HOLDING_EVENTS else None
    return to_micros(datetime.fromisoformat(until)) if isinstance(until, str) else None


def about(event: AuditEvent, subject_id: str, **data: Told) -> AuditEvent:
    """Return an event with what a standing is read from: whom it is about, where somebody else did it, and ``data``."""
    whose = {} if event.person_id == subject_id else {"person": subject_id}
    return replace(event, data={**event.data, **whose, **data})


@dataclass(slots=True)
class Standing:
    """What stands for a person after the events that ``follow`` was given, in the order of the log."""

    pass_id: str | None = None
    pass_used: bool = False
    codes_id: str | None = None
    used_codes: set[int] = field(default_factory=set)
    right: tuple[EnrolmentBasis, str] | None = None  # what opened it, and until when
    request_id: str | None = None

    def follow(self, name: EventName, data: Mapping[str, Any]) -> None:
        """Take over what an event changed."""
        match name:
            case EventName.ENROLMENT_PASS_ISSUED:
                self.pass_id, self.pass_used = data.get("pass"), False
            case EventName.ENROLMENT_PASS_USED:
                self.pass_used = self.pass_used or data.get("pass") == self.pass_id
                self.right = (EnrolmentBasis.PASS, data.get("until", ""))
            case EventName.RECOVERY_CODES_ISSUED:
                self.codes_id, self.used_codes = data.get("set"), set()
            case EventName.RECOVERY_CODE_USED:
                if data.get("set") == self.codes_id:
                    self.used_codes.add(data.get("code", -1))
                self.right = (EnrolmentBasis.RECOVERY, data.get("until", ""))
            case EventName.FACTORS_RESET_REQUESTED:
                self.request_id = None if data.get("withdrawn") else data.get("request")
            case EventName.FACTORS_RESET:
                self.codes_id = self.right = self.request_id = None
                self.pass_id, self.pass_used = data.get("pass"), False
            case EventName.FACTOR_ENROLLED:
                self.pass_id = self.right = None

    def has_pass(self, found: EnrolmentPass) -> bool:
        """Whether a pass is the one that stands, used or not as it says."""
        return found.id == self.pass_id and (found.used_at is not None or not self.pass_used)

    def has_right(self, found: EnrolmentRight) -> bool:
        """Whether a right is the one that stands."""
        return self.right == (found.basis, iso(found.expires_at))

    def has_codes(self, found: RecoveryCodes) -> bool:
        """Whether a set of codes is the one that stands, with all that were used."""
        return found.id == self.codes_id and self.used_codes <= found.used

    def has_request(self, found: ResetRequest) -> bool:
        """Whether a reset waits."""
        return found.id == self.request_id
