"""The running demo, with a clock that stands still."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from demo_app.app import create_app
from demo_app.axis import Actor
from demo_app.db import Database
from demo_app.secrets_at_rest import Vault
from demo_app.seed import seed
from demo_app.settings import Settings
from stepup_middleware import new_log_key
from stepup_middleware.testing import FixedClock

from .passwords import hash_lightly
from .support import ORIGIN, Person, running

LOG_KEY = new_log_key("axis.example/stepup")
KEYS = ("k" * 48,)

hash_lightly()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(scope="session")
def first_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its first rows, made once and copied by each test."""
    path = tmp_path_factory.mktemp("first-rows") / "axis.db"

    async def write() -> None:
        opened = Database(path)
        await opened.open(partial(seed, now=FixedClock()(), vault=Vault(KEYS)))
        await opened.close()

    asyncio.run(write())
    return path


@pytest.fixture
def settings(tmp_path: Path, first_rows: Path) -> Settings:
    copy = Path(shutil.copy(first_rows, tmp_path / "axis.db"))
    return Settings(database=copy, origin=ORIGIN, secret_keys=KEYS, log_key=LOG_KEY)


@pytest.fixture
async def database(settings: Settings, clock: FixedClock) -> AsyncIterator[Database]:
    """The demo's own tables with their first rows, without the app."""
    opened = Database(settings.database)
    await opened.open(partial(seed, now=clock(), vault=Vault(KEYS)))
    yield opened
    await opened.close()


@pytest.fixture
def acting(clock: FixedClock) -> Callable[[str], Actor]:
    return lambda account_id: Actor(account_id=account_id, at=clock(), proof=None)


@pytest.fixture
async def app(settings: Settings, clock: FixedClock) -> AsyncIterator[ASGIApp]:
    built = create_app(settings, clock=clock)
    async with running(built):
        yield built


SignedIn = Callable[..., Awaitable[Person]]


@pytest.fixture
async def signed_in(app: ASGIApp, clock: FixedClock) -> AsyncIterator[SignedIn]:
    """Signs accounts in, with a passkey where the test asks for one."""
    people: list[Person] = []

    async def enter(account: str, *, passkey: bool = False, ip: str = "192.0.2.10") -> Person:
        person = Person(app, clock, ip=ip)
        people.append(person)
        assert (await person.sign_in(account)).status_code == 303
        if passkey:
            await person.enrol_passkey()
        return person

    yield enter
    for person in people:
        await person.http.aclose()
