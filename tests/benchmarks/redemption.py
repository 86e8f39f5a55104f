"""Whole requests through a server: the redemption of a token, the endpoint, and what the log says of it.

Ours and the usual way, on SQLite and on PostgreSQL. Every commit is durable on both sides.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from stepup_middleware.core.tokens import TokenReference
from tests.binding import bound_request_of
from tests.support import scope_of

from .apps import DETAILS, PATH, SESSION, codec, macs, subject
from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, at_least, at_most, scratch
from .minted import mint_in
from .postgres import mint_on, server_of
from .served import CONNECTIONS, load, serving, to_the_client
from .usual import UsualMint

Minted = Callable[[int], Awaitable[Sequence[str]]]
_OURS, _USUAL = 8_000, 2_500  # tokens minted for a side: more than are redeemed in its time
_ONE = 4  # a single connection asks for so many times fewer


def request_bytes(*headers: tuple[str, str], session: str = SESSION) -> bytes:
    """Return a request as it goes over the wire."""
    given = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nuser-agent: benchmark/1\r\naccept: application/json\r\n"
        f"sec-fetch-site: same-origin\r\ncookie: session={session}\r\n{given}content-length: 0\r\n\r\n"
    ).encode()


def _asked_for() -> dict[str, object]:
    """Return the fields of the prompt that a token here is for."""
    headers = [(b"host", b"localhost"), (b"content-length", b"0")]
    request = bound_request_of({**scope_of("POST", PATH), "headers": headers}, b"")
    return {"now": datetime.now(UTC), "ip": "127.0.0.1", "request": request, "details": DETAILS}


def _written(references: Sequence[TokenReference]) -> list[str]:
    write = codec().write
    return [write(reference) for reference in references]


async def minting(path: Path) -> Minted:
    """Make a SQLite database, and return what issues tokens in it."""
    mint = await mint_in(path, subject(SESSION), macs=macs(), **_asked_for())

    async def minted(count: int) -> Sequence[str]:
        return _written(await asyncio.to_thread(mint.tokens, count, issued_at=datetime.now(UTC)))

    return minted


async def _minting_on(dsn: str) -> Minted:
    mint = await mint_on(dsn, subject(SESSION), macs=macs(), **_asked_for())

    async def minted(count: int) -> Sequence[str]:
        return _written(await mint.tokens(count, issued_at=datetime.now(UTC)))

    return minted


def redeemed(port: int, minted: Minted, count: int, scale: Scale, *, connections: int = CONNECTIONS) -> Side:
    """Return the side that redeems at a server."""

    async def side() -> Sample:
        tokens = await minted(scale.of(count if connections > 1 else count // _ONE))
        requests = [request_bytes(("stepup-token", token)) for token in tokens]
        return await load(port, requests, scale, status=200, repeat=False, connections=connections)

    return side


def bare(port: int, scale: Scale, *, connections: int = CONNECTIONS) -> Side:
    """Return the side that asks an endpoint without a tag."""
    return lambda: load(port, [request_bytes()], scale, status=200, repeat=True, connections=connections)


def _refused(port: int, count: int, scale: Scale) -> Side:
    async def side() -> Sample:
        # a person each: a session with many open prompts is a flood
        asking = [request_bytes(session=secrets.token_hex(8)) for _ in range(scale.of(count))]
        return await load(port, asking, scale, status=401, repeat=False)

    return side


@asynccontextmanager
async def _on_sqlite(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        tokens, usual = await minting(folder / "ours.db"), UsualMint(f"sqlite+aiosqlite:///{folder}/usual.db")
        await usual.create()
        fastapi = await stack.enter_async_context(serving("apps:tagged_fastapi", folder / "ours.db"))
        theirs = await stack.enter_async_context(serving("usual:app", f"sqlite+aiosqlite:///{folder}/usual.db"))
        yield {
            "ours": redeemed(fastapi, tokens, _OURS, scale),
            "usual": redeemed(theirs, usual.tokens, _USUAL, scale),
            "ours, one": redeemed(fastapi, tokens, _OURS, scale, connections=1),
            "usual, one": redeemed(theirs, usual.tokens, _USUAL, scale, connections=1),
            "ours refuses": _refused(fastapi, _OURS, scale),
            "usual refuses": _refused(theirs, _USUAL, scale),
        }


@asynccontextmanager
async def _beside_the_bare(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        tokens = await minting(folder / "ours.db")
        tagged = await stack.enter_async_context(serving("apps:tagged", folder / "ours.db"))
        plain = await stack.enter_async_context(serving("apps:bare", ""))
        yield {
            "ours": redeemed(tagged, tokens, _OURS, scale),
            "bare": bare(plain, scale),
            "ours, one": redeemed(tagged, tokens, _OURS, scale, connections=1),
            "bare, one": bare(plain, scale, connections=1),
        }


@asynccontextmanager
async def _on_postgres(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(server_of())
        assert server.process is not None
        to_the_client(server.process.pid)
        ours, theirs = await server.create_database("ours"), await server.create_database("usual")
        url = theirs.replace("postgresql://", "postgresql+asyncpg://")
        tokens, usual = await _minting_on(ours), UsualMint(url)
        await usual.create()
        yield {
            "ours": redeemed(
                await stack.enter_async_context(serving("apps:tagged_fastapi", ours)), tokens, _OURS, scale
            ),
            "usual": redeemed(
                await stack.enter_async_context(serving("usual:app", url)), usual.tokens, _USUAL, scale
            ),
        }  # fmt: skip


RATE = "requests/s"
WHAT = "redemption + endpoint + audit, durable, SQLite"
_WAY = "the usual way: FastAPI, SQLAlchemy 2, aiosqlite, one commit a request"
_ON_STARLETTE = f"{WHAT}, Starlette: 64 connections; one"
_ON_FASTAPI = f"{WHAT}, FastAPI on both sides: 64 connections; one; its p99 at 64"

BENCHMARKS = (
    Benchmark(
        name="redemption",
        sides=_on_sqlite,
        figures=(
            Figure(_ON_FASTAPI, _WAY, at_least(8), RATE, "ours", "usual"),
            Figure(_ON_FASTAPI, _WAY, at_least(3.5), RATE, "ours, one", "usual, one"),
            Figure(_ON_FASTAPI, _WAY, at_most(0.05), "p99 ms", "ours", "usual"),
            Figure(
                "`STEPUP_REQUIRED` with prompt and audit, durable, SQLite, FastAPI on both sides, 64 connections",
                "the usual way's refusal", at_least(6), RATE, "ours refuses", "usual refuses",
            ),
        ),
        rounds=9,
    ),
    Benchmark(
        name="redemption-postgres",
        sides=_on_postgres,
        figures=(
            Figure(
                "the same redemption, PostgreSQL, FastAPI on both sides, 64 connections",
                "the usual way on asyncpg, a pool of 10", at_least(10), RATE, "ours", "usual",
            ),
        ),
        rounds=9,
    ),
    Benchmark(
        name="redemption-bare",
        sides=_beside_the_bare,
        figures=(
            Figure(_ON_STARLETTE, "the bare endpoint", at_least(0.28), RATE, "ours", "bare"),
            Figure(
                _ON_STARLETTE, "the bare endpoint", at_least(0.16), RATE,
                "ours, one", "bare, one",
            ),
        ),
        rounds=9,
    ),
)  # fmt: skip
