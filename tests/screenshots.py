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

from playwright.async_api import Browser, async_playwright, expect

from tests.e2e.album import TRANSMIT, Look, View, album, history
from tests.e2e.conftest import (
    CHROMIUM_ARGUMENTS,
    COSIGNER,
    Demo,
    Person,
    chromium_path,
    open_person,
    start_demo,
    stop_demo,
)

GUIDE_IMAGES = Path(__file__).parent.parent / "demo_app" / "guide" / "images"
GUIDE_BYTES = 150_000  # an image of the README is no larger
VIEWS: dict[str, View] = {
    f"{device}-{scheme}": {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    for device, width, height in (("desktop", 1280, 800), ("phone", 390, 844))
    for scheme in ("light", "dark")
}


def camera(folder: Path, view: str) -> Look:
    """Return what takes a picture of each state, once fonts are there and nothing moves any more."""

    async def take(person: Person, name: str, whole: bool) -> None:
        await person.page.wait_for_timeout(300)
        await person.page.screenshot(path=folder / f"{name}-{view}.png", full_page=whole)

    return take


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
        chosen = {name: VIEWS[name] for name in views}
        await album(browser, demo, chosen, lambda view: camera(folder, view))


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
