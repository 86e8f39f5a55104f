"""What a person is told about their own account: a notice, as the app's ``notify`` gets it to send it on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .events import EventName
from .factors import FactorKind


class NoticeKind(StrEnum):
    """What a notice is about."""

    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTORS_RESET = "factors_reset"
    ENROLMENT_PASS_ISSUED = "enrolment_pass_issued"  # noqa: S105 - what is told of, no password
    RECOVERY_CODES_ISSUED = "recovery_codes_issued"
    RECOVERY_CODE_USED = "recovery_code_used"
    APPROVAL_WAITS = "approval_waits"
    SESSION_ENDED = "session_ended"


KINDS = {
    EventName.FACTOR_ENROLLED: NoticeKind.FACTOR_ADDED,
    EventName.FACTOR_REMOVED: NoticeKind.FACTOR_REMOVED,
    EventName.FACTORS_RESET: NoticeKind.FACTORS_RESET,
    EventName.ENROLMENT_PASS_ISSUED: NoticeKind.ENROLMENT_PASS_ISSUED,
    EventName.RECOVERY_CODES_ISSUED: NoticeKind.RECOVERY_CODES_ISSUED,
    EventName.RECOVERY_CODE_USED: NoticeKind.RECOVERY_CODE_USED,
    EventName.APPROVAL_REQUESTED: NoticeKind.APPROVAL_WAITS,
    EventName.SESSION_ENDED: NoticeKind.SESSION_ENDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened ``at`` a moment (aware UTC) to the account of a person, to be told to them.

    ``kind`` says what. ``id`` is the same each time that it is handed over: after a crash that may be twice.
    ``subject_id`` and ``workspace_id`` are the person's, as ``Subject`` has them; ``subject_name`` may be empty.
    ``title`` is one line, such as the subject of an e-mail, and ``text`` all of it, both in the language ``locale``:
    plain text, without a character that is not seen or that ends a line before its end. ``by_other``: an admin or a
    program did it, not a session of the person; ``ip`` and ``user_agent`` are then empty. ``factor_kind`` and
    ``factor_name`` are set where one factor is concerned.
    """

    id: str
    kind: NoticeKind
    workspace_id: str
    subject_id: str
    subject_name: str
    at: datetime
    locale: str
    title: str
    text: str
    by_other: bool
    ip: str = ""
    user_agent: str = ""
    factor_kind: FactorKind | None = None
    factor_name: str = ""
    _in_language: Callable[[str], Notice] | None = field(default=None, repr=False, compare=False)

    def in_language(self, tag: str) -> Notice:
        """Return the same notice in another language that the library has, for an app that knows the person's."""
        return self if self._in_language is None else self._in_language(tag)


# the first that is found counts: the engine's own name is in the header of every browser that is built on it
_BROWSERS = (
    ("Edg/", "Edge"), ("EdgA/", "Edge"), ("EdgiOS/", "Edge"), ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
_LONGEST_BROWSER = 120
_PRODUCT = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,40}")


def browser_of(user_agent: str) -> str:
    """Return a browser in the words of its owner, such as ``Firefox · Linux``; what it says of itself if not known.

    It is what the header claims, which anybody may write.
    """
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    if browser:
        return f"{browser} · {system}" if system else browser
    found = _PRODUCT.match(user_agent)
    return found[0] if found else user_agent[:_LONGEST_BROWSER]
