"""Clocks that step, waits that make no sense, digits that are guessed everywhere, a caller that becomes another one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from stepup_middleware import EventName
from stepup_middleware.core.approvals import APPROVAL_LIFETIME, MATCH_TRIES
from tests.http.approving import PURPOSES, Program, house, program, program_of
from tests.support import ELSEWHERE, ORIGIN, Browser, House, code_of

__all__ = ["house", "program"]


async def approve(person: Browser, asked: dict[str, object]) -> int:
    """Type the digits and prove; return the status of the last answer."""
    told = asked["approval"]
    assert isinstance(told, dict)
    link = str(told["url"]).removeprefix(ORIGIN)
    typed = await person.post(link, json={"match": told["match"]})
    if typed.status_code != 200:
        return typed.status_code
    return (await person.answer({"prompt": {"url": link}}, person.factors["passkey"])).status_code


@pytest.mark.parametrize("wait", ["-1", "1e9", "0x10", "99999999999999999999", "", "NaN", "5;5", '"', "٣", "1" * 5_000])
async def test_a_wait_that_makes_no_sense_is_answered_at_once_or_bounded(
    house: House, ada: Browser, program: Program, wait: str
) -> None:
    asked = await program.ask()
    value = f"wait={wait}".encode()
    waiting = asyncio.create_task(
        program.client.post(f"{asked['prompt']['url']}/token", json={}, headers={b"prefer": value})
    )
    link = asked["approval"]["url"].removeprefix(ORIGIN)
    done, _ = await asyncio.wait((waiting,), timeout=2)
    if not done:
        assert (await ada.post(f"{link}/deny", json={})).status_code in {200, 204}
    assert (await waiting).status_code in {202, 403}
    assert house.stepup._parts.approvals.watch.waiting == 0


@pytest.mark.parametrize("step", [timedelta(hours=-2), timedelta(seconds=-6), APPROVAL_LIFETIME, timedelta(days=400)])
@pytest.mark.parametrize("when", ["asked", "approved", "collected"])
async def test_a_clock_that_steps_in_the_middle_never_makes_anything_run_twice_or_after_its_time(
    house: House, ada: Browser, program: Program, when: str, step: timedelta
) -> None:
    def stepped(at: str) -> None:
        if at == when:
            house.clock.advance(step)

    asked = await program.ask()
    stepped("asked")
    phone = ada.signed_in_again().at(ELSEWHERE)
    approved = await approve(phone, asked) == 200
    stepped("approved")
    given = await program.wait(asked)
    assert given.status_code == 200 if approved and when == "collected" else given.status_code in {200, 202, 404}
    ran = []
    if given.status_code == 200:
        token = given.json()["token"]
        stepped("collected")
        ran = [(await program.run(token)).status_code for _ in range(3)]
    assert house.total == ran.count(200) <= 1
    if step > timedelta(0):
        assert house.total == 0
    logged = [
        each for each in await house.events(EventName.ACTION_AUTHORIZED) if each.purpose == asked["purpose"]["id"]
    ]
    assert len(logged) == house.total


# N20
async def test_two_callers_that_collect_and_run_at_once_run_it_once(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    assert await approve(ada, asked) == 200

    async def whole() -> int:
        given = await program.wait(asked)
        return (await program.run(given.json()["token"])).status_code if given.status_code == 200 else 404

    assert sorted(await asyncio.gather(*(whole() for _ in range(8))))[0] == 200
    assert house.total == 1


@pytest.mark.parametrize("swapped", ["address", "session", "person", "token", "browser's name"])
async def test_a_caller_that_becomes_another_one_in_the_middle_runs_nothing_it_was_not_given(
    house: House, ada: Browser, program: Program, swapped: str
) -> None:
    asked = await program.ask()
    assert await approve(ada, asked) == 200
    token = (await program.wait(asked)).json()["token"]
    match swapped:
        case "address":
            other = replace(program, ip=ELSEWHERE)
        case "session":
            other = program_of(house, program.subject)
        case "person":
            other = Program(house, house.sign_in("bob"), program.ip)
        case "token":
            other, token = program, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
        case _:
            other = replace(program, headers={"user-agent": "other/2"})
    status = (await other.run(token)).status_code
    assert (status == 200) == (swapped == "browser's name")  # what a program calls itself binds nothing
    assert house.total == (status == 200)
    assert (await other.wait(asked)).status_code in ({404} if status == 200 else {200, 403, 404})


async def test_a_node_that_starts_anew_between_any_two_steps_goes_on_where_the_last_one_was(
    house: House, ada: Browser, program: Program
) -> None:
    first, nodes = house, [house]

    async def anew() -> House:
        node = House(first.path.parent, purposes=PURPOSES, clock=first.clock)
        node.sessions = first.sessions
        nodes.append(node)
        await node.stepup.start()
        return node

    asked = await program.ask()
    await first.stepup.close()
    second = await anew()
    assert await approve(replace(ada, house=second), asked) == 200
    await second.stepup.close()
    third = await anew()
    token = (await replace(program, house=third).wait(asked)).json()["token"]
    await third.stepup.close()
    last = await anew()
    assert (await replace(program, house=last).run(token)).status_code == 200
    assert code_of(await replace(program, house=last).run(token)) == "STEPUP_TOKEN_REUSED"
    assert sum(node.total for node in nodes) == 1
    await last.stepup.close()


async def test_digits_guessed_on_several_nodes_at_once_are_as_few_tries_as_on_one(
    house: House, ada: Browser, program: Program
) -> None:
    asked = await program.ask()
    link = asked["approval"]["url"].removeprefix(ORIGIN)
    other = House(house.path.parent, purposes=PURPOSES, clock=house.clock)
    other.sessions = house.sessions
    wrong = [f"{number:02}" for number in range(100) if f"{number:02}" != asked["approval"]["match"]][:12]
    async with other.stepup:
        tabs = [ada.signed_in_again(), replace(ada.signed_in_again(), house=other)]
        answers = await asyncio.gather(
            *(tabs[number % 2].post(link, json={"match": each}) for number, each in enumerate(wrong))
        )
    assert not [each for each in answers if each.status_code == 200]
    assert sum(code_of(each) == "STEPUP_VERIFICATION_FAILED" for each in answers) == MATCH_TRIES - 1
    assert code_of(await program.wait(asked)) == "STEPUP_DENIED"
    assert await approve(ada, asked) != 200
    assert house.total == 0
