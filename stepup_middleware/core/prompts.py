"""The prompt: one question to one person about one request, and how it is decided what to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Unpack

from .binding import BoundRequest, Details, bound_request_from
from .events import AuditEvent, EventFields, EventName, event_by
from .factors import EnrolledFactor, FactorKind, FactorRequirement
from .moments import iso
from .policy import StoredPolicy, effective_requirement
from .purposes import FACTOR_CHANGE, Purpose
from .recovery import Hold
from .subject import Subject, SubjectAt

PROMPT_LIFETIME = timedelta(minutes=5)
OPEN_PROMPTS_PER_SESSION = 64  # one batch (core.batches) and a few; who asks for more at once is a flood, not a person
ONE_FLOOD_EVENT_PER = timedelta(minutes=1)  # and session, whatever the number of its refusals


SHOWN = ("locale", "title", "consequence")
"""What a prompt says of the words that the person was shown: in its description, and in the event of asking."""


_PLAIN = (  # what ``Prompt.kept`` has as it is
    "subject_name", "actor", "client", "ip", "user_agent", "purpose", "policy_version", "locale", "title",
    "consequence",
)  # fmt: skip


class PromptState(StrEnum):
    """``open`` until proved, cancelled or expired; a proved prompt serves no second ceremony."""

    OPEN = "open"
    PROVED = "proved"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRequest(SubjectAt):
    """A request for a prompt: everything known before policy and factors are read.

    ``prompt_id`` grows with time (``moments.time_ordered_id``), so that a redemption in a log of millions writes next
    to the one before it. It is hexadecimal, because no command line takes that for an option.
    ``title`` and ``consequence`` are the purpose's in the language of ``locale``: what the person will be shown.
    """

    prompt_id: str
    ip: str
    user_agent: str
    purpose: Purpose
    request: BoundRequest
    details: Details
    locale: str
    title: str
    consequence: str
    now: datetime
    lifetime: timedelta = PROMPT_LIFETIME
    extra_events: tuple[AuditEvent, ...] = ()  # further events to log, such as the refusal of a bad token

    @property
    def asker(self) -> tuple[str, str, str]:
        """Who asks: workspace, subject and session. Open prompts are counted by it."""
        return self.workspace_id, self.subject_id, self.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A question to a person, as it was asked.

    ``requirement`` and ``policy_version`` are the policy's at that moment; ``factor_ids`` are the
    qualifying factors the person had then, and no other serves this prompt. ``title`` and ``consequence`` are what
    the person is shown, in the language of ``locale``.
    """

    id: str
    workspace_id: str
    subject_id: str
    subject_name: str
    actor: str
    client: str
    session: str
    ip: str
    user_agent: str
    purpose: str
    requirement: FactorRequirement
    policy_version: int
    factor_ids: tuple[str, ...]
    factor_kinds: tuple[FactorKind, ...]
    request: BoundRequest
    details: Details
    locale: str
    title: str
    consequence: str
    created_at: datetime
    expires_at: datetime

    def belongs_to(self, subject: Subject) -> bool:
        """Whether this very session of this person was asked."""
        return (
            self.workspace_id == subject.workspace_id
            and self.subject_id == subject.id
            and self.session == subject.session
        )

    def description(self) -> dict[str, object]:
        """Return what the WebAuthn challenge commits to (RFC 8785 JSON is made of it)."""
        return {
            "v": 1,
            "prompt": self.id,
            "workspace": self.workspace_id,
            "subject": self.subject_id,
            "actor": self.actor,
            "client": self.client,
            "purpose": self.purpose,
            "requirement": self.requirement.value,
            "policy_version": self.policy_version,
            "request": self.request.as_dict(),
            "details": [list(pair) for pair in self.details],
            "locale": self.locale,
            "title": self.title,
            "consequence": self.consequence,
            "issued_at": self.created_at.isoformat(),
        }

    def kept(self) -> dict[str, Any]:
        """Return what stores keep of it as JSON, beside what they look it up by."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "requirement": self.requirement,
            "factor_ids": list(self.factor_ids),
            "factor_kinds": list(self.factor_kinds),
            "request": self.request.as_dict(),
            "details": [list(pair) for pair in self.details],
        }


def prompt_from(kept: Mapping[str, Any], **others: Any) -> Prompt:
    """Return the prompt of its ``kept``; ``others`` are the fields that it does not have."""
    return Prompt(
        requirement=FactorRequirement(kept["requirement"]),
        factor_ids=tuple(kept["factor_ids"]),
        factor_kinds=tuple(FactorKind(kind) for kind in kept["factor_kinds"]),
        request=bound_request_from(kept["request"]),
        details=tuple((label, text) for label, text in kept["details"]),
        **{name: kept[name] for name in _PLAIN},
        **others,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrompt:
    """A prompt with its state, as read from a store."""

    prompt: Prompt
    state: PromptState


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFactor:
    """Nothing the person has enrolled meets the requirement: there is nobody to ask.

    ``has_weaker``: they have factors, none of which is enough. ``held_until``: whatever they have enrolled, the purpose
    is closed to them until then (``core.recovery.Hold``).
    """

    requirement: FactorRequirement
    policy_version: int
    has_weaker: bool = False
    held_until: datetime | None = None


def requirement_for(purpose: Purpose, policy: StoredPolicy, factors: Sequence[EnrolledFactor]) -> FactorRequirement:
    """Return what a prompt asks for: the policy's requirement, or for a factor change the strongest kind had."""
    if purpose.id == FACTOR_CHANGE.id:
        strong = any(factor.kind.phishing_resistant for factor in factors)
        return FactorRequirement.PHISHING_RESISTANT if strong else FactorRequirement.ANY
    return effective_requirement(purpose, policy)


def ask(
    asked: PromptRequest, policy: StoredPolicy, factors: Sequence[EnrolledFactor], hold: Hold | None = None
) -> Prompt | NoFactor:
    """Decide the prompt from the policy, the factors and the hold of this moment.

    A store calls this inside the transaction that reads them and writes the prompt.
    """
    requirement = requirement_for(asked.purpose, policy, factors)
    if hold is not None and hold.closes(asked.purpose, asked.now):
        return NoFactor(requirement=requirement, policy_version=policy.version, held_until=hold.until)
    serving = [factor for factor in factors if requirement.accepts(factor.kind)]
    if not serving:
        return NoFactor(requirement=requirement, policy_version=policy.version, has_weaker=bool(factors))
    subject = asked.subject
    kinds = {factor.kind for factor in serving}
    return Prompt(
        id=asked.prompt_id,
        workspace_id=subject.workspace_id,
        subject_id=subject.id,
        subject_name=subject.name,
        actor=subject.actor,
        client=subject.client,
        session=subject.session,
        ip=asked.ip,
        user_agent=asked.user_agent,
        purpose=asked.purpose.id,
        requirement=requirement,
        policy_version=policy.version,
        factor_ids=tuple(factor.id for factor in serving),
        factor_kinds=tuple(kind for kind in requirement.kinds() if kind in kinds),
        request=asked.request,
        details=asked.details,
        locale=asked.locale,
        title=asked.title,
        consequence=asked.consequence,
        created_at=asked.now,
        expires_at=asked.now + asked.lifetime,
    )


def asking_event(asked: PromptRequest, result: Prompt | NoFactor) -> AuditEvent:
    """Return the event of asking: the prompt was issued, or blocked for want of a factor or by a hold."""
    blocked = isinstance(result, NoFactor)
    held_until = result.held_until if isinstance(result, NoFactor) else None
    data = {} if held_until is None else {"until": iso(held_until)}
    if isinstance(result, Prompt):
        data = {name: getattr(result, name) for name in SHOWN}
    return _event_of_asking(
        asked,
        EventName.BLOCKED if blocked else EventName.CHALLENGE_REQUESTED,
        prompt_id=asked.prompt_id,
        requirement=result.requirement,
        policy_version=result.policy_version,
        reason="on_hold" if held_until is not None else "no_factor" if blocked else "",
        data=data,
    )


def flood_event(asked: PromptRequest, *, also_refused_before: int) -> AuditEvent:
    """Return the event of a session that asks too much; it also counts the refusals before it that were not logged."""
    return _event_of_asking(
        asked, EventName.BLOCKED, reason="rate_limited", data={"also_refused_before": also_refused_before}
    )


def _event_of_asking(asked: PromptRequest, name: EventName, **fields: Unpack[EventFields]) -> AuditEvent:
    values: EventFields = {
        "purpose": asked.purpose.id,
        "request": asked.request,
        "details": asked.details,
        **fields,
    }
    return event_by(asked, name, at=asked.now, retention_years=asked.purpose.retention_years, **values)


def prompt_event(
    prompt: Prompt, name: EventName, *, now: datetime, retention_years: int, **fields: Unpack[EventFields]
) -> AuditEvent:
    """Return an event about a prompt, with everything the prompt knows filled in.

    ``fields`` name further fields of the event, or replace such as ``ip`` by those of this moment.
    """
    values: EventFields = {
        "purpose": prompt.purpose,
        "prompt_id": prompt.id,
        "requirement": prompt.requirement,
        "policy_version": prompt.policy_version,
        "request": prompt.request,
        "details": prompt.details,
        **fields,
    }
    return event_by(prompt, name, at=now, retention_years=retention_years, **values)
