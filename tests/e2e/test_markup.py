"""No markup of a page commands the scripts: what somebody could write into an app's page is text to them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from .site import Site, requester, small_site, use_passkey

EVIL = "http://evil.example"
SPY = """
    window.asked = 0;
    for (const name of ["get", "create"]) {
        const native = navigator.credentials[name].bind(navigator.credentials);
        navigator.credentials[name] = (...given) => { window.asked += 1; return native(...given); };
    }
"""
FRAGMENT = """
<section class="stepup-modal" data-stepup-prompt="{prompt}" data-stepup-expires="2099-01-01T00:00:00Z"
    data-stepup-for="payroll_ach_transmit" data-stepup-account="0" aria-labelledby="stepup-title">
  <h2 id="stepup-title" class="stepup-title">Authorize nothing</h2><div id="stepup-description"></div>
  <div data-stepup-factors><button type="button" data-stepup-kind="passkey">Use passkey</button>
    <p id="stepup-error" data-stepup-error></p>
    <form data-stepup-totp action="{prompt}/totp"><input name="code"><button type="button">Go</button></form></div>
  <button type="button" data-stepup-renew>Ask again</button><p data-stepup-status></p>
  <button type="button" data-stepup-other>Other</button><button type="button" data-stepup-cancel>Cancel</button>
</section>
"""
PAGE = """
<div class="stepup-card" data-stepup-page data-stepup-method="{method}" data-stepup-url="{target}">{fragment}
  <form data-stepup-repeat method="post" action="{action}" hidden><input type="hidden" name="a" value="1"></form></div>
<div data-stepup-factors-url="{factors}"><p data-stepup-page-error></p><p data-stepup-page-status></p>
  <section data-stepup-list><h2 id="stepup-yours">Yours</h2></section><section data-stepup-add></section></div>
<section data-stepup-problem="X"><a href="{target}">Add a factor</a></section>
"""


@asynccontextmanager
async def attacked(
    browser: Browser, tmp_path: Path, *, strict: bool = True
) -> AsyncIterator[tuple[Site, Page, list[str]]]:
    """Serve a site without a content policy, watched for requests to anybody else, whose answers are the attacker's."""
    left: list[str] = []

    async def evil(route: Route) -> None:
        left.append(route.request.url)
        headers = {"access-control-allow-origin": "*", "stepup-prompt": f"{EVIL}/stepup/prompts/x"}
        headers |= {"access-control-expose-headers": "*", "content-type": "text/html"}
        await route.fulfill(status=200, headers=headers, body=FRAGMENT.format(prompt=f"{EVIL}/stepup/prompts/x"))

    async with small_site(tmp_path, "<h1>Site</h1>") as site:
        site.policy = "img-src 'self'"
        async with requester(browser, site, strict=strict) as page:
            await page.add_init_script(SPY)
            await page.route(f"{EVIL}/**", evil)
            yield site, page, left


async def press_everything(page: Page) -> None:
    """Press each button of the page that is no form's, as a person might who believes it."""
    await page.evaluate("document.querySelectorAll('button[type=button]').forEach((button) => button.click())")
    await page.wait_for_timeout(150)


async def harmless(page: Page, site: Site, left: list[str]) -> None:
    assert left == []
    assert await page.evaluate("[window.pwned, window.asked, location.pathname]") == [None, 0, "/"]
    await expect(page.locator("dialog[open]")).to_have_count(0)
    assert site.ran == []


# M01
@pytest.mark.parametrize("with_script", [False, True], ids=["markup alone", "beside the library's own page script"])
@pytest.mark.parametrize(
    ("prompt", "target"),
    [("/nowhere", "javascript:window.pwned=1"), (f"{EVIL}/stepup/prompts/x", "/"), ("/page/uploaded", "/transmit")],
    ids=["a target that is a script", "a prompt of a foreign site", "a fragment that somebody uploaded"],
)
@pytest.mark.sweep()
async def test_markup_in_a_page_of_the_app_starts_no_ceremony_and_leads_nowhere(
    browser: Browser, tmp_path: Path, prompt: str, target: str, with_script: bool
) -> None:
    async with attacked(browser, tmp_path) as (site, page, left):
        fragment = FRAGMENT.format(prompt=prompt)
        site.pages["uploaded"] = fragment
        site.pages[""] = PAGE.format(method="GET", target=target, fragment=fragment, action=target, factors=prompt)
        if with_script:  # the page's own policy would let one of this origin in
            site.head = script_tags(site)
        await page.goto(site.url)
        await page.wait_for_timeout(300)
        await press_everything(page)
        await harmless(page, site, left)


def script_tags(site: Site) -> str:
    """Return tags of the scripts that only the library's own pages load."""
    from stepup_middleware.assets import asset_urls

    urls = asset_urls("/stepup")
    return "".join(f'<script src="{urls[name]}" defer></script>' for name in ("page.js", "factorspage.js"))


ADDRESSES = [
    "javascript:window.pwned=1", " java\tscript:window.pwned=1", "JAVASCRIPT:window.pwned=1//", "data:text/html,<p>x",
    f"{EVIL}/stepup/prompts/x", "//evil.example/stepup/prompts/x", "\\\\evil.example\\x", "http:evil.example",
    "http://localhost@evil.example/", "blob:http://localhost/x", "/page/uploaded", "/stepup/prompts/none", "", "#",
    "http://localhost:1/", "about:blank", "\x00", "/plain?type=text/html",
]  # fmt: skip
NAMES = [
    "prompt", "page", "url", "method", "repeat", "expires", "for", "account", "kind", "factors-url", "factors", "totp",
    "problem", "renew", "cancel", "list", "factor", "name", "enrol", "unfold", "purpose-x", "error", "status",
]  # fmt: skip


def hostile(chance: random.Random) -> str:
    """Make a piece of markup out of the names that the scripts know, with addresses that they must not use."""
    if chance.random() < 0.5:
        fragment = FRAGMENT.format(prompt=escape(chance.choice(ADDRESSES)))
        parts = {
            "target": chance.choice(ADDRESSES),
            "action": chance.choice(ADDRESSES),
            "factors": chance.choice(ADDRESSES),
        }
        parts = {name: escape(value) for name, value in parts.items()}
        return PAGE.format(method=chance.choice(["GET", "POST", "get"]), fragment=fragment, **parts)
    tags = []
    for _ in range(chance.randint(1, 12)):
        tag = chance.choice(
            ["div", "section", "button type=button", "dialog", "p", "span", "template", "form action=/plain"]
        )
        chosen = chance.sample(NAMES, chance.randint(1, 5))
        values = [chance.choice([*ADDRESSES, "passkey", "GET", "2099-01-01T00:00:00Z"]) for _ in chosen]
        attributes = " ".join(
            f'data-stepup-{name}="{escape(value)}"' for name, value in zip(chosen, values, strict=True)
        )
        tags.append(f"<{tag} {attributes}>x")
    return "".join(tags)


# M02
async def test_no_markup_that_a_generator_makes_commands_anything(browser: Browser, tmp_path: Path) -> None:
    chance = random.Random(20261128)  # noqa: S311 - the same markup in every run
    # a library's page that lacks half of its parts may fail, not more
    async with attacked(browser, tmp_path, strict=False) as (site, page, left):
        site.pages["uploaded"] = FRAGMENT.format(prompt="/page/uploaded")
        for number in range(60):
            site.pages[""] = hostile(chance)
            site.head = script_tags(site) if number % 3 == 0 else ""
            await page.goto(site.url)
            await press_everything(page)
            try:
                await harmless(page, site, left)
            except AssertionError as error:
                raise AssertionError(f"{site.pages['']}\n{error}") from None


# M03
async def test_a_prompt_that_a_foreign_answer_names_is_not_opened(browser: Browser, tmp_path: Path) -> None:
    """An answer of this origin whose header names another site's prompt, and another site's that names its own."""
    async with attacked(browser, tmp_path) as (site, page, left):
        await page.goto(site.url)

        async def naming(route: Route) -> None:
            await route.fulfill(status=401, headers={"stepup-prompt": f"{EVIL}/stepup/prompts/x"}, body="")

        async def foreign(route: Route) -> None:
            headers = {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
            await route.fulfill(status=401, headers={**headers, "stepup-prompt": "/stepup/prompts/x"}, body="")

        await page.route("**/named", naming)
        await page.route("http://other.example/**", foreign)
        for url in ("/named", "http://other.example/x"):
            for call in (f"fetch('{url}').then((answer) => answer.status)", XHR.replace("URL", url)):
                assert await page.evaluate(call) == 401
        await harmless(page, site, left)


XHR = """new Promise((resolve) => { const xhr = new XMLHttpRequest(); xhr.open('GET', 'URL');
    xhr.onloadend = () => resolve(xhr.status); xhr.send(); })"""


IN_ITS_PLACE = {
    "the script in hand": (
        f'<img name="currentScript" src="{EVIL}/stepup.js" data-stepup-texts="{EVIL}/texts" data-stepup-own>'
    ),
    "the page's base": f'<base href="{EVIL}/">',
    "the head": '<form name="head"></form>',
    "the body": '<form name="body" hidden></form>',
    "the root": '<form name="documentElement"></form>',
    "the address": '<img name="baseURI"><img name="URL">',
    "the focus": '<form name="activeElement"></form>',
}


# M05
@pytest.mark.parametrize("place", IN_ITS_PLACE)
async def test_an_element_in_the_place_of_a_property_of_the_document_leads_nowhere(
    browser: Browser, tmp_path: Path, place: str
) -> None:
    """What the scripts load, whom they ask and where the modal stands is the document's own word."""
    strict = "<img" not in IN_ITS_PLACE[place]  # whose picture the page's policy refuses
    async with attacked(browser, tmp_path, strict=strict) as (site, page, left):
        site.pages[""] = PAGE.format(
            method="GET", target="/", fragment="", action="/", factors=f"{EVIL}/stepup/factors"
        )
        site.pages[""] += IN_ITS_PLACE[place] + "<div id=place></div>"
        site.head = script_tags(site)
        await page.goto(site.url)
        await press_everything(page)
        await page.evaluate("() => stepup.configure({ batch: true })")
        await page.evaluate("() => void stepup.mountFactors(window.place)")
        await expect(page.locator("#place").get_by_role("button", name="Add passkey")).to_be_visible()
        await page.evaluate(f"() => {{ window.answer = fetch('{site.url}/act', {{ method: 'POST' }}); }}")
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_be_visible()
        assert await dialog.evaluate("(dialog) => dialog.parentElement.localName") == "body"
        await use_passkey(page)
        assert await page.evaluate("window.answer.then((answer) => answer.text())") == "Done."
        assert (left, await page.evaluate("[window.pwned, window.asked]")) == ([], [None, 1])


# M04
async def test_the_librarys_own_page_still_asks_and_repeats(browser: Browser, tmp_path: Path) -> None:
    form = '<form method="post" action="/act"><button name="a" value="1">Go</button></form>'
    async with small_site(tmp_path, form) as site, requester(browser, site) as page:
        await page.get_by_role("button", name="Go").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Authorize webhook secret rotation")
        await page.get_by_role("button", name="Use passkey").click()
        await expect(page.locator("body")).to_have_text("Done.")
    assert [(method, path, body) for method, path, _, body in site.ran] == [("POST", "/act", b"a=1")]
