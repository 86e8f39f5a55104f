"""A program whose request wants a proof asks its person, in both worlds of httpx, and repeats it once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from stepup_middleware import ConfigurationError, EventName
from stepup_middleware.client import (
    Question,
    StepUpAuth,
    StepUpDenied,
    StepUpNotAsked,
    StepUpNotRepeatable,
    StepUpTimedOut,
)
from stepup_middleware.client.screen import qr_code
from stepup_middleware.core.approvals import APPROVAL_LIFETIME, ApprovalEnd, ApprovalState, Decider, EndReason
from stepup_middleware.testing import totp_code
from tests.support import ELSEWHERE, ROTATE, Browser, House


@dataclass
class Screen:
    """A screen of a test: it types these codes, and remembers what was shown."""

    codes: list[str] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    links: list[Question] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def ask_code(self, question: Question) -> str | None:
        self.asked.append(question)
        return self.codes.pop(0) if self.codes else None

    def show_link(self, question: Question) -> None:
        self.links.append(question)
        self.loop.call_soon_threadsafe(self.shown.set)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@dataclass
class Caller:
    """A program of a person, which calls by ``httpx.Client`` in a thread or by ``httpx.AsyncClient``."""

    house: House
    url: str
    world: str
    screen: Screen
    cookie: str
    auth: StepUpAuth | None = None

    async def post(self, url: str = ROTATE, **content: Any) -> httpx.Response:
        settings: Any = {
            "auth": self.auth or StepUpAuth(self.url, screen=self.screen),
            "cookies": {"session": self.cookie},
            "base_url": self.url,
            "follow_redirects": True,
        }
        if self.world == "asynchronous":
            async with httpx.AsyncClient(**settings) as client:
                return await client.post(url, **content)
        with httpx.Client(**settings) as client:
            return await asyncio.to_thread(client.post, url, **content)


@pytest.fixture(params=["synchronous", "asynchronous"])
async def caller(house: House, url: str, ada: Browser, request: pytest.FixtureRequest) -> Caller:
    return Caller(house, url, request.param, Screen(), house.sign_in("ada").session_id)


def code_now(house: House, ada: Browser) -> str:
    """Return the next code of the person's app."""
    house.clock.advance(30)
    return totp_code(ada.factors["totp"].secret, house.clock())


async def end(house: House, prompt_id: str, state: ApprovalState) -> None:
    decider = Decider(session="s-phone", ip=ELSEWHERE, user_agent="Phone")
    ending = ApprovalEnd(state=state, reason=EndReason(state.value), at=house.clock(), decider=decider)
    assert await house.store.records.end_approval(prompt_id, ending, event=None)


async def test_a_code_answers_and_the_very_request_is_sent_again(house: House, ada: Browser, caller: Caller) -> None:
    caller.screen.codes = [code_now(house, ada)]
    answer = await caller.post("/bound", json={"domain": "pay.example"})
    assert (answer.status_code, answer.text) == (200, "ran")
    assert house.bodies == [b'{"domain":"pay.example"}']
    (question,) = caller.screen.asked
    assert question.title == "Authorize custom domain change"
    assert question.takes_code
    assert [each.status_code for each in answer.history] == [401]


@pytest.mark.parametrize(
    ("status", "to", "content"),
    [(302, "/export", b""), (303, "/export", b""), (307, "/bound", b"a=1"), (308, "/bound", b"a=1")],
)
async def test_where_a_redirect_led_to_the_route_the_hop_before_is_not_sent_again(
    house: House, ada: Browser, caller: Caller, status: int, to: str, content: bytes
) -> None:
    caller.screen.codes = [code_now(house, ada)]
    answer = await caller.post(f"/leading?by={status}&to={to}", content=b"a=1")
    assert answer.status_code == 200
    assert house.runs == {"/leading": 1, to: 1}
    assert house.bodies == ([content] if content else [])


async def test_a_wrong_code_is_told_and_the_next_one_counts(house: House, ada: Browser, caller: Caller) -> None:
    right = code_now(house, ada)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    caller.screen.codes = [wrong, right]
    assert (await caller.post()).status_code == 200
    assert len(caller.screen.asked) == 2
    assert len(caller.screen.said) == 1
    assert house.runs == {ROTATE: 1}


async def test_a_file_is_sent_again_whole_and_a_stream_is_refused_before_anybody_is_asked(
    house: House, ada: Browser, caller: Caller
) -> None:
    caller.screen.codes = [code_now(house, ada)]
    answer = await caller.post("/bound", files={"file": ("run.csv", b"1,2\n" * 1000)})
    assert answer.status_code == 200
    assert house.bodies == [[("file", "run.csv")]]

    def pieces() -> Iterator[bytes]:
        yield b"1,2\n"

    async def awaited() -> AsyncIterator[bytes]:
        yield b"1,2\n"

    content = awaited() if caller.world == "asynchronous" else pieces()
    with pytest.raises(StepUpNotRepeatable, match="content=, json=, files="):
        await caller.post("/bound", content=content)
    assert len(caller.screen.asked) == 1
    assert house.runs == {"/bound": 1}


async def test_without_a_code_the_link_is_shown_and_a_denial_is_an_error(house: House, caller: Caller) -> None:
    calling = asyncio.create_task(caller.post())
    await caller.screen.shown.wait()
    (question,) = caller.screen.links
    assert question.approval is not None
    assert question.approval.url == f"https://example.com/stepup/approve/{question.approval.code}"
    await end(house, question.problem["prompt"]["id"], ApprovalState.DENIED)
    with pytest.raises(StepUpDenied):
        await calling
    assert house.total == 0


async def test_the_same_request_sent_meanwhile_is_not_asked_about_and_does_not_run(
    house: House, caller: Caller
) -> None:
    caller.auth = StepUpAuth(caller.url, screen=caller.screen)
    calling = asyncio.create_task(caller.post())
    await caller.screen.shown.wait()
    with pytest.raises(StepUpNotAsked, match="this one has not run"):
        await caller.post()
    (question,) = caller.screen.links
    approval = await house.store.records.get_approval(question.problem["prompt"]["id"])
    assert approval is not None
    assert approval.state is ApprovalState.WAITING  # the first one's question stands
    await end(house, approval.prompt.id, ApprovalState.DENIED)
    with pytest.raises(StepUpDenied):
        await calling
    assert house.total == 0


async def test_a_question_that_nobody_answers_ends(house: House, caller: Caller) -> None:
    calling = asyncio.create_task(caller.post())
    await caller.screen.shown.wait()
    house.clock.advance(APPROVAL_LIFETIME)
    approval = await house.store.records.get_approval(caller.screen.links[0].problem["prompt"]["id"])
    assert approval is not None
    house.stepup._parts.approvals.watch.changed(approval)  # its wait is over
    with pytest.raises(StepUpTimedOut):
        await calling
    assert house.total == 0


async def test_where_nobody_can_be_asked_that_is_said_and_nothing_stays_open(house: House, caller: Caller) -> None:
    with pytest.raises(StepUpNotAsked, match="nobody to ask"):
        await caller.post("/bound")
    (cancelled,) = [each for each in await house.events() if each.event is EventName.FAILED]
    assert cancelled.reason == "cancelled"


async def test_only_the_server_that_was_named_is_answered(house: House, ada: Browser, url: str) -> None:
    screen = Screen([code_now(house, ada)])
    auth = StepUpAuth("https://example.com", screen=screen)
    cookie = f"session={house.sign_in('ada').session_id}"
    async with httpx.AsyncClient(auth=auth, headers={"cookie": cookie}) as client:
        assert (await client.post(url + ROTATE)).status_code == 401
    assert screen.asked == []


@pytest.mark.parametrize("server", ["example.com", "https://example.com/pay", "ftp://example.com", "https://"])
async def test_a_server_that_is_no_origin_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match="origin such as"):
        StepUpAuth(server)


async def test_a_task_that_is_cancelled_takes_its_request_back(house: House, ada: Browser, url: str) -> None:
    caller = Caller(house, url, "asynchronous", Screen(), house.sign_in("ada").session_id)
    calling = asyncio.create_task(caller.post())
    await caller.screen.shown.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    asked = await house.soon(EventName.APPROVAL_REQUESTED)
    found = await house.store.records.get_approval(asked.prompt_id)
    assert found is not None
    assert found.state is ApprovalState.CANCELLED


def test_a_link_is_a_code_for_a_phone_where_the_terminal_is_wide_enough() -> None:
    link = "https://example.com/stepup/approve/BCDF-GHJK"
    assert "\u2588" in qr_code(link, 80)
    assert qr_code(link, 20) == ""


async def test_the_person_approves_on_the_page_and_the_program_goes_on_by_itself(
    house: House, ada: Browser, caller: Caller
) -> None:
    await ada.enrol("passkey", by="totp")
    phone = ada.signed_in_again().at(ELSEWHERE)
    before = len(await house.events(EventName.ACTION_AUTHORIZED))
    calling = asyncio.create_task(caller.post(json={"reason": "leaked"}))
    await caller.screen.shown.wait()
    (question,) = caller.screen.links
    assert question.approval is not None
    link = question.approval.url.removeprefix("https://example.com")
    assert question.approval.match not in (await phone.navigate("GET", link)).text.split("stepup-match")[1]
    assert (await phone.post(link, json={"match": question.approval.match})).status_code == 200
    assert house.total == 0
    assert (await phone.answer({"prompt": {"url": link}}, phone.factors["passkey"])).json() == {"status": "approved"}
    answer = await calling
    assert (answer.status_code, answer.json()["prompt"]) == (200, question.problem["prompt"]["id"])
    assert [each.status_code for each in answer.history] == [401]
    assert house.runs == {ROTATE: 1}
    assert len(await house.events(EventName.ACTION_AUTHORIZED)) == before + 1
    await house.assert_log_holds()
