"""The page of people and its search over HTTP, with 100,000 people against a hundred, each with a passkey."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import perf_counter

from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.recovery import Person
from stepup_middleware.stores.records import NewFactor
from stepup_middleware.testing.contract.values import event
from tests.support import Browser, House, house_in

from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, at_most, scratch

_REQUESTS = 9
_PEOPLE = "/stepup/people"
_PAGES = {
    "first": _PEOPLE,
    "middle": f"{_PEOPLE}?after=%5B%22person+{{middle:06}}%22%2C%22p-{{middle}}%22%5D",
    "found": f"{_PEOPLE}?q=son%2000050",
    "nobody": f"{_PEOPLE}?q=zzz",
    "closed": f"{_PEOPLE}?purpose=payroll_ach_transmit",
}


async def _filled(house: House, count: int) -> Browser:
    """Let so many people have been here, each with the same kind of factor, and return an admin."""
    desk = Browser(house, house.sign_in("desk", is_admin=True))
    await desk.enrol("passkey")
    assert desk.subject is not None
    (model,) = await house.store.records.list_factors("axis", "desk")
    assert isinstance(model, WebAuthnFactor)
    new = []
    for number in range(count):
        id_ = f"f-{number}"
        factor = replace(model, id=id_, credential_id=f"credential {number:08}".encode())
        told = replace(
            event(EventName.FACTOR_ENROLLED),
            workspace_id="axis",
            subject_id=f"p-{number}",
            subject_name=f"Person {number:06}",
        )
        new.append(NewFactor("axis", f"p-{number}", factor, told))
    assert await house.store.records.import_factors(new) == ()
    assert await house.store.records.get_person("axis", "p-0") == Person(subject_id="p-0", name="Person 000000")
    return desk


@asynccontextmanager
async def _listing(scale: Scale) -> AsyncIterator[Sides]:
    counts = {"hundred": 100, "all": scale.of(100_000)}
    async with AsyncExitStack() as stack:

        async def opened(count: int) -> Side:
            folder = stack.enter_context(scratch())
            house = await stack.enter_async_context(house_in(folder))
            desk = await _filled(house, count)

            async def took(path: str) -> float:
                seconds = []
                for _ in range(_REQUESTS):
                    began = perf_counter()
                    answer = await desk.navigate("GET", path)
                    seconds.append(perf_counter() - began)
                    assert answer.status_code == 200
                return statistics.median(seconds)

            async def measured() -> Sample:
                return {name: await took(path.format(middle=count // 4)) for name, path in _PAGES.items()}

            return measured

        yield {name: await opened(count) for name, count in counts.items()}


FURTHER = (
    Benchmark(
        name="people pages",
        sides=_listing,
        figures=(
            Figure("page of 100,000 people: the first", "the same with 100", at_most(3), "first", "all", "hundred"),
            Figure(
                "page of 100,000 people: one in the middle", "the same with 100", at_most(3), "middle", "all", "hundred"
            ),
            *(
                Figure(f"page of 100,000 people: {what}", "no more than", at_most(2), name, "all", unit="s")
                for name, what in (
                    ("found", "a search that finds a few"),
                    ("nobody", "a search that finds nobody"),
                    ("closed", "those who could not do an action, where there is nobody"),
                )
            ),
        ),
        rounds=3,
    ),
)
