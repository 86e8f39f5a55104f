"""A log in a real database, and what verifying says of it after somebody was at its tables."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.findings import LogFinding
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.integrator import SeenTree
from stepup_middleware.log.keys import LOG_TYPES, SigningKey, sign_checkpoint
from stepup_middleware.log.records import RowMacs
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.service.assertions import hold
from stepup_middleware.stores.audit_log import AuditLog
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.testing.contract.values import MACS, ORIGIN
from tests.evidence.generator import Generator, make_keys
from tests.log.histories import WITNESS_KEYS

from . import grants
from .alterations import ORDER, Alteration, Tables, every

PATIENT = timedelta(seconds=30)
LOG_KEYS = tuple(SigningKey.generate(ORIGIN, type_) for type_ in LOG_TYPES)
STEP_UPS = 6


def events(seed: int) -> tuple[list[AuditEvent], datetime]:
    """Return the events of some step-ups, and a moment after them. The first were a year and more ago."""
    generator = Generator(seed, make_keys())
    made: list[AuditEvent] = []
    for number in range(STEP_UPS):
        log, _, _ = generator.step_up(plain=True)
        batch = sorted((record.as_event() for record in log.records), key=lambda each: each.at)
        if number == 0:
            made += [
                replace(batch[0], name=EventName.BLOCKED, at=batch[0].at - timedelta(days=900 - n),
                        prompt_id=f"old-{n}",
                        factor_kind=None, factor_id="", data={}, retention_years=1)
                for n in range(3)
            ]  # fmt: skip
        made += batch
    return made, generator.now + timedelta(seconds=2)


@dataclass
class Base:
    """The honest log: its tables, those of earlier moments, and the checkpoints that somebody kept elsewhere."""

    tables: Tables
    earlier: Mapping[int, Tables]
    kept: Sequence[Checkpoint]
    now: datetime

    def trust(self, kept: Sequence[Checkpoint] | None = None, witnesses: Sequence[SigningKey] = ()) -> Trust:
        return Trust(
            log_keys=[key.verifier for key in LOG_KEYS],
            witness_keys=[key.verifier for key in witnesses],
            checkpoints=self.kept[-1:] if kept is None else kept,
            rp_id="example.com",
        )


class Attacked:
    """A database whose log is replaced, table by table."""

    async def read(self) -> Tables:
        raise NotImplementedError

    async def write(self, tables: Tables) -> None:
        """Replace these tables by these rows."""
        raise NotImplementedError

    def log(self) -> AbstractAsyncContextManager[AuditLog]:
        """Open the log to read it."""
        raise NotImplementedError

    def writer(self) -> SQLStore:
        raise NotImplementedError

    async def strip(self) -> None:
        """Drop every trigger, constraint and index that could stand in the way."""
        raise NotImplementedError

    async def found(
        self, trust: Trust, now: datetime, *, with_key: bool = True, macs: RowMacs = MACS, proofs: bool = True
    ) -> tuple[EvidenceVerdict, list[LogFinding]]:
        """Verify the rows of the log as they are: that triggers, constraints and indexes are gone does not count."""

        async def check(assertions: Any) -> list[bool]:
            return hold(assertions)

        async with self.log() as log:
            verifier = LogVerifier(
                log, trust, now=now, macs=macs if with_key else None, check_assertions=check if proofs else None
            )
            found = [finding async for finding in verifier.run()]
        findings = [finding for finding in found if finding.where != "schema"]
        if any(not finding.unverifiable for finding in findings):
            return EvidenceVerdict.FAILED, findings
        return (EvidenceVerdict.NOT_VERIFIABLE if findings else EvidenceVerdict.VERIFIED), findings


class AttackedSQLite(Attacked):
    def __init__(self, path: Path) -> None:
        self.path = path

    def writer(self) -> SQLStore:
        return SQLiteStore(self.path, timeout=PATIENT)

    @asynccontextmanager
    async def log(self) -> AsyncIterator[AuditLog]:
        async with SQLiteLog(self.path) as log:
            yield log

    async def read(self) -> Tables:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in ORDER}  # noqa: S608

    async def strip(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            made = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            for name in [name for type_, name, _ in made if type_ == "trigger"]:
                connection.execute(f"DROP TRIGGER {name}")
            for table in ORDER:
                connection.execute(f"CREATE TABLE bare AS SELECT * FROM {table}")  # noqa: S608
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE bare RENAME TO {table}")
            for sql in [sql for type_, _, sql in made if type_ == "index" and " ON audit " in sql]:
                connection.execute(sql.replace("UNIQUE ", ""))

    async def write(self, tables: Tables) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            for name, rows in tables.items():
                connection.execute(f"DELETE FROM {name}")  # noqa: S608
                for row in rows:
                    places = ", ".join("?" * len(row))
                    connection.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({places})", list(row.values()))  # noqa: S608


class AttackedPostgres(Attacked):
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def writer(self) -> SQLStore:
        return PostgresStore(self.dsn, timeout=PATIENT)

    @asynccontextmanager
    async def log(self) -> AsyncIterator[AuditLog]:
        async with PostgresStore(self.dsn, timeout=PATIENT) as store:
            yield store

    async def read(self) -> Tables:
        connection = await asyncpg.connect(self.dsn)
        try:
            found = {name: await connection.fetch(f"SELECT * FROM stepup.{name}") for name in ORDER}  # noqa: S608
            return {name: [dict(row) for row in rows] for name, rows in found.items()}
        finally:
            await connection.close()

    async def strip(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            for name in ORDER:
                await connection.execute(f"ALTER TABLE stepup.{name} DISABLE TRIGGER ALL")
                found = await connection.fetch(
                    "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'c')",
                    f"stepup.{name}",
                )
                for (constraint,) in found:
                    await connection.execute(f'ALTER TABLE stepup.{name} DROP CONSTRAINT "{constraint}" CASCADE')
            for (index,) in await connection.fetch(
                "SELECT indexname FROM pg_indexes WHERE schemaname = 'stepup' AND tablename = ANY($1)", list(ORDER)
            ):
                await connection.execute(f"DROP INDEX stepup.{index}")
            for name in ORDER:
                columns = await connection.fetch(
                    "SELECT column_name, is_identity FROM information_schema.columns "
                    "WHERE table_schema = 'stepup' AND table_name = $1",
                    name,
                )
                for column, identity in columns:
                    alter = f"ALTER TABLE stepup.{name} ALTER COLUMN {column}"
                    await connection.execute(
                        f"{alter} SET GENERATED BY DEFAULT" if identity == "YES" else f"{alter} DROP NOT NULL"
                    )
        finally:
            await connection.close()

    async def write(self, tables: Tables) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            async with connection.transaction():
                for name, rows in tables.items():
                    await connection.execute(f"DELETE FROM stepup.{name}")  # noqa: S608
                    for row in rows:
                        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
                        text = f"INSERT INTO stepup.{name} ({', '.join(row)}) VALUES ({places})"  # noqa: S608
                        await connection.execute(text, *row.values())
        finally:
            await connection.close()


async def honest(database: Attacked, seed: int = 5, *, in_order: bool = False) -> Base:
    """Write a log as the app would, with its leaves and three checkpoints; the oldest records are purged.

    ``in_order``: of their times, which a witness then confirms.
    """
    made, now = events(seed)
    if in_order:
        made.sort(key=lambda each: each.at)
    sizes = [len(made) // 3, 2 * len(made) // 3, len(made)]
    kept: list[Checkpoint] = []
    earlier: dict[int, Tables] = {}
    async with database.writer().use(MACS) as store:
        seen, written = SeenTree(), 0
        for size in sizes:
            await store.append(made[written:size])
            written = size
            _, seen = await store.integrate(origin=ORIGIN, seen=seen)
            checkpoint = Checkpoint(ORIGIN, seen.size, seen.root)
            signed_at = int(made[size - 1].at.timestamp()) + 1
            note = str(sign_checkpoint(checkpoint, (*LOG_KEYS, *WITNESS_KEYS), signed_at))
            await store.add_checkpoint(StoredCheckpoint(log=1, size=seen.size, note=note))
            kept.append(checkpoint)
            if size != sizes[-1]:
                earlier[size] = await database.read()
    await database.strip()
    tables = dict(await database.read())
    tables["audit"] = [row for row in tables["audit"] if not row["prompt"].startswith("old-")]  # as a purge leaves it
    await database.write({"audit": tables["audit"]})
    return Base(tables=tables, earlier=earlier, kept=kept, now=now)


DECIDES_NOTHING = ("seq", "refused", "high")


def granted(alteration: Alteration, base: Base, *, with_key: bool) -> str | None:
    """Return the sentence of the guide that grants an alteration, None where it must be found."""
    table, _, rest = alteration.what.partition(".")
    column = rest.partition(" ")[0]
    if alteration.kind == "one column" and table == "audit" and column in DECIDES_NOTHING:
        return grants.NUMBERS
    if alteration.kind == "one column" and not with_key and (table, column) in (("audit", "mac"), ("trees", "mac")):
        return grants.MACS_UNJUDGED
    if alteration.kind == "one column" and (table, column) == ("leaves", "record_id"):
        kept = {record["id"] for record in base.tables["audit"]}
        (now,) = [leaf for leaf in alteration.tables["leaves"] if leaf not in base.tables["leaves"]]
        was = next(leaf for leaf in base.tables["leaves"] if leaf["idx"] == now["idx"])
        if was["record_id"] not in kept and now["record_id"] not in kept:
            return grants.PURGED_ID
    if alteration.kind == "neighbours in time exchanged":
        return grants.NEAR
    if alteration.what.startswith("checkpoints") and alteration.kind != "all removed":
        return grants.COPIES
    return None


@dataclass
class Tally:
    """How many alterations of a kind were tried, found, and granted; and what was found by nobody."""

    tried: int = 0
    stopped: int = 0  # by the database itself
    found: int = 0
    granted: int = 0
    harmless: int = 0  # nothing that the app says or does is another for it
    undetected: list[str] = field(default_factory=list)


async def attack(database: Attacked, base: Base, *, every_nth: int = 1, first: int = 0) -> dict[str, Tally]:
    """Try each nth alteration of a log, verify it with the secret key and without, and put the log back."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    before: Tables = {}
    for alteration in islice(every(base.tables, base.earlier), first, None, every_nth):
        try:
            await database.write({**{name: base.tables[name] for name in before}, **alteration.tables})
        except asyncpg.DataError:  # a column of the database cannot hold it
            continue
        before = alteration.tables
        tally = tallies[alteration.kind]
        for with_key in (True, False):
            verdict, _ = await database.found(base.trust(), base.now, with_key=with_key)
            tally.tried += 1
            if verdict is not EvidenceVerdict.VERIFIED:
                tally.found += 1
            elif granted(alteration, base, with_key=with_key):
                tally.granted += 1
            else:
                tally.undetected.append(f"{alteration.what}, {'with' if with_key else 'without'} the secret key")
    return tallies


def total(tallies: Mapping[str, Tally]) -> Tally:
    """Return the sum of all kinds."""
    return Tally(
        tried=sum(tally.tried for tally in tallies.values()),
        stopped=sum(tally.stopped for tally in tallies.values()),
        found=sum(tally.found for tally in tallies.values()),
        granted=sum(tally.granted for tally in tallies.values()),
        harmless=sum(tally.harmless for tally in tallies.values()),
        undetected=[what for tally in tallies.values() for what in tally.undetected],
    )


def table_of(tallies: Mapping[str, Tally]) -> str:
    """Return the table of a run."""
    lines: list[tuple[str, ...]] = [
        ("what was done to the tables", "tried", "stopped", "found", "harmless", "granted", "undetected")
    ]
    lines += [
        (
            kind,
            *map(str, (tally.tried, tally.stopped, tally.found, tally.harmless, tally.granted, len(tally.undetected))),
        )
        for kind, tally in [*sorted(tallies.items()), ("all", total(tallies))]
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines) + "\n"
