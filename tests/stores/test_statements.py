"""The verbs and the texts of SQL fit: no name without a text in each database, no text without a use."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

import stepup_middleware.stores
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.stores.sqlite.dialect import translated
from stepup_middleware.stores.sqlite.log_reader import load_sql
from stepup_middleware.stores.statements import joined, load_statements
from stepup_middleware.testing.contract.values import MACS

STORES = Path(stepup_middleware.stores.__file__).parent
CALLS = frozenset({"execute", "execute_many", "fetch_one", "fetch_all", "fetch_many"})
SHARED = load_statements("stepup_middleware.stores.sql")
POSTGRES = joined(SHARED, load_statements("stepup_middleware.stores.postgres"))


def names_in(package: str) -> Iterator[str]:
    """Yield the names of statements that the modules of a package run."""
    for path in STORES.joinpath(package).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(name)), *_]):
                    if method in CALLS and name.islower():  # texts of SQL are written in capitals
                        yield name
                case ast.Call(func=ast.Name(id="StandingTable"), args=[_, ast.Constant(value=str(name)), *_]):
                    yield name
                case ast.Subscript(value=ast.Attribute(attr="sql" | "_sql"), slice=ast.Constant(value=str(name))):
                    yield name


@pytest.mark.parametrize(("package", "statements"), [("sqlite", load_sql()), ("postgres", POSTGRES)])
def test_every_statement_that_is_run_is_there_and_every_one_that_is_there_is_run(
    package: str, statements: Mapping[str, str]
) -> None:
    assert {*names_in("sql"), *names_in(package)} == statements.keys()


def test_what_both_databases_read_is_written_once() -> None:
    own = load_statements("stepup_middleware.stores.sqlite")
    theirs = translated(load_statements("stepup_middleware.stores.postgres"))
    assert [name for name in own.keys() & theirs.keys() if own[name] == theirs[name]] == []


def test_what_is_read_to_be_sealed_anew_is_locked_until_it_is_written() -> None:
    read = {name: text for name, text in POSTGRES.items() if name.endswith("s_after") and name != "enrolments_after"}
    assert {"factors_after", "policies_after", "handles_after", "approvals_after"} <= read.keys()
    assert [name for name, text in read.items() if not text.rstrip(" ;\n").endswith("FOR UPDATE")] == []


def test_two_statements_of_one_name_are_a_fault() -> None:
    with pytest.raises(ValueError, match="called redeem"):
        joined({"redeem": "SELECT 1"}, {"redeem": "SELECT 2"})


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("list_factors", "audit_factor"),
        ("lock_factors", "audit_factor"),
        ("missed_factors", "audit_enrolled_by"),
        ("read_policy", "audit_policy"),
        ("read_for_asking", "audit_policy"),
        ("purge_records", "audit_enrolled_as"),
    ],
)
async def test_what_is_held_against_the_log_is_found_by_an_index_of_its_own(
    tmp_path: Path, name: str, index: str
) -> None:
    async with SQLiteStore(tmp_path / "db").use(MACS):
        pass
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        text = load_sql()[name]
        numbers = [int(number) for number in re.findall(r"\?(\d+)", text)]
        nothing = [None] * (max(numbers) if numbers else text.count("?"))
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", nothing)]
    assert any(f"INDEX {index} (" in step for step in plan), plan


async def test_a_step_of_the_log_looks_for_strange_leaves_by_the_index_however_many_there_are(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "db").use(MACS):
        pass
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {load_sql()['leaf_ahead']}")]
    of_leaves = [step for step in plan if re.match(r"(SCAN|SEARCH) l\b", step)]
    assert len(of_leaves) >= 4
    assert all(re.match(r"SEARCH l USING (INDEX|PRIMARY KEY|COVERING INDEX)", step) for step in of_leaves), plan
