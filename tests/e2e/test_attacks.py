"""Attacks that only a real browser shows: pages it kept, what it stores, and what another site makes it send."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from playwright.async_api import expect

from .conftest import Person

FORM = '[data-stepup-purpose="year_end_tax_transmit"]'


def counted(person: Person, event: str, purpose: str) -> int:
    """Return how many events of a purpose the log has."""
    path = person.demo.database.with_name(f"{person.demo.database.stem}-stepup{person.demo.database.suffix}")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as log:
        query = "SELECT count(*) FROM audit WHERE event = ? AND purpose = ?"
        found: int = log.execute(query, (event, purpose)).fetchone()[0]
        return found


async def authorize(person: Person) -> None:
    await expect(person.dialog).to_be_visible()
    await person.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(person.dialog).to_have_count(0)


# C22
@pytest.mark.slow
async def test_going_back_to_a_page_that_the_browser_kept_repeats_no_action(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/year-end")
    before = await person.page.locator(FORM).count()
    await person.page.locator(FORM).first.click()
    await authorize(person)
    await expect(person.page.locator(FORM)).to_have_count(before - 1)
    await person.page.go_back()
    await person.page.go_forward()
    await person.page.reload()
    assert counted(person, "ACTION_AUTHORIZED", "year_end_tax_transmit") == 1
    assert counted(person, "ACCOUNT_STEPUP_REUSED", "year_end_tax_transmit") == 0
    assert not [cookie for cookie in await person.context.cookies() if "stepup" in cookie.get("name", "")]


# C14
@pytest.mark.slow
async def test_no_storage_of_the_browser_holds_anything_of_a_step_up(person: Person) -> None:
    await person.plug_in("internal")
    tokens: list[str] = []
    person.page.on("request", lambda request: tokens.append(request.headers.get("stepup-token", "")))
    await person.sign_in()
    await person.enrol("passkey")
    await person.go("/payroll")
    await person.page.locator('[data-stepup-purpose="payroll_ach_transmit"]').first.click()
    await authorize(person)
    await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()
    assert [token for token in tokens if token]
    await person.go("/developers")
    stored = await person.page.evaluate(
        """async () => JSON.stringify([{...localStorage}, {...sessionStorage}, history.state, location.href,
            await indexedDB.databases(), await caches.keys()])"""
    )
    for token in tokens:
        assert not token or token not in stored
    assert "challenge" not in stored
    assert json.loads(stored)[4:] == [[], []]


# C01
async def test_a_page_of_another_origin_makes_the_browser_change_nothing(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    for path in ("/stepup/factors/totp", "/stepup/factors/webauthn", "/settings/step-up-policy"):
        page = await person.context.new_page()
        await page.set_content(f'<form method="post" action="{person.demo.url}{path}"><button>Win</button></form>')
        async with page.expect_navigation() as navigated:
            await page.get_by_role("button", name="Win").click()
        answer = await navigated.value
        assert answer is not None
        assert answer.status in (302, 303, 401, 403)
        await page.close()
    await person.go("/stepup/factors")
    await expect(person.page.locator("[data-stepup-factor]")).to_have_count(1)
    assert counted(person, "FACTOR_ENROLLED", "") == 1
