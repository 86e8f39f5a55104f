"""Figures and traces for the systems that watch an app: meters for ``StepUp(metrics=)``, each an extra of its own.

Labels are words of the library and ids of the catalogue, never of a person.
"""

from __future__ import annotations

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.service.figures import Meter
from stepup_middleware.service.health import Health

__all__ = ["Health", "Meter"]

STEP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds


def reason_of(event: AuditEvent) -> str:
    """Return why an event came about, for the end of an action how it ended: always a word of the code."""
    if event.name is EventName.ACTION_COMPLETED:
        return str(event.data.get("outcome", ""))
    return event.reason


class Counted:
    """Turns numbers that grow from the start of a process into what was added since they were last seen."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def added(self, name: str, number: int) -> int:
        """Return what was added; all of it where the number is smaller than before, for then it began anew."""
        before = self._seen.get(name, 0)
        self._seen[name] = number
        return number - before if number >= before else number
