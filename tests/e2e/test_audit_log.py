"""The audit log as an auditor reads it: newest first, filtered, page by page, one step-up from beginning to end."""

from __future__ import annotations

import json
import re

from playwright.async_api import expect

from .conftest import Person
from .test_main_flow import TRANSMIT, authorize


async def test_the_log_is_filtered_and_paged_and_a_step_up_is_told_from_beginning_to_end(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey", name="Laptop")
    await person.go("/payroll")
    await person.page.locator(TRANSMIT).first.click()
    await authorize(person, "passkey")
    await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()
    headers = {"Origin": person.demo.url}
    for _ in range(30):  # more than a page: a question, and that it was cancelled
        asked = await person.context.request.post(f"{person.demo.url}/developers/webhooks/W-1/rotate", headers=headers)
        assert asked.status == 401
        prompt = person.demo.url + asked.headers["stepup-prompt"]
        assert (await person.context.request.delete(prompt, headers=headers)).ok

    await person.go("/audit")
    rows = person.page.locator("table.audit tbody tr")
    await expect(rows).to_have_count(50)
    for width in (360, 700, 1000, 1100, 1280):
        await person.page.set_viewport_size({"width": width, "height": 800})
        wide = await person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        assert not wide, f"the log scrolls sideways at {width} px"
    table = person.page.locator(".scroll:has(table.audit)")
    assert await table.evaluate("all => all.scrollWidth <= all.clientWidth"), "the ids of step-ups are cut off"
    times = await rows.locator("time").evaluate_all("all => all.map((each) => each.dateTime)")
    assert times == sorted(times, reverse=True)
    await person.page.get_by_role("link", name="Older events").click()
    await expect(rows.first).to_be_visible()
    older = await rows.locator("time").evaluate_all("all => all.map((each) => each.dateTime)")
    assert older[0] <= times[-1]
    await expect(person.page.get_by_role("link", name="Older events")).to_have_count(0)
    await person.page.get_by_role("link", name="Newest").click()

    await person.page.get_by_label("Event", exact=True).select_option("ACTION_AUTHORIZED")
    await person.page.get_by_label("Purpose").select_option("payroll_ach_transmit")
    await person.page.get_by_label("Person").select_option("owner")
    await person.page.get_by_label("Outcome").select_option("success")
    await person.page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Payroll ACH transmit")
    await person.page.get_by_label("From (UTC)").fill("2099-01-01T00:00")
    await person.page.get_by_role("button", name="Filter").click()
    await expect(person.page.get_by_text("No event meets these filters.")).to_be_visible()
    await person.page.get_by_role("link", name="Clear").click()
    await expect(rows).to_have_count(50)

    await person.go("/audit?event=ACTION_AUTHORIZED")
    await rows.first.get_by_role("link").click()
    flow = person.page.get_by_role("list", name="How far it came").get_by_role("listitem")
    await expect(flow).to_have_text(
        [re.compile(f"^\\s*{step}") for step in ("Asked", "Proved", "Authorized", "Completed")]
    )
    await expect(person.page.locator(".flow .reached")).to_have_count(4)
    main = person.page.locator("main")
    for words in (
        "USD 412,908.77",
        "POST /payroll/runs/2026-06/transmit",
        "127.0.0.1",
        "Passkey",
        "Phishing-resistant only",
    ):
        await expect(main).to_contain_text(words)
    events = person.page.locator(".timeline h3")
    await expect(events).to_have_text(
        ["ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED", "ACTION_AUTHORIZED", "ACTION_COMPLETED"]
    )
    verified = person.page.locator(".timeline > li").nth(1)
    await verified.get_by_text("Evidence", exact=True).click()
    await expect(verified.locator(".evidence")).to_contain_text("signature")

    async with person.page.expect_download() as download:
        await person.page.get_by_role("link", name="Download the evidence").click()
    bundle = json.loads((await (await download.value).path()).read_bytes())
    assert bundle["format"] == "stepup-evidence-2"
    await person.page.get_by_role("link", name="Receipt").click()
    await expect(person.page.get_by_role("heading", name="Receipt: Payroll ACH transmit")).to_be_visible()
    await expect(person.page.locator("main")).to_contain_text("Laptop")
    await person.page.get_by_role("link", name="Back to AxisSynapse").click()
    await expect(person.page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_an_empty_log_says_how_it_begins(person: Person) -> None:
    await person.sign_in()
    await person.go("/audit")
    await expect(person.page.get_by_text("The log is empty. It begins with the first step-up.")).to_be_visible()
    await person.go("/security")
    await expect(person.page.get_by_text("Nothing has happened yet.")).to_be_visible()
    await expect(person.page.get_by_text("No alert in the last thirty days.")).to_be_visible()
