"""Other sites: whatever they make a browser send changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from stepup_middleware.testing import totp_code
from tests.support import ORIGIN, ROTATE, Browser, House

FORM = "application/x-www-form-urlencoded"


def changes(prompt_url: str, factor_id: str) -> list[tuple[str, str]]:
    return [
        ("POST", f"{prompt_url}/webauthn/options"),
        ("POST", f"{prompt_url}/webauthn"),
        ("POST", f"{prompt_url}/totp"),
        ("DELETE", prompt_url),
        ("POST", "/stepup/factors/webauthn/options"),
        ("POST", "/stepup/factors/webauthn"),
        ("POST", "/stepup/factors/totp"),
        ("POST", f"/stepup/factors/totp/{factor_id}/confirm"),
        ("PATCH", f"/stepup/factors/{factor_id}"),
        ("DELETE", f"/stepup/factors/{factor_id}"),
    ]


# C01
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "content-type": "application/json"},
        {"sec-fetch-site": "same-site", "content-type": "application/json"},
        {"sec-fetch-site": "none", "content-type": "application/json"},
        {"sec-fetch-site": "cross-site", "content-type": FORM, "origin": "https://evil.test"},
        {"sec-fetch-site": "cross-site", "content-type": "text/plain"},
        {"sec-fetch-site": "cross-site", "hx-request": "true"},
        {"origin": "https://evil.test", "content-type": "application/json"},
        {"origin": "https://example.com.evil.test", "content-type": "application/json"},
        {"origin": "https://EXAMPLE.com", "content-type": "application/json"},
        {"origin": "http://example.com", "content-type": "application/json"},
        {"origin": "https://example.com:444", "content-type": "application/json"},
        {"origin": "null", "content-type": "application/json"},
        {"origin": "null", "hx-request": "true"},
    ],
    ids=str,
)
async def test_a_changing_call_from_another_origin_is_refused_and_changes_nothing(
    ada: Browser, house: House, headers: dict[str, str]
) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    before = len(await house.events())
    for method, url in changes(prompt["prompt"]["url"], ada.factors["totp"].id):
        answer = await ada.send(method, url, headers=headers, content=b'{"code": "123456", "name": "stolen"}')
        assert answer.status_code == 403, (method, url)
        assert "STEPUP_CROSS_ORIGIN" in (answer.headers["stepup-error"], answer.text)
    assert len(await house.events()) == before
    assert {factor.name for factor in await house.stepup.factors.list(ada.subject)} == {"My key", "Phone"}  # type: ignore[arg-type]
    assert (await ada.send("GET", prompt["prompt"]["url"])).status_code == 200


# C01
@pytest.mark.parametrize("content_type", ["text/plain", FORM, "multipart/form-data; boundary=x", ""])
async def test_what_a_page_may_send_unasked_is_refused_where_the_browser_says_nothing_of_its_origin(
    ada: Browser, house: House, content_type: str
) -> None:
    del ada.client.headers["sec-fetch-site"]
    prompt = {"prompt": {"url": "/stepup/prompts/x"}}
    for method, url in changes(prompt["prompt"]["url"], "x"):
        if method != "POST":
            continue  # no page may send these unasked (CORS)
        answer = await ada.send(method, url, headers={"content-type": content_type}, content=b"code=123456")
        assert (answer.status_code, answer.json()["code"]) == (403, "STEPUP_CROSS_ORIGIN")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": ORIGIN},
        {"origin": ORIGIN},
        {},
    ],
    ids=str,
)
async def test_the_apps_own_page_may(tim: Browser, house: House, headers: dict[str, str]) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    del tim.client.headers["sec-fetch-site"]
    code = totp_code(tim.factors["totp"].secret, house.clock())
    answer = await tim.post(f"{prompt['prompt']['url']}/totp", json={"code": code}, headers=headers)
    assert answer.status_code == 200


# W29
async def test_no_host_header_changes_whom_the_ceremony_is_for(ada: Browser) -> None:
    headers = {"host": "evil.test", "x-forwarded-host": "evil.test", "forwarded": "host=evil.test"}
    answer = await ada.send("POST", ROTATE, headers=headers)
    assert "evil" not in answer.text + str(answer.headers)
    url = answer.json()["prompt"]["url"]
    options: dict[str, Any] = (await ada.post(f"{url}/webauthn/options", json={}, headers=headers)).json()
    assert options["rpId"] == "example.com"
    registration = await ada.step_up(
        "POST", "/stepup/factors/webauthn/options", "passkey", json={"kind": "passkey"}, headers=headers
    )
    assert registration.json()["rp"]["id"] == "example.com"


# C17
async def test_a_preflight_to_a_tagged_route_runs_nothing(ada: Browser, house: House) -> None:
    headers = {"origin": "https://evil.test", "access-control-request-method": "POST"}
    answer = await ada.send("OPTIONS", ROTATE, headers=headers)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers
    assert house.total == 0
