"""An alert reaches every sink: over failures, restarts and processes that died, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from stepup_middleware import AuditEvent, EventName
from stepup_middleware.core.topics import Topic
from tests.support import TRANSMIT, Browser, House, house_in

LATER = timedelta(seconds=90)


class Pager:
    """A sink that may be down, and keeps what it took."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.alerts: list[AuditEvent] = []
        self.tried = asyncio.Event()

    async def __call__(self, event: AuditEvent) -> None:
        if event.name is not EventName.REUSED:
            return
        self.tried.set()
        if self.down:
            raise ConnectionError("the pager is down")
        self.alerts.append(event)


class Mail(Pager):
    """Another sink."""


async def replay(house: House) -> None:
    """Replay a token of a person of their own."""
    ada = Browser(house, house.sign_in("ada"))
    await ada.enrol("passkey")
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    assert (await ada.post(TRANSMIT, token=token)).status_code == 403


@asynccontextmanager
async def later(folder: Path, before: House, *sinks: Pager) -> AsyncIterator[House]:
    """Start the app again, a while later."""
    house = House(folder, on_event=sinks)
    house.clock.set(before.clock() + LATER)
    async with house.stepup:
        yield house


async def arrived(pager: Pager) -> None:
    """Return when an alert was handed to a pager."""
    async with asyncio.timeout(30):
        await pager.tried.wait()


async def settled(house: House) -> None:
    """Return when the app has looked for alerts and noted what became of them."""
    await house.stepup._parts.dispatcher.outbox.collect()


async def test_an_alert_that_a_sink_did_not_take_comes_again_after_a_restart_and_once(tmp_path: Path) -> None:
    pager = Pager(down=True)  # A06
    async with house_in(tmp_path, on_event=[pager]) as house:
        await replay(house)
        await arrived(pager)
    assert pager.alerts == []
    again = Pager()
    async with later(tmp_path, house, again) as restarted:
        await arrived(again)
    assert [alert.name for alert in again.alerts] == [EventName.REUSED]
    third = Pager()
    async with later(tmp_path, restarted, third) as last:
        await settled(last)
    assert third.alerts == []


async def test_an_alert_of_a_process_that_died_is_handed_over_by_the_next(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:  # nothing here hears of it
        await replay(house)
    pager = Pager()
    async with later(tmp_path, house, pager):
        await arrived(pager)
    assert len(pager.alerts) == 1
    assert pager.alerts[0].data["count"] == 1
    assert pager.alerts[0].prompt_id


async def test_a_sink_that_took_an_alert_is_not_handed_it_again_for_the_sake_of_another(tmp_path: Path) -> None:
    good, bad = Pager(), Mail(down=True)
    async with house_in(tmp_path, on_event=[good, bad]) as house:
        await replay(house)
        await arrived(bad)
    assert len(good.alerts) == 1
    good_again, bad_again = Pager(), Mail()
    async with later(tmp_path, house, good_again, bad_again):
        await arrived(bad_again)
    assert good_again.alerts == []
    assert len(bad_again.alerts) == 1


async def test_an_alert_is_handed_over_again_while_the_app_runs(tmp_path: Path) -> None:
    pager = Pager(down=True)
    async with house_in(tmp_path, on_event=[pager]) as house:
        await replay(house)
        await arrived(pager)
        pager.down = False
        async with asyncio.timeout(30):
            while not pager.alerts:
                house.clock.advance(LATER)
                await settled(house)
        for _ in range(3):
            house.clock.advance(LATER)
            await settled(house)
    assert len(pager.alerts) == 1


async def test_an_alert_that_every_sink_took_leaves_nothing_behind(tmp_path: Path) -> None:
    pager = Pager()
    async with house_in(tmp_path, on_event=[pager]) as house:
        await replay(house)
        await arrived(pager)
    async with house_in(tmp_path) as idle:
        late = house.clock() + LATER
        assert await idle.store.records.claim_deliveries([Topic.ALERT], now=late, until=late + LATER, limit=10) == ()
