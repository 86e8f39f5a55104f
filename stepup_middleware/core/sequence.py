"""Judge the events of one step-up: whether each is genuine text, which there are, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from operator import attrgetter

from .approvals import APPROVAL_LIFETIME, COLLECT_WITHIN
from .audit import read_record
from .audit_record import AuditRecord
from .events import EventName
from .factors import FactorRequirement
from .findings import Check, Finding, LocatedRecord
from .prompts import PROMPT_LIFETIME
from .purposes import MAX_TTL


def read_event(where: str, body: str) -> tuple[AuditRecord | None, list[Finding]]:
    """Read the text of an event strictly: it must be the one canonical text of what it says."""
    record: AuditRecord | None
    try:
        record = read_record(body)
    except ValueError:
        record = None
    if record is not None and is_canonical(record):
        return record, []
    problem = "is not the canonical text of an audit event"
    return None, [Finding(check=Check.EVENTS, field=f"{where}.body", problem=problem)]


def is_canonical(record: AuditRecord) -> bool:
    """Tell whether the text of a record is the one canonical text of what was read from it. Never raises.

    A member that is named twice, spelt in another way or not known does not come out of the encoder again.
    """
    try:
        return isinstance(record.data, dict) and record.as_event().body(record.salt) == record.body
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return False


def check_events(events: Sequence[LocatedRecord]) -> Iterator[Finding]:
    """Judge the events of one step-up, in the order of the log: which there are, and whether they agree."""

    def wrong(event: LocatedRecord, name: str, problem: str, *, unverifiable: bool = False) -> Finding:
        return Finding(check=Check.EVENTS, field=event.field(name), problem=problem, unverifiable=unverifiable)

    seen: dict[EventName, LocatedRecord] = {}
    for index, event in enumerate(events):
        name = event.record.event
        needed = _NEEDS.get(name)
        if (index == 0) is not (name is EventName.CHALLENGE_REQUESTED):
            yield wrong(event, "event", f"{EventName.CHALLENGE_REQUESTED} comes first, and once")
        if needed is not None and needed not in seen:
            yield wrong(event, "event", f"{name} without {needed} before it")
        if name in _ONCE and name in seen:
            yield wrong(event, "event", f"{name} a second time")
        if name not in _OF_A_STEP_UP:
            yield wrong(event, "event", f"{name} is no event of a step-up")
        seen.setdefault(name, event)
    challenge, verified, authorized = (seen.get(name) for name in _SPINE)
    first = events[0]
    if verified is not None and EventName.APPROVAL_DENIED in seen:
        yield wrong(
            seen[EventName.APPROVAL_DENIED], "event", "what was denied is proved as well: one of the two is not so"
        )
    if verified is None:
        yield wrong(first, "event", "nobody proved themselves: there is no proof to judge", unverifiable=True)
    elif authorized is None:
        yield wrong(verified, "event", "no ACTION_AUTHORIZED: the action is not shown to have run", unverifiable=True)
    if challenge is None:
        return
    for later in (verified, authorized, seen.get(EventName.ACTION_COMPLETED)):
        if later is not None:
            yield from _agree(challenge, later, wrong)
    if verified is not None:
        yield from _proved(challenge, verified, authorized, wrong)
        for later in (authorized, seen.get(EventName.ACTION_COMPLETED)):
            if later is not None:
                yield from _one_factor(verified, later, wrong)


_SPINE = (EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.ACTION_AUTHORIZED)
_OF_ADMINS = (
    EventName.FACTORS_RESET,
    EventName.FACTORS_RESET_REQUESTED,
    EventName.ENROLMENT_PASS_ISSUED,
    EventName.POLICY_CHANGED,
)
_NEEDS = {
    EventName.VERIFIED: EventName.CHALLENGE_REQUESTED,
    EventName.ACTION_AUTHORIZED: EventName.VERIFIED,
    EventName.ACTION_COMPLETED: EventName.ACTION_AUTHORIZED,
    # of two nodes with hot state one may log a replay while the other still logs the redemption
    EventName.REUSED: EventName.VERIFIED,
    EventName.APPROVAL_REQUESTED: EventName.CHALLENGE_REQUESTED,
    EventName.APPROVAL_DENIED: EventName.APPROVAL_REQUESTED,
    # what an admin did with the proof
    **dict.fromkeys(_OF_ADMINS, EventName.ACTION_AUTHORIZED),
}
_ONCE = frozenset({*_SPINE, EventName.ACTION_COMPLETED, EventName.APPROVAL_REQUESTED, EventName.APPROVAL_DENIED})
_OF_A_STEP_UP = frozenset({*_ONCE, *_OF_ADMINS, EventName.FAILED, EventName.BLOCKED, EventName.REUSED})
_SAME = (
    ("workspace_id", "workspace"), ("subject_id", "subject"), ("actor", "actor"), ("client", "client"),
    ("session", "session"), ("ip", "ip"), ("purpose", "purpose"), ("prompt_id", "prompt"),
    ("requirement", "requirement"), ("policy_version", "policy_version"), ("request", "request"),
    ("details", "details"),
)  # fmt: skip
_same = attrgetter(*(attribute for attribute, _ in _SAME))


def _agree(challenge: LocatedRecord, event: LocatedRecord, wrong: Callable[..., Finding]) -> Iterator[Finding]:
    completed = event.record.event is EventName.ACTION_COMPLETED
    differ = _same(event.record) != _same(challenge.record)
    for attribute, name in _SAME if differ else ():
        if completed and attribute == "request":
            continue  # how the action ended is told without its request
        if getattr(event.record, attribute) != getattr(challenge.record, attribute):
            yield wrong(event, name, f"is not what {challenge.where} says")
    if event.record.reason or (event.record.flags and not completed):
        yield wrong(event, "reason", f"a reason does not go with {event.record.event}")


def _proved(
    challenge: LocatedRecord, verified: LocatedRecord, authorized: LocatedRecord | None, wrong: Callable[..., Finding]
) -> Iterator[Finding]:
    proof, asked = verified.record, challenge.record
    if proof.factor_kind is None or asked.requirement is None or not asked.requirement.accepts(proof.factor_kind):
        yield wrong(verified, "factor", "does not meet the requirement")
    if proof.factor_kind is not None:
        acr = FactorRequirement.PHISHING_RESISTANT if proof.factor_kind.phishing_resistant else FactorRequirement.ANY
        for name, said, should in (
            ("acr", proof.data.get("acr"), acr.acr),
            ("amr", proof.data.get("amr"), list(proof.factor_kind.amr)),
        ):
            if said != should:
                yield wrong(verified, f"data.{name}", "is not that of the factor")
    elsewhere = "approval" in proof.data
    if proof.at - asked.at > (APPROVAL_LIFETIME if elsewhere else PROMPT_LIFETIME):
        yield wrong(verified, "at", "is later than the prompt's end")
    longest = MAX_TTL + (COLLECT_WITHIN if elsewhere else timedelta(0))
    if authorized is not None and authorized.record.at - proof.at > longest:
        yield wrong(authorized, "at", "is later than any token's end")


def _one_factor(verified: LocatedRecord, later: LocatedRecord, wrong: Callable[..., Finding]) -> Iterator[Finding]:
    if later.record.factor_kind is not verified.record.factor_kind:
        yield wrong(later, "factor", f"is not the factor of {verified.where}")
    if later.record.factor_id != verified.record.factor_id:
        yield wrong(later, "factor_id", f"is not the factor of {verified.where}")
