"""An audit event as the log has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from .binding import BoundRequest, Details
from .events import AuditEvent, EventName, Outcome, Severity, is_alert, topics_of
from .factors import FactorKind, FactorRequirement
from .topics import Topic

_SHARED = tuple(each.name for each in fields(AuditEvent) if each.name != "name")
_shared = attrgetter(*_SHARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An event as the log has it: with its place in the log and in the tree.

    ``seq`` orders the whole log; ``id`` names the record for ever. ``body`` is the canonical text with its ``salt``;
    ``entry`` is what stays of it after a purge, and the leaf of the tree (``log.records``); ``mac`` covers id and
    entry. ``index`` is the place of the leaf in the tree, None until it has one, and ``log`` the number of the tree
    (a database has one, and another for each time that a new log was begun). ``refused`` says why it never gets one.

    All else is read from the body, and is what ``AuditEvent`` says of it: ``event`` (its name), ``severity``,
    ``outcome``, ``at``, ``workspace_id``, ``subject_id``, ``subject_name``, ``actor``, ``client``, ``session``,
    ``ip``, ``user_agent``, ``purpose``, ``prompt_id``, ``factor_kind``, ``factor_id``, ``requirement``,
    ``policy_version``, ``request``, ``details``, ``reason``, ``flags``, ``retention_years``, ``data``.
    """

    seq: int
    body: str
    id: str = ""
    salt: str = ""
    entry: str = ""
    mac: bytes = b""
    log: int | None = None
    index: int | None = None
    refused: str | None = None
    at: datetime
    event: EventName
    severity: Severity
    outcome: Outcome
    workspace_id: str
    subject_id: str
    subject_name: str
    actor: str
    client: str
    session: str
    ip: str
    user_agent: str
    purpose: str
    prompt_id: str
    factor_kind: FactorKind | None
    factor_id: str
    requirement: FactorRequirement | None
    policy_version: int | None
    request: BoundRequest | None
    details: Details
    reason: str
    flags: tuple[str, ...]
    retention_years: int
    data: Mapping[str, Any]

    @property
    def is_alert(self) -> bool:
        """Whether somebody had to hear of it at once: as ``AuditEvent.is_alert``."""
        return is_alert(self.event, self.data)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Which sinks the event must reach: as ``AuditEvent.topics``."""
        return topics_of(self.event, self.data)

    def as_event(self) -> AuditEvent:
        """Return the event that was recorded."""
        return AuditEvent(name=self.event, **dict(zip(_SHARED, _shared(self), strict=True)))
