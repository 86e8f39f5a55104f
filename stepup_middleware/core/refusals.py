"""The answers of the library when an action does not run: code, status and a sentence that helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stepup_middleware.errors import StepUpError

from .texts import Text

if TYPE_CHECKING:
    from .approvals import ApprovalRefused, Offer
    from .factors import FactorRequirement
    from .prompts import Prompt
    from .purposes import Purpose


class RefusalCode(StrEnum):
    """The stable codes of the wire format."""

    REQUIRED = "STEPUP_REQUIRED"
    TOKEN_EXPIRED = "STEPUP_TOKEN_EXPIRED"  # noqa: S105 - a code, not a password
    FACTOR_INSUFFICIENT = "STEPUP_FACTOR_INSUFFICIENT"
    TOKEN_REUSED = "STEPUP_TOKEN_REUSED"  # noqa: S105 - likewise
    IP_MISMATCH = "STEPUP_IP_MISMATCH"
    VERIFICATION_FAILED = "STEPUP_VERIFICATION_FAILED"
    PROMPT_NOT_FOUND = "STEPUP_PROMPT_NOT_FOUND"
    RATE_LIMITED = "STEPUP_RATE_LIMITED"
    UNAVAILABLE = "STEPUP_UNAVAILABLE"
    NOT_SIGNED_IN = "STEPUP_NOT_SIGNED_IN"
    CROSS_ORIGIN = "STEPUP_CROSS_ORIGIN"
    BAD_REQUEST = "STEPUP_BAD_REQUEST"
    BODY_TOO_LARGE = "STEPUP_BODY_TOO_LARGE"
    BODY_TIMEOUT = "STEPUP_BODY_TIMEOUT"
    TARGET_TOO_LONG = "STEPUP_TARGET_TOO_LONG"
    HEADERS_TOO_LONG = "STEPUP_HEADERS_TOO_LONG"
    EARLY_DATA = "STEPUP_EARLY_DATA"
    PARTLY_DONE = "STEPUP_PARTLY_DONE"
    NEVER_ASKED = "STEPUP_NEVER_ASKED"
    FACTOR_CONFLICT = "STEPUP_FACTOR_CONFLICT"
    FACTOR_NOT_FOUND = "STEPUP_FACTOR_NOT_FOUND"
    PASS_REQUIRED = "STEPUP_PASS_REQUIRED"  # noqa: S105 - a code, not a password
    NOT_PERMITTED = "STEPUP_NOT_PERMITTED"
    DENIED = "STEPUP_DENIED"

    @property
    def status(self) -> int:
        return _ANSWERS[self][0]

    @property
    def heading(self) -> str:
        return _ANSWERS[self][1]

    @property
    def detail(self) -> str:
        return _ANSWERS[self][2]


_ANSWERS: dict[RefusalCode, tuple[int, str, str]] = {
    RefusalCode.REQUIRED: (
        401,
        "Step-up authentication required",
        "Confirm that it is you to go on, by a factor of yours that this action accepts.",
    ),
    RefusalCode.TOKEN_EXPIRED: (
        401,
        "The authorization has expired",
        "Too much time passed since you confirmed. Click the action again and confirm once more.",
    ),
    RefusalCode.FACTOR_INSUFFICIENT: (
        403,
        "A stronger factor is needed",
        "This action needs a factor that you have not enrolled yet. Enrol a passkey or hardware key, then click "
        "the action again.",
    ),
    RefusalCode.TOKEN_REUSED: (
        403,
        "This authorization was used already",
        "One authorization runs one action, and this one has run. If you meant to do it again, click the action "
        "again; if this was not you, tell your security team now.",
    ),
    RefusalCode.IP_MISMATCH: (
        403,
        "Your network changed",
        "The authorization was made from another network. Click the action again and confirm from the network "
        "where you began.",
    ),
    RefusalCode.VERIFICATION_FAILED: (
        400,
        "That did not work",
        "We could not confirm that it is you, and nothing was done. Try again, or use another of your factors.",
    ),
    RefusalCode.PROMPT_NOT_FOUND: (
        404,
        "This request to confirm is no longer open",
        "It was finished, cancelled or has expired. Click the action again to get a new one.",
    ),
    RefusalCode.RATE_LIMITED: (
        429,
        "Too many attempts",
        "Wait %(span)s, then try again. Your session goes on.",
    ),
    RefusalCode.UNAVAILABLE: (
        503,
        "Confirmation is not available right now",
        "The action has not run. Try again in a moment; if it stays like this, tell your administrator.",
    ),
    RefusalCode.NOT_SIGNED_IN: (401, "Not signed in", "Sign in, then try again."),
    RefusalCode.CROSS_ORIGIN: (
        403,
        "Request from another site",
        "This can only be done from the app's own pages. Open the app and try again there.",
    ),
    RefusalCode.BAD_REQUEST: (400, "The request could not be read", "Reload the page and try again."),
    RefusalCode.BODY_TOO_LARGE: (
        413,
        "The request is too large",
        "What you sent is larger than this action accepts. Send less and try again.",
    ),
    RefusalCode.BODY_TIMEOUT: (
        408,
        "The request took too long to arrive",
        "Check your connection and try again.",
    ),
    RefusalCode.TARGET_TOO_LONG: (
        414,
        "The address is too long",
        "An authorization is bound to the whole address, path and query, of at most 8192 characters each. Send what "
        "is longer in the body, then try again.",
    ),
    RefusalCode.HEADERS_TOO_LONG: (
        431,
        "The headers are too long",
        "An authorization is bound to the headers that say how the request is read, of at most 16384 characters "
        "together. Send shorter ones and try again.",
    ),
    RefusalCode.EARLY_DATA: (425, "Too early", "Send the request again once the connection is established."),
    RefusalCode.PARTLY_DONE: (
        409,
        "A part of this has been done",
        "One authorization was used, and the rest of the request asked for another. Look at what has been done before "
        "you go on, and do not send the whole request again.",
    ),
    RefusalCode.NEVER_ASKED: (
        500,
        "The app did not wait for you to confirm",
        "This is a fault of the app: it went on without asking you, and the action may have run. Look before you do it "
        "again, and tell your administrator.",
    ),
    RefusalCode.FACTOR_CONFLICT: (
        409,
        "The factor cannot be changed like this",
        "It is registered already, or it is the last one that your actions need. Enrol another one first.",
    ),
    RefusalCode.PASS_REQUIRED: (
        403,
        "An enrolment pass is needed",
        "Your first factor needs an enrolment pass. Ask an admin of your workspace for one, and type it on the page of "
        "your factors.",
    ),
    RefusalCode.NOT_PERMITTED: (
        403,
        "This is not yours to do",
        "Only an admin of the workspace may do this. Nothing was done.",
    ),
    RefusalCode.DENIED: (
        403,
        "The person said no",
        "You were asked in your browser to approve this. You said no there, or other digits were typed three times. "
        "Nothing was done. If you did mean it, ask again.",
    ),
    RefusalCode.FACTOR_NOT_FOUND: (404, "No such factor", "It may have been removed. Reload the page."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One answer: what the person and the client are told.

    ``title`` and ``detail`` replace the code's own where more is known. ``until`` is when it is over by itself.
    ``retry_after_seconds`` goes out as ``Retry-After``. ``approval`` is what a program may show its person, or why
    nobody is asked for approval.
    """

    code: RefusalCode
    title: str = ""
    detail: str | Text = ""
    prompt: Prompt | None = None
    purpose: Purpose | None = None
    requirement: FactorRequirement | None = None
    enroll: bool = False
    retry_after_seconds: int | None = None
    until: datetime | None = None
    approval: Offer | ApprovalRefused | None = None

    @property
    def status(self) -> int:
        return self.code.status

    @property
    def heading(self) -> str:
        """What heads it, to be put into the person's language."""
        return self.title or self.code.heading

    @property
    def wording(self) -> str | Text:
        """What the person is told, to be put into their language."""
        if self.code is RefusalCode.RATE_LIMITED and not self.detail:
            return Text(self.code.detail, {"span": timedelta(seconds=self.retry_after_seconds or 60)})
        return self.detail or self.code.detail

    @property
    def sentence(self) -> str:
        return str(self.wording)


class StepUpRequired(StepUpError):
    """What the gate guards may not run now. ``problem`` is the answer as RFC 9457 has it, a JSON value.

    Raised by the gate inside the app and turned into the HTTP answer by the middleware. Let it pass, or send
    ``problem`` to the client by what way you have (a WebSocket, GraphQL, JSON-RPC): it carries the prompt.
    """

    _make_problem: Callable[[], Mapping[str, Any]]  # set by the gate that raises it

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal

    @cached_property
    def problem(self) -> Mapping[str, Any]:
        """The answer as RFC 9457 has it, a JSON value; made when somebody looks at it."""
        return self._make_problem()
