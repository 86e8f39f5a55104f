"""How a program gets its token, step by step: once, for synchronous and for asynchronous clients.

``prove`` is a generator. It yields what is to be done (a call of the library's routes, a question to the person, a
pause), is sent what came of it, and returns the token.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import httpx

from .questions import Question, StepUpDenied, StepUpNotAsked, StepUpTimedOut, problem_of
from .screen import Screen

WAIT_SECONDS = 25  # of one request that waits for a decision (RFC 7240 §4.3)
_ANSWER_SECONDS = 15.0
_PAUSE_SECONDS = 2.0  # before the next look, where the server did not wait or could not be reached
_MOST_LOOKS = 3_000  # an end, also with a server that never comes to one
_MOST_FAULTS = 30  # in a row: a minute and more of a server that is away


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the library: ``method`` and address. Its outcome is a response, or the exception if it failed."""

    method: str
    address: str
    body: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = _ANSWER_SECONDS


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that may block until a person has done something. Its outcome is what it returns."""

    do: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Step = Call | Ask | Pause
Proving = Generator[Step, Any, str]


def prove(question: Question, screen: Screen) -> Proving:
    """Get the token for a question: by a code that the person types, else by their approval in a browser.

    However it fails, also by an interruption, the prompt is cancelled, so that nothing stays open. Raises
    ``StepUpDenied``, ``StepUpTimedOut`` or ``StepUpNotAsked``.
    """
    try:
        token = ""
        if question.takes_code:
            token = yield from _by_code(question, screen)
        if not token and question.approval is not None:
            token = yield from _by_approval(question, screen)
    except StepUpDenied:
        raise
    except BaseException:
        yield Call("DELETE", question.address, seconds=_ANSWER_SECONDS / 3)
        raise
    if token:
        return token
    yield Call("DELETE", question.address)
    sentence = question.note or (
        "This needs a proof of the person, and there is nobody to ask: run it in a terminal with an authenticator app "
        "added, or have the app allow that it is approved elsewhere."
    )
    raise StepUpNotAsked(sentence, question.problem)


def _by_code(question: Question, screen: Screen) -> Generator[Step, Any, str]:
    """Return the token for a code, "" when the person types none."""
    while code := (yield Ask(lambda: screen.ask_code(question))):
        answer = yield Call("POST", f"{question.address}/totp", {"code": code})
        if isinstance(answer, Exception):
            raise answer
        problem = problem_of(answer)
        if answer.status_code == httpx.codes.OK:
            return str(problem["token"])
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise _timed_out(question)
        sentence = str(problem.get("detail") or f"The server answered {answer.status_code}.")
        yield Ask(lambda sentence=sentence: screen.say(sentence))  # type: ignore[misc]
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            yield Pause(_seconds(answer.headers.get("retry-after"), most=60.0))
        elif answer.status_code != httpx.codes.BAD_REQUEST:
            raise StepUpNotAsked(sentence, problem)
    return ""


def _by_approval(question: Question, screen: Screen) -> Generator[Step, Any, str]:
    """Return the token once the person has approved."""
    yield Ask(lambda: screen.show_link(question))
    faults = 0
    for _ in range(_MOST_LOOKS):
        headers = {"Prefer": f"wait={WAIT_SECONDS}"}
        answer = yield Call("POST", f"{question.address}/token", {}, headers, WAIT_SECONDS + _ANSWER_SECONDS)
        away = isinstance(answer, Exception) or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
        faults = faults + 1 if away else 0
        if faults > _MOST_FAULTS and isinstance(answer, Exception):
            raise answer
        if away and faults <= _MOST_FAULTS:
            yield Pause(_PAUSE_SECONDS)
            continue
        problem = problem_of(answer)
        if answer.status_code == httpx.codes.OK:
            yield Ask(lambda: screen.say("Approved."))
            return str(problem["token"])
        if answer.status_code == httpx.codes.ACCEPTED:
            if "preference-applied" not in answer.headers:
                yield Pause(_seconds(answer.headers.get("retry-after"), most=WAIT_SECONDS))
        elif answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            yield Pause(_seconds(answer.headers.get("retry-after"), most=WAIT_SECONDS))
        elif problem.get("code") == "STEPUP_DENIED":
            sentence = str(problem.get("detail") or "The request was denied.")
            raise StepUpDenied(sentence, problem)
        elif answer.status_code == httpx.codes.NOT_FOUND:
            raise _timed_out(question)
        else:
            sentence = str(problem.get("detail") or f"The server answered {answer.status_code}.")
            raise StepUpNotAsked(sentence, problem)
    raise _timed_out(question)


def _timed_out(question: Question) -> StepUpTimedOut:
    sentence = "Nobody answered in time, or the request was taken back meanwhile. Nothing was done; run it again."
    return StepUpTimedOut(sentence, question.problem)


def _seconds(given: str | None, *, most: float) -> float:
    """Return how long a server asks to wait (RFC 9110 §10.2.3, as seconds), within bounds."""
    return min(float(given), most) if given and given.isdecimal() else _PAUSE_SECONDS
