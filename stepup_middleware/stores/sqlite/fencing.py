"""The side files of a database: a lock for the writer, and the mark of how far the database had come.

``<database>-lock`` is locked around each batch. SQLite's own lock is polled and unfair; ``flock`` gives
it in the order of asking. Where the platform has no ``flock``, SQLite's lock alone decides.

``<database>-fence`` holds the number of a batch that was committed. A database whose own number is lower
is an older copy of itself, put back: tokens that it calls issued may have been redeemed since. The file is
written lazily, at least once a second while there are writes and when the store closes, always after the commit that it
records: it can lag behind, never run ahead.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # pragma: no cover - not on this platform
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None  # whether the lock is taken at all
_RECORD = re.compile(rb"([0-9a-f]{32}) ([0-9]{20})\n")


def beside(path: Path, suffix: str) -> Path:
    """Return the side file of a database."""
    return path.with_name(f"{path.name}-{suffix}")


class WriteLock:
    """The advisory lock on the side file, as a context manager. Blocks until it is free.

    A thread of its own waits here, never an event loop; callers are freed by their own timeouts.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def take_at_once(self) -> bool:
        """Take the lock if nobody has it."""
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Give the lock back, if it was taken, and close the file."""
        os.close(self._file)


class FencingToken:
    """The mark beside the database: its random name, and a batch that it has certainly committed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[str, int] | None:
        """Return name and batch; None where there is no mark, or none that can be read."""
        try:
            found = _RECORD.fullmatch(self._path.read_bytes())
        except FileNotFoundError:
            return None
        return None if found is None else (found[1].decode(), int(found[2]))

    def write(self, database: str, batch: int) -> None:
        """Set the mark. One write of a fixed length: it is there whole or not at all.

        Raises ``OSError``.
        """
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, f"{database} {batch:020}\n".encode(), 0)
        finally:
            os.close(file)
