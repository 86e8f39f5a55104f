"""A program that holds a person's session asks, and the person approves or denies in their own browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from .conftest import OWNER, PASSWORD, Demo, Person, open_person

ROTATE = "/developers/webhooks/W-1/rotate"
SMALL: dict[str, Any] = {"viewport": {"width": 360, "height": 640}}


@dataclass
class Program:
    """A program of the owner, in a session of its own: no browser, so nothing of it says where a request comes from."""

    client: httpx2.AsyncClient

    async def ask(self) -> dict[str, Any]:
        answer = await self.client.post(ROTATE)
        assert answer.status_code == 401, answer.text
        asked: dict[str, Any] = answer.json()
        return asked

    def wait(self, asked: dict[str, Any]) -> asyncio.Task[httpx2.Response]:
        return asyncio.create_task(
            self.client.post(f"{asked['prompt']['url']}/token", json={}, headers={"prefer": "wait=25"})
        )

    async def run(self, token: str) -> httpx2.Response:
        return await self.client.post(ROTATE, headers={"stepup-token": token})

    async def secrets(self) -> int:
        """Return how often the webhook's secret was rotated."""
        page = (await self.client.get("/developers")).text
        return int(page.split("Secret v", 1)[1].split("<", 1)[0])


@pytest_asyncio.fixture(loop_scope="session")
async def program(demo: Demo) -> AsyncIterator[Program]:
    headers = {"user-agent": "deploy/1.2", "accept": "application/json"}
    async with httpx2.AsyncClient(base_url=demo.url, headers=headers, timeout=40) as client:
        signed_in = await client.post("/sign-in", data={"email": OWNER, "password": PASSWORD})
        assert signed_in.status_code == 303, signed_in.text
        yield Program(client)


async def type_digits(page: Page, digits: str) -> None:
    await page.get_by_label("The two digits that the program shows").fill(digits)
    await page.get_by_role("button", name="Continue").click()


async def test_a_program_asks_its_person_approves_with_a_passkey_and_it_runs_once(
    person: Person, program: Program
) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    version = await program.secrets()
    page = person.page
    await person.go("/developers")
    await page.get_by_role("link", name="Waiting approvals").click()
    await expect(page.locator("main")).to_contain_text("Nothing waits for your approval.")
    asked = await program.ask()  # and the page shows it by itself
    waiting = program.wait(asked)
    await page.get_by_role("link", name="Authorize webhook secret rotation").click()
    assert page.url == asked["approval"]["url"]
    await expect(page.locator("main")).to_contain_text(re.compile(r"Program\s*deploy/1\.2"))
    await expect(page.locator("main")).to_contain_text("127.0.0.1")
    right = asked["approval"]["match"]
    await type_digits(page, f"{(int(right) + 1) % 100:02}")
    await expect(page.get_by_role("alert")).to_contain_text("not the digits of this request")
    await expect(page.locator('[data-stepup-kind="passkey"]')).to_have_count(0)
    await type_digits(page, right)
    await expect(page.locator("[data-stepup-cancel]")).to_have_count(0)  # Deny is how to say no
    await page.locator('[data-stepup-kind="passkey"]').click()
    await expect(page.get_by_role("status")).to_contain_text("Approved. The program goes on by itself")
    given = await waiting
    assert given.status_code == 200, given.text
    assert await program.secrets() == version
    token = given.json()["token"]
    assert (await program.run(token)).status_code == 200
    again = await program.run(token)
    assert (again.status_code, again.json()["code"]) == (403, "STEPUP_TOKEN_REUSED")
    assert await program.secrets() == version + 1


@pytest.mark.slow
async def test_what_the_person_denies_does_not_run_and_the_program_is_told(
    browser: Browser, demo: Demo, program: Program
) -> None:
    phone = await open_person(browser, demo, **SMALL)
    await phone.sign_in()
    secret = await phone.enrol_totp()
    assert secret
    version = await program.secrets()
    asked = await program.ask()
    waiting = program.wait(asked)
    await phone.page.goto(asked["approval"]["url"])
    await phone.page.get_by_role("button", name="Deny", exact=True).click()
    await expect(phone.page.get_by_role("status")).to_contain_text("This is over, and nothing was done.")
    told = await waiting
    assert (told.status_code, told.json()["code"]) == (403, "STEPUP_DENIED")
    assert await program.secrets() == version
    await phone.go("/stepup/approvals")
    await expect(phone.page.locator("main")).to_contain_text("Nothing waits for your approval.")
    assert phone.faults == []
    await phone.context.close()


@pytest.mark.slow
async def test_the_session_of_a_program_that_the_person_does_not_know_ends_by_one_click(
    browser: Browser, demo: Demo, program: Program
) -> None:
    phone = await open_person(browser, demo, **SMALL)
    await phone.sign_in()
    assert await phone.enrol_totp()
    asked = await program.ask()
    waiting = program.wait(asked)
    await phone.page.goto(asked["approval"]["url"])
    await phone.page.get_by_role("button", name="Deny and end that session").click()
    await expect(phone.page.get_by_role("status")).to_contain_text("That session has ended")
    assert (await waiting).status_code in {401, 403}
    assert (await program.client.post(ROTATE)).status_code == 401
    assert (await program.client.get("/developers")).status_code == 303
    await phone.go("/mailbox")
    await expect(phone.page.locator("main")).to_contain_text("A session of yours at AxisSynapse was ended")
    assert phone.faults == []
    await phone.context.close()


@pytest.mark.slow
async def test_the_page_says_how_long_ago_it_was_asked_and_goes_on_being_right(
    browser: Browser, demo: Demo, program: Program
) -> None:
    phone = await open_person(browser, demo, **SMALL)
    await phone.page.clock.install()
    await phone.sign_in()
    assert await phone.enrol_totp()
    await phone.context.set_extra_http_headers({"Accept-Language": "de"})
    asked = await program.ask()
    for url in (asked["approval"]["url"], "/stepup/approvals"):
        await phone.page.goto(url if "://" in url else demo.url + url)
        age = phone.page.locator("[data-stepup-age]")
        await expect(age).to_have_text(re.compile(r"^vor \d+ Sekunden?$"))
        await phone.page.clock.fast_forward("02:30")
        await expect(age).to_have_text("vor 2 Minuten")
    assert phone.faults == []
    await phone.context.close()
    await program.client.delete(asked["prompt"]["url"])
