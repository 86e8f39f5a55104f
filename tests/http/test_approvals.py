"""A program asks, waits, and is given its token once its person approved; or is told why not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from blockbuster import blockbuster_ctx

from stepup_middleware import EventName
from stepup_middleware.core.approvals import (
    APPROVAL_LIFETIME,
    COLLECT_WITHIN,
    WAITING_PER_PERSON,
    ApprovalEnd,
    ApprovalState,
    Decider,
    EndReason,
)
from stepup_middleware.core.moments import iso
from tests.http.approving import AT, Program, house, program, program_of, until_asleep
from tests.support import ELSEWHERE, HTML, ROTATE, TRANSMIT, Browser, House, code_of

__all__ = ["house", "program"]


@pytest.fixture(autouse=True)
def never_blocked(house: House) -> Iterator[None]:
    """Let nothing of the library block the event loop once the app has started."""
    with blockbuster_ctx("stepup_middleware"):
        yield


# asking


async def test_a_program_is_told_where_its_person_approves_and_what_they_must_compare(
    house: House, program: Program
) -> None:
    asked = await program.ask()
    approval = asked["approval"]
    assert approval.keys() == {"url", "code", "match", "expires_at"}
    assert re.fullmatch(r"[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", approval["code"])
    assert approval["url"] == f"https://example.com/stepup/approve/{approval['code']}"
    assert re.fullmatch(r"\d\d", approval["match"])
    assert approval["expires_at"] == asked["prompt"]["expires_at"] == iso(house.clock() + APPROVAL_LIFETIME)
    (event,) = await house.events(EventName.APPROVAL_REQUESTED)
    assert (event.prompt_id, event.ip, event.user_agent) == (asked["prompt"]["id"], AT, "deploy/1.2")
    assert house.total == 0
    text = str([record.body for record in await house.events()])
    assert approval["code"] not in text
    await house.assert_log_holds()


# C30
@pytest.mark.parametrize("name", ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user"])
async def test_a_request_of_a_browser_is_never_offered_to_be_approved_elsewhere(
    house: House, program: Program, name: str
) -> None:
    value = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-user": "?1"}.get(name, "empty")
    asked = await program.client.post(ROTATE, headers={name: value})
    assert asked.status_code == 401
    assert "approval" not in asked.json()
    page = await program.client.post(ROTATE, headers={**HTML, "sec-fetch-site": "same-origin"})
    assert page.status_code == 401
    assert await house.events(EventName.APPROVAL_REQUESTED) == []


async def test_a_purpose_is_approved_elsewhere_only_where_the_app_turned_it_on(house: House, program: Program) -> None:
    asked = await program.ask("/sync")
    assert "approval" in asked
    other = await program.client.get("/export")
    assert other.status_code == 401
    assert other.json().keys().isdisjoint({"approval", "approval_refused"})
    listed = (await program.client.get("/stepup/purposes")).json()["purposes"]
    on = {purpose["id"] for purpose in listed if purpose["approvable"]}
    assert on == {"webhook_secret_rotation", "payroll_ach_transmit"}


async def test_the_same_request_is_asked_for_once_and_another_one_after_it_is_decided(
    house: House, program: Program
) -> None:
    first = await program.ask(TRANSMIT)
    assert await program.ask(TRANSMIT) == first
    other = await program.ask("/payroll/2026-07/transmit")
    assert "approval" not in other
    assert other["prompt"]["id"] != first["prompt"]["id"]
    refused = other["approval_refused"]
    assert (refused["reason"], refused["url"]) == ("approval_waits", "https://example.com/stepup/approvals")
    assert "approval" in await program.ask(ROTATE)  # another purpose
    assert (await program.client.delete(first["prompt"]["url"])).status_code == 204
    again = await program.ask("/payroll/2026-07/transmit")
    assert again["approval"]["code"] != first["approval"]["code"]
    assert len(await house.events(EventName.APPROVAL_REQUESTED)) == 3


async def test_a_flood_of_requests_is_bounded_for_the_person_and_told_to_the_log(
    house: House, ada: Browser, program: Program
) -> None:
    assert ada.subject is not None
    programs = [program_of(house, ada.subject) for _ in range(WAITING_PER_PERSON)]
    for each in programs:
        assert "approval" in await each.ask()
    asked = await program.ask()
    assert asked["approval_refused"]["reason"] == "approval_flood"
    assert "approval" not in asked
    (event,) = [record for record in await house.events(EventName.BLOCKED) if record.reason == "approval_flood"]
    assert event.subject_id == "ada"
    bob = Browser(house, house.sign_in("bob"))
    await bob.enrol("passkey")
    assert bob.subject is not None
    assert "approval" in await program_of(house, bob.subject).ask()


# waiting


async def test_who_waits_is_told_that_nobody_decided_yet_after_as_long_as_they_said(
    house: House, program: Program
) -> None:
    asked = await program.ask()
    at_once = await program.wait(asked)
    assert at_once.status_code == 202
    assert at_once.json() == {"status": "pending", "expires_at": asked["approval"]["expires_at"]}
    assert "preference-applied" not in at_once.headers
    waited = await program.wait(asked, 1)
    assert (waited.status_code, waited.headers["preference-applied"]) == (202, "wait=1")
    assert waited.headers["cache-control"] == "no-store"


async def end(house: House, prompt_id: str, state: ApprovalState) -> None:
    decider = Decider(session="s-phone", ip=ELSEWHERE, user_agent="Phone")
    ending = ApprovalEnd(state=state, reason=EndReason(state.value), at=house.clock(), decider=decider)
    assert await house.store.records.end_approval(prompt_id, ending, event=None)


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (ApprovalState.DENIED, 403, "STEPUP_DENIED"),
        (ApprovalState.CANCELLED, 404, "STEPUP_PROMPT_NOT_FOUND"),
    ],
)
async def test_who_waits_is_told_at_once_what_another_process_decided(
    house: House, program: Program, state: ApprovalState, status: int, code: str
) -> None:
    asked = await program.ask()
    waiting = asyncio.create_task(program.wait(asked, 25))
    await until_asleep(house)
    await end(house, asked["prompt"]["id"], state)
    answer = await waiting
    assert (answer.status_code, code_of(answer)) == (status, code)
    again = await program.wait(asked)
    assert (again.status_code, code_of(again)) == (status, code)
    assert house.total == 0


async def test_what_a_program_takes_back_or_nobody_decides_is_not_found_any_more(
    house: House, program: Program
) -> None:
    asked = await program.ask()
    waiting = asyncio.create_task(program.wait(asked, 25))
    await until_asleep(house)
    assert (await program.client.delete(asked["prompt"]["url"])).status_code == 204
    assert code_of(await waiting) == "STEPUP_PROMPT_NOT_FOUND"
    late = await program.ask()
    house.clock.advance(APPROVAL_LIFETIME)
    assert (await program.wait(late, 25)).status_code == 404


# C34
async def test_only_its_own_session_at_its_own_address_is_told_of_an_approval(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    assert ada.subject is not None
    sibling = program_of(house, ada.subject)
    assert (await sibling.wait(asked)).status_code == 404
    bob = program_of(house, house.sign_in("bob"))
    assert (await bob.wait(asked)).status_code == 404
    elsewhere = Program(house, program.subject, ELSEWHERE)
    answer = await elsewhere.wait(asked)
    assert (answer.status_code, code_of(answer)) == (403, "STEPUP_IP_MISMATCH")
    blocked = await house.events(EventName.BLOCKED)
    assert [(record.subject_id, record.reason) for record in blocked] == [
        ("ada", "wrong_holder"),
        ("bob", "wrong_holder"),
        ("ada", "ip_mismatch"),
    ]
    browsers_prompt = await ada.prompt("POST", ROTATE)
    assert (await ada.post(f"{browsers_prompt['prompt']['url']}/token", json={})).status_code == 404
    assert (await program.wait({"prompt": {"url": "/stepup/prompts/unknown"}})).status_code == 404


# C35
async def test_a_session_that_ends_while_it_waits_is_told_nothing(house: House, program: Program) -> None:
    asked = await program.ask()
    waiting = asyncio.create_task(program.wait(asked, 25))
    await until_asleep(house)
    del house.sessions[program.subject.session_id]
    await house.stepup.end_session(program.subject)
    assert code_of(await waiting) == "STEPUP_NOT_SIGNED_IN"


def test_the_times_of_an_approval_are_those_of_the_guide() -> None:
    assert (timedelta(minutes=10), timedelta(minutes=5)) == (APPROVAL_LIFETIME, COLLECT_WITHIN)
