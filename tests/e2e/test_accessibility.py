"""Every page and each state of the modal, without a finding of axe (WCAG 2.2 AA), and the keyboard alone.

The suite looks at one page with its modal; ``-m slow`` at each page and state in one of the looks, in turn, and ``-m
exhaustive`` at each in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, expect

from demo_app.guide_pages import guide

from .album import Look, album
from .conftest import OWNER, PASSWORD, Demo, Person


class Appearance(NamedTuple):
    """How wide a window is, in pixels, and which colours the person prefers."""

    width: int
    scheme: Literal["light", "dark"]


APPEARANCES = (Appearance(1280, "light"), Appearance(360, "dark"))
Choice = Callable[[int], Sequence[Appearance]]  # in which appearances the n-th page is looked at
CHOICES = [
    pytest.param(lambda number: [APPEARANCES[number % len(APPEARANCES)]], id="in turn", marks=pytest.mark.slow),
    pytest.param(lambda _: APPEARANCES, id="all", marks=pytest.mark.exhaustive),
]
# what fades in has its colours only afterwards; a spinner has no end
SETTLED = """Promise.allSettled(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity).map((each) => each.finished))"""


async def findings(person: Person, appearances: Sequence[Appearance]) -> list[Any]:
    """Return what axe finds on the page at which a person is, and where it scrolls sideways."""
    found: list[Any] = []
    for width, scheme in appearances:
        await person.page.set_viewport_size({"width": width, "height": 800})
        await person.page.emulate_media(color_scheme=scheme)
        await person.page.evaluate(SETTLED)
        violations = (await Axe().run(person.page)).response["violations"]
        found += [(width, scheme, each["id"], [node["html"][:120] for node in each["nodes"]]) for each in violations]
        if await person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found.append((width, scheme, "scrolls sideways"))
    return found


async def test_a_page_and_its_modal_have_no_finding(person: Person) -> None:
    await person.sign_in()
    await person.go("/payroll")
    page = await findings(person, APPEARANCES)
    await person.page.locator("#run-2026-06").get_by_role("button").click()
    await expect(person.dialog.get_by_role("heading")).to_be_focused()
    assert (page, await findings(person, APPEARANCES)) == ([], [])


@pytest.mark.parametrize("chosen", CHOICES)
async def test_no_page_and_no_state_of_the_modal_has_a_finding(browser: Browser, demo: Demo, chosen: Choice) -> None:
    found: dict[str, list[Any]] = {}

    def look_as(_: str) -> Look:
        async def look(person: Person, name: str, whole: bool) -> None:
            found[name] = await findings(person, chosen(len(found)))

        return look

    view = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}
    await album(browser, demo, {"view": view}, look_as)
    assert len(found) > 30
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize("chosen", CHOICES)
async def test_no_page_of_the_guide_has_a_finding(person: Person, chosen: Choice) -> None:
    await person.sign_in()
    found = {}
    for number, page in enumerate(guide().pages):
        await person.go(page.url)
        await expect(person.page.get_by_role("heading", level=1)).to_have_text(page.title)
        found[page.url] = await findings(person, chosen(number))
    assert len(found) > 20
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
