"""For whom an event must arrive, over failures and restarts: the sinks of alerts, or those of notices."""

from __future__ import annotations

from enum import StrEnum


class Topic(StrEnum):
    """Which sinks something in the outbox is for: ``on_event`` an alert, ``notify`` a notice to a person."""

    ALERT = "alert"
    NOTICE = "notice"
