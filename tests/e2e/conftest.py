"""A real demo server, a real Chromium and virtual authenticators (CDP) for the browser tests."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, async_playwright, expect

from tests.machine import free_port

from .demo_process import demo_process

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PASSWORD = "axis-demo"
OWNER, COSIGNER, ANALYST = "owner@axis.example", "cosigner@axis.example", "analyst@axis.example"

expect.set_options(timeout=30_000)


MAIN_LINES = (  # what every person meets; the other files are slow: how pages, forms and scripts may be otherwise
    "test_accessibility.py",
    "test_actions.py",
    "test_approvals.py",
    "test_attacks.py",
    "test_batches.py",
    "test_console.py",
    "test_evidence.py",
    "test_main_flow.py",
    "test_modal.py",
    "test_policy.py",
    "test_prove.py",
    "test_states.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            if item.path.name not in MAIN_LINES:
                item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def chromium_path(*, windowed: bool = False) -> str:
    """Return where Chromium is, ``CHROMIUM`` or the first of some names. Without one: a skip, and in CI a failure.

    The headless shell is the same browser without its window, and takes half of the processor's time; ``windowed`` is
    for what it does otherwise, such as which cookies it gives to pages of other sites.
    """
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else CHROMIUMS[windowed:]:
        if found := shutil.which(name):
            return found
    reason = "no Chromium on this machine (Debian, Ubuntu: apt install chromium-headless-shell)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = chromium_path()
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield launched
        await launched.close()


@dataclass
class Demo:
    """A running demo: its address, its database, and its process where it was started by ``start_demo``."""

    url: str
    database: Path
    log: Path
    process: ForkServerProcess | None = None


async def start_demo(folder: Path, *, database: Path | None = None, arguments: tuple[str, ...] = ()) -> Demo:
    """Start the demo on a free port, and return once it listens."""
    database = database or folder / "axis.db"
    log = folder / "demo.out"
    port = free_port()
    process = demo_process(["--port", str(port), "--database", str(database), *arguments], log)
    await asyncio.to_thread(process.start)

    def check() -> None:
        assert process.is_alive(), f"the demo did not start: {log.read_text()}"

    async with asyncio.timeout(60):
        await listening(port, check)
    return Demo(url=f"http://localhost:{port}", database=database, log=log, process=process)


async def listening(port: int, check: Callable[[], None] = lambda: None) -> None:
    """Return once the server takes connections; ``check`` raises where it never will."""
    while True:
        try:
            _, writer = await asyncio.open_connection("localhost", port)
        except OSError:
            check()
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def stop_demo(demo: Demo) -> None:
    assert demo.process is not None
    demo.process.terminate()
    await asyncio.to_thread(demo.process.join, 15)
    if demo.process.exitcode is None:
        demo.process.kill()
        await asyncio.to_thread(demo.process.join)


@pytest_asyncio.fixture(loop_scope="session")
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    running = await start_demo(tmp_path)
    yield running
    await stop_demo(running)


@dataclass
class Person:
    """A person at a browser: a context of their own, one page, and the authenticators in their hands."""

    page: Page
    context: BrowserContext
    cdp: CDPSession
    demo: Demo
    faults: list[str] = field(default_factory=list)
    authenticators: dict[str, str] = field(default_factory=dict)

    async def plug_in(self, transport: str) -> str:
        """Add a virtual authenticator: ``internal`` (a passkey) or ``usb`` (a hardware key)."""
        answer = await self.cdp.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "ctap2Version": "ctap2_1",
                    "transport": transport,
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        identifier: str = answer["authenticatorId"]
        self.authenticators[transport] = identifier
        return identifier

    async def unplug(self, transport: str) -> None:
        await self.cdp.send(
            "WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.authenticators.pop(transport)}
        )

    async def go(self, path: str) -> None:
        await self.page.goto(self.demo.url + path)

    async def sign_in(self, email: str = OWNER) -> None:
        """Sign in as the form of the page does, and go to the first page: what the form is like, others test."""
        answer = await self.context.request.post(
            self.demo.url + "/sign-in",
            form={"email": email, "password": PASSWORD},
            headers={"origin": self.demo.url},
            max_redirects=0,
        )
        assert answer.status == 303, await answer.text()
        await self.go("/")
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_attached()

    async def enrol(self, kind: str, name: str | None = None) -> None:
        """Enrol a passkey or a hardware key on the factors page."""
        await self.go("/stepup/factors")
        form = self.page.locator(f'[data-stepup-enrol="{kind}"]')
        if name is not None:
            await form.get_by_label("Name").fill(name)
        before = await self.page.locator("[data-stepup-factor]").count()
        await form.get_by_role("button").click()
        await expect(self.page.locator("[data-stepup-factor]")).to_have_count(before + 1)

    async def enrol_totp(self) -> str:
        """Enrol an authenticator app on the factors page, and return its secret."""
        await self.go("/stepup/factors")
        return await add_app(self.page)

    @property
    def dialog(self) -> Any:
        return self.page.locator("dialog[open]")


def totp_now(secret: str, *, steps: int = 0) -> str:
    """Return the code that an app shows now, or ``steps`` time-steps from now."""
    import time

    import pyotp

    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


async def add_app(page: Page, *, factors: int = 1) -> str:
    """Add an authenticator app, from where the factors are shown; return its secret once so many ``factors`` are."""
    await page.get_by_role("button", name="Add authenticator app").click()
    return await confirm_app(page, factors=factors)


async def confirm_app(page: Page, *, factors: int = 1) -> str:
    """Confirm the authenticator app whose secret is shown, or about to be."""
    shown = page.locator("[data-stepup-secret]")
    await expect(shown).not_to_be_empty()
    secret = "".join((await shown.inner_text()).split())
    await page.get_by_label("Code from the app").fill(totp_now(secret))
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.locator("[data-stepup-factor]")).to_have_count(factors)
    return secret


async def add_factor(page: Page, kind: str) -> str:
    """Add a passkey or an authenticator app where the factors are shown; return the secret of the latter."""
    if kind == "totp":
        return await add_app(page)
    await page.get_by_role("button", name="Add passkey").click()
    await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
    return ""


async def open_person(browser: Browser, demo: Demo, **options: Any) -> Person:
    context = await browser.new_context(**options)
    page = await context.new_page()
    cdp = await context.new_cdp_session(page)
    await cdp.send("WebAuthn.enable", {"enableUI": False})
    person = Person(page=page, context=context, cdp=cdp, demo=demo)
    page.on("pageerror", lambda error: person.faults.append(f"page error: {error}"))
    page.on(
        "console",
        lambda message: (
            person.faults.append(f"console: {message.text}")
            if message.type == "error" and "Content Security Policy" in message.text
            else None
        ),
    )
    return person


@pytest_asyncio.fixture(loop_scope="session")
async def person(browser: Browser, demo: Demo) -> AsyncIterator[Person]:
    """Somebody at a desktop browser. The test fails on a page error or a violated content policy."""
    somebody = await open_person(browser, demo)
    yield somebody
    await somebody.context.close()
    assert somebody.faults == []
