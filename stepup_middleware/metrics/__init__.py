"""Figures and traces for the systems that watch an app: sinks for ``on_event``, each an extra of its own.

Labels are words of the library and ids of the catalogue, never of a person.
"""

from __future__ import annotations

from stepup_middleware.core.events import AuditEvent, EventName


def reason_of(event: AuditEvent) -> str:
    """Return why an event came about, for the end of an action how it ended: always a word of the code."""
    if event.name is EventName.ACTION_COMPLETED:
        return str(event.data.get("outcome", ""))
    return event.reason
