"""The signed-in person, as the host app knows them, and who an event is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from .canonical import digest

_MAX_LENGTH = 512
_MAY_BE_EMPTY = ("name", "login", "locale", "actor", "client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is signed in, in which session and workspace.

    ``id``, ``session_id`` and ``workspace_id`` are compared as exact text: no case folding, no Unicode
    normalisation, and never a number. Give one stable id per person (not an e-mail address typed in
    another case), because failed attempts are counted by it. ``name`` is shown to people; ``is_admin`` says who may
    write the policy of the workspace. ``signed_in_at`` is when the session began (aware UTC); without it, the first
    factor cannot be enrolled. ``login`` is what the person signs in with, such as an e-mail address: passkeys and
    authenticator apps list the account under it (WebAuthn L3 §5.4.3, ``user.name``). If it is empty, the name is
    listed. ``locale`` is the language in which the person reads, such as ``de`` or ``pt-BR``; if it is empty, their
    browser says.

    ``actor`` is who acts on the person's behalf, if it is not the person (RFC 8693 §4.1, ``act``: a program, an agent,
    a supporter), and ``client`` what the caller calls itself. Both are shown to the person and logged, and a prompt or
    token of one actor or client serves no other.

    ``session`` is the session as the log and the store keep it: a hash, never the id that opens it (ASVS 16.2.5). Where
    an actor or a client is named, their hash follows after a dot. So everything that belongs to a session belongs to
    one actor and client in it: prompts, tokens, limits, enrolments.

    Raises ``TypeError`` or ``ValueError`` for anything that could match another person by accident.
    """

    id: str
    session_id: str = field(repr=False)  # it opens the session: in no log and no traceback
    workspace_id: str
    name: str
    is_admin: bool = False
    signed_in_at: datetime | None = None
    login: str = ""
    locale: str = ""
    actor: str = ""
    client: str = ""
    session: str = field(init=False, repr=False, compare=False)  # follows from the rest

    def __post_init__(self) -> None:
        for name in ("id", "session_id", "workspace_id", *_MAY_BE_EMPTY):
            value = getattr(self, name)
            if type(value) is not str:
                raise TypeError(f"Subject.{name} must be a str, not {type(value).__name__}: write str(...) around it")
            if (not value and name not in _MAY_BE_EMPTY) or len(value) > _MAX_LENGTH:
                raise ValueError(f"Subject.{name} must have 1 to {_MAX_LENGTH} characters")
            value.encode("utf-8")  # a lone surrogate raises UnicodeEncodeError, a ValueError
        if type(self.is_admin) is not bool:
            raise TypeError("Subject.is_admin must be a bool: write bool(...) around what is one by meaning")
        if self.signed_in_at is not None and not isinstance(self.signed_in_at, datetime):
            raise TypeError("Subject.signed_in_at must be an aware datetime, such as datetime.fromtimestamp(..., UTC)")
        if self.signed_in_at is not None and self.signed_in_at.utcoffset() is None:
            raise ValueError("Subject.signed_in_at must be aware: write datetime.fromtimestamp(..., UTC)")
        object.__setattr__(self, "session", session_hash(self.session_id, self.actor, self.client))

    @property
    def account(self) -> str:
        """The account's name among others of the person: the login, else the name, else the id."""
        return self.login or self.name or self.id


class Initiator(Protocol):
    """Who an event is about (CADF, "initiator"): a person of a workspace, who acts for them, from which address."""

    @property
    def workspace_id(self) -> str: ...
    @property
    def subject_id(self) -> str: ...
    @property
    def subject_name(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def session(self) -> str: ...
    @property
    def ip(self) -> str: ...
    @property
    def user_agent(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectAt:
    """A signed-in person at an address and a browser; both are empty where no request is known."""

    subject: Subject
    ip: str = ""
    user_agent: str = ""

    @property
    def workspace_id(self) -> str:
        return self.subject.workspace_id

    @property
    def subject_id(self) -> str:
        return self.subject.id

    @property
    def subject_name(self) -> str:
        return self.subject.name

    @property
    def actor(self) -> str:
        return self.subject.actor

    @property
    def client(self) -> str:
        return self.subject.client

    @property
    def session(self) -> str:
        return self.subject.session


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session that its person has ended, as the ``end_session`` of ``StepUp`` is handed it.

    ``workspace_id`` and ``subject_id`` are as ``Subject`` has them. ``session`` is the hash of the session, what
    ``Subject.session`` begins with: the library never keeps the id that opens it. ``actor`` and ``client`` are what
    asked in it, and ``ip`` the address from which it did.
    """

    workspace_id: str
    subject_id: str
    session: str
    actor: str
    client: str
    ip: str

    def has_id(self, session_id: str) -> bool:
        """Whether this is the session of a ``Subject`` with this ``session_id``, whoever acts in it."""
        return self.session == session_hash(session_id)


def whole_session(session: str) -> str:
    """Return the session, as it is kept, in which somebody acts."""
    return session.partition(".")[0]


def in_session(session: str, whole: str) -> bool:
    """Tell whether a session, as it is kept, is this one or that of somebody who acts in it."""
    return session == whole or session.startswith(whole + ".")


@lru_cache(maxsize=1024)  # a person sends many requests in a session
def session_hash(session_id: str, actor: str = "", client: str = "") -> str:
    """Hash a session id for storage: 32 hexadecimal characters; with an actor or client, a dot and 32 of both."""
    own = sha256(b"stepup-session\0" + session_id.encode()).hexdigest()[:32]
    return f"{own}.{digest('stepup-caller-v1', [actor, client]).hex()[:32]}" if actor or client else own
