"""The audit events: their names, their fields and their one canonical text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict, Unpack

from .binding import BoundRequest, Details
from .canonical import canonical_json, canonical_string
from .factors import FactorKind, FactorRequirement
from .moments import iso
from .subject import Initiator
from .topics import Topic


class EventName(StrEnum):
    """Every event of the audit log."""

    CHALLENGE_REQUESTED = "ACCOUNT_STEPUP_CHALLENGE_REQUESTED"
    VERIFIED = "ACCOUNT_STEPUP_VERIFIED"
    FAILED = "ACCOUNT_STEPUP_FAILED"
    REUSED = "ACCOUNT_STEPUP_REUSED"
    BLOCKED = "ACCOUNT_STEPUP_BLOCKED"
    ACTION_AUTHORIZED = "ACTION_AUTHORIZED"
    ACTION_COMPLETED = "ACTION_COMPLETED"
    POLICY_CHANGED = "POLICY_CHANGED"
    FACTOR_ENROLLED = "FACTOR_ENROLLED"
    FACTOR_REMOVED = "FACTOR_REMOVED"
    FACTORS_RESET = "FACTORS_RESET"
    FACTORS_RESET_REQUESTED = "FACTORS_RESET_REQUESTED"
    ENROLMENT_PASS_ISSUED = "ENROLMENT_PASS_ISSUED"  # noqa: S105 - a name, not a password
    ENROLMENT_PASS_USED = "ENROLMENT_PASS_USED"  # noqa: S105 - likewise
    RECOVERY_CODES_ISSUED = "RECOVERY_CODES_ISSUED"
    RECOVERY_CODE_USED = "RECOVERY_CODE_USED"
    APPROVAL_REQUESTED = "APPROVAL_REQUESTED"
    APPROVAL_DENIED = "APPROVAL_DENIED"
    SESSION_ENDED = "SESSION_ENDED"
    ALL_REVOKED = "ALL_REVOKED"
    ALERT_ACKNOWLEDGED = "ALERT_ACKNOWLEDGED"
    DATABASE_ALTERED = "DATABASE_ALTERED"
    LOG_BEGUN = "LOG_BEGUN"

    @property
    def severity(self) -> Severity:
        """How loud it is: critical for a replayed token or an altered database, a warning for what was refused and for
        what takes the place of a person's factors.
        """
        return _SEVERITY.get(self, Severity.INFO)

    @property
    def outcome(self) -> Outcome:
        """How an event of this name goes, where the event itself does not say otherwise."""
        return _OUTCOME.get(self, Outcome.SUCCESS)


class Severity(StrEnum):
    """How loud an event is, for alerts and for the severity of exports."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Outcome(StrEnum):
    """How an event went, for filters and exports."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"
    CANCELLED = "cancelled"


_SEVERITY = {
    EventName.FAILED: Severity.WARNING,
    EventName.BLOCKED: Severity.WARNING,
    EventName.FACTORS_RESET: Severity.WARNING,
    EventName.FACTORS_RESET_REQUESTED: Severity.WARNING,
    EventName.ENROLMENT_PASS_ISSUED: Severity.WARNING,
    EventName.RECOVERY_CODE_USED: Severity.WARNING,
    EventName.APPROVAL_DENIED: Severity.WARNING,
    EventName.SESSION_ENDED: Severity.WARNING,
    EventName.REUSED: Severity.CRITICAL,
    EventName.DATABASE_ALTERED: Severity.CRITICAL,
}
_OUTCOME = {
    EventName.CHALLENGE_REQUESTED: Outcome.PENDING,
    EventName.FACTORS_RESET_REQUESTED: Outcome.PENDING,
    EventName.APPROVAL_REQUESTED: Outcome.PENDING,
    EventName.APPROVAL_DENIED: Outcome.DENIED,
    EventName.FAILED: Outcome.FAILURE,
    EventName.REUSED: Outcome.DENIED,
    EventName.BLOCKED: Outcome.DENIED,
    EventName.DATABASE_ALTERED: Outcome.FAILURE,
}


ALERTS = frozenset({EventName.REUSED, EventName.DATABASE_ALTERED, EventName.RECOVERY_CODE_USED})
"""Events of which somebody must hear at once: each of these, but for a replay by somebody who was told of before."""
_NOTICES = frozenset(
    {
        EventName.FACTOR_ENROLLED,
        EventName.FACTOR_REMOVED,
        EventName.FACTORS_RESET,
        EventName.ENROLMENT_PASS_ISSUED,
        EventName.RECOVERY_CODES_ISSUED,
        EventName.RECOVERY_CODE_USED,
        EventName.APPROVAL_REQUESTED,
        EventName.SESSION_ENDED,
    }
)


class EventFields(TypedDict, total=False):
    """The further fields of an ``AuditEvent``, as keywords: a misspelt one is a fault of types."""

    workspace_id: str
    subject_id: str
    subject_name: str
    actor: str
    client: str
    session: str
    ip: str
    user_agent: str
    purpose: str
    prompt_id: str
    factor_kind: FactorKind | None
    factor_id: str
    requirement: FactorRequirement | None
    policy_version: int | None
    request: BoundRequest | None
    details: Details
    reason: str
    flags: tuple[str, ...]
    outcome: Outcome | None
    data: Mapping[str, Any]


def event_by(
    who: Initiator, name: EventName, *, at: datetime, retention_years: int = 1, **fields: Unpack[EventFields]
) -> AuditEvent:
    """Return the event of what somebody did or met ``at`` a moment: every event of the library is made here.

    ``fields`` are further ones of ``AuditEvent``, or replace those of ``who``.
    """
    values: dict[str, Any] = {
        "workspace_id": who.workspace_id,
        "subject_id": who.subject_id,
        "subject_name": who.subject_name,
        "actor": who.actor,
        "client": who.client,
        "session": who.session,
        "ip": who.ip,
        "user_agent": who.user_agent,
        **fields,
    }
    return AuditEvent(at=at, name=name, retention_years=retention_years, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One fact for the log: what ``name`` says happened ``at`` a moment (aware UTC) in ``workspace_id``.

    Who: ``subject_id`` and ``subject_name``; ``actor`` on their behalf and ``client``, as ``Subject`` has them;
    ``session``, the hash of the session id; ``ip`` and ``user_agent``, of the request. For what: ``purpose``,
    ``prompt_id``, ``request`` (as it came, with the digest of the body) and the ``details`` that the person was shown.
    How: ``factor_kind`` and ``factor_id``; ``requirement`` and ``policy_version``, the policy in effect. How it went:
    ``outcome`` (None: as the name says), ``reason``, one word, and ``flags``, every predicate that was off.
    ``retention_years`` is how long the event is kept. ``data`` is what only this kind of event has: the proof of a
    WebAuthn ceremony, the status of a completed action, a policy's values. A text that does not apply is empty.
    """

    at: datetime
    name: EventName
    workspace_id: str
    subject_id: str
    subject_name: str = ""
    actor: str = ""
    client: str = ""
    session: str = ""
    ip: str = ""
    user_agent: str = ""
    purpose: str = ""
    prompt_id: str = ""
    factor_kind: FactorKind | None = None
    factor_id: str = ""
    requirement: FactorRequirement | None = None
    policy_version: int | None = None
    request: BoundRequest | None = None
    details: Details = ()
    reason: str = ""
    flags: tuple[str, ...] = ()
    outcome: Outcome | None = None
    retention_years: int = 1
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How loud the event is: as its name says, and nothing to warn of where the person only cancelled."""
        return Severity.INFO if self.outcome is Outcome.CANCELLED else self.name.severity

    @property
    def is_alert(self) -> bool:
        """Whether somebody must hear of it at once: a replay by somebody who was not told of before, tampering, or a
        recovery code that was used.
        """
        return is_alert(self.name, self.data)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Which sinks the event must reach, over failures and restarts: those of alerts, of notices, of both."""
        return topics_of(self.name, self.data)

    @property
    def person_id(self) -> str:
        """The id of the person whom the event concerns: ``data["person"]`` where somebody else acted."""
        return _person(self.data, self.subject_id)

    @property
    def token_id(self) -> int | None:
        """The token that was redeemed, where the event says that one was."""
        token = self.data.get("token") if self.name is EventName.ACTION_AUTHORIZED else None
        return int(token) if isinstance(token, str) and token.isdecimal() else None

    def body(self, salt: str = "") -> str:
        """Return the canonical text of the event (RFC 8785): that of ``as_dict``, part by part.

        ``salt``, 32 hexadecimal digits, is one member more, which the body of a record has. A test compares the text
        with that of the general encoder over generated events. It is written for every event, in the thread that all
        writes wait for, and the general encoder takes three times as long.
        """
        text, name = canonical_string, self.name
        salted = f',"salt":"{salt}"' if salt else ""
        return (
            f'{{"actor":{text(self.actor)},"at":"{iso(self.at)}","client":{text(self.client)}'
            f',"data":{canonical_json(dict(self.data)) if self.data else "{}"}'
            f',"details":{canonical_json(self.details) if self.details else "[]"}'
            f',"event":"{name}","factor":{_word(self.factor_kind)},"factor_id":{text(self.factor_id)}'
            f',"flags":{canonical_json(self.flags) if self.flags else "[]"},"ip":{text(self.ip)}'
            f',"outcome":"{self.outcome or name.outcome}"'
            f',"policy_version":{"null" if self.policy_version is None else self.policy_version}'
            f',"prompt":{text(self.prompt_id)},"purpose":{text(self.purpose)},"reason":{text(self.reason)}'
            f',"request":{"null" if self.request is None else self.request.text()}'
            f',"requirement":{_word(self.requirement)},"retention_years":{self.retention_years}{salted}'
            f',"session":{text(self.session)},"severity":"{self.severity}","subject":{text(self.subject_id)}'
            f',"subject_name":{text(self.subject_name)},"user_agent":{text(self.user_agent)},"v":1'
            f',"workspace":{text(self.workspace_id)}}}'
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the event as a JSON value: what ``body`` is the canonical text of."""
        return {
            "v": 1,
            "at": iso(self.at),
            "event": self.name,
            "severity": self.severity,
            "outcome": self.outcome or self.name.outcome,
            "workspace": self.workspace_id,
            "subject": self.subject_id,
            "subject_name": self.subject_name,
            "actor": self.actor,
            "client": self.client,
            "session": self.session,
            "ip": self.ip,
            "user_agent": self.user_agent,
            "purpose": self.purpose,
            "prompt": self.prompt_id,
            "factor": self.factor_kind,
            "factor_id": self.factor_id,
            "requirement": self.requirement,
            "policy_version": self.policy_version,
            "request": None if self.request is None else self.request.as_dict(),
            "details": [list(pair) for pair in self.details],
            "reason": self.reason,
            "flags": list(self.flags),
            "retention_years": self.retention_years,
            "data": dict(self.data),
        }


def is_alert(name: EventName, data: Mapping[str, Any]) -> bool:
    """Return what ``AuditEvent.is_alert`` says of an event of this name, with this ``data``."""
    return name in ALERTS and (name is not EventName.REUSED or data.get("new_presenter") is True)


def topics_of(name: EventName, data: Mapping[str, Any]) -> tuple[Topic, ...]:
    """Return what ``AuditEvent.topics`` says of an event of this name, with this ``data``."""
    if name not in _NOTICES and name not in ALERTS:
        return ()
    topics = (Topic.ALERT,) if is_alert(name, data) else ()
    # a reset takes many factors and tells of it once; who imports decides whether people are told
    return (*topics, Topic.NOTICE) if name in _NOTICES and not data.get("untold") else topics


def _person(data: Mapping[str, Any], subject_id: str) -> str:
    person = data.get("person")
    return person if isinstance(person, str) else subject_id


def _word(value: StrEnum | None) -> str:
    return "null" if value is None else f'"{value}"'
