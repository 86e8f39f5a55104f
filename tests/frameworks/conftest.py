"""The site of all apps, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.guide.person import Person

from .site import ORIGIN, Site, life


class Here:
    """The site and the way to it: somebody's browser at the app of one framework."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def person(self, framework: str, session: str = "ada") -> Person:
        """Return somebody who is signed in."""
        person = Person(None, None, origin=ORIGIN)  # type: ignore[arg-type]  # it comes through the site
        person.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.site, client=("192.0.2.1", 5000)),
            base_url=f"http://{framework}.localhost:8000",
            headers={"origin": ORIGIN, "sec-fetch-site": "same-origin", "accept": "application/json"},
        )
        person.http.cookies.set("session", session)
        return person

    async def enrolled(self, framework: str) -> Person:
        """Return somebody with a passkey."""
        person = self.person(framework)
        await person.enrol_passkey()
        return person


@pytest.fixture
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Here]:
    """The site with the app of the framework that the test is parametrized by."""
    site = Site(str(tmp_path / "stepup.db"), frameworks=(request.getfixturevalue("framework"),))
    async with site.stepup, AsyncExitStack() as stack:
        site.lives = stack
        for app in site.apps.values():
            await stack.enter_async_context(life(app))
        yield Here(site)
