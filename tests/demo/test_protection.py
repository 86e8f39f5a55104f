"""What every request to the demo passes: cookies that others set, and what stands in them."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_app.app import create_app
from demo_app.db import Database
from demo_app.protection import PlainCookies
from demo_app.secrets_at_rest import Vault
from demo_app.seed import seed
from demo_app.settings import Settings
from stepup_middleware.testing import FixedClock

from .conftest import KEYS, SignedIn
from .support import ORIGIN, running


async def passed_on(*cookies: bytes) -> list[bytes]:
    """Return the lines of cookies that the app behind ``PlainCookies`` meets."""
    met: list[bytes] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        met.extend(value for name, value in scope["headers"] if name == b"cookie")

    scope = {"type": "http", "headers": [(b"cookie", cookie) for cookie in cookies]}
    await PlainCookies(inner)(scope, None, None)  # type: ignore[arg-type] # neither is called
    return met


@given(st.lists(st.binary(max_size=80), max_size=4))
async def test_nothing_that_a_reader_would_have_to_unquote_reaches_one(cookies: list[bytes]) -> None:
    for line in await passed_on(*cookies):
        assert b'"' not in line and b"\\" not in line


async def test_the_apps_own_cookies_reach_it_whatever_stands_beside_them() -> None:
    session, token = b"axis=eyJpZCI6.ab-_c.Z9=", b"__Secure-stepup-token=" + b"aZ09-_" * 12
    others = b'prefs={"a":[1]}; flag; "; q="\\073"'
    assert await passed_on(others + b"; " + session + b"; " + token) == [session + b"; " + token]


@pytest.mark.parametrize("other", ['p={"a":1}', "flag", 'long="' + "\\\\" * 30_000 + '"'], ids=lambda text: text[:8])
async def test_a_cookie_of_somebody_elses_signs_nobody_out(signed_in: SignedIn, other: str) -> None:
    owner = await signed_in("owner")
    cookies = f"{other}; axis={owner.http.cookies['axis']}"
    answer = await owner.http.get("/", headers={"cookie": cookies, "accept": "text/html"})
    assert answer.status_code == 200
    assert "Sign out" in answer.text


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_every_file_of_the_demo_is_its_owners_alone(tmp_path: Path, clock: FixedClock) -> None:
    settings = Settings(database=tmp_path / "axis.db", origin=ORIGIN, secret_keys=KEYS)
    before = os.umask(0)
    try:
        async with running(create_app(settings, clock=clock)):
            modes = modes_in(tmp_path)
    finally:
        os.umask(before)
    assert {"axis.db", "axis.db-wal", "axis.db-shm", "axis-stepup.db", "axis-stepup.db-wal"} <= set(modes)
    assert set(modes.values()) == {0o600}


def shared_with_a_group(path: Path) -> None:
    path.chmod(0o640)


async def test_a_database_that_is_there_keeps_the_mode_that_its_owner_gave_it(settings: Settings) -> None:
    shared_with_a_group(settings.database)
    opened = Database(settings.database)
    await opened.open(partial(seed, now=FixedClock()(), vault=Vault(KEYS)))
    await opened.close()
    assert modes_in(settings.database.parent)["axis.db"] == 0o640
