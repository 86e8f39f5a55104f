"""Writes who gets in from which page into the guide: ``python -m tests.cross_origin --write``.

Each cell is a real request of a page in Chromium to an API whose own CORS lets everybody in, so that what keeps a page
out is the library, or the browser over what the library did not allow.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from itertools import product
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from demo_app.guide_pages import FOLDER
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, chromium_path
from tests.e2e.origins import Origins, origins
from tests.guide.person import plug_in_passkey

PAGES = {
    "own": "the API's own origin",
    "sibling": "listed, same site",
    "apart": "listed, another site",
    "stranger": "not listed, same site",
    "far": "not listed, another site",
}
CREDENTIALS = ("cookie", "bearer")
KINDS = ("simple", "preflighted")
BEGIN, END = "<!-- cross-origin: written by `python -m tests.cross_origin --write` -->", "<!-- /cross-origin -->"
GUIDE = FOLDER / "origins.md"

_ASK = """async ([api, credential, kind]) => {
    const headers = kind === "simple" ? { "Content-Type": "text/plain" } : { "Content-Type": "application/json" };
    if (credential === "bearer") headers.Authorization = "Bearer ada";
    const init = { method: "POST", headers, body: "{}", credentials: credential === "cookie" ? "include" : "omit" };
    try {
        const answer = await fetch(`${api}/act`, init);
        const problem = await answer.json();
        return [answer.status, problem.code ?? "", problem.prompt?.url ?? ""];
    } catch {
        return [0, "", ""];
    }
}"""
_CALL = """async ([url, credential]) => {
    const headers = { "Content-Type": "application/json" };
    if (credential === "bearer") headers.Authorization = "Bearer ada";
    const init = { method: "POST", headers, body: "{}", credentials: credential === "cookie" ? "include" : "omit" };
    try {
        const answer = await fetch(`${url}/webauthn/options`, init);
        return [answer.status, (await answer.json()).code ?? ""];
    } catch {
        return [0, ""];
    }
}"""


async def asked(page: Page, site: Origins, credential: str, kind: str) -> tuple[int, str, str]:
    """Send a tagged request from a page without stepup.js; status 0: the page learns nothing."""
    status, code, url = await page.evaluate(_ASK, [site.api, credential, kind])
    return int(status), str(code), str(url)


async def cell(page: Page, site: Origins, credential: str, kind: str, open_prompt: str) -> str:
    """Return who gets in: to the question, and to the library's own calls."""
    status, code, url = await asked(page, site, credential, kind)
    called, said = await page.evaluate(_CALL, [site.api + (url or open_prompt), credential])
    if status == 401 and code == "STEPUP_REQUIRED":
        assert (called, said) == (200, ""), (called, said)  # a challenge for the person's key
        return "asked, and can answer"
    assert called == 0 or said in ("STEPUP_CROSS_ORIGIN", "STEPUP_NOT_SIGNED_IN"), (called, said)
    if code == "STEPUP_NOT_SIGNED_IN":
        return "not signed in: the browser keeps the cookie back"
    return "refused" if code == "STEPUP_CROSS_ORIGIN" else f"unexpected: {status} {code}"


async def matrix(browser: Browser, folder: Path) -> dict[tuple[str, str, str], str]:
    """Return the outcome of each kind of request from each kind of page."""
    cells = {}
    async with origins(folder) as site:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        await page.goto(f"{site.api}/enter/ada")
        await page.goto(f"{site.api}/stepup/factors")
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
        await page.goto(f"{site.api}/bare")
        _, _, open_prompt = await asked(page, site, "cookie", "preflighted")
        assert open_prompt
        for name, credential, kind in product(PAGES, CREDENTIALS, KINDS):
            if credential == "bearer" and kind == "simple":
                continue  # Authorization forces the preflight
            await page.goto(f"{site.pages[name]}/bare")
            cells[name, credential, kind] = await cell(page, site, credential, kind, open_prompt)
        await context.close()
        assert site.ran == []
    return cells


def table(cells: dict[tuple[str, str, str], str]) -> str:
    """Return the matrix in Markdown."""
    columns = [("cookie", "simple"), ("cookie", "preflighted"), ("bearer", "preflighted")]
    lines = ["| the page's origin | cookie, simple | cookie, preflighted | bearer token |", "|---|---|---|---|"]
    lines += [
        f"| {words} | " + " | ".join(cells[name, *column] for column in columns) + " |" for name, words in PAGES.items()
    ]
    return "\n".join(lines)


def written(text: str, block: str) -> str:
    """Return a page of the guide with this table in its place."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{rest.partition(END)[2]}"


async def _main(write: bool) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(windowed=True), args=CHROMIUM_ARGUMENTS
        )
        with tempfile.TemporaryDirectory() as folder:
            block = table(await matrix(browser, Path(folder)))
        await browser.close()
    print(block)  # noqa: T201 - what a command prints
    if write:
        GUIDE.write_text(written(GUIDE.read_text(encoding="utf-8"), block), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    asyncio.run(_main(parser.parse_args().write))
