"""Begins a new log where the one before cannot be signed any more: its first leaf commits to what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.checkpoints import Checkpoint, checkpoint_of
from stepup_middleware.log.integrator import TreeState
from stepup_middleware.log.notes import NoteError, encode_base64
from stepup_middleware.stores.base import HotState

from .signing import CheckpointSigner
from .tampering import RETENTION_YEARS


async def begin_log(
    store: HotState, signer: CheckpointSigner | None, origin: str, *, checkpoints: Sequence[str], at: datetime
) -> None:
    """Begin the log of a name, that of the signer's key. ``checkpoints`` are notes that were kept of the one before.

    Opens the store and closes it. Raises ``ConfigurationError`` where that cannot be done.
    """
    if signer is None:
        raise ConfigurationError(
            "a new log is named after its key: make one with `stepup keygen --log NAME --output FILE`, and set log_key"
        )
    async with store:
        notes = [*checkpoints, *await signer.kept_notes()]
        last = await store.records.last_checkpoint()
        if last is not None:
            notes.append(last.note)
        signed = [(_kept_checkpoint(note), note) for note in notes]

        def make(before: TreeState | None) -> AuditEvent:
            old = "" if before is None else before.origin
            known = [(checkpoint.size, note) for checkpoint, note in signed if checkpoint.origin == old]
            previous = {
                "origin": old,
                "size": 0 if before is None else before.size,
                "root": "" if before is None else encode_base64(before.root),
                "checkpoint": max(known, default=(0, ""))[1],
            }
            return AuditEvent(
                at=at,
                name=EventName.LOG_BEGUN,
                workspace_id="",
                subject_id="",
                retention_years=RETENTION_YEARS,
                data={"origin": origin, "previous": previous},
            )

        if not await store.records.begin_log(origin, make):
            raise ConfigurationError(
                f"there is a log named {origin} in this database already: make a key of another name with "
                "`stepup keygen --log NAME --output FILE`, and set log_key"
            )


def _kept_checkpoint(note: str) -> Checkpoint:
    try:
        return checkpoint_of(note)
    except NoteError as error:
        raise ConfigurationError(f"one of the checkpoints that were kept is none: {error}") from None
