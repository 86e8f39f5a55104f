"""A store that answers late costs the request that needs it a 503, and nobody else anything."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import EventName
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.service.life import beside
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.patience import USUAL
from tests.support import ROTATE, TRANSMIT, Browser, House, code_of, house_in

SHORT = timedelta(seconds=1.5)
PATIENT = timedelta(seconds=30)  # the store's own patience: what ends the wait here is the request's

_ENDLESS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


@asynccontextmanager
async def late(house: House) -> AsyncIterator[None]:
    """Keep the writer waiting for a lock that somebody else holds, and the reader busy with another query."""
    assert isinstance(house.store, SQLiteStore)
    await house.store.records.list_factors("axis", "nobody")  # the connection is open
    connection = house.store._engine.state._connection
    assert connection is not None
    with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = asyncio.ensure_future(connection.execute_fetchall(_ENDLESS))
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            await connection.interrupt()
            await asyncio.gather(busy, return_exceptions=True)


@asynccontextmanager
async def impatient_house(folder: Path) -> AsyncIterator[House]:
    store = SQLiteStore(folder / "stepup.db", timeout=PATIENT)
    async with house_in(folder, store=store, store_timeout=SHORT) as house:
        yield house


Sends = Callable[[Browser, dict[str, Any], str], Awaitable[httpx2.Response]]

# Every place that waits for the store: the gate, the ceremonies, the factors and the pages.
CALLS: dict[str, Sends] = {
    "gate without a token": lambda ada, prompt, token: ada.post(TRANSMIT),
    "gate with a token": lambda ada, prompt, token: ada.post(TRANSMIT, token=token),
    "gate with a bad token": lambda ada, prompt, token: ada.post(ROTATE, token="garbage"),
    "gate inside a handler": lambda ada, prompt, token: ada.post("/inside"),
    "show prompt": lambda ada, prompt, token: ada.send("GET", prompt["prompt"]["url"]),
    "options": lambda ada, prompt, token: ada.options(prompt),
    "assertion": lambda ada, prompt, token: ada.post(f"{prompt['prompt']['url']}/webauthn", json={"id": "x"}),
    "code": lambda ada, prompt, token: ada.post(f"{prompt['prompt']['url']}/totp", json={"code": "123456"}),
    "cancel": lambda ada, prompt, token: ada.send("DELETE", prompt["prompt"]["url"]),
    "purposes": lambda ada, prompt, token: ada.send("GET", "/stepup/purposes"),
    "factors": lambda ada, prompt, token: ada.send("GET", "/stepup/factors"),
    "begin key": lambda ada, prompt, token: ada.post("/stepup/factors/webauthn/options", json={"kind": "passkey"}),
    "finish key": lambda ada, prompt, token: ada.post("/stepup/factors/webauthn", json={"name": "x", "credential": {}}),
    "begin code": lambda ada, prompt, token: ada.post("/stepup/factors/totp", json={}),
    "finish code": lambda ada, prompt, token: ada.post("/stepup/factors/totp/x/confirm", json={"code": "123456"}),
    "rename": lambda ada, prompt, token: ada.send("PATCH", f"/stepup/factors/{_key(ada)}", json={"name": "x"}),
    "remove": lambda ada, prompt, token: ada.send("DELETE", f"/stepup/factors/{_key(ada)}"),
}


def _key(ada: Browser) -> str:
    return ada.factors["passkey"].id


async def test_every_request_that_needs_a_late_store_is_refused_and_no_other_notices(tmp_path: Path) -> None:
    async with impatient_house(tmp_path) as house:  # S09, P12, A04
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        prompt = await ada.prompt("POST", TRANSMIT)
        async with late(house):
            waiting = {name: asyncio.ensure_future(send(ada, prompt, token)) for name, send in CALLS.items()}
            assert (await ada.send("GET", "/open")).text == "open"
            assert not any(request.done() for request in waiting.values())
            answers = {name: await request for name, request in waiting.items()}
            assert (await ada.send("GET", "/open")).text == "open"
        assert {name: (answer.status_code, code_of(answer)) for name, answer in answers.items()} == dict.fromkeys(
            CALLS, (503, "STEPUP_UNAVAILABLE")
        )
        assert house.total == 0
        assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200  # it answers again by itself


async def test_a_redemption_that_came_too_late_never_runs_and_says_so_in_the_log(tmp_path: Path) -> None:
    async with impatient_house(tmp_path) as house:  # S03, X04
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        async with late(house):
            refused = asyncio.ensure_future(ada.post(TRANSMIT, token=token))
            assert code_of(await refused) == "STEPUP_UNAVAILABLE"
        again = await ada.post(TRANSMIT, token=token)
        if again.status_code == 200:  # nobody had begun it
            assert house.total == 1
            return
        assert code_of(again) == "STEPUP_TOKEN_REUSED"
        assert house.total == 0
        assert (await house.soon(EventName.ACTION_COMPLETED)).data == {"outcome": "aborted"}


async def test_a_store_that_takes_long_to_open_refuses_meanwhile_and_is_opened_once(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "stepup.db"):
        pass
    house = House(tmp_path, store=SQLiteStore(tmp_path / "stepup.db", timeout=PATIENT), store_timeout=SHORT)
    ada = Browser(house, house.sign_in("ada"))
    with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # as another process that migrates
        for _ in range(2):
            assert code_of(await ada.post(TRANSMIT)) == "STEPUP_UNAVAILABLE"
            assert code_of(await ada.send("GET", "/stepup/factors")) == "STEPUP_UNAVAILABLE"
        starting = house.stepup._life._starting
        assert starting is not None
        assert not starting.done()
        other.execute("ROLLBACK")
    await house.stepup.start()
    assert house.stepup._life._starting is starting
    assert (await ada.send("GET", "/stepup/factors")).status_code == 200
    await house.stepup.close()


def test_a_request_waits_less_than_two_seconds_unless_somebody_says_otherwise() -> None:
    assert timedelta(0) < USUAL["StepUp.store_timeout"] < timedelta(seconds=2)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timeout_that_lets_no_store_answer_stops_the_start(tmp_path: Path, seconds: int) -> None:
    with pytest.raises(ConfigurationError, match="store_timeout"):
        House(tmp_path, store_timeout=timedelta(seconds=seconds))


async def test_what_is_hashed_meanwhile_takes_nothing_of_the_time_that_the_store_has() -> None:
    async def hashes() -> float | None:
        await asyncio.sleep(0)
        return bound.when()

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60) as bound:
        left = (bound.when() or 0) - loop.time()
        assert await beside(bound, hashes()) is None  # nothing ends it
        ends = bound.when()
        assert ends is not None
        assert left / 2 < ends - loop.time() <= left
