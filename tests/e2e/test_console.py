"""The security console: alerts without a reload, from every process, until a person has looked at them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.machine import free_port

from .conftest import ANALYST, COSIGNER, Demo, Person, open_person, start_demo, stop_demo
from .test_main_flow import TRANSMIT, authorize

ALERT = "#panel article.critical"
_SEEN = """() => {
    window.seen = new Promise((resolve) => {
        const look = () => document.querySelector("#panel article.critical") && resolve(Date.now());
        new MutationObserver(look).observe(document.getElementById("panel"), { childList: true });
        look();
    });
}"""


async def transmitted(person: Person) -> tuple[str, str]:
    """Transmit a payroll run, and return the address and the token that the page sent."""
    sent: list[tuple[str, str]] = []

    async def watch(route: Route) -> None:
        if token := route.request.headers.get("stepup-token"):
            sent.append((route.request.url, token))
        await route.continue_()

    await person.page.route("**/transmit", watch)
    await person.go("/payroll")
    waiting = await person.page.locator(TRANSMIT).count()
    await person.page.locator(TRANSMIT).first.click()
    await authorize(person, "passkey")
    await expect(person.page.locator(TRANSMIT)).to_have_count(waiting - 1)
    await person.page.unroute("**/transmit")
    return sent[-1]


async def replay(person: Person, sent: tuple[str, str]) -> None:
    url, token = sent
    headers = {"StepUp-Token": token, "Origin": person.demo.url, "User-Agent": "Stolen/1.0"}
    answer = await person.context.request.post(url, headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (403, "STEPUP_TOKEN_REUSED")


async def live(page: Page, url: str) -> None:
    """Open the console and wait until it hears what happens."""
    await page.goto(f"{url}/security")
    await expect(page.locator("[data-live]")).to_have_text("Live")


@pytest.mark.slow
async def test_a_console_that_is_opened_again_and_again_stays_live(person: Person) -> None:
    await person.sign_in()
    for _ in range(12):  # more often than one person has places
        await live(person.page, person.demo.url)
        await person.go("/audit")


@pytest.mark.slow
async def test_a_replay_appears_without_a_reload_and_stays_until_a_person_acknowledges_it(
    browser: Browser, tmp_path: Path
) -> None:
    demo = await start_demo(tmp_path)
    person = await open_person(browser, demo)
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    sent = await transmitted(person)
    console = await person.context.new_page()
    await live(console, demo.url)
    await expect(console.locator(ALERT)).to_have_count(0)
    await replay(person, sent)
    alert = console.locator(ALERT)
    await expect(alert).to_contain_text("A token was presented again: Payroll ACH transmit")
    first, second = alert.locator(".pair .inset").nth(0), alert.locator(".pair .inset").nth(1)
    await expect(first).to_contain_text("First presentation: redeemed")
    await expect(first).to_contain_text("Mozilla/5.0")
    await expect(second).to_contain_text("Second presentation: refused")
    await expect(second).to_contain_text("Stolen/1.0")
    for side in (first, second):
        await expect(side).to_contain_text("127.0.0.1")
        await expect(side.locator("dt", has_text="Time")).to_have_count(1)
    await expect(console.locator("#alarm")).to_contain_text(
        "Critical: A token was presented again: Payroll ACH transmit"
    )
    await expect(console.locator("li.reused strong")).to_have_text("1")
    await console.get_by_text("The numbers", exact=True).click()
    table = console.get_by_role("region", name="Events by hour")
    await expect(table.get_by_role("row").last).to_contain_text("1")
    await console.get_by_role("button", name="Acknowledge").focus()
    await replay(person, await transmitted(person))  # whoever reads the numbers or is about to press is not disturbed
    await expect(console.locator("li.reused strong")).to_have_text("2")
    await expect(table).to_be_visible()
    assert await console.evaluate("document.activeElement.id") == await alert.last.get_by_role(
        "button", name="Acknowledge"
    ).get_attribute("id")
    await console.get_by_role("button", name="Acknowledge").first.click()

    await stop_demo(demo)  # the alert survives a restart, and so does who acknowledged it
    again = await start_demo(tmp_path, database=demo.database)
    person.demo = again
    await live(console, again.url)
    await expect(console.locator(ALERT)).to_have_count(1)
    await console.get_by_role("button", name="Acknowledge").click()
    await expect(console.get_by_text("by Owner").first).to_be_visible()
    await expect(console.locator(ALERT)).to_have_count(0)
    await stop_demo(again)
    once_more = await start_demo(tmp_path, database=demo.database)
    await live(console, once_more.url)
    await expect(console.locator("#panel article").last).to_contain_text("Acknowledged")
    await expect(console.locator("#panel article").last).to_contain_text("by Owner")
    await person.context.close()
    await stop_demo(once_more)
    assert person.faults == []


async def test_an_altered_database_is_told_on_the_console_with_what_to_do(browser: Browser, tmp_path: Path) -> None:
    demo = await start_demo(tmp_path)
    person = await open_person(browser, demo)
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    console = await person.context.new_page()
    await live(console, demo.url)
    tables = demo.database.with_name(f"{demo.database.stem}-stepup{demo.database.suffix}")
    with closing(sqlite3.connect(tables, timeout=30)) as connection, connection:
        connection.execute("UPDATE factors SET algorithm = -8")
    await person.go("/stepup/factors")  # where the factor is looked for, and is not there
    alert = console.locator(ALERT).first
    await expect(alert).to_contain_text("Somebody else wrote to the database")
    await expect(alert).to_contain_text("was not written by this installation")
    await expect(alert).to_contain_text("Find out who can write to the database, and change those accesses.")
    await expect(console.locator("#alarm")).to_have_text("Critical: Somebody else wrote to the database")
    await console.screenshot(path=tmp_path / "altered.png", full_page=True)
    await alert.get_by_role("button", name="Acknowledge").click()
    await expect(console.get_by_text("by Owner").first).to_be_visible()
    await expect(console.locator(ALERT)).to_have_count(0)
    await person.context.close()
    await stop_demo(demo)


async def test_a_cluster_of_failures_on_one_purpose_is_flagged_as_it_happens(browser: Browser, person: Person) -> None:
    await person.sign_in()
    await live(person.page, person.demo.url)
    cosigner = await open_person(browser, person.demo)
    await cosigner.sign_in(COSIGNER)
    await cosigner.enrol_totp()
    origin = {"Origin": person.demo.url}
    for count in range(5):
        await expect(person.page.locator("[data-cluster]")).to_have_count(0)
        asked = await cosigner.context.request.put(f"{person.demo.url}/identity/attestation/direct", headers=origin)
        prompt = (await asked.json())["prompt"]["url"]
        refused = await cosigner.context.request.post(
            f"{person.demo.url}{prompt}/totp", data={"code": "000000"}, headers=origin
        )
        assert refused.status == 400
        await expect(person.page.locator("li.failed strong")).to_have_text(str(count + 1))
    cluster = person.page.locator("[data-cluster]")
    await expect(cluster).to_contain_text("A cluster of failures (5) on Attestation policy tighten")
    await expect(person.page.locator("#alarm")).to_contain_text("A cluster of failures (5)")
    await cluster.get_by_role("link").click()
    await expect(person.page.locator("table.audit tbody tr")).to_have_count(10)
    await cosigner.context.close()


@asynccontextmanager
async def worker(database: Path) -> AsyncIterator[Demo]:
    """Run one more uvicorn process on a database, on a port of its own."""
    port = free_port()
    url = f"http://localhost:{port}"
    log = database.with_suffix(f".{port}.out")
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uvicorn", "--factory", "demo_app.app:from_environment", "--port", str(port),
            "--host", "localhost", "--timeout-graceful-shutdown", "1",
            stdout=out, stderr=out, env={**os.environ, "AXIS_DATABASE": str(database), "AXIS_ORIGIN": url},
        )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while b"Uvicorn running" not in log.read_bytes():
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        yield Demo(url=url, database=database, log=log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(15):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# A07
@pytest.mark.slow
async def test_a_replay_on_one_worker_is_seen_in_a_console_that_another_serves(
    browser: Browser, tmp_path: Path
) -> None:
    database = tmp_path / "axis.db"
    async with worker(database) as one, worker(database) as other:
        person = await open_person(browser, one)
        await person.plug_in("internal")
        await person.sign_in()
        await person.enrol("passkey")
        console = await person.context.new_page()
        took = []
        for _ in range(3):
            sent = await transmitted(person)
            await live(console, other.url)
            await console.evaluate(_SEEN)
            began = time.time()
            await replay(person, sent)
            seen = await console.evaluate("window.seen")
            took.append(seen / 1000 - began)
            await console.get_by_role("button", name="Acknowledge").click()
            await expect(console.locator(ALERT)).to_have_count(0)
        sys.stdout.write(f"from the replay to the alert: {', '.join(f'{each * 1000:.0f} ms' for each in took)}\n")
        await person.context.close()
    assert person.faults == []


def made_admin(database: Path, email: str) -> None:
    """Make somebody an admin of the demo."""
    with closing(sqlite3.connect(database)) as tables, tables:
        tables.execute("UPDATE account SET is_admin = 1 WHERE email = ?", (email,))


@pytest.mark.slow
async def test_the_badge_is_live_on_every_page_and_what_one_admin_acknowledges_is_gone_for_the_other(
    browser: Browser, tmp_path: Path
) -> None:
    demo = await start_demo(tmp_path)
    made_admin(demo.database, COSIGNER)
    owner, other = await open_person(browser, demo), await open_person(browser, demo)
    await owner.plug_in("internal")
    await owner.sign_in()
    await owner.enrol("passkey")
    sent = await transmitted(owner)
    await other.sign_in(COSIGNER)
    await other.go("/equity")  # any page; and another tab of the same browser hears of it through the first
    tab = await other.context.new_page()
    await tab.goto(f"{demo.url}/developers")
    badges = [page.locator("nav [data-alerts]") for page in (owner.page, other.page, tab)]
    for badge in badges:
        await expect(badge).to_be_hidden()
    console = await other.context.new_page()
    await live(console, demo.url)
    await replay(owner, sent)
    for badge, page in zip(badges, (owner.page, other.page, tab), strict=True):
        await expect(badge).to_have_text("1 waiting")
        await expect(page).to_have_title(re.compile(r"^\(1\) "))
    alert = console.locator(ALERT)
    await expect(alert).to_contain_text("What was off: it had been used before; it is for another request")
    await expect(alert).to_contain_text("Presented again since its redemption: 1.")
    await expect(alert).to_contain_text("Tell the security team: security@axis.example")

    await live(owner.page, demo.url)
    await owner.page.get_by_role("button", name="Acknowledge").click()
    await expect(owner.page.get_by_text("Acknowledged. The log has it with your name.").first).to_be_visible()
    await expect(owner.page.get_by_role("heading", name="Alerts")).to_be_focused()
    await expect(console.locator(ALERT)).to_have_count(0)
    await expect(console.locator("#panel")).to_contain_text("by Owner, from 127.0.0.1")
    for badge, page in zip(badges[1:], (other.page, tab), strict=True):
        await expect(badge).to_be_hidden()
        await expect(page).not_to_have_title(re.compile(r"^\("))
    await owner.go("/audit?event=ALERT_ACKNOWLEDGED")
    await expect(owner.page.locator("table.audit tbody tr")).to_have_count(1)
    faults = owner.faults + other.faults
    await owner.context.close()
    await other.context.close()
    await stop_demo(demo)
    assert faults == []


@pytest.mark.slow
async def test_from_an_alert_an_admin_ends_the_persons_sessions_and_revokes_what_is_outstanding(
    browser: Browser, tmp_path: Path
) -> None:
    demo = await start_demo(tmp_path)
    made_admin(demo.database, COSIGNER)
    owner, admin = await open_person(browser, demo), await open_person(browser, demo)
    await owner.plug_in("internal")
    await owner.sign_in()
    await owner.enrol("passkey")
    await replay(owner, await transmitted(owner))
    await live(owner.page, demo.url)  # the console of somebody whose session is about to end
    await admin.sign_in(COSIGNER)
    await live(admin.page, demo.url)
    await admin.page.get_by_role("button", name="Revoke everything outstanding").click()
    await expect(admin.page.get_by_text("Everything outstanding is worthless now").first).to_be_visible()
    await expect(admin.page.locator(".htmx-request")).to_have_count(0)  # its answer is in the page, with other buttons
    await admin.page.get_by_role("button", name="End the sessions of Owner").click()
    await expect(admin.page.get_by_text("All sessions of Owner have ended").first).to_be_visible()
    ended = owner.page.locator("#ended")
    await expect(ended).to_contain_text("You are signed out")
    await expect(owner.page.locator("[data-live]")).to_have_text("Not live")
    await expect(owner.page.locator("#feed li")).to_have_count(0)
    await ended.get_by_role("link", name="Sign in").click()
    await expect(owner.page.get_by_label("Password")).to_be_visible()
    await admin.go("/audit?event=ALL_REVOKED")
    await expect(admin.page.locator("table.audit tbody tr")).to_contain_text("Cosigner")
    await owner.context.close()
    await admin.context.close()
    await stop_demo(demo)


async def test_who_is_no_admin_meets_no_console_no_stream_and_no_badge(person: Person) -> None:
    await person.sign_in(ANALYST)
    await expect(person.page.locator("[data-alerts]")).to_have_count(0)
    origin = {"Origin": person.demo.url}
    for path in ("", "/panel", "/events", "/waiting"):
        answer = await person.context.request.get(f"{person.demo.url}/security{path}")
        assert (path, answer.status) == (path, 403)
    for path in ("/alerts/1/acknowledge", "/people/owner/end-sessions", "/revoke-all"):
        answer = await person.context.request.post(f"{person.demo.url}/security{path}", headers=origin)
        assert (path, answer.status) == (path, 403)
