"""The page tells the browser of a passkey that is gone and of a name that changed, of those registered here alone."""

from __future__ import annotations

from playwright.async_api import expect

from .conftest import Person
from .test_main_flow import add_two_keys, authorize

SPY = """
window.signalled = [];
for (const name of ["signalUnknownCredential", "signalCurrentUserDetails", "signalAllAcceptedCredentials"])
  PublicKeyCredential[name] = async (said) => void window.signalled.push([name, said]);
"""


async def test_a_removed_passkey_is_signalled_as_unknown_and_a_renamed_one_with_the_account(person: Person) -> None:
    await person.page.add_init_script(SPY)
    items = await add_two_keys(person)
    credential = await items.filter(has_text="Laptop").get_attribute("data-stepup-credential")
    assert credential
    await items.filter(has_text="Laptop").get_by_role("button", name="Remove").click()
    await person.dialog.get_by_role("button", name="Remove").click()
    await authorize(person, "hardware_key")
    await expect(items).to_have_count(1)
    renamed, removed = await person.page.evaluate("window.signalled")
    assert renamed[0] == "signalCurrentUserDetails"
    assert renamed[1]["rpId"] == "localhost"
    assert (renamed[1]["name"], renamed[1]["displayName"]) == ("owner@axis.example", "Owner")
    assert removed == ["signalUnknownCredential", {"rpId": "localhost", "credentialId": credential}]
