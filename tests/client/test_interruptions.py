"""An interruption comes between any two instructions: wherever it does, what was asked of the person is taken back."""

from __future__ import annotations

import asyncio
import itertools
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

import httpx
import pytest

from stepup_middleware.client import Question, StepUpAuth, auth
from tests.support import ROTATE, Browser, House

WALK = ("_prove", "step", "through", "ended")  # the functions of the client between whose instructions it comes


@dataclass
class Interruption:
    """Raises ``KeyboardInterrupt`` before the so-manieth instruction of the walk, in the thread that sets it."""

    left: int

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != auth.__file__ or frame.f_code.co_name not in WALK:
            return None
        frame.f_trace_opcodes = True
        self.left -= event == "opcode"
        if self.left == 0 and event == "opcode":
            raise KeyboardInterrupt
        return self


class Screen:
    """Nobody types a code; the link is the end."""

    def __init__(self, sent: list[str]) -> None:
        self.sent = sent

    def ask_code(self, question: Question) -> str | None:
        self.sent.append("asked")
        return None

    def show_link(self, question: Question) -> None:
        sys.settrace(None)  # one interruption is enough
        raise KeyboardInterrupt

    def say(self, sentence: str) -> None:
        raise AssertionError(sentence)


def interrupted(url: str, cookie: str, interruption: Interruption) -> list[str]:
    """Ask, and be interrupted; return what was done for it: the person asked, the library called by these methods."""
    sent: list[str] = []
    cookies = {"session": cookie}
    with httpx.Client(event_hooks={"request": [lambda request: sent.append(request.method)]}, cookies=cookies) as calls:
        program = httpx.Client(auth=StepUpAuth(url, screen=Screen(sent), client=calls), base_url=url, cookies=cookies)
        sys.settrace(interruption)
        try:
            program.post(ROTATE)
        except KeyboardInterrupt:
            return sent
        finally:
            sys.settrace(None)
            program.close()
    raise AssertionError("it was not interrupted")


@pytest.mark.slow
async def test_wherever_an_interruption_comes_the_request_is_taken_back(house: House, ada: Browser, url: str) -> None:
    for number in itertools.count(1):
        interruption = Interruption(number)
        sent = await asyncio.to_thread(interrupted, url, house.sign_in("ada").session_id, interruption)
        assert not sent or sent[-1] == "DELETE", (number, sent)
        if interruption.left > 0:
            break
        house.clock.advance(600)  # a person is not asked for much in an hour
    assert number > 50
