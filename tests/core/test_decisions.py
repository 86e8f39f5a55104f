"""May this token authorize this request now? The whole order of refusals, as a property."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.decisions import (
    CLOCK_SKEW,
    Decision,
    Flag,
    Presentation,
    TokenRow,
    TokenState,
    Verdict,
    decide,
    flags_of,
    token_expiry,
)
from stepup_middleware.core.events import EventName, Severity
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.presentations import presentation_event, presentation_events
from stepup_middleware.core.replays import Replay, Replays
from stepup_middleware.core.tokens import TokenReference
from tests.core.support import NOW, ROW, SHOWN, TTL, redeemed

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
FIRST = Replay(Replays(1), new_presenter=True)


@dataclass(frozen=True)
class Case:
    """A row, a presentation of it, and whether the factor behind it is still enrolled."""

    row: TokenRow
    shown: Presentation
    factor_live: bool = True

    def decide(self) -> Decision:
        return decide(self.row, self.shown, factor_live=self.factor_live)


HONEST = Case(ROW, SHOWN)

# what makes each predicate hold, and nothing else with it
DEPARTURES: dict[Flag, tuple[Callable[[Case], Case], ...]] = {
    Flag.REDEEMED_BEFORE: (
        lambda case: replace(case, row=replace(case.row, state=TokenState.REDEEMED, redeemed_at=NOW)),
    ),
    Flag.REVOKED: (lambda case: replace(case, row=replace(case.row, state=TokenState.REVOKED)),),
    Flag.WRONG_SUBJECT: (
        lambda case: replace(case, shown=replace(case.shown, subject_id="bob")),
        lambda case: replace(case, shown=replace(case.shown, subject_id="Ada")),
        lambda case: replace(case, shown=replace(case.shown, subject_id="ada ")),
    ),
    Flag.WRONG_SESSION: (lambda case: replace(case, shown=replace(case.shown, session="0" * 32)),),
    Flag.WRONG_WORKSPACE: (lambda case: replace(case, shown=replace(case.shown, workspace_id="other")),),
    Flag.WRONG_IP: (
        lambda case: replace(case, shown=replace(case.shown, ip="192.0.2.8")),
        lambda case: replace(case, shown=replace(case.shown, ip="::ffff:192.0.2.7")),
        lambda case: replace(case, shown=replace(case.shown, ip="")),
    ),
    Flag.EXPIRED: (
        lambda case: replace(case, shown=replace(case.shown, now=case.row.expires_at)),
        lambda case: replace(case, shown=replace(case.shown, now=case.row.expires_at + timedelta(days=400))),
        lambda case: replace(case, shown=replace(case.shown, ttl=case.shown.now - case.row.issued_at)),
        lambda case: replace(case, shown=replace(case.shown, now=case.row.issued_at - CLOCK_SKEW - TICK)),
    ),
    Flag.WRONG_PURPOSE: (lambda case: replace(case, shown=replace(case.shown, purpose="holds_override")),),
    Flag.WRONG_REQUEST: (lambda case: replace(case, shown=replace(case.shown, request_digest=bytes(32))),),
    Flag.WRONG_DETAILS: (lambda case: replace(case, shown=replace(case.shown, details_digest=bytes(32))),),
    Flag.FACTOR_GONE: (lambda case: replace(case, factor_live=False),),
    Flag.FACTOR_WEAK: (lambda case: replace(case, row=replace(case.row, factor_kind=FactorKind.TOTP)),),
}

# the order of the architecture page, written down a second time: verdict and revocation by rank
RANKS: tuple[tuple[set[Flag], Verdict, str], ...] = (
    ({Flag.REDEEMED_BEFORE}, Verdict.REUSED, ""),
    ({Flag.WRONG_SUBJECT, Flag.WRONG_SESSION, Flag.WRONG_WORKSPACE}, Verdict.REQUIRED, "wrong_holder"),
    ({Flag.WRONG_IP}, Verdict.IP_MISMATCH, "ip"),
    ({Flag.REVOKED}, Verdict.REQUIRED, ""),
    ({Flag.EXPIRED}, Verdict.EXPIRED, ""),
    ({Flag.WRONG_PURPOSE, Flag.WRONG_REQUEST, Flag.WRONG_DETAILS}, Verdict.REQUIRED, ""),
    ({Flag.FACTOR_GONE, Flag.FACTOR_WEAK}, Verdict.FACTOR_INSUFFICIENT, "factor"),
)


def expected(flags: set[Flag]) -> tuple[Verdict, str]:
    for group, verdict, revoke in RANKS:
        if group & flags:
            return verdict, revoke
    return Verdict.REDEEMED, ""


@st.composite
def departed(draw: st.DrawFn) -> tuple[set[Flag], Case]:
    """Draw any combination of departures that one row can have, each in any of its ways."""
    flags = draw(st.sets(st.sampled_from(list(DEPARTURES))))
    if Flag.REDEEMED_BEFORE in flags:
        flags.discard(Flag.REVOKED)  # a row has one state
    case = HONEST
    for flag in draw(st.permutations(sorted(flags))):
        case = draw(st.sampled_from(DEPARTURES[flag]))(case)
    return flags, case


# P01 P02 P03 P04 P06 P07 P08 P09 P11 P13
@given(departed())
def test_the_first_match_of_the_table_wins_and_every_predicate_is_told(drawn: tuple[set[Flag], Case]) -> None:
    flags, case = drawn
    decision = case.decide()
    assert set(decision.flags) == flags
    assert len(decision.flags) == len(flags)
    assert (decision.verdict, decision.revoke) == expected(flags)


@given(departed())
def test_what_the_library_takes_itself_is_decided_alike_and_no_replay_once_it_has_run(
    drawn: tuple[set[Flag], Case],
) -> None:
    _, case = drawn
    shown, taken = case.decide(), replace(case, shown=replace(case.shown, held=True)).decide()
    assert (taken.flags, taken.revoke) == (shown.flags, shown.revoke)
    assert taken.verdict is (Verdict.SPENT if shown.verdict is Verdict.REUSED else shown.verdict)
    told = presentation_events(case.shown, taken, case.row)
    assert (told == ()) == (taken.verdict is Verdict.SPENT)


@given(departed())
def test_a_token_runs_an_action_only_when_nothing_at_all_is_off(drawn: tuple[set[Flag], Case]) -> None:
    flags, case = drawn
    assert (case.decide().verdict is Verdict.REDEEMED) == (not flags)


@given(departed())
def test_flags_are_told_in_the_order_of_the_table(drawn: tuple[set[Flag], Case]) -> None:
    _, case = drawn
    told = flags_of(case.row, case.shown, factor_live=case.factor_live)
    order = list(Flag)
    assert list(told) == sorted(told, key=order.index)


@pytest.mark.parametrize("flag", DEPARTURES)
def test_each_departure_alone_is_noticed(flag: Flag) -> None:
    for depart in DEPARTURES[flag]:
        assert depart(HONEST).decide().flags == (flag,)


def test_an_honest_presentation_redeems() -> None:
    assert HONEST.decide() == Decision(verdict=Verdict.REDEEMED)


# T29
@given(st.booleans(), departed())
def test_a_row_that_is_not_there_is_lost_and_never_reused(factor_live: bool, drawn: tuple[set[Flag], Case]) -> None:
    _, case = drawn
    decision = decide(None, case.shown, factor_live=factor_live)
    assert decision == Decision(verdict=Verdict.REQUIRED, flags=(Flag.STATE_LOST,))


# T29 S13
@given(departed(), st.binary(min_size=16, max_size=16).filter(lambda nonce: nonce != ROW.reference.nonce))
def test_another_token_under_a_reused_row_id_is_lost_whatever_the_row_says(
    drawn: tuple[set[Flag], Case], nonce: bytes
) -> None:
    _, case = drawn
    shown = replace(case.shown, reference=TokenReference(case.row.reference.id, nonce))
    decision = decide(case.row, shown, factor_live=case.factor_live)
    assert decision == Decision(verdict=Verdict.REQUIRED, flags=(Flag.STATE_LOST,))


# K01
def test_a_token_lives_until_its_end_and_not_at_it() -> None:
    at_end = replace(SHOWN, now=ROW.expires_at)
    assert decide(ROW, replace(SHOWN, now=ROW.expires_at - TICK), factor_live=True).verdict is Verdict.REDEEMED
    assert decide(ROW, at_end, factor_live=True).verdict is Verdict.EXPIRED


# K03
@pytest.mark.parametrize("behind", [TICK, 2 * SECOND, CLOCK_SKEW])
def test_a_node_whose_clock_is_a_little_behind_takes_a_fresh_token(behind: timedelta) -> None:
    assert decide(ROW, replace(SHOWN, now=ROW.issued_at - behind), factor_live=True).verdict is Verdict.REDEEMED


# K04
@given(st.timedeltas(min_value=CLOCK_SKEW + TICK, max_value=timedelta(days=3650)))
def test_a_clock_set_back_makes_no_token_live_longer(back: timedelta) -> None:
    assert decide(ROW, replace(SHOWN, now=ROW.issued_at - back), factor_live=True).verdict is Verdict.EXPIRED


# K04
@given(st.timedeltas(min_value=timedelta(days=-3650), max_value=timedelta(days=3650)))
def test_a_redeemed_token_stays_redeemed_whatever_the_clock_says(shift: timedelta) -> None:
    row = redeemed(ROW, SHOWN)
    assert decide(row, replace(SHOWN, now=NOW + shift), factor_live=True).verdict is Verdict.REUSED


@given(st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=1)))
def test_the_life_of_a_token_is_never_longer_than_its_ttl_and_the_skew(shift: timedelta) -> None:
    if decide(ROW, replace(SHOWN, now=NOW + shift), factor_live=True).verdict is Verdict.REDEEMED:
        assert -CLOCK_SKEW <= shift < TTL


# K07
def test_a_ttl_that_was_shortened_in_flight_counts_at_once() -> None:
    shorter = replace(SHOWN, ttl=timedelta(seconds=9))
    assert decide(ROW, shorter, factor_live=True).verdict is Verdict.EXPIRED
    assert token_expiry(ROW, timedelta(seconds=9)) == NOW + timedelta(seconds=9)


# K07
def test_a_ttl_that_was_lengthened_in_flight_changes_nothing() -> None:
    assert token_expiry(ROW, timedelta(minutes=5)) == ROW.expires_at


# F01
def test_the_minimum_of_now_counts_for_a_token_of_before() -> None:
    weak = replace(ROW, factor_kind=FactorKind.TOTP, requirement=FactorRequirement.ANY)
    loose = replace(SHOWN, minimum=FactorRequirement.ANY)
    assert decide(weak, loose, factor_live=True).verdict is Verdict.REDEEMED
    assert decide(weak, SHOWN, factor_live=True).verdict is Verdict.FACTOR_INSUFFICIENT


def test_a_redemption_leaves_its_marks_on_the_row() -> None:
    row = redeemed(ROW, SHOWN)
    assert row.state is TokenState.REDEEMED
    assert (row.attempt, row.redeemed_at, row.redeemed_ip, row.redeemed_user_agent) == (
        SHOWN.attempt,
        SHOWN.now,
        SHOWN.ip,
        SHOWN.user_agent,
    )
    assert replace(row, state=ROW.state, attempt=None, redeemed_at=None, redeemed_ip="", redeemed_user_agent="") == ROW


# the event of a presentation


# A01
@given(departed())
def test_each_verdict_makes_its_one_event_with_every_flag(drawn: tuple[set[Flag], Case]) -> None:
    flags, case = drawn
    decision = case.decide()
    event = presentation_event(case.shown, decision, case.row, replay=FIRST)
    names = {Verdict.REDEEMED: EventName.ACTION_AUTHORIZED, Verdict.REUSED: EventName.REUSED}
    assert event.name is names.get(decision.verdict, EventName.BLOCKED)
    assert set(event.flags) == {flag.value for flag in flags}
    assert event.reason == (decision.flags[0].value if flags else "")
    assert (event.prompt_id, event.factor_id, event.policy_version) == (ROW.prompt_id, ROW.factor_id, 3)
    assert (event.subject_id, event.session, event.ip) == (case.shown.subject_id, case.shown.session, case.shown.ip)
    assert event.retention_years == case.shown.retention_years
    event.body()


# T03
def test_only_a_replay_and_an_altered_database_are_critical() -> None:
    again = decide(redeemed(ROW, SHOWN), SHOWN, factor_live=True)
    assert presentation_event(SHOWN, again, redeemed(ROW, SHOWN), replay=FIRST).name.severity is Severity.CRITICAL
    critical = {name for name in EventName if name.severity is Severity.CRITICAL}
    assert critical == {EventName.REUSED, EventName.DATABASE_ALTERED}


# P13
def test_a_revoked_token_raises_no_critical_alert() -> None:
    row = replace(ROW, state=TokenState.REVOKED)
    event = presentation_event(SHOWN, decide(row, SHOWN, factor_live=True), row)
    assert (event.name, event.reason) == (EventName.BLOCKED, "revoked")


# T34
@pytest.mark.parametrize(
    ("after", "change", "likely"),
    [
        (timedelta(0), {}, True),
        (timedelta(seconds=10), {}, True),
        (timedelta(seconds=10) + TICK, {}, False),
        (SECOND, {"ip": "192.0.2.8"}, False),
        (SECOND, {"session": "0" * 32}, False),
        (SECOND, {"request_digest": bytes(32)}, False),
    ],
)
def test_the_same_request_right_after_its_redemption_is_likely_a_retry(
    after: timedelta, change: dict[str, object], likely: bool
) -> None:
    row = redeemed(ROW, SHOWN)
    shown = replace(replace(SHOWN, now=SHOWN.now + after), **change)  # type: ignore[arg-type]
    event = presentation_event(
        shown, decide(row, shown, factor_live=True), row, replay=replace(FIRST, after=Replays(4))
    )
    assert event.data["likely_retry"] is likely
    assert event.data["count"] == 4


def test_a_replay_tells_when_and_where_the_token_was_redeemed() -> None:
    row = redeemed(ROW, SHOWN)
    thief = replace(SHOWN, subject_id="mallory", session="f" * 32, ip="203.0.113.9", now=SHOWN.now + 5 * SECOND)
    event = presentation_event(thief, decide(row, thief, factor_live=True), row, replay=FIRST)
    assert event.subject_id == "mallory"
    assert event.data["redeemed"] == {
        "at": "2026-11-24T12:00:10Z",
        "ip": "192.0.2.7",
        "user_agent": "Browser/1",
        "subject": "ada",
        "session": ROW.session,
    }


def test_a_lost_row_leads_to_no_prompt() -> None:
    decision = decide(None, SHOWN, factor_live=True)
    event = presentation_event(SHOWN, decision, None)
    assert (event.name, event.reason, event.prompt_id, event.factor_id) == (EventName.BLOCKED, "state_lost", "", "")


def test_another_tokens_row_lends_its_prompt_to_nobody() -> None:
    shown = replace(SHOWN, reference=TokenReference(7, bytes(16)))
    event = presentation_event(shown, decide(ROW, shown, factor_live=True), ROW)
    assert (event.prompt_id, event.factor_id, event.requirement) == ("", "", None)
