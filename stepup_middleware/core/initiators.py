"""Who an event is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .subject import Subject


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
