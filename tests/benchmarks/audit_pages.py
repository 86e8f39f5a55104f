"""The page of the audit log over HTTP, with a million events against a thousand: a page of fifty costs the same."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter

import httpx2

from demo_app.accounts import WORKSPACE
from demo_app.seed import ACCOUNTS, DEMO_PASSWORD
from demo_app.settings import Settings
from stepup_middleware import PLATFORM_PURPOSES, AuditEvent, EventName, FactorKind, Outcome
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS
from tests.e2e.conftest import start_demo, stop_demo

from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, at_most, scratch

_AT_ONCE = 500  # events a transaction
_REQUESTS = 15  # a page and round
_AWKWARD_REQUESTS = 5
_STEPS = (
    EventName.CHALLENGE_REQUESTED,
    EventName.VERIFIED,
    EventName.ACTION_AUTHORIZED,
    EventName.ACTION_COMPLETED,
)
_WEIGHTS = (850, 149, 1)  # of the accounts
_NEVER_WRONG = "analyst"
_PAGES = {
    "first": "/audit",
    "filtered": "/audit?purpose=holds_override&event=ACTION_AUTHORIZED&person=owner",
    "rare": "/audit?purpose=payroll_ach_transmit&outcome=denied",
    "range": "/audit?since={since}&until={until}&outcome=success",
}
# What an index over one field, or over each, does not answer by itself.
_AWKWARD = (
    "/audit?person=nobody",
    "/audit?person=nobody&purpose=holds_override&event=ACTION_AUTHORIZED&outcome=success",
    "/audit?person=analyst&outcome=failure",  # a person who seldom comes, and is never wrong
    "/audit?person=owner&event=POLICY_CHANGED",  # two that are there, never together
    "/audit?event=ACTION_AUTHORIZED&outcome=failure",  # two that are everywhere, never together
    "/audit?event=ACTION_AUTHORIZED&outcome=denied",  # two that are everywhere, hardly ever together
    "/audit?outcome=denied",
    "/audit?event=ACCOUNT_STEPUP_REUSED&purpose=holds_override",
    "/audit?purpose=offer_letter_send",  # no such purpose
    "/audit?outcome=success",
    "/audit?person=owner&outcome=success",
    "/audit?event=ACTION_COMPLETED&until={until}",
    "/audit?event=ACCOUNT_STEPUP_REUSED&since={since}&until={until}",
    "/audit?person=analyst&event=ACTION_COMPLETED&since={since}&until={until}",
    "/audit?person=owner&since={since}",
    "/audit?since={future}",
    "/audit?until={long_ago}&outcome=success",
    "/audit?before={middle}",
    "/audit?before={middle}&event=ACTION_AUTHORIZED&outcome=denied&person=owner",
    "/audit?before={middle}&purpose=holds_override&since={since}",
    "/audit?prompt=0000000000000000000000000000002a",
    "/audit?prompt=0000000000000000000000000000002a&outcome=failure&person=owner",
)


def _events(count: int, now: datetime) -> Iterator[AuditEvent]:
    """Make a year of step-ups, by chance.

    Most are the owner's, one in a thousand the analyst's. One proof in a hundred fails, one action in a thousand is
    denied, one event in ten thousand is a replay, one in twenty thousand changes the policy.
    """
    chance = Random(7)  # noqa: S311 - events, no secret
    step = timedelta(days=365) / max(count, 1)
    for number in range(count):
        prompt, place = divmod(number, len(_STEPS))
        if place == 0:
            purpose = chance.choice(PLATFORM_PURPOSES)
            account, _, name, _ = chance.choices(ACCOUNTS, _WEIGHTS)[0]
        kind, outcome = _STEPS[place], None
        if kind is EventName.VERIFIED and account != _NEVER_WRONG and chance.random() < 0.01:
            kind = EventName.FAILED
        if kind is EventName.ACTION_AUTHORIZED and chance.random() < 0.001:
            outcome = Outcome.DENIED
        if chance.random() < 0.0001:
            kind, outcome = EventName.REUSED, None
        elif account != ACCOUNTS[0][0] and chance.random() < 0.0003:
            kind, outcome = EventName.POLICY_CHANGED, None
        yield AuditEvent(
            at=now - timedelta(days=365) + step * number,
            name=kind,
            outcome=outcome,
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
    store = SQLiteStore(Settings(database=database, origin="http://localhost", secret_keys=()).step_up_database).use(
        MACS
    )
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
    moments = {
        "since": now - timedelta(days=183),
        "until": now - timedelta(days=182),
        "long_ago": now - timedelta(days=400),
        "future": now + timedelta(days=1),
    }
    span = {name: at.strftime("%Y-%m-%dT%H:%M") for name, at in moments.items()}
    counts = {"thousand": 1_000, "million": scale.of(1_000_000)}
    async with AsyncExitStack() as stack:

        async def opened(count: int) -> Side:
            folder = stack.enter_context(scratch())
            client = await stack.enter_async_context(_demo_with(folder, count))

            async def measured() -> Sample:
                async def took(path: str, requests: int) -> float:
                    return await _seconds(client, path.format(**span, middle=count // 2), scale.of(requests))

                pages = {name: await took(path, _REQUESTS) for name, path in _PAGES.items()}
                return pages | {"awkward": max([await took(path, _AWKWARD_REQUESTS) for path in _AWKWARD])}

            return measured

        yield {name: await opened(count) for name, count in counts.items()}


FURTHER = (
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
                ("awkward", f"the slowest page of {len(_AWKWARD)} awkward combinations of filters"),
            )
        ),
        rounds=3,
    ),
)
