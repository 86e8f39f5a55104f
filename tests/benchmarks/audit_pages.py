"""The page of the audit log over HTTP, with a million events against a thousand: a page of fifty costs the same."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import perf_counter

import httpx2

from demo_app.accounts import WORKSPACE
from demo_app.seed import ACCOUNTS, DEMO_PASSWORD
from demo_app.settings import Settings
from stepup_middleware import PLATFORM_PURPOSES, AuditEvent, EventName, FactorKind
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.e2e.conftest import start_demo, stop_demo

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch

_AT_ONCE = 500  # events a transaction
_REQUESTS = 15  # a page and round
_STEPS = (
    EventName.CHALLENGE_REQUESTED,
    EventName.VERIFIED,
    EventName.ACTION_AUTHORIZED,
    EventName.ACTION_COMPLETED,
)
_PAGES = {
    "first": "/audit",
    "filtered": "/audit?purpose=holds_override&event=ACTION_AUTHORIZED&person=owner",
    "rare": "/audit?purpose=payroll_ach_transmit&outcome=denied",
    "range": "/audit?since={since}&until={until}&outcome=success",
}


def _events(count: int, now: datetime) -> Iterator[AuditEvent]:
    """Make a year of step-ups; one in a hundred fails, one in ten thousand events is a replay."""
    step = timedelta(days=365) / max(count, 1)
    for number in range(count):
        prompt, place = divmod(number, len(_STEPS))
        purpose = PLATFORM_PURPOSES[prompt % len(PLATFORM_PURPOSES)]
        account, _, name, _ = ACCOUNTS[prompt % len(ACCOUNTS)]
        kind = _STEPS[place]
        if place == 1 and prompt % 100 == 7:
            kind = EventName.FAILED
        if number % 10_000 == 9_999:
            kind = EventName.REUSED
        yield AuditEvent(
            at=now - timedelta(days=365) + step * number,
            name=kind,
            workspace_id=WORKSPACE,
            subject_id=account,
            subject_name=name,
            session=f"{prompt % 997:032x}",
            ip=f"192.0.2.{prompt % 250}",
            user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0",
            purpose=purpose.id,
            prompt_id=f"{prompt:032x}",
            factor_kind=FactorKind.PASSKEY,
            requirement=purpose.minimum,
            details=(("Run", f"{prompt}"), ("Total", "USD 412,908.77")),
            retention_years=purpose.retention_years,
        )


async def write_year(database: Path, count: int) -> None:
    """Write a log of so many events, by the store's own writer."""
    store = SQLiteStore(Settings(database=database, origin="http://localhost", secret_keys=()).step_up_database)
    async with store:
        source = _events(count, datetime.now(UTC))
        while batch := list(islice(source, _AT_ONCE)):
            await store.append(batch)


@asynccontextmanager
async def _demo_with(folder: Path, count: int) -> AsyncIterator[httpx2.AsyncClient]:
    await write_year(folder / "axis.db", count)
    demo = await start_demo(folder)
    try:
        async with httpx2.AsyncClient(base_url=demo.url, timeout=60) as client:
            signed_in = await client.post("/sign-in", data={"email": ACCOUNTS[0][1], "password": DEMO_PASSWORD})
            assert signed_in.status_code == 303
            yield client
    finally:
        await stop_demo(demo)


async def _seconds(client: httpx2.AsyncClient, path: str, requests: int) -> float:
    took = []
    for _ in range(requests):
        began = perf_counter()
        answer = await client.get(path)
        took.append(perf_counter() - began)
        assert answer.status_code == 200
    return statistics.median(took)


@asynccontextmanager
async def _paging(scale: Scale) -> AsyncIterator[Sides]:
    now = datetime.now(UTC)
    until, since = now - timedelta(days=182), now - timedelta(days=183)
    span = {"since": since.strftime("%Y-%m-%dT%H:%M"), "until": until.strftime("%Y-%m-%dT%H:%M")}
    async with AsyncExitStack() as stack:
        small_folder, large_folder = stack.enter_context(scratch()), stack.enter_context(scratch())
        thousand = await stack.enter_async_context(_demo_with(small_folder, 1_000))
        million = await stack.enter_async_context(_demo_with(large_folder, scale.of(1_000_000)))

        async def measured(client: httpx2.AsyncClient) -> Sample:
            requests = scale.of(_REQUESTS)
            return {name: await _seconds(client, path.format(**span), requests) for name, path in _PAGES.items()}

        async def small() -> Sample:
            return await measured(thousand)

        async def large() -> Sample:
            return await measured(million)

        yield {"thousand": small, "million": large}


BENCHMARKS = (
    Benchmark(
        name="audit pages",
        sides=_paging,
        figures=tuple(
            Figure(
                f"audit log with 1,000,000 events: {what}",
                "the same with 1,000",
                at_most(3),
                name,
                "million",
                "thousand",
            )
            for name, what in (
                ("first", "first page"),
                ("filtered", "page filtered by purpose, event and person"),
                ("rare", "page of a rare outcome of one purpose"),
                ("range", "page of one day half a year ago"),
            )
        ),
        rounds=3,
    ),
)
