"""An app with a log that is signed and witnessed, for tests: in this process, and as one that is killed.

As a program: ``python -m tests.log.signing DATABASE KEY_FILE CHECKPOINT_FILE WITNESS_URL VKEYS`` writes events and
signs as fast as it can until somebody ends it, and prints each size that it signed.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stepup_middleware import CheckpointFile, EventName, StepUp, Subject, Witness
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.keys import SigningKey, VerifierKey, verify_note
from stepup_middleware.log.notes import read_note
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.service.signing import CheckpointSigner, LogStatus
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import PATIENT, RP

SECRET_KEY = "a key of this test that is long enough for it, 0123456789"


def key_text(keys: Sequence[SigningKey]) -> str:
    return "\n".join(key.secret_text() for key in keys)


async def nobody(scope: Any) -> Subject | None:
    return None


def app(path: Path, **settings: Any) -> StepUp:
    """Return an app on a database. ``log_key`` and the like are among the settings."""
    return StepUp(
        **{
            "secret_key": SECRET_KEY,
            "store": SQLiteStore(path, timeout=PATIENT),
            "relying_party": RP,
            "identify": nobody,
            "store_timeout": PATIENT,
            **settings,
        }
    )


def log_of(stepup: StepUp) -> LogStatus:
    """Return how the audit log is, as ``health`` tells it."""
    return stepup._parts.health.log


def signer_of(stepup: StepUp) -> CheckpointSigner:
    signer = stepup._parts.signer
    assert signer is not None
    return signer


async def write(stepup: StepUp, count: int, browser: str = "") -> None:
    """Write events to the log, which differ from others by their browser."""
    now = datetime.now(UTC)
    event = AuditEvent(at=now, name=EventName.POLICY_CHANGED, workspace_id="w", subject_id="s", user_agent=browser)
    await stepup._parts.store.records.append([event] * count)


async def sign(stepup: StepUp) -> StoredCheckpoint | None:
    return await signer_of(stepup).sign()


async def alarms(stepup: StepUp) -> list[str]:
    """Return the reasons of the alarms that the log tells, once all that was handed over is written."""
    await stepup._parts.store.records.append([])
    return [record.reason async for record in stepup.audit.stream(None) if record.event is EventName.DATABASE_ALTERED]


def signed_by(note: str, keys: Sequence[VerifierKey]) -> int:
    """Return how many of these keys signed a note."""
    return len(verify_note(read_note(note), keys))


@dataclass
class Keeper:
    """A sink that fails so many times before it takes something."""

    failures: int = 0

    def __post_init__(self) -> None:
        self.notes: list[str] = []

    async def __call__(self, note: str) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the place is full")
        self.notes.append(note)


def fault_of(stepup: StepUp) -> Fault | None:
    return stepup._parts.integration.fault


async def _work(database: str, key: str, file: str, url: str, vkeys: str) -> None:
    witness = Witness(url, vkeys)
    stepup = app(
        Path(database),
        log_key=Path(key),
        on_checkpoint=[CheckpointFile(file)],
        witnesses=[witness],
        store_timeout=timedelta(seconds=30),
    )
    async with stepup:
        while True:
            await write(stepup, 1 + secrets.randbelow(20))
            stored = await sign(stepup)
            sys.stdout.write(f"{'fault' if stored is None else stored.size}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
