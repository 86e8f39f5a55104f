"""Whole requests through uvicorn, over 64 connections."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.binding import bound_request_of
from tests.machine import free_port
from tests.support import scope_of

from .apps import DETAILS, PATH, SESSION, codec, macs, subject
from .harness import Benchmark, Figure, Sample, Scale, Sides, at_least, scratch
from .minted import Mint, mint_in

CONNECTIONS = 64
SECONDS = 1.5
ROOT = Path(__file__).parents[2]


def request_bytes(*, token: str = "", session: str = SESSION) -> bytes:
    """Return a request as it goes over the wire."""
    token_line = f"stepup-token: {token}\r\n" if token else ""
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nuser-agent: benchmark/1\r\naccept: application/json\r\n"
        f"sec-fetch-site: same-origin\r\ncookie: session={session}\r\n{token_line}content-length: 0\r\n\r\n"
    ).encode()


async def load(port: int, requests: list[bytes], *, seconds: float, status: int, repeat: bool) -> Sample:
    """Send requests from a process of its own; return how many a second were answered as they should be."""
    given = {"port": port, "connections": CONNECTIONS, "seconds": seconds, "requests": requests, "repeat": repeat}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.load",
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate(pickle.dumps(given))
    answer = json.loads(out)
    if set(answer["statuses"]) != {str(status)}:
        raise AssertionError(f"answers other than {status}: {answer['statuses']}")
    return {"requests/s": answer["statuses"][str(status)] / answer["seconds"]}


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a process that has not ended by itself."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def serving(app: str, database: Path) -> AsyncIterator[int]:
    """Run an app of ``apps`` under uvicorn; give its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "--factory", f"tests.benchmarks.apps:{app}", "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        cwd=ROOT, env={**os.environ, "BENCHMARK_DATABASE": str(database), "BENCHMARK_ORIGIN": f"http://localhost:{port}"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    if process.returncode is not None:
                        raise AssertionError(f"the server of {app} ended with {process.returncode}") from None
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port
    finally:
        await ended(process)


async def _minting(path: Path) -> Callable[[int], list[bytes]]:
    """Return what writes so many requests, each with a token of its own."""
    write = codec().write
    person = subject(SESSION)
    headers = [(b"host", b"localhost"), (b"content-length", b"0")]
    request = bound_request_of({**scope_of("POST", PATH), "headers": headers}, b"")
    mint: Mint = await mint_in(
        path, person, macs=macs(), now=datetime.now(UTC), ip="127.0.0.1", request=request, details=DETAILS
    )

    def requests(count: int) -> list[bytes]:
        return [request_bytes(token=write(reference)) for reference in mint.tokens(count, issued_at=datetime.now(UTC))]

    return requests


async def _plain(port: int, scale: Scale) -> Sample:
    return await load(port, [request_bytes()], seconds=scale.seconds(SECONDS), status=200, repeat=True)


@asynccontextmanager
async def _untagged(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        await mint_in(folder / "around.db", macs=macs())
        ports = {app: await stack.enter_async_context(serving(app, folder / f"{app}.db")) for app in ("bare", "around")}
        yield {"bare": lambda: _plain(ports["bare"], scale), "around": lambda: _plain(ports["around"], scale)}


@asynccontextmanager
async def _serving(scale: Scale) -> AsyncIterator[Sides]:
    seconds = scale.seconds(SECONDS)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        ours, theirs = folder / "ours.db", folder / "naive.db"
        tokens, naive_tokens = await _minting(ours), await _minting(theirs)
        ports = {
            app: await stack.enter_async_context(serving(app, database))
            for app, database in (("bare", folder / "bare.db"), ("tagged", ours), ("naive", theirs))
        }

        async def required() -> Sample:
            # a person each: a session with many open prompts is a flood
            asking = [request_bytes(session=secrets.token_hex(8)) for _ in range(scale.of(60_000))]
            return await load(ports["tagged"], asking, seconds=seconds, status=401, repeat=False)

        async def redeemed(app: str, requests: Callable[[int], list[bytes]], count: int) -> Sample:
            carrying = await asyncio.to_thread(requests, scale.of(count))
            return await load(ports[app], carrying, seconds=seconds, status=200, repeat=False)

        yield {
            "bare": lambda: _plain(ports["bare"], scale),
            "required": required,
            "redeemed": lambda: redeemed("tagged", tokens, 40_000),
            "naive": lambda: redeemed("naive", naive_tokens, 8_000),
        }


_RATE = "requests/s"

BENCHMARKS = (
    Benchmark(
        name="served-untagged",
        sides=_untagged,
        figures=(
            Figure(
                "untagged route through uvicorn, 64 connections",
                "the app without us",
                at_least(0.97),
                _RATE,
                "around",
                "bare",
            ),
        ),
        rounds=21,  # single rounds spread by more than the few hundredths that are judged
    ),
    Benchmark(
        name="served",
        sides=_serving,
        figures=(
            Figure(
                "`STEPUP_REQUIRED` with prompt and audit row durable, through uvicorn, 64 connections",
                "the bare Starlette endpoint",
                at_least(0.40),
                _RATE,
                "required",
                "bare",
            ),
            Figure(
                "redemption + endpoint + audit, durable (FULL), through uvicorn, 64 connections",
                "one aiosqlite commit per request, same work",
                at_least(9),
                _RATE,
                "redeemed",
                "naive",
            ),
            Figure(
                "redemption + endpoint + audit, durable (FULL), through uvicorn, 64 connections",
                "the bare Starlette endpoint",
                at_least(0.45),
                _RATE,
                "redeemed",
                "bare",
            ),
        ),
    ),
)
