"""``ACTION_AUTHORIZED`` at speed: the one event that is written for every redemption.

The text is that of ``presentation_event(...).body()``, byte for byte (a test compares them over generated
values), put together from its parts: what a presentation knows is ready before its batch begins.
"""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring as quote
from typing import Any, NamedTuple

from stepup_middleware.core.binding import Details, RequestLine
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.decisions import Decision, Presentation, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import iso

from .rows import Row, shown_row

REDEEMED = Decision(verdict=Verdict.REDEEMED)
NAME = EventName.ACTION_AUTHORIZED.value
OUTCOME = EventName.ACTION_AUTHORIZED.outcome.value
_SEVERITY = EventName.ACTION_AUTHORIZED.severity.value


class Ready(NamedTuple):
    """A presentation as the batch needs it: its row, and the parts of the text around the token's facts."""

    shown: Presentation
    row: tuple[Any, ...] | None
    before_factor: str
    before_version: str
    before_requirement: str
    before_end: str


@lru_cache(maxsize=256)
def _request_text(request: RequestLine) -> str:
    return canonical_json(request.as_dict())


@lru_cache(maxsize=256)
def _details_text(details: Details) -> str:
    return canonical_json([list(pair) for pair in details])


def make_ready(shown: Presentation) -> Ready:
    """Prepare a presentation."""
    return Ready(
        shown,
        shown_row(shown),
        f'{{"at":"{iso(shown.now)}","data":{{}},"details":{_details_text(shown.details)},"event":"{NAME}","factor":"',
        f',"flags":[],"ip":{quote(shown.ip)},"outcome":"{OUTCOME}","policy_version":',
        f',"purpose":{quote(shown.purpose)},"reason":"","request":{_request_text(shown.request)},"requirement":"',
        f'","retention_years":{shown.retention_years},"session":{quote(shown.session)},"severity":"{_SEVERITY}"'
        f',"subject":{quote(shown.subject_id)},"subject_name":{quote(shown.subject_name)}'
        f',"user_agent":{quote(shown.user_agent)},"v":1,"workspace":{quote(shown.workspace_id)}}}',
    )


def authorized_body(ready: Ready, row: Row) -> str:
    """Return the canonical text of the event, with the facts of a row of ``redeem``."""
    return (
        f'{ready.before_factor}{row[6]}","factor_id":{quote(row[5])}{ready.before_version}{row[4]}'
        f',"prompt":{quote(row[2])}{ready.before_requirement}{row[3]}{ready.before_end}'
    )
