"""Several nodes on one database are one: ask on one, approve on the second, redeem on the third."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.approvals import ApprovalMark
from stepup_middleware.service import approval_watch
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.testing import FixedClock, totp_code
from tests.http.approving import PURPOSES, Program, program_of, until_asleep
from tests.patience import PATIENT
from tests.stores.conftest import valkey_server, valkey_url
from tests.support import ELSEWHERE, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of

__all__ = ["valkey_server", "valkey_url"]


@dataclass
class Nodes:
    """Three processes' worth of one app: what is signed in at one is signed in at all."""

    houses: list[House]

    def person(self, number: int, browser: Browser) -> Browser:
        """Return the browser of a person as it reaches another node."""
        return replace(browser, house=self.houses[number])

    def program(self, number: int, program: Program) -> Program:
        """Return a program as it reaches another node."""
        return replace(program, house=self.houses[number])

    @property
    def runs(self) -> int:
        return sum(house.total for house in self.houses)


@pytest.fixture(params=["postgres", "redis+postgres"])
def opened(request: pytest.FixtureRequest, postgres_dsn: str) -> Callable[[], HotState]:
    """Return what makes the store of one more node."""
    if request.param == "postgres":
        return lambda: PostgresStore(postgres_dsn, timeout=PATIENT)
    url: str = request.getfixturevalue("valkey_url")
    return lambda: RedisHotStore(url, behind=PostgresStore(postgres_dsn, timeout=PATIENT), timeout=PATIENT)


@pytest.fixture
async def nodes(opened: Callable[[], HotState], tmp_path: Path) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        clock = FixedClock()
        houses = [House(tmp_path, store=opened(), purposes=PURPOSES, clock=clock) for _ in range(3)]
        for house in houses:
            house.sessions, house.clock = houses[0].sessions, clock
            await stack.enter_async_context(house.stepup)
        yield Nodes(houses)


@pytest.fixture
async def ada(nodes: Nodes) -> Browser:
    ada = Browser(nodes.houses[0], nodes.houses[0].sign_in("ada"))
    await ada.enrol("passkey")
    return ada


async def approve(person: Browser, asked: dict[str, object]) -> None:
    """Type the digits and prove, in a browser."""
    told = asked["approval"]
    assert isinstance(told, dict)
    link = str(told["url"]).removeprefix(ORIGIN)
    assert (await person.post(link, json={"match": told["match"]})).status_code == 200
    done = await person.answer({"prompt": {"url": link}}, person.factors["passkey"])
    assert done.status_code == 200, done.text


async def test_it_is_asked_on_one_node_approved_on_the_second_and_redeemed_on_the_third(
    nodes: Nodes, ada: Browser
) -> None:
    assert ada.subject is not None
    program = program_of(nodes.houses[0], ada.subject)
    asked = await program.ask(TRANSMIT)
    waiting = asyncio.create_task(program.wait(asked, 25))
    await until_asleep(nodes.houses[0])
    phone = nodes.person(1, ada.signed_in_again().at(ELSEWHERE))
    await approve(phone, asked)
    given = await waiting
    assert given.status_code == 200, given.text
    same = await nodes.program(1, program).wait(asked)
    assert (same.status_code, same.json()) == (200, given.json())
    token = given.json()["token"]
    assert (await nodes.program(2, program).run(token, TRANSMIT)).status_code == 200
    for number in range(3):
        assert code_of(await nodes.program(number, program).run(token, TRANSMIT)) == "STEPUP_TOKEN_REUSED"
        assert (await nodes.program(number, program).wait(asked)).status_code == 404
    assert nodes.runs == 1
    await nodes.houses[2].assert_log_holds()


# N20
async def test_a_hundred_redemptions_on_three_nodes_at_once_run_one(nodes: Nodes, ada: Browser) -> None:
    assert ada.subject is not None
    program = program_of(nodes.houses[0], ada.subject)
    asked = await program.ask()
    await approve(nodes.person(1, ada.signed_in_again()), asked)
    three = [nodes.program(number, program) for number in range(3)]
    given = await asyncio.gather(*(three[number % 3].wait(asked) for number in range(30)))
    tokens = {answer.json()["token"] for answer in given}
    assert len(tokens) == 1
    token = tokens.pop()
    ran = await asyncio.gather(*(three[number % 3].run(token) for number in range(99)))
    assert sorted(answer.status_code for answer in ran)[:2] == [200, 403]
    assert nodes.runs == 1


async def test_a_denial_and_a_withdrawal_on_another_node_wake_who_waits(nodes: Nodes, ada: Browser) -> None:
    assert ada.subject is not None
    program = program_of(nodes.houses[0], ada.subject)
    for url, code in ((ROTATE, "STEPUP_DENIED"), (TRANSMIT, "STEPUP_PROMPT_NOT_FOUND")):
        asked = await program.ask(url)
        waiting = asyncio.create_task(program.wait(asked, 25))
        await until_asleep(nodes.houses[0])
        if url == ROTATE:
            link = asked["approval"]["url"].removeprefix(ORIGIN)
            assert (await nodes.person(1, ada).post(f"{link}/deny", json={})).status_code in {200, 204}
        else:
            assert (await nodes.program(2, program).client.delete(asked["prompt"]["url"])).status_code == 204
        assert code_of(await waiting) == code
    assert nodes.runs == 0


async def test_the_end_of_all_on_another_node_wakes_programs_and_pages_at_once(
    nodes: Nodes, ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits is told by the news of the next round, not by the end of their own wait."""
    assert ada.subject is not None
    program = program_of(nodes.houses[0], ada.subject)
    asked = await program.ask()
    tag = (await ada.send("GET", "/stepup/approvals")).headers["etag"]
    page = asyncio.create_task(
        ada.send("GET", "/stepup/approvals", headers={"prefer": "wait=30", "if-none-match": tag})
    )
    waiting = asyncio.create_task(program.wait(asked, 30))
    rounds = 0
    await until_asleep(nodes.houses[0], 2)
    records = nodes.houses[0].store.records
    real = records.approval_news

    async def counted(**arguments: Any) -> object:
        nonlocal rounds
        rounds += 1
        return await real(**arguments)

    monkeypatch.setattr(records, "approval_news", counted)
    await nodes.houses[2].stepup.revoke_all()
    answer = await waiting
    assert (answer.status_code, code_of(answer)) == (404, "STEPUP_PROMPT_NOT_FOUND")
    assert (await page).json() == {"approvals": []}
    assert rounds <= 3  # one that was under way, and the one that told; a wait of its own would have had 150
    again = await program.ask()
    assert again["approval"]["code"] != asked["approval"]["code"]


# C36
async def test_approve_and_deny_on_two_nodes_at_once_are_decided_once(nodes: Nodes, ada: Browser) -> None:
    assert ada.subject is not None
    for _ in range(5):
        program = program_of(nodes.houses[0], ada.subject)
        asked = await program.ask()
        link = asked["approval"]["url"].removeprefix(ORIGIN)
        phone, laptop = nodes.person(1, ada.signed_in_again()), nodes.person(2, ada)
        assert (await phone.post(link, json={"match": asked["approval"]["match"]})).status_code == 200
        options = await phone.options({"prompt": {"url": link}})
        key = phone.factors["passkey"].authenticator
        assert key is not None
        signed = key.get(options.json(), origin=ORIGIN)
        proved, denied = await asyncio.gather(
            phone.post(f"{link}/webauthn", json=signed), laptop.post(f"{link}/deny", json={})
        )
        assert (proved.status_code == 200) + (denied.status_code < 300) == 1
        late, word = (denied, "approved") if proved.status_code == 200 else (proved, "denied")
        assert (late.status_code, code_of(late)) == (404, "STEPUP_PROMPT_NOT_FOUND")
        assert f"This was {word} already" in late.json()["detail"]
        answer = await program.wait(asked)
        assert answer.status_code == (200 if proved.status_code == 200 else 403)


async def test_proved_where_it_was_asked_and_denied_on_another_node_at_once_are_decided_once(
    nodes: Nodes, ada: Browser
) -> None:
    """What was denied runs nothing, and who denies what was proved already is told that it was."""
    assert ada.subject is not None
    await ada.enrol("totp", by="passkey")
    for number in range(4):
        nodes.houses[0].clock.advance(60)
        program = program_of(nodes.houses[0], ada.subject)
        asked = await program.ask()
        link = asked["approval"]["url"].removeprefix(ORIGIN)
        laptop = nodes.person(2, ada)
        code = totp_code(ada.factors["totp"].secret, nodes.houses[0].clock())
        ways = (
            nodes.program(1, program).client.post(f"{asked['prompt']['url']}/totp", json={"code": code}),
            laptop.post(f"{link}/deny", json={}),
        )
        if number < 2:
            proved, denied = await asyncio.gather(*ways)
        elif number == 2:
            proved, denied = await ways[0], await ways[1]
        else:
            denied = await ways[1]
            proved = await ways[0]
        assert (proved.status_code == 200) + (denied.status_code < 300) == 1
        ran = nodes.runs
        page = await laptop.navigate("GET", link)
        if proved.status_code == 200:
            assert "This was confirmed already where it was asked" in denied.json()["detail"]
            assert "This was confirmed already where it was asked" in page.text
            assert (await laptop.send("GET", link)).json()["state"] == "proved"
            assert (await program.run(proved.json()["token"])).status_code == 200
            assert nodes.runs == ran + 1
            assert code_of(await program.wait(asked)) == "STEPUP_PROMPT_NOT_FOUND"
        else:
            assert (proved.status_code, code_of(proved)) == (404, "STEPUP_PROMPT_NOT_FOUND")
            assert "nothing was done" in page.text
            assert code_of(await program.wait(asked)) == "STEPUP_DENIED"
        assert (await laptop.send("GET", "/stepup/approvals")).json() == {"approvals": []}
    await nodes.houses[2].assert_log_holds()


# Z08
async def test_what_ten_thousand_wait_for_is_asked_of_the_database_by_one_task(
    nodes: Nodes, ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait, one statement asks for all of them, and none is begun before the last has been answered."""
    house = nodes.houses[0]
    watch, records = house.stepup._parts.approvals.watch, house.store.records
    asked = running = begun = 0
    rounds = asyncio.Event()
    real = records.approval_news

    async def counted(*, after: ApprovalMark | None, limit: int) -> object:
        nonlocal asked, running, begun
        asked, running, begun = asked + 1, running + 1, begun + (after is None)
        assert running == 1
        news = await real(after=after, limit=limit)
        running -= 1
        if asked >= 4:
            rounds.set()
        return news

    monkeypatch.setattr(records, "approval_news", counted)

    woken = False

    async def look() -> tuple[None, float]:
        return None, 0 if woken else inf

    def wait(number: int) -> Coroutine[Any, Any, tuple[None, bool]]:
        return watch.until(approval_watch.of_prompt(f"p-{number}"), look, PATIENT.total_seconds())

    tasks = [asyncio.create_task(wait(number)) for number in range(10_000)]
    async with asyncio.timeout(PATIENT.total_seconds()):
        await rounds.wait()
        seen = asked
        assert begun == 1
        woken = True
        for number in range(10_000):
            watch._wake(approval_watch.of_prompt(f"p-{number}"))
        await asyncio.gather(*tasks)
        assert watch._task is not None
        await watch._task  # nobody waits, so nobody asks
    assert asked <= seen + 1
    assert not watch._waiting
