"""Factors: what enrolling and removing takes, what sign-in should tell, and how attempts are counted."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from stepup_middleware import AttemptLimit, Subject
from stepup_middleware.service.ceremony_parts import WEBAUTHN_LIMIT
from stepup_middleware.service.enrolment import FRESH_SIGN_IN, MAX_FACTORS

from .harness import Ran
from .person import Person

ROTATE = "/webhooks/orders/rotate"


def app_of(ran: Ran) -> Person:
    return Person(ran.main.app)


def subject_of(person: Person) -> Subject:
    return Subject(
        id=person.session["name"],
        name=person.session["name"],
        session_id=person.session["id"],
        workspace_id="main",
        signed_in_at=datetime.now(UTC),
    )


async def test_the_first_factor_needs_a_sign_in_of_the_last_ten_minutes(ran: Ran) -> None:
    late = Person(ran.main.app, ago=601)
    refused = await late.enrol_passkey()
    assert (refused.status_code, refused.json()["code"]) == (401, "STEPUP_NOT_SIGNED_IN")
    assert "ten minutes" in refused.json()["detail"]
    assert timedelta(minutes=10) == FRESH_SIGN_IN
    assert (await Person(ran.main.app, ago=500).enrol_passkey()).status_code == 201


async def test_a_further_factor_takes_a_step_up_with_the_strongest_kind(ran: Ran) -> None:
    person = app_of(ran)
    await person.enrol_passkey()
    asked = await person.ask("POST", "/stepup/factors/totp", json={})
    assert asked.json()["factors"] == ["passkey", "hardware_key"]
    begun = await person.act("POST", "/stepup/factors/totp", json={})
    assert begun.status_code == 201


async def test_the_last_factor_stays(ran: Ran) -> None:
    person = app_of(ran)
    enrolled = (await person.enrol_passkey()).json()
    refused = await person.http.delete(f"/stepup/factors/{enrolled['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "STEPUP_FACTOR_CONFLICT")


async def test_renaming_needs_no_proof(ran: Ran) -> None:
    person = app_of(ran)
    enrolled = (await person.enrol_passkey()).json()
    renamed = await person.http.patch(f"/stepup/factors/{enrolled['id']}", json={"name": "Office laptop"})
    assert renamed.json()["name"] == "Office laptop"


async def test_signing_out_makes_what_was_proved_worthless(ran: Ran) -> None:
    person = app_of(ran)
    await person.enrol_passkey()
    token = await person.prove(await person.ask("POST", ROTATE))

    request = Request({"type": "http", "headers": [], "session": dict(person.session)})
    await ran.names["sign_out"](request)
    assert request.session == {}
    assert (await person.ask("POST", ROTATE, headers={"stepup-token": token})).json()["code"] == "STEPUP_REQUIRED"


async def test_a_time_step_spent_at_sign_in_authorizes_nothing(ran: Ran) -> None:
    person = app_of(ran)
    await person.enrol_totp()
    step = int(datetime.now(UTC).timestamp()) // 30 + 1
    assert await ran.names["accept_code_at_sign_in"](subject_of(person), step) is True
    assert await ran.names["accept_code_at_sign_in"](subject_of(person), step) is False
    asked = await person.ask("POST", ROTATE)
    answer = await person.http.post(f"{asked.headers['stepup-prompt']}/totp", json={"code": person.code()})
    assert answer.json()["code"] == "STEPUP_VERIFICATION_FAILED"


async def test_the_service_tells_a_persons_factors_and_what_is_closed_to_them(ran: Ran) -> None:
    person = app_of(ran)
    await person.enrol_totp()
    (factor,) = await ran.names["factors_of"](subject_of(person))
    assert factor[0] == "totp"
    closed = await ran.names["closed_to"](subject_of(person))
    assert "payroll_ach_transmit" in closed
    assert "webhook_secret_rotation" not in closed


async def test_wrong_codes_bring_a_pause_and_the_session_lives(ran: Ran) -> None:
    person = app_of(ran)
    await person.enrol_totp()
    url = (await person.ask("POST", ROTATE)).headers["stepup-prompt"]
    answers = [
        await person.http.post(f"{url}/totp", json={"code": secrets.choice(["000000", "111111"])}) for _ in range(6)
    ]
    assert [answer.status_code for answer in answers[:5]] == [400] * 5
    assert (answers[5].status_code, answers[5].headers["retry-after"]) == (429, "60")
    assert (await person.http.get("/stepup/factors")).status_code == 200


@pytest.mark.parametrize(
    ("limit", "free", "first", "longest", "closed"),
    [
        (AttemptLimit(), 4, timedelta(minutes=1), timedelta(hours=1), 100),
        (WEBAUTHN_LIMIT, 19, timedelta(seconds=30), timedelta(minutes=5), None),
    ],
)
def test_the_pauses_are_those_of_the_table(
    limit: AttemptLimit, free: int, first: timedelta, longest: timedelta, closed: int | None
) -> None:
    assert limit.closed_for(free) == timedelta(0)
    assert limit.closed_for(free + 1) == first
    assert limit.closed_for(free + 2) == 2 * first
    assert limit.closed_for(99) == longest
    assert limit.closed_for(closed or 10_000) == (None if closed else longest)
    assert MAX_FACTORS == 20


def test_the_time_of_a_sign_in_is_that_of_the_provider_or_none(ran: Ran) -> None:
    made = ran.names["signed_in_at"]
    assert made({"auth_time": 1_795_867_200, "iat": 1}) == datetime.fromtimestamp(1_795_867_200, UTC)
    assert made({"iat": 1_795_867_200}) is None
