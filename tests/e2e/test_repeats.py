"""Native forms after a step-up: what runs is what the browser sends without one, or it is said why not."""

# ruff: noqa: E501 - the forms stand as a page has them

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from .site import Site, requester, small_site, use_passkey

FILE = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"in a file\n"}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@dataclass(frozen=True)
class Form:
    """A form, its action left open. ``honest``: what the page says instead of repeating it, where it is untagged."""

    html: str
    honest: str = ""
    charset: str = "utf-8"
    file: bool = False
    press: str = "button"


FORMS = {
    "line ends and all of ASCII": Form(
        '<form method="post" action="{to}"><textarea name="text">a\nb &amp; c=d+e~f*g-h._%20 "q" \'r\'</textarea>'
        '<input name="é ü" value="日本語 &#x1F600;"><input name="" value="unnamed"><input name="empty">'
        '<button name="go" value="1">Go</button></form>'
    ),
    "a query and an escaped path": Form(
        '<form method="post" action="{to}/deep/x%2Fy%20z%C3%A9/%7E?b=%20&a=+&a=%C3%A9"><button name="go">Go</button></form>'
    ),
    "by GET": Form('<form action="{to}/deep/x?lost=1"><input name="a" value="é b&amp;c"><button name="go">Go</button></form>'),
    "below a path": Form('<form method="post" action="/below/it{to}/deep"><button name="go" value="1">Go</button></form>'),
    "the button's own action and method": Form(
        '<form action="/nowhere"><input name="a" value="1"><button name="go" value="x" formaction="{to}" '
        'formmethod="post">Go</button></form>'
    ),
    "the button's own encoding": Form(
        '<form method="post" action="{to}"><input name="a" value="1"><button formenctype="multipart/form-data">Go</button>'
        "</form>"
    ),
    "charset and direction": Form(
        '<form method="post" action="{to}"><input type="hidden" name="_charset_" value="old">'
        '<input name="text" value="שלום" dirname="text.dir" dir="auto"><button name="go">Go</button></form>'
    ),
    "several of a name, in order": Form(
        '<form method="post" action="{to}"><input name="a" value="1"><input name="b" value="2"><input name="a" value="3">'
        '<select name="s" multiple><option selected>x<option selected>y</select><button>Go</button></form>'
    ),
    "an image for a button": Form(
        f'<form method="post" action="{{to}}"><input type="image" name="at" alt="Go" src="{PIXEL}" width="40" height="30">'
        "</form>",
        press="input",
    ),
    "multipart": Form(
        '<form method="post" action="{to}" enctype="multipart/form-data"><textarea name="t&quot;x">a\nb</textarea>'
        '<input name="é" value="日本"><button name="go" value="1">Go</button></form>'
    ),
    "multipart with no file chosen": Form(
        '<form method="post" action="{to}" enctype="multipart/form-data"><input name="a" value="1">'
        '<input type="file" name="file"><button>Go</button></form>'
    ),
    "multipart with a file": Form(
        '<form method="post" action="{to}" enctype="multipart/form-data"><input name="a" value="1">'
        '<input type="file" name="file"><button>Go</button></form>',
        honest="had a file",
        file=True,
    ),
    "a file's name alone": Form(
        '<form method="post" action="{to}"><input type="file" name="file"><button>Go</button></form>', file=True
    ),
    "ASCII of a page in windows-1252": Form(
        '<form method="post" action="{to}"><input name="a" value="plain"><button>Go</button></form>', charset="windows-1252"
    ),
    "a page in windows-1252": Form(
        '<form method="post" action="{to}"><input name="a" value="café €"><button>Go</button></form>',
        honest="another character set",
        charset="windows-1252",
    ),
    "what windows-1252 cannot write": Form(
        '<form method="post" action="{to}"><input name="a" value="&#26085;"><button>Go</button></form>', charset="windows-1252"
    ),
    "accept-charset Shift_JIS": Form(
        '<form method="post" action="{to}" accept-charset="Shift_JIS"><input name="a" value="日本語"><button>Go</button></form>',
        honest="another character set",
    ),
    "multipart of a page in windows-1252": Form(
        '<form method="post" action="{to}" enctype="multipart/form-data"><input name="a" value="café"><button>Go</button>'
        "</form>",
        honest="another character set",
        charset="windows-1252",
    ),
    "plain text": Form(
        '<form method="post" action="{to}" enctype="text/plain"><input name="a" value="b=c"><button>Go</button></form>',
        honest="in a way that this page cannot write again",
    ),
    "more fields than a page keeps": Form(
        '<form method="post" action="{to}">'
        + "".join(f'<input type="hidden" name="f{number}">' for number in range(1500))
        + "<button>Go</button></form>",
        honest="more than 1000 fields",
    ),
}  # fmt: skip


async def send(page: Page, site: Site, form: Form, *, to: str, tagged: bool = False) -> None:
    """Open the start page with the form, and press its button."""
    site.charset = form.charset
    html = form.html.replace("{to}", to)
    site.pages[""] = html.replace("<form ", '<form data-stepup-purpose="x" ', 1) if tagged else html
    await page.goto(site.url)
    await press(page, form)


async def press(page: Page, form: Form) -> None:
    if form.file:
        await page.locator("input[type=file]").set_input_files(FILE)  # type: ignore[arg-type] # a TypedDict
    button = page.locator(f"form {form.press}").last
    if form.press == "input":
        await button.click(position={"x": 7, "y": 5})
    else:
        await button.click()


def told(site: Site, to: str) -> tuple[str, str, str, bytes]:
    """Return what reached the action last, with the boundary of a multipart form and the action's own path left out."""
    method, path, kind, body = site.ran[-1]
    boundary = re.search("boundary=(.+)$", kind)
    if boundary is not None:
        kind, body = kind.replace(boundary[1], "B"), body.replace(boundary[1].encode(), b"B")
    return method, path.replace(to, "", 1), kind, body


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.sweep(one_in=2)
async def test_a_form_is_sent_on_exactly_or_the_page_says_why_not(browser: Browser, tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    async with small_site(tmp_path) as site, requester(browser, site, strict=False) as page:
        await send(page, site, form, to="/open")
        await expect(page.locator("body")).to_contain_text("open")
        plain = told(site, "/open")
        for tagged in (False, True):
            await send(page, site, form, to="/act", tagged=tagged)
            heading = page.get_by_role("heading", name="Authorize webhook secret rotation")
            await expect(heading).to_be_visible()
            asked_by_page = await page.locator("dialog[open]").count() == 0
            before = len(site.ran)
            honest = asked_by_page and bool(form.honest)
            if honest:
                await expect(page.locator(".stepup-note").first).to_contain_text(form.honest)
            await page.get_by_role("button", name="Use passkey").click()
            if honest:
                assert len(site.ran) == before  # not one byte of it was sent on
                await page.get_by_role("button", name="Go back").click()
                await expect(page.locator(f"form {form.press}").last).to_be_visible()
                await press(page, form)
                # the script would ask again: the proof of the page is for the browser's own form
                if tagged and await page.locator("dialog[open]").count():
                    await use_passkey(page)
            await expect(page.locator("body")).to_contain_text("Done.")
            assert told(site, "/act") == plain
            assert len(site.ran) == before + 1


@pytest.mark.parametrize("name", ["line ends and all of ASCII", "multipart with no file chosen"])
async def test_a_form_of_another_site_meets_a_refusal_without_its_fields(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    async with small_site(tmp_path) as site, requester(browser, site, strict=False) as page:
        elsewhere = site.url.replace("localhost", "127.0.0.1")
        site.pages[""] = FORMS[name].html.replace("{to}", f"{site.url}/act")
        site.policy = "img-src 'self'"
        await page.goto(elsewhere)
        await press(page, FORMS[name])
        await expect(page.get_by_role("heading")).to_have_text("Request from another site")
        text = await page.content()
        assert "日本語" not in text and "unnamed" not in text and "data-stepup-repeat" not in text
        await expect(page.get_by_role("button", name="Use passkey")).to_have_count(0)
    assert site.ran == []


async def test_a_link_from_another_site_may_ask(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path) as site, requester(browser, site, strict=False) as page:
        site.pages[""] = f'<a href="{site.url}/act?from=mail">Go</a>'
        await page.goto(site.url.replace("localhost", "127.0.0.1"))
        await page.get_by_role("link").click()
        await page.get_by_role("button", name="Use passkey").click()
        await expect(page.locator("body")).to_have_text("Done.")
    assert [path for _, path, _, _ in site.ran] == ["/act?from=mail"]
