"""What the log tells of a presentation: each workspace's has its own people and tokens, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.decisions import Presentation, TokenRow, TokenState, Verdict, decide
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.presentations import presentation_events, replay_of
from tests.core.support import ROW, SHOWN, redeemed

OWNERS = replace(
    ROW,
    workspace_id="w-owner",
    subject_id="owner-subject",
    session="owner-session",
    ip="198.51.100.1",
    prompt_id="owner-prompt",
    factor_id="owner-factor",
)
HONEST = replace(SHOWN, workspace_id="w-owner", subject_id="owner-subject", session="owner-session", ip="198.51.100.1")
THIEF = replace(
    SHOWN,
    workspace_id="w-thief",
    subject_id="thief-subject",
    subject_name="thief-name",
    session="thief-session",
    ip="203.0.113.9",
    user_agent="thief-agent",
)
OF_OWNER = ("w-owner", "owner-subject", "owner-session", "198.51.100.1", "owner-prompt", "owner-factor")
OF_THIEF = ("w-thief", "thief-subject", "thief-name", "thief-session", "203.0.113.9", "thief-agent", THIEF.request.path)


def events_of(row: TokenRow, shown: Presentation) -> tuple[AuditEvent, ...]:
    decision = decide(row, shown, factor_live=True)
    replay = replay_of(shown, row) if decision.verdict is Verdict.REUSED else None
    return presentation_events(shown, decision, row, replay=replay)


SPENT = redeemed(OWNERS, HONEST)


# V01
def test_a_replay_from_another_workspace_alerts_the_owners_and_tells_the_presenters_what_they_sent() -> None:
    owners, thiefs = events_of(SPENT, THIEF)
    assert (owners.workspace_id, owners.name, owners.is_alert) == ("w-owner", EventName.REUSED, True)
    assert (owners.subject_id, owners.session, owners.prompt_id) == ("owner-subject", "owner-session", "owner-prompt")
    assert owners.data["redeemed"]["ip"] == "198.51.100.1"
    assert owners.data["presented_by"] == "another_workspace"
    assert (thiefs.workspace_id, thiefs.name, thiefs.is_alert) == ("w-thief", EventName.BLOCKED, False)
    assert (thiefs.subject_id, thiefs.ip, thiefs.request) == ("thief-subject", "203.0.113.9", THIEF.request)
    assert owners.data["presentation"] == thiefs.data["presentation"] == THIEF.attempt.hex()


# V02
@given(st.sampled_from(TokenState), st.booleans(), st.booleans())
def test_neither_log_has_a_word_of_the_others_people(state: TokenState, same_ip: bool, same_name: bool) -> None:
    row = SPENT if state is TokenState.REDEEMED else replace(OWNERS, state=state)
    shown = replace(THIEF, ip=OWNERS.ip if same_ip else THIEF.ip)
    shown = replace(shown, subject_id=OWNERS.subject_id if same_name else THIEF.subject_id)
    for event in events_of(row, shown):
        text = json.dumps(event.as_dict())
        foreign = OF_OWNER if event.workspace_id == "w-thief" else OF_THIEF
        mine = (event.ip, event.subject_id)
        assert not [word for word in foreign if json.dumps(word)[1:-1] in text and word not in mine]


# V04
def test_a_token_that_ends_for_its_wrong_holder_is_told_to_its_owners_once() -> None:
    owners, thiefs = events_of(replace(OWNERS, state=TokenState.ISSUED), THIEF)
    assert (owners.workspace_id, owners.name, owners.prompt_id) == ("w-owner", EventName.BLOCKED, "owner-prompt")
    assert thiefs.workspace_id == "w-thief"
    (again,) = events_of(replace(OWNERS, state=TokenState.REVOKED), THIEF)
    assert again.workspace_id == "w-thief"


def test_within_one_workspace_there_is_one_record_with_all_of_it() -> None:
    (event,) = events_of(SPENT, replace(THIEF, workspace_id="w-owner"))
    assert (event.name, event.is_alert) == (EventName.REUSED, True)
    assert (event.subject_id, event.ip) == ("thief-subject", "203.0.113.9")
    assert event.data["redeemed"]["subject"] == "owner-subject"
    assert "presented_by" not in event.data
