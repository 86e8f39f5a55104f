"""The wire format: each answer of the library, its status, its headers and its body."""

from __future__ import annotations

import asyncio
import gzip
import html
import re
import unicodedata
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepup_middleware import require_step_up
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.core.tokens import TokenCodec, TokenReference
from tests.support import ELSEWHERE, HTML, KEY, ROTATE, TRANSMIT, Browser, House, call, scope_of

HTMX = {"hx-request": "true", "accept": "text/html"}


def check_headers(answer: httpx2.Response) -> None:
    """Check what holds for every answer of the library but the static assets."""
    headers = answer.headers
    assert headers["cache-control"] == "no-store"  # C23
    assert {"Accept", "HX-Request", "Cookie"} <= {part.strip() for part in headers["vary"].split(",")}  # T01
    assert headers["x-content-type-options"] == "nosniff"  # C12
    assert headers["x-frame-options"] == "DENY"  # C02
    assert headers["cross-origin-opener-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert re.match(r"default-src '(none|self)'", policy)  # C13


def problem(answer: httpx2.Response, code: str, status: int) -> dict[str, Any]:
    """Check that an answer is this problem of RFC 9457, and return its body."""
    check_headers(answer)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["status"]) == (code, status)
    assert body["title"] and body["detail"] and body["type"].startswith("urn:")
    return body


def check_prompt(answer: httpx2.Response, body: dict[str, Any], acr: str) -> None:
    """Check what every 401 with a prompt has in header and body (RFC 9470 §3)."""
    wanted = f'Bearer error="insufficient_user_authentication", acr_values="{acr}", max_age="0"'
    assert answer.headers.get_list("www-authenticate") == [wanted]
    assert answer.headers["stepup-prompt"] == body["prompt"]["url"] == f"/stepup/prompts/{body['prompt']['id']}"


# T01
async def test_a_tagged_request_without_a_token_is_asked_for_a_proof(ada: Browser, house: House) -> None:
    answer = await ada.post(TRANSMIT, json={})
    body = problem(answer, "STEPUP_REQUIRED", 401)
    check_prompt(answer, body, "phr")
    prompt = body.pop("prompt")
    assert prompt["expires_at"] == "2026-11-24T12:05:30Z"
    assert {key: body[key] for key in ("title", "status", "code", "purpose", "requirement", "factors", "details")} == {
        "title": "Step-up authentication required",
        "status": 401,
        "code": "STEPUP_REQUIRED",
        "purpose": {
            "id": "payroll_ach_transmit",
            "title": "Payroll ACH transmit",
            "authorize_title": "Authorize payroll ACH transmit",
            "consequence": house.stepup.purposes["payroll_ach_transmit"].consequence,
        },
        "requirement": "phishing_resistant",
        "factors": ["passkey", "hardware_key"],
        "details": [["Run", "2026-06"], ["Employees", "214"]],
    }
    assert house.runs[TRANSMIT] == 0


async def test_a_purpose_that_any_factor_serves_says_so(ada: Browser) -> None:
    answer = await ada.post(ROTATE)
    body = problem(answer, "STEPUP_REQUIRED", 401)
    check_prompt(answer, body, "mfa")
    assert (body["requirement"], body["factors"]) == ("any", ["passkey", "hardware_key", "totp"])
    assert body["details"] == []


async def test_an_expired_token_is_told_apart_and_brings_a_new_prompt(ada: Browser, house: House) -> None:
    first = await ada.prompt("POST", TRANSMIT)
    token = await ada.prove(first, "passkey")
    house.clock.advance(60)  # K01: at its end it is over
    answer = await ada.post(TRANSMIT, token=token)
    body = problem(answer, "STEPUP_TOKEN_EXPIRED", 401)
    check_prompt(answer, body, "phr")
    assert body["prompt"]["id"] != first["prompt"]["id"]
    assert "click the action again" in body["detail"].casefold()
    assert house.runs[TRANSMIT] == 0
    assert (await ada.post(TRANSMIT, token=await ada.prove(body, "passkey"))).status_code == 200


# F11 F12 F17
@pytest.mark.parametrize("url", [TRANSMIT, ROTATE])
async def test_whoever_has_no_factor_is_shown_the_way_to_enrol_one(house: House, url: str) -> None:
    nobody = Browser(house, house.sign_in("nobody"))
    body = problem(await nobody.post(url), "STEPUP_FACTOR_INSUFFICIENT", 403)
    assert body["enroll_url"] == "/stepup/factors"
    assert "prompt" not in body
    assert house.total == 0


# F11 F17
async def test_an_authenticator_app_alone_does_not_do_for_a_strict_purpose(tim: Browser, house: House) -> None:
    answer = await tim.post(TRANSMIT)
    body = problem(answer, "STEPUP_FACTOR_INSUFFICIENT", 403)
    assert (body["requirement"], body["factors"]) == ("phishing_resistant", ["passkey", "hardware_key"])
    assert "enrol a passkey or hardware key" in body["detail"].casefold()
    assert "totp" not in answer.text
    assert house.runs[TRANSMIT] == 0


# T03
async def test_a_token_that_was_used_is_told_so_with_a_warning(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    body = problem(await ada.post(TRANSMIT, token=token), "STEPUP_TOKEN_REUSED", 403)
    assert "if this was not you, tell your security team now" in body["detail"].casefold()
    assert "prompt" not in body
    assert house.runs[TRANSMIT] == 1


# I11
async def test_a_token_from_another_address_is_told_so(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    body = problem(await ada.at(ELSEWHERE).post(TRANSMIT, token=token), "STEPUP_IP_MISMATCH", 403)
    assert "from the network where you began" in body["detail"].casefold()
    assert house.runs[TRANSMIT] == 0


async def test_a_failed_ceremony_has_one_public_sentence_for_every_reason(ada: Browser) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    wrong = [
        await ada.answer(prompt, ada.factors["totp"], code="000000"),
        await ada.answer(prompt, ada.factors["passkey"], tamper_signature=True),
        await ada.answer(prompt, ada.factors["passkey"], client_origin="https://evil.test"),
        await ada.answer(prompt, ada.factors["passkey"], user_verified=False),
    ]
    bodies = [problem(answer, "STEPUP_VERIFICATION_FAILED", 400) for answer in wrong]
    assert all(body == bodies[0] for body in bodies)


async def test_who_is_not_signed_in_learns_nothing(house: House) -> None:
    stranger = Browser(house, None)
    answers = [await stranger.post(url, headers=extra) for url in (TRANSMIT, ROTATE) for extra in ({}, {"x": "y"})]
    for answer in answers:
        body = problem(answer, "STEPUP_NOT_SIGNED_IN", 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "stepup-prompt" not in answer.headers
        assert set(body) == {"type", "title", "status", "code", "detail"}
        assert answer.content == answers[0].content
    assert house.total == 0
    assert await house.events() == []


# W34
@pytest.mark.parametrize(
    ("method", "tail", "content"),
    [
        ("GET", "", {}),
        ("POST", "/webauthn/options", {"json": {}}),
        ("POST", "/webauthn", {"json": {}}),
        ("POST", "/totp", {"json": {"code": "123456"}}),
        ("DELETE", "", {}),
    ],
)
async def test_unknown_foreign_finished_cancelled_and_expired_prompts_are_answered_alike(
    ada: Browser, bob: Browser, house: House, method: str, tail: str, content: dict[str, Any]
) -> None:
    expired = (await ada.prompt("POST", ROTATE))["prompt"]["url"]
    house.clock.advance(timedelta(minutes=5))
    foreign = (await bob.prompt("POST", TRANSMIT))["prompt"]["url"]
    other_session = (await ada.signed_in_again().prompt("POST", ROTATE))["prompt"]["url"]
    done = await ada.prompt("POST", ROTATE)
    await ada.post(ROTATE, token=await ada.prove(done, "passkey"))
    cancelled = (await ada.prompt("POST", ROTATE))["prompt"]["url"]
    await ada.send("DELETE", cancelled)
    urls = ["/stepup/prompts/unknown", foreign, other_session, cancelled, expired]
    if method != "DELETE":
        urls.append(done["prompt"]["url"])
    answers = [await ada.send(method, url + tail, **content) for url in urls]
    for answer in answers:
        problem(answer, "STEPUP_PROMPT_NOT_FOUND", 404)
        assert answer.content == answers[0].content
        assert answer.headers == answers[0].headers


# P16
async def test_every_token_that_is_not_this_sessions_own_looks_the_same_from_outside(
    ada: Browser, bob: Browser, house: House
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    other_session = await ada.token("POST", TRANSMIT, "passkey")
    lost = TokenCodec(KeyRing([KEY]).derive("token")).write(TokenReference(999_999, bytes(16)))
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    seen = set()
    for value, who in [
        (forged, bob),
        (lost, bob),
        (token, bob),
        (other_session, bob),
        ("", bob),
        ("x" * 72, bob),
    ]:
        answer = await who.post(TRANSMIT, token=value)
        body = problem(answer, "STEPUP_REQUIRED", 401)
        text = answer.text.replace(body["prompt"]["id"], "ID")
        headers = {key: found.replace(body["prompt"]["id"], "ID") for key, found in answer.headers.items()}
        seen.add((text, tuple(sorted(headers.items()))))
    assert len(seen) == 1
    assert house.runs[TRANSMIT] == 0


# representations


# C12
async def test_htmx_gets_the_modal_as_a_fragment_with_the_same_status_and_headers(ada: Browser) -> None:
    answer = await ada.post(TRANSMIT, headers=HTMX)
    check_headers(answer)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["stepup-prompt"].startswith("/stepup/prompts/")
    assert 'acr_values="phr"' in answer.headers["www-authenticate"]
    text = html.unescape(answer.text)
    assert "<html" not in text
    assert "Authorize payroll ACH transmit" in text
    assert "Real money moves" in text
    assert "2026-06" in text and "214" in text
    assert 'name="code"' not in text  # no code from an app for a strict purpose


# C02 C12
async def test_a_navigation_gets_the_modal_as_a_page_of_its_own(ada: Browser) -> None:
    answer = await ada.navigate("POST", ROTATE, data={"reason": 'quo"te & <b>', "twice": ["1", "2"]})
    check_headers(answer)
    assert answer.status_code == 401
    assert answer.headers["stepup-prompt"].startswith("/stepup/prompts/")
    assert answer.text.lstrip().casefold().startswith("<!doctype html>")
    assert f'action="{ROTATE}"' in answer.text
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', answer.text)
    assert [(name, html.unescape(value)) for name, value in fields if name != "original"] == [
        ("reason", 'quo"te & <b>'),
        ("twice", "1"),
        ("twice", "2"),
    ]
    assert "<b>" not in answer.text


# C13
async def test_a_page_has_no_inline_script_or_style(ada: Browser) -> None:
    answers = [
        await ada.navigate("POST", ROTATE),
        await ada.navigate("POST", TRANSMIT),
        await ada.post(TRANSMIT, headers=HTMX),
        await ada.navigate("GET", "/stepup/factors"),
        await ada.navigate("GET", "/stepup/prompts/unknown"),
    ]
    for answer in answers:
        assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text)


@pytest.mark.parametrize("url", ["/reads-first", "/reads-first-in-a-class"])
async def test_a_handler_that_read_the_form_before_it_asked_is_answered_at_once(
    ada: Browser, house: House, url: str
) -> None:
    async def act(request: Request) -> Response:
        async with request.form():
            await require_step_up(request.scope, "webhook_secret_rotation")
        raise AssertionError("ran")

    class Act(HTTPEndpoint):
        """The same in a class, where nobody but the handler knows the form."""

        async def post(self, request: Request) -> Response:
            return await act(request)

    house.starlette.router.routes[:0] = [
        Route("/reads-first", act, methods=["POST"]),
        Route("/reads-first-in-a-class", Act),
    ]
    async with asyncio.timeout(5):
        answer = await ada.navigate("POST", url, data={"reason": "why"})
    assert answer.status_code == 401
    assert '<input type="hidden" name="reason" value="why">' in answer.text


async def test_a_form_with_a_file_says_that_the_file_cannot_wait(ada: Browser) -> None:
    answer = await ada.navigate("POST", ROTATE, data={"a": "1"}, files={"file": ("a.csv", b"x,y")})
    assert answer.status_code == 401
    assert "go back and send it again: the form you sent had a file" in answer.text
    assert "data-stepup-repeat" not in answer.text


async def test_a_link_is_repeated_with_its_query(ada: Browser) -> None:
    answer = await ada.navigate("GET", "/export?format=csv&q=%22%3E%3Cscript%3E")
    assert answer.status_code == 401
    assert 'data-stepup-url="/export?format=csv&amp;q=%22%3E%3Cscript%3E"' in answer.text
    assert 'data-stepup-method="GET"' in answer.text


# C12
@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/plain", ""])
async def test_whoever_is_no_page_gets_json(ada: Browser, accept: str) -> None:
    problem(await ada.post(ROTATE, headers={"accept": accept}), "STEPUP_REQUIRED", 401)


async def test_a_script_that_accepts_html_gets_json_for_it_is_no_navigation(ada: Browser) -> None:
    answer = await ada.post(ROTATE, headers={"accept": "text/html", "sec-fetch-mode": "cors"})
    problem(answer, "STEPUP_REQUIRED", 401)


# C11
async def test_what_the_app_shows_is_escaped(ada: Browser) -> None:
    url = "/payroll/<script>alert(1)</script>&\"'/transmit".replace("/script", "%2Fscript").replace("<", "%3C")
    for answer in (
        await ada.navigate("POST", "/payroll/%3Cscript%3E%22'%0D%0Ax/transmit"),
        await ada.post("/payroll/%3Cscript%3E%22'%0D%0Ax/transmit", headers=HTMX),
    ):
        assert answer.status_code == 401, url
        assert '<script>"' not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert not any("\r" in value or "\n" in value for value in answer.headers.values())


async def test_details_show_what_cannot_be_seen_as_its_number_and_json_has_them_as_they_are(
    ada: Browser, house: House
) -> None:
    url = "/payroll/%E2%80%AEada%E2%80%8B%0D/transmit"
    for answer in (await ada.navigate("POST", url), await ada.post(url, headers=HTMX)):
        assert "\u2039U+202E\u203aada\u2039U+200B\u203a\u2039U+000D\u203a" in answer.text
        assert not {char for char in answer.text if unicodedata.category(char) in ("Cf", "Co", "Cs", "Zl", "Zp")}
    raw = await ada.prompt("POST", url)
    assert raw["details"][0] == ["Run", "\u202eada\u200b\r"]
    assert (await house.events())[-1].details[0] == ("Run", "\u202eada\u200b\r")


@pytest.mark.parametrize("headers", [{}, HTMX, HTML])
async def test_a_refusal_without_a_prompt_comes_in_the_form_that_was_asked_for(
    tim: Browser, headers: dict[str, str]
) -> None:
    answer = await tim.post(TRANSMIT, headers=headers)
    check_headers(answer)
    assert answer.status_code == 403
    assert "/stepup/factors" in answer.text
    assert ("<html" in answer.text) == (headers is HTML)


# the prompt's own page


async def test_a_prompt_can_be_read_as_json_by_its_own_session(ada: Browser) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    answer = await ada.send("GET", prompt["prompt"]["url"])
    check_headers(answer)
    assert answer.status_code == 200
    body = answer.json()
    for key in ("purpose", "requirement", "factors", "details", "prompt"):
        assert body[key] == prompt[key]


async def test_a_prompt_can_be_read_as_a_fragment_and_that_of_a_link_as_a_page(ada: Browser) -> None:
    prompt = await ada.prompt("GET", "/export")
    fragment = await ada.send("GET", prompt["prompt"]["url"], headers=HTMX)
    page = await ada.navigate("GET", prompt["prompt"]["url"])
    for answer in (fragment, page):
        check_headers(answer)
        assert answer.status_code == 200
        assert "Authorize data-export download" in answer.text
    assert "<html" not in fragment.text
    assert "<html" in page.text


# everything else under the prefix


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/stepup/", 404),
        ("GET", "/stepup/nothing", 404),
        ("GET", "/stepup/static/none.js", 404),
        ("GET", "/stepup/factors/", 404),
        ("PUT", "/stepup/purposes", 405),
        ("POST", "/stepup/purposes", 405),
        ("GET", "/stepup/factors/totp", 405),
        ("OPTIONS", "/stepup/factors", 405),
        ("PROPFIND", "/stepup/factors", 405),
    ],
)
async def test_not_even_the_answer_of_a_wrong_address_or_method_is_kept_by_a_cache(
    ada: Browser, method: str, path: str, status: int
) -> None:
    answer = await ada.send(method, path)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert ("allow" in answer.headers) == (status == 405)


async def test_the_catalogue_tells_each_purpose_as_the_caller_meets_it(tim: Browser, house: House) -> None:
    admin = house.sign_in("root", is_admin=True)
    await house.stepup.policy.set(admin, "webhook_secret_rotation", "phishing_resistant")
    answer = await tim.send("GET", "/stepup/purposes")
    check_headers(answer)
    found = {entry["id"]: entry for entry in answer.json()["purposes"]}
    assert list(found) == list(house.stepup.purposes)
    assert found["webhook_secret_rotation"]["requirement"] == "phishing_resistant"
    assert found["webhook_secret_rotation"]["satisfied"] is False
    assert found["custom_domain_change"]["requirement"] == "any"
    assert found["custom_domain_change"]["satisfied"] is True
    assert found["payroll_ach_transmit"]["satisfied"] is False


# C21
async def test_the_assets_are_named_by_their_content_and_kept_for_ever(house: House) -> None:
    stranger = Browser(house, None)
    urls = re.findall(r'(?:href|src)="([^"]+)"', house.stepup.head)
    assert len(urls) == 3
    for url in urls:
        answer = await stranger.send("GET", url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert re.search(r"\.[0-9a-f]{16}\.(js|css)$", url)


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, br", False),
        ("x-gzipped", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_an_asset_is_compressed_for_those_who_say_that_they_can_read_it(
    house: House, accepted: str, compressed: bool
) -> None:
    url = re.findall(r'src="([^"]+)"', house.stepup.head)[0]
    whole = (await Browser(house, None).send("GET", url, headers={"accept-encoding": "identity"})).content
    answer = await call(house.app, scope_of("GET", url, headers=[("accept-encoding", accepted)]))
    assert answer.headers("vary") == ["Accept-Encoding"]
    assert answer.headers("content-encoding") == (["gzip"] if compressed else [])
    assert (gzip.decompress(answer.body) if compressed else answer.body) == whole
    assert answer.headers("content-length") == [str(len(answer.body))]


async def test_head_is_answered_like_get_without_a_body(ada: Browser) -> None:
    answer = await ada.send("HEAD", "/stepup/purposes")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


def test_the_codes_of_the_contract_are_all_there() -> None:
    assert {
        "STEPUP_REQUIRED",
        "STEPUP_TOKEN_EXPIRED",
        "STEPUP_FACTOR_INSUFFICIENT",
        "STEPUP_TOKEN_REUSED",
        "STEPUP_IP_MISMATCH",
        "STEPUP_VERIFICATION_FAILED",
        "STEPUP_PROMPT_NOT_FOUND",
        "STEPUP_RATE_LIMITED",
        "STEPUP_UNAVAILABLE",
        "STEPUP_NOT_SIGNED_IN",
    } <= {code.value for code in RefusalCode}


@pytest.mark.parametrize("odd", ["\udcff" * 40, "\ud800", "x" * 5000, "%00", "\0", "é"])
async def test_an_id_that_none_of_ours_can_be_is_not_found(ada: Browser, house: House, odd: str) -> None:
    for method, path in (("GET", f"/stepup/prompts/{odd}"), ("DELETE", f"/stepup/factors/{odd}")):
        answer = await call(house.app, scope_of(method, path, subject=ada.subject))
        assert answer.status == 404
