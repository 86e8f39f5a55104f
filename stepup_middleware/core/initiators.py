"""Who an event is about, and the one way in which the library makes its events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from .events import AuditEvent, EventName
from .subject import Subject


class Initiator(Protocol):
    """Who an event is about (CADF, "initiator"): a person of a workspace, their session, address and browser."""

    @property
    def workspace_id(self) -> str: ...
    @property
    def subject_id(self) -> str: ...
    @property
    def subject_name(self) -> str: ...
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
    def session(self) -> str:
        return self.subject.session


def event_by(who: Initiator, name: EventName, *, at: datetime, **fields: Any) -> AuditEvent:
    """Return the event of what somebody did or met ``at`` a moment: every event of the library is made here.

    ``fields`` are further ones of ``AuditEvent``, or replace those of ``who``.
    """
    values: dict[str, Any] = {
        "workspace_id": who.workspace_id,
        "subject_id": who.subject_id,
        "subject_name": who.subject_name,
        "session": who.session,
        "ip": who.ip,
        "user_agent": who.user_agent,
    }
    return AuditEvent(at=at, name=name, **(values | fields))
