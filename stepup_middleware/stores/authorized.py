"""A redemption at speed: what its statement compares, and ``ACTION_AUTHORIZED``, which is written for every one.

The text of the event is that of ``presentation_event(...).body(salt)``, byte for byte (a test compares them over
generated values), put together from its parts: what the presentation knows is prepared before the transaction begins,
and what the row knows is added in it.
"""

from __future__ import annotations

from dataclasses import replace
from ssl import RAND_bytes
from typing import NamedTuple

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.canonical import canonical_string as quote
from stepup_middleware.core.decisions import CLOCK_SKEW, Decision, Presentation, TokenRow, Verdict
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.moments import iso, span_micros, to_micros
from stepup_middleware.core.presentations import presentation_event
from stepup_middleware.log.records import CHANCE_BYTES, SALT_BYTES

from .rows import MAX_ID, Row, redeemed_token

REDEEMED = Decision(verdict=Verdict.REDEEMED)
NAME = EventName.ACTION_AUTHORIZED.value
OUTCOME = EventName.ACTION_AUTHORIZED.outcome.value
_SEVERITY = EventName.ACTION_AUTHORIZED.severity.value
_SKEW = span_micros(CLOCK_SKEW)


class PreparedRedemption(NamedTuple):
    """A presentation as a batch needs it: its row, and the parts of the text around the facts of the token."""

    shown: Presentation
    row: Row | None  # as a statement reads it; None when it can match no row
    before_factor: str
    before_version: str
    before_requirement: str
    before_end: str
    chance: bytes  # of the record: its salt, and the random part of its id


def presentation_row(shown: Presentation, user_agent: str | None = None) -> Row | None:
    """Return a presentation as redeeming statements read it, None when no row can have its id.

    ``user_agent`` is the presentation's as the database can hold it, where it cannot hold every text.
    """
    if shown.reference.id > MAX_ID:
        return None
    now = to_micros(shown.now)
    return (
        shown.reference.id,
        shown.reference.nonce,
        shown.attempt,
        shown.workspace_id,
        shown.subject_id,
        shown.session,
        shown.ip,
        shown.user_agent if user_agent is None else user_agent,
        shown.purpose,
        span_micros(shown.ttl),
        shown.minimum.strength,
        shown.request_digest,
        shown.details_digest,
        now,
        now + _SKEW,
    )


def prepare_redemption(shown: Presentation, row: Row | None = None) -> PreparedRedemption:
    """Prepare a presentation before its batch begins."""
    chance = RAND_bytes(CHANCE_BYTES)
    return PreparedRedemption(
        shown,
        row,
        f'{{"actor":{quote(shown.actor)},"at":"{iso(shown.now)}","client":{quote(shown.client)},"data":{{"token":"{shown.reference.id}"}},"details":{canonical_json(shown.details)},"event":"{NAME}","factor":"',
        f',"flags":[],"ip":{quote(shown.ip)},"outcome":"{OUTCOME}","policy_version":',
        f',"purpose":{quote(shown.purpose)},"reason":"","request":{shown.request_text},"requirement":"',
        f'","retention_years":{shown.retention_years},"salt":"{chance[:SALT_BYTES].hex()}","session":{quote(shown.session)},"severity":"{_SEVERITY}"'
        f',"subject":{quote(shown.subject_id)},"subject_name":{quote(shown.subject_name)}'
        f',"user_agent":{quote(shown.user_agent)},"v":1,"workspace":{quote(shown.workspace_id)}}}',
        chance,
    )


def authorized_body(prepared: PreparedRedemption, facts: Row) -> str:
    """Return the canonical text of the event, with the ``Facts`` of the row."""
    prompt, factor, factor_kind, requirement, policy_version, _, _ = facts
    _, _, before_factor, before_version, before_requirement, before_end, _ = prepared
    return (
        f'{before_factor}{factor_kind}","factor_id":{quote(factor)}{before_version}{policy_version}'
        f',"prompt":{quote(prompt)}{before_requirement}{requirement}{before_end}'
    )


def authorized_event(shown: Presentation, facts: Row) -> AuditEvent:
    """Return the event itself."""
    return presentation_event(shown, REDEEMED, redeemed_token(shown, facts))


def aborted_event(shown: Presentation, row: TokenRow) -> AuditEvent:
    """Return the event of a redemption that nobody waited for any more: the action did not run (X04)."""
    authorized = presentation_event(shown, REDEEMED, row)
    return replace(authorized, name=EventName.ACTION_COMPLETED, data={"outcome": "aborted"})
