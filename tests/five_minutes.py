"""How long the start page takes: ``python -m tests.five_minutes``, from an empty folder to a step-up in Chromium.

``--wheel``: from a wheel in place of the checkout.

Prints the seconds of each part with a passkey and with an authenticator app, and what a person types and clicks. It is
the machine's time: a person's reading comes on top.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

from tests.e2e.conftest import CHROMIUM_ARGUMENTS, add_factor, chromium_path, totp_now
from tests.guide.harness import blocks_of
from tests.guide.person import plug_in_passkey
from tests.machine import free_port, wheel_in
from tests.terminal import output_of, said, typed

ROOT = Path(__file__).parent.parent


class Watch:
    """Notes how long each part took."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._at = time.monotonic()

    def lap(self, part: str) -> None:
        """End a part."""
        now = time.monotonic()
        self.parts[part], self._at = now - self._at, now


async def stepped_up(page: Page, url: str, kind: str) -> None:
    """Sign in, add a factor and rotate the secret with it."""
    await plug_in_passkey(page)
    await page.goto(url)
    await page.get_by_label("Name").fill("owner@axis.example")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name="Your factors").click()
    secret = await add_factor(page, kind)
    await page.goto(url)
    await page.get_by_role("button", name="Rotate the secret").click()
    if kind == "passkey":
        await page.get_by_role("button", name="Use passkey").click()
    else:
        dialog = page.locator("dialog[open]")
        await dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
        await dialog.get_by_role("button", name="Authorize").click()
    await expect(page.locator("body")).to_contain_text("Rotated.")


async def measured(kind: str, *, wheel: bool = False) -> Watch:
    """Go through the page once, with a factor of a kind."""
    text = {block.name: block.text for block in blocks_of("start")}
    port, watch = str(free_port()), Watch()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "stepup_middleware").symlink_to(ROOT)
        folder = Path(name) / "payday"  # which the commands make
        install = text["install"]
        if wheel:
            install = install.replace("../stepup_middleware", str(wheel_in(Path(name))))
            watch.lap("build the wheel")
        await output_of(install, Path(name))
        watch.lap("install")
        (folder / "main.py").write_text(text["main.py"].replace("8000", port), encoding="utf-8")
        await output_of(text["keygen"], folder)
        watch.lap("key")
        serve = f"exec {text['serve'].strip()} --port {port}"
        async with typed(serve, folder, PYTHONUNBUFFERED="1") as server, async_playwright() as playwright:
            await said(server, rb"running on http://localhost:")
            watch.lap("start")
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
            await stepped_up(await browser.new_page(), f"http://localhost:{port}", kind)
            watch.lap("sign in, enrol, step up")
            await browser.close()
    return watch


async def main() -> None:
    """Measure with each kind of factor."""
    text = {block.name: block.text for block in blocks_of("start")}
    commands = sum(len(text[name].strip().splitlines()) for name in ("install", "keygen", "serve"))
    print(f"{commands} lines of commands, {len(text['main.py'].strip().splitlines())} lines of main.py")  # noqa: T201
    for kind in ("passkey", "totp"):
        watch = await measured(kind, wheel="--wheel" in sys.argv)
        parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in watch.parts.items())
        print(f"{kind}: {sum(watch.parts.values()):.1f} s ({parts})")  # noqa: T201


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
