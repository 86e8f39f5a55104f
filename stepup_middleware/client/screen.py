"""Where a program asks its person: a terminal, or whatever an app puts in its place."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from io import StringIO
from select import select
from shutil import get_terminal_size
from threading import Event, Lock
from typing import IO, TYPE_CHECKING, Protocol

from segno import make

from stepup_middleware.core.visible import visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .questions import Question

_LOOK_SECONDS = 0.25  # between two looks at the keys, at most: an interruption is noticed at each
_QUESTION = Lock()  # held while a question stands on the terminal: what is typed answers the one that was shown last
abandoned: ContextVar[Event | None] = ContextVar("stepup_abandoned", default=None)  # set once nobody waits for a thread
_QUIET_ZONE = 2  # modules around the code; four are asked for, phones do with two (ISO/IEC 18004 §5.3.8)


class Screen(Protocol):
    """How a person is asked. The methods may block: an asynchronous client calls them in a thread."""

    def ask_code(self, question: Question) -> str | None:
        """Return the code that the person typed, None where nobody can type one or they would rather use the link."""

    def show_link(self, question: Question) -> None:
        """Show the link and the two digits of ``question.approval``, and say that it is waited for."""

    def say(self, sentence: str) -> None:
        """Say how it goes on: that a code was wrong, that it was approved or denied."""


class TerminalScreen:
    """The terminal that the program runs in. It is written to and read from directly, so pipes stay what they are.

    Where there is none, a link is written to standard error, and nobody is asked for a code. Of several questions at
    once, one is asked after another.
    """

    def ask_code(self, question: Question) -> str | None:
        """Show what will happen and return the code that is typed; None without a terminal, or if nothing is typed."""
        with _terminal() as (keys, out), _alone() as mine:
            if keys is None or not mine:
                return None
            link = " (or nothing, for a link)" if question.approval else ""
            out.write(f"{_words(question)}Code from your authenticator app{link}: ")
            out.flush()
            return _line(keys).strip() or None

    def show_link(self, question: Question) -> None:
        """Show what will happen, the link, its QR code where the terminal is wide enough, and the digits."""
        if (approval := question.approval) is None:
            return
        with _terminal() as (keys, out), _alone():
            out.write(_words(question))
            if keys is not None:
                out.write(qr_code(approval.url, get_terminal_size().columns))
            out.write(
                f"Open this link where you are signed in as yourself:\n\n    {visible(approval.url)}\n\n"
                f"and type these digits there: {visible(approval.match)}\n\n"
                "Approve it only if you began this yourself. Waiting; Ctrl-C takes the request back.\n"
            )

    def say(self, sentence: str) -> None:
        """Write a sentence on a line of its own."""
        with _terminal() as (_, out):
            out.write(visible_lines(sentence) + "\n")


def _line(keys: IO[str]) -> str:
    """Return the next line that is typed.

    A signal that arrives in the moment before a read begins does not interrupt it, and the read is for ever: so the
    line is waited for a while at a time, and read once it is there. It is left to the next question once nobody waits
    for this one.
    """
    if os.name == "posix":
        while not select([keys], [], [], _LOOK_SECONDS)[0]:
            if _is_abandoned():
                return ""
    return keys.readline()


def _is_abandoned() -> bool:
    over = abandoned.get()
    return over is not None and over.is_set()


@contextmanager
def _alone() -> Iterator[bool]:
    """Have the terminal for one question; False where nobody waits any more for its answer."""
    while not (mine := _QUESTION.acquire(timeout=_LOOK_SECONDS)) and not _is_abandoned():
        pass
    try:
        yield mine
    finally:
        if mine:
            _QUESTION.release()


def _words(question: Question) -> str:
    lines = ["", visible(question.title), visible(question.consequence)]
    lines += [f"  {visible(label)}: {visible(value)}" for label, value in question.details]
    return "\n".join([*lines, "", ""])


def qr_code(url: str, columns: int) -> str:
    """Return a link as a QR code in characters, empty where it is wider than so many columns."""
    code = make(url, error="l", micro=False)
    if code.symbol_size(border=_QUIET_ZONE)[0] > columns:
        return ""
    out = StringIO()
    code.terminal(out, border=_QUIET_ZONE, compact=True)
    return out.getvalue() + "\n"


@contextmanager
def _terminal() -> Iterator[tuple[IO[str] | None, IO[str]]]:
    """Yield what is typed, None without a terminal, and where to write."""
    with ExitStack() as opened:
        keys: IO[str] | None
        out: IO[str]
        try:
            keys = opened.enter_context(open("/dev/tty", encoding="utf-8", errors="replace"))  # noqa: PTH123 - a device
            out = opened.enter_context(open("/dev/tty", "w", encoding="utf-8", errors="replace"))  # noqa: PTH123
        except OSError:  # no terminal of this name (Windows), or none at all
            keys = sys.stdin if sys.stdin.isatty() and sys.stderr.isatty() else None
            out = sys.stderr
        yield keys, out
        out.flush()
