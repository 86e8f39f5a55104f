"""Every page and each state of the modal, without a finding of axe (WCAG 2.2 AA), and the keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from .conftest import Demo, Person, open_person

PAGES = (
    "/", "/payroll", "/equity", "/year-end", "/privacy", "/developers", "/identity", "/domains", "/exports",
    "/settings/security", "/settings/step-up-policy", "/audit", "/security", "/guide", "/stepup/factors",
)  # fmt: skip


async def findings(person: Person) -> list[Any]:
    await person.page.wait_for_timeout(400)  # what fades in has its colours only afterwards
    found: list[Any] = (await Axe().run(person.page)).response["violations"]
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
async def test_no_page_and_no_modal_has_a_finding(browser: Browser, demo: Demo, width: int, scheme: Any) -> None:
    person = await open_person(browser, demo, viewport={"width": width, "height": 800}, color_scheme=scheme)
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    found = {}
    for path in PAGES:
        answer = await person.page.goto(demo.url + path)
        assert answer is not None and answer.status == 200, path
        found[path] = await findings(person)
        wide = await person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        assert not wide, f"{path} scrolls sideways at {width} px"
    await person.go("/payroll")
    await person.page.locator('[data-stepup-purpose="payroll_ach_transmit"]').first.click()
    await expect(person.dialog).to_be_visible()
    found["the modal"] = await findings(person)
    await person.context.close()
    assert {where: what for where, what in found.items() if what} == {}
    assert person.faults == []


async def test_the_main_flow_works_with_the_keyboard_alone(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/payroll")
    await person.page.locator('[data-stepup-purpose="payroll_ach_transmit"]').first.focus()
    await person.page.keyboard.press("Enter")
    await expect(person.dialog).to_be_visible()
    await expect(person.dialog.locator('[data-stepup-kind="passkey"]')).to_be_focused()
    await person.page.keyboard.press("Enter")
    await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()
