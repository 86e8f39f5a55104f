"""Signing in and out: sessions, the lockout, and who may ask for changes."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from argon2 import Type
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from demo_app.accounts import FAILURES_ALLOWED, LOCKOUT, locked_until
from demo_app.areas.sign_in import local_path
from demo_app.settings import Settings
from stepup_middleware.testing import FixedClock, totp_code

from .conftest import SignedIn
from .passwords import USUAL
from .support import ORIGIN, Person

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
async def stranger(app: ASGIApp, clock: FixedClock) -> Person:
    return Person(app, clock)


@pytest.mark.parametrize("account", ["owner", "cosigner", "analyst"])
async def test_each_account_signs_in_with_the_password_that_the_page_tells(account: str, stranger: Person) -> None:
    told = re.search(r"<code>(axis-demo)</code>", (await stranger.page("/sign-in")).text)
    assert told
    answer = await stranger.sign_in(account, told.group(1))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Sign out" in (await stranger.page("/")).text


def test_a_guess_costs_what_rfc_9106_asks_for() -> None:
    """Section 4: Argon2id with 64 MiB in three passes, the second of its two recommendations."""
    assert (USUAL.type, USUAL.memory_cost, USUAL.time_cost, USUAL.parallelism) == (Type.ID, 64 * 1024, 3, 4)


async def test_an_unknown_address_and_a_wrong_password_are_told_the_same(stranger: Person) -> None:
    wrong, unknown = await stranger.sign_in("owner", "guess"), await stranger.sign_in("nobody", "guess")
    assert wrong.status_code == unknown.status_code == 403
    assert wrong.text.replace("owner@", "nobody@") == unknown.text.replace("owner@", "nobody@")


async def test_five_wrong_passwords_close_the_sign_in_for_fifteen_minutes(stranger: Person, clock: FixedClock) -> None:
    for _ in range(FAILURES_ALLOWED):
        assert (await stranger.sign_in("owner", "guess")).status_code in (403, 429)
    closed = await stranger.sign_in("owner")
    assert closed.status_code == 429
    assert "closed until Nov 24, 2026, 12:15 PM UTC" in closed.text
    assert (await stranger.sign_in("analyst")).status_code == 303, "another account is not touched"
    clock.advance(LOCKOUT)
    assert (await stranger.sign_in("owner")).status_code == 303


async def test_guesses_in_parallel_share_the_count(stranger: Person) -> None:
    guesses = await asyncio.gather(*(stranger.sign_in("owner", f"guess {place}") for place in range(12)))
    assert sorted(guess.status_code for guess in guesses).count(429) >= 12 - FAILURES_ALLOWED
    assert (await stranger.sign_in("owner")).status_code == 429


async def test_a_sign_in_forgets_the_wrong_passwords_before_it(stranger: Person) -> None:
    for _ in range(3):
        for _ in range(FAILURES_ALLOWED - 1):
            await stranger.sign_in("owner", "guess")
        assert (await stranger.sign_in("owner")).status_code == 303


async def test_a_very_long_password_is_refused_like_a_wrong_one(stranger: Person) -> None:
    assert (await stranger.sign_in("owner", "x" * 5000)).status_code == 403


async def test_failed_step_ups_close_the_sign_in_while_the_session_goes_on(
    signed_in: SignedIn, app: ASGIApp, clock: FixedClock
) -> None:
    owner = await signed_in("owner")
    await owner.enrol_totp()
    wrong = "000000" if totp_code(owner.secret, clock()) != "000000" else "111111"
    for _ in range(FAILURES_ALLOWED):
        prompt = await owner.ask("POST", "/developers/webhooks/W-1/rotate")
        answer = await owner.http.post(f"{prompt['prompt']['url']}/totp", json={"code": wrong})
        assert answer.status_code in (400, 429)
        clock.advance(61)
    elsewhere = Person(app, clock, ip="198.51.100.7")
    await owner.page_with("/", "New sign-ins to your account are closed until")
    assert (await owner.page("/payroll")).status_code == 200, "the session lives on"
    assert (await elsewhere.sign_in("owner")).status_code == 429
    await elsewhere.http.aclose()


@given(st.lists(st.integers(0, 7200), max_size=14), st.integers(0, 9000))
def test_the_sign_in_is_closed_only_within_fifteen_minutes_of_the_fifth_failure(seconds: list[int], now: int) -> None:
    failures = [START + timedelta(seconds=second) for second in sorted(seconds)]
    moment = START + timedelta(seconds=now)
    opens = locked_until(failures, moment)
    closing = [
        last
        for last, first in zip(failures[FAILURES_ALLOWED - 1 :], failures, strict=False)
        if last - first < LOCKOUT and moment < last + LOCKOUT
    ]
    assert opens == (max(closing) + LOCKOUT if closing else None)


async def test_the_session_id_is_new_at_each_sign_in_and_the_old_one_is_dead(
    signed_in: SignedIn, app: ASGIApp, clock: FixedClock
) -> None:
    owner = await signed_in("owner")
    old = owner.http.cookies["axis"]
    await owner.sign_in("owner")
    thief = Person(app, clock)
    thief.http.cookies.set("axis", old)
    assert (await thief.page("/payroll")).status_code == 303
    assert (await owner.page("/payroll")).status_code == 200
    await thief.http.aclose()


async def test_signing_out_ends_the_session_for_every_copy_of_its_cookie_and_for_its_tokens(
    signed_in: SignedIn, app: ASGIApp, clock: FixedClock
) -> None:
    owner = await signed_in("owner", passkey=True)
    old = owner.http.cookies["axis"]
    url = "/payroll/runs/2026-06/transmit"
    token = await owner.prove(await owner.ask("POST", url))
    assert (await owner.http.post("/sign-out")).status_code == 303
    thief = Person(app, clock)
    thief.http.cookies.set("axis", old)
    answer = await thief.http.post(url, headers={"stepup-token": token, "accept": "application/json"})
    assert answer.status_code == 401
    await thief.http.aclose()
    await owner.sign_in("owner")
    again = await owner.http.post(url, headers={"stepup-token": token, "accept": "application/json"})
    assert again.json()["code"] == "STEPUP_REQUIRED"


async def test_a_session_ends_after_twelve_hours(signed_in: SignedIn, clock: FixedClock) -> None:
    owner = await signed_in("owner")
    clock.advance(timedelta(hours=12) - timedelta(seconds=1))
    assert (await owner.page("/payroll")).status_code == 200
    clock.advance(1)
    assert (await owner.page("/payroll")).headers["location"] == "/sign-in?next=%2Fpayroll"


async def test_the_session_cookie_holds_no_id_that_the_database_has(signed_in: SignedIn, settings: Settings) -> None:
    owner = await signed_in("owner")
    kept = settings.database.read_bytes() + settings.database.with_name("axis.db-wal").read_bytes()
    import base64
    import json

    data = json.loads(base64.b64decode(owner.http.cookies["axis"].split(".")[0] + "=="))
    assert data["id"].encode() not in kept


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example", ""],
)
def test_a_sign_in_leads_to_no_other_site(wanted: str) -> None:
    assert local_path(wanted) == "/"


async def test_a_page_asked_for_before_the_sign_in_is_shown_after_it(stranger: Person) -> None:
    sent = await stranger.page("/audit?event=ACTION_AUTHORIZED")
    form = (await stranger.page(sent.headers["location"])).text
    assert 'name="next" value="/audit?event=ACTION_AUTHORIZED"' in form
    done = await stranger.http.post(
        "/sign-in",
        data={"email": "owner@axis.example", "password": "axis-demo", "next": "/audit?event=ACTION_AUTHORIZED"},
    )
    assert done.headers["location"] == "/audit?event=ACTION_AUTHORIZED"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:9000", "sec-fetch-site": "same-site"},
        {"origin": "null", "sec-fetch-site": ""},
        {"origin": "https://evil.example", "sec-fetch-site": ""},
    ],
)
async def test_a_change_that_another_site_asks_for_is_refused(headers: dict[str, str], signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    for path in ("/sign-out", "/identity/mfa/enable", "/settings/step-up-policy", "/sign-in"):
        assert (await owner.http.post(path, headers=headers)).status_code == 403
    assert (await owner.page("/payroll")).status_code == 200


async def test_a_page_asked_for_by_a_loopback_address_is_sent_to_its_name(stranger: Person) -> None:
    answer = await stranger.http.get("/sign-in?next=%2Faudit", headers={"host": "127.0.0.1:8000"})
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{ORIGIN}/sign-in?next=%2Faudit"


@pytest.mark.parametrize(
    "path", ["/stepup/factors?next=%2Fpayroll", "/stepup/people", "/stepup/approvals", "/stepup/receipts/x"]
)
async def test_the_librarys_pages_lead_a_stranger_to_the_sign_in_and_back(path: str, stranger: Person) -> None:
    answer = await stranger.http.get(path, headers={"accept": "text/html", "sec-fetch-mode": "navigate"})
    assert answer.status_code == 401
    assert f'href="/sign-in?next={quote(path, safe="")}"' in answer.text
