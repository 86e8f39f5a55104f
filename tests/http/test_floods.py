"""What one session is refused again and again leaves a bounded number of records, and a count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware import EventName
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.service.refusal_throttle import (
    LOGGED_EACH,
    MOST_SESSIONS,
    REFUSED_PRESENTATIONS,
    RefusalThrottle,
)
from stepup_middleware.testing.contract.values import NOW
from tests.support import ROTATE, TRANSMIT, Browser, House, code_of, house_in

MANY = 150
WINDOW = timedelta(minutes=5)


@pytest.fixture
async def ada(house: House) -> Browser:
    ada = Browser(house, house.sign_in("ada"))
    await ada.enrol("passkey")
    return ada


async def told(house: House, send: Callable[[], Awaitable[object]], times: int = MANY) -> Counter[str]:
    """Send something many times and return the reasons that the log has been told."""
    before = len(await house.events())
    for _ in range(times):
        await send()
    return Counter(record.reason for record in (await house.events())[before:])


async def test_a_token_shown_where_it_does_not_belong_fills_no_log_and_is_soon_not_looked_at(
    house: House, ada: Browser
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")  # D02
    reasons = await told(house, lambda: ada.post(ROTATE, token=token))
    assert reasons["wrong_purpose"] == REFUSED_PRESENTATIONS
    assert reasons[""] <= OPEN_PROMPTS_PER_SESSION  # the prompts that it brought
    assert sum(reasons.values()) < 64 + OPEN_PROMPTS_PER_SESSION + LOGGED_EACH + 5
    refused = await ada.post(TRANSMIT, token=token)
    assert (refused.status_code, code_of(refused)) == (429, "STEPUP_RATE_LIMITED")
    assert 0 < int(refused.headers["retry-after"]) <= 300
    bob = Browser(house, house.sign_in("bob"))
    await bob.enrol("passkey")
    assert (await bob.step_up("POST", TRANSMIT, "passkey")).status_code == 200  # nobody else notices
    house.clock.advance(WINDOW)
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200


async def test_attempts_on_a_closed_bucket_are_counted_and_not_listed(house: House) -> None:
    tim = Browser(house, house.sign_in("tim"))
    await tim.enrol("totp")
    prompt = await tim.prompt("POST", ROTATE)
    reasons = await told(house, lambda: tim.post(f"{prompt['prompt']['url']}/totp", json={"code": "000000"}))
    assert reasons == {"wrong_code": 5, "rate_limited": LOGGED_EACH + 1}
    last = (await house.events(EventName.BLOCKED))[-1]
    assert last.data["count"] == 100


async def test_enrolments_that_were_never_begun_are_counted_and_not_listed(house: House, ada: Browser) -> None:
    body = {"name": "x", "credential": {}}
    reasons = await told(house, lambda: ada.post("/stepup/factors/webauthn", json=body))
    assert reasons == {"challenge_used": LOGGED_EACH + 1}


async def test_looking_at_somebody_elses_prompt_again_and_again_is_counted(house: House, ada: Browser) -> None:
    bob = Browser(house, house.sign_in("bob"))
    await bob.enrol("passkey")
    prompt = await bob.prompt("POST", TRANSMIT)
    reasons = await told(house, lambda: ada.send("GET", prompt["prompt"]["url"]))
    assert reasons == {"wrong_holder": LOGGED_EACH + 1}
    house.clock.advance(WINDOW)
    assert (await told(house, lambda: ada.send("GET", prompt["prompt"]["url"]), times=1)) == {}  # it is gone


async def test_a_flood_of_one_kind_hides_no_refusal_of_another(house: House, ada: Browser) -> None:
    bob = Browser(house, house.sign_in("bob"))
    await bob.enrol("totp")
    prompt = await bob.prompt("POST", ROTATE)
    body = {"name": "x", "credential": {}}
    await told(house, lambda: bob.post("/stepup/factors/webauthn", json=body))
    wrong = await told(house, lambda: bob.post(f"{prompt['prompt']['url']}/totp", json={"code": "000000"}), times=1)
    assert wrong == {"wrong_code": 1}
    foreign = await told(house, lambda: ada.send("GET", prompt["prompt"]["url"]), times=1)
    assert foreign == {"wrong_holder": 1}


async def test_what_is_remembered_is_bounded_and_forgotten(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:  # D07
        throttle = RefusalThrottle(house.store)
        for number in range(MOST_SESSIONS + 50):
            throttle.refused(house.sign_in(f"person-{number}"), NOW)
        assert len(throttle._counts) == MOST_SESSIONS
        throttle.refused(house.sign_in("last"), NOW + WINDOW)
        assert len(throttle._counts) == 1


async def test_a_clock_that_goes_back_begins_a_window_anew(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        throttle, ada = RefusalThrottle(house.store), house.sign_in("ada")
        for _ in range(REFUSED_PRESENTATIONS):
            throttle.refused(ada, NOW)
        assert throttle.closed(ada, NOW) == WINDOW
        assert throttle.closed(ada, NOW - timedelta(hours=1)) is None
        throttle.refused(ada, NOW - timedelta(hours=1))
        assert throttle.closed(ada, NOW) is None
