"""What a person waits for beside the proof itself, in a Chromium on a slow machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from shutil import which

from playwright.async_api import CDPSession, Page, async_playwright

from tests.e2e.conftest import CHROMIUM_ARGUMENTS

from .apps import PATH, SESSION
from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_most, scratch
from .served import serving

_SLOWER = 4
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
        page, cdp = await stack.enter_async_context(_chromium())
        folder = stack.enter_context(scratch())
        port = await stack.enter_async_context(serving("apps:page", folder / "page.db"))
        url = f"http://localhost:{port}"
        await page.context.add_cookies([{"name": "session", "value": SESSION, "url": url}])
        await page.goto(f"{url}/stepup/factors")
        await page.locator('[data-stepup-enrol="passkey"]').get_by_role("button").click()
        await page.locator("[data-stepup-factor]").first.wait_for()
        await page.goto(url)
        await cdp.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})

        async def stepping_up() -> Sample:
            moments: dict[str, float] = await page.evaluate(_STEP_UP, [PATH])
            return {"open ms": moments["open"], "answer ms": moments["answer"]}

        async def bare() -> Sample:
            took: float = await page.evaluate(_BARE, ["/bare/2026-06"])
            return {"open ms": took, "answer ms": took}

        yield {"step-up": stepping_up, "bare": bare}


_WHAT = f"from the click to the painted modal; from the proof to the answer, Chromium, CPU throttled {_SLOWER} times"

BENCHMARKS = (
    Benchmark(
        name="browser",
        sides=_in_chromium,
        figures=(
            Figure(_WHAT, "the bare action", at_most(100), "open ms", "step-up", "bare", "ms above it"),
            Figure(_WHAT, "the bare action", at_most(100), "answer ms", "step-up", "bare", "ms above it"),
        ),
        rounds=9,
    ),
)
