"""``stepup factors pass | reset``: for the host's operator, where no admin can help any more."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stepup_middleware.errors import ConfigurationError, NotPermitted
from stepup_middleware.service.resets import IssuedPass

from .sources import load_middleware

if TYPE_CHECKING:
    from stepup_middleware.service.stepup import StepUp


async def issue_pass(options: argparse.Namespace) -> int:
    """Issue an enrolment pass for a person without a factor, and print it once."""
    async with _stepup(options) as stepup:
        issued = await stepup.factors.issue_pass(options.workspace, options.person, **_given(options))
    _tell(issued)
    return 0


async def reset_factors(options: argparse.Namespace) -> int:
    """Take all factors of a person away, and print the pass where one is handed out."""
    async with _stepup(options) as stepup:
        found = await stepup._parts.store.records.list_factors(options.workspace, options.person)
        done = await stepup.factors.reset(
            options.workspace, options.person, with_pass=options.with_pass, **_given(options)
        )
    whose = f"{options.person} in workspace {options.workspace}"
    print(f"all factors of {whose}, {len(found)} in number, and recovery codes are gone; the log names {operator()}")
    if not found:
        print(f"{whose} had no factor: see that both ids are those of the app")
    if done.issued is not None:
        _tell(done.issued)
    return 0


@asynccontextmanager
async def _stepup(options: argparse.Namespace) -> AsyncIterator[StepUp]:
    """Start what the app has. Raises ``ConfigurationError`` for what is not permitted, and for a life out of bounds."""
    async with load_middleware(options.app).stepup as stepup:
        try:
            yield stepup
        except (NotPermitted, ValueError) as error:
            raise ConfigurationError(str(error)) from None


def _given(options: argparse.Namespace) -> dict[str, Any]:
    return {"by": operator(), "reason": options.reason, "lifetime": timedelta(minutes=options.minutes)}


def operator() -> str:
    """Return who runs this program, as the log names them: the operating system's user, and the host.

    Not what the environment says (``USER``), which whoever runs it may set.
    """
    try:
        import pwd  # not on Windows

        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        user = getpass.getuser() if os.name == "nt" else f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _tell(issued: IssuedPass) -> None:
    print(f"enrolment pass for {issued.person.subject_id}, valid once until {issued.expires_at:%Y-%m-%d %H:%M} UTC:")
    print(issued.secret)


def add_pass(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add ``pass`` to the commands of ``stepup factors``."""
    command = commands.add_parser("pass", help="issue an enrolment pass, as where the last admin is locked out")
    _add_whose(command)
    return command


def add_reset(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add ``reset`` to the commands of ``stepup factors``."""
    command = commands.add_parser("reset", help="take all factors of a person away")
    _add_whose(command)
    command.add_argument("--with-pass", action="store_true", help="hand out an enrolment pass, too")
    return command


def _add_whose(command: argparse.ArgumentParser) -> None:
    command.add_argument("app", metavar="MODULE:APP")
    command.add_argument("--workspace", required=True, help="the id of the workspace")
    command.add_argument("--person", required=True, help="the id of the person (Subject.id)")
    command.add_argument("--reason", required=True, help="why, for the log and for the person")
    command.add_argument(
        "--minutes", type=int, default=60, metavar="N", help="the life of the pass (default: 60; at most 7 days)"
    )
