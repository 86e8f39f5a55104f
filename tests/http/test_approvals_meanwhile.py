"""What changes between a program's question and its person's answer counts, and a flood of questions is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware import EventName
from stepup_middleware.core.approvals import ASKED_PER_PERSON, WAITING_PER_PERSON, ApprovalRefused
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.service.refusal_throttle import LOGGED_EACH
from tests.http.approving import PURPOSES, Program, program_of
from tests.support import ELSEWHERE, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of, house_in

ME = ("axis", "ada")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path, purposes=PURPOSES) as house:
        yield house


@pytest.fixture
async def ada(house: House) -> Browser:
    ada = Browser(house, house.sign_in("ada"))
    await ada.enrol("passkey")
    await ada.enrol("totp", by="passkey")
    return ada


@pytest.fixture
def program(house: House, ada: Browser) -> Program:
    assert ada.subject is not None
    return program_of(house, ada.subject)


async def matched(person: Browser, asked: dict[str, Any]) -> str:
    """Type the digits, and return the path of the link."""
    link = str(asked["approval"]["url"]).removeprefix(ORIGIN)
    assert (await person.post(link, json={"match": asked["approval"]["match"]})).status_code == 200
    return link


async def test_what_was_asked_before_the_policy_became_stronger_ends_on_its_own_and_what_comes_after_does_not(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    admin = house.sign_in("root", is_admin=True)
    await house.stepup.policy.set(admin, "webhook_secret_rotation", "phishing_resistant")
    assert (await ada.answer({"prompt": {"url": link}}, ada.factors["totp"])).status_code == 200
    assert (await program.run((await program.wait(asked)).json()["token"])).status_code == 200
    house.clock.advance(30)
    after = await program.ask()
    refused = await ada.answer({"prompt": {"url": await matched(ada, after)}}, ada.factors["totp"])
    assert refused.status_code in {400, 403}, refused.text
    assert (await program.wait(after)).status_code == 202
    assert house.total == 1


# C35
async def test_a_session_that_ended_before_the_answer_is_approved_nothing(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    options = await ada.options({"prompt": {"url": link}})
    await house.stepup.end_session(program.subject)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    late = await ada.post(f"{link}/webauthn", json=key.get(options.json(), origin=ORIGIN))
    assert late.status_code == 404
    assert (await program.wait(asked)).status_code in {401, 404}
    assert house.total == 0


# C35
async def test_a_session_that_ended_after_the_approval_is_given_nothing_that_serves(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    assert (await ada.answer({"prompt": {"url": link}}, ada.factors["passkey"])).status_code == 200
    await house.stepup.end_session(program.subject)
    given = await program.wait(asked)
    if given.status_code == 200:
        assert (await program.run(given.json()["token"])).status_code in {401, 403}
    assert house.total == 0


async def test_a_prompt_that_a_dead_process_left_closed_is_not_waited_for(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    await house.store.cancel_prompt(asked["prompt"]["id"], event=None, now=house.clock())  # and it died with that
    assert (await program.wait(asked)).status_code == 202
    waiting = asyncio.create_task(program.wait(asked, 25))
    assert (await ada.options({"prompt": {"url": link}})).status_code == 404
    assert code_of(await waiting) == "STEPUP_PROMPT_NOT_FOUND"
    assert (await program.ask())["approval"]["code"] != asked["approval"]["code"]


# C35
async def test_a_removed_factor_takes_with_it_what_it_approved(house: House, ada: Browser, program: Program) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    assert (await ada.answer({"prompt": {"url": link}}, ada.factors["totp"])).status_code == 200
    token = (await program.wait(asked)).json()["token"]
    event = (await house.events(EventName.FACTOR_ENROLLED))[0].as_event()
    assert await house.store.records.remove_factor(*ME, ada.factors["totp"].id, event=event, now=house.clock())
    assert (await program.run(token)).status_code in {401, 403}
    assert house.total == 0


# Z07
async def test_a_flood_of_a_thousand_requests_leaves_no_more_than_its_bound(
    house: House, ada: Browser, program: Program
) -> None:
    assert ada.subject is not None
    sessions, own = 10, len(await house.events())
    programs = [program_of(house, ada.subject) for _ in range(sessions)]
    statuses: Counter[int] = Counter()
    codes = set()
    for _ in range(50):
        for answer in await asyncio.gather(*(each.client.post(url) for each in programs for url in (ROTATE, TRANSMIT))):
            statuses[answer.status_code] += 1
            codes |= {answer.json()["approval"]["code"]} if "approval" in answer.json() else set()
    assert statuses.total() == 1000
    assert statuses.keys() == {401, 429}
    waiting = await house.store.records.waiting_approvals(*ME, now=house.clock())
    assert len(waiting) == len(codes) == WAITING_PER_PERSON <= ASKED_PER_PERSON
    events = Counter((record.event, record.reason) for record in (await house.events())[own:])
    assert events[EventName.APPROVAL_REQUESTED, ""] == WAITING_PER_PERSON
    assert events[EventName.CHALLENGE_REQUESTED, ""] <= sessions * OPEN_PROMPTS_PER_SESSION
    assert 1 <= events[EventName.BLOCKED, ApprovalRefused.TOO_MANY] <= sessions * (LOGGED_EACH + 2)
    assert events.total() <= WAITING_PER_PERSON + sessions * (OPEN_PROMPTS_PER_SESSION + 3 * (LOGGED_EACH + 2))
    bob = Browser(house, house.sign_in("bob"), ip=ELSEWHERE)
    await bob.enrol("passkey")
    assert bob.subject is not None
    assert "approval" in await program_of(house, bob.subject).ask()
