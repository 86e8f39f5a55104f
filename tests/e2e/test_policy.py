"""The step-up policy as an admin sets it and as others read it."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from stepup_middleware import PLATFORM_PURPOSES

from .conftest import ANALYST, Person, open_person, totp_now

POLICY = "/settings/step-up-policy"
ROTATE = '[data-stepup-purpose="webhook_secret_rotation"]'


async def test_every_purpose_is_listed_with_its_floor_and_no_weaker_choice_can_be_made(person: Person) -> None:
    await person.sign_in()
    await person.go(POLICY)
    selects = person.page.locator("form.policy select")
    assert await selects.evaluate_all("all => all.map((each) => each.id)") == [each.id for each in PLATFORM_PURPOSES]
    for purpose in PLATFORM_PURPOSES:
        item = person.page.locator(f'li:has(select[id="{purpose.id}"])')
        await expect(item.get_by_role("heading")).to_have_text(purpose.title)
        await expect(item).to_contain_text(purpose.description)
        await expect(item).to_contain_text(f"token lives {int(purpose.ttl.total_seconds())} s")
        await expect(item).to_contain_text("IP-bound · single use · replay protected")
        weaker = item.locator('option[value="any"]')
        strong = purpose.minimum == "phishing_resistant"
        await expect(item).to_contain_text("Minimum: phishing-resistant" if strong else "Minimum: any factor")
        assert await weaker.is_disabled() == strong
        await expect(item.locator("select")).to_have_value(purpose.minimum)


async def test_a_saved_policy_takes_effect_on_the_next_prompt_and_leaves_an_open_one_alone(
    person: Person,
) -> None:
    await person.sign_in()
    secret = await person.enrol_totp()
    await person.go("/developers")
    await person.page.locator(ROTATE).first.click()
    code = person.dialog.get_by_label("Code from your authenticator app")
    await expect(code).to_be_visible()

    admin = await person.context.new_page()  # the same admin, in another tab
    await admin.goto(person.demo.url + POLICY)
    await admin.get_by_label("Requirement: Webhook secret rotation").select_option("phishing_resistant")
    await admin.get_by_role("button", name="Save").click()
    await expect(admin.get_by_text("1 person with factors could no longer do what you make stricter.")).to_be_visible()
    await admin.get_by_role("button", name="Save all the same").click()
    await expect(admin.get_by_text("Saved. Purposes changed: 1.").first).to_be_visible()
    await expect(admin.get_by_label("Requirement: Webhook secret rotation")).to_have_value("phishing_resistant")
    await admin.close()

    await code.fill(totp_now(secret, steps=1))  # the prompt was issued under the policy before
    await person.dialog.get_by_role("button", name="Authorize").click()
    await expect(person.page.locator("#webhook-W-1")).to_contain_text("rotated to version 2")

    await person.page.locator(ROTATE).first.click()  # the next one is not
    await expect(person.dialog).to_contain_text("Enrol a passkey or hardware key")
    await expect(person.dialog.get_by_label("Code from your authenticator app")).to_have_count(0)
    await person.go("/audit?event=POLICY_CHANGED")
    await expect(person.page.locator("table.audit tbody tr")).to_have_count(1)


@pytest.mark.slow
async def test_a_looser_policy_takes_the_admins_key_and_is_saved_by_the_form_as_it_was_sent(person: Person) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey", name="Laptop")
    await person.go(POLICY)
    rotation = person.page.get_by_label("Requirement: Webhook secret rotation")
    await rotation.select_option("phishing_resistant")
    await person.page.get_by_role("button", name="Save").click()
    await expect(person.page.get_by_text("Saved. Purposes changed: 1.").first).to_be_visible()
    await rotation.select_option("any")
    await person.page.get_by_role("button", name="Save").click()
    await expect(person.page.get_by_role("heading", name="Authorize a looser policy")).to_be_visible()
    await expect(person.page.locator("body")).to_contain_text("from phishing-resistant only to any factor")
    await person.page.get_by_role("button", name="Use passkey").click()
    await expect(person.page.get_by_text("Saved. Purposes changed: 1.").first).to_be_visible()
    await expect(rotation).to_have_value("any")


async def test_a_forged_write_below_the_minimum_is_refused_saves_nothing_and_is_logged(person: Person) -> None:
    await person.sign_in()
    await person.go(POLICY)
    await person.page.locator("#webhook_secret_rotation").select_option("phishing_resistant")
    await person.page.evaluate(
        """() => {
            const select = document.getElementById("payroll_ach_transmit");
            select.querySelector('option[value="any"]').disabled = false;
            select.value = "any";
        }"""
    )
    async with person.page.expect_response(lambda response: response.request.method == "POST") as answer:
        await person.page.get_by_role("button", name="Save").click()
    assert (await answer.value).status == 422
    alert = person.page.get_by_role("alert").filter(has_text="Payroll ACH transmit")
    await expect(alert).to_contain_text("the platform minimum is a phishing-resistant factor")
    await expect(alert).to_contain_text("Nothing was saved")
    await person.go(POLICY)
    await expect(person.page.locator("#webhook_secret_rotation")).to_have_value("any")
    await expect(person.page.locator("#payroll_ach_transmit")).to_have_value("phishing_resistant")
    await person.go("/audit?event=ACCOUNT_STEPUP_BLOCKED")
    await expect(person.page.locator("table.audit tbody tr")).to_have_count(1)
    await expect(person.page.locator("table.audit tbody tr")).to_contain_text("policy_write_refused")


@pytest.mark.slow
async def test_others_read_the_policy_and_the_server_refuses_what_they_write(browser: Browser, person: Person) -> None:
    analyst = await open_person(browser, person.demo)
    await analyst.sign_in(ANALYST)
    await analyst.go(POLICY)
    await expect(analyst.page.get_by_role("button", name="Save")).to_have_count(0)
    await expect(analyst.page.locator("form.policy select:enabled")).to_have_count(0)
    await expect(analyst.page.get_by_text("Only an admin may change the policy")).to_be_visible()
    forged = await analyst.context.request.post(
        analyst.demo.url + POLICY,
        form={"webhook_secret_rotation": "phishing_resistant"},
        headers={"Origin": analyst.demo.url},
    )
    assert forged.status == 403
    await analyst.page.reload()
    await expect(analyst.page.locator("#webhook_secret_rotation")).to_have_value("any")
    await analyst.context.close()
