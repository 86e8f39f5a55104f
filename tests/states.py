"""Looks at every state of the modal: ``python -m tests.states [--language de] [--state opened] [--axe] [--anew]``.

Chromium at seven sizes (the last is 1280 pixels at 400 %), in every language, light, dark and in forced colours, with
short details and with long ones: in every state the title, what has the focus and its error lie in view. The suite
takes rows in which each pair of these meets, each reached anew; the command takes all. It reaches a state once, each
time at another size, and then turns and enlarges the window around it as people do: what was in view stays in view.
With ``--anew`` it reaches the state in each case, which takes ten times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Error, Page, async_playwright, expect

from stepup_middleware import PLATFORM_PURPOSES, approvable
from stepup_middleware.languages import library_languages
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, chromium_path, confirm_app
from tests.e2e.site import requester, small_site
from tests.modal_states import ADA, OTHER, STATES, Ahead, Studio

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
SETTINGS: dict[str, Any] = {
    "store_timeout": timedelta(seconds=30),  # the machine may be busy with other things
    "open_prompts_per_session": 10_000,
    "purposes": approvable(PLATFORM_PURPOSES, "webhook_secret_rotation"),
    "totals": {"webhook_secret_rotation": lambda shown, locale: ("Total", f"USD {len(shown)}12,908.77")},
    "help_url": "/help",
}
WHERE = (
    """["dialog[open]", ".stepup-modal", ".stepup-card"].map((each) => document.querySelector(each)).find(Boolean)"""
)
MEASURE = f"""() => {{
    const dialog = {WHERE};
    const title = dialog.querySelector(".stepup-title");
    const error = dialog.querySelector(".stepup-error");
    const focused = document.activeElement;
    const found = {{ title }};
    if (dialog.matches("dialog")) found.focused = dialog.contains(focused) ? focused : null;
    else if (dialog.contains(focused)) found.focused = focused;
    if (error?.textContent.trim()) found.error = error;
    for (const note of dialog.querySelectorAll(".stepup-modal > .stepup-note")) found.note = note;
    if (["code", "match"].includes(focused?.name)) found.button = focused.form.querySelector("button");
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


def every(languages: Sequence[str]) -> list[Case]:
    """Return every case."""
    rows = itertools.product(languages, STATES, SIZES, COLOURS, DETAILS)
    return [Case(state, size, language, colours, details) for language, state, size, colours, details in rows]


def pairwise(languages: Sequence[str], *, apart: tuple[int, int] | None = None) -> list[Case]:
    """Return few cases in which each two values of different kinds meet (greedy: the best of some by chance).

    Of the two kinds ``apart``, by their place in a case, not each value meets each: that makes half of the cases.
    """
    kinds: tuple[Sequence[Any], ...] = (tuple(STATES), SIZES, languages, COLOURS, tuple(DETAILS))
    places = [pair for pair in itertools.combinations(range(len(kinds)), 2) if pair != apart]
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
    """Serve the site, and enrol the factors of the two who sign in on it."""
    clock = Ahead()
    async with (
        small_site(folder, BODY, htmx=True, settings={**SETTINGS, "clock": clock}) as site,
        requester(browser, site, reduced_motion="reduce") as page,
    ):
        await page.goto(f"{site.url}/stepup/factors")
        await page.get_by_role("button", name="Add authenticator app").click()
        await page.locator("dialog[open]").get_by_role("button", name="Use passkey").click()
        await confirm_app(page, factors=2)
        site.person = OTHER
        await page.goto(f"{site.url}/stepup/factors")
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
        yield Studio(site=site, page=page, clock=clock, texts=site.stepup.languages.texts("en"))


async def appear(page: Page, case: Case) -> None:
    """Give the window the size and the colours of a case."""
    await page.set_viewport_size({"width": case.size[0], "height": case.size[1]})
    await page.emulate_media(
        color_scheme="dark" if case.colours == "dark" else "light",
        forced_colors="active" if case.colours == "forced" else "none",
        reduced_motion="reduce",
    )


async def reach(studio: Studio, case: Case) -> None:
    """Bring the page into a state, anew."""
    page = studio.page
    studio.texts = studio.site.stepup.languages.texts(case.language)
    studio.site.details = DETAILS[case.details]
    studio.site.person, studio.site.actor, studio.site.client = ADA, "", ""
    await page.goto("about:blank")  # first: a request that a state holds back would go on, and its ceremony succeed
    await page.unroute_all(behavior="ignoreErrors")
    await page.context.set_extra_http_headers({"accept-language": case.language})
    await appear(page, case)
    async with page.expect_response(lambda answer: "/stepup/texts" in answer.url):
        await page.goto(studio.site.url)
    await STATES[case.state](studio)


async def reach_at_last(studio: Studio, case: Case) -> None:
    """Bring the page into a state; on a machine that is busy with other things, try again."""
    for _ in range(2):
        with suppress(AssertionError, LookupError, Error):
            return await reach(studio, case)
    return await reach(studio, case)


async def findings(studio: Studio, case: Case, *, axe: bool = False) -> list[str]:
    """Return what is out of view on the page in hand, or what axe finds on it (WCAG 2.2 AA)."""
    await studio.page.evaluate(SETTLED)
    if axe:
        violations = (await Axe().run(studio.page)).response["violations"]
        return [f"{case}: {each['id']} {[node['html'][:120] for node in each['nodes']]}" for each in violations]
    shown = await studio.page.evaluate(f"({WHERE}).querySelector('[lang]')?.lang ?? ({WHERE}).lang")
    found = [] if shown in ("", case.language) else [f"{case}: it speaks {shown}"]
    outside = await studio.page.evaluate(MEASURE)
    return [*found, *(f"{case}: {name} is out of view: {place}" for name, place in outside.items())]


def together(cases: Iterable[Case]) -> list[list[Case]]:
    """Put cases together that differ in size and colours alone, each time with another one in front."""
    alike: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        alike.setdefault((case.state, case.language, case.details), []).append(case)
    groups = []
    for place, group in enumerate(alike.values()):
        front = (place + place // len(STATES)) * len(COLOURS) % len(group)  # another size, and so for each state
        groups.append(group[front:] + group[:front])
    return groups


def alone(cases: Iterable[Case]) -> list[list[Case]]:
    """Put each case into a group of its own: each is reached anew."""
    return [[case] for case in cases]


async def look(browser: Browser, folder: Path, groups: Iterable[Sequence[Case]], *, axe: bool = False) -> list[str]:
    """Return the findings of all cases: the first of a group is reached, for the others the window changes."""
    found: list[str] = []
    async with studio_of(browser, folder) as studio:
        for first, *others in groups:
            await reach_at_last(studio, first)
            found += await findings(studio, first, axe=axe)
            for case in others:
                await appear(studio.page, case)
                found += await findings(studio, case, axe=axe)
        assert studio.site.ran == []  # whatever state it was in, nothing was done
    return found


async def run(languages: Sequence[str], states: Sequence[str], *, axe: bool, anew: bool) -> list[str]:
    """Look at every case with a browser of its own."""
    cases = [case for case in every(languages) if case.state in states]
    if axe:
        cases = [case for case in cases if case.size in ((1280, 800), (360, 640))]
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
            groups = alone(cases) if anew else together(cases)
            return await look(browser, Path(folder), groups, axe=axe)


def main() -> None:
    """Read the command line; exit with 1 if anything is out of view."""
    parser = argparse.ArgumentParser(prog="python -m tests.states", description="Every state of the modal.")
    tags = library_languages().tags
    parser.add_argument("--language", choices=tags, action="append", help="only this one; may be given again")
    parser.add_argument("--state", choices=STATES, action="append", help="only this one; may be given again")
    parser.add_argument("--axe", action="store_true", help="what axe finds, in place of what is out of view")
    parser.add_argument("--anew", action="store_true", help="reach the state in each case, not once for all sizes")
    chosen = parser.parse_args()
    states = chosen.state or list(STATES)
    found = asyncio.run(run(chosen.language or tags, states, axe=chosen.axe, anew=chosen.anew))
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Everything is in view.\n")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
