"""What people do besides the plain way: click twice, sign out elsewhere, go back, wait too long."""

from __future__ import annotations

import re

from playwright.async_api import Browser, expect

from .conftest import Person, open_person
from .test_main_flow import TRANSMIT, authorize


async def ready(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/payroll")


async def test_a_double_click_asks_once_and_pays_once(person: Person) -> None:
    await ready(person)
    asked: list[str] = []
    person.page.on("response", lambda response: asked.append(response.url) if response.status == 401 else None)
    await person.page.locator(TRANSMIT).first.dblclick()
    await expect(person.dialog).to_have_count(1)
    await authorize(person, "passkey")
    await expect(person.page.locator("#run-2026-06").get_by_role("link")).to_be_visible()
    await expect(person.dialog).to_have_count(0)
    assert len(asked) == 1


async def test_a_session_that_ended_elsewhere_is_said_in_plain_words_and_nothing_runs(person: Person) -> None:
    await ready(person)
    other = await person.context.new_page()
    await other.goto(person.demo.url)
    await other.get_by_role("button", name="Sign out").click()
    await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.page.get_by_text(re.compile("sign in", re.IGNORECASE)).first).to_be_visible()
    await expect(person.page.locator("#run-2026-06")).to_contain_text("Draft")
    await person.page.goto(f"{person.demo.url}/payroll")
    await expect(person.page.get_by_role("heading", name="Sign in")).to_be_visible()
    await other.close()


async def test_going_back_after_an_action_shows_what_is_true_now(person: Person) -> None:
    await ready(person)
    await person.go("/domains")
    await person.page.locator('[data-stepup-purpose="custom_domain_change"]').first.click()
    await authorize(person, "passkey")
    await expect(person.page.locator("main")).to_contain_text("Custom domain changed")
    await person.go("/payroll")
    await person.page.go_back()
    await expect(person.page.locator("main")).to_contain_text("The workspace answers at")
    await expect(person.dialog).to_have_count(0)
    await expect(person.page.get_by_text("Custom domain changed")).to_have_count(0)


async def test_the_page_of_a_prompt_that_is_over_says_what_to_do(person: Person) -> None:
    await ready(person)
    await person.go("/stepup/prompts/over")
    await expect(person.page.get_by_role("heading")).to_have_text("This request to confirm is no longer open")
    await person.page.get_by_role("link", name="Back to AxisSynapse").click()
    await expect(person.page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_a_page_that_does_not_exist_leads_back(person: Person, browser: Browser) -> None:
    await person.sign_in()
    await person.go("/nowhere")
    await expect(person.page.locator("main")).to_contain_text("There is no such page")
    await person.page.get_by_role("link", name="Go to the overview").click()
    await expect(person.page.get_by_role("heading", name="Overview")).to_be_visible()
    stranger = await open_person(browser, person.demo)
    await stranger.go("/privacy?x=1")
    await stranger.page.get_by_label("Email").fill("owner@axis.example")
    await stranger.page.get_by_label("Password").fill("axis-demo")
    await stranger.page.get_by_role("button", name="Sign in").click()
    await expect(stranger.page).to_have_url(re.compile(r"/privacy\?x=1$"))
    await stranger.context.close()
