"""The main job in a real browser: click, authorize in the modal, see it done and logged."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Browser, Locator, Route, expect

from .conftest import ANALYST, OWNER, Person, totp_now

TRANSMIT = '[data-stepup-purpose="payroll_ach_transmit"]'


async def authorize(person: Person, kind: str) -> None:
    await expect(person.dialog).to_be_visible()
    await person.dialog.locator(f'[data-stepup-kind="{kind}"]').click()
    await expect(person.dialog).to_have_count(0)


async def add_two_keys(person: Person) -> Locator:
    """Sign in, add a passkey and a hardware key, and rename the first to Laptop; return the items of the page."""
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey", name="First")
    await person.plug_in("usb")
    await person.page.locator('[data-stepup-enrol="hardware_key"]').get_by_role("button").click()
    await authorize(person, "passkey")
    items = person.page.locator("[data-stepup-factor]")
    await expect(items).to_have_count(2)
    first = items.filter(has_text="First")
    await first.get_by_role("button", name="Rename").click()
    await first.get_by_label("New name").fill("Laptop")
    await first.get_by_role("button", name="Save").click()
    await expect(items.filter(has_text="Laptop")).to_have_count(1)
    return items


@pytest.mark.parametrize(("kind", "transport"), [("passkey", "internal"), ("hardware_key", "usb")])
async def test_a_payroll_run_is_sent_after_a_phishing_resistant_proof_and_the_log_tells_it(
    person: Person, kind: str, transport: str
) -> None:
    await person.plug_in(transport)
    await person.sign_in()
    await person.enrol(kind)
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_contain_text("Authorize payroll ACH transmit")
    await expect(person.dialog).to_contain_text("Real money moves")
    await expect(person.dialog.locator('input[name="code"]')).to_have_count(0)
    await authorize(person, kind)
    link = person.page.locator('a[href*="/payroll/runs/"][href$="/file"]').first
    await expect(link).to_be_visible()
    async with person.page.expect_download() as download:
        await link.click()
    content = (await (await download.value).path()).read_text()
    lines = content.split("\n")
    assert lines[0].startswith("101") and all(len(line.rstrip("\r")) == 94 for line in lines if line.strip())
    await person.go("/audit")
    log = person.page.locator("main")
    for event in ("CHALLENGE_REQUESTED", "VERIFIED", "ACTION_AUTHORIZED", "ACTION_COMPLETED"):
        await expect(log).to_contain_text(re.compile(event.replace("_", "[_ ]"), re.IGNORECASE))


async def test_totp_authorizes_an_action_that_allows_it_and_a_wrong_code_may_be_mended(person: Person) -> None:
    await person.sign_in()
    secret = await person.enrol_totp()
    await person.go("/developers")
    await person.page.locator('[data-stepup-purpose="webhook_secret_rotation"]').first.click()
    code = person.dialog.get_by_label("Code from your authenticator app")
    await code.fill("000000")
    await person.dialog.get_by_role("button", name="Authorize").click()
    await expect(person.dialog.get_by_role("alert")).not_to_be_empty()
    await code.fill(totp_now(secret, steps=1))
    await person.dialog.get_by_role("button", name="Authorize").click()
    await expect(person.dialog).to_have_count(0)
    await expect(person.page.locator("main")).to_contain_text("whsec_")


async def test_with_totp_alone_a_strong_action_says_what_to_do(person: Person) -> None:
    await person.sign_in()
    await person.enrol_totp()
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await expect(person.dialog).to_contain_text("Enrol a passkey or hardware key")
    await expect(person.dialog.get_by_role("link")).to_have_attribute("href", re.compile("/stepup/factors"))


async def test_cancel_changes_nothing_and_gives_the_focus_back(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/payroll")
    button = person.page.locator(TRANSMIT).first
    await button.click()
    await expect(person.dialog).to_be_visible()
    await person.page.keyboard.press("Escape")
    await expect(person.dialog).to_have_count(0)
    await expect(button).to_be_focused()
    await button.click()
    await authorize(person, "passkey")
    await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()


async def test_a_fetch_steps_up_and_is_repeated(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/developers")
    await person.page.locator('[data-stepup-purpose="scim_token_revocation"]').first.click()
    await authorize(person, "passkey")
    await expect(person.page.locator('[data-stepup-purpose="scim_token_revocation"]')).to_have_count(0)


async def test_a_plain_form_steps_up_and_is_repeated_natively(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/year-end")
    before = await person.page.locator('[data-stepup-purpose="year_end_tax_transmit"]').count()
    await person.page.locator('[data-stepup-purpose="year_end_tax_transmit"]').first.click()
    await authorize(person, "passkey")
    await expect(person.page.locator('[data-stepup-purpose="year_end_tax_transmit"]')).to_have_count(before - 1)
    cookies = await person.context.cookies()
    assert not [cookie for cookie in cookies if "stepup" in cookie.get("name", "")]


async def test_a_multipart_form_with_a_file_arrives_whole(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in("cosigner@axis.example")
    await person.enrol("passkey")
    await person.go("/equity")
    buttons = person.page.locator('[data-stepup-purpose="equity_grant_cosign"]')
    before = await buttons.count()
    form = person.page.locator('form:has([data-stepup-purpose="equity_grant_cosign"])').first
    await form.locator('input[type="file"]').set_input_files(
        {"name": "signed.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4\n" + b"x" * 5000 + b"\n%%EOF\n"}
    )
    await buttons.first.click()
    await authorize(person, "passkey")
    await expect(buttons).to_have_count(before - 1)


async def test_a_replayed_token_is_refused_and_the_alert_is_in_the_log(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    tokens: list[tuple[str, str]] = []

    async def watch(route: Route) -> None:
        request = route.request
        if token := request.headers.get("stepup-token"):
            tokens.append((request.url, token))
        await route.continue_()

    await person.page.route("**/payroll/**", watch)
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await authorize(person, "passkey")
    await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()
    url, token = tokens[-1]
    answer = await person.context.request.post(url, headers={"StepUp-Token": token, "Origin": person.demo.url})
    assert answer.status == 403
    assert (await answer.json())["code"] == "STEPUP_TOKEN_REUSED"
    await person.go("/audit")
    await expect(person.page.locator("main")).to_contain_text(re.compile("reused", re.IGNORECASE))


@pytest.mark.slow
async def test_the_analyst_and_the_owner_each_have_their_own_factors(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in(OWNER)
    await person.enrol("passkey", name="Owner's passkey")
    await person.page.goto(person.demo.url + "/")
    await person.page.get_by_role("button", name="Sign out").click()
    await person.sign_in(ANALYST)
    await person.go("/stepup/factors")
    await expect(person.page.locator("[data-stepup-factor]")).to_have_count(0)


async def test_a_plain_form_completes_with_a_code_and_without_javascript(person: Person, browser: Browser) -> None:
    await person.sign_in()
    secret = await person.enrol_totp()
    state = await person.context.storage_state()
    context = await browser.new_context(java_script_enabled=False, storage_state=state)
    page = await context.new_page()
    await page.goto(person.demo.url + "/domains")
    buttons = page.locator('[data-stepup-purpose="custom_domain_change"]')
    before = await buttons.count()
    await buttons.first.click()
    await expect(page.get_by_role("heading", name="Authorize custom domain change")).to_be_visible()
    await page.get_by_label("Code from your authenticator app").fill("000000")
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await page.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
    await page.get_by_role("button", name="Authorize").click()
    await page.get_by_role("button", name="Continue").click()
    await expect(page).to_have_url(re.compile("/domains"))
    await expect(page.locator("main")).to_contain_text(re.compile("point", re.IGNORECASE))
    assert await buttons.count() <= before
    assert not [cookie for cookie in await context.cookies() if "stepup" in cookie.get("name", "")]
    await context.close()


@pytest.mark.slow
async def test_what_was_typed_while_the_page_fetches_its_prompt_stays_typed(person: Person) -> None:
    await person.sign_in()
    secret = await person.enrol_totp()
    await person.go("/domains")
    page, typed = person.page, asyncio.Event()

    async def later(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await page.route("**/stepup/prompts/*", later)
    button = page.locator('[data-stepup-purpose="custom_domain_change"]').first
    await button.evaluate("button => HTMLFormElement.prototype.submit.call(button.form)")
    code = page.get_by_label("Code from your authenticator app")
    await code.press_sequentially(totp_now(secret, steps=1))
    await code.evaluate("code => { code.dataset.first = '' }")
    typed.set()
    await expect(page.locator("input[name=code][data-first]")).to_have_count(0)
    await expect(code).to_be_focused()
    await code.press("Enter")
    await expect(page).to_have_url(re.compile("/domains"))
    await expect(page.locator("main")).to_contain_text(re.compile("point", re.IGNORECASE))


async def test_requests_that_need_a_proof_at_once_open_one_modal_after_another(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/developers")
    await person.page.evaluate(
        """() => {
            const urls = ["personal_access_token_elevation", "scim_token_revocation"].map(
                (purpose) => document.querySelector(`button[data-stepup-purpose="${purpose}"]`).dataset);
            window.answers = Promise.all(urls.map((to) => window.stepup.fetch(to.url, {
                method: to.method, headers: { Accept: "application/json" } }).then((answer) => answer.status)));
            window.cancelled = fetch(urls[0].url, { method: urls[0].method, headers: { Accept: "application/json" } })
                .then((answer) => answer.status);
        }"""
    )
    for _ in range(2):
        await expect(person.dialog).to_have_count(1)
        address = await person.dialog.locator("[data-stepup-prompt]").get_attribute("data-stepup-prompt")
        await person.dialog.locator('[data-stepup-kind="passkey"]').click()
        await expect(person.page.locator(f'dialog[open] [data-stepup-prompt="{address}"]')).to_have_count(0)
    await expect(person.dialog).to_have_count(1)
    await person.dialog.get_by_role("button", name="Cancel").click()
    await expect(person.dialog).to_have_count(0)
    assert await person.page.evaluate("window.answers") == [200, 200]
    assert await person.page.evaluate("window.cancelled") == 401


async def test_a_cancelled_step_up_rejects_the_fetch_of_a_single_page_app(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/developers")
    await person.page.evaluate(
        """() => {
            const to = document.querySelector("button[data-url]").dataset;
            window.ended = window.stepup.fetch(to.url, { method: to.method })
                .then(() => "answered", (error) => error instanceof window.stepup.StepUpCancelled && error.name);
        }"""
    )
    await expect(person.dialog).to_be_visible()
    await person.page.keyboard.press("Escape")
    assert await person.page.evaluate("window.ended") == "StepUpCancelled"


@pytest.mark.slow
async def test_factors_are_renamed_and_removed_on_their_page(person: Person) -> None:
    items = await add_two_keys(person)
    await items.filter(has_text="hardware key").get_by_role("button", name="Remove").click()
    await person.dialog.get_by_role("button", name="Remove").click()
    await authorize(person, "passkey")
    await expect(items).to_have_count(1)
    await expect(items).to_contain_text("Laptop")
