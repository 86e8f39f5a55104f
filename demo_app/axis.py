"""What every page and action works with: the services of the running app, and who acts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

from demo_app.accounts import Accounts
from demo_app.db import Database, Transaction
from demo_app.event_counters import EventCounters
from demo_app.languages import Languages, Text, kept, marked
from demo_app.secrets_at_rest import Vault
from demo_app.settings import Settings
from stepup_middleware import Proof, StepUp, Subject

NOT_THERE = marked("That does not exist, or not any more.")
ADMINS_ONLY = marked(
    "The audit log and the security console are for admins. "
    "Ask an admin of your workspace to look something up for you."
)


class RowNumber(Convertor[int]):
    """The number of a row in an address: no more digits than a database has numbers."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("row", RowNumber())


class Conflict(Exception):
    """A rule of the business forbids the action now. ``reason`` is for the person."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


class SignInNeeded(Exception):
    """The page needs a signed-in person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The services of the running app. ``stopping`` is set when the server is about to stop."""

    settings: Settings
    database: Database
    accounts: Accounts
    vault: Vault
    stepup: StepUp
    counters: EventCounters
    languages: Languages
    clock: Callable[[], datetime]
    stopping: asyncio.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, when, and the proof that authorized it where it needed one."""

    account_id: str
    at: datetime
    proof: Proof | None

    async def note(self, change: Transaction, sentence: Text) -> None:
        """Write down what was done, in the transaction that does it, to be read in any language."""
        await change.run(
            "INSERT INTO activity (at, account_id, sentence, purpose, prompt_id) VALUES (?, ?, ?, ?, ?)",
            self.at.isoformat(),
            self.account_id,
            kept(sentence),
            self.proof.purpose if self.proof else None,
            self.proof.prompt_id if self.proof else None,
        )


def axis_of(scope: Scope) -> Axis:
    """Return the services of the app that serves a request."""
    return cast(Axis, scope["app"].state.axis)


async def current(request: Request) -> Subject:
    """Return the signed-in person. Raises ``SignInNeeded`` when there is none."""
    subject = await axis_of(request.scope).accounts.identify(request.scope)
    if subject is None:
        raise SignInNeeded
    return subject


async def admin_of(request: Request) -> Subject:
    """Return the signed-in admin. Raises ``SignInNeeded``, or 403 with a sentence for anybody else."""
    subject = await current(request)
    if not subject.is_admin:
        raise HTTPException(403, ADMINS_ONLY)
    return subject


async def actor_of(request: Request) -> Actor:
    """Return who acts by this request. Raises ``SignInNeeded`` when nobody is signed in."""
    subject = await current(request)
    now = axis_of(request.scope).clock()
    return Actor(account_id=subject.id, at=now, proof=request.scope.get("stepup"))
