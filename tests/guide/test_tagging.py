"""Tagging: each of the four ways asks, runs once after a proof, and fails closed."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute

from stepup_middleware import ConfigurationError, Rule, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import Message

from .harness import Ran
from .person import NAVIGATION, Person

WAYS = [
    ("DELETE", "/scim/t-1", "scim_token_revocation", "revoked"),
    ("DELETE", "/saml/okta", "saml_provider_deletion", "deleted"),
    ("GET", "/exports/2026", "data_export_download", "the bundle"),
    ("POST", "/accounts/a-1/erase", "account_erasure_finalize", "erased"),
    ("POST", "/tokens/p-1/scope?scope=write", "personal_access_token_elevation", "write"),
    ("POST", "/legacy/webhooks/w-1/rotate", "webhook_secret_rotation", "done by the old app"),
    ("PUT", "/legacy/admin/a/b", "mfa_policy_disable", "done by the old app"),
    ("POST", "/LEGACY//webhooks/w-1/rotate/", "webhook_secret_rotation", ""),
]


@pytest.mark.parametrize(("method", "url", "purpose", "words"), WAYS)
async def test_each_way_asks_and_runs_after_the_proof(
    ran: Ran, method: str, url: str, purpose: str, words: str
) -> None:
    person = Person(ran.names["app"])
    await person.enrol_passkey()
    asked = await person.ask(method, url)
    assert asked.json()["purpose"]["id"] == purpose
    token = await person.prove(asked)
    done = await person.http.request(method, url, headers={"stepup-token": token})
    assert done.status_code == (200 if words else 404)
    assert words in done.text


async def test_a_rule_with_a_condition_asks_at_the_deletion_alone(ran: Ran) -> None:
    person = Person(ran.names["app"])
    await person.enrol_passkey()
    url = "/legacy/users"
    for form in ({"action": "export"}, {"action": "export", "also": "delete"}):
        assert (await person.http.post(url, data=form)).text == "done by the old app"
    for asked in (
        await person.http.post(url, data={"action": "delete"}),
        await person.http.post(url, data={"action": ["export", "delete"]}),
        await person.http.post(url, json={"action": "export"}),
        await person.http.post(url + "?action=delete"),
    ):
        assert (asked.status_code, asked.json()["code"]) == (401, "STEPUP_REQUIRED")
    token = await person.prove(await person.http.post(url, data={"action": "delete"}))
    done = await person.http.post(url, data={"action": "delete"}, headers={"stepup-token": token})
    assert done.text == "done by the old app"


async def test_a_handler_that_need_not_ask_does_not(ran: Ran) -> None:
    person = Person(ran.names["app"])
    assert (await person.http.post("/tokens/p-1/scope?scope=read")).json() == {"scope": "read"}
    await person.enrol_passkey()
    asked = await person.ask("POST", "/tokens/p-1/scope?scope=write")
    assert asked.json()["details"] == [["Token", "p-1"], ["New scope", "write"]]


async def test_the_handler_finds_the_proof_that_the_page_lists(ran: Ran) -> None:
    stepup = ran.names["stepup"]
    app = StepUpMiddleware(Starlette(routes=[Route("/cname", ran.names["issue"], methods=["POST"])]), stepup=stepup)
    person = Person(app)
    await person.enrol_passkey()
    told = (await person.act("POST", "/cname")).json()
    assert told["prompt_id"]
    assert told["authorized_at"].endswith("+00:00")
    assert {key: told[key] for key in ("subject_id", "purpose", "factor_kind", "requirement", "acr", "amr")} == {
        "subject_id": "owner@axis.example",
        "purpose": "branding_domain_cname",
        "factor_kind": "passkey",
        "requirement": "any",
        "acr": "phr",
        "amr": ["swk", "user", "mfa"],
    }


async def test_head_is_asked_and_a_prefetch_is_not(ran: Ran) -> None:
    person = Person(ran.names["app"])
    await person.enrol_passkey()
    assert (await person.http.head("/exports/2026")).headers["stepup-prompt"]
    early = await person.http.get("/exports/2026", headers={**NAVIGATION, "sec-purpose": "prefetch"})
    assert early.status_code == 401
    assert "stepup-prompt" not in early.headers


async def test_without_the_middleware_a_tagged_endpoint_does_not_run(ran: Ran) -> None:
    bare = Starlette(routes=[Route("/scim/{token}", ran.names["revoke_token"], methods=["DELETE"])])
    transport = httpx2.ASGITransport(app=bare)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        with pytest.raises(ConfigurationError):
            await http.delete("/scim/t-1")


async def test_an_unknown_purpose_stops_the_start(ran: Ran) -> None:
    async def nothing(request: Any) -> None: ...

    tagged = Route("/x", requires_step_up("no_such_purpose")(nothing))
    with pytest.raises(ConfigurationError, match="no_such_purpose"):
        StepUpMiddleware(Starlette(routes=[tagged]), stepup=ran.names["stepup"])
    with pytest.raises(ConfigurationError, match="no_such_purpose"):
        StepUpMiddleware(Starlette(), stepup=ran.names["stepup"], rules=[Rule("*", "/x", purpose="no_such_purpose")])


async def test_two_tags_that_ask_for_different_proofs_are_refused_at_once(ran: Ran) -> None:
    with pytest.raises(ConfigurationError, match="two gates that ask for different proofs"):
        requires_step_up("data_export_download")(ran.names["revoke_token"])


async def test_the_command_printed_the_purposes(ran: Ran) -> None:
    assert "webhook_secret_rotation" in ran.outputs[0]


async def test_one_question_with_all_details_runs_all_of_it(ran: Ran) -> None:
    person = await person_at(ran, Route("/remove", ran.names["remove_users"], methods=["POST"]))
    asked = await person.ask("POST", "/remove", json={"users": ["a", "b"]})
    assert asked.json()["details"] == [["Remove", "a"], ["Remove", "b"]]
    done = await person.http.post(
        "/remove", json={"users": ["a", "b"]}, headers={"stepup-token": await person.prove(asked)}
    )
    assert done.text == "removed 2"


async def test_a_sync_handler_asks_from_its_thread(ran: Ran) -> None:
    person = await person_at(ran, Route("/pay", ran.names["pay_now"], methods=["POST"]))
    assert (await person.ask("POST", "/pay?payee=Ada")).json()["details"] == [["To", "Ada"]]
    assert (await person.act("POST", "/pay?payee=Ada")).text == "paid to Ada"


async def person_at(ran: Ran, *routes: BaseRoute) -> Person:
    """Somebody with a passkey at an app of these routes."""
    person = Person(StepUpMiddleware(Starlette(routes=routes), stepup=ran.names["stepup"]))
    await person.enrol_passkey()
    return person


async def test_each_message_of_a_socket_brings_its_own_token(ran: Ran) -> None:
    person = await person_at(ran, WebSocketRoute("/rotate", ran.names["rotate_by_socket"]))
    messages: list[dict[str, str]] = [{"endpoint": "a"}]
    said = await conversation(person, messages)
    assert (said[-1]["code"], said[-1]["details"]) == ("STEPUP_REQUIRED", [["Endpoint", "a"]])
    asked = await person.http.get(said[-1]["prompt"]["url"])
    asked.headers["stepup-prompt"] = said[-1]["prompt"]["url"]
    token = await person.prove(asked)
    messages += [{"endpoint": "a", "token": token}, {"endpoint": "b", "token": token}]
    said = await conversation(person, messages)
    assert [each.get("rotated") or each["code"] for each in said] == ["STEPUP_REQUIRED", "a", "STEPUP_TOKEN_REUSED"]


async def test_each_item_of_a_bulk_request_brings_its_own_token_and_one_refused_stops_no_other(ran: Ran) -> None:
    person = await person_at(ran, Route("/rotate", ran.names["rotate_many"], methods=["POST"]))
    items = [{"endpoint": "a"}, {"endpoint": "b"}]
    problem = (await person.http.post("/rotate", json={"items": items})).json()[1]["error"]
    asked = await person.http.get(problem["prompt"]["url"])
    asked.headers["stepup-prompt"] = problem["prompt"]["url"]
    items[1]["token"] = await person.prove(asked)
    done = await person.http.post("/rotate", json={"items": items})
    assert done.status_code == 200
    assert done.json()[0]["error"]["code"] == "STEPUP_REQUIRED"
    assert done.json()[1] == {"endpoint": "b", "rotated": True}
    assert "stepup-prompt" not in done.headers


async def conversation(person: Person, messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Say each message on a new WebSocket, and return the answers."""
    said: list[dict[str, Any]] = []
    coming: list[Message] = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "text": json.dumps(message)} for message in messages),
        {"type": "websocket.disconnect", "code": 1000},
    ]

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "websocket.send":
            said.append(json.loads(message["text"]))

    request = person.http.build_request("GET", "/rotate")
    scope = {
        "type": "websocket",
        "path": "/rotate",
        "raw_path": b"/rotate",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("192.0.2.10", 40_000),
        "session": person.session,
    }
    await person._app(scope, receive, send)
    return said
