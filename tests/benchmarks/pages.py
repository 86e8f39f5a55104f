"""What a person waits for: the bytes of the modal, and the moments around the proof, in Chromium."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from shutil import which
from typing import Any

import httpx2
from playwright.async_api import CDPSession, Page, async_playwright

from tests.e2e.conftest import CHROMIUM_ARGUMENTS

from .apps import PATH, SESSION, macs
from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_most, scratch
from .minted import mint_in
from .served import serving

_AUTHENTICATOR = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

# Each moment is read in the page: the click, the painted modal, the proof in the browser's hands, the action's answer.
_STEP_UP = """async ([path]) => {
  const moments = {};
  const get = navigator.credentials.get.bind(navigator.credentials);
  navigator.credentials.get = async (options) => {
    const credential = await get(options);
    moments.proof = performance.now();
    return credential;
  };
  try {
    const shown = new Promise((resolve) => {
      const ready = "dialog[open] [data-stepup-kind]:not([hidden])";
      const look = () => (document.querySelector(ready) ? resolve() : requestAnimationFrame(look));
      requestAnimationFrame(look);
    });
    const button = document.querySelector("#act");
    const answered = new Promise((resolve, reject) => {
      button.onclick = () => {
        moments.click = performance.now();
        stepup.fetch(path, { method: "POST" }).then(resolve, reject);
      };
    });
    button.click();
    await shown;
    moments.open = performance.now();
    document.querySelector("dialog[open] [data-stepup-kind]").click();
    const response = await answered;
    await response.text();
    moments.answer = performance.now();
    if (response.status !== 200) throw new Error("status " + response.status);
  } finally {
    delete navigator.credentials.get;
  }
  return { open: moments.open - moments.click, answer: moments.answer - moments.proof };
}"""
_BARE = """async ([path]) => {
  const began = performance.now();
  const response = await fetch(path, { method: "POST" });
  await response.text();
  return performance.now() - began;
}"""


@asynccontextmanager
async def _chromium() -> AsyncIterator[tuple[Page, CDPSession]]:
    path = which("chromium") or which("chromium-browser") or which("google-chrome")
    if path is None:
        raise Unavailable("no Chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        try:
            page = await browser.new_page()
            cdp = await page.context.new_cdp_session(page)
            await cdp.send("WebAuthn.enable", {"enableUI": False})
            await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": _AUTHENTICATOR})
            yield page, cdp
        finally:
            await browser.close()


@asynccontextmanager
async def _in_chromium(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        page, _ = await stack.enter_async_context(_chromium())
        folder = stack.enter_context(scratch())
        port = await stack.enter_async_context(serving("page", folder / "page.db"))
        url = f"http://localhost:{port}"
        await page.context.add_cookies([{"name": "session", "value": SESSION, "url": url}])
        await page.goto(f"{url}/stepup/factors")
        await page.locator('[data-stepup-enrol="passkey"]').get_by_role("button").click()
        await page.locator("[data-stepup-factor]").first.wait_for()
        await page.goto(url)

        async def stepping_up() -> Sample:
            moments: dict[str, float] = await page.evaluate(_STEP_UP, [PATH])
            return {"open ms": moments["open"], "answer ms": moments["answer"]}

        async def bare() -> Sample:
            took: float = await page.evaluate(_BARE, ["/bare/2026-06"])
            return {"open ms": 0.0, "answer ms": took}

        yield {"step-up": stepping_up, "bare": bare}


@asynccontextmanager
async def _on_the_wire(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as folder:
        await mint_in(folder / "page.db", macs=macs())
        async with (
            serving("page", folder / "page.db") as port,
            httpx2.AsyncClient(
                base_url=f"http://localhost:{port}", headers={"accept-encoding": "gzip", "cookie": f"session={SESSION}"}
            ) as client,
        ):

            async def bytes_of(method: str, url: str, **headers: str) -> int:
                async with client.stream(method, url, headers=headers) as response:
                    return sum([len(chunk) async for chunk in response.aiter_raw()])

            head = (await client.get("/")).text
            urls: dict[str, Any] = {found[1]: found[0] for found in re.findall(r'"(/stepup/static/(\w+)[^"]+)"', head)}

            async def modal() -> Sample:
                assets = [await bytes_of("GET", url) for url in urls.values()]
                fragment = await bytes_of("POST", PATH, **{"hx-request": "true"})
                return {"bytes": sum(assets) + fragment}

            async def htmx() -> Sample:
                return {"bytes": await bytes_of("GET", urls["htmx"])}

            yield {"modal": modal, "htmx": htmx}


_ROUND_TRIP = "the bare action's round trip"

BENCHMARKS = (
    Benchmark(
        name="wire",
        sides=_on_the_wire,
        figures=(
            Figure(
                "bytes of the modal on the wire, first visit, gzip, htmx included",
                "htmx alone",
                at_most(2),
                "bytes",
                "modal",
                "htmx",
            ),
        ),
        rounds=1,
    ),
    Benchmark(
        name="browser",
        sides=_in_chromium,
        figures=(
            Figure(
                "from the click to the painted modal, Chromium",
                "nothing",
                at_most(60),
                "open ms",
                "step-up",
                "bare",
                "ms",
            ),
            Figure(
                "from the proof to the action's answer, Chromium",
                _ROUND_TRIP,
                at_most(60),
                "answer ms",
                "step-up",
                "bare",
                "ms",
            ),
        ),
        rounds=9,
    ),
)
