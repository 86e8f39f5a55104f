"""The states of the modal and of the pages around it, each with the way there: ``tests.states`` looks at them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from playwright.async_api import Page, Route, expect

from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.languages import Text, Texts
from stepup_middleware.service.ceremony_parts import USED_CODE
from tests.e2e.site import Site

ADA, OTHER, HELD = "Ada Owner", "Bob Other", "Carol Held"


class Ahead:
    """The app's clock, which a state can put forward."""

    by = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@dataclass
class Studio:
    """A site with one person who has a passkey and an authenticator app, and their browser."""

    site: Site
    page: Page
    clock: Ahead
    texts: Texts

    @property
    def dialog(self) -> Any:
        return self.page.locator("dialog[open]")

    async def open(self, button: str = "#go") -> None:
        await self.page.locator(button).click()
        await expect(self.dialog.locator(".stepup-title")).to_be_focused()

    async def answer(self, path: str, status: int, code: RefusalCode, detail: str | Text = "", **more: Any) -> None:
        """Have calls answered as the library would, without spending attempts."""
        body = json.dumps({"code": code.value, "detail": self.texts(detail or code.detail), **more})
        headers = {"content-type": "application/problem+json", "retry-after": "30"}

        async def handle(route: Route) -> None:
            await route.fulfill(status=status, headers=headers, body=body)

        await self.page.route(path, handle)

    async def asked_by_a_program(self) -> tuple[str, str]:
        """Have a program of the person ask, and return where they approve it, and the two digits."""
        self.clock.by += timedelta(hours=1)  # so many an hour ask a person, and no more
        self.site.client = "deploy/1.2 of the eastern department"
        language = {"accept-language": self.texts.tag}
        async with httpx2.AsyncClient(base_url=self.site.url, headers=language) as program:
            for waiting in (await program.get("/stepup/approvals")).json()["approvals"]:  # one is open at a time
                assert (await program.delete(waiting["url"])).status_code == 204
            asked = (await program.post("/act")).json()["approval"]
        self.site.client = ""
        await self.page.goto(asked["url"])
        return asked["url"], asked["match"]

    async def type_digits(self, digits: str) -> None:
        await self.page.locator("#stepup-match").fill(digits)
        await self.page.keyboard.press("Enter")

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


async def actor(studio: Studio) -> None:
    studio.site.actor, studio.site.client = "The payroll agent of the eastern department", "agents/4.1 (nightly; 17)"
    await studio.open()
    await expect(studio.dialog.locator("[data-stepup-actor]")).to_be_visible()


async def batch(studio: Studio) -> None:
    answered = asyncio.Barrier(4)

    async def together(route: Route) -> None:
        answer = await route.fetch()
        await answered.wait()  # what waits at the same time is one question, on a busy machine too
        await route.fulfill(response=answer)

    await studio.page.route("**/act/*/x", together)
    await studio.page.evaluate(
        """() => { stepup.configure({ batch: true });
            for (const each of [1, 2, 3, 4]) stepup.fetch(`/act/${each}/x`, { method: "POST" }).catch(() => {}); }"""
    )
    await expect(studio.dialog.locator("[data-stepup-item]")).to_have_count(4)
    await expect(studio.dialog.locator(".stepup-title")).to_be_focused()


async def used_code(studio: Studio) -> None:
    await studio.answer("**/totp", 400, RefusalCode.VERIFICATION_FAILED, USED_CODE.detail)
    await studio.open()
    await studio.type_code("000000")
    await studio.error()


async def changed(studio: Studio) -> None:
    await expired(studio)
    studio.site.details = [*studio.site.details[:-1], ("Total", "USD 999,999.99")]
    await studio.page.unroute_all(behavior="ignoreErrors")
    await studio.dialog.locator("[data-stepup-renew]").click()
    await expect(studio.dialog.locator(".stepup-changed")).not_to_have_count(0)


async def too_late(studio: Studio) -> None:
    async def dawdle(route: Route) -> None:
        if "stepup-token" in await route.request.all_headers():
            studio.clock.by += timedelta(seconds=181)
        await route.continue_()

    await studio.page.route("**/act", dawdle)
    await studio.open()
    await studio.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(studio.dialog.locator(".stepup-modal > .stepup-note")).to_be_visible()


async def no_factor(studio: Studio) -> None:
    studio.site.person = "Nobody New"
    await studio.page.locator("#go").click()
    await expect(studio.dialog.locator("[data-stepup-problem]")).to_be_visible()


async def held(studio: Studio) -> None:
    await studio.site.stepup.factors.reset("main", HELD.lower(), by="test", reason="lost")
    studio.site.person = HELD
    await studio.page.locator("#strict").click()
    await expect(studio.dialog.locator("[data-stepup-problem]")).to_be_visible()


async def other_account(studio: Studio) -> None:
    await studio.open()
    studio.site.person = OTHER
    await studio.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(studio.dialog).to_contain_text(studio.texts("Another account is signed in now"))


async def approval(studio: Studio) -> None:
    await studio.asked_by_a_program()


async def wrong_digits(studio: Studio) -> None:
    _, digits = await studio.asked_by_a_program()
    await studio.type_digits(f"{(int(digits) + 1) % 100:02}")
    await expect(studio.page.locator("#stepup-error")).not_to_be_empty()
    await expect(studio.page.locator("#stepup-match")).to_be_focused()


async def approving(studio: Studio) -> None:
    _, digits = await studio.asked_by_a_program()
    await studio.type_digits(digits)
    await expect(studio.page.locator('[data-stepup-kind="passkey"]')).to_be_visible()


async def approving_by_a_wrong_code(studio: Studio) -> None:
    await approving(studio)
    await studio.answer("**/totp", 400, RefusalCode.VERIFICATION_FAILED)
    await studio.page.locator("#stepup-code").fill("000000")
    await studio.page.keyboard.press("Enter")
    await expect(studio.page.locator("#stepup-error")).not_to_be_empty()


STATES: dict[str, State] = {
    state.__name__: state
    for state in (
        *(opened, strict, no_code, wrong_code, wrong_key, paused, waiting, expired, lost, as_page),
        *(actor, batch, used_code, changed, too_late, no_factor, held, other_account),
        *(approval, wrong_digits, approving, approving_by_a_wrong_code),
    )
}
