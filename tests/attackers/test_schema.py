"""Somebody alters what the rows stand in: a trigger, a view, a rule, an index. Verifying tells of it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import MACS, event, names_of

HIDING = """
CREATE TRIGGER hides AFTER INSERT ON audit WHEN NEW.event = 'ACCOUNT_STEPUP_REUSED'
BEGIN DELETE FROM audit WHERE id = NEW.id; END
"""
ON_SQLITE = {
    "trigger hides": ["DROP TRIGGER audit_is_only_purged", HIDING],
    "trigger ignores": [
        "CREATE TRIGGER ignores BEFORE INSERT ON audit WHEN NEW.event = 'ACCOUNT_STEPUP_REUSED' "
        "BEGIN SELECT RAISE(IGNORE); END"
    ],
    "index audit_token": ["DROP INDEX audit_token", "CREATE INDEX audit_token ON audit (token)"],
    "index audit_proved": ["DROP INDEX audit_proved"],
    "table leaves": ["ALTER TABLE leaves RENAME TO kept", "CREATE VIEW leaves AS SELECT * FROM kept"],
    "table policies": ["ALTER TABLE policies ADD COLUMN more"],
    "table factors": [
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'subject TEXT NOT NULL', 'subject TEXT NOT NULL COLLATE NOCASE') "
        "WHERE name = 'factors'",
    ],
    "trigger sqlite_own": [
        HIDING,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET name = 'sqlite_own', sql = replace(sql, 'TRIGGER hides', 'TRIGGER sqlite_own') "
        "WHERE name = 'hides'",
    ],
}
NOTHING = "CREATE FUNCTION stepup.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
ON_POSTGRES = {
    "trigger ignores on audit": [
        NOTHING,
        "CREATE TRIGGER ignores BEFORE INSERT ON stepup.audit FOR EACH ROW WHEN (NEW.event = 'ACCOUNT_STEPUP_REUSED') "
        "EXECUTE FUNCTION stepup.nothing()",
    ],
    "trigger leaves_stay on leaves": ["ALTER TABLE stepup.leaves DISABLE TRIGGER leaves_stay"],
    "index audit_token": [
        "DROP INDEX stepup.audit_token",
        "CREATE UNIQUE INDEX audit_token ON stepup.audit (seq) WHERE token IS NOT NULL",
    ],
    "index audit_proved": ["DROP INDEX stepup.audit_proved"],
    "table leaves": ["CREATE RULE shorter AS ON INSERT TO stepup.leaves DO INSTEAD NOTHING"],
    "table tokens": ["ALTER TABLE stepup.tokens ENABLE ROW LEVEL SECURITY"],
    "table policies": [
        "ALTER TABLE stepup.policies RENAME TO kept",
        "CREATE VIEW stepup.policies AS SELECT * FROM stepup.kept",
    ],
    "table audit": ["CREATE TABLE stepup.more () INHERITS (stepup.audit)"],
    "table people": ['ALTER TABLE stepup.people ALTER COLUMN subject TYPE text COLLATE "POSIX"'],
    "function settled": [
        "CREATE OR REPLACE FUNCTION stepup.settled() RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$"
    ],
}
Run = Callable[[Sequence[str]], Awaitable[None]]


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[tuple[SQLStore, Run]]:
    path = tmp_path / "log.db"

    async def run(statements: Sequence[str]) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    async with SQLiteStore(path).use(MACS) as store:
        yield store, run


@pytest.fixture
async def on_postgres(postgres_dsn: str) -> AsyncIterator[tuple[SQLStore, Run]]:
    async def run(statements: Sequence[str]) -> None:
        connection = await asyncpg.connect(postgres_dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async with PostgresStore(postgres_dsn).use(MACS) as store:
        yield store, run


async def schema_findings(store: SQLStore) -> list[str]:
    verifier = LogVerifier(store.records, Trust(), now=datetime.now(UTC), macs=MACS)
    return [finding.field async for finding in verifier.run() if finding.where == "schema"]


async def tried(store: SQLStore, run: Run, what: str, statements: Sequence[str]) -> None:
    await store.append([event()])
    await integrate(store)
    assert await schema_findings(store) == []
    await run(statements)
    assert what in await schema_findings(store)


# A29
@pytest.mark.parametrize("what", ON_SQLITE)
async def test_what_a_file_has_instead_of_the_schema_is_told(on_sqlite: tuple[SQLStore, Run], what: str) -> None:
    await tried(*on_sqlite, what, ON_SQLITE[what])


# A29
@pytest.mark.parametrize("what", ON_POSTGRES)
async def test_what_a_database_has_instead_of_the_schema_is_told(on_postgres: tuple[SQLStore, Run], what: str) -> None:
    await tried(*on_postgres, what, ON_POSTGRES[what])


# A29
async def test_a_trigger_that_hides_an_alert_in_its_own_transaction_is_told(on_sqlite: tuple[SQLStore, Run]) -> None:
    store, run = on_sqlite
    await run(ON_SQLITE["trigger hides"])
    await store.append([event(EventName.REUSED)])
    await integrate(store)
    assert await names_of(store) == []  # nothing else could tell: it never had a leaf
    assert "trigger hides" in await schema_findings(store)


# A29
async def test_what_an_operator_adds_beside_the_schema_is_no_fault(
    on_sqlite: tuple[SQLStore, Run], on_postgres: tuple[SQLStore, Run]
) -> None:
    store, run = on_sqlite
    await run(["ANALYZE", "CREATE INDEX mine ON audit (at)", "CREATE VIEW counted AS SELECT count(*) FROM audit"])
    assert await schema_findings(store) == []
    store, run = on_postgres
    await run(["ANALYZE stepup.audit", "CREATE INDEX mine ON stepup.audit (at)"])
    assert await schema_findings(store) == []
