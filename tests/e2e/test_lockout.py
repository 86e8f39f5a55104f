"""Repeated failed step-ups close new sign-ins, and never the session that runs."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from .conftest import OWNER, PASSWORD, Person, open_person, totp_now

ROTATE = '[data-stepup-purpose="webhook_secret_rotation"]'


async def test_five_failed_step_ups_close_the_sign_in_and_leave_the_session_alone(
    browser: Browser, person: Person
) -> None:
    await person.sign_in()
    await person.enrol_totp()
    await person.go("/developers")
    await person.page.locator(ROTATE).first.click()
    for _ in range(5):
        await person.dialog.get_by_label("Code from your authenticator app").fill("000000")
        async with person.page.expect_response("**/totp") as answer:
            await person.dialog.get_by_role("button", name="Authorize").click()
        assert (await answer.value).status == 400
        await expect(person.dialog.get_by_role("alert")).not_to_be_empty()
    await person.page.keyboard.press("Escape")

    await person.go("/payroll")  # the session goes on, and says what happened
    await expect(person.page.get_by_role("heading", name="Payroll")).to_be_visible()
    notice = person.page.get_by_text("New sign-ins to your account are closed until")
    await expect(notice).to_be_visible()
    await expect(notice).to_contain_text("This session goes on")

    elsewhere = await open_person(browser, person.demo)
    await elsewhere.go("/sign-in")
    await elsewhere.page.get_by_label("Email").fill(OWNER)
    await elsewhere.page.get_by_label("Password").fill(PASSWORD)
    await elsewhere.page.get_by_role("button", name="Sign in").click()
    await expect(elsewhere.page.get_by_role("alert")).to_contain_text("Sign-in for this account is closed until")
    await expect(elsewhere.page.get_by_role("button", name="Sign out")).to_have_count(0)
    await elsewhere.context.close()


async def test_a_person_who_changes_their_mind_five_times_may_still_sign_in(browser: Browser, person: Person) -> None:
    await person.sign_in()
    secret = await person.enrol_totp()
    await person.go("/developers")
    for _ in range(5):
        await person.page.locator(ROTATE).first.click()
        await expect(person.dialog).to_be_visible()
        async with person.page.expect_response(lambda response: response.request.method == "DELETE"):
            await person.dialog.get_by_role("button", name="Cancel").click()
        await expect(person.dialog).to_have_count(0)
    await person.page.locator(ROTATE).first.click()
    await person.dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
    await person.dialog.get_by_role("button", name="Authorize").click()
    await expect(person.page.locator("#webhook-W-1")).to_contain_text("rotated to version 2")
    await person.go("/payroll")
    await expect(person.page.get_by_text("New sign-ins to your account are closed until")).to_have_count(0)
    elsewhere = await open_person(browser, person.demo)
    await elsewhere.sign_in(OWNER)
    await elsewhere.context.close()
