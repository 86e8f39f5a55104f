"""Another site's requests: refused before anybody is asked, but for a link that leads here."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from stepup_middleware import EventName
from tests.support import HTML, ORIGIN, ROTATE, Browser, House, call, code_of, scope_of

EVIL = "https://evil.test"
SIBLING = "https://other.example.com"


async def bare(ada: Browser, method: str, path: str, headers: dict[str, str], **content: Any) -> httpx2.Response:
    """Send a request with Ada's session, and of the rest no more than these headers."""
    async with httpx2.AsyncClient(transport=ada.client._transport, base_url=ORIGIN) as client:
        cookie = f"session={ada.client.cookies['session']}"
        return await client.request(method, path, headers={"cookie": cookie, **headers}, **content)


async def asked(house: House) -> int:
    return len(await house.events(EventName.CHALLENGE_REQUESTED))


# Q01 Q04 Q09
@pytest.mark.parametrize(
    "headers",
    [
        {**HTML, "sec-fetch-site": "cross-site", "origin": EVIL},
        {**HTML, "sec-fetch-site": "cross-site", "origin": "null"},
        {**HTML, "sec-fetch-site": "cross-site"},
        {**HTML, "sec-fetch-site": "same-site", "origin": SIBLING},
        {**HTML, "sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "origin": EVIL},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "origin": EVIL},
        {"accept": "text/html", "origin": EVIL},
        {"accept": "text/html", "origin": "null"},
        {"accept": "text/html", "origin": ORIGIN + ".evil.test"},
        {"accept": "text/html", "origin": ORIGIN.upper()},
        {"accept": "text/html", "referer": EVIL + "/page"},
        {"accept": "text/html", "referer": SIBLING + "/"},
        {"accept": "text/html", "referer": "about:blank"},
        {"origin": "http://example.com"},
        {**HTML, "sec-fetch-site": "same-origin", "origin": EVIL},  # a name of theirs that leads to our server
        {**HTML, "sec-fetch-site": "none", "origin": EVIL},
        {"origin": ORIGIN + ":444"},
    ],
    ids=str,
)
async def test_a_form_of_another_site_is_refused_without_a_prompt_and_without_its_fields(
    ada: Browser, house: House, headers: dict[str, str]
) -> None:
    before = await asked(house)
    answer = await bare(ada, "POST", ROTATE, headers, data={"amount": "foreign-value"})
    assert answer.status_code == 403
    assert answer.headers["stepup-error"] == "STEPUP_CROSS_ORIGIN"
    assert "stepup-prompt" not in answer.headers
    assert "foreign-value" not in answer.text
    assert await asked(house) == before
    assert house.total == 0


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
async def test_a_token_does_not_let_another_site_act(ada: Browser, house: House, method: str) -> None:
    token = await ada.token("POST", "/payroll/2026-06/transmit", "passkey")
    headers = {"sec-fetch-site": "cross-site", "origin": EVIL, "stepup-token": token}
    answer = await bare(ada, method, "/payroll/2026-06/transmit", headers)
    assert answer.status_code in (403, 405)
    assert house.total == 0
    assert (await ada.post("/payroll/2026-06/transmit", token=token)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "null"},  # Referrer-Policy: no-referrer on the app's own page
        {"sec-fetch-site": "none"},
        {"origin": ORIGIN},
        {"sec-fetch-site": "same-site", "origin": ORIGIN},
        {"referer": ORIGIN + "/page?a=1"},
    ],
    ids=str,
)
async def test_the_apps_own_pages_and_clients_that_are_no_browser_are_asked_as_ever(
    ada: Browser, headers: dict[str, str]
) -> None:
    assert code_of(await bare(ada, "POST", ROTATE, headers)) == "STEPUP_REQUIRED"


# Q02
@pytest.mark.parametrize(
    "headers",
    [
        {**HTML, "sec-fetch-site": "cross-site"},
        {**HTML, "sec-fetch-site": "cross-site", "referer": EVIL + "/"},
        {**HTML, "sec-fetch-site": "same-site"},
        {"accept": "text/html", "referer": EVIL + "/"},
        {**HTML, "sec-fetch-site": "none"},
        {"accept": "text/html"},
    ],
    ids=str,
)
async def test_a_link_from_elsewhere_may_ask(ada: Browser, headers: dict[str, str]) -> None:
    answer = await bare(ada, "GET", "/export?format=csv", headers)
    assert (answer.status_code, answer.headers["stepup-error"]) == (401, "STEPUP_REQUIRED")
    assert "data-stepup-page" in answer.text


# Q03
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "origin": EVIL}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"}, 403),
        ({**HTML, "sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, 403),
        ({**HTML, "sec-fetch-site": "same-site", "sec-fetch-dest": "frame"}, 403),
        ({**HTML, "sec-fetch-site": "same-site", "sec-fetch-dest": "object"}, 403),
        ({"accept": "image/avif,*/*", "referer": EVIL + "/"}, 403),
        ({"accept": "*/*", "origin": EVIL}, 403),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 401),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, 401),
        ({**HTML, "sec-fetch-site": "same-origin", "sec-fetch-dest": "iframe"}, 401),
        ({**HTML, "sec-fetch-site": "same-origin", "sec-purpose": "prefetch"}, 401),
        ({**HTML, "sec-fetch-site": "same-origin", "sec-purpose": "prefetch;prerender"}, 401),
        ({**HTML, "sec-fetch-site": "cross-site", "sec-purpose": "prefetch;anonymous-client-ip"}, 401),
        ({**HTML, "sec-fetch-site": "same-origin", "purpose": "prefetch"}, 401),
        ({**HTML, "sec-fetch-site": "same-origin", "x-moz": "prefetch"}, 401),
    ],
    ids=str,
)
async def test_what_nobody_clicked_asks_nobody_and_spends_nothing(
    ada: Browser, house: House, headers: dict[str, str], status: int
) -> None:
    token = await ada.token("GET", "/export", "passkey")
    before = await asked(house)
    for given in (headers, {**headers, "stepup-token": token}):
        answer = await bare(ada, "GET", "/export", given)
        assert answer.status_code == status
        assert "stepup-prompt" not in answer.headers
    assert await asked(house) == before
    assert house.total == 0
    assert (await ada.send("GET", "/export", token=token)).status_code == 200


@pytest.mark.parametrize("images", [40])
async def test_images_on_another_site_do_not_use_up_a_persons_prompts(ada: Browser, images: int) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    for number in range(images):
        await bare(ada, "GET", f"/export?{number}", headers)
    assert code_of(await ada.send("GET", "/export")) == "STEPUP_REQUIRED"


# Q01
@pytest.mark.parametrize("origin", [EVIL, SIBLING, "null"])
async def test_a_websocket_from_another_site_is_refused_without_a_prompt(
    ada: Browser, house: House, origin: str
) -> None:
    before = await asked(house)
    more: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
    scope = scope_of("GET", "/socket", subject=ada.subject, kind="websocket", headers=[("origin", origin)], **more)
    answer = await call(house.app, scope)
    assert (answer.status, answer.json()["code"]) == (403, "STEPUP_CROSS_ORIGIN")
    assert await asked(house) == before


# Q04
async def test_a_link_of_an_older_browser_runs_on_its_cookie_by_the_referer(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("GET", "/export")
    factor = ada.factors["passkey"]
    assert factor.authenticator is not None
    options = await ada.options(prompt)
    assertion = factor.authenticator.get(options.json(), origin=ORIGIN)
    await ada.send("POST", f"{prompt['prompt']['url']}/webauthn", json=assertion, headers={"stepup-deliver": "cookie"})
    name = "__Secure-stepup-token"
    both = f"session={ada.client.cookies['session']}; {name}={ada.client.cookies[name]}"
    for referer in (EVIL + "/", None):
        headers = {"accept": "text/html", "cookie": both, **({"referer": referer} if referer else {})}
        assert (await bare(ada, "GET", "/export", headers)).status_code == 401
    headers = {"accept": "text/html", "cookie": both, "referer": ORIGIN + "/export"}
    assert (await bare(ada, "GET", "/export", headers)).status_code == 200
    assert house.runs["/export"] == 1


async def test_a_method_that_a_header_overrides_is_not_let_in_as_a_link(ada: Browser, house: House) -> None:
    headers = {**HTML, "sec-fetch-site": "cross-site", "x-http-method-override": "DELETE"}
    answer = await bare(ada, "GET", "/export", headers)
    assert answer.headers["stepup-error"] == "STEPUP_CROSS_ORIGIN"
    assert house.total == 0
