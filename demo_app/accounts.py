"""Who signs in: accounts, sessions, and the lockout after repeated failures."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from starlette.types import Scope

from demo_app.db import Database
from demo_app.secrets_at_rest import token_hash
from stepup_middleware import AuditEvent, EndedSession, EventName, Notice, Subject

WORKSPACE = "axis"
FAILURES_ALLOWED = 5  # failures within LOCKOUT that close the sign-in
LOCKOUT = timedelta(minutes=15)
SESSION_LIFE = timedelta(hours=12)
SCOPES = ("read", "write", "admin")  # of access tokens, the weakest first
AGENT = "axis.agent"  # in a scope: the agent whose access token the request has
_MAX_PASSWORD = 256  # characters; bounds the work of a guess
_KEEP_FAILURES = timedelta(days=1)

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Return the Argon2id hash of a password (RFC 9106)."""
    return _hasher.hash(password)


_NOBODY = hash_password(secrets.token_urlsafe())  # an unknown address costs as much time as a known one


def locked_until(failures: Sequence[datetime], now: datetime) -> datetime | None:
    """Return when the sign-in opens again, or None when it is open.

    ``failures`` are in order. The failure that is the fifth within fifteen minutes closes the sign-in for
    fifteen minutes.
    """
    for place in range(len(failures) - 1, FAILURES_ALLOWED - 2, -1):
        last, first = failures[place], failures[place - FAILURES_ALLOWED + 1]
        if last - first < LOCKOUT and now < last + LOCKOUT:
            return last + LOCKOUT
    return None


class SignInRefused(Exception):
    """The sign-in was refused; ``opens_at`` is set while the account is locked out."""

    def __init__(self, opens_at: datetime | None) -> None:
        super().__init__(opens_at)
        self.opens_at = opens_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who calls with an access token: the person whose it is, the token as what acts for them, and its scope."""

    subject: Subject
    scope: str


def may(scope: str, wanted: str) -> bool:
    """Whether an access token of a scope may do what needs another."""
    return SCOPES.index(scope) >= SCOPES.index(wanted)


class Accounts:
    """Signs people in and out, and tells the library who asks."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def sign_in(self, email: str, password: str) -> str:
        """Check a password and return the id of a new session, for the cookie.

        The attempt is counted before the password is looked at, so that guesses in parallel share the count.
        Raises ``SignInRefused``, which says the same for an unknown address and a wrong password.
        """
        email = email.strip().lower()[:254]
        now = self._clock()
        async with self._database.write() as change:
            rows = await change.all("SELECT at FROM sign_in_failure WHERE email = ? ORDER BY at, id", email)
            opens_at = locked_until([datetime.fromisoformat(row["at"]) for row in rows], now)
            if opens_at is not None:
                raise SignInRefused(opens_at)
            attempt = await change.one(
                "INSERT INTO sign_in_failure (email, at, cause) VALUES (?, ?, 'password') RETURNING id",
                email,
                now.isoformat(),
            )
            account = await change.one("SELECT id, password_hash FROM account WHERE email = ?", email)
        known = account["password_hash"] if account is not None else _NOBODY
        if not await asyncio.to_thread(_matches, known, password) or account is None or attempt is None:
            raise SignInRefused(await self.locked_until(email))
        session_id = secrets.token_urlsafe(32)
        async with self._database.write() as change:
            await change.run("DELETE FROM sign_in_failure WHERE email = ? AND cause = 'password'", email)
            await change.run(
                "INSERT INTO session (id, account_id, signed_in_at) VALUES (?, ?, ?)",
                _kept(session_id),
                account["id"],
                now.isoformat(),
            )
        return session_id

    async def sign_out(self, session_id: str) -> None:
        """End a session: its cookie is worth nothing from now on, wherever a copy of it is."""
        async with self._database.write() as change:
            ended = "UPDATE session SET ended_at = ? WHERE id = ? AND ended_at IS NULL"
            await change.run(ended, self._clock().isoformat(), _kept(session_id))

    async def end_sessions(self, account_id: str) -> tuple[str, list[Subject]] | None:
        """End every session of a person; return their name and whom each was of. None: there is no such person."""
        async with self._database.write() as change:
            account = await change.one("SELECT name FROM account WHERE id = ?", account_id)
            if account is None:
                return None
            rows = await change.all(
                "UPDATE session SET ended_at = ? WHERE account_id = ? AND ended_at IS NULL RETURNING id",
                self._clock().isoformat(),
                account_id,
            )
        name = account["name"]
        return name, [Subject(id=account_id, session_id=row["id"], workspace_id=WORKSPACE, name=name) for row in rows]

    async def end_session(self, ended: EndedSession) -> None:
        """End a session of a person, or revoke the access token of an agent of theirs: an ``end_session`` callable."""
        async with self._database.write() as change:
            sessions = await change.all(
                "SELECT id FROM session WHERE account_id = ? AND ended_at IS NULL", ended.subject_id
            )
            tokens = await change.all("SELECT token_hash FROM access_token WHERE account_id = ?", ended.subject_id)
            for each in sessions:
                if ended.has_id(each["id"]):
                    at = self._clock().isoformat()
                    await change.run("UPDATE session SET ended_at = ? WHERE id = ?", at, each["id"])
            for each in tokens:
                if ended.has_id(each["token_hash"]):
                    await change.run("DELETE FROM access_token WHERE token_hash = ?", each["token_hash"])

    async def identify(self, scope: Scope) -> Subject | None:
        """Return who asks: the agent that was let in, or from the session cookie; None when nobody is signed in."""
        if AGENT in scope:
            agent: Agent = scope[AGENT]
            return agent.subject
        session_id = scope.get("session", {}).get("id")
        if not isinstance(session_id, str):
            return None
        row = await self._database.one(
            "SELECT session.id AS session_id, signed_in_at, account.id, name, email, is_admin"
            " FROM session JOIN account ON account.id = account_id WHERE session.id = ? AND ended_at IS NULL",
            _kept(session_id),
        )
        if row is None:
            return None
        signed_in_at = datetime.fromisoformat(row["signed_in_at"])
        if self._clock() >= signed_in_at + SESSION_LIFE:
            return None
        return Subject(
            id=row["id"],
            session_id=row["session_id"],
            workspace_id=WORKSPACE,
            name=row["name"],
            login=row["email"],
            is_admin=bool(row["is_admin"]),
            signed_in_at=signed_in_at,
        )

    async def agent(self, token: str) -> Agent | None:
        """Return who calls with an access token, or None where there is no such token."""
        row = await self._database.one(
            "SELECT access_token.name AS token_name, prefix, token_hash, scope, account.id, account.name, email,"
            " is_admin FROM access_token JOIN account ON account.id = account_id WHERE token_hash = ?",
            token_hash(token),
        )
        if row is None:
            return None
        subject = Subject(
            id=row["id"],
            session_id=row["token_hash"],
            workspace_id=WORKSPACE,
            name=row["name"],
            login=row["email"],
            is_admin=bool(row["is_admin"]),
            actor=row["token_name"],
            client=f"{row['prefix']}…",
        )
        return Agent(subject=subject, scope=row["scope"])

    async def locked_until(self, email: str) -> datetime | None:
        """Return when an address may sign in again, or None when it may now."""
        rows = await self._database.all("SELECT at FROM sign_in_failure WHERE email = ? ORDER BY at, id", email)
        return locked_until([datetime.fromisoformat(row["at"]) for row in rows], self._clock())

    async def lockout_of(self, account_id: str) -> datetime | None:
        """Return when an account may sign in again, or None when it may now."""
        row = await self._database.one("SELECT email FROM account WHERE id = ?", account_id)
        return await self.locked_until(row["email"]) if row is not None else None

    async def tell(self, notice: Notice) -> None:
        """Put a notice into the person's mailbox, once however often it is handed over: a ``notify`` callable."""
        async with self._database.write() as change:
            await change.run(
                "INSERT INTO message (notice_id, at, account_id, locale, title, text)"
                " SELECT ?, ?, id, ?, ?, ? FROM account WHERE id = ? ON CONFLICT (notice_id) DO NOTHING",
                notice.id,
                notice.at.isoformat(),
                notice.locale,
                notice.title,
                notice.text,
                notice.subject_id,
            )

    async def count_failed_step_up(self, event: AuditEvent) -> None:
        """Count a failed step-up towards the sign-in lockout of its account: an ``on_event`` sink.

        The running session is left alone: a failed step-up aborts the action only. Who cancels has not failed.
        """
        if event.name is not EventName.FAILED or event.reason == "cancelled":
            return
        async with self._database.write() as change:
            await change.run(
                "INSERT INTO sign_in_failure (email, at, cause) SELECT email, ?, 'step-up' FROM account WHERE id = ?",
                event.at.isoformat(),
                event.subject_id,
            )
            await change.run("DELETE FROM sign_in_failure WHERE at < ?", (event.at - _KEEP_FAILURES).isoformat())


def _matches(password_hash: str, password: str) -> bool:
    if len(password) > _MAX_PASSWORD:
        return False
    try:
        return _hasher.verify(password_hash, password)
    except Argon2Error:
        return False


def _kept(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
