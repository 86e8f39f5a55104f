"""A policy gets weaker only by the step-up of an admin, made for these very changes; stricter without one."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import (
    EventName,
    FactorRequirement,
    NotPermitted,
    PolicyError,
    Purpose,
    StepUpMiddleware,
    StepUpRequired,
    requires_step_up,
)
from stepup_middleware.core.purposes import PLATFORM_PURPOSES
from tests.support import HOME, ORIGIN, POLICY, ROTATE, TRANSMIT, Browser, House, call, code_of, house_in, scope_of

STRICT, ANY = "phishing_resistant", "any"
LOOSE = [purpose.id for purpose in PLATFORM_PURPOSES if purpose.minimum is FactorRequirement.ANY]
HOOK, SCIM = "webhook_secret_rotation", "scim_token_revocation"
CHANGE = "from phishing-resistant only to any factor"


@pytest.fixture
async def root(house: House) -> Browser:
    """An admin with a passkey, in whose workspace everything takes a passkey."""
    browser = Browser(house, house.sign_in("root", is_admin=True))
    await browser.enrol("passkey")
    assert browser.subject is not None
    await house.stepup.policy.set_many(browser.subject, dict.fromkeys(LOOSE, STRICT))
    return browser


async def in_effect(house: House) -> dict[str, str]:
    """Return the policy, by purpose id."""
    return {entry.purpose.id: entry.requirement.value for entry in await house.stepup.policy.current("axis")}


async def test_a_loosening_names_each_change_and_is_saved_by_the_admins_passkey(root: Browser, house: House) -> None:
    wanted = {HOOK: ANY, SCIM: ANY, "payroll_ach_transmit": STRICT}
    prompt = await root.prompt("PUT", POLICY, json=wanted)
    assert (prompt["purpose"]["id"], prompt["requirement"]) == ("policy_loosen", STRICT)
    assert prompt["details"] == [["Webhook secret rotation", CHANGE], ["SCIM token revocation", CHANGE]]
    assert (await in_effect(house))[HOOK] == STRICT
    done = await root.send("PUT", POLICY, token=await root.prove(prompt, "passkey"), json=wanted)
    assert (done.status_code, done.json()[HOOK], done.json()[SCIM]) == (200, ANY, ANY)
    changes = [event for event in await house.events(EventName.POLICY_CHANGED) if event.data["to"] == ANY]
    assert [(event.purpose, event.data["from"], event.prompt_id) for event in changes] == [
        (each, STRICT, prompt["prompt"]["id"]) for each in (HOOK, SCIM)
    ]
    await house.assert_log_holds()


async def test_what_gets_stricter_beside_it_names_no_proof_and_alone_takes_none(root: Browser, house: House) -> None:
    assert (await root.step_up("PUT", POLICY, "passkey", json={HOOK: ANY})).status_code == 200
    prompt = await root.prompt("PUT", POLICY, json={HOOK: STRICT, SCIM: ANY})
    assert prompt["details"] == [["SCIM token revocation", CHANGE]]
    assert (await root.send("PUT", POLICY, json={HOOK: STRICT})).status_code == 200
    assert (await in_effect(house))[HOOK] == STRICT
    assert (await house.events(EventName.POLICY_CHANGED))[-1].prompt_id == ""


# F14
@pytest.mark.parametrize("seed", range(4))
async def test_no_order_of_writes_makes_a_policy_weaker_without_a_proof(root: Browser, house: House, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance of a test
    assert root.subject is not None
    tokens = [
        await root.token("PUT", POLICY, "passkey", json={each: ANY, **more})
        for each, more in itertools.product(LOOSE[:3], ({}, {LOOSE[3]: ANY}))
    ]
    tokens.append(await root.token("POST", TRANSMIT, "passkey"))
    before = await in_effect(house)
    for _ in range(40):
        wanted = {each: chance.choice((ANY, STRICT)) for each in chance.sample(LOOSE[4:], chance.randint(1, 4))}
        if chance.random() < 0.3:  # a script, with nobody to ask
            try:
                await house.stepup.policy.set_many(root.subject, wanted)
            except NotPermitted as error:
                assert "no request" in error.reason or ANY not in wanted.values()
        else:
            await root.send("PUT", POLICY, token=chance.choice([None, *tokens]), json=wanted)
        assert await in_effect(house) == before
    assert {event.data["to"] for event in await house.events(EventName.POLICY_CHANGED)} == {STRICT}


async def test_a_proof_of_another_loosening_of_another_act_or_of_another_admin_does_not_serve(
    root: Browser, house: House
) -> None:
    other = Browser(house, house.sign_in("other", is_admin=True), ip="192.0.2.20")
    await other.enrol("passkey")
    wanted = {HOOK: ANY}
    tokens = [
        await root.token("PUT", POLICY, "passkey", json={SCIM: ANY}),
        await root.token("PUT", POLICY, "passkey", json={**wanted, SCIM: ANY}),
        await root.token("POST", TRANSMIT, "passkey"),
        await other.token("PUT", POLICY, "passkey", json=wanted),
    ]
    for token in tokens:
        answer = await root.send("PUT", POLICY, token=token, json=wanted)
        assert (answer.status_code, code_of(answer)) == (401, "STEPUP_REQUIRED")
    assert (await in_effect(house))[HOOK] == STRICT
    token = await root.token("PUT", POLICY, "passkey", json=wanted)
    assert (await root.send("PUT", POLICY, token=token, json=wanted)).status_code == 200
    assert (await root.send("PUT", POLICY, json={HOOK: STRICT})).status_code == 200
    assert code_of(await root.send("PUT", POLICY, token=token, json=wanted)) == "STEPUP_TOKEN_REUSED"
    assert (await in_effect(house))[HOOK] == STRICT


async def test_only_a_passkey_or_hardware_key_loosens_and_nobody_but_an_admin(root: Browser, house: House) -> None:
    weak = Browser(house, house.sign_in("weak", is_admin=True), ip="192.0.2.21")
    await weak.enrol("totp")
    answer = await weak.send("PUT", POLICY, json={HOOK: ANY})
    assert (answer.status_code, code_of(answer)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
    eve = Browser(house, house.sign_in("eve"), ip="192.0.2.22")
    await eve.enrol("passkey")
    refused = await eve.send("PUT", POLICY, json={HOOK: ANY})
    assert (refused.status_code, "Only an admin" in refused.json()["why"]) == (422, True)
    assert root


# E20
async def test_an_admin_under_a_hold_loosens_nothing_until_it_is_over(root: Browser, house: House) -> None:
    await house.stepup.factors.reset("axis", "root", by="test", reason="lost")
    again = Browser(house, house.sign_in("root", is_admin=True))
    await again.enrol("passkey")
    answer = await again.send("PUT", POLICY, json={HOOK: ANY})
    assert (code_of(answer), "until" in answer.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)
    assert (await again.send("PUT", POLICY, json={HOOK: STRICT})).status_code == 200  # no change, and nothing to ask
    house.clock.advance(timedelta(hours=24))
    assert (await again.step_up("PUT", POLICY, "passkey", json={HOOK: ANY})).status_code == 200


async def test_without_a_request_or_the_middleware_nothing_is_loosened(root: Browser, house: House) -> None:
    assert root.subject is not None
    bare = scope_of("PUT", POLICY, subject=root.subject)
    for scope in (None, bare):
        with pytest.raises(NotPermitted, match="no request to ask them at"):
            await house.stepup.policy.set(root.subject, HOOK, ANY, scope=scope)
    assert (await in_effect(house))[HOOK] == STRICT


async def test_a_request_that_is_over_loosens_nothing(root: Browser, house: House) -> None:
    kept: list[Any] = []

    async def keeping(request: Request) -> Response:
        kept.append(request.scope)
        return Response()

    app = StepUpMiddleware(Starlette(routes=[Route("/kept", keeping)]), stepup=house.stepup)
    await call(app, scope_of("GET", "/kept", subject=root.subject))
    assert root.subject is not None
    with pytest.raises(Exception, match="after its request had ended"):
        await house.stepup.policy.set(root.subject, HOOK, ANY, scope=kept[0])
    assert (await in_effect(house))[HOOK] == STRICT


async def test_a_page_that_swallows_the_question_has_saved_nothing(root: Browser, house: House) -> None:
    async def swallowing(request: Request) -> Response:
        try:
            await house.stepup.policy.set(root.subject, HOOK, ANY, scope=request.scope)  # type: ignore[arg-type] # is one
        except StepUpRequired as required:
            return JSONResponse({"asked": required.problem["purpose"]["id"]})
        return JSONResponse({"asked": None})

    app = StepUpMiddleware(Starlette(routes=[Route("/quiet", swallowing, methods=["PUT"])]), stepup=house.stepup)
    answer = await call(app, scope_of("PUT", "/quiet", subject=root.subject, headers=[("origin", ORIGIN)]))
    assert (answer.status, answer.json()) == (200, {"asked": "policy_loosen"})
    assert (await in_effect(house))[HOOK] == STRICT


async def test_a_tagged_page_loosens_by_a_second_token_which_it_hands_over(root: Browser, house: House) -> None:
    @requires_step_up("custom_domain_change")
    async def tagged(request: Request) -> Response:
        try:
            await house.stepup.policy.set(
                root.subject,  # type: ignore[arg-type] # is one
                HOOK,
                ANY,
                scope=request.scope,
                token=request.headers.get("x-second"),
            )
        except StepUpRequired as required:
            return JSONResponse(dict(required.problem), status_code=202)
        return JSONResponse({})

    app = StepUpMiddleware(Starlette(routes=[Route("/tagged", tagged, methods=["PUT"])]), stepup=house.stepup)

    async def put(token: str, second: str = "") -> Any:
        headers = [("origin", ORIGIN), ("user-agent", "Browser/1"), ("stepup-token", token), ("x-second", second)]
        return await call(app, scope_of("PUT", "/tagged", subject=root.subject, headers=headers, ip=HOME))

    async def outer() -> str:
        asked = await call(app, scope_of("PUT", "/tagged", subject=root.subject, headers=[("origin", ORIGIN)]))
        return await root.prove(asked.json(), "passkey")

    refused = await put(await outer())
    assert refused.status == 202
    second = await root.prove(refused.json(), "passkey")
    assert (await in_effect(house))[HOOK] == STRICT
    assert (await put(await outer(), second)).status == 200
    assert (await in_effect(house))[HOOK] == ANY


async def test_over_a_socket_the_question_goes_out_as_a_message_and_its_token_comes_as_one(
    root: Browser, house: House
) -> None:
    said: list[Any] = []

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await house.stepup.policy.set(root.subject, HOOK, ANY, scope=websocket.scope)  # type: ignore[arg-type]
        except StepUpRequired as required:
            token = await root.prove(dict(required.problem), "passkey")
            said.append(
                await house.stepup.policy.set(root.subject, HOOK, ANY, scope=websocket.scope, token=token)  # type: ignore[arg-type]
            )
        await websocket.close()

    app = StepUpMiddleware(Starlette(routes=[WebSocketRoute("/ws", socket)]), stepup=house.stepup)
    headers = [("origin", ORIGIN), ("user-agent", "Browser/1")]
    await call(app, scope_of("GET", "/ws", subject=root.subject, headers=headers, kind="websocket"))
    assert [entry.requirement.value for entry in said] == [ANY]


async def test_words_are_those_of_the_admins_language(root: Browser) -> None:
    prompt = await root.prompt("PUT", POLICY, json={HOOK: ANY}, headers={"accept-language": "de"})
    assert prompt["purpose"]["authorize_title"] == "Lockerung der Richtlinie freigeben"
    assert prompt["details"][0][1] == "von nur Phishing-resistent zu jedem Faktor"


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[House]:
    """An app with a hundred purposes of its own."""
    purposes = [
        Purpose(
            id=f"p{number}", title=f"P {number}", authorize_title="A", consequence="C.",
            minimum=FactorRequirement.ANY, ttl=timedelta(seconds=60),
        )
        for number in range(100)
    ]  # fmt: skip
    async with house_in(tmp_path, purposes=[*PLATFORM_PURPOSES, *purposes]) as house:
        yield house


async def test_more_purposes_than_a_question_can_name_are_refused_with_a_sentence(many: House) -> None:
    root = Browser(many, many.sign_in("root", is_admin=True))
    await root.enrol("passkey")
    everything = [f"p{number}" for number in range(100)]
    assert root.subject is not None
    await many.stepup.policy.set_many(root.subject, dict.fromkeys(everything, STRICT))
    with pytest.raises(PolicyError, match="At most 64"):
        await many.stepup.policy.set_many(root.subject, dict.fromkeys(everything, ANY))
    done = await root.step_up("PUT", POLICY, "passkey", json=dict.fromkeys(everything[:64], ANY))
    assert done.status_code == 200
    assert (await root.post(ROTATE)).status_code == 401
