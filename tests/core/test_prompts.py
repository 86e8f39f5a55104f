"""What a person is asked, decided from the policy and the factors of the moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.events import EventName, Severity
from stepup_middleware.core.factors import EnrolledFactor, FactorKind, FactorRequirement
from stepup_middleware.core.moments import from_micros, time_ordered_id
from stepup_middleware.core.policy import StoredPolicy, effective_requirement
from stepup_middleware.core.prompts import (
    PROMPT_LIFETIME,
    NoFactor,
    Prompt,
    ask,
    asking_event,
    prompt_event,
    requirement_for,
)
from stepup_middleware.core.purposes import FACTOR_CHANGE, PLATFORM_PURPOSES, Purpose
from stepup_middleware.request.body import content_digest
from tests.core.support import DETAILS, NOW, PAYROLL, REQUEST, SUBJECT, WEBHOOK, asked

ANY, PHR = FactorRequirement.ANY, FactorRequirement.PHISHING_RESISTANT
PASSKEY = EnrolledFactor("p", FactorKind.PASSKEY)
KEY = EnrolledFactor("k", FactorKind.HARDWARE_KEY)
TOTP = EnrolledFactor("t", FactorKind.TOTP)

factor_lists = st.lists(st.sampled_from(FactorKind), max_size=6).map(
    lambda kinds: [EnrolledFactor(f"factor-{place}", kind) for place, kind in enumerate(kinds)]
)
policies = st.dictionaries(
    st.sampled_from([purpose.id for purpose in PLATFORM_PURPOSES]),
    st.sampled_from(["any", "phishing_resistant", "typo"]),
).map(lambda values: StoredPolicy(version=len(values), values=values))


def prompt(**changes: Any) -> Prompt:
    made = ask(asked(**changes), StoredPolicy(version=4), [PASSKEY])
    assert isinstance(made, Prompt)
    return made


@given(
    st.lists(st.integers(0, 10**16).map(from_micros), min_size=2, max_size=2),
    st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=2, unique=True),
)
def test_ids_of_prompts_are_in_the_order_of_their_milliseconds_and_never_the_same(
    moments: list[datetime], chances: list[bytes]
) -> None:
    first, second = map(time_ordered_id, moments, chances)
    assert first != second
    assert all(len(each) == 44 and set(each) <= set("0123456789abcdef") for each in (first, second))
    earlier, later = (moment.replace(microsecond=moment.microsecond // 1000 * 1000) for moment in moments)
    if earlier != later:
        assert (first < second) is (earlier < later)


@given(st.sampled_from(PLATFORM_PURPOSES), policies, factor_lists)
def test_a_prompt_offers_exactly_the_factors_that_meet_the_policy(
    purpose: Purpose, policy: StoredPolicy, factors: list[EnrolledFactor]
) -> None:
    requirement = effective_requirement(purpose, policy)
    serving = [factor for factor in factors if requirement.accepts(factor.kind)]
    made = ask(asked(purpose), policy, factors)
    if not serving:  # F11 F12
        assert made == NoFactor(requirement=requirement, policy_version=policy.version, has_weaker=bool(factors))
        return
    assert isinstance(made, Prompt)
    assert made.factor_ids == tuple(factor.id for factor in serving)
    assert set(made.factor_kinds) == {factor.kind for factor in serving}
    assert len(set(made.factor_kinds)) == len(made.factor_kinds)
    assert (made.requirement, made.policy_version) == (requirement, policy.version)


def test_a_prompt_says_who_was_asked_where_and_for_what() -> None:
    made = prompt()
    assert (made.workspace_id, made.subject_id, made.subject_name) == ("axis", "ada", "Ada")
    assert (made.session, made.ip, made.user_agent) == (SUBJECT.session, "192.0.2.7", "Browser/1")
    assert (made.purpose, made.request, made.details) == (PAYROLL.id, REQUEST, DETAILS)
    assert (made.created_at, made.expires_at) == (NOW, NOW + PROMPT_LIFETIME)


def test_a_prompt_holds_no_session_id_that_could_open_the_session() -> None:
    assert SUBJECT.session_id not in repr(prompt())


# F12
@pytest.mark.parametrize("purpose", [*PLATFORM_PURPOSES, FACTOR_CHANGE], ids=lambda purpose: purpose.id)
def test_whoever_has_no_factor_is_asked_nothing_and_gets_nothing(purpose: Purpose) -> None:
    assert isinstance(ask(asked(purpose), StoredPolicy(), []), NoFactor)


# F11
def test_a_code_from_an_app_does_not_serve_a_phishing_resistant_purpose() -> None:
    assert ask(asked(PAYROLL), StoredPolicy(), [TOTP]) == NoFactor(requirement=PHR, policy_version=0, has_weaker=True)


# E01
@pytest.mark.parametrize(
    ("factors", "wanted"),
    [
        ([TOTP], ANY),
        ([TOTP, PASSKEY], PHR),
        ([KEY], PHR),
        ([PASSKEY, KEY, TOTP], PHR),
        ([], ANY),
    ],
)
def test_a_factor_change_asks_for_the_strongest_kind_that_is_enrolled(
    factors: list[EnrolledFactor], wanted: FactorRequirement
) -> None:
    assert requirement_for(FACTOR_CHANGE, StoredPolicy(), factors) is wanted


@given(policies, factor_lists)
def test_no_policy_changes_what_a_factor_change_asks_for(policy: StoredPolicy, factors: list[EnrolledFactor]) -> None:
    loose = StoredPolicy(version=9, values={**policy.values, FACTOR_CHANGE.id: "any"})
    asked_for = requirement_for(FACTOR_CHANGE, loose, factors)
    assert asked_for is requirement_for(FACTOR_CHANGE, StoredPolicy(), factors)
    assert asked_for is (PHR if any(factor.kind.phishing_resistant for factor in factors) else ANY)


# C04 W09
@pytest.mark.parametrize("field", ["id", "session_id", "workspace_id"])
def test_a_prompt_belongs_to_one_session_of_one_person_in_one_workspace(field: str) -> None:
    made = prompt()
    changed: dict[str, Any] = {field: "other"}
    assert made.belongs_to(SUBJECT)
    assert made.belongs_to(replace(SUBJECT, name="Somebody", is_admin=True))
    assert not made.belongs_to(replace(SUBJECT, **changed))


def test_issuing_a_prompt_is_told_to_the_log() -> None:
    request = asked(WEBHOOK)
    event = asking_event(request, ask(request, StoredPolicy(version=4), [TOTP]))
    assert event.name is EventName.CHALLENGE_REQUESTED
    assert event.name.severity is Severity.INFO
    assert (event.purpose, event.prompt_id, event.requirement, event.policy_version) == (
        WEBHOOK.id,
        "prompt-1",
        ANY,
        4,
    )
    assert (event.request, event.details, event.reason) == (REQUEST, DETAILS, "")


# F12
def test_want_of_a_factor_is_told_to_the_log_as_blocked() -> None:
    request = asked(PAYROLL)
    event = asking_event(request, ask(request, StoredPolicy(), [TOTP]))
    assert (event.name, event.reason, event.requirement) == (EventName.BLOCKED, "no_factor", PHR)
    assert event.name.severity is Severity.WARNING


# A11
def test_the_events_of_a_purpose_carry_its_retention() -> None:
    holds = next(purpose for purpose in PLATFORM_PURPOSES if purpose.id == "holds_override")
    request = asked(holds)
    assert asking_event(request, ask(request, StoredPolicy(), [KEY])).retention_years == 10


def test_an_event_about_a_prompt_knows_all_that_the_prompt_knows_and_the_address_of_now() -> None:
    made = prompt()
    later = NOW + timedelta(seconds=9)
    event = prompt_event(made, EventName.FAILED, now=later, retention_years=1, ip="198.51.100.1", reason="wrong_code")
    assert (event.prompt_id, event.purpose, event.request, event.details) == (
        made.id,
        made.purpose,
        REQUEST,
        DETAILS,
    )
    assert (event.at, event.ip, event.reason, event.session) == (later, "198.51.100.1", "wrong_code", made.session)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_id": "prompt-2"},
        {"request": replace(REQUEST, method="DELETE")},
        {"request": replace(REQUEST, content_digest=content_digest(bytes(32)))},
        {"details": (("Run", "2026-07"), ("Employees", "214"))},
        {"details": tuple(reversed(DETAILS))},
        {"subject": replace(SUBJECT, id="bob")},
        {"subject": replace(SUBJECT, workspace_id="other")},
        {"subject": replace(SUBJECT, actor="Booker")},
        {"subject": replace(SUBJECT, client="Booker")},
        {"locale": "de"},
        {"title": "Authorize nothing"},
        {"consequence": "Nothing happens."},
        {"now": NOW + timedelta(microseconds=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_the_authenticator_signs_changes_with_each_fact_of_the_prompt(change: dict[str, object]) -> None:
    assert prompt(**change).description() != prompt().description()
