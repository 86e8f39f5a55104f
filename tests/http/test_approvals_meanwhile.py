"""What changes between a program's question and its person's answer counts, and a flood of questions is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware import EventName, FactorRequirement
from stepup_middleware.core.approvals import ASKED_PER_PERSON, MATCH_TRIES, WAITING_PER_PERSON, ApprovalRefused
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.service.refusal_throttle import LOGGED_EACH
from tests.http.approving import PURPOSES, Program, house, program, program_of
from tests.http.test_recovery import CODE, codes_of
from tests.support import ELSEWHERE, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of, house_in

__all__ = ["house", "program"]

ME = ("axis", "ada")


async def matched(person: Browser, asked: dict[str, Any]) -> str:
    """Type the digits, and return the path of the link."""
    link = str(asked["approval"]["url"]).removeprefix(ORIGIN)
    assert (await person.post(link, json={"match": asked["approval"]["match"]})).status_code == 200
    return link


async def tightened(house: House) -> None:
    admin = house.sign_in("root", is_admin=True)
    await house.stepup.policy.set(admin, "webhook_secret_rotation", "phishing_resistant")


# C37
async def test_what_was_asked_before_the_policy_became_stronger_is_approved_by_the_stronger_factor_alone(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    await tightened(house)
    refused = await ada.answer({"prompt": {"url": link}}, ada.factors["totp"])
    assert (refused.status_code, code_of(refused)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
    assert 'name="code"' not in (await ada.navigate("GET", link)).text
    assert (await program.wait(asked)).status_code == 202
    assert house.total == 0
    assert (await ada.answer({"prompt": {"url": link}}, ada.factors["passkey"])).status_code == 200
    assert (await program.run((await program.wait(asked)).json()["token"])).status_code == 200
    assert house.total == 1
    await house.assert_log_holds()


# C37
async def test_who_has_no_factor_for_a_policy_that_became_stronger_can_only_deny(house: House) -> None:
    bob = Browser(house, house.sign_in("bob"))
    await bob.enrol("totp")
    assert bob.subject is not None
    program = program_of(house, bob.subject)
    asked = await program.ask()
    link = await matched(bob, asked)
    await tightened(house)
    page = await bob.navigate("GET", link)
    assert page.status_code == 403
    assert ("Deny" in page.text, 'name="match"' in page.text, 'name="code"' in page.text) == (True, False, False)
    assert code_of(await bob.send("GET", link)) == "STEPUP_FACTOR_INSUFFICIENT"
    assert (await bob.answer({"prompt": {"url": link}}, bob.factors["totp"])).status_code == 403
    assert (await bob.navigate("POST", f"{link}/deny", data={})).status_code == 303
    assert code_of(await program.wait(asked)) == "STEPUP_DENIED"
    assert house.total == 0


# C37
async def test_what_was_approved_under_a_policy_completes_though_it_becomes_stronger(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    assert (await ada.answer({"prompt": {"url": await matched(ada, asked)}}, ada.factors["totp"])).status_code == 200
    await tightened(house)
    assert (await program.run((await program.wait(asked)).json()["token"])).status_code == 200


async def test_what_was_approved_does_not_run_where_the_platforms_minimum_is_above_it_by_then(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    assert (await ada.answer({"prompt": {"url": await matched(ada, asked)}}, ada.factors["totp"])).status_code == 200
    token = (await program.wait(asked)).json()["token"]
    raised = [
        replace(each, minimum=FactorRequirement.PHISHING_RESISTANT) if each.id == "webhook_secret_rotation" else each
        for each in PURPOSES
    ]
    later = House(house.path.parent, purposes=raised, clock=house.clock)
    later.sessions = house.sessions
    async with later.stepup:
        refused = await Program(later, program.subject, program.ip).run(token)
        assert (refused.status_code, code_of(refused)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
        assert later.total == 0


# C38
@pytest.mark.parametrize("when", ["before the approval", "after it"])
async def test_a_hold_that_comes_between_the_question_and_the_run_lets_nothing_run(tmp_path: Path, when: str) -> None:
    async with house_in(tmp_path, purposes=PURPOSES, recovery_codes=True) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        codes = await codes_of(ada)
        assert ada.subject is not None
        program = program_of(house, ada.subject)
        asked, other = await program.ask(TRANSMIT), await program.ask()
        link = await matched(ada, asked)
        if when == "after it":
            assert (await ada.answer({"prompt": {"url": link}}, ada.factors["passkey"])).status_code == 200
        used = await ada.signed_in_again().post(CODE, json={"code": codes[0]})
        assert used.status_code < 300, used.text
        if when == "before the approval":
            refused = await ada.post(f"{link}/webauthn/options", json={})
            assert (refused.status_code, code_of(refused)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
            assert "until" in refused.json()
            assert (await program.wait(asked)).status_code == 202
        else:
            given = await program.wait(asked)
            if given.status_code == 200:
                run = await program.run(given.json()["token"], TRANSMIT)
                assert (run.status_code, code_of(run)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
        assert house.total == 0
        assert (await program.wait(other)).status_code in {202, 404}


# C39
@pytest.mark.parametrize("when", ["before the approval", "after it"])
async def test_a_person_who_is_removed_meanwhile_approves_nothing_and_their_program_runs_nothing(
    house: House, ada: Browser, program: Program, when: str
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    options = await ada.options({"prompt": {"url": link}})
    if when == "after it":
        assert (await ada.answer({"prompt": {"url": link}}, ada.factors["passkey"])).status_code == 200
    token = (await program.wait(asked)).json().get("token", "")
    house.sessions.clear()  # the app knows nobody of that name any more
    key = ada.factors["passkey"].authenticator
    assert key is not None
    if when == "before the approval":
        late = await ada.post(f"{link}/webauthn", json=key.get(options.json(), origin=ORIGIN))
        assert (late.status_code, code_of(late)) == (401, "STEPUP_NOT_SIGNED_IN")
    assert (await program.wait(asked)).status_code == 401
    assert (await program.run(token)).status_code == 401
    assert house.total == 0


# C35
async def test_a_session_that_ended_before_the_answer_is_approved_nothing(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    options = await ada.options({"prompt": {"url": link}})
    await house.stepup.end_session(program.subject)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    late = await ada.post(f"{link}/webauthn", json=key.get(options.json(), origin=ORIGIN))
    assert late.status_code == 404
    assert (await program.wait(asked)).status_code in {401, 404}
    assert house.total == 0


# C35
async def test_a_session_that_ended_after_the_approval_is_given_nothing_that_serves(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    assert (await ada.answer({"prompt": {"url": link}}, ada.factors["passkey"])).status_code == 200
    await house.stepup.end_session(program.subject)
    given = await program.wait(asked)
    if given.status_code == 200:
        assert (await program.run(given.json()["token"])).status_code in {401, 403}
    assert house.total == 0


async def test_a_prompt_that_a_dead_process_left_closed_is_not_waited_for(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    await house.store.cancel_prompt(asked["prompt"]["id"], event=None, now=house.clock())  # and it died with that
    assert (await program.wait(asked)).status_code == 202
    waiting = asyncio.create_task(program.wait(asked, 25))
    assert (await ada.options({"prompt": {"url": link}})).status_code == 404
    assert code_of(await waiting) == "STEPUP_PROMPT_NOT_FOUND"
    assert (await program.ask())["approval"]["code"] != asked["approval"]["code"]


# C35
async def test_a_removed_factor_takes_with_it_what_it_approved(house: House, ada: Browser, program: Program) -> None:
    asked = await program.ask()
    link = await matched(ada, asked)
    assert (await ada.answer({"prompt": {"url": link}}, ada.factors["totp"])).status_code == 200
    token = (await program.wait(asked)).json()["token"]
    event = (await house.events(EventName.FACTOR_ENROLLED))[0].as_event()
    assert await house.store.records.remove_factor(*ME, ada.factors["totp"].id, event=event, now=house.clock())
    assert (await program.run(token)).status_code in {401, 403}
    assert house.total == 0


# C32
async def test_digits_guessed_in_many_tabs_at_once_are_as_few_tries_as_in_one(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = str(asked["approval"]["url"]).removeprefix(ORIGIN)
    tabs = [ada.signed_in_again() for _ in range(5)]
    wrong = [f"{number:02}" for number in range(40) if f"{number:02}" != asked["approval"]["match"]][:30]
    answers = await asyncio.gather(
        *(tabs[number % 5].post(link, json={"match": digits}) for number, digits in enumerate(wrong))
    )
    codes = Counter(code_of(answer) for answer in answers)
    assert (codes["STEPUP_VERIFICATION_FAILED"], codes["STEPUP_DENIED"]) == (MATCH_TRIES - 1, 1)
    assert codes["STEPUP_PROMPT_NOT_FOUND"] == len(wrong) - MATCH_TRIES
    assert code_of(await ada.post(link, json={"match": asked["approval"]["match"]})) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await program.wait(asked)) == "STEPUP_DENIED"


# C34 C35
async def test_what_is_taken_back_while_it_is_collected_runs_only_where_taking_back_failed(
    house: House, ada: Browser, program: Program
) -> None:
    for _ in range(8):
        asked = await program.ask()
        link = await matched(ada, asked)
        assert (await ada.answer({"prompt": {"url": link}}, ada.factors["passkey"])).status_code == 200
        given, taken_back = await asyncio.gather(program.wait(asked), program.client.delete(asked["prompt"]["url"]))
        before = house.total
        if given.status_code == 200:
            await program.run(given.json()["token"])
        if taken_back.status_code == 204:
            assert house.total == before
            assert (await program.wait(asked)).status_code == 404


# C31
async def test_nothing_is_decided_by_a_link_alone_by_a_frame_or_by_another_site(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = str(asked["approval"]["url"]).removeprefix(ORIGIN)
    page = await ada.navigate("GET", f"{link}?match={asked['approval']['match']}")
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert 'name="match"' in page.text
    for path in ("/deny", "/end", "/totp", "/webauthn"):
        assert (await ada.navigate("GET", link + path)).status_code == 405
    other = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    for path in ("", "/deny", "/end", "/totp"):
        sent = await ada.client.post(link + path, headers=other, data={"match": asked["approval"]["match"]})
        assert (sent.status_code, code_of(sent)) == (403, "STEPUP_CROSS_ORIGIN")
    assert (await program.wait(asked)).status_code == 202


# Z07
@pytest.mark.slow
async def test_a_flood_of_a_thousand_requests_leaves_no_more_than_its_bound(
    house: House, ada: Browser, program: Program
) -> None:
    assert ada.subject is not None
    sessions, own = 10, len(await house.events())
    programs = [program_of(house, ada.subject) for _ in range(sessions)]
    statuses: Counter[int] = Counter()
    codes = set()
    for _ in range(50):
        for answer in await asyncio.gather(*(each.client.post(url) for each in programs for url in (ROTATE, TRANSMIT))):
            statuses[answer.status_code] += 1
            codes |= {answer.json()["approval"]["code"]} if "approval" in answer.json() else set()
    assert statuses.total() == 1000
    assert statuses.keys() == {401, 429}
    waiting = await house.store.records.waiting_approvals(*ME, now=house.clock())
    assert len(waiting) == len(codes) == WAITING_PER_PERSON <= ASKED_PER_PERSON
    events = Counter((record.event, record.reason) for record in (await house.events())[own:])
    assert events[EventName.APPROVAL_REQUESTED, ""] == WAITING_PER_PERSON
    assert events[EventName.CHALLENGE_REQUESTED, ""] <= sessions * OPEN_PROMPTS_PER_SESSION
    assert 1 <= events[EventName.BLOCKED, ApprovalRefused.TOO_MANY] <= LOGGED_EACH + 2
    assert events.total() <= WAITING_PER_PERSON + sessions * (OPEN_PROMPTS_PER_SESSION + 3 * (LOGGED_EACH + 2))
    bob = Browser(house, house.sign_in("bob"), ip=ELSEWHERE)
    await bob.enrol("passkey")
    assert bob.subject is not None
    assert "approval" in await program_of(house, bob.subject).ask()
