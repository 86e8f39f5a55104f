"""Somebody has the app's own role in PostgreSQL, or the purger's, and no key: what becomes of each statement of theirs.

The server refuses it, or it changes nothing, or the app or verifying tells of it, or nothing that the app answers is
another for it, or the guide grants it.
"""

# ruff: noqa: S608 - the names are those of the schema, and the values those of the test

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from itertools import islice

import asyncpg

from stepup_middleware.core.attempts import AttemptLimit
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.topics import Topic
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.testing.contract.values import MACS, NOW, ORIGIN, OWNER, event, passkey, shown_for
from tests.stores.servers import PostgresServer

from . import grants, state
from .alterations import other_values
from .attacked import DECIDES_NOTHING, PATIENT, Tally, total
from .raw import RawPostgres, Row
from .state import FREE
from .statements import OWN_SETTINGS, Statement, literal, of_rows, of_the_database
from .tables import LOG, SEALED
from .test_live import VERIFIED, Live

ROLES = ("attacked_app", "attacked_purger")  # of the server, which other tests have too
OLD = NOW - timedelta(days=900)
LATER = NOW + timedelta(minutes=5)
OF_EPOCH = ("prompt", "approval", "by code", "waiting", "decided")  # a start may begin another one
REFUSED: Row = {
    "workspace": OWNER.workspace_id, "subject": OWNER.id, "session": OWNER.session, "logged_at": to_micros(NOW),
    "unlogged": 3, "blocked": 3, "blocked_until": to_micros(NOW),
}  # fmt: skip
# what no MAC covers, by table, and the guide's words for it
COUNTS: Mapping[str, str] = {
    "attempts": grants.ATTEMPTS_GONE,
    "deliveries": grants.UNTOLD,
    "refused_sessions": grants.WAITS,
    "meta": grants.WAITS,
}


class RawRole(RawPostgres):
    """A database whose owner made the schema, and on which the app has the role of the guide."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        super().__init__(server.dsn(database))
        self.server = server
        self.database = database
        self._owner: asyncpg.Connection | None = None

    def store(self) -> SQLStore:
        return PostgresStore(self.server.dsn(self.database, ROLES[0]), timeout=PATIENT)

    async def prepare(self) -> None:
        """Make the schema and the roles, with the rights that the guide gives them."""
        text = files("stepup_middleware.stores.postgres").joinpath("schema/grants.sql").read_text(encoding="utf-8")
        for name, role in zip((':"app"', ':"purger"'), ROLES, strict=True):
            text = text.replace(name, role)
            if await self.server.execute(f"SELECT FROM pg_roles WHERE rolname = '{role}'") == "SELECT 1":
                await self.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
            await self.execute(f"CREATE ROLE {role} LOGIN")
        async with PostgresStore(self.dsn, timeout=PATIENT).use(MACS):
            pass
        await self.execute(text)
        self._owner = await asyncpg.connect(self.dsn)

    async def close(self) -> None:
        """Give the owner's connection back."""
        if self._owner is not None:
            await self._owner.close()

    async def rows(self, table: str) -> list[Row]:
        return [dict(row) for row in await self.execute_rows(f"SELECT * FROM stepup.{table}")]

    async def execute(self, text: str) -> str:
        """Run a text as the owner."""
        return await self.server.execute(text, self.database)

    async def snapshot(self, tables: Sequence[str]) -> dict[str, list[Row]]:
        return {table: await self.rows(table) for table in tables}

    async def restore(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Put back what differs."""
        for table, honest in rows.items():
            if await self.rows(table) != honest:
                assert await self.put(table, honest)

    async def others(self) -> str:
        """Return the rights, settings and memberships of both roles, and what each table is."""
        return str(
            await self.execute_rows(
                "SELECT r.rolname, r.rolsuper, r.rolcreaterole, r.rolreplication, r.rolbypassrls, s.setconfig::text, "
                "(SELECT string_agg(m.roleid::text, ',') FROM pg_auth_members AS m WHERE m.member = r.oid) "
                "FROM pg_roles AS r LEFT JOIN pg_db_role_setting AS s ON s.setrole = r.oid ORDER BY 1"
            )
            + await self.execute_rows(
                "SELECT c.relname, c.relowner, c.relacl::text, c.relpersistence, c.relrowsecurity FROM pg_class AS c "
                "WHERE c.relnamespace = 'stepup'::regnamespace ORDER BY 1"
            )
            + await self.execute_rows("SELECT nspname, nspowner, nspacl FROM pg_namespace WHERE nspname !~ '^pg_'")
            + await self.execute_rows("SELECT datname, datdba, datacl::text FROM pg_database ORDER BY 1")
        )

    async def execute_rows(self, text: str) -> list[asyncpg.Record]:
        """Return what a query of the owner's finds."""
        assert self._owner is not None
        return list(await self._owner.fetch(text))

    async def keys(self) -> dict[str, list[str]]:
        """Return the columns of the primary key of each table, as the database has them."""
        found = await self.execute_rows(
            "SELECT c.relname, a.attname FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid "
            "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (x.indkey) "
            "WHERE x.indisprimary AND c.relnamespace = 'stepup'::regnamespace ORDER BY 1, a.attnum"
        )
        keys: dict[str, list[str]] = defaultdict(list)
        for table, column in found:
            keys[table].append(column)
        return keys

    async def triggers(self) -> list[tuple[str, str]]:
        """Return the name and table of each trigger of the schema."""
        found = await self.execute_rows(
            "SELECT g.tgname, c.relname FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid "
            "WHERE c.relnamespace = 'stepup'::regnamespace AND NOT g.tgisinternal ORDER BY 1"
        )
        return [(trigger, table) for trigger, table in found]

    async def functions(self) -> list[str]:
        """Return the functions of the schema."""
        found = await self.execute_rows(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'stepup'::regnamespace ORDER BY 1"
        )
        return [name for (name,) in found]

    @asynccontextmanager
    async def session(self, role: str) -> AsyncIterator[asyncpg.Connection]:
        """Connect as a role: each statement has a session of its own, for it may change that."""
        connection = await asyncpg.connect(self.server.dsn(self.database, role))
        try:
            yield connection
        finally:
            await connection.close()

    async def tried(self, role: str, statement: Statement) -> bool:
        """Try a statement. Returns whether the server ran it."""
        async with self.session(role) as connection:
            try:
                if statement.row is not None:
                    await connection.copy_records_to_table(
                        statement.table, schema_name="stepup", records=[tuple(statement.row.values())],
                        columns=[*statement.row],
                    )  # fmt: skip
                else:
                    await connection.execute(statement.text)
            except (asyncpg.PostgresError, asyncpg.InternalClientError, OverflowError, ValueError):
                return False
        return True


async def attack_rows(raw: RawRole, role: str, every_nth: int, first: int) -> dict[str, Tally]:
    """Try each nth statement on the tables of rows that decide, while the app runs."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    async with raw.store().use(MACS) as store:
        world = await state.build(raw, store)
        limit = AttemptLimit(failures=1)
        assert await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=limit, now=NOW) is None
        await store.append([event(EventName.REUSED)])
        assert await raw.put("refused_sessions", [REFUSED])
        before = await state.observe(world)
        assert world.told == []
        honest, others = await raw.snapshot([*SEALED, *COUNTS]), await raw.others()
        assert [table for table, rows in honest.items() if not rows] == []
        some = {table: rows for table, rows in honest.items() if table != "tokens"}
        made = of_rows(some, await raw.keys(), random.Random(7))  # noqa: S311 - which values are tried, no secret
        for statement in islice(made, first, None, every_nth):
            tally = tallies[statement.verb]
            tally.tried += 1
            if not await raw.tried(role, statement):
                tally.stopped += 1
                continue
            world.told.clear()
            changed = [table for table, rows in honest.items() if await raw.rows(table) != rows]
            try:
                after = await state.observe(world)
                await store.records.claim_deliveries((Topic.ALERT, Topic.NOTICE), now=LATER, until=LATER, limit=100)
            except StoreError:
                tally.found += 1
            else:
                if state.counted(before, after):
                    tally.undetected.append(f"{role}: {statement.text}: counts")
                elif world.told:
                    tally.found += 1
                elif changed and all(table in COUNTS for table in changed):
                    tally.granted += 1  # by the sentence of the table
                elif after == before:
                    tally.harmless += 1
                elif state.granted(before, after):
                    tally.granted += 1
                else:
                    tally.undetected.append(f"{role}: {statement.text}")
            if await raw.others() != others or await store.records.altered_schema():
                tally.undetected.append(f"{role}: {statement.text}: rights or schema")
            await raw.restore(honest)
    return tallies


async def attack_tokens(raw: RawRole, role: str, every_nth: int, first: int) -> dict[str, Tally]:
    """Alter the row of a token that was issued, in each column by a statement of the role, and present it."""
    chance, tally = random.Random(7), Tally()  # noqa: S311 - which values are tried, no secret
    async with raw.store().use(MACS) as store:
        told: list[Tampered] = []
        store.records.on_tampering(told.append)
        factor = await state.add(store, state.FREE, passkey(sign_count=0))
        await state.ask_token(store, factor)
        honest = (await raw.rows("tokens"))[0]
        for column in [*honest][first % every_nth :: every_nth]:
            for new in other_values(honest[column], [honest[column]], chance):
                prompt, reference = await state.ask_token(store, factor)
                told.clear()
                tally.tried += 1
                text = f"UPDATE stepup.tokens SET {column} = {literal(new)} WHERE id = {reference.id}"
                if not await raw.tried(role, Statement("UPDATE", text, "tokens", column)):
                    tally.stopped += 1
                    continue
                verdict = (await store.redeem(shown_for(prompt, reference))).decision.verdict
                if told and verdict is not Verdict.REDEEMED:
                    tally.found += 1
                elif verdict is not Verdict.REDEEMED:
                    tally.granted += 1
                elif column not in SEALED["tokens"]:
                    tally.harmless += 1
                else:
                    tally.undetected.append(f"{role}: {text}")
        # one that was redeemed, or revoked, made new again
        for spent in (True, False):
            prompt, reference = await state.ask_token(store, factor)
            if spent:
                assert (await store.redeem(shown_for(prompt, reference))).decision.verdict is Verdict.REDEEMED
            else:
                await store.revoke_session(FREE.workspace_id, FREE.id, FREE.session, now=NOW)
            (row,) = [each for each in await raw.rows("tokens") if each["id"] == reference.id]
            away = f"UPDATE stepup.tokens SET id = id + 1000000 WHERE id = {reference.id}"
            names, values = ", ".join(row), ", ".join(map(literal, {**row, "state": "issued"}.values()))
            for text in (
                f"UPDATE stepup.tokens SET state = 'issued' WHERE id = {reference.id}",
                f"DELETE FROM stepup.tokens WHERE id = {reference.id}",
                f"{away}; INSERT INTO stepup.tokens ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})",
            ):
                tally.tried += 1
                if not await raw.tried(role, Statement("UPDATE", text, "tokens")):
                    tally.stopped += 1
                    continue
                shown = replace(shown_for(prompt, reference), attempt=chance.randbytes(16))
                if (await store.redeem(shown)).decision.verdict is not Verdict.REDEEMED:
                    tally.found += 1
                elif not spent:
                    tally.granted += 1  # by REVOKED_BACK
                else:
                    tally.undetected.append(f"{role}: {text}: ran twice")
    return {"a token": tally}


async def attack_log(raw: RawRole, role: str, every_nth: int, first: int) -> dict[str, Tally]:
    """Try each nth statement on the tables of the log, and on the database itself, while a record waits; and verify."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    live, waits = Live(raw), False
    async with live.store:
        await live.store.append([event(EventName.BLOCKED, at=OLD, retention_years=1)])
        for _ in range(3):
            await live.grow()
        await live.integrate()
        assert await live.verdict() is VERIFIED
        honest, others, seen = await raw.snapshot(LOG), await raw.others(), live.seen
        over = [row["id"] for row in honest["audit"] if row["at"] < to_micros(NOW)]
        made = [
            *of_rows(honest, await raw.keys(), random.Random(7)),  # noqa: S311 - which values are tried, no secret
            *of_waiting(),
            *of_the_database("postgres", await raw.triggers(), await raw.functions(), raw.database),
        ]
        for statement in made[first::every_nth]:
            tally = tallies[statement.verb]
            tally.tried += 1
            if not waits:
                await live.grow(reason="waits for its leaf")
                before, waits = await raw.snapshot(LOG), True
            if not await raw.tried(role, statement):
                tally.stopped += 1
                continue
            if await raw.others() != others or await live.store.records.altered_schema():
                tally.undetected.append(f"{role}: {statement.text}: rights or schema")
            after = await raw.snapshot(LOG)
            if after == before:
                tally.harmless += 1
                continue
            step, live.seen = await live.store.integrate(origin=ORIGIN, seen=live.seen)
            if step.alarm or step.refused or await live.verdict() is not VERIFIED:
                tally.found += 1
            elif statement.column in DECIDES_NOTHING or statement.table == "checkpoints":
                tally.granted += 1  # by NUMBERS, COPIES
            elif after | {"audit": []} == before | {"audit": []} and after["audit"] == [
                row for row in before["audit"] if row["id"] not in over
            ]:
                tally.harmless += 1  # a purge of what is over
            else:
                tally.undetected.append(f"{role}: {statement.text}")
            await raw.restore(honest)
            live.seen, waits = seen, False
    return tallies


def of_waiting() -> Iterator[Statement]:
    """Yield what takes its leaf from the newest record."""
    newest = "(SELECT max(seq) FROM stepup.audit)"
    id_ = f"(SELECT id FROM stepup.audit WHERE seq = {newest})"
    entry = f"(SELECT entry FROM stepup.audit WHERE seq = {newest})"
    yield Statement("UPDATE", f"UPDATE stepup.audit SET refused = 'RECORD_MAC' WHERE seq = {newest}", "audit")
    yield Statement("UPDATE", f"UPDATE stepup.audit SET body = '' WHERE seq = {newest}", "audit", "body")
    yield Statement("DELETE", f"DELETE FROM stepup.audit WHERE seq = {newest}", "audit")
    for place in ("1, (SELECT size FROM stepup.trees)", "1, 7", "0, 0", "2, 0", "1, -1"):
        yield Statement("INSERT", f"INSERT INTO stepup.leaves SELECT {place}, {id_}, {entry}", "leaves")


async def attack_settings(raw: RawRole, role: str, every_nth: int, first: int) -> dict[str, Tally]:
    """Set what a role may for its later sessions, and start the app anew: it answers as before, or says why not."""
    tally = Tally()
    async with raw.store().use(MACS) as store:
        world = await state.build(raw, store)
        before = await state.observe(world)
    for setting in OWN_SETTINGS[first % every_nth :: every_nth]:
        tally.tried += 1
        if not await raw.tried(role, Statement("ALTER ROLE", f"ALTER ROLE CURRENT_USER SET {setting}")):
            tally.stopped += 1
            continue
        world.told.clear()
        try:
            async with raw.store().use(MACS) as store:
                store.records.on_tampering(world.told.append)
                world.store = store
                after = {name: value for name, value in (await state.observe(world)).items() if name[0] not in OF_EPOCH}
                await store.append([event(EventName.BLOCKED)])
        except (StoreError, ConfigurationError):
            tally.found += 1
        else:
            if world.told or after != {name: value for name, value in before.items() if name[0] not in OF_EPOCH}:
                tally.undetected.append(f"{role}: {setting}")
            else:
                tally.harmless += 1
        await raw.execute(f"ALTER ROLE {role} RESET ALL")
    return {"ALTER ROLE SET": tally}


MANY = (attack_rows, attack_log)


async def sweep(server: PostgresServer, name: str, *, every_nth: int, first: int = 0) -> dict[str, Tally]:
    """Try all of it as both roles, on databases of their own. Returns the tallies by role and verb."""
    tallies: dict[str, Tally] = {}
    for role in ROLES:
        part: dict[str, Tally] = {}
        for attack in (attack_rows, attack_log, attack_tokens, attack_settings):
            raw = RawRole(server, name)
            await server.empty_database(name)
            await raw.prepare()
            try:
                found = await attack(raw, role, every_nth if attack in MANY else 1 + every_nth // 9, first)
            finally:
                await raw.close()
            for verb, tally in found.items():
                part[verb] = total({"one": part.get(verb, Tally()), "more": tally})
        tallies |= {f"{role}: {verb}": tally for verb, tally in part.items()}
    return tallies
