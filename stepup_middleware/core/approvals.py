"""Approved elsewhere: a program asks, the same person decides in a browser of theirs, and the program gets the token.

The words are those of RFC 8628 where they fit. An approval belongs to one prompt. Its two digits tie the page on which
the person decides to the screen on which the program shows them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from stepup_middleware.errors import ConfigurationError

from .prompts import Prompt
from .proof import ActionRequest
from .purposes import Purpose, unknown
from .subject import Subject
from .tokens import TokenReference
from .typed import typed

APPROVAL_LIFETIME = timedelta(minutes=10)  # from asking to the decision
COLLECT_WITHIN = timedelta(minutes=5)  # from the decision to the moment in which the program takes its token
MATCH_TRIES = 3
WAITING_PER_PERSON = 8  # requests for approval that wait at once, of all sessions of a person
ASKED_PER_PERSON = 20  # requests for approval of a person …
ASKED_WITHIN = timedelta(hours=1)  # … within this time

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 §6.1: no vowels, so no words; nothing that is read as another one
_CODE = re.compile(rf"([{_LETTERS}]{{4}})([{_LETTERS}]{{4}})")
_LONGEST_TYPED = 64  # characters that are read as a code or as digits
_MATCH = re.compile(r"[0-9]{2}")


def approvable(purposes: Iterable[Purpose], *ids: str) -> tuple[Purpose, ...]:
    """Return the purposes, those of these ids approvable: ``approvable(PLATFORM_PURPOSES, "audit_log_export")``.

    A program that calls the app, such as a command line or an agent, may then ask for them, and the person approves
    each request in a browser of theirs. Raises ``ConfigurationError`` for an id that is none of them, and for none at
    all.
    """
    listed = tuple(purposes)
    known = [purpose.id for purpose in listed]
    if not ids:
        raise ConfigurationError("approvable needs the ids of the purposes that can be approved elsewhere")
    for id_ in ids:
        if id_ not in known:
            raise ConfigurationError(f"approvable names {unknown(id_, known)}")
    return tuple(replace(purpose, approvable=True) if purpose.id in ids else purpose for purpose in listed)


class ApprovalState(StrEnum):
    """``waiting`` until somebody decided; of one that nobody decided in time, the time says that it is over."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"


class ApprovalRefused(StrEnum):
    """Why nobody is asked for approval, in the word of the log."""

    ANOTHER_WAITS = "approval_waits"  # of this purpose and session
    TOO_MANY = "approval_flood"  # of this person


class EndReason(StrEnum):
    """Why an approval was denied or cancelled, in the word of the log."""

    DENIED = "denied"  # the person said no
    WRONG_DIGITS = "wrong_digits"  # as often as they may be
    CANCELLED = "cancelled"  # the program took its request back
    SIGNED_OUT = "signed_out"  # the program's session has ended
    PROVED = "proved"  # the session that asks has proved it already, and nothing is left to decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Where a person decides: their session (hashed), address and browser."""

    session: str
    ip: str
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A prompt that its person is asked to answer in a browser of theirs.

    ``code`` is the digest of the code in the link, ``match`` the two digits. ``matched`` is the session (hashed) that
    typed them right: only there it can be proved. ``reason`` says why it was denied or cancelled. ``token`` is what the
    program may collect once it is approved.
    """

    prompt: Prompt
    code: bytes = field(repr=False)
    match: str = field(repr=False)
    state: ApprovalState = ApprovalState.WAITING
    tries: int = 0
    matched: str = ""
    decided_at: datetime | None = None
    decider: Decider | None = None
    reason: EndReason | None = None
    token: TokenReference | None = None

    def is_of(self, subject: Subject) -> bool:
        """Whether this is the person who is asked, in whatever session."""
        return self.prompt.workspace_id == subject.workspace_id and self.prompt.subject_id == subject.id

    def waits(self, now: datetime) -> bool:
        """Whether it can still be decided."""
        return self.state is ApprovalState.WAITING and now < self.prompt.expires_at

    def is_about(self, wanted: ActionRequest, subject: Subject, ip: str) -> bool:
        """Whether this very request is asked for, by this session from this address."""
        mine = self.prompt
        return mine.belongs_to(subject) and (mine.purpose, mine.ip, mine.request, mine.details) == (
            wanted.purpose.id,
            ip,
            wanted.request,
            wanted.details,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEnd:
    """That an approval ends without a proof: how, why, when, and where if a person decided it."""

    state: ApprovalState
    reason: EndReason
    at: datetime
    decider: Decider | None = None


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """That something became of an approval, or that it was asked for: ``number`` grows from one change to the next."""

    number: int
    prompt_id: str
    workspace_id: str
    subject_id: str


@dataclass(frozen=True, slots=True)
class ApprovalMark:
    """Up to where somebody knows what became of approvals: the epoch of the records, and the number of a change."""

    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class ApprovalNews:
    """What became of approvals after a mark, and the mark after it. In another epoch all of the one before are over."""

    mark: ApprovalMark
    changes: tuple[ApprovalChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a program is told to show: the code of the link, the two digits, and until when it can be decided."""

    code: str = field(repr=False)
    match: str = field(repr=False)
    expires_at: datetime


def refuse_approval(new: Approval, waiting: Sequence[tuple[str, str]], recent: int) -> ApprovalRefused | None:
    """Return why nobody is asked for approval, None when they are. A store asks inside the transaction that asks.

    ``waiting`` are session and purpose of those of the person that wait, ``recent`` how many they were asked for within
    ``ASKED_WITHIN``.
    """
    if (new.prompt.session, new.prompt.purpose) in waiting:
        return ApprovalRefused.ANOTHER_WAITS
    if len(waiting) >= WAITING_PER_PERSON or recent >= ASKED_PER_PERSON:
        return ApprovalRefused.TOO_MANY
    return None


def with_digits(approval: Approval, digits: str, decider: Decider, now: datetime) -> Approval | None:
    """Return what becomes of an approval whose digits somebody typed, None when it does not wait.

    Right ones tie it to the session that typed them. Wrong ones are counted, and the last try denies it. A store asks
    inside its transaction.
    """
    if not approval.waits(now):
        return None
    if hmac.compare_digest(approval.match, digits):
        return replace(approval, matched=decider.session)
    tries = approval.tries + 1
    if tries < MATCH_TRIES:
        return replace(approval, tries=tries, matched="")
    end = ApprovalEnd(state=ApprovalState.DENIED, reason=EndReason.WRONG_DIGITS, at=now, decider=decider)
    return ended(replace(approval, tries=tries), end)


def ended(approval: Approval, end: ApprovalEnd) -> Approval:
    """Return an approval that ends without a proof."""
    return replace(approval, state=end.state, matched="", decided_at=end.at, decider=end.decider, reason=end.reason)


def may_be_approved(approval: Approval | None, decider: Decider, now: datetime) -> bool:
    """Whether a passed ceremony of this session approves it. A store asks inside its transaction."""
    return approval is not None and approval.waits(now) and approval.matched == decider.session


def may_be_proved(approval: Approval | None, decider: Decider | None, now: datetime) -> bool:
    """Whether a passed ceremony may prove a prompt with this approval, or none. A store asks inside its transaction.

    ``decider`` is where a person approves it. Without one the session that asks proves it itself: what was denied
    serves it no more.
    """
    if decider is not None:
        return may_be_approved(approval, decider, now)
    return approval is None or approval.waits(now)


def proved(approval: Approval, decider: Decider | None, token: TokenReference, now: datetime) -> Approval:
    """Return the approval of a prompt that a passed ceremony has proved: approved, or with nothing left to decide."""
    if decider is None:
        return ended(approval, ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.PROVED, at=now))
    return replace(approval, state=ApprovalState.APPROVED, decided_at=now, decider=decider, token=token)


def new_code(key: bytes, prompt_id: str) -> str:
    """Return the code of a prompt: eight letters, 34 bits, the same each time.

    It opens nothing by itself: whoever follows the link must be signed in as the person who is asked.
    """
    drawn = int.from_bytes(hmac.digest(key, b"code\0" + prompt_id.encode(), "sha256"), "big")
    letters = []
    for _ in range(8):
        drawn, place = divmod(drawn, len(_LETTERS))
        letters.append(_LETTERS[place])
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


def read_code(text: str) -> str | None:
    """Return a code as it is written, whatever a person typed for it; None for what is none."""
    found = _CODE.fullmatch(typed(text, _LONGEST_TYPED).upper())
    return None if found is None else f"{found[1]}-{found[2]}"


def code_digest(key: bytes, code: str) -> bytes:
    """Return what is kept of a code: keyed, for so few letters could be tried out."""
    return hmac.digest(key, b"digest\0" + code.encode(), sha256)


def read_digits(value: object) -> str | None:
    """Return two digits as a person typed them, None for anything else."""
    text = typed(value, _LONGEST_TYPED)
    return text if _MATCH.fullmatch(text) else None


def caller_of(prompt: Prompt) -> dict[str, str]:
    """Return who asks, as the person signs it and the log has it."""
    return {"session": prompt.session, "actor": prompt.actor, "client": prompt.client, "ip": prompt.ip}


def approval_data(prompt: Prompt, decider: Decider) -> dict[str, Any]:
    """Return who asked and where it was approved, as the person signs it and the log has it."""
    return {"caller": caller_of(prompt), "approver": {"session": decider.session, "ip": decider.ip}}


def approval_description(prompt: Prompt, decider: Decider) -> dict[str, object]:
    """Return what the WebAuthn challenge of an approval commits to: that of the prompt, with both sides."""
    return {**prompt.description(), "approval": approval_data(prompt, decider)}
