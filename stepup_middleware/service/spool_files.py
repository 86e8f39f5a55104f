"""Files in which a process keeps events that the store does not take, so that they outlive the process.

One file a process, locked as long as it lives. A line is the MAC of an event and its canonical text, so that nobody but
the app adds an event to the log by way of a file.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from stepup_middleware.core.audit import read_record
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.logged import get_logger

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

logger = get_logger("stepup_middleware")

_PATTERN = "stepup-*.spool"


class SpoolFiles:
    """The files of one folder: this process's own, and those that it took over from processes that died.

    ``keys``: the first makes MACs, all verify. Every method blocks: call it in a thread.
    """

    def __init__(self, folder: Path, keys: Sequence[bytes]) -> None:
        self._folder = folder
        self._keys = tuple(keys)
        self._own: tuple[Path, BinaryIO] | None = None
        self._taken_over: list[tuple[Path, BinaryIO]] = []

    def check(self) -> None:
        """Raise ``ConfigurationError`` unless files can be kept there."""
        if fcntl is None:
            raise ConfigurationError("spool needs file locks, which this system does not have: leave it out")
        if not self._folder.is_dir() or not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"spool={str(self._folder)!r} is no folder that this process can write: make it, for the app alone"
            )

    def take_over(self) -> list[AuditEvent]:
        """Return the events of files whose processes are gone; from now on those files are this process's."""
        found: list[AuditEvent] = []
        for path in sorted(self._folder.glob(_PATTERN)):
            file: BinaryIO = path.open("rb+")
            if not _locked(file) or not path.exists():  # of a process that lives, or done with meanwhile
                file.close()
                continue
            self._taken_over.append((path, file))
            found += self._read(path, file)
        return found

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Write events to this process's file, durably. Raises ``OSError``."""
        if self._own is None:
            path = self._folder / f"stepup-{os.getpid()}-{secrets.token_hex(4)}.spool"
            made: BinaryIO = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "rb+")
            _locked(made)
            self._own = (path, made)
        file = self._own[1]
        for event in events:
            text = event.body().encode("utf-8")
            file.write(f"{self._mac(self._keys[0], text)} ".encode() + text + b"\n")
        file.flush()
        os.fsync(file.fileno())

    def remove(self) -> None:
        """Remove the files: all that is in them has been written to the log."""
        for path, file in [*self._taken_over, *([] if self._own is None else [self._own])]:
            path.unlink(missing_ok=True)
            file.close()
        self._taken_over, self._own = [], None

    def close(self) -> None:
        """Leave the files to the next process."""
        for _, file in [*self._taken_over, *([] if self._own is None else [self._own])]:
            file.close()
        self._taken_over, self._own = [], None

    def _read(self, path: Path, file: BinaryIO) -> Iterator[AuditEvent]:
        for number, line in enumerate(file, 1):
            mac, _, text = line.rstrip(b"\n").partition(b" ")
            if not any(hmac.compare_digest(self._mac(key, text).encode(), mac) for key in self._keys):
                logger.error("line %d of %s is not what the app wrote: it does not go to the log", number, path)
                continue
            yield read_record(text.decode("utf-8")).as_event()

    @staticmethod
    def _mac(key: bytes, text: bytes) -> str:
        return hmac.new(key, text, "sha256").hexdigest()


def _locked(file: BinaryIO) -> bool:
    """Take the lock of a file, which ends with its process, and say whether this one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
