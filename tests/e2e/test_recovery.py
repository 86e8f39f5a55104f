"""People who lost everything, the desk that lets them back in, two admins, and the last admin: walked in Chromium."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.guide.harness import serving
from tests.guide.person import plug_in_passkey
from tests.machine import free_port

from .conftest import ANALYST, OWNER, Demo, Person, add_factor, open_person, totp_now
from .site import use_passkey

WHY = "called back at the number of the HR system"
TRANSMIT = '[data-stepup-purpose="payroll_ach_transmit"]'


@asynccontextmanager
async def with_passkey(browser: Browser, demo: Demo, email: str, name: str) -> AsyncIterator[Person]:
    """Sign a person in and enrol a passkey of this name; in the end no script of theirs has failed."""
    person = await open_person(browser, demo)
    await person.plug_in("internal")
    await person.sign_in(email)
    await person.enrol("passkey", name=name)
    yield person
    await person.context.close()
    assert person.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def owner(browser: Browser, demo: Demo) -> AsyncIterator[Person]:
    """The admin of the demo, with a passkey."""
    async with with_passkey(browser, demo, OWNER, "Laptop") as admin:
        yield admin


@pytest_asyncio.fixture(loop_scope="session")
async def analyst(browser: Browser, demo: Demo) -> AsyncIterator[Person]:
    """Somebody without any right of their own, with a passkey."""
    async with with_passkey(browser, demo, ANALYST, "Old phone") as somebody:
        yield somebody


async def is_closed_for_a_day(person: Person) -> None:
    """Find a strong action closed, with a sentence that says until when and no way to enrol."""
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_contain_text("Closed for a while")
    await expect(person.dialog).to_contain_text("this action is closed to you until")
    await expect(person.dialog.get_by_role("link", name=re.compile("Enrol"))).to_have_count(0)


async def told(person: Person, *titles: str) -> None:
    """Find messages in the mailbox, the newest first."""
    for title in titles:
        while True:
            await person.go("/mailbox")
            if await person.page.get_by_text(title).count():
                break
            await asyncio.sleep(0.5)


async def test_somebody_who_lost_everything_comes_back_by_a_recovery_code(analyst: Person) -> None:
    await analyst.go("/stepup/factors")
    await analyst.page.get_by_role("button", name="Make new codes").click()
    await use_passkey(analyst.page)
    codes = analyst.dialog.locator("[data-stepup-codes-list] li")
    await expect(codes).to_have_count(10)
    code = await codes.nth(3).inner_text()
    await analyst.dialog.get_by_role("button", name="I have them").click()
    await analyst.unplug("internal")  # phone and laptop are gone
    await analyst.plug_in("usb")
    await analyst.go("/stepup/factors")
    await analyst.page.get_by_text("Lost your factors? Use a recovery code").click()
    field = analyst.page.get_by_label("One code of your list")
    await field.fill(f"{code[:-1]}{'A' if code[-1] != 'A' else 'B'}")
    await analyst.page.get_by_role("button", name="Use it").click()
    await expect(analyst.page.get_by_text("This did not count as an attempt.")).to_be_visible()
    await field.fill(code.lower())
    await analyst.page.get_by_role("button", name="Use it").click()
    await expect(analyst.page.get_by_text("You may add one factor now")).to_be_visible()
    await analyst.page.locator('[data-stepup-enrol="hardware_key"]').get_by_role("button").click()
    await expect(analyst.page.locator("[data-stepup-factor]")).to_have_count(2)
    await expect(analyst.page.get_by_text("9 recovery codes are left.")).to_be_visible()
    await expect(analyst.page.locator("[data-stepup-held]")).to_contain_text("are closed to you until")
    sizes = "each => each.map((heading) => parseFloat(getComputedStyle(heading).fontSize))"
    larger, *smaller = await analyst.page.locator("#stepup-yours, #stepup-codes-title").evaluate_all(sizes)
    assert smaller
    assert larger > max(smaller)
    await is_closed_for_a_day(analyst)
    await told(analyst, "A recovery code of your account at AxisSynapse was used", "New factor for your account")


async def test_a_support_desk_resets_somebody_and_hands_out_a_pass_that_they_type(
    owner: Person, analyst: Person
) -> None:
    await owner.go("/stepup/people")
    await owner.page.get_by_label("Name, login or id").fill("anal")
    await owner.page.get_by_role("button", name="Search").click()
    item = owner.page.locator('[data-stepup-person="analyst"]')
    await expect(item).to_contain_text("Old phone")
    await item.get_by_role("button", name="Reset factors").click()
    await owner.dialog.get_by_label("Reason").fill(WHY)
    await owner.dialog.get_by_role("button", name="Continue").click()
    await expect(owner.dialog).to_contain_text("Authorize a reset of factors")
    await expect(owner.dialog).to_contain_text("Analyst (analyst)")
    await owner.dialog.get_by_role("button", name="Use passkey").click()
    shown = owner.page.locator("[data-stepup-issued] [data-stepup-secret]")
    await expect(shown).to_have_text(re.compile(r"(\w{4}-){6}\w{4}"))
    secret = await shown.inner_text()
    await owner.dialog.get_by_role("button", name="Close").click()
    await expect(item).to_contain_text("No factor yet.")
    await expect(item).to_contain_text("On hold until")

    await analyst.go("/stepup/factors")
    await expect(analyst.page.get_by_text("You have no factor now")).to_be_visible()
    await analyst.page.get_by_label("Your pass").fill(secret.replace("-", " ").lower())
    await analyst.page.get_by_role("button", name="Use it").click()
    await expect(analyst.page.get_by_text("You may add one factor now")).to_be_visible()
    await analyst.page.locator('[data-stepup-enrol="passkey"]').get_by_role("button").click()
    await expect(analyst.page.locator("[data-stepup-factor]")).to_have_count(1)
    await is_closed_for_a_day(analyst)
    await told(analyst, "All factors of your account at AxisSynapse were removed", "enrolment pass")
    await owner.go("/audit?event=FACTORS_RESET")
    await expect(owner.page.locator("table.audit tbody tr")).to_contain_text(["Owner"])


async def test_without_javascript_a_pass_leads_to_an_authenticator_app(
    browser: Browser, demo: Demo, owner: Person
) -> None:
    await owner.go("/stepup/people?q=cosigner")
    await owner.page.locator('[data-stepup-person="cosigner"]').get_by_role("button", name="Issue a pass").click()
    await owner.dialog.get_by_label("Reason").fill("new here")
    await owner.dialog.get_by_role("button", name="Continue").click()
    await owner.dialog.get_by_role("button", name="Use passkey").click()
    shown = owner.page.locator("[data-stepup-issued] [data-stepup-secret]")
    await expect(shown).not_to_be_empty()
    secret = await shown.inner_text()

    plain = await browser.new_context(java_script_enabled=False)
    page = await plain.new_page()
    await page.goto(f"{demo.url}/sign-in")
    await page.get_by_label("Email").fill("cosigner@axis.example")
    await page.get_by_label("Password").fill("axis-demo")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_attached()
    await page.goto(f"{demo.url}/stepup/factors")
    await page.get_by_label("Your pass").fill(secret)
    await page.get_by_role("button", name="Use it").click()
    await expect(page.get_by_text("You may add one factor now")).to_be_visible()
    await page.get_by_role("button", name="Add authenticator app").click()
    key = await page.locator(".stepup-secret:visible").inner_text()
    await page.get_by_label("Code from the app").and_(page.locator(":visible")).fill("12")
    await page.get_by_role("button", name="Confirm").and_(page.locator(":visible")).click()
    await expect(page.locator("#stepup-plain-error")).not_to_be_empty()
    await page.get_by_label("Code from the app").and_(page.locator(":visible")).fill(totp_now(key))
    await page.get_by_role("button", name="Confirm").and_(page.locator(":visible")).click()
    await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
    await plain.close()


async def test_the_last_admin_is_let_in_by_a_command_on_the_host(owner: Person, demo: Demo) -> None:
    await owner.unplug("internal")
    command = ["factors", "reset", "demo_app.app:from_environment", "--workspace", "axis", "--person", "owner"]
    ran = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile; our own text
        [sys.executable, "-m", "stepup_middleware", *command, "--reason", "phone stolen", "--with-pass"],
        env={**os.environ, "AXIS_DATABASE": str(demo.database), "AXIS_PORT": demo.url.rpartition(":")[2]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "1 in number" in ran.stdout
    secret = ran.stdout.split()[-1]
    await owner.plug_in("internal")
    await owner.go("/stepup/factors")
    await owner.page.get_by_label("Your pass").fill(secret)
    await owner.page.get_by_role("button", name="Use it").click()
    await expect(owner.page.get_by_text("You may add one factor now")).to_be_visible()
    await owner.page.locator('[data-stepup-enrol="passkey"]').get_by_role("button").click()
    await expect(owner.page.locator("[data-stepup-factor]")).to_have_count(1)
    await is_closed_for_a_day(owner)
    await owner.go("/audit?event=FACTORS_RESET")
    await expect(owner.page.locator("table.audit tbody tr")).to_contain_text(
        [re.compile(r"FACTORS_RESET.*\w+@\w+", re.DOTALL)]
    )
    await told(owner, "All factors of your account at AxisSynapse were removed")


async def test_two_admins_reset_somebody_each_by_their_own_passkey(browser: Browser, tmp_path: Path) -> None:
    port, people = free_port(), ("one", "two", "ada")
    url = f"http://localhost:{port}"

    async def identify(scope: Any) -> Subject | None:
        cookies = dict(scope["headers"]).get(b"cookie", b"").decode()
        name = next((each for each in people if f"who={each}" in cookies), None)
        return None if name is None else Subject(
            id=name, session_id=f"s-{name}", workspace_id="main", name=name.title(), is_admin=name != "ada",
            signed_in_at=datetime.now(UTC),
        )  # fmt: skip

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(tmp_path / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=[url]),
        identify=identify,
        reset_needs_two=True,
    )

    async def opened(name: str) -> Page:
        context = await browser.new_context()
        await context.add_cookies([{"name": "who", "value": name, "url": url}])
        page = await context.new_page()
        await plug_in_passkey(page)
        await page.goto(f"{url}/stepup/factors")
        await add_factor(page, "passkey")
        return page

    async with serving(StepUpMiddleware(Starlette(), stepup=stepup), port):
        one, two, ada = [await opened(name) for name in people]
        await one.goto(f"{url}/stepup/people")
        await one.locator('[data-stepup-person="ada"]').get_by_role("button", name="Reset factors").click()
        await one.get_by_label("Reason").fill(WHY)
        await one.get_by_role("button", name="Continue").click()
        await use_passkey(one)
        await expect(one.get_by_role("heading", name="Resets that wait for a second admin")).to_be_visible()
        await expect(one.get_by_role("button", name="Confirm the reset")).to_have_count(0)
        await ada.reload()
        await expect(ada.locator("[data-stepup-factor]")).to_have_count(1)
        await two.goto(f"{url}/stepup/people")
        await two.get_by_role("button", name="Confirm the reset").click()
        await expect(two.locator("dialog[open]")).to_contain_text("One (one)")
        await use_passkey(two)
        await expect(two.get_by_role("heading", name="Resets that wait for a second admin")).to_have_count(0)
        await expect(two.locator('[data-stepup-person="ada"]')).to_contain_text("No factor yet.")
        await ada.reload()
        await expect(ada.locator("[data-stepup-factor]")).to_have_count(0)
        for page in (one, two, ada):
            await page.context.close()
