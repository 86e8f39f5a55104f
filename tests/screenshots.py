"""Makes pictures of the demo: ``python -m tests.screenshots [FOLDER]``.

Every page and each state of the modal, at desktop and phone width, light and dark, into a folder; and with
``--guide`` a few small ones for the README into ``demo_app/guide/images``. A person looks at them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Route, async_playwright, expect

from tests.e2e.conftest import (
    ANALYST,
    CHROMIUM_ARGUMENTS,
    COSIGNER,
    OWNER,
    Demo,
    Person,
    chromium_path,
    open_person,
    start_demo,
    stop_demo,
    totp_now,
)

GUIDE_IMAGES = Path(__file__).parent.parent / "demo_app" / "guide" / "images"
GUIDE_BYTES = 150_000  # an image of the README is no larger
PAGES = {
    "overview": "/",
    "payroll": "/payroll",
    "equity": "/equity",
    "year-end": "/year-end",
    "privacy": "/privacy",
    "developers": "/developers",
    "identity": "/identity",
    "domains": "/domains",
    "exports": "/exports",
    "security-settings": "/settings/security",
    "policy": "/settings/step-up-policy",
    "audit": "/audit",
    "audit-empty": "/audit?prompt=none",
    "audit-problem": "/audit?since=yesterday",
    "console": "/security",
    "guide": "/guide",
    "factors": "/stepup/factors",
    "not-found": "/nowhere",
    "prompt-over": "/stepup/prompts/over",
}
VIEWS: dict[str, dict[str, Any]] = {
    f"{device}-{scheme}": {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    for device, width, height in (("desktop", 1280, 800), ("phone", 390, 844))
    for scheme in ("light", "dark")
}
TRANSMIT = '[data-stepup-purpose="payroll_ach_transmit"]'
ROTATE = '[data-stepup-purpose="webhook_secret_rotation"]'


class Camera:
    """Takes pictures of one person's browser, under the name of the view."""

    def __init__(self, person: Person, folder: Path, view: str) -> None:
        self.person = person
        self.folder = folder
        self.view = view

    async def take(self, name: str, *, whole: bool = True) -> None:
        """Take a picture when fonts are there and nothing moves any more."""
        await self.person.page.wait_for_timeout(300)
        await self.person.page.screenshot(path=self.folder / f"{name}-{self.view}.png", full_page=whole)


async def history(person: Person, failing: Person) -> None:
    """Do what makes the pages tell something: an action, its replay, and failures of somebody else in a row."""
    tokens: list[tuple[str, str]] = []

    async def watch(route: Route) -> None:
        if token := route.request.headers.get("stepup-token"):
            tokens.append((route.request.url, token))
        await route.continue_()

    await person.page.route("**/transmit", watch)
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await person.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()
    await person.page.unroute("**/transmit")
    url, token = tokens[-1]
    again = {"StepUp-Token": token, "Origin": person.demo.url, "User-Agent": "curl/8.11"}
    await person.context.request.post(url, headers=again)
    origin = {"Origin": person.demo.url}
    for _ in range(5):
        asked = await failing.context.request.put(f"{person.demo.url}/identity/attestation/direct", headers=origin)
        prompt = (await asked.json())["prompt"]["url"]
        await failing.context.request.post(f"{person.demo.url}{prompt}/totp", data={"code": "000000"}, headers=origin)


async def modal_states(camera: Camera) -> None:
    """Take the modal as it opens, after a wrong code, and while it waits."""
    person = camera.person
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_be_visible()
    await camera.take("modal-passkey", whole=False)
    await person.page.keyboard.press("Escape")
    await person.go("/developers")
    await person.page.locator(ROTATE).first.click()
    code = person.dialog.get_by_label("Code from your authenticator app")
    await expect(code).to_be_visible()
    await camera.take("modal-any", whole=False)
    await code.fill("000000")
    await person.dialog.get_by_role("button", name="Authorize").click()
    await expect(person.dialog.get_by_role("alert")).not_to_be_empty()
    await camera.take("modal-wrong-code", whole=False)
    await person.page.keyboard.press("Escape")
    held = asyncio.Event()

    async def wait(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await person.page.route("**/webauthn/options", wait)
    await person.page.locator(ROTATE).first.click()
    await person.dialog.locator('[data-stepup-kind="passkey"]').click()
    await camera.take("modal-waiting", whole=False)
    held.set()
    await expect(person.dialog).to_have_count(0)
    await person.page.unroute("**/webauthn/options")
    await camera.take("modal-done", whole=False)


async def pages(camera: Camera) -> None:
    """Take every page, the step-up page with its receipt, and the page that answers a navigation."""
    person = camera.person
    for name, path in PAGES.items():
        await person.go(path)
        await camera.take(name)
    await person.go("/audit?event=ACTION_AUTHORIZED")
    await person.page.locator("table.audit a").first.click()
    await camera.take("step-up")
    await person.page.get_by_role("link", name="Receipt").click()
    await camera.take("receipt")
    await person.go("/exports/X-1/download")
    await camera.take("modal-page")


async def strangers(browser: Browser, demo: Demo, folder: Path, view: str) -> None:
    """Take the sign-in page, its refusal, and what somebody without a factor meets."""
    person = await open_person(browser, demo, **VIEWS[view])
    camera = Camera(person, folder, view)
    await person.go("/sign-in")
    await camera.take("sign-in")
    await person.page.get_by_label("Email").fill(OWNER)
    await person.page.get_by_label("Password").fill("wrong")
    await person.page.get_by_role("button", name="Sign in").click()
    await camera.take("sign-in-refused")
    await person.sign_in(ANALYST)
    await camera.take("overview-no-factor")
    await person.go("/stepup/factors")
    await camera.take("factors-none")
    await person.page.get_by_role("button", name="Add authenticator app").click()
    await expect(person.page.locator("[data-stepup-secret]")).not_to_be_empty()
    await camera.take("factors-totp", whole=False)
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_be_visible()
    await camera.take("modal-no-factor", whole=False)
    await person.go("/settings/step-up-policy")
    await camera.take("policy-read-only")
    await person.context.close()


async def album(browser: Browser, demo: Demo, folder: Path, views: list[str]) -> None:
    """Take everything, once a view."""
    first = await open_person(browser, demo)
    await first.plug_in("internal")
    await first.sign_in()
    await first.enrol("passkey", name="Laptop")
    await first.page.get_by_role("button", name="Add authenticator app").click()
    await first.dialog.locator('[data-stepup-kind="passkey"]').click()
    shown = first.page.locator("[data-stepup-secret]")
    await expect(shown).not_to_be_empty()
    secret = "".join((await shown.inner_text()).split())
    await first.page.get_by_label("Code from the app").fill(totp_now(secret))
    await first.page.get_by_role("button", name="Confirm").click()
    await expect(first.page.locator("[data-stepup-factor]")).to_have_count(2)
    second = await open_person(browser, demo)
    await second.sign_in(COSIGNER)
    await second.enrol_totp()
    await history(first, second)
    await second.context.close()
    for view in views:
        await first.page.set_viewport_size(VIEWS[view]["viewport"])
        await first.page.emulate_media(color_scheme=VIEWS[view]["color_scheme"])
        camera = Camera(first, folder, view)
        await pages(camera)
        await modal_states(camera)
        await strangers(browser, demo, folder, view)
    await first.context.close()


async def for_the_guide(browser: Browser, demo: Demo) -> None:
    """Take the few pictures that the README shows, small."""
    person = await open_person(browser, demo, viewport={"width": 1100, "height": 720}, color_scheme="light")
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey", name="Laptop")
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_be_visible()
    await person.page.wait_for_timeout(400)
    await person.page.screenshot(path=GUIDE_IMAGES / "modal.png")
    await person.page.keyboard.press("Escape")
    cosigner = await open_person(browser, demo)
    await cosigner.sign_in(COSIGNER)
    await cosigner.enrol_totp()
    await history(person, cosigner)
    await cosigner.context.close()
    for name, path in (("console", "/security"), ("policy", "/settings/step-up-policy"), ("audit", "/audit")):
        await person.go(path)
        await person.page.wait_for_timeout(400)
        await person.page.screenshot(path=GUIDE_IMAGES / f"{name}.png")
    await person.context.close()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Browser, Demo]]:
    """Start a browser and a demo with a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        demo = await start_demo(Path(folder))
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
                yield browser, demo
                await browser.close()
        finally:
            await stop_demo(demo)


async def make(folder: Path, views: list[str], *, guide: bool) -> None:
    """Make the pictures that were asked for."""
    async with running() as (browser, demo):
        if guide:
            await for_the_guide(browser, demo)
            return
        await album(browser, demo, folder, views)


def main() -> None:
    """Read the command line and make the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description="Pictures of the demo.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"))
    parser.add_argument("--view", choices=VIEWS, action="append", help="only this view; may be given again")
    parser.add_argument("--guide", action="store_true", help="only the README's pictures, into demo_app/guide/images")
    chosen = parser.parse_args()
    if chosen.guide:
        GUIDE_IMAGES.mkdir(exist_ok=True)
    else:
        chosen.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(make(chosen.folder, chosen.view or list(VIEWS), guide=chosen.guide))
    where = GUIDE_IMAGES if chosen.guide else chosen.folder
    pictures = sorted(where.glob("*.png"))
    sys.stdout.write(f"{len(pictures)} pictures are in {where}\n")
    large = [picture.name for picture in pictures if chosen.guide and picture.stat().st_size > GUIDE_BYTES]
    if large:
        raise SystemExit(f"larger than {GUIDE_BYTES:,} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
