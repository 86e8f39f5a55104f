"""The demo on PostgreSQL: two nodes, one step-up store, one file of the demo's own tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from demo_app.app import create_app
from demo_app.settings import Settings
from stepup_middleware.testing import FixedClock
from tests.stores.servers import running_postgres

from .support import Person, running

ROTATE = "/developers/webhooks/W-1/rotate"


@pytest.fixture
def dsn() -> Iterator[str]:
    """Run a PostgreSQL server and return the address of an empty database."""
    with running_postgres() as server:
        yield asyncio.run(server.create_database("axis"))


async def test_a_token_redeemed_on_one_node_is_known_on_another(
    settings: Settings, clock: FixedClock, dsn: str
) -> None:
    async with AsyncExitStack() as stack:
        nodes = [create_app(replace(settings, postgres=dsn), clock=clock) for _ in range(2)]
        for node in nodes:
            await stack.enter_async_context(running(node))
        owner = Person(nodes[0], clock)
        assert (await owner.sign_in("owner")).status_code == 303
        await owner.enrol_passkey()
        token = await owner.prove(await owner.ask("POST", ROTATE))
        assert (await owner.http.post(ROTATE, headers={"stepup-token": token})).status_code == 200
        other = Person(nodes[1], clock)
        other.http.cookies = owner.http.cookies
        again = await other.http.post(ROTATE, headers={"stepup-token": token, "accept": "application/json"})
        assert (again.status_code, again.json()["code"]) == (403, "STEPUP_TOKEN_REUSED")
        assert "A token was presented again" in await other.page_with("/security", "A token was presented again")
        assert not settings.step_up_database.exists()
        for person in (owner, other):
            await person.http.aclose()
