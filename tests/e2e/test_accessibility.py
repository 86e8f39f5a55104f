"""Every page and each state of the modal, without a finding of axe (WCAG 2.2 AA), and the keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, expect

from demo_app.guide_pages import guide

from .album import Look, album
from .conftest import OWNER, PASSWORD, Demo, Person, open_person


async def findings(person: Person) -> list[Any]:
    await person.page.wait_for_timeout(400)  # what fades in has its colours only afterwards
    found: list[Any] = (await Axe().run(person.page)).response["violations"]
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
async def test_no_page_and_no_state_of_the_modal_has_a_finding(
    browser: Browser, demo: Demo, width: int, scheme: str
) -> None:
    found: dict[str, list[Any]] = {}

    def look_as(_: str) -> Look:
        async def look(person: Person, name: str, whole: bool) -> None:
            found[name] = await findings(person)
            if await person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                found[name].append(f"scrolls sideways at {width} px")

        return look

    view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    await album(browser, demo, {"view": view}, look_as)
    assert len(found) > 30
    assert {where: what for where, what in found.items() if what} == {}


async def test_no_page_of_the_guide_has_a_finding(browser: Browser, demo: Demo) -> None:
    person = await open_person(browser, demo, viewport={"width": 360, "height": 800})
    await person.sign_in()
    found = {}
    for page in guide().pages:
        await person.go(page.url)
        found[page.name] = await findings(person)
    await person.context.close()
    assert {where: what for where, what in found.items() if what} == {}


async def tab_to(person: Person, wanted: Locator) -> None:
    """Press Tab until an element has the focus, as somebody without a mouse does."""
    for _ in range(120):
        await person.page.keyboard.press("Tab")
        if await wanted.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"Tab never reaches {wanted}")


async def test_the_main_flow_works_with_the_keyboard_alone(person: Person) -> None:
    page, keyboard = person.page, person.page.keyboard
    await person.plug_in("internal")
    await person.go("/sign-in")
    await tab_to(person, page.get_by_label("Email"))
    await keyboard.type(OWNER)
    await keyboard.press("Tab")
    await keyboard.type(PASSWORD)
    await keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await tab_to(person, page.get_by_role("link", name="Factors", exact=True))
    await keyboard.press("Enter")
    await tab_to(person, page.get_by_role("button", name="Add passkey"))
    await keyboard.press("Enter")
    await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
    await tab_to(person, page.get_by_role("link", name="Back to AxisSynapse"))
    await keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await tab_to(person, page.get_by_role("link", name="Payroll", exact=True))
    await keyboard.press("Enter")
    run = page.locator("#run-2026-06")
    await tab_to(person, run.get_by_role("button"))
    await keyboard.press("Enter")
    await expect(person.dialog.get_by_role("heading")).to_be_focused()
    for _ in range(6):  # Tab stays within the modal
        await keyboard.press("Tab")
        assert await page.evaluate(
            "!document.hasFocus() || document.activeElement === document.body"
            " || document.activeElement.closest('dialog') !== null"
        )
    await keyboard.press("Escape")
    await expect(run.get_by_role("button")).to_be_focused()
    await keyboard.press("Enter")
    await expect(person.dialog.get_by_role("heading")).to_be_focused()
    await tab_to(person, person.dialog.locator('[data-stepup-kind="passkey"]'))
    await keyboard.press("Enter")
    await expect(run.get_by_role("link", name="payroll-2026-06.ach")).to_be_visible()
    await expect(run.get_by_role("heading")).to_be_focused()
    await expect(page.locator("#announcer")).to_contain_text("transmitted")
