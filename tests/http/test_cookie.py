"""The one-time cookie: for native forms and links alone, and never twice."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx2
import pytest

from stepup_middleware import EventName
from stepup_middleware.testing import totp_code
from tests.support import ORIGIN, ROTATE, TRANSMIT, Browser, House

NAME = "__Secure-stepup-token"


async def delivered(browser: Browser, method: str, url: str, kind: str, **content: Any) -> httpx2.Response:
    """Prove oneself and have the token put into the cookie, as a script does before it submits a native form."""
    prompt = await browser.prompt(method, url, **content)
    factor = browser.factors[kind]
    assert factor.authenticator is not None
    options = await browser.options(prompt)
    answer = await browser.send(
        "POST",
        f"{prompt['prompt']['url']}/webauthn",
        json=factor.authenticator.get(options.json(), origin=ORIGIN),
        headers={"stepup-deliver": "cookie"},
    )
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_cookie_is_for_this_action_this_site_and_the_life_of_the_token(ada: Browser) -> None:
    answer = await delivered(ada, "POST", TRANSMIT, "passkey")
    assert set(answer.json()) == {"expires_at"}
    (cookie,) = answer.headers.get_list("set-cookie")
    parts = cookie.split("; ")
    assert re.fullmatch(NAME + r"=[A-Za-z0-9_-]{72}", parts[0])
    assert set(parts[1:]) == {f"Path={TRANSMIT}", "Max-Age=60", "HttpOnly", "SameSite=Strict", "Secure"}


async def test_a_token_is_never_in_a_body_and_a_cookie_at_once(ada: Browser) -> None:
    answer = await delivered(ada, "POST", TRANSMIT, "passkey")
    token = ada.client.cookies[NAME]
    assert token not in answer.text
    prompt = await ada.prompt("POST", TRANSMIT)
    assert "set-cookie" not in (await ada.answer(prompt, ada.factors["passkey"])).headers


# T13
async def test_a_native_form_of_the_apps_own_page_runs_on_its_cookie_and_the_cookie_is_cleared(
    ada: Browser, house: House
) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey", data={"a": "1"})
    answer = await ada.navigate("POST", TRANSMIT, data={"a": "1"})
    assert answer.status_code == 200, answer.text
    cleared = [cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith(NAME)]
    assert len(cleared) == 1
    assert f"{NAME}=;" in cleared[0] and "Max-Age=0" in cleared[0] and f"Path={TRANSMIT}" in cleared[0]
    assert NAME not in ada.client.cookies
    assert (await ada.navigate("POST", TRANSMIT)).status_code == 401
    assert house.runs[TRANSMIT] == 1
    assert await house.events(EventName.REUSED) == []


# T13
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-mode": "cors"},
        {"sec-fetch-mode": "no-cors"},
        {"hx-request": "true"},
    ],
    ids=str,
)
async def test_a_cookie_counts_for_nothing_but_a_same_origin_navigation(
    ada: Browser, house: House, headers: dict[str, str]
) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey")
    answer = await ada.navigate("POST", TRANSMIT, headers=headers)
    assert answer.status_code == 401
    assert house.runs[TRANSMIT] == 0


# T13
@pytest.mark.parametrize("origin", ["https://evil.test", "null", "https://example.com.evil.test", None])
async def test_where_a_browser_tells_no_fetch_site_the_origin_must_be_ours(
    ada: Browser, house: House, origin: str | None
) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey")
    cookie = f"session={ada.client.cookies['session']}; {NAME}={ada.client.cookies[NAME]}"
    headers = [("accept", "text/html"), ("cookie", cookie)] + ([("origin", origin)] if origin else [])
    transport = ada.client._transport
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as bare:
        assert (await bare.post(TRANSMIT, headers=headers)).status_code == (403 if origin else 401)
        assert house.runs[TRANSMIT] == 0
        ours = [("accept", "text/html"), ("cookie", cookie), ("origin", ORIGIN)]
        assert (await bare.post(TRANSMIT, headers=ours)).status_code == 200


async def test_a_cookie_does_not_reach_another_action(ada: Browser, house: House) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey")
    assert (await ada.navigate("POST", ROTATE)).status_code == 401
    assert (await ada.navigate("POST", "/payroll/2026-07/transmit")).status_code == 401
    assert house.total == 0
    assert (await ada.navigate("POST", TRANSMIT)).status_code == 200


def navigation(*cookies: str) -> list[tuple[str, str]]:
    """Return the headers of a native form of our own page, with these lines of cookies."""
    browser = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin")]
    return browser + [("cookie", cookie) for cookie in cookies]


async def with_cookies(browser: Browser, *cookies: str) -> httpx2.Response:
    """Send the action's form with exactly these lines of cookies, the session's before them."""
    session = f"session={browser.client.cookies['session']}"
    async with httpx2.AsyncClient(transport=browser.client._transport, base_url=ORIGIN) as bare:
        return await bare.post(TRANSMIT, headers=navigation(session, *cookies))


# T12
async def test_of_several_cookies_of_the_name_the_first_that_we_signed_is_the_one(ada: Browser, house: House) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey")
    token = ada.client.cookies[NAME]
    planted = "A" * 72  # well-formed, as a sibling host could set it for the domain
    assert (await with_cookies(ada, f"{NAME}=; {NAME}={planted}; {NAME}={token}", f"{NAME}={token}")).status_code == 200
    assert house.runs[TRANSMIT] == 1
    assert await house.events(EventName.REUSED) == []


async def test_cookies_of_the_name_that_are_none_of_ours_are_logged_as_malformed(ada: Browser, house: House) -> None:
    assert (await with_cookies(ada, f"{NAME}=one; {NAME}=two")).status_code == 401
    assert (await house.events(EventName.BLOCKED))[-1].reason == "malformed_token"


@pytest.mark.parametrize(
    "other",
    [
        'prefs={"theme":"dark","list":[1,2]}',
        "flag",
        "=nameless",
        'open="quote',
        "a[b]=1; a@b=2; (c)=3",
        "big=" + '"' + "\\" * 60_000 + '"',
        "; ".join(f"c{number}={number}" for number in range(6_000)),
    ],
    ids=lambda text: text[:12],
)
async def test_a_cookie_that_others_cannot_read_hides_no_token(ada: Browser, house: House, other: str) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey")
    assert (await with_cookies(ada, f"{other}; {NAME}={ada.client.cookies[NAME]}")).status_code == 200
    assert house.runs[TRANSMIT] == 1


async def test_a_cookie_that_was_refused_is_cleared_as_well(ada: Browser, house: House) -> None:
    await delivered(ada, "POST", TRANSMIT, "passkey")
    house.clock.advance(61)
    answer = await ada.navigate("POST", TRANSMIT)
    assert answer.status_code == 401
    assert any(c.startswith(f"{NAME}=;") and "Max-Age=0" in c for c in answer.headers.get_list("set-cookie"))


async def test_without_a_script_a_code_and_one_click_repeat_the_form(tim: Browser, house: House) -> None:
    first = await tim.navigate("POST", ROTATE, data={"reason": "left & <gone>", "csrf_token": "x"})
    assert first.status_code == 401
    (action,) = re.findall(r'action="([^"]+/totp)"', first.text)
    (original,) = re.findall(r'name="original" value="([^"]*)"', first.text)
    wrong = await tim.navigate("POST", action, data={"code": "000000", "original": unescape(original)})
    assert wrong.status_code == 400
    assert "We could not confirm" in wrong.text
    (kept,) = re.findall(r'name="original" value="([^"]*)"', wrong.text)
    assert kept == original
    code = totp_code(tim.factors["totp"].secret, house.clock())
    proved = await tim.navigate("POST", action, data={"code": code, "original": unescape(original)})
    assert proved.status_code == 200, proved.text
    (target,) = re.findall(r'<form method="post" action="([^"]+)"', proved.text)
    fields = {name: unescape(value) for name, value in re.findall(r'name="([^"]*)" value="([^"]*)"', proved.text)}
    assert (target, fields) == (ROTATE, {"reason": "left & <gone>", "csrf_token": "x"})
    assert tim.client.cookies[NAME] not in proved.text
    done = await tim.navigate("POST", target, data=fields)
    assert done.status_code == 200
    assert house.runs[ROTATE] == 1


async def test_a_link_is_repeated_by_one_click_too(tim: Browser, house: House) -> None:
    first = await tim.navigate("GET", "/export?format=csv")
    (action,) = re.findall(r'action="([^"]+/totp)"', first.text)
    code = totp_code(tim.factors["totp"].secret, house.clock())
    proved = await tim.navigate("POST", action, data={"code": code, "original": ""})
    (target,) = re.findall(r'<a class="[^"]*" href="([^"]+)"', proved.text)
    assert (await tim.navigate("GET", unescape(target))).status_code == 200
    assert house.runs["/export"] == 1


async def test_a_path_with_odd_characters_gets_a_cookie_that_fits_it(ada: Browser, house: House) -> None:
    url = "/payroll/a%20b;c%22%0D%0Ad/transmit"
    answer = await delivered(ada, "POST", url, "passkey")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert "Path=/payroll;" in cookie  # a semicolon ends the attribute: the folder above
