"""Bytes that are no text, in the columns of a SQLite file: told as what they are, by the verifier and by the app."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.log.histories import LOG_KEYS, LOG_VERIFIERS
from tests.log.signing import app, key_text, sign, write

from .support import run

PLACES = [("audit", name) for name in ("body", "entry", "id", "workspace", "prompt", "event", "mac", "refused")] + [
    ("leaves", "entry"),
    ("leaves", "record_id"),
    ("checkpoints", "note"),
    ("trees", "origin"),
    ("tiles", "hashes"),
]


def spoil(path: Path, table: str, column: str) -> None:
    """Put a byte that is no UTF-8 into a text."""
    with closing(sqlite3.connect(path, isolation_level=None)) as thief:
        for (name,) in thief.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            thief.execute(f"DROP TRIGGER {name}")
        value = f"CAST(coalesce(CAST({column} AS BLOB), x'') || x'ff' AS TEXT)"
        one = "idx = 1" if table == "leaves" else f"rowid = (SELECT max(rowid) FROM {table})"  # noqa: S608
        thief.execute(f"UPDATE {table} SET {column} = {value} WHERE {one}")  # noqa: S608


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")

    async def make() -> None:
        async with app(folder / "db", log_key=key_text(LOG_KEYS)) as stepup:
            await write(stepup, 3)
            await sign(stepup)

    asyncio.run(make())
    return folder / "db"


@pytest.mark.parametrize(("table", "column"), PLACES)
@pytest.mark.parametrize("form", ["--json", "--without-proofs"])
def test_bytes_that_are_no_text_are_a_fault_of_the_log_and_not_of_the_command(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, column: str, form: str
) -> None:
    shutil.copy(made, tmp_path / "db")
    spoil(tmp_path / "db", table, column)
    vkeys = [argument for key in LOG_VERIFIERS for argument in ("--vkey", str(key))]
    code, out, err = run(capsys, "audit", "verify", "--database", tmp_path / "db", *vkeys, form)
    assert code == 1, (out, err)
    out.encode()
    if column not in ("mac", "refused") and form == "--json":
        found = [json.loads(line) for line in out.splitlines()]
        assert [each for each in found if each.get("where") not in (None, "schema") and not each["unverifiable"]]


@pytest.mark.parametrize("column", ["body", "entry", "id", "mac"])
async def test_a_record_with_bytes_that_are_no_text_gets_no_leaf_and_the_others_do(
    made: Path, tmp_path: Path, column: str
) -> None:
    shutil.copy(made, tmp_path / "db")
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as thief:
        columns = [row[1] for row in thief.execute("PRAGMA table_info(audit)") if row[1] != "seq"]
        new = {"id": "'forged'"}
        new[column] = f"CAST(CAST({new.get(column, column)} AS BLOB) || x'ff' AS TEXT)"
        values = ", ".join(new.get(name, name) for name in columns)
        thief.execute(f"INSERT INTO audit ({', '.join(columns)}) SELECT {values} FROM audit LIMIT 1")  # noqa: S608
    async with app(tmp_path / "db", log_key=key_text(LOG_KEYS)) as stepup:
        await write(stepup, 2)
        stored = await sign(stepup)
        assert stored is not None
        assert stored.size >= 5
        (refused,) = await stepup._parts.store.records.records_without_leaf(after=0, until=2**40)
        assert refused.refused == "RECORD_MAC"
