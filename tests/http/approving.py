"""A program that holds a person's credentials, and what it does to be approved.

A file of tests that takes ``house`` and ``program`` from here has them as fixtures; ``ada`` is that of ``conftest``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import PLATFORM_PURPOSES, Subject, approvable
from tests.machine import until
from tests.support import ORIGIN, ROTATE, Browser, House, house_in

PURPOSES = approvable(PLATFORM_PURPOSES, "webhook_secret_rotation", "payroll_ach_transmit")
AT = "203.0.113.77"  # where programs run


@dataclass
class Program:
    """A command line or an agent in a session of its own: no browser, so no word of where a request comes from."""

    house: House
    subject: Subject
    ip: str = AT
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        transport = httpx2.ASGITransport(app=self.house.app, client=(self.ip, 50_001))
        self.client = httpx2.AsyncClient(
            transport=transport, base_url=ORIGIN, headers={"user-agent": "deploy/1.2", **self.headers}
        )
        self.client.cookies.set("session", self.subject.session_id, domain="example.com")

    async def ask(self, url: str = ROTATE, **content: Any) -> dict[str, Any]:
        """Send a request that must be refused with a prompt, and return the whole answer."""
        answer = await self.client.post(url, **content)
        assert answer.status_code == 401, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def wait(self, asked: dict[str, Any], seconds: int | None = None) -> httpx2.Response:
        """Ask for the token of a prompt."""
        headers = {} if seconds is None else {"prefer": f"wait={seconds}"}
        return await self.client.post(f"{asked['prompt']['url']}/token", json={}, headers=headers)

    async def run(self, token: str, url: str = ROTATE, **content: Any) -> httpx2.Response:
        """Send the request with a token."""
        return await self.client.post(url, headers={"stepup-token": token}, **content)


def program_of(house: House, subject: Subject, ip: str = AT) -> Program:
    """Return a program of a person, in a session of its own."""
    return Program(house, house.sign_in(subject.id, workspace=subject.workspace_id), ip)


async def until_asleep(house: House, many: int = 1) -> None:
    """Return once so many have looked in vain, and wait to be woken."""
    ends = house.stepup._parts.approvals.watch._ends._ends
    await until(lambda: sum(not news.done() for those in ends.values() for news in those) == many)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The app, with two purposes that may be approved elsewhere."""
    async with house_in(tmp_path, purposes=PURPOSES) as made:
        yield made


@pytest.fixture
def program(house: House, ada: Browser) -> Program:
    """A program of ada, in a session of its own."""
    assert ada.subject is not None
    return program_of(house, ada.subject)
