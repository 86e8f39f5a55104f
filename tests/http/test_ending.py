"""A person denies what a program asks and ends its session: here at once, and in the app by the callable of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import ConfigurationError, EndedSession, EventName, Notice, NoticeKind
from stepup_middleware.service import session_ending
from tests.http.approving import AT, PURPOSES, Program, program_of
from tests.machine import until
from tests.support import ELSEWHERE, HOME, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of, house_in


@dataclass
class Scene:
    """An app that ends sessions, what it was handed, and what people were told."""

    handed: list[EndedSession] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    house: House | None = None
    instead: Callable[[], Awaitable[None]] | None = None

    async def end_session(self, ended: EndedSession) -> None:
        self.handed.append(ended)
        if self.instead is not None:
            await self.instead()
        assert self.house is not None
        for session_id in [each for each in self.house.sessions if ended.has_id(each)]:
            del self.house.sessions[session_id]

    async def tell(self, notice: Notice) -> None:
        self.notices.append(notice)


@asynccontextmanager
async def ada_in(folder: Path, **settings: Any) -> AsyncIterator[tuple[House, Browser, Program]]:
    async with house_in(folder, purposes=PURPOSES, **settings) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert ada.subject is not None
        yield house, ada, program_of(house, ada.subject)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[tuple[Scene, House, Browser, Program]]:
    scene = Scene()
    async with ada_in(tmp_path, end_session=scene.end_session, notify=[scene.tell]) as (house, ada, program):
        scene.house = house
        yield scene, house, ada, program


def link(asked: dict[str, Any]) -> str:
    return str(asked["approval"]["url"]).removeprefix(ORIGIN)


async def approve(person: Browser, asked: dict[str, Any]) -> None:
    assert (await person.post(link(asked), json={"match": asked["approval"]["match"]})).status_code == 200
    done = await person.answer({"prompt": {"url": link(asked)}}, person.factors["passkey"])
    assert done.status_code == 200, done.text


async def ended(person: Browser, asked: dict[str, Any]) -> httpx2.Response:
    """Press the button of the page."""
    return await person.navigate("POST", f"{link(asked)}/end", data={})


# C40
async def test_everything_that_the_session_has_open_ends_with_it_whoever_acts_in_it(
    scene: tuple[Scene, House, Browser, Program],
) -> None:
    it, house, ada, program = scene
    phone = ada.signed_in_again().at(ELSEWHERE)
    approved = await program.ask(TRANSMIT)
    await approve(phone, approved)
    token = (await program.wait(approved)).json()["token"]
    house.sessions[program.subject.session_id] = replace(program.subject, actor="nightly", client="deploy")
    asked = await program.ask()
    house.sessions[program.subject.session_id] = program.subject
    waiting = asyncio.create_task(program.wait(await program.ask(), 25))
    assert "Deny and end that session" in (await phone.navigate("GET", link(asked))).text
    page = await ended(phone, asked)
    assert page.status_code == 200
    assert "That session has ended" in page.text
    assert (await waiting).status_code in {401, 403, 404}
    assert await house.store.records.waiting_approvals("axis", "ada", now=house.clock()) == ()
    assert (await program.wait(approved)).status_code == 401
    house.sessions[program.subject.session_id] = program.subject  # as if the app had not ended it
    assert (await program.run(token, TRANSMIT)).status_code in {401, 403}
    assert (await program.wait(approved)).status_code == 404
    assert (await program.client.get(asked["prompt"]["url"])).status_code == 404
    assert house.total == 0
    (handed,) = it.handed
    assert (handed.workspace_id, handed.subject_id, handed.session) == ("axis", "ada", program.subject.session)
    assert (handed.actor, handed.client, handed.ip) == ("nightly", "deploy", AT)


async def test_the_log_has_both_sides_and_the_person_is_told(scene: tuple[Scene, House, Browser, Program]) -> None:
    it, house, ada, program = scene
    asked = await program.ask()
    assert (await ended(ada, asked)).status_code == 200
    (denied,) = await house.events(EventName.APPROVAL_DENIED)
    (event,) = await house.events(EventName.SESSION_ENDED)
    assert denied.prompt_id == asked["prompt"]["id"] == event.data["prompt"]
    assert ada.subject is not None
    assert (event.prompt_id, event.session, event.ip) == ("", ada.subject.session, HOME)
    assert (event.data["caller"]["session"], event.data["caller"]["ip"]) == (program.subject.session, AT)
    assert (event.data["outcome"], "untold" in event.data) == ("returned", False)
    await house.assert_log_holds()
    await until(lambda: NoticeKind.SESSION_ENDED in [each.kind for each in it.notices])
    (notice,) = [each for each in it.notices if each.kind is NoticeKind.SESSION_ENDED]
    assert "deploy/1.2" in notice.text
    assert (notice.ip, notice.by_other) == (HOME, False)


async def test_what_was_approved_by_mistake_is_stopped_until_it_is_redeemed(
    scene: tuple[Scene, House, Browser, Program],
) -> None:
    _, house, ada, program = scene
    asked = await program.ask()
    await approve(ada, asked)
    assert "End that session" in (await ada.navigate("GET", link(asked))).text
    assert (await ended(ada, asked)).status_code == 200
    house.sessions[program.subject.session_id] = program.subject
    assert (await program.wait(asked)).status_code == 404
    assert house.total == 0


@pytest.mark.parametrize("how", ["raised", "late"])
async def test_where_the_app_fails_the_person_is_told_and_nothing_of_the_session_counts_all_the_same(
    scene: tuple[Scene, House, Browser, Program], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, house, ada, program = scene
    monkeypatch.setattr(session_ending, "END_SECONDS", 0.05)

    async def fail() -> None:
        if how == "late":
            await asyncio.Event().wait()
        raise ZeroDivisionError

    it.instead = fail
    asked, other = await program.ask(), await program.ask(TRANSMIT)
    await approve(ada, other)
    page = await ended(ada, asked)
    assert page.status_code == 503
    assert "try again, and tell your security team" in page.text
    assert (await program.wait(asked)).status_code == 403
    assert (await program.wait(other)).status_code == 404
    (event,) = await house.events(EventName.SESSION_ENDED)
    assert (event.data["outcome"], event.data["untold"]) == (how, True)
    assert event.data.get("exception") == ("ZeroDivisionError" if how == "raised" else None)
    await house.assert_log_holds()
    it.instead = None
    assert (await ada.post(f"{link(asked)}/end", json={})).status_code == 204
    assert (await program.client.post(ROTATE)).status_code == 401
    assert program.subject.session_id not in house.sessions


# C40
async def test_what_the_session_asks_while_the_app_ends_it_ends_with_it(
    scene: tuple[Scene, House, Browser, Program],
) -> None:
    it, house, ada, program = scene
    later: list[dict[str, Any]] = []

    async def meanwhile() -> None:
        later.append(await program.ask(TRANSMIT))

    it.instead = meanwhile
    assert (await ended(ada, await program.ask())).status_code == 200
    assert later
    assert await house.store.records.waiting_approvals("axis", "ada", now=house.clock()) == ()


# C40
async def test_nobody_else_ends_it_and_no_other_site_does(scene: tuple[Scene, House, Browser, Program]) -> None:
    it, house, ada, program = scene
    asked = await program.ask()
    bob = Browser(house, house.sign_in("bob"))
    twin = Browser(house, house.sign_in("ada", workspace="other"))
    for other in (bob, twin):
        assert (await ended(other, asked)).status_code == 404
    agent = ada.signed_in_again()
    assert agent.subject is not None
    house.sessions[agent.subject.session_id] = replace(agent.subject, actor="helper")
    assert (await ended(agent, asked)).status_code == 403
    site = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    crossed = await ada.client.post(f"{link(asked)}/end", headers=site, data={})
    assert (crossed.status_code, code_of(crossed)) == (403, "STEPUP_CROSS_ORIGIN")
    assert (await ada.send("GET", f"{link(asked)}/end")).status_code == 405
    assert it.handed == []
    assert (await program.wait(asked)).status_code == 202


async def test_without_the_callable_there_is_no_button_and_no_way(tmp_path: Path) -> None:
    async with ada_in(tmp_path) as (_, ada, program):
        asked = await program.ask()
        assert "/end" not in (await ada.navigate("GET", link(asked))).text
        assert (await ended(ada, asked)).status_code == 404
        assert (await program.wait(asked)).status_code == 202


def test_a_callable_that_is_not_async_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="async def end_session"):
        House(tmp_path, end_session=lambda ended: None)
