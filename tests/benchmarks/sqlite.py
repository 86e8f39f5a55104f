"""Redemption at the SQLite store: against plain SQLite, against a commit each, and in tables that grew."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter, thread_time

import aiosqlite

from stepup_middleware.core.decisions import Decision, Presentation, Verdict
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.presentations import presentation_event
from stepup_middleware.log.records import CHANCE_BYTES, RecordSealer
from stepup_middleware.stores.authorized import prepare_redemption
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.rows import Row, presentation_row, redeemed_token
from stepup_middleware.stores.sql.tokens import redeem_all
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.stores.sqlite.chunks import chunked
from stepup_middleware.stores.sqlite.database import Database
from stepup_middleware.stores.sqlite.transaction import SQLiteTransaction, run_to_end
from stepup_middleware.stores.statements import load_migrations
from stepup_middleware.testing.contract.values import MACS

from .grown import grow
from .harness import Benchmark, Figure, Open, Sample, Scale, Sides, at_least, at_most, scratch
from .minted import PATIENT, SQL, Mint, batches, connected, mint_in, open_store

MIGRATIONS = load_migrations("stepup_middleware.stores.sqlite")
REDEEMED = Decision(verdict=Verdict.REDEEMED)
_FACTS = "prompt, factor, factor_kind, requirement, policy_version, issued_at, expires_at"
ONE = f"{SQL['redeem']}\nRETURNING {_FACTS}"


def row_of(shown: Presentation) -> Row:
    """Return a presentation as the redeeming statement reads it, but for its batch."""
    row = presentation_row(shown, shown.user_agent)
    assert row is not None
    return row


class ByHand:
    """The rows of redemption, without the store: each event made and sealed as the core does it."""

    def __init__(self, last_seq: int) -> None:
        self._sealer = RecordSealer(MACS)
        self._seq = last_seq

    def audit_row(self, shown: Presentation, facts: Sequence[object]) -> tuple[object, ...]:
        """Return the audit row of a redemption."""
        event = presentation_event(shown, REDEEMED, redeemed_token(shown, facts))
        sealed, at = self._sealer.seal(event, secrets.token_bytes(CHANCE_BYTES)), to_micros(event.at)
        self._seq += 1
        return (
            self._seq, sealed.id, sealed.entry, sealed.mac, event.workspace_id, event.subject_id, event.name.value,
            event.name.outcome.value, event.purpose, event.prompt_id, event.factor_id, event.token_id, None, None,
            at, at, sealed.body,
        )  # fmt: skip


def plain_loop(path: Path, shown: Sequence[Presentation], size: int, name: str) -> float:
    """Redeem in a plain loop over sqlite3, ``size`` to a transaction; return redemptions a second."""
    with connected(path) as connection:
        by_hand = ByHand(connection.execute(SQL["last_seq"]).fetchone()[0])
        began = perf_counter()
        for batch in batches(shown, size):
            connection.execute("BEGIN IMMEDIATE")
            for one in batch:
                facts = connection.execute(ONE, (*row_of(one), 0)).fetchall()[0]
                connection.execute(SQL["append"], by_hand.audit_row(one, facts))
            connection.execute("COMMIT")
        return len(shown) / (perf_counter() - began)


def statements_alone(path: Path, shown: Sequence[Presentation], size: int, name: str) -> float:
    """Run the store's own statements, a batch in each, over rows made beforehand; return redemptions a second.

    Nothing is decided, hashed or answered: it is what SQLite and the disk alone leave to be reached.
    """
    with connected(path) as connection:
        by_hand = ByHand(connection.execute(SQL["last_seq"]).fetchone()[0])
        facts = ("prompt", "factor", "passkey", "any", 0, 0, 0)
        number: int = connection.execute("SELECT batch FROM meta").fetchone()[0]
        made = [
            (
                [(*row_of(one), number + place) for one in batch],
                json.dumps([one.reference.id for one in batch]),
                [by_hand.audit_row(one, facts) for one in batch],
            )
            for place, batch in enumerate(batches(shown, size), 1)
        ]
        began = perf_counter()
        for tokens, ids, events in made:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(SQL["number_batch"]).fetchall()
            for text, parameters in chunked(SQL["redeem"], tokens):
                connection.execute(text, parameters)
            (found,) = connection.execute(SQL["redeemed_in_batch"], (ids, tokens[0][-1])).fetchone()
            for text, parameters in chunked(SQL["append"], events):
                connection.execute(text, parameters)
            connection.execute("COMMIT")
        rate = len(shown) / (perf_counter() - began)
        if len(json.loads(found)) != len(made[-1][0]):
            raise AssertionError("tokens were not redeemed")
        return rate


class CommitEach:
    """Redemption as one writes it first: aiosqlite, a transaction for each, one after another."""

    def __init__(self, connection: aiosqlite.Connection, by_hand: ByHand) -> None:
        self._connection = connection
        self._by_hand = by_hand
        self._turn = asyncio.Lock()

    async def redeem(self, shown: Presentation) -> bool:
        async with self._turn:
            await self._connection.execute("BEGIN IMMEDIATE")
            facts = list(await self._connection.execute_fetchall(ONE, (*row_of(shown), 0)))
            if facts:
                await self._connection.execute(SQL["append"], self._by_hand.audit_row(shown, facts[0]))
            await self._connection.execute("COMMIT")
        return bool(facts)


@asynccontextmanager
async def commit_each(path: Path, name: str) -> AsyncIterator[CommitEach]:
    """Open a database for ``CommitEach``."""
    async with aiosqlite.connect(path, timeout=30, isolation_level=None) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
            await connection.execute(f"PRAGMA {pragma}")
        rows = list(await connection.execute_fetchall(SQL["last_seq"]))
        yield CommitEach(connection, ByHand(rows[0][0]))


async def by_callers(
    callers: int, shown: Sequence[Presentation], redeem: Callable[[Presentation], Awaitable[bool]]
) -> Sample:
    """Let so many callers redeem one after another each; return the rate and the 99th percentile."""
    waiting = iter(shown)
    took: list[float] = []

    async def caller() -> None:
        for one in waiting:
            began = perf_counter()
            if not await redeem(one):
                raise AssertionError("a token was not redeemed")
            took.append(perf_counter() - began)

    began = perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = perf_counter() - began
    took.sort()
    return {"redemptions/s": len(shown) / elapsed, "p99 ms": took[int(len(took) * 0.99)] * 1e3}


def redeeming(store: HotState) -> Callable[[Presentation], Awaitable[bool]]:
    """Return redemption at a store, as ``by_callers`` wants it."""

    async def redeem(shown: Presentation) -> bool:
        return (await store.redeem(shown)).decision.verdict is Verdict.REDEEMED

    return redeem


def _callers(callers: int, count: int) -> Open:
    """Return the sides for so many callers: each side has a database of its own, in the same folder."""

    @asynccontextmanager
    async def sides(scale: Scale) -> AsyncIterator[Sides]:
        with scratch() as folder:
            plain, each = await mint_in(folder / "plain.db"), await mint_in(folder / "each.db")
            async with open_store(folder / "store.db") as (store, ours):
                round_number = iter(range(1_000_000))

                async def at_the_store() -> Sample:
                    return await by_callers(callers, ours.presentations(scale.of(count)), redeeming(store))

                async def in_a_loop() -> Sample:
                    shown, name = plain.presentations(scale.of(count)), f"loop{next(round_number)}"
                    rate = await asyncio.to_thread(plain_loop, plain.path, shown, callers, name)
                    return {"redemptions/s": rate}

                async def statements() -> Sample:
                    shown, name = plain.presentations(scale.of(count)), f"rows{next(round_number)}"
                    rate = await asyncio.to_thread(statements_alone, plain.path, shown, callers, name)
                    return {"redemptions/s": rate}

                async def commits() -> Sample:
                    shown = each.presentations(scale.of(500))
                    async with commit_each(each.path, f"each{next(round_number)}") as naive:
                        return await by_callers(callers, shown, naive.redeem)

                yield {
                    "store": at_the_store,
                    "loop": in_a_loop,
                    "statements": statements,
                    "aiosqlite": commits,
                }

    return sides


@asynccontextmanager
async def _with_records(scale: Scale) -> AsyncIterator[Sides]:
    """The batch that the writer's thread runs, with its audit rows and without."""
    with scratch() as folder:
        async with open_store(folder / "batch.db") as (store, mint):
            await store.close()
            database = await asyncio.to_thread(
                lambda: Database(
                    mint.path,
                    SQL,
                    MIGRATIONS,
                    create=False,
                    known=None,
                    busy_seconds=30,
                )
            )

            def batch(shown: Sequence[Presentation], *, logged: bool) -> float:
                ready = [prepare_redemption(one, row_of(one)) for one in shown]
                began = thread_time()
                database.begin()
                transaction = SQLiteTransaction(database.connection, database.sql, database.batch, MACS)
                run_to_end(redeem_all(transaction, ready))
                if logged:
                    database.log.write(transaction.records)
                database.commit()
                return thread_time() - began

            async def measured(*, logged: bool) -> Sample:
                shown = mint.presentations(scale.of(20_000))
                took = sum(batch(some, logged=logged) for some in batches(shown, 64))
                return {"seconds": took / len(shown)}

            try:
                yield {
                    "with": lambda: measured(logged=True),
                    "without": lambda: measured(logged=False),
                }
            finally:
                database.close()


@asynccontextmanager
async def _grown(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as folder:
        small, grown = await mint_in(folder / "small.db"), await mint_in(folder / "grown.db")
        await asyncio.to_thread(grow, small.path, 1_000)
        await asyncio.to_thread(grow, grown.path, scale.of(5_000_000))
        async with (
            SQLiteStore(small.path, timeout=PATIENT).use(MACS) as small_store,
            SQLiteStore(grown.path, timeout=PATIENT).use(MACS) as grown_store,
        ):

            async def measured(mint: Mint, store: HotState) -> Sample:
                return _seconds(await by_callers(64, mint.presentations(scale.of(10_000)), redeeming(store)))

            yield {"small": lambda: measured(small, small_store), "grown": lambda: measured(grown, grown_store)}


def _seconds(sample: Sample) -> Sample:
    return {"seconds": 1 / sample["redemptions/s"]}


_WHAT = "redemption with its audit row at the store, SQLite, FULL"
_LOOP = "a plain sqlite3 loop, the same batches"
_ROWS = "its statements alone over ready-made rows, the same batches"
_EACH = "one aiosqlite commit each"
_RATE = "redemptions/s"

BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="sqlite-64",
        sides=_callers(64, 20_000),
        figures=(
            Figure(f"{_WHAT}, 64 callers", _LOOP, at_least(0.8), _RATE, "store", "loop"),
            Figure(f"{_WHAT}, 64 callers", _ROWS, at_least(0.8), _RATE, "store", "statements"),
            Figure(f"{_WHAT}, 64 callers", _EACH, at_least(30), _RATE, "store", "aiosqlite"),
        ),
    ),
    Benchmark(
        name="sqlite-1",
        sides=_callers(1, 500),
        figures=(Figure(f"{_WHAT}, 1 caller", _EACH, at_least(1.8), _RATE, "store", "aiosqlite"),),
    ),
    Benchmark(
        name="sqlite-growth",
        sides=_grown,
        figures=(
            Figure(
                "redemption with 5,000,000 rows in the tables, SQLite",
                "with 1,000 rows",
                at_most(1.2),
                "seconds",
                "grown",
                "small",
            ),
        ),
    ),
    Benchmark(
        name="records",
        sides=_with_records,
        figures=(
            Figure(
                "the sealed audit row inside the batch",
                "the batch without it",
                at_most(1.35),
                "seconds",
                "with",
                "without",
            ),
        ),
    ),
)
