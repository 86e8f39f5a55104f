"""Requests of one purpose that wait at the same time are one question, where the app has turned it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from .conftest import Person
from .site import Site, requester, small_site, until, use_passkey

# each request's answer: its text, or the name of what it was rejected with
SEND = """(paths) => {
  window.answers = {};
  for (const path of paths) {
    stepup.fetch(path, { method: "POST" }).then((answer) => answer.text(), (error) => error.name)
      .then((text) => { window.answers[path] = text; });
  }
}"""
BY_XHR = """(paths) => {
  window.answers = {};
  for (const path of paths) {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.onloadend = () => { window.answers[path] = request.responseText || "aborted"; };
    request.send();
  }
}"""
TOTALS = {"webhook_secret_rotation": lambda shown, locale: ("Hooks", str(len(shown)))}


def paths(count: int) -> list[str]:
    return [f"/act/{number}/x" for number in range(count)]


def settings(**more: Any) -> dict[str, Any]:
    return {"totals": TOTALS, **more}


async def turned_on(page: Page, site: Site) -> None:
    """Turn batches on, as an app's own script does."""
    await page.evaluate("stepup.configure({ batch: true })")


async def answers(page: Page, count: int) -> dict[str, str]:
    await until(page, f"Object.keys(window.answers).length === {count}")
    found: dict[str, str] = await page.evaluate("window.answers")
    return found


def ran(site: Site) -> list[str]:
    return sorted(path for _, path, _, _ in site.ran)


@pytest.mark.parametrize("send", [SEND, BY_XHR], ids=["fetch", "XMLHttpRequest"])
async def test_requests_that_wait_are_one_question_and_each_has_its_answer(
    browser: Browser, tmp_path: Path, send: str
) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(send, paths(4))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(4)
        await expect(dialog).to_contain_text("Confirmed together, with one proof: 4")
        await expect(dialog.locator("[data-stepup-total]")).to_have_text("Hooks4")
        for path in paths(4):
            await expect(dialog).to_contain_text(path)
        assert not site.ran
        await use_passkey(page)
        assert await answers(page, 4) == dict.fromkeys(paths(4), "Done.")
        assert ran(site) == paths(4)
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_what_the_person_leaves_out_is_cancelled_and_the_rest_runs(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, paths(3))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(3)
        await dialog.get_by_role("listitem").filter(has_text="/act/1/x").get_by_role("button").click()
        await expect(dialog.get_by_role("listitem")).to_have_count(2)
        await expect(dialog.locator("[data-stepup-total]")).to_have_text("Hooks2")
        await expect(dialog.get_by_role("status")).to_have_text("Confirmed together, with one proof: 2")
        assert await answers(page, 1) == {"/act/1/x": "StepUpCancelled"}
        await use_passkey(page)
        assert (await answers(page, 3))["/act/2/x"] == "Done."
        assert ran(site) == ["/act/0/x", "/act/2/x"]


async def test_cancelling_the_question_cancels_every_request(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, paths(3))
        async with page.expect_response(lambda answer: answer.url.endswith("/batches/cancel")) as cancelled:
            await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert (await cancelled.value).status == 204
        assert await answers(page, 3) == dict.fromkeys(paths(3), "StepUpCancelled")
        assert not site.ran


async def test_what_comes_while_the_question_is_open_is_the_next_question(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, paths(2))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(2)
        late = "fetch('/act/late/x', { method: 'POST' }).then((answer) => { window.late = answer.status; })"
        async with page.expect_response(lambda answer: answer.url.endswith("/act/late/x")):
            await page.evaluate(f"void {late}")
        await expect(dialog.get_by_role("listitem")).to_have_count(2)
        await dialog.get_by_role("button", name="Use passkey").click()
        await answers(page, 2)
        await expect(dialog.get_by_role("listitem")).to_have_count(0)  # one request is no list
        await use_passkey(page)
        await until(page, "window.late === 200")
        assert ran(site) == [*paths(2), "/act/late/x"]


async def test_each_purpose_is_a_question_of_its_own(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, ["/act/0/x", "/transmit", "/act/1/x"])
        dialog = page.get_by_role("dialog")
        for purpose in ("webhook secret rotation", "payroll ACH transmit"):
            await expect(dialog.get_by_role("heading")).to_contain_text(f"Authorize {purpose}")
            await dialog.get_by_role("button", name="Use passkey").click()
        assert await answers(page, 3) == {"/act/0/x": "Done.", "/act/1/x": "Done.", "/transmit": "Sent."}


async def test_a_prompt_that_is_spent_meanwhile_is_asked_about_anew_and_nothing_runs_twice(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, paths(3))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(3)
        (gone, *_) = await dialog.locator("[data-stepup-item]").evaluate_all(
            "(all) => all.map((each) => each.dataset.stepupItem)"
        )
        headers = {"origin": site.url, "content-type": "application/json"}
        deleted = await page.context.request.delete(f"{site.url}/stepup/prompts/{gone}", headers=headers)
        assert deleted.status == 204
        await dialog.get_by_role("button", name="Use passkey").click()  # the list is not what is left: it is asked anew
        await until(page, f"!document.querySelector('[data-stepup-item=\"{gone}\"]')")
        await expect(dialog.get_by_role("listitem")).to_have_count(3)
        assert not site.ran
        await use_passkey(page)
        assert await answers(page, 3) == dict.fromkeys(paths(3), "Done.")
        assert ran(site) == paths(3)


async def test_a_request_that_the_app_aborts_leaves_the_others_to_be_confirmed(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, paths(2))
        await page.evaluate("""() => {
          window.controller = new AbortController();
          stepup.fetch("/act/9/x", { method: "POST", signal: window.controller.signal })
            .then((answer) => answer.text(), (error) => error.name)
            .then((text) => { window.answers["/act/9/x"] = text; });
        }""")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(3)
        async with page.expect_response(lambda answer: answer.url.endswith("/batches/cancel")):
            await page.evaluate("window.controller.abort()")
        await dialog.get_by_role("button", name="Use passkey").click()
        await expect(dialog.get_by_role("listitem")).to_have_count(2)
        await use_passkey(page)
        found = await answers(page, 3)
        assert found == {**dict.fromkeys(paths(2), "Done."), "/act/9/x": "AbortError"}
        assert ran(site) == paths(2)


async def test_without_it_each_request_is_a_question_of_its_own(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await page.evaluate(SEND, paths(2))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(0)
        await dialog.get_by_role("button", name="Use passkey").click()
        await until(page, "Object.keys(window.answers).length === 1")
        await use_passkey(page)
        assert await answers(page, 2) == dict.fromkeys(paths(2), "Done.")


async def test_fifty_requests_are_one_question_with_one_code(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>", settings=settings()) as site, requester(browser, site) as page:
        await turned_on(page, site)
        await page.evaluate(SEND, paths(50))
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("listitem")).to_have_count(50, timeout=30_000)
        await use_passkey(page)
        assert await answers(page, 50) == dict.fromkeys(paths(50), "Done.")
        assert ran(site) == sorted(paths(50))


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.sweep()
async def test_the_list_fits_a_phone_and_is_read_in_both_directions(
    browser: Browser, tmp_path: Path, width: int, locale: str
) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 640}, "locale": "en"}
    more = settings(locale=lambda scope: locale if scope["path"].startswith(("/act", "/stepup/batches")) else "en")
    async with small_site(tmp_path, "<p>Start</p>", settings=more) as site, requester(browser, site, **options) as page:
        site.details = [("Name of the endpoint", "https://hooks.example/" + "a" * 120), ("Account", "CHF 1'234.50")]
        await turned_on(page, site)
        await page.evaluate(SEND, paths(5))
        dialog = page.get_by_role("dialog")
        items = dialog.get_by_role("listitem")
        await expect(items).to_have_count(5)
        assert await dialog.evaluate("(each) => each.scrollWidth <= each.clientWidth")
        assert await dialog.locator("section").evaluate("(each) => getComputedStyle(each).direction") == (
            "rtl" if locale == "ar" else "ltr"
        )
        assert await dialog.evaluate("() => document.activeElement.classList.contains('stepup-title')")
        assert await dialog.evaluate("(each) => each.scrollTop") == 0
        names = await items.get_by_role("button").evaluate_all(
            "(all) => all.map((each) => each.getAttribute('aria-label'))"
        )
        assert len(set(names)) == 5
        sizes = await items.get_by_role("button").evaluate_all("(all) => all.map((each) => each.offsetHeight)")
        assert min(sizes) >= 24  # WCAG 2.2 SC 2.5.8
        await items.nth(4).get_by_role("button").press("Enter")
        await expect(items).to_have_count(4)
        await use_authorizing(page)
        await answers(page, 5)
        assert len(site.ran) == 4


async def use_authorizing(page: Page) -> None:
    """Press the passkey's button, whatever its language."""
    button = page.locator("dialog[open] [data-stepup-kind=passkey]")
    await button.click()
    await expect(button).to_have_count(0)


@pytest.mark.slow
async def test_the_demos_three_payroll_runs_are_transmitted_with_one_confirmation(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/payroll")
    await person.page.get_by_role("button", name="Transmit all drafts together").click()
    await expect(person.dialog.get_by_role("listitem")).to_have_count(3)
    for amount in ("USD 412,908.77", "USD 91,204.50", "USD 417,312.06"):
        await expect(person.dialog).to_contain_text(amount)
    await expect(person.dialog.locator("[data-stepup-total]")).to_have_text("TotalUSD 921,425.33")
    await person.dialog.locator("[data-stepup-kind=passkey]").click()
    await expect(person.dialog).to_have_count(0)
    await expect(person.page.locator('a[href*="/payroll/runs/"][href$="/file"]')).to_have_count(3)
    await expect(person.page.get_by_role("button", name="Transmit all drafts together")).to_be_hidden()
