"""Who acts on a person's behalf, and what the caller calls itself: shown, bound, signed, logged."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from stepup_middleware import AuditRecord, EventName, RequireStepUp, Subject
from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.core.proofs import StoredAssertion
from tests.support import HTML, ROTATE, TRANSMIT, Browser, House, code_of, house_in

CALLERS = (("", ""), ("Booker 3", ""), ("", "Payday CLI"), ("Booker 3", "Payday CLI"), ("Payday CLI", "Booker 3"))


def acting(browser: Browser, actor: str = "", client: str = "") -> Subject:
    """From now on the session of a browser is one in which this actor and client act."""
    assert browser.subject is not None
    subject = replace(browser.subject, actor=actor, client=client)
    browser.house.sessions[subject.session_id] = subject
    return subject


async def events_of(house: House, prompt_id: str) -> list[AuditRecord]:
    """Return the events of a step-up that are written."""
    return [event for event in await house.events() if event.prompt_id == prompt_id]


async def shown(browser: Browser, url: str) -> str:
    """Return the modal of a prompt as htmx fetches it, in one line."""
    answer = await browser.send("GET", url, headers={"hx-request": "true", "accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


@pytest.mark.parametrize(("asking", "using"), [pair for pair in product(CALLERS, CALLERS) if pair[0] != pair[1]])
async def test_a_prompt_and_a_token_of_one_caller_serve_no_other_in_the_same_session(
    ada: Browser, house: House, asking: tuple[str, str], using: tuple[str, str]
) -> None:
    acting(ada, *asking)
    prompt = await ada.prompt("POST", TRANSMIT)
    token = await ada.token("POST", ROTATE, "passkey")
    acting(ada, *using)
    assert code_of(await ada.send("GET", prompt["prompt"]["url"])) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await ada.post(f"{prompt['prompt']['url']}/webauthn", json={})) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await ada.post(ROTATE, token=token)) == "STEPUP_REQUIRED"
    refused = (await house.events(EventName.BLOCKED))[-1]
    assert (refused.reason, refused.actor, refused.client) == ("wrong_session", *using)
    acting(ada, *asking)
    assert code_of(await ada.post(ROTATE, token=token)) == "STEPUP_REQUIRED"  # it went with the wrong caller
    assert house.total == 0


async def test_the_modal_says_who_asks_on_whose_behalf(ada: Browser) -> None:
    for actor, client, said in (
        ("Booker 3", "", "asked for by <strong>Booker 3</strong> on your behalf</p>"),
        ("Booker 3", "Payday CLI", "asked for by <strong>Booker 3</strong> on your behalf (<bdi>Payday CLI</bdi>)</p>"),
        ("", "Payday <CLI>", "through <strong>Payday &lt;CLI&gt;</strong></p>"),
    ):
        acting(ada, actor, client)
        prompt = await ada.prompt("POST", TRANSMIT)
        modal = await shown(ada, prompt["prompt"]["url"])
        assert "as <strong>Ada</strong>" in modal
        assert said in modal
    acting(ada)
    prompt = await ada.prompt("POST", TRANSMIT)
    assert "data-stepup-actor" not in await shown(ada, prompt["prompt"]["url"])


async def test_a_name_that_turns_the_text_around_is_shown_as_what_it_is(ada: Browser) -> None:
    acting(ada, "Ada\u202e", "")
    prompt = await ada.prompt("POST", TRANSMIT)
    assert "\u202e" not in await shown(ada, prompt["prompt"]["url"])


async def test_who_acts_is_signed_and_stands_in_every_event_of_the_step_up(ada: Browser, house: House) -> None:
    acting(ada, "Booker 3", "Payday CLI")
    prompt = await ada.prompt("POST", TRANSMIT)
    answer = await ada.post(TRANSMIT, token=await ada.prove(prompt, "passkey"))
    assert answer.status_code == 200
    async with asyncio.timeout(10):
        while len(events := await events_of(house, prompt["prompt"]["id"])) < 4:
            await house.store.records.wait_for_audit(await house.store.records.last_seq(), seconds=1)
    assert [event.event for event in events] == [
        EventName.CHALLENGE_REQUESTED,
        EventName.VERIFIED,
        EventName.ACTION_AUTHORIZED,
        EventName.ACTION_COMPLETED,
    ]
    assert {(event.subject_id, event.actor, event.client) for event in events} == {("ada", "Booker 3", "Payday CLI")}
    proof = StoredAssertion.read(events[1].data["proof"])
    assert proof is not None
    said = json.loads(proof.description)
    assert (said["subject"], said["actor"], said["client"]) == ("ada", "Booker 3", "Payday CLI")
    await house.assert_log_holds()


async def test_the_words_that_are_signed_are_those_that_were_shown(ada: Browser, house: House) -> None:
    german = {"accept-language": "de"}
    refusal = (await ada.post(TRANSMIT, headers=german)).json()
    french = {"accept-language": "fr", "hx-request": "true", "accept": "text/html"}
    page = " ".join((await ada.send("GET", refusal["prompt"]["url"], headers=french)).text.split())
    await ada.prove(refusal, "passkey")
    asked, verified = (await house.events(EventName.CHALLENGE_REQUESTED))[-1], (await house.events())[-1]
    proof = StoredAssertion.read(verified.data["proof"])
    assert proof is not None
    said = json.loads(proof.description)
    assert (said["locale"], said["title"]) == ("de", refusal["purpose"]["authorize_title"])
    assert said["consequence"] == refusal["purpose"]["consequence"]
    assert said["title"] != house.stepup.purposes["payroll_ach_transmit"].authorize_title  # it is German
    assert (f">{said['title']}</h2>" in page, said["consequence"] in page) == (True, True)
    assert asked.data == {name: said[name] for name in ("locale", "title", "consequence")}


async def test_a_navigation_shows_the_words_that_are_signed(ada: Browser, house: House) -> None:
    page = await ada.navigate("POST", ROTATE, headers={**HTML, "accept-language": "ar"})
    (asked,) = [event for event in await house.events(EventName.CHALLENGE_REQUESTED) if event.data["locale"] == "ar"]
    assert asked.data["title"] in page.text
    assert asked.data["consequence"] in page.text


async def test_signing_out_ends_what_others_began_in_the_session(ada: Browser, house: House) -> None:
    acting(ada, "Booker 3", "Payday CLI")
    token = await ada.token("POST", ROTATE, "passkey")
    assert ada.subject is not None
    await house.stepup.end_session(ada.subject)
    assert code_of(await ada.post(ROTATE, token=token)) == "STEPUP_REQUIRED"
    assert (await house.events(EventName.BLOCKED))[-1].reason == "revoked"


async def test_nobody_enrols_a_factor_on_anothers_behalf(house: House) -> None:
    eve = Browser(house, house.sign_in("eve"))
    acting(eve, "Supporter")
    for url, body in (("/stepup/factors/totp", {}), ("/stepup/factors/webauthn/options", {"kind": "passkey"})):
        answer = await eve.post(url, json=body)
        assert (answer.status_code, code_of(answer)) == (403, "STEPUP_NOT_PERMITTED")
        assert "on their behalf" in answer.json()["detail"]
    acting(eve, client="Payday CLI")
    await eve.enrol("passkey")  # what a browser calls itself is nobody else


async def test_a_handler_is_told_who_acted(tmp_path: Path) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        proof = scope["stepup"]
        await JSONResponse([proof.actor, proof.client])(scope, receive, send)

    async with house_in(tmp_path, wrap=lambda _: RequireStepUp(handler, "webhook_secret_rotation")) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        acting(ada, "Booker 3", "Payday CLI")
        answer = await ada.step_up("POST", "/anything", "passkey")
        assert answer.json() == ["Booker 3", "Payday CLI"]
