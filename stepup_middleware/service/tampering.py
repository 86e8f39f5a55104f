"""Tells of what somebody else did to the database: once each, so that nobody is flooded, and loudly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records
from stepup_middleware.stores.sealing import Tampered

logger = get_logger("stepup_middleware")

MOST_TOLD = 10_000  # alterations that one process tells of
RETENTION_YEARS = 10


class TamperAlarm:
    """Raises the alarm for each thing that was found altered, once a process.

    An alarm is a critical line in the program's log and a ``DATABASE_ALTERED`` in the audit log, from where every sink
    has it. Nothing here stops anything: whoever found it leaves out what does not hold.
    """

    def __init__(self, *, store: Records, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._told: set[tuple[str, ...]] = set()

    def raise_for(
        self,
        key: tuple[str, ...],
        what: str,
        *,
        reason: str,
        workspace_id: str = "",
        subject_id: str = "",
        data: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Tell ``what`` was found, a sentence that says what to do, unless ``key`` was told. ``reason`` is one word.

        ``data`` is what else the event has to say of it.

        Never raises, and returns at once: the event is written soon.
        """
        if key in self._told or len(self._told) > MOST_TOLD:
            return
        self._told.add(key)
        if len(self._told) > MOST_TOLD:
            what = f"more than {MOST_TOLD} alterations of the database were found: this process tells no further ones"
        logger.critical("the database was altered: %s", what)
        event = AuditEvent(
            at=self._clock(),
            name=EventName.DATABASE_ALTERED,
            workspace_id=workspace_id,
            subject_id=subject_id,
            reason=reason,
            retention_years=RETENTION_YEARS,
            data={"what": what, **data},
        )
        self._store.append_soon(event)

    def row(self, row: Tampered) -> None:
        """Tell of a row whose MAC does not hold: somebody else wrote it, or altered it. It does not count."""
        self.raise_for(
            (row.table, row.key),
            f"the row {row.key} of the table {row.table} was not written by this installation as it is; it does not "
            "count. Find out who writes to the database, and whom it concerns",
            reason=row.table,
            workspace_id=row.workspace_id,
            subject_id=row.subject_id,
            data={"table": row.table, "row": row.key},
        )

    def is_over(self, key: tuple[str, ...]) -> None:
        """Tell of ``key`` again if it is found again: what was wrong was put right."""
        self._told.discard(key)
