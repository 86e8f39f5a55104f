"""What a flood costs: bounded attempts, bounded rows, and nothing kept in memory for each request."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from weakref import ReferenceType

import pytest

from stepup_middleware import EventName
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from tests.support import ROTATE, TRANSMIT, Browser, House, code_of

from .test_failures import failing_to_log

QUARTER = OPEN_PROMPTS_PER_SESSION // 4


@contextmanager
def broken(path: Path, table: str, moment: str) -> Iterator[None]:
    """Make the database refuse to write one table."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"CREATE TRIGGER broken BEFORE {moment} ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END")
        yield
        other.execute("DROP TRIGGER broken")


# O18
async def test_an_attempt_stays_counted_whatever_becomes_of_its_request(tim: Browser, house: House) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    with failing_to_log(house.path, EventName.FAILED):
        for _ in range(5):
            answer = await tim.answer(prompt, tim.factors["totp"], code="000000")
            assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    assert code_of(await tim.answer(prompt, tim.factors["totp"])) == "STEPUP_RATE_LIMITED"


# O18
async def test_leaving_before_the_answer_buys_no_further_attempt(tim: Browser, house: House) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    for _ in range(40):
        guess = asyncio.create_task(tim.answer(prompt, tim.factors["totp"], code="000000"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        guess.cancel()
        await asyncio.gather(guess, return_exceptions=True)
    judged = [record for record in await house.events(EventName.FAILED) if record.reason != "rate_limited"]
    assert len(judged) <= 5


# O23
@pytest.mark.parametrize("moment", ["INSERT", "UPDATE"])
async def test_while_attempts_cannot_be_counted_no_code_is_judged(tim: Browser, house: House, moment: str) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    if moment == "UPDATE":
        await tim.answer(prompt, tim.factors["totp"], code="000000")
    with broken(house.path, "attempts", moment):
        for code in ("000000", None):
            guess = {} if code is None else {"code": code}
            answer = await tim.answer(prompt, tim.factors["totp"], **guess)
            assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
            assert "token" not in answer.json()
    assert (await tim.answer(prompt, tim.factors["totp"])).status_code == 200


async def test_no_number_of_false_assertions_takes_a_persons_keys_from_them(bob: Browser, house: House) -> None:
    for _ in range(130):
        prompt = await bob.prompt("POST", TRANSMIT)
        await bob.post(f"{prompt['prompt']['url']}/webauthn", json={})
        await bob.send("DELETE", prompt["prompt"]["url"])
        house.clock.advance(timedelta(minutes=5))
    assert (await bob.step_up("POST", TRANSMIT, "passkey")).status_code == 200


_ASIDE = (type, ModuleType, FunctionType, FrameType, ReferenceType, asyncio.AbstractEventLoop)


def reachable(root: object) -> int:
    """Return how many objects an object keeps alive; code, modules and the event loop with its timers aside."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, _ASIDE):
            continue
        seen.add(id(found))
        waiting.extend(gc.get_referents(found))
    return len(seen)


# D07
async def test_nothing_is_kept_in_memory_for_each_request_person_or_token(ada: Browser, house: House) -> None:
    async def busy(rounds: int) -> int:
        for number in range(rounds):
            stranger = Browser(house, house.sign_in(f"person-{number}"))
            await stranger.post(TRANSMIT)
            await stranger.post(f"/stepup/prompts/{number}/webauthn", json={})
            await ada.post(TRANSMIT, token="x" * 72)
            prompt = await ada.prompt("POST", TRANSMIT)
            await ada.post(TRANSMIT, token=await ada.prove(prompt, "passkey"))
            house.clock.advance(timedelta(minutes=5))
        house.sessions = {ada.subject.session_id: ada.subject} if ada.subject else {}
        house.runs.clear()
        await house.stepup.audit.page("axis")
        gc.collect()
        return reachable(house.stepup)

    before = await busy(30)
    assert await busy(150) < before + 200


# Z03
async def test_another_sites_links_use_up_no_more_than_a_quarter_of_a_sessions_prompts(
    ada: Browser, house: House
) -> None:
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    before = len(await house.events(EventName.CHALLENGE_REQUESTED))
    asked = [await ada.navigate("GET", "/export?format=csv", headers=elsewhere) for _ in range(40)]
    assert [answer.status_code for answer in asked] == [401] * QUARTER + [429] * (40 - QUARTER)
    assert len(await house.events(EventName.CHALLENGE_REQUESTED)) == before + QUARTER
    own = [await ada.post(TRANSMIT) for _ in range(3 * QUARTER + 1)]
    assert [answer.status_code for answer in own] == [401] * 3 * QUARTER + [429]
    house.clock.advance(301)
    assert (await ada.navigate("GET", "/export?format=csv", headers=elsewhere)).status_code == 401


# Z03
async def test_another_sites_images_ask_for_nothing(ada: Browser, house: House) -> None:
    before = len(await house.events(EventName.CHALLENGE_REQUESTED))
    image = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"}
    for _ in range(40):
        await ada.send("GET", "/export?format=csv", headers=image)
    assert len(await house.events(EventName.CHALLENGE_REQUESTED)) == before
    assert (await ada.post(TRANSMIT)).status_code == 401


async def test_a_link_from_elsewhere_asks_nothing_more_of_a_session_that_has_many_prompts_open(
    ada: Browser, house: House
) -> None:
    for _ in range(QUARTER):
        await ada.prompt("POST", TRANSMIT)
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    refused = await ada.navigate("GET", "/export?format=csv", headers=elsewhere)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) <= 300
    assert (await ada.navigate("GET", "/export?format=csv")).status_code == 401
