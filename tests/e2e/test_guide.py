"""The guide in a real browser: its code copied by the keyboard, its pages walked by their links."""

from __future__ import annotations

from playwright.async_api import expect

from demo_app.guide_pages import guide

from .conftest import Person


async def test_a_block_of_code_is_copied_with_the_keyboard(person: Person) -> None:
    await person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await person.sign_in()
    await person.go("/guide/start")
    code = await person.page.locator(".code", has_text="main.py").locator("code").first.inner_text()
    await person.page.get_by_role("button", name="Copy main.py").focus()
    await person.page.keyboard.press("Enter")
    await expect(person.page.locator("#announcer")).to_have_text("Copied main.py.")
    copied = await person.page.evaluate("navigator.clipboard.readText()")
    assert copied.rstrip("\n") == code.rstrip("\n")
    assert copied.startswith("import secrets")


async def test_the_pages_are_walked_by_their_links_and_a_section_has_an_address(person: Person) -> None:
    await person.sign_in()
    await person.go("/guide")
    for page in guide().pages[1:]:
        await person.page.locator('a[rel="next"]').click()
        await expect(person.page.get_by_role("heading", level=1)).to_have_text(page.title)
        await expect(person.page.locator('nav[aria-label="Guide"] a[aria-current="page"]')).to_have_text(page.title)
    await expect(person.page.locator('a[rel="next"]')).to_have_count(0)
    await person.go("/guide/start")
    await person.page.get_by_text("On this page").click()
    await person.page.locator(".sections").get_by_role("link", name="4. Run it").click()
    await expect(person.page).to_have_url(f"{person.demo.url}/guide/start#4-run-it")
    await expect(person.page.get_by_role("heading", name="4. Run it")).to_be_in_viewport()
