"""A house whose purposes can be approved elsewhere, served to real clients, and Ada, who has an authenticator app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.approving import PURPOSES
from tests.support import Browser, House, house_in

from .serving import served


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path, purposes=PURPOSES) as house:
        yield house


@pytest.fixture
async def url(house: House) -> AsyncIterator[str]:
    async with served(house.app) as url:
        yield url


@pytest.fixture
async def ada(house: House) -> Browser:
    ada = Browser(house, house.sign_in("ada"))
    await ada.enrol("totp")
    return ada
