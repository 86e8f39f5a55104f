"""What a witness remembers, in one SQLite file: of each log the last checkpoint that it cosigned.

The file is what keeps a witness from cosigning a fork. A checkpoint is on the disk before its cosignature leaves, and
looking at the last one and replacing it is one transaction, so neither a crash nor a second request can take it back.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import SigningKey
from stepup_middleware.log.notes import Note, NoteSignature

from .decision import AddCheckpoint, check_grew

_APPLICATION = 0x73757774  # "suwt": tells this file from any other SQLite file
_BUSY_SECONDS = 10.0
_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
CREATE TABLE witness (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL) STRICT;
CREATE TABLE checkpoints (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL
) STRICT;
CREATE TRIGGER a_tree_never_shrinks BEFORE UPDATE ON checkpoints WHEN NEW.size < OLD.size OR NEW.origin <> OLD.origin
BEGIN
    SELECT RAISE(ABORT, 'a tree never shrinks');
END;
"""


class WitnessState:
    """The memory of a witness and its keys. Methods block, and may be called from any thread.

    Opening raises ``ConfigurationError`` for a file that is not the state of a witness of this name.
    """

    def __init__(self, path: Path, keys: Sequence[SigningKey]) -> None:
        self.keys = tuple(keys)
        self.name = self.keys[0].name
        self.is_new = not path.exists() or path.stat().st_size == 0
        self._lock = threading.Lock()
        path.touch(mode=0o600)
        self._sql = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except sqlite3.Error as error:
            self._sql.close()
            raise ConfigurationError(f"{path} is not the state of a witness: {error}") from None
        except ConfigurationError:
            self._sql.close()
            raise

    def _open(self) -> None:
        for pragma in ("trusted_schema = OFF", "synchronous = EXTRA", "fullfsync = ON"):
            self._sql.execute(f"PRAGMA {pragma}")
        with self._lock:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                (application,) = self._sql.execute("PRAGMA application_id").fetchone()
                (tables,) = self._sql.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                if not application and not tables:
                    for statement in _statements(_SCHEMA):
                        self._sql.execute(statement)
                    self._sql.execute("INSERT INTO witness VALUES (1, ?)", (self.name,))
                elif application != _APPLICATION:
                    raise ConfigurationError("the state file is another program's: name a file of its own by --state")
                (name,) = self._sql.execute("SELECT name FROM witness").fetchone()
                if name != self.name:
                    raise ConfigurationError(
                        f"the state file is that of the witness {name}, and the key that of {self.name}: "
                        "each witness has a state of its own"
                    )
                self._sql.execute("COMMIT")
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise

    def cosign(self, request: AddCheckpoint, at_seconds: int) -> tuple[NoteSignature, ...]:
        """Return the cosignatures of a checkpoint that has grown from the last one, which it then is on the disk.

        Its signatures by the log are checked already. Raises ``NotCosigned`` for one that has not, and
        ``sqlite3.Error`` where it cannot be kept; nothing was signed then.
        """
        checkpoint = request.checkpoint
        with self._lock:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                check_grew(request, self._latest(checkpoint.origin))
                lines = tuple(key.sign(checkpoint, at_seconds) for key in self.keys)
                ours = {(line.name, line.key_id) for line in lines}
                others = [line for line in request.note.signatures if (line.name, line.key_id) not in ours]
                note = Note(request.note.text, (*others, *lines))
                self._sql.execute(
                    "INSERT INTO checkpoints VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                    "SET size = excluded.size, root = excluded.root, note = excluded.note",
                    (checkpoint.origin, checkpoint.size, checkpoint.root, str(note)),
                )
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
        return lines

    def latest_note(self, origin: str) -> str | None:
        """Return the checkpoint that was cosigned last, with its cosignatures; None where there is none."""
        with self._lock:
            row = self._sql.execute("SELECT note FROM checkpoints WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else row[0]

    def _latest(self, origin: str) -> Checkpoint | None:
        row = self._sql.execute("SELECT size, root FROM checkpoints WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else Checkpoint(origin, row[0], row[1])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._sql.close()


def _statements(script: str) -> list[str]:
    """Return the statements of a script: ``executescript`` would commit the transaction that they belong to."""
    statements, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            statements.append(part)
            part = ""
    return statements
