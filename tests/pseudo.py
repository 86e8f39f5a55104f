"""Every page and state in a language that nobody speaks: ``python -m tests.pseudo``; ``--axe ja`` looks for barriers.

Each text of the catalogues stands in brackets, with accents and 40 % longer. Whatever a page of the library or the demo
shows outside brackets was written past the catalogues, unless the page says that it is data (``translate="no"``), code,
or of another language (``lang``); and no bracket may be cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from axe_playwright_python.async_playwright import Axe
from babel.messages.catalog import Catalog
from playwright.async_api import Browser, Page, async_playwright, expect

import demo_app.languages
import stepup_middleware.languages
from demo_app.app import create_app
from demo_app.settings import Settings
from stepup_middleware import new_log_key
from stepup_middleware.languages import library_languages
from tests import languages
from tests.demo.support import PAGES as OWN_PAGES
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, COSIGNER, OWNER, PASSWORD, chromium_path, totp_now
from tests.guide.harness import serving
from tests.guide.person import plug_in_passkey
from tests.machine import free_port
from tests.states import SETTLED

TAG = "sv"  # a language of the browser that has no catalogue of ours
ACCENTS = str.maketrans("AEIOUYaeiouyncs", "ÅÉÎÖÛÝåéîöûýñçš")
_KEEP = re.compile(r"(%\(\w+\)s|%%|<[^>]*>)")
SIZES = ((1280, 800), (360, 640))
FOUND = """() => {
    const lang = document.documentElement.lang;
    const other = (element) => element.closest("code, pre, kbd, time, script, style, [translate=no], [data-stepup-age]")
        || (element.closest("[lang]")?.lang ?? lang) !== lang;
    const said = [];
    const cut = [];
    const blocks = new Map(); // a sentence with a link or a value in it is one
    const block = (element) => getComputedStyle(element).display === "inline" ? block(element.parentElement) : element;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!node.data.trim() || other(parent)) continue;
        blocks.set(block(parent), (blocks.get(block(parent)) ?? "") + node.data);
        const range = document.createRange();
        range.selectNodeContents(node);
        const box = range.getBoundingClientRect();
        const style = getComputedStyle(parent);
        if (!box.width || style.visibility === "hidden" || parent.closest("option, title")) continue;
        if (parent.closest(".unseen, .stepup-unseen, .skip, #navigation:not(:popover-open)")) continue;
        let scrolls = false;
        for (let each = parent; each && each !== document.body; each = each.parentElement) {
            const { overflowX, overflowY, clipPath } = getComputedStyle(each);
            const frame = each.getBoundingClientRect();
            if (frame.width <= 1 || clipPath !== "none") { scrolls = true; break; }
            if (/auto|scroll/.test(overflowX + overflowY)) { scrolls = true; break; }
            if (/hidden|clip/.test(overflowX) && (box.left < frame.left - 2 || box.right > frame.right + 2))
                cut.push(node.data.trim().slice(0, 60));
        }
        if (!scrolls && (box.left < -1 || box.right > innerWidth + 1)) cut.push(node.data.trim().slice(0, 60));
        const button = parent.closest("button, .button, .badge");
        const frame = button?.getBoundingClientRect();
        if (frame && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1))
            cut.push(node.data.trim().slice(0, 60));
    }
    for (const element of document.querySelectorAll("[aria-label], [title], [placeholder], img[alt], [data-label]")) {
        if (other(element)) continue;
        for (const name of ["aria-label", "title", "placeholder", "alt", "data-label"]) {
            if (element.getAttribute(name)) said.push(element.getAttribute(name));
        }
    }
    said.push(...blocks.values());
    if (!document.querySelector("title").lang) said.push(document.title);
    if (document.documentElement.scrollWidth > innerWidth) {
        const all = [...document.body.querySelectorAll("*")];
        const wide = all.filter((each) => each.getBoundingClientRect().right > innerWidth + 1);
        cut.push(`the page scrolls sideways: ${wide.at(-1)?.outerHTML.slice(0, 80)}`);
    }
    return { said, cut };
}"""


def pseudo(text: str) -> str:
    """Return a text with accents, in brackets, and 40 % longer; values and markup as they are."""
    parts = _KEEP.split(text)
    letters = "".join(part if place % 2 else part.translate(ACCENTS) for place, part in enumerate(parts))
    length = sum(len(part) for part in parts[::2])
    more = " ".join("ñôw"[: 1 + place % 3] for place in range(round(length * 0.4 / 3)))
    return f"⟦{letters}{' ' if more else ''}{more}⟧"


def write_catalogues(domain: str, folder: Path) -> Path:
    """Write a domain's template, and its catalogue in the language that nobody speaks, into a folder."""
    folder.mkdir()
    template = languages.template(domain)
    catalogue = Catalog(locale=TAG, charset="utf-8")
    for message in template:
        if message.id:
            text = tuple(map(pseudo, message.id)) if isinstance(message.id, tuple) else pseudo(str(message.id))
            catalogue.add(message.id, text, locations=message.locations)
    (folder / f"{domain}.pot").write_bytes(languages.written(template))
    (folder / f"{TAG}.po").write_bytes(languages.written(catalogue))
    return folder


def left(said: list[str]) -> list[str]:
    """Return what stands outside brackets and has letters; names that are the same in each language are none of it."""
    found = []
    for text in said:
        rest, before = re.sub(r"<[^<>]*>", "", text), None
        while rest != before:
            rest, before = re.sub(r"⟦[^⟦⟧]*⟧", "", rest), rest
        rest = re.sub(r"\b(AxisSynapse|UTC|AAGUID|acr|amr|SHA-256|CNAME|SCIM|IP|[A-Z]{1,2}-?\d+)\b|…", "", rest)
        if re.search(r"[^\W\d_]", rest) or "⟦" in rest or "⟧" in rest:
            found.append(f"{rest.strip()} in {text.strip()}")
    return found


class Visitor:
    """Somebody who looks at each page, and the findings."""

    def __init__(self, page: Page, url: str, *, axe: bool = False) -> None:
        self.page, self.url, self.axe = page, url, axe
        self.found: list[str] = []
        self.seen = 0

    async def look(self, where: str) -> None:
        """Note what is left in English, and what is cut off, at both sizes; or what axe finds, light and dark."""
        for width, height in SIZES:
            await self.page.set_viewport_size({"width": width, "height": height})
            await self.page.wait_for_timeout(50)
            if self.axe:
                await self.page.emulate_media(color_scheme="light" if width == SIZES[0][0] else "dark")
                await self.page.evaluate(SETTLED)
                violations = (await Axe().run(self.page)).response["violations"]
                nodes = [(each["id"], node["html"][:120]) for each in violations for node in each["nodes"]]
                self.found += [f"{where} at {width}: {name}: {html}" for name, html in nodes]
                self.seen += 1
                continue
            told: dict[str, Any] = await self.page.evaluate(FOUND)
            self.seen += len(told["said"])
            found = [f"left in English: {text!r}" for text in left(told["said"])] if width == SIZES[0][0] else []
            self.found += [f"{where}: {each}" for each in found]
            self.found += [f"{where}: cut off at {width}: {text!r}" for text in told["cut"]]
        await self.page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})

    async def go(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def visit(self, path: str) -> None:
        await self.go(path)
        await self.look(path)

    async def sign_in(self, email: str) -> None:
        await self.go("/sign-in")
        await self.page.locator("#email").fill(email)
        await self.page.locator("#password").fill(PASSWORD)
        await self.page.locator("form.card button").click()
        await expect(self.page.locator("nav")).to_be_attached()

    @property
    def dialog(self) -> Any:
        return self.page.locator("dialog[open]")

    async def prove(self) -> None:
        """Answer the question with the passkey; on a busy machine, as a person does: try again."""
        button = self.page.locator('[data-stepup-kind="passkey"]')
        for seconds in (5, 10, 20):
            await button.click()
            with suppress(AssertionError):
                return await expect(button).to_have_count(0, timeout=seconds * 1000)
        raise AssertionError(f"the question stays: {await self.page.locator('body').inner_text()}")


PAGES = (
    *OWN_PAGES,
    "/stepup/factors",
    "/audit?prompt=none",
    "/audit?since=yesterday",
    "/mailbox",
    "/nowhere",
    "/stepup/prompts/over",
)


async def stranger(visitor: Visitor) -> None:
    """Visit as a person who is no admin and has no factor."""
    page = visitor.page
    await visitor.visit("/sign-in")
    await page.locator("#email").fill(OWNER)
    await page.locator("#password").fill("wrong")
    await page.locator("form.card button").click()
    await visitor.look("sign-in refused")
    await visitor.sign_in(COSIGNER)
    for path in ("/", "/stepup/factors", "/settings/step-up-policy", "/audit", "/mailbox", "/equity"):
        await visitor.visit(path)
    await visitor.go("/payroll")
    await page.locator('[data-stepup-purpose="payroll_ach_transmit"]').first.click()
    await expect(visitor.dialog).to_be_visible()
    await visitor.look("modal without a factor")


async def factors(visitor: Visitor) -> None:
    """Add a passkey and an authenticator app, with what the page says meanwhile."""
    page, dialog = visitor.page, visitor.dialog
    await visitor.go("/stepup/factors")
    await page.locator('[data-stepup-enrol="passkey"] button').click()
    await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
    await page.locator('[data-stepup-enrol="totp"] button').first.click()
    await visitor.look("modal for a further factor")
    await visitor.prove()
    shown = page.locator("[data-stepup-secret]")
    await expect(shown).not_to_be_empty()
    await visitor.look("authenticator app")
    secret = "".join((await shown.inner_text()).split())
    form = page.locator("[data-stepup-confirm]")
    await form.locator("input").first.fill(totp_now(secret))
    await form.locator("button[type=submit]").click()
    await expect(page.locator("[data-stepup-factor]")).to_have_count(2)
    await page.locator("[data-stepup-remove]").first.click()
    await expect(dialog).to_be_visible()
    await visitor.look("factor about to be removed")
    await page.keyboard.press("Escape")


async def actions(visitor: Visitor) -> None:
    """Meet the modal with each purpose, then do what each page can show."""
    page, dialog = visitor.page, visitor.dialog
    for path in (*PAGES[1:9], "/audit"):
        await visitor.go(path)
        purposes = await page.locator("[data-stepup-purpose]").evaluate_all(
            "each => [...new Set(each.map((element) => element.dataset.stepupPurpose))]"
        )
        for purpose in purposes:
            await page.locator(f'[data-stepup-purpose="{purpose}"]').first.click()
            await expect(dialog.locator(".stepup-title")).to_be_focused()
            await visitor.look(f"modal of {purpose}")
            await page.keyboard.press("Escape")
            await expect(dialog).to_have_count(0)
    await visitor.go("/developers")
    await page.locator('[data-stepup-purpose="webhook_secret_rotation"]').first.click()
    await dialog.locator("#stepup-code").fill("12345")
    await page.keyboard.press("Enter")
    await expect(dialog.locator(".stepup-error")).not_to_be_empty()
    await visitor.look("modal with an error")
    await page.keyboard.press("Escape")
    for path, purpose in (
        ("/payroll", "payroll_ach_transmit"),
        ("/privacy", "holds_override"),
        ("/privacy", "account_erasure_finalize"),
        ("/identity", "mfa_policy_disable"),
        ("/identity", "network_policy_disable"),
        ("/identity", "attestation_policy_tighten"),
        ("/domains", "branding_domain_cname"),
        ("/developers", "webhook_secret_rotation"),
        ("/developers", "scim_token_revocation"),
        ("/year-end", "year_end_tax_transmit"),
    ):
        await visitor.go(path)
        await page.locator(f'[data-stepup-purpose="{purpose}"]').first.click()
        await expect(dialog.locator(".stepup-title")).to_be_focused()
        await visitor.prove()
        await expect(page.locator(".notice.success").first).to_be_visible()
        await visitor.look(f"{purpose} done")


async def together(visitor: Visitor) -> None:
    """Meet several requests as one question."""
    await visitor.go("/payroll")
    await visitor.page.locator("[data-together] button").first.click()
    await expect(visitor.dialog.locator("[data-stepup-item]").nth(1)).to_be_visible()
    await visitor.look("several at once")
    await visitor.page.keyboard.press("Escape")


async def approvals(visitor: Visitor) -> None:
    """See what a program asks, with wrong digits and right ones, approved and denied."""
    page = visitor.page
    await visitor.visit("/stepup/approvals")
    agent = {"user-agent": "deploy/1.2", "accept": "application/json", "accept-language": TAG}
    async with httpx2.AsyncClient(base_url=visitor.url, headers=agent) as program:
        await program.post("/sign-in", data={"email": OWNER, "password": PASSWORD})
        for says_yes in (False, True):
            await visitor.go("/stepup/approvals")
            asked = (await program.post("/developers/webhooks/W-1/rotate")).json()["approval"]
            await expect(page.locator('a[href*="/stepup/approve/"]')).to_be_visible()  # it came by itself
            await visitor.look("approvals, with one that waits")
            await page.goto(asked["url"])
            await visitor.look("approval")
            digits = page.locator("#stepup-match")
            if says_yes:
                await digits.fill(f"{(int(asked['match']) + 1) % 100:02}")
                await page.keyboard.press("Enter")
                await expect(page.locator("#stepup-error")).not_to_be_empty()
                await visitor.look("approval with wrong digits")
                await digits.fill(asked["match"])
                await page.keyboard.press("Enter")
                await expect(page.locator('[data-stepup-kind="passkey"]')).to_be_visible()
                await visitor.look("approval with the right digits")
                await visitor.prove()
                await expect(page.locator("p[role=status].stepup-note")).to_be_visible()
                await visitor.look("approval given")
            else:
                await page.locator('form[action$="/deny"] button').first.click()
                await expect(page.locator('form[action$="/deny"]')).to_have_count(0)
                await visitor.look("approval denied")


async def recovery(visitor: Visitor) -> None:
    """Make recovery codes, reset somebody and hand out a pass, and look at the pages of both."""
    page, dialog = visitor.page, visitor.dialog
    await visitor.go("/stepup/factors")
    await page.locator("[data-stepup-codes] [data-stepup-renew]").click()
    await visitor.prove()
    codes = dialog.locator("[data-stepup-codes-list] li")
    await expect(codes).to_have_count(10)
    code = await codes.first.inner_text()
    await visitor.look("recovery codes")
    await dialog.locator("[data-stepup-close]").click()
    await visitor.visit("/stepup/people?q=zzz")
    await visitor.visit("/stepup/people")
    for act in ("pass", "reset"):
        await page.locator(f'[data-stepup-person="cosigner"] [data-stepup-{act}]').click()
        await visitor.look(f"{act}: reason")
        await dialog.locator("#stepup-reason").fill("?")
        await dialog.locator("button[type=submit]").click()
        await expect(dialog.locator(".stepup-modal")).to_be_visible()
        await visitor.look(f"{act}: modal")
        await visitor.prove()
        await expect(dialog.locator("[data-stepup-secret]")).not_to_be_empty()
        await visitor.look(f"{act}: done")
        async with page.expect_navigation():  # it loads anew by itself
            await dialog.locator("[data-stepup-close]").click()
    await visitor.visit("/stepup/people")
    await visitor.go("/stepup/factors")
    await page.locator("details.stepup-opening summary").click()
    field = page.locator("#stepup-recovery")
    await field.fill("1")
    await page.keyboard.press("Enter")
    await expect(page.locator("#stepup-code-error")).not_to_be_empty()
    await visitor.look("recovery code refused")
    await field.fill(code)
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-stepup-right]")).to_be_visible()
    await visitor.look("recovery code used")
    await visitor.go("/payroll")
    await page.locator('[data-stepup-purpose="payroll_ach_transmit"]').first.click()
    await expect(dialog.locator("[data-stepup-problem]")).to_be_visible()
    await visitor.look("on hold")
    await visitor.visit("/mailbox")
    await visitor.visit("/audit")
    await visitor.visit("/security")


async def pages(visitor: Visitor) -> None:
    """Visit every page with what was done on it; one step-up, its receipt, and the page that answers a navigation."""
    for path in PAGES:
        await visitor.visit(path)
    await visitor.go("/audit?event=ACTION_AUTHORIZED")
    await visitor.page.locator("table.audit a").first.click()
    await visitor.look("step-up")
    await visitor.page.locator('a[href^="/stepup/receipts/"]').first.click()
    await visitor.look("receipt")
    await visitor.visit("/exports/X-1/download")


@asynccontextmanager
async def demo(folder: Path, language: str) -> AsyncIterator[str]:
    """Serve the demo; ``TAG``: with the catalogues of the language that nobody speaks in the place of its own."""
    kept = stepup_middleware.languages.FOLDER, demo_app.languages.FOLDER
    if language == TAG:
        stepup_middleware.languages.FOLDER = write_catalogues("stepup", folder / "stepup")
        demo_app.languages.FOLDER = write_catalogues("demo", folder / "demo")
    port = free_port()
    url = f"http://localhost:{port}"
    settings = Settings(
        database=folder / "axis.db", origin=url, port=port, secret_keys=("k" * 48,), log_key=new_log_key("axis/pseudo")
    )
    try:
        async with serving(create_app(settings), port):
            yield url
    finally:
        stepup_middleware.languages.FOLDER, demo_app.languages.FOLDER = kept


async def run(browser: Browser, folder: Path, language: str = TAG) -> list[str]:
    """Return what is left in English, and what is cut off, on every page and state.

    In another language: what axe finds (WCAG 2.2 AA), light on a desk and dark on a phone.
    """
    found: set[str] = set()
    async with demo(folder, language) as url:
        for email, steps in ((None, (stranger,)), (OWNER, (factors, together, actions, pages, approvals, recovery))):
            context = await browser.new_context(locale=language, reduced_motion="reduce")
            context.set_default_navigation_timeout(120_000)  # the machine may be busy with other things
            visitor = Visitor(await context.new_page(), url, axe=language != TAG)
            await plug_in_passkey(visitor.page)
            if email is not None:
                await visitor.sign_in(email)
            for step in steps:
                await step(visitor)
            assert visitor.seen > (10 if visitor.axe else 100)
            found.update(visitor.found)
            await context.close()
    return sorted(found)


async def everywhere(language: str) -> list[str]:
    """Run with a browser and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
            return await run(browser, Path(folder), language)


def main() -> None:
    """Print what is left in English or cut off, or what axe finds; exit with 1 if there is anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.pseudo", description="Every page and state.")
    parser.add_argument("--axe", choices=library_languages().tags, default=TAG, help="what axe finds in this language")
    found = asyncio.run(everywhere(parser.parse_args().axe))
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Nothing is found.\n")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
