"""Every page of the demo and each state of the modal, in the order in which a person could meet them.

Pictures are made of them (``tests.screenshots``), and each is looked at for what keeps people out (axe).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
from playwright.async_api import Browser, Route, expect

from .conftest import ANALYST, COSIGNER, OWNER, PASSWORD, Demo, Person, open_person, totp_now
from .site import use_passkey

Look = Callable[[Person, str, bool], Awaitable[None]]  # at a person's browser: the state's name, and whether it is long
View = dict[str, Any]

PAGES = {
    "overview": "/",
    "payroll": "/payroll",
    "equity": "/equity",
    "year-end": "/year-end",
    "privacy": "/privacy",
    "developers": "/developers",
    "agents": "/agents",
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
TRANSMIT = '[data-stepup-purpose="payroll_ach_transmit"]'
ROTATE = '[data-stepup-purpose="webhook_secret_rotation"]'


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


async def modal_states(person: Person, look: Look) -> None:
    """Take the modal as it opens, after a wrong code, and while it waits."""
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_be_visible()
    await look(person, "modal-passkey", False)
    await person.page.keyboard.press("Escape")
    await expect(person.dialog).to_have_count(0)
    await person.page.get_by_role("button", name="Transmit all drafts together").click()
    await expect(person.dialog.get_by_role("listitem")).not_to_have_count(0)
    await look(person, "modal-several", False)
    await person.page.keyboard.press("Escape")
    await person.go("/developers")
    await person.page.locator(ROTATE).first.click()
    code = person.dialog.get_by_label("Code from your authenticator app")
    await expect(code).to_be_visible()
    await look(person, "modal-any", False)
    await code.fill("000000")
    await person.dialog.get_by_role("button", name="Authorize").click()
    await expect(person.dialog.get_by_role("alert")).not_to_be_empty()
    await look(person, "modal-wrong-code", False)
    await person.page.keyboard.press("Escape")
    held = asyncio.Event()

    async def wait(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await person.page.route("**/webauthn/options", wait)
    await person.page.locator(ROTATE).first.click()
    await person.dialog.locator('[data-stepup-kind="passkey"]').click()
    await look(person, "modal-waiting", False)
    held.set()
    await expect(person.dialog).to_have_count(0)
    await person.page.unroute("**/webauthn/options")
    await look(person, "modal-done", False)
    await person.go("/stepup/factors")
    await person.page.get_by_role("button", name="Remove").first.click()
    await expect(person.dialog).to_be_visible()
    await look(person, "factors-remove", False)
    await person.dialog.get_by_role("button", name="Keep it").click()
    await expect(person.dialog).to_have_count(0)


async def too_late(browser: Browser, demo: Demo, view: View, look: Look) -> None:
    """Take the modal that has waited until its question expired, by a browser's clock that is put forward."""
    person = await open_person(browser, demo, **view)
    await person.page.clock.install()
    await person.sign_in()
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_be_visible()
    await person.page.clock.fast_forward("05:01")
    await expect(person.dialog.get_by_role("button", name="Ask again")).to_be_focused()
    await look(person, "modal-expired", False)
    await person.context.close()


async def pages(person: Person, look: Look) -> None:
    """Take every page, the step-up page with its receipt, and the page that answers a navigation."""
    for name, path in PAGES.items():
        await person.go(path)
        await look(person, name, True)
    await person.go("/audit?event=ACTION_AUTHORIZED")
    await person.page.locator("table.audit a").first.click()
    await look(person, "step-up", True)
    await person.page.get_by_role("link", name="Receipt").click()
    await look(person, "receipt", True)
    await person.go("/exports/X-1/download")
    await look(person, "modal-page", True)


async def approvals(person: Person, look: Look) -> None:
    """Take what a person sees of a program's request: in the list, before the digits, after wrong and right ones, over.

    In Arabic, too, for both directions of writing.
    """
    headers = {"user-agent": "deploy/1.2", "accept": "application/json"}
    async with httpx2.AsyncClient(base_url=person.demo.url, headers=headers, timeout=40) as program:
        assert (await program.post("/sign-in", data={"email": OWNER, "password": PASSWORD})).status_code == 303
        await person.go("/stepup/approvals")
        await look(person, "approvals-empty", True)
        asked = (await program.post("/developers/webhooks/W-1/rotate")).json()["approval"]
        link = asked["url"].removeprefix(person.demo.url)
        await expect(person.page.locator("[data-stepup-asks]")).to_have_count(1)  # the list has loaded itself anew
        for suffix, language in (("-rtl", "ar"), ("", "en")):
            await person.context.set_extra_http_headers({"Accept-Language": language})
            await person.go("/stepup/approvals")
            await expect(person.page.locator("[data-stepup-asks]")).to_have_count(1)
            await look(person, f"approvals{suffix}", True)
            await person.go(link)
            await look(person, f"approval{suffix}", True)
        await person.page.locator("[name=match]").fill(f"{(int(asked['match']) + 1) % 100:02}")
        await person.page.get_by_role("button", name="Continue").click()
        await expect(person.page.get_by_role("alert")).not_to_be_empty()
        await look(person, "approval-wrong-digits", True)
        await person.page.locator("[name=match]").fill(asked["match"])
        await person.page.get_by_role("button", name="Continue").click()
        await expect(person.page.locator('[data-stepup-kind="passkey"]')).to_be_visible()
        await look(person, "approval-to-prove", True)
        await person.page.locator('[data-stepup-kind="passkey"]').click()
        await expect(person.page.get_by_role("button", name="End that session", exact=True)).to_be_visible()
        await look(person, "approval-approved", True)
        await person.page.get_by_role("button", name="End that session", exact=True).click()
        await expect(person.page.get_by_role("status")).to_contain_text("That session has ended")
        await look(person, "approval-session-ended", True)


async def recovery(admin: Person, person: Person, look: Look) -> None:
    """Take people and their factors, a reset with its pass, who comes back by it, what is closed then, and codes."""
    await admin.go("/stepup/people?q=zzz")
    await look(admin, "people-nobody", True)
    await admin.go("/stepup/people")
    await look(admin, "people", True)
    item = admin.page.locator('[data-stepup-person="cosigner"]')
    await item.get_by_role("button", name="Reset factors").click()
    await look(admin, "people-reason", False)
    await admin.dialog.get_by_label("Reason").fill("called back at the number of the HR system")
    await admin.dialog.get_by_role("button", name="Continue").click()
    await expect(admin.dialog).to_contain_text("Authorize a reset of factors")
    await look(admin, "modal-reset", False)
    await use_passkey(admin.page)
    shown = admin.page.locator("[data-stepup-issued] [data-stepup-secret]")
    await expect(shown).not_to_be_empty()
    secret = await shown.inner_text()
    await look(admin, "people-pass", False)
    await admin.dialog.get_by_role("button", name="Close").click()
    await expect(item).to_contain_text("On hold until")
    await look(admin, "people-held", True)
    await admin.go("/stepup/factors")
    await admin.page.get_by_role("button", name="Make new codes").click()
    await use_passkey(admin.page)
    await expect(admin.dialog.locator("[data-stepup-codes-list] li")).to_have_count(10)
    await look(admin, "factors-codes", False)
    await admin.dialog.get_by_role("button", name="I have them").click()

    await person.go("/stepup/factors")
    await look(person, "factors-pass", True)
    await person.page.get_by_label("Your pass").fill("abcd")
    await person.page.get_by_role("button", name="Use it").click()
    await expect(person.page.locator("#stepup-pass-error")).not_to_be_empty()
    await look(person, "factors-pass-refused", True)
    await person.page.get_by_label("Your pass").fill(secret)
    await person.page.get_by_role("button", name="Use it").click()
    await expect(person.page.locator("[data-stepup-right]")).to_be_visible()
    await look(person, "factors-right", True)
    await person.page.locator('[data-stepup-enrol="passkey"]').get_by_role("button").click()
    await expect(person.page.locator("[data-stepup-factor]")).to_have_count(1)
    await look(person, "factors-held", True)
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_contain_text("Closed for a while")
    await look(person, "modal-held", False)
    await person.go("/mailbox")
    await look(person, "mailbox", True)


async def strangers(browser: Browser, demo: Demo, view: View, look: Look) -> None:
    """Take the sign-in page, its refusal, and what somebody without a factor meets."""
    person = await open_person(browser, demo, **view)
    await person.go("/sign-in")
    await look(person, "sign-in", True)
    await person.page.get_by_label("Email").fill(OWNER)
    await person.page.get_by_label("Password").fill("wrong")
    await person.page.get_by_role("button", name="Sign in").click()
    await look(person, "sign-in-refused", True)
    await person.sign_in(ANALYST)
    await look(person, "overview-no-factor", True)
    await person.go("/stepup/factors")
    await look(person, "factors-none", True)
    await person.page.get_by_role("button", name="Add authenticator app").click()
    await expect(person.page.locator("[data-stepup-secret]")).not_to_be_empty()
    await look(person, "factors-totp", False)
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_be_visible()
    await look(person, "modal-no-factor", False)
    await person.go("/settings/step-up-policy")
    await look(person, "policy-read-only", True)
    await person.context.close()


async def album(browser: Browser, demo: Demo, views: Mapping[str, View], look_as: Callable[[str], Look]) -> None:
    """Meet every page and state once a view; ``look_as`` returns what looks at them under the view's name."""
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
    await second.plug_in("internal")
    for name, view in views.items():
        look = look_as(name)
        for person in (first, second):
            await person.page.set_viewport_size(view["viewport"])
            await person.page.emulate_media(color_scheme=view["color_scheme"])
        await pages(first, look)
        await approvals(first, look)
        await modal_states(first, look)
        await recovery(first, second, look)
        await too_late(browser, demo, view, look)
        await strangers(browser, demo, view, look)
    for person in (first, second):
        await person.context.close()
        assert person.faults == []
