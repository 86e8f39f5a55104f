"""Whose session it is, and which doors lead to an action: none but a proof of this person in this session."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from stepup_middleware import EventName, RequireStepUp, Subject, requires_step_up
from tests.support import ELSEWHERE, ROTATE, TRANSMIT, Browser, House, call, code_of, house_in, scope_of


# C03
async def test_a_session_id_planted_before_the_sign_in_is_of_no_use_to_who_planted_it(house: House) -> None:
    planted = house.sign_in("mallory")
    mallory = Browser(house, planted, ip="192.0.2.7")
    await mallory.enrol("passkey")
    token = await mallory.token("POST", TRANSMIT, "passkey")
    prompt = await mallory.prompt("POST", TRANSMIT)
    house.sessions[planted.session_id] = Subject(
        id="ada", session_id=planted.session_id, workspace_id="axis", name="Ada", signed_in_at=house.clock()
    )  # the app has signed somebody else in and kept the id
    assert code_of(await mallory.send("GET", prompt["prompt"]["url"])) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await mallory.post(f"{prompt['prompt']['url']}/webauthn", json={})) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await mallory.post(TRANSMIT, token=token)) == "STEPUP_FACTOR_INSUFFICIENT"  # ada has none yet
    assert "wrong_user" in (await house.events(EventName.BLOCKED))[-2].flags
    assert house.total == 0


# C03
async def test_before_the_sign_in_a_session_is_asked_nothing_and_holds_nothing(house: House) -> None:
    stranger = Browser(house, None)
    stranger.client.cookies.set("session", "planted", domain="example.com")
    answer = await stranger.post(TRANSMIT)
    assert (code_of(answer), "stepup-prompt" in answer.headers) == ("STEPUP_NOT_SIGNED_IN", False)
    assert await house.events() == []


# C07 F13
async def test_a_sign_in_of_this_very_second_is_no_step_up(ada: Browser, house: House) -> None:
    fresh = ada.signed_in_again()
    assert fresh.subject is not None and fresh.subject.signed_in_at == house.clock()
    for method, url in (("POST", TRANSMIT), ("POST", ROTATE), ("GET", "/export"), ("POST", "/inside")):
        assert code_of(await fresh.send(method, url)) == "STEPUP_REQUIRED"
    assert house.total == 0


# C16
@pytest.mark.parametrize("name", ["next", "return_to", "redirect", "url", "continue"])
async def test_no_parameter_of_a_request_leads_the_repetition_elsewhere(ada: Browser, name: str) -> None:
    answer = await ada.navigate("POST", f"{ROTATE}?{name}=https://evil.example/", data={name: "https://evil.example/"})
    action = re.search(r'<form data-stepup-repeat method="post" action="([^"]*)"', answer.text)
    assert action is not None
    assert html.unescape(action.group(1)) == f"{ROTATE}?{name}=https://evil.example/"
    assert "location" not in answer.headers


# C16
@pytest.mark.parametrize("path", ["//evil.example/x", "///evil.example/x", "/\\evil.example/x", "//evil.example"])
async def test_a_path_that_reads_as_another_host_is_repeated_on_this_one(tmp_path: Path, path: str) -> None:
    async with house_in(
        tmp_path, wrap=lambda _: RequireStepUp(PlainTextResponse("ran"), "webhook_secret_rotation")
    ) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        for method in ("GET", "POST"):
            scope = scope_of(
                method, path, subject=ada.subject, headers=[("sec-fetch-mode", "navigate"), ("accept", "text/html")]
            )
            answer = await call(house.app, scope)
            assert answer.status == 401
            urls = re.findall(rb'(?:data-stepup-url|action)="([^"]*evil[^"]*)"', answer.body)
            assert urls
            for url in urls:
                assert re.match(rb"/(\.//|%5C)", url), url  # a slash, and then no second one and no backslash


# C22
async def test_a_page_that_a_browser_kept_and_sends_again_runs_nothing_twice(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_TOKEN_REUSED"
    (reused,) = await house.events(EventName.REUSED)
    assert reused.data["likely_retry"] is True
    assert (await ada.navigate("POST", TRANSMIT)).status_code == 401  # the form alone, its cookie is gone
    assert house.runs[TRANSMIT] == 1


# F16
async def test_a_workspace_that_the_request_names_is_not_the_one_that_counts(tim: Browser, house: House) -> None:
    admin = house.sign_in("root", is_admin=True)
    await house.stepup.policy.set(admin, "webhook_secret_rotation", "phishing_resistant")
    answer = await tim.post(
        ROTATE + "?workspace=other&workspace_id=other", headers={"x-workspace": "other", "x-workspace-id": "other"}
    )
    assert code_of(answer) == "STEPUP_FACTOR_INSUFFICIENT"
    assert {record.workspace_id for record in await house.events()} == {"axis"}


# O22
async def test_wrong_codes_are_counted_for_the_person_whatever_name_and_session_they_come_in(house: House) -> None:
    tim = Browser(house, house.sign_in("tim"))
    await tim.enrol("totp")
    for number, name in enumerate(["Tim", "TIM", "tim@axis.example", " tim ", "Tím"]):
        alias = Subject(id="tim", session_id=f"session-{number}", workspace_id="axis", name=name)
        house.sessions[alias.session_id] = alias
        other = Browser(house, alias, ip=f"192.0.2.{100 + number}", factors=tim.factors)
        prompt = await other.prompt("POST", ROTATE)
        assert (await other.answer(prompt, tim.factors["totp"], code="000000")).status_code == 400
    prompt = await tim.prompt("POST", ROTATE)
    assert code_of(await tim.answer(prompt, tim.factors["totp"])) == "STEPUP_RATE_LIMITED"


# I14 I12
async def test_a_prompt_of_one_address_brings_no_token_to_another_at_any_step(ada: Browser, house: House) -> None:
    other = ada.at(ELSEWHERE)
    prompt = await ada.prompt("POST", TRANSMIT)
    assert code_of(await other.answer(prompt, ada.factors["passkey"])) == "STEPUP_IP_MISMATCH"
    token = await ada.prove(prompt, "passkey")
    for browser in (ada, other):  # what was proved is not proved again, and not exchanged for another token
        url = prompt["prompt"]["url"]
        for tail, body in (("/webauthn/options", {}), ("/webauthn", {}), ("/totp", {"code": "000000"})):
            assert code_of(await browser.post(url + tail, json=body)) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await other.post(TRANSMIT, token=token)) == "STEPUP_IP_MISMATCH"
    assert house.total == 0


# H21
@pytest.mark.parametrize(
    "target",
    [
        TRANSMIT + "?/health",
        TRANSMIT + "?/stepup/static/stepup.js",
        TRANSMIT + "?path=/stepup/purposes",
        TRANSMIT + "?.css",
    ],
)
async def test_nothing_in_a_query_exempts_a_path(ada: Browser, house: House, target: str) -> None:
    assert code_of(await ada.post(target)) == "STEPUP_REQUIRED"
    assert house.total == 0


# H22
async def test_a_header_of_almost_the_name_is_no_token(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    for name in (
        "stepup_token",
        "step-up-token",
        "stepuptoken",
        "x-stepup-token",
        "stepup-token-",
        "http-stepup-token",
    ):
        assert code_of(await ada.post(TRANSMIT, headers={name: token})) == "STEPUP_REQUIRED"
    assert house.total == 0
    assert (await ada.post(TRANSMIT, token=token, headers={"connection": "StepUp-Token"})).status_code == 200


# H24
async def test_every_other_door_to_an_action_meets_the_same_guard(ada: Browser, house: House) -> None:
    @requires_step_up("payroll_ach_transmit")
    async def act(request: Request) -> Response:
        house.ran(request.scope)
        return PlainTextResponse("ran")

    async def dispatcher(request: Request) -> Response:
        """One address for many operations, as GraphQL and RPC have it."""
        operation = (await request.json())["operation"]
        return await act(request) if operation == "act" else JSONResponse({})

    async def plugin(request: Request) -> Response:
        return await act(request=request)

    house.starlette.router.routes[:0] = [
        Route("/graphql", dispatcher, methods=["POST"]),
        Route("/api/v1/act", act, methods=["POST"]),
        Route("/plugin", plugin, methods=["POST"]),
    ]
    doors: list[tuple[str, dict[str, Any]]] = [
        ("/graphql", {"json": {"operation": "act"}}),
        ("/api/v1/act", {}),
        ("/plugin", {}),
    ]
    for url, content in doors:
        assert code_of(await ada.post(url, **content)) == "STEPUP_REQUIRED"
        for scheme in ("Bearer pat_123", "Basic YWRhOmFkYQ=="):  # an API key is nobody's session
            answer = await Browser(house, None).post(url, headers={"authorization": scheme}, **content)
            assert code_of(answer) == "STEPUP_NOT_SIGNED_IN"
    assert (await ada.post("/graphql", json={"operation": "read"})).status_code == 200
    assert house.total == 0
