"""Somebody alters what the rows stand in: a trigger, a view, a rule, an index. Verifying tells of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import EventName
from stepup_middleware.evidence.assertions import Assertion
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.findings import LogFinding
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.service.assertions import hold
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import MACS, OWNER, event, names_of
from tests.stores import made as made_schema

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
    "index refuses": ["CREATE UNIQUE INDEX refuses ON audit (event) WHERE event = 'ACCOUNT_STEPUP_REUSED'"],
    "index fails": ["CREATE INDEX fails ON audit (CASE event WHEN 'ACCOUNT_STEPUP_REUSED' THEN abs(body) END)"],
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
PATH_OF_OWN_OPERATORS = [
    "CREATE SCHEMA other",
    "CREATE FUNCTION other.same(text, text) RETURNS boolean LANGUAGE sql AS $$ "
    "SELECT $1 OPERATOR(pg_catalog.=) $2 AND $1 OPERATOR(pg_catalog.<>) 'ACCOUNT_STEPUP_REUSED' $$",
    "CREATE OPERATOR other.= (leftarg = text, rightarg = text, procedure = other.same)",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = other, pg_catalog', current_database()); END $$",
]
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
    "function settled()": [
        "CREATE OR REPLACE FUNCTION stepup.settled() RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$"
    ],
    "function settled(more integer)": [
        "CREATE FUNCTION stepup.settled(more integer DEFAULT 0) RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$"
    ],
    "function today()": ["ALTER FUNCTION stepup.today() RESET search_path"],
    "constraint refuses on audit": [
        "ALTER TABLE stepup.audit ADD CONSTRAINT refuses CHECK (event <> 'ACCOUNT_STEPUP_REUSED') NOT VALID"
    ],
    "constraint factors_pkey on factors": ["ALTER TABLE stepup.factors DROP CONSTRAINT factors_pkey"],
    "index fails": [
        "CREATE INDEX fails ON stepup.audit ((CASE event WHEN 'ACCOUNT_STEPUP_REUSED' THEN 1 / (seq - seq) END))"
    ],
    "trigger tiles_stay on tiles": [
        "DROP TRIGGER tiles_stay ON stepup.tiles",
        "CREATE TRIGGER tiles_stay BEFORE DELETE ON stepup.tiles FOR EACH ROW WHEN (old.log > 1) "
        "EXECUTE FUNCTION stepup.refuse('a tile only grows')",
    ],
    "table trees": ["UPDATE pg_class SET relhastriggers = false WHERE oid = 'stepup.trees'::regclass"],
    "table tiles": ["ALTER TABLE stepup.tiles SET UNLOGGED"],
    "table checkpoints": ["ALTER TABLE stepup.checkpoints ALTER COLUMN note DROP NOT NULL"],
    "table prompts": ["ALTER TABLE stepup.prompts ALTER COLUMN mac DROP NOT NULL"],
    "sequence audit_seq_seq": ["ALTER SEQUENCE stepup.audit_seq_seq INCREMENT BY -1 MINVALUE -1000000"],
    "setting session_replication_role": [
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database()); "
        "END $$"
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


async def none_wrong(assertions: Sequence[Assertion]) -> list[bool]:
    return hold(assertions)


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
    await run(
        [
            "ANALYZE stepup.audit",
            "CREATE INDEX mine ON stepup.audit (at)",
            "CREATE VIEW stepup.counted AS SELECT count(*) FROM stepup.audit",
            "CREATE TABLE stepup.kept (id text PRIMARY KEY)",
        ]
    )
    assert await schema_findings(store) == []


# A29
async def test_a_database_keeps_to_what_the_library_says_its_scripts_make(postgres_dsn: str) -> None:
    made = json.loads(made_schema.PATH.read_text(encoding="utf-8"))
    assert await made_schema.schema_of(postgres_dsn) == made  # `python -m tests.stores.made` writes it anew


# A29
async def test_operators_that_a_path_puts_before_the_servers_are_not_used(postgres_dsn: str) -> None:
    async def alerts() -> int:
        async with PostgresStore(postgres_dsn).use(MACS) as store:
            await store.append([event(EventName.REUSED)])
            page = await store.audit_page(None, AuditFilter(event=EventName.REUSED), before=None, limit=10)
            return len(page.events)

    assert await alerts() == 1
    connection = await asyncpg.connect(postgres_dsn)
    try:
        for statement in PATH_OF_OWN_OPERATORS:
            await connection.execute(statement)
    finally:
        await connection.close()
    assert await alerts() == 2


# A30
async def test_an_index_that_lacks_an_alert_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    alerts = AuditFilter(event=EventName.REUSED)

    async def shown_and_told() -> tuple[int, list[LogFinding]]:
        async with SQLiteLog(path) as log:
            shown = await log.audit_after(OWNER.workspace_id, alerts, after=0, limit=10)
            verifier = LogVerifier(log, Trust(), now=datetime.now(UTC), macs=MACS, check_assertions=none_wrong)
            return len(shown), [finding async for finding in verifier.run() if finding.where == "database"]

    async with SQLiteStore(path).use(MACS) as store:
        await store.append([event(), event(EventName.REUSED)])
        await integrate(store)
    assert await shown_and_told() == (1, [])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        indexes = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name IN ('audit_subject', 'audit_purpose')"
        )
        pages = [slice((page - 1) * size, page * size) for (page,) in indexes]
    written = bytearray(path.read_bytes())
    for page in pages:
        assert b"STEPUP_REUSED" in written[page]
        written[page] = written[page].replace(b"STEPUP_REUSED", b"STEPUP_REUSEE")
    path.write_bytes(written)
    shown, told = await shown_and_told()
    assert shown == 0  # though the row is there, and its leaf, and all that the tree proves
    assert any("audit_subject" in finding.problem for finding in told)
