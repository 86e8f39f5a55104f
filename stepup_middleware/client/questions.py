"""What a refusal asks of the person behind a program, and how it can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from stepup_middleware.errors import StepUpError

ASKS = frozenset({"STEPUP_REQUIRED", "STEPUP_TOKEN_EXPIRED"})


class StepUpNotProved(StepUpError):
    """A route wants a proof and got none, so its action has not run. ``problem`` is the refusal (RFC 9457)."""

    def __init__(self, sentence: str, problem: Mapping[str, Any]) -> None:
        super().__init__(sentence)
        self.problem = problem


class StepUpDenied(StepUpNotProved):
    """The person was asked and said no."""


class StepUpTimedOut(StepUpNotProved):
    """Nobody answered while the question was open."""


class StepUpNotAsked(StepUpNotProved):
    """Nobody can be asked: there is no terminal for a code, and the route cannot be approved elsewhere.

    Or the same request is asked about at the moment.
    """


class StepUpNotRepeatable(StepUpNotProved):
    """The request cannot be sent once more as it was: its body was a stream, which is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """How a request is approved in a browser: ``url`` to open there, ``match`` the two digits to type there.

    ``code`` is the last part of the link, for one who types it.
    """

    url: str
    code: str
    match: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked: ``title`` and ``consequence`` of the purpose, ``details`` of the request (label, value).

    ``takes_code``: a code of their authenticator app answers it. ``approval`` is None where it cannot be approved in a
    browser; ``note`` then says why, where the server does. ``address`` is that of the prompt, ``problem`` the whole
    refusal (RFC 9457).
    """

    title: str
    consequence: str
    details: tuple[tuple[str, str], ...]
    takes_code: bool
    approval: Approval | None
    note: str
    address: str
    problem: Mapping[str, Any] = field(repr=False)


def asks_for_proof(response: httpx.Response) -> bool:
    """Whether a response is a refusal that carries a prompt; its body need not be read for that."""
    return (
        response.status_code == httpx.codes.UNAUTHORIZED
        and "stepup-prompt" in response.headers
        and response.headers.get("content-type", "").partition(";")[0].strip() == "application/problem+json"
    )


def question_of(response: httpx.Response) -> Question | None:
    """Return what a refusal asks, None for any other answer. Its body has been read.

    ``address`` is that of the prompt. None, too, if it lies on another origin than the answer came from.
    """
    problem = problem_of(response)
    if problem.get("code") not in ASKS:
        return None
    try:
        address = response.url.join(problem["prompt"]["url"])
        purpose, given = problem["purpose"], problem.get("approval")
        approval = None if given is None else _approval_of(given)
        question = Question(
            title=str(purpose["authorize_title"]),
            consequence=str(purpose["consequence"]),
            details=tuple((str(label), str(value)) for label, value in problem.get("details", [])),
            takes_code="totp" in problem.get("factors", []),
            approval=approval,
            note=str((problem.get("approval_refused") or {}).get("detail", "")),
            address=str(address),
            problem=problem,
        )
    except (KeyError, TypeError, ValueError, httpx.InvalidURL):
        return None
    return question if origin_of(address) == origin_of(response.url) else None


def _approval_of(given: Mapping[str, Any]) -> Approval:
    url = httpx.URL(given["url"])
    if url.scheme not in {"http", "https"}:
        raise ValueError(given["url"])
    return Approval(url=str(url), code=str(given["code"]), match=str(given["match"]))


def problem_of(response: httpx.Response) -> Mapping[str, Any]:
    """Return the problem details of a response whose body has been read (RFC 9457), empty where it has none."""
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address (RFC 6454)."""
    port = url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port
