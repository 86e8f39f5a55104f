"""The list of what waits for a person is told to whoever waits for it at once, and costs next to nothing meanwhile."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import httpx2
import pytest

from stepup_middleware.core.approvals import APPROVAL_LIFETIME, ApprovalMark, ApprovalNews
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.records import RowMacs
from stepup_middleware.service.approval_watch import MOST_OF_ONE, PAGES_EVERY, ApprovalWatch, of_person, of_prompt
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.http.approving import Program, house, program, until_asleep
from tests.support import KEY, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of

__all__ = ["house", "program"]


async def listed(person: Browser, tag: str = "", seconds: int = 0) -> httpx2.Response:
    """Ask for the list, or wait until it is another one."""
    headers = {"if-none-match": tag, "prefer": f"wait={seconds}"} if tag else {}
    return await person.send("GET", "/stepup/approvals", headers=headers)


async def test_a_page_that_waits_is_told_at_once_of_what_comes_of_what_is_decided_and_of_what_is_taken_back(
    house: House, ada: Browser, program: Program
) -> None:
    tag = (await listed(ada)).headers["etag"]
    assert (
        f'data-stepup-waiting="{tag.replace(chr(34), "&#34;")}"'
        in (await ada.navigate("GET", "/stepup/approvals")).text
    )
    asked: list[dict[str, Any]] = []

    async def step(number: int) -> None:
        if number < 2:
            asked.append(await program.ask((ROTATE, TRANSMIT)[number]))
        elif number == 2:
            await ada.send("DELETE", str(asked[0]["approval"]["url"]).removeprefix(ORIGIN))
        else:
            await program.client.delete(asked[1]["prompt"]["url"])

    for number, length in enumerate((1, 2, 1, 0)):
        waiting = asyncio.create_task(listed(ada, tag, 25))
        await until_asleep(house)
        await step(number)
        answer = await waiting
        assert (answer.status_code, len(answer.json()["approvals"])) == (200, length)
        assert answer.headers["etag"] != tag
        tag = answer.headers["etag"]


async def test_what_changed_before_the_page_waited_is_told_without_a_wait(
    house: House, ada: Browser, program: Program
) -> None:
    tag = (await listed(ada)).headers["etag"]
    await program.ask()
    assert len((await listed(ada, tag, 25)).json()["approvals"]) == 1


async def test_where_nothing_changes_the_answer_says_so_after_the_wait_and_that_it_waited(ada: Browser) -> None:
    tag = (await listed(ada)).headers["etag"]
    answer = await listed(ada, tag, 1)
    assert (answer.status_code, answer.headers["preference-applied"], answer.content) == (304, "wait=1", b"")
    assert answer.headers["etag"] == tag


async def test_what_expires_goes_from_the_list_of_a_page_that_waits(
    house: House, ada: Browser, program: Program
) -> None:
    await program.ask()
    tag = (await listed(ada)).headers["etag"]
    house.clock.advance(APPROVAL_LIFETIME.total_seconds() - 0.5)
    waiting = asyncio.create_task(listed(ada, tag, 25))
    await until_asleep(house)
    house.clock.advance(1)
    assert (await waiting).json() == {"approvals": []}


async def test_who_is_signed_out_meanwhile_is_told_nothing_of_the_list(
    house: House, ada: Browser, program: Program
) -> None:
    tag = (await listed(ada)).headers["etag"]
    waiting = asyncio.create_task(listed(ada, tag, 25))
    await until_asleep(house)
    assert ada.subject is not None
    del house.sessions[ada.subject.session_id]
    await program.ask()
    assert code_of(await waiting) == "STEPUP_NOT_SIGNED_IN"


async def test_further_pages_of_a_person_are_answered_without_a_wait_and_other_people_wait_as_ever(
    house: House, ada: Browser, program: Program
) -> None:
    tag = (await listed(ada)).headers["etag"]
    bob = Browser(house, house.sign_in("bob"))
    tasks = [asyncio.create_task(listed(ada, tag, 25)) for _ in range(MOST_OF_ONE)]
    await until_asleep(house, MOST_OF_ONE)
    further = await listed(ada, tag, 25)
    assert (further.status_code, "preference-applied" in further.headers) == (304, False)
    theirs = asyncio.create_task(listed(bob, (await listed(bob)).headers["etag"], 2))
    await until_asleep(house, MOST_OF_ONE + 1)
    await program.ask()
    assert [(await task).status_code for task in tasks] == [200] * MOST_OF_ONE
    assert (await theirs).status_code == 304


async def test_the_end_of_all_by_another_process_is_told_to_programs_and_pages_at_once(
    house: House, ada: Browser, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await program.ask()
    page = asyncio.create_task(listed(ada, (await listed(ada)).headers["etag"], 30))
    waiting = asyncio.create_task(program.wait(asked, 30))
    await until_asleep(house, 2)
    rounds, records = 0, house.store.records
    real = records.approval_news

    async def counted(**arguments: Any) -> ApprovalNews:
        nonlocal rounds
        rounds += 1
        return await real(**arguments)

    monkeypatch.setattr(records, "approval_news", counted)
    async with SQLiteStore(house.path).use(RowMacs(KeyRing(KEY))) as another:
        await another.revoke_all(event=None, now=house.clock())
    assert code_of(await waiting) == "STEPUP_PROMPT_NOT_FOUND"
    assert (await page).json() == {"approvals": []}
    assert rounds <= 3  # one that was under way, and the one that told; a wait of its own would have had 150


class Counted:
    """A store that counts how often it is asked what has changed."""

    def __init__(self) -> None:
        self.asked = 0

    async def approval_news(self, *, after: ApprovalMark | None, limit: int) -> ApprovalNews:
        self.asked += after is not None
        return ApprovalNews(ApprovalMark(1, 0))


async def test_pages_ask_the_database_less_often_than_programs_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def undecided() -> tuple[None, float]:
        return None, inf

    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for key, each in ((of_person("axis", "ada"), PAGES_EVERY), (of_prompt("p"), 1)):
        store = Counted()
        watch = ApprovalWatch(store)  # type: ignore[arg-type]  # what it asks a store is this
        waiting = asyncio.create_task(watch.until(key, undecided, 30))
        while not watch.waiting:
            await real(0)
        slept.clear()
        while store.asked < 4:
            await real(0)
        assert each * 3 <= len(slept) / (store.asked / 4) <= each * 5
        waiting.cancel()
        await watch.close()
