"""Looks at every state of the modal: ``python -m tests.states [--language de] [--axe]``.

Chromium at seven sizes (the last is 1280 pixels at 400 %), in every language, light, dark and in forced colours, with
short details and with long ones: in every state the title, what has the focus and its error lie in view. The suite
takes rows in which each pair of these meets; the command takes all.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.languages import Texts, library_languages
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, chromium_path, confirm_app
from tests.e2e.site import Site, requester, small_site

SIZES = ((360, 640), (640, 360), (667, 375), (844, 390), (1280, 600), (1280, 800), (320, 200))
COLOURS: tuple[Literal["light", "dark", "forced"], ...] = ("light", "dark", "forced")
DETAILS = {
    "short": [("Run", "2026-06")],
    "long": [
        ("Run", "2026-06"),
        ("Recipients", "; ".join(f"employee {number:03} of the eastern department" for number in range(45))),
        ("Note", "line\n" * 40),
        ("Total", "USD 412,908.77"),
    ],
}
BODY = (
    '<h1>Site</h1><button id="go" hx-post="/act" hx-target="#card">Go</button>'
    '<button id="strict" hx-post="/transmit" hx-target="#card">Go</button>'
    '<a id="download" href="/download">Download</a><div id="card"></div>' + "<p>text</p>" * 60
)
WHERE = """document.querySelector("dialog[open]") ?? document.querySelector(".stepup-modal")"""
MEASURE = f"""() => {{
    const dialog = {WHERE};
    const title = dialog.querySelector(".stepup-title");
    const error = dialog.querySelector(".stepup-error");
    const focused = document.activeElement;
    const found = {{ title }};
    if (dialog.matches("dialog")) found.focused = dialog.contains(focused) ? focused : null;
    if (error?.textContent.trim()) found.error = error;
    if (focused?.name === "code") found.button = dialog.querySelector("[data-stepup-totp] button");
    const outside = {{}};
    const under = title.getBoundingClientRect().bottom;
    for (const [name, element] of Object.entries(found)) {{
        if (!element) {{ outside[name] = "nothing has it"; continue; }}
        const {{ top, bottom, left, right }} = element.getBoundingClientRect();
        const low = name === "title" || title.contains(element) ? 0 : under - 1;
        if (top < low || left < 0 || bottom > innerHeight || right > innerWidth) outside[name] = [top, bottom, under];
    }}
    if (document.documentElement.scrollWidth > innerWidth) outside.page = document.documentElement.scrollWidth;
    if (dialog.scrollWidth > dialog.clientWidth) outside.sideways = dialog.scrollWidth;
    return outside;
}}"""
SETTLED = """() => Promise.allSettled(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity).map((each) => each.finished))
    .then(() => new Promise((later) => requestAnimationFrame(() => requestAnimationFrame(later))))"""


class Case(NamedTuple):
    """One look: in which state, at which size in pixels, in which language and colours, with which details."""

    state: str
    size: tuple[int, int]
    language: str
    colours: Literal["light", "dark", "forced"]
    details: str

    def __str__(self) -> str:
        return f"{self.state} {self.size[0]}x{self.size[1]} {self.language} {self.colours} {self.details}"


@dataclass
class Studio:
    """A site with one person who has a passkey and an authenticator app, and their browser."""

    site: Site
    page: Page
    texts: Texts

    @property
    def dialog(self) -> Any:
        return self.page.locator("dialog[open]")

    async def open(self, button: str = "#go") -> None:
        await self.page.locator(button).click()
        await expect(self.dialog.locator(".stepup-title")).to_be_focused()

    async def answer(self, path: str, status: int, code: RefusalCode, **more: Any) -> None:
        """Have calls answered as the library would, without spending attempts."""
        body = json.dumps({"code": code.value, "detail": self.texts(code.detail), **more})
        headers = {"content-type": "application/problem+json", "retry-after": "30"}

        async def handle(route: Route) -> None:
            await route.fulfill(status=status, headers=headers, body=body)

        await self.page.route(path, handle)

    async def type_code(self, code: str) -> None:
        await self.dialog.locator("#stepup-code").fill(code)
        await self.page.keyboard.press("Enter")

    async def error(self) -> None:
        await expect(self.dialog.locator(".stepup-error")).not_to_be_empty()


State = Callable[[Studio], Awaitable[None]]


async def opened(studio: Studio) -> None:
    await studio.open()


async def strict(studio: Studio) -> None:
    await studio.open("#strict")


async def no_code(studio: Studio) -> None:
    await studio.open()
    await studio.type_code("12345")
    await studio.error()


async def wrong_code(studio: Studio) -> None:
    await studio.answer("**/totp", 400, RefusalCode.VERIFICATION_FAILED)
    await studio.open()
    await studio.type_code("000000")
    await studio.error()


async def wrong_key(studio: Studio) -> None:
    await studio.answer("**/webauthn/options", 400, RefusalCode.VERIFICATION_FAILED)
    await studio.open()
    await studio.dialog.locator('[data-stepup-kind="passkey"]').click()
    await studio.error()


async def paused(studio: Studio) -> None:
    await studio.answer("**/totp", 429, RefusalCode.RATE_LIMITED, retry_after=30)
    await studio.open()
    await studio.type_code("000000")
    await studio.error()


async def waiting(studio: Studio) -> None:
    async def hold(route: Route) -> None:
        """Keep the browser waiting for the library's answer, as for a person who looks for their key."""

    await studio.page.route("**/webauthn/options", hold)
    await studio.open()
    await studio.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(studio.dialog.locator("[data-stepup-status]")).not_to_be_empty()


async def expired(studio: Studio) -> None:
    async def hurry(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.text()
        late = re.sub('data-stepup-expires="[^"]*"', 'data-stepup-expires="2026-01-01T00:00:00Z"', body)
        await route.fulfill(response=answer, body=late)

    await studio.page.route("**/act", hurry)
    await studio.page.locator("#go").click()
    await expect(studio.dialog.locator("[data-stepup-renew]")).to_be_focused()


async def lost(studio: Studio) -> None:
    async def lose(route: Route) -> None:
        if "stepup-token" in await route.request.all_headers():
            return await route.abort("connectionreset")
        await route.continue_()

    await studio.page.route("**/act", lose)
    await studio.open()
    await studio.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(studio.dialog.locator("[data-stepup-kind]")).to_have_count(0)
    await expect(studio.dialog.locator(".stepup-title")).to_be_focused()


async def as_page(studio: Studio) -> None:
    await studio.page.goto(f"{studio.site.url}/download")
    await expect(studio.page.locator('[data-stepup-kind="passkey"]')).to_be_visible()


STATES: dict[str, State] = {
    state.__name__: state
    for state in (opened, strict, no_code, wrong_code, wrong_key, paused, waiting, expired, lost, as_page)
}


def every(languages: Sequence[str]) -> list[Case]:
    """Return every case."""
    rows = itertools.product(languages, STATES, SIZES, COLOURS, DETAILS)
    return [Case(state, size, language, colours, details) for language, state, size, colours, details in rows]


def pairwise(languages: Sequence[str]) -> list[Case]:
    """Return few cases in which each two values of different kinds meet (greedy: the best of some by chance)."""
    kinds: tuple[Sequence[Any], ...] = (tuple(STATES), SIZES, languages, COLOURS, tuple(DETAILS))
    places = list(itertools.combinations(range(len(kinds)), 2))
    wanted = {(a, b, x, y) for a, b in places for x in kinds[a] for y in kinds[b]}
    chance, rows = random.Random(17), []  # noqa: S311 - the same rows in each run
    while wanted:
        a, b, x, y = min(wanted, key=repr)
        tries = [[chance.choice(kind) for kind in kinds] for _ in range(60)]
        for row in tries:
            row[a], row[b] = x, y
        best = max(tries, key=lambda row: sum((a, b, row[a], row[b]) in wanted for a, b in places))
        wanted -= {(a, b, best[a], best[b]) for a, b in places}
        rows.append(Case(*best))
    return sorted(rows, key=lambda case: (case.language, case.size, case.state))


@asynccontextmanager
async def studio_of(browser: Browser, folder: Path) -> AsyncIterator[Studio]:
    """Serve the site, and enrol the person's factors."""
    async with (
        small_site(folder, BODY, htmx=True, settings={"open_prompts_per_session": 10_000}) as site,
        requester(browser, site, reduced_motion="reduce") as page,
    ):
        await page.goto(f"{site.url}/stepup/factors")
        await page.get_by_role("button", name="Add authenticator app").click()
        await page.locator("dialog[open]").get_by_role("button", name="Use passkey").click()
        await confirm_app(page, factors=2)
        yield Studio(site=site, page=page, texts=site.stepup.languages.texts("en"))


async def reach(studio: Studio, case: Case) -> None:
    """Bring the page into a state, anew."""
    page = studio.page
    studio.texts = studio.site.stepup.languages.texts(case.language)
    studio.site.details = DETAILS[case.details]
    await page.goto("about:blank")  # first: a request that a state holds back would go on, and its ceremony succeed
    await page.unroute_all(behavior="ignoreErrors")
    await page.context.set_extra_http_headers({"accept-language": case.language})
    await page.set_viewport_size({"width": case.size[0], "height": case.size[1]})
    await page.emulate_media(
        color_scheme="dark" if case.colours == "dark" else "light",
        forced_colors="active" if case.colours == "forced" else "none",
        reduced_motion="reduce",
    )
    async with page.expect_response(lambda answer: "/stepup/texts" in answer.url):
        await page.goto(studio.site.url)
    await STATES[case.state](studio)
    await page.evaluate(SETTLED)


async def findings(studio: Studio, case: Case, *, axe: bool = False) -> list[str]:
    """Return what is out of view in a case, or what axe finds in it (WCAG 2.2 AA)."""
    await reach(studio, case)
    if axe:
        violations = (await Axe().run(studio.page)).response["violations"]
        return [f"{case}: {each['id']} {[node['html'][:120] for node in each['nodes']]}" for each in violations]
    shown = await studio.page.evaluate(f"({WHERE}).querySelector('[lang]')?.lang ?? ({WHERE}).lang")
    found = [] if shown in ("", case.language) else [f"{case}: it speaks {shown}"]
    outside = await studio.page.evaluate(MEASURE)
    return [*found, *(f"{case}: {name} is out of view: {place}" for name, place in outside.items())]


async def look(browser: Browser, folder: Path, cases: Iterable[Case], *, axe: bool = False) -> list[str]:
    """Return the findings of all cases."""
    async with studio_of(browser, folder) as studio:
        found = [finding for case in cases for finding in await findings(studio, case, axe=axe)]
        assert studio.site.ran == []  # whatever state it was in, nothing was done
    return found


async def run(languages: Sequence[str], axe: bool) -> list[str]:
    """Look at every case with a browser of its own."""
    cases = every(languages)
    if axe:
        cases = [case for case in cases if case.size in ((1280, 800), (360, 640))]
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
            return await look(browser, Path(folder), cases, axe=axe)


def main() -> None:
    """Read the command line; exit with 1 if anything is out of view."""
    parser = argparse.ArgumentParser(prog="python -m tests.states", description="Every state of the modal.")
    tags = library_languages().tags
    parser.add_argument("--language", choices=tags, action="append", help="only this one; may be given again")
    parser.add_argument("--axe", action="store_true", help="what axe finds, in place of what is out of view")
    chosen = parser.parse_args()
    found = asyncio.run(run(chosen.language or tags, chosen.axe))
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Everything is in view.\n")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
