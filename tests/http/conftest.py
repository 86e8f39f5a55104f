"""Fixtures: the app on a fresh database, and people with their factors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from tests.stores.conftest import postgres_dsn, postgres_server
from tests.support import Browser, House, house_in

__all__ = ["postgres_dsn", "postgres_server"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The app, started; from then on the library may not block the event loop."""
    async with house_in(tmp_path) as house:
        with blockbuster_ctx("stepup_middleware"):
            yield house


@pytest.fixture
async def ada(house: House) -> Browser:
    """Someone with a passkey and an authenticator app."""
    browser = Browser(house, house.sign_in("ada"))
    await browser.enrol("passkey")
    await browser.enrol("totp", by="passkey")
    return browser


@pytest.fixture
async def bob(house: House) -> Browser:
    """Somebody else in the same workspace, with a passkey."""
    browser = Browser(house, house.sign_in("bob"), ip="192.0.2.8")
    await browser.enrol("passkey")
    return browser


@pytest.fixture
async def tim(house: House) -> Browser:
    """Someone with an authenticator app alone."""
    browser = Browser(house, house.sign_in("tim"), ip="192.0.2.9")
    await browser.enrol("totp")
    return browser
