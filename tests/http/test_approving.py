"""A person looks at what a program asks, types its two digits and proves, or says no; nobody else can."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import EventName
from stepup_middleware.core.approvals import MATCH_TRIES
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.moments import iso
from tests.http.approving import AT, PURPOSES, Program, house, program, until_asleep
from tests.support import ELSEWHERE, HOME, HTML, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of, house_in

__all__ = ["house", "program"]


def link(asked: dict[str, Any]) -> str:
    """Return the path of the link that a program shows."""
    return str(asked["approval"]["url"]).removeprefix(ORIGIN)


async def match(person: Browser, asked: dict[str, Any], digits: str = "") -> httpx2.Response:
    return await person.post(link(asked), json={"match": digits or asked["approval"]["match"]})


async def prove(person: Browser, asked: dict[str, Any], kind: str = "passkey") -> httpx2.Response:
    """Run the ceremony by which a person approves."""
    return await person.answer({"prompt": {"url": link(asked)}}, person.factors[kind])


async def approve(person: Browser, asked: dict[str, Any], kind: str = "passkey") -> httpx2.Response:
    assert (await match(person, asked)).status_code == 200
    return await prove(person, asked, kind)


async def test_what_acts_on_behalf_of_a_person_decides_nothing_for_them(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    agent = ada.signed_in_again()
    assert agent.subject is not None
    session = agent.subject.session_id
    house.sessions[session] = replace(agent.subject, actor="helper-agent", client="Agents")
    for answer in (
        await agent.send("GET", "/stepup/approvals"),
        await agent.send("GET", link(asked)),
        await match(agent, asked),
        await agent.send("DELETE", link(asked)),
        await agent.post(f"{link(asked)}/totp", json={"code": "000000"}),
        await agent.post(f"{link(asked)}/webauthn/options", json={}),
    ):
        assert (answer.status_code, code_of(answer)) == (403, "STEPUP_NOT_PERMITTED")
    assert (await program.wait(asked)).status_code == 202
    assert (await approve(ada.signed_in_again(), asked)).status_code == 200


@pytest.mark.parametrize("kind", ["passkey", "totp"])
async def test_a_program_asks_its_person_approves_and_the_request_runs_once(
    house: House, ada: Browser, program: Program, kind: str
) -> None:
    asked = await program.ask()
    phone = ada.signed_in_again().at(ELSEWHERE)
    waiting = asyncio.create_task(program.wait(asked, 25))
    done = await approve(phone, asked, kind)
    assert (done.status_code, done.json()) == (200, {"status": "approved"})
    given = await waiting
    assert given.status_code == 200, given.text
    assert (await program.wait(asked)).json() == given.json()
    token = given.json()["token"]
    assert (await program.run(token)).status_code == 200
    assert code_of(await program.run(token)) == "STEPUP_TOKEN_REUSED"
    assert (await program.wait(asked)).status_code == 404
    assert house.total == 1
    (verified,) = [
        record for record in await house.events(EventName.VERIFIED) if record.prompt_id == asked["prompt"]["id"]
    ]
    approval = verified.data["approval"]
    assert (approval["caller"]["ip"], approval["approver"]["ip"]) == (AT, ELSEWHERE)
    assert approval["caller"]["session"] == program.subject.session == verified.session
    assert phone.subject is not None
    assert approval["approver"]["session"] == phone.subject.session
    await house.assert_log_holds()


async def test_what_is_signed_names_both_sides_and_the_evidence_of_it_holds(
    house: House, ada: Browser, program: Program
) -> None:
    from stepup_middleware.core.findings import LocatedRecord
    from stepup_middleware.core.proofs import check_proof
    from stepup_middleware.core.sequence import check_events
    from stepup_middleware.service.assertions import signature_holds

    asked = await program.ask()
    assert (await approve(ada.signed_in_again().at(ELSEWHERE), asked)).status_code == 200
    token = (await program.wait(asked)).json()["token"]
    assert (await program.run(token)).status_code == 200
    await house.soon(EventName.ACTION_COMPLETED)
    records = [record for record in await house.events() if record.prompt_id == asked["prompt"]["id"]]
    events = [LocatedRecord(where=record.event.value, record=record) for record in records]
    assert [finding for finding in check_events(events) if not finding.unverifiable] == []
    by = {event.record.event: event for event in events}
    enrolled = next(record for record in await house.events(EventName.FACTOR_ENROLLED) if record.subject_id == "ada")
    enrolment = LocatedRecord(where="enrolment", record=enrolled)
    found = check_proof(
        by[EventName.CHALLENGE_REQUESTED],
        by[EventName.VERIFIED],
        by[EventName.ACTION_AUTHORIZED],
        enrolment,
        signature_holds=signature_holds,
    )
    assert list(found) == []


async def test_the_person_sees_who_asks_and_is_asked_for_the_digits_before_anything_else(
    ada: Browser, program: Program
) -> None:
    asked = await program.ask(TRANSMIT)
    (waiting,) = (await ada.send("GET", "/stepup/approvals")).json()["approvals"]
    assert (waiting["ip"], waiting["agent"], waiting["known_network"]) == (AT, "deploy/1.2", False)
    assert ORIGIN + waiting["url"] == asked["approval"]["url"]
    page = await ada.navigate("GET", link(asked))
    assert page.status_code == 200
    strange = "None of your recent actions came from this network."
    for words in ("deploy/1.2", AT, "2026-06", "Authorize payroll ACH transmit", 'name="match"', strange, "Deny"):
        assert words in page.text, words
    assert asked["approval"]["match"] not in page.text.split("<main")[1].split("stepup-match")[1].split("</form>")[0]
    assert "data-stepup-kind" not in page.text
    assert (await prove_refused(ada, asked)) == 404
    typed = await ada.navigate("POST", link(asked), data={"match": asked["approval"]["match"]})
    assert (typed.status_code, typed.headers["location"]) == (303, link(asked))
    assert "data-stepup-kind" in (await ada.navigate("GET", link(asked))).text
    listed = await ada.navigate("GET", "/stepup/approvals")
    assert link(asked) in listed.text


@pytest.mark.parametrize(("seconds", "words"), [(0, "1 second ago"), (125, "2 minutes ago"), (599, "9 minutes ago")])
async def test_how_long_ago_it_was_asked_is_said_as_of_the_opening_of_the_page_beside_the_time(
    house: House, ada: Browser, program: Program, seconds: int, words: str
) -> None:
    asked = await program.ask()
    at = house.clock()
    house.clock.advance(seconds)
    for path in (link(asked), "/stepup/approvals"):
        page = (await ada.navigate("GET", path)).text
        assert f'<time datetime="{iso(at)}"><bdi>' in page
        assert f'data-stepup-age="{seconds}">when this page was opened: {words}<' in page
    german = await ada.navigate("GET", link(asked), headers={**HTML, "accept-language": "de"})
    assert "beim Öffnen dieser Seite: vor " in german.text


async def test_what_is_denied_again_and_again_is_a_cluster_of_failures_and_what_is_taken_back_is_not(
    house: House, ada: Browser, program: Program
) -> None:
    since = house.clock()
    for _ in range(5):
        taken_back = await program.ask()
        assert (await program.client.delete(taken_back["prompt"]["url"])).status_code == 204
    assert await house.stepup.audit.clusters("axis", since=since) == ()
    for _ in range(5):
        asked = await program.ask()
        assert (await ada.send("DELETE", link(asked))).status_code == 204
    (cluster,) = await house.stepup.audit.clusters("axis", since=since)
    assert (cluster.purpose, cluster.failures) == ("webhook_secret_rotation", 5)


async def prove_refused(person: Browser, asked: dict[str, Any]) -> int:
    """Return how the first step of a proof is refused."""
    return (await person.options({"prompt": {"url": link(asked)}})).status_code


async def test_a_person_without_a_script_approves_by_a_code(ada: Browser, program: Program) -> None:
    from stepup_middleware.testing import totp_code

    asked = await program.ask()
    await ada.navigate("POST", link(asked), data={"match": asked["approval"]["match"]})
    code = totp_code(ada.factors["totp"].secret, ada.house.clock())
    wrong = await ada.navigate("POST", f"{link(asked)}/totp", data={"code": "000000"})
    assert wrong.status_code == 400
    done = await ada.navigate("POST", f"{link(asked)}/totp", data={"code": code})
    assert done.status_code == 303
    assert "Approved." in (await ada.navigate("GET", link(asked))).text
    assert (await program.wait(asked)).status_code == 200


# attacks


# C31 V05
async def test_another_person_with_the_link_is_told_so_and_sees_nothing(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask(TRANSMIT)
    bob = Browser(house, house.sign_in("bob"), ip="192.0.2.8")
    await bob.enrol("passkey")
    twin = Browser(house, house.sign_in("ada", workspace="other"))
    for other in (bob, twin):
        page = await other.navigate("GET", link(asked))
        assert page.status_code == 404
        assert "2026-06" not in page.text
        assert AT not in page.text
        assert "nothing waits here for you" in page.text
        unknown = await other.navigate("GET", "/stepup/approve/BBBB-BBBB")
        assert unknown.text == page.text
        assert (await match(other, asked)).status_code == 404
        assert (await other.post(f"{link(asked)}/deny", json={})).status_code == 404
        assert (await other.send("GET", "/stepup/approvals")).json() == {"approvals": []}
    reasons = [(record.subject_id, record.reason) for record in await house.events(EventName.BLOCKED)]
    assert ("bob", "wrong_holder") in reasons
    assert (await approve(ada, asked)).status_code == 200


# C32
async def test_wrong_digits_and_those_of_another_prompt_deny_it_after_three_tries(
    house: House, ada: Browser, program: Program
) -> None:
    asked, other = await program.ask(), await program.ask(TRANSMIT)
    mine, foreign = asked["approval"]["match"], other["approval"]["match"]
    wrong = foreign if foreign != mine else f"{(int(mine) + 1) % 100:02}"
    for number in range(1, MATCH_TRIES):
        answer = await match(ada, asked, wrong)
        assert (answer.status_code, code_of(answer)) == (400, "STEPUP_VERIFICATION_FAILED"), number
    assert code_of(await match(ada, asked, "4")) == "STEPUP_VERIFICATION_FAILED"  # counts as none
    assert code_of(await match(ada, asked, wrong)) == "STEPUP_DENIED"
    assert code_of(await match(ada, asked)) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await program.wait(asked)) == "STEPUP_DENIED"
    assert (await program.client.get(asked["prompt"]["url"])).status_code == 404
    (denied,) = await house.events(EventName.APPROVAL_DENIED)
    assert (denied.reason, denied.data["approver"]["ip"], denied.ip) == ("wrong_digits", HOME, AT)
    assert len([record for record in await house.events(EventName.FAILED) if record.reason == "wrong_digits"]) == 2
    assert (await program.wait(other)).status_code == 202
    await house.assert_log_holds()


async def test_a_denial_is_told_at_once_and_nothing_of_the_prompt_serves_any_more(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    waiting = asyncio.create_task(program.wait(asked, 25))
    await until_asleep(house)
    assert (await ada.navigate("POST", f"{link(asked)}/deny", data={})).status_code == 303
    answer = await waiting
    assert (answer.status_code, code_of(answer)) == (403, "STEPUP_DENIED")
    assert "nothing was done" in (await ada.navigate("GET", link(asked))).text
    assert (await program.client.post(f"{asked['prompt']['url']}/webauthn/options", json={})).status_code == 404
    assert house.total == 0


async def test_a_proof_that_a_denial_overtakes_is_answered_like_one_that_comes_after_it(
    house: House, ada: Browser, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await program.ask()
    options = await program.client.post(f"{asked['prompt']['url']}/webauthn/options", json={})
    pop = house.store.pop_challenge

    async def denied_before(prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        assert (await ada.post(f"{link(asked)}/deny", json={})).status_code < 300
        return await pop(prompt_id, now=now)

    monkeypatch.setattr(house.store, "pop_challenge", denied_before)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    signed = key.get(options.json(), origin=ORIGIN)
    late = await program.client.post(f"{asked['prompt']['url']}/webauthn", json=signed)
    assert (late.status_code, code_of(late)) == (404, "STEPUP_PROMPT_NOT_FOUND")
    assert await house.events(EventName.FAILED) == []  # nobody proved wrongly
    assert house.total == 0


# C33
async def test_only_the_tab_whose_session_typed_the_digits_last_approves_and_once(
    ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    other = ada.signed_in_again()
    assert (await match(ada, asked)).status_code == 200
    assert (await match(other, asked)).status_code == 200
    assert await prove_refused(ada, asked) == 404
    assert (await prove(other, asked)).status_code == 200
    assert await prove_refused(other, asked) == 404


# C35
async def test_an_approval_after_a_cancel_or_without_the_factor_brings_nothing(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    assert (await match(ada, asked)).status_code == 200
    options = await ada.options({"prompt": {"url": link(asked)}})
    assert (await program.client.delete(asked["prompt"]["url"])).status_code == 204
    key = ada.factors["passkey"].authenticator
    assert key is not None
    late = await ada.post(f"{link(asked)}/webauthn", json=key.get(options.json(), origin=ORIGIN))
    assert late.status_code == 404
    again = await program.ask(TRANSMIT)
    assert (await match(ada, again)).status_code == 200
    options = await ada.options({"prompt": {"url": link(again)}})
    factor = ada.factors["passkey"].id
    await house.store.records.remove_factor(
        "axis", "ada", factor, event=(await house.events(EventName.FACTOR_ENROLLED))[0].as_event(), now=house.clock()
    )
    removed = await ada.post(f"{link(again)}/webauthn", json=key.get(options.json(), origin=ORIGIN))
    assert removed.status_code == 400
    assert house.total == 0


async def test_a_signature_that_was_begun_at_another_address_does_not_approve(ada: Browser, program: Program) -> None:
    asked = await program.ask()
    assert (await match(ada, asked)).status_code == 200
    options = await ada.options({"prompt": {"url": link(asked)}})
    key = ada.factors["passkey"].authenticator
    assert key is not None
    answer = await ada.at(ELSEWHERE).post(f"{link(asked)}/webauthn", json=key.get(options.json(), origin=ORIGIN))
    assert answer.status_code == 400


async def test_a_stranger_is_led_to_sign_in_and_back_to_the_link(tmp_path: Path) -> None:
    async with house_in(tmp_path, purposes=PURPOSES, sign_in_url="/sign-in") as house:
        stranger = Browser(house, None)
        page = await stranger.navigate("GET", "/stepup/approve/KVTR-BCDM", headers=HTML)
        assert page.status_code == 401
        assert "/sign-in?next=%2Fstepup%2Fapprove%2FKVTR-BCDM" in page.text


# C34
async def test_the_token_of_an_approval_serves_its_own_request_alone(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    assert (await approve(ada, asked)).status_code == 200
    token = (await program.wait(asked)).json()["token"]
    assert (await ada.post(ROTATE, token=token)).status_code == 401  # not the approver's
    assert house.total == 0
