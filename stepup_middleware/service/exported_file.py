"""The file of an export as a verifier reads it: line by line, with an index over it in a temporary database.

So its records are found again, and brought into the order of the tree, in as little memory as an export of any size.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from stepup_middleware.core.audit import AuditFilter, read_record
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.events import EventName
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.evidence.exported import PLACE, FileFacts

_LONGEST = 64 * 1024 * 1024  # bytes of a line
_SCHEMA = """
CREATE TABLE line (
    seq INTEGER PRIMARY KEY, log INTEGER, idx INTEGER, leaf BLOB, workspace TEXT, prompt TEXT, enrolled TEXT,
    start INTEGER, UNIQUE (log, idx)
) STRICT;
CREATE INDEX line_prompt ON line (prompt, seq) WHERE prompt <> '';
CREATE INDEX line_enrolled ON line (enrolled, seq) WHERE enrolled IS NOT NULL;
"""


class NDJSONFile:
    """An export's file. ``lines`` are read once; what was added is found again while the file is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = sha256()
        self._length = self._lines = self._start = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        self._again = self._path.open("rb")
        self._index = sqlite3.connect("", isolation_level=None)  # a temporary file, which goes when it is closed
        self._index.executescript(_SCHEMA)
        self._index.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._index.close()
        self._again.close()
        self._file.close()

    @property
    def facts(self) -> FileFacts:
        return FileFacts(length=self._length, sha256=self._digest.hexdigest(), lines=self._lines)

    def lines(self) -> Iterator[str]:
        while raw := self._file.readline(_LONGEST):
            if len(raw) == _LONGEST:
                raise ConfigurationError(f"{self._path} has a line that is longer than any record")
            self._digest.update(raw)
            self._start, self._length = self._length, self._length + len(raw)
            self._lines += 1
            yield raw.decode("utf-8", "replace")  # whatever is replaced is found: its hash is another

    def add(self, record: AuditRecord, leaf_hash: bytes) -> bool:
        enrolled = record.subject_id if record.event is EventName.FACTOR_ENROLLED else None
        try:
            self._index.execute(
                "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.seq, record.log, record.index, leaf_hash, _hex(record.workspace_id),
                    _hex(record.prompt_id), None if enrolled is None else _hex(enrolled), self._start,
                ),
            )  # fmt: skip
        except sqlite3.IntegrityError:
            return False
        return True

    def leaves(self, log: int, size: int) -> Generator[tuple[int, bytes], None, None]:
        query = "SELECT idx, leaf FROM line WHERE log = ? AND idx < ? ORDER BY idx"
        yield from self._index.execute(query, (log, size))

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> Sequence[AuditRecord]:
        if wanted.prompt is not None:
            found = self._index.execute(
                "SELECT seq, start FROM line WHERE prompt = ? AND prompt <> '' AND seq > ? ORDER BY seq LIMIT ?",
                (_hex(wanted.prompt), after, limit),
            )
        else:
            found = self._index.execute(
                "SELECT seq, start FROM line WHERE enrolled = ? AND workspace = ? AND seq > ? ORDER BY seq LIMIT ?",
                (_hex(wanted.subject or ""), _hex(workspace_id or ""), after, limit),
            )
        return [self._read(seq, start) for seq, start in found.fetchall()]

    def _read(self, seq: int, start: int) -> AuditRecord:
        self._again.seek(start)
        members = json.loads(self._again.readline(_LONGEST))
        place = {name: members.pop(name) for name in PLACE}
        body = canonical_json(members)
        return read_record(body, seq=seq, id_=place["id"], entry=place["entry"], log=place["log"], index=place["index"])


def _hex(text: str) -> str:
    """Return a text that a database can hold, whatever it is."""
    return text.encode("utf-8", "surrogatepass").hex()
