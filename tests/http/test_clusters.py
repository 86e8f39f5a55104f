"""A sudden cluster of failures on one purpose is flagged to the app's sinks, whichever process saw them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from stepup_middleware import FAILURE_CLUSTER, AuditEvent, ClusterRule, EventName
from stepup_middleware.service.cluster_flagger import FailureClusterFlagger
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import ROTATE, TRANSMIT, Browser, House, house_in

RULE = ClusterRule(failures=3, within=timedelta(minutes=10))


class Alerts:
    """A sink that keeps what it was handed."""

    def __init__(self) -> None:
        self.heard: list[AuditEvent] = []
        self.more = asyncio.Event()

    async def __call__(self, event: AuditEvent) -> None:
        self.heard.append(event)
        self.more.set()

    async def flags(self, failures: int) -> list[bool]:
        """Wait for so many failures, and return for each whether it was flagged."""
        async with asyncio.timeout(30):
            while len(self.failures()) < failures:
                self.more.clear()
                await self.more.wait()
        return [FAILURE_CLUSTER in event.flags for event in self.failures()]

    def failures(self) -> list[AuditEvent]:
        return [event for event in self.heard if event.name is EventName.FAILED]


async def wrong_code(browser: Browser, url: str = ROTATE) -> None:
    prompt = await browser.prompt("POST", url)
    answer = await browser.post(f"{prompt['prompt']['url']}/totp", json={"code": "000000"})
    assert answer.status_code in (400, 403)


async def with_an_app(house: House, name: str) -> Browser:
    browser = Browser(house, house.sign_in(name))
    await browser.enrol("totp")
    return browser


async def test_the_third_failure_and_each_after_it_are_flagged_and_the_log_tells_the_same(tmp_path: Path) -> None:
    alerts = Alerts()
    async with house_in(tmp_path, on_event=[alerts], failure_cluster=RULE) as house:
        people = [await with_an_app(house, name) for name in ("ada", "bob", "tim")]
        since = house.clock()
        for browser in (*people, people[0]):
            await wrong_code(browser)
        assert await alerts.flags(4) == [False, False, True, True]
        (cluster,) = await house.stepup.audit.clusters("axis", since=since)
        assert (cluster.purpose, cluster.failures) == ("webhook_secret_rotation", 4)
        house.clock.advance(timedelta(minutes=11))
        await wrong_code(people[1])
        assert (await alerts.flags(5))[4] is False
        assert await house.stepup.audit.clusters("axis", since=house.clock()) == ()
        # the log itself has what happened; that it was one of many is no fact of the event
        assert all(FAILURE_CLUSTER not in record.flags for record in await house.events(EventName.FAILED))


async def test_of_more_failures_than_are_wanted_the_newest_are_looked_at_without_a_gap(tmp_path: Path) -> None:
    async with house_in(tmp_path, failure_cluster=RULE) as house:
        since = house.clock()
        names = [EventName.FAILED] * 3 + [EventName.BLOCKED] * 2 + [EventName.FAILED] * 3
        failure = AuditEvent(at=since, name=EventName.FAILED, workspace_id="axis", subject_id="u", purpose="any")
        await house.store.records.append([replace(failure, name=name) for name in names])

        async def failures(newest: int | None) -> list[int]:
            return [each.failures for each in await house.stepup.audit.clusters("axis", since=since, newest=newest)]

        assert await failures(None) == await failures(6) == await failures(1_000) == [8]
        assert await failures(5) == [7]
        assert await failures(3) == [3]  # the refusals before them are whole, and the failures before those are not
        assert await failures(2) == []


async def test_failures_that_processes_saw_apart_are_flagged_together(tmp_path: Path) -> None:
    alerts = [Alerts(), Alerts()]
    async with AsyncExitStack() as stack:
        houses = [
            await stack.enter_async_context(house_in(tmp_path, on_event=[each], failure_cluster=RULE))
            for each in alerts
        ]
        first, second = [await with_an_app(house, name) for house, name in zip(houses, ("ada", "bob"), strict=True)]
        await wrong_code(first)
        await wrong_code(second)
        await wrong_code(first)
        assert await alerts[1].flags(1) == [False]
        assert await alerts[0].flags(2) == [False, True]


async def test_what_a_person_cancels_is_no_failure(tmp_path: Path) -> None:
    alerts = Alerts()
    async with house_in(tmp_path, on_event=[alerts], failure_cluster=RULE) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        for _ in range(4):
            prompt = await ada.prompt("POST", TRANSMIT)
            assert (await ada.send("DELETE", prompt["prompt"]["url"])).status_code == 204
        assert await alerts.flags(4) == [False] * 4
        assert await house.stepup.audit.clusters("axis", since=house.clock()) == ()


async def test_an_event_goes_out_unflagged_when_the_log_cannot_be_asked(tmp_path: Path) -> None:
    alerts = Alerts()
    async with house_in(tmp_path, on_event=[alerts], failure_cluster=ClusterRule(failures=2)) as house:
        ada = await with_an_app(house, "ada")
        await wrong_code(ada)
        assert await alerts.flags(1) == [False]
        lost = replace(alerts.failures()[0], purpose="scim_token_revocation")
        await house.store.records.append([lost, lost])  # on a purpose of their own
        assert await alerts.flags(3) == [False, False, True]
        flagger = FailureClusterFlagger(store=SQLiteStore(tmp_path / "nowhere" / "stepup.db"), rule=RULE)
        assert await flagger.flagged(1, lost) is lost


async def test_a_failure_of_the_last_moment_reaches_the_sinks_and_holds_nothing_up(tmp_path: Path) -> None:
    alerts = Alerts()
    async with house_in(tmp_path, on_event=[alerts], failure_cluster=RULE) as house:
        ada = await with_an_app(house, "ada")
        await wrong_code(ada)
        assert await alerts.flags(1) == [False]
        house.store.records.append_soon(alerts.failures()[0])
    assert len(await alerts.flags(2)) == 2
