"""What ten thousand programs that wait for an approval weigh, and how soon one of them hears of its decision.

The bare app holds the same connections, each in a request that waits. What is weighed is the memory that a process of
the server has to itself, once it says that all of them wait: their sockets are the kernel's, and who asks and who
decides are other processes. The server's own objects for a connection are in both.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepup_middleware import PLATFORM_PURPOSES, RelyingParty, StepUp, StepUpMiddleware, Subject, approvable
from stepup_middleware.asgi import ASGIApp, Scope
from stepup_middleware.core.approvals import APPROVAL_LIFETIME, Approval, ApprovalEnd, ApprovalState, EndReason
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.approval_values import ASKED, approval_for
from stepup_middleware.testing.contract.values import ask, enrol
from stepup_middleware.web import approval_routes
from tests.machine import free_port

from .apps import SECRET, macs
from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_most, scratch
from .minted import PATIENT, prompts_like
from .served import ROOT, ended
from .starting import own_megabytes

_AT_ONCE = 100  # connections that are opened together
_WOKEN = 30  # decisions, one after another
_LONG = 3_600  # seconds: until the last connection is there, the first must still wait
_SECONDS = 600  # for anything that must happen


def _person(number: int) -> Subject:
    name = f"u-{number}"
    return Subject(id=name, session_id=name, workspace_id="w-1", name=name, signed_in_at=datetime.now(UTC))


async def _identify(scope: Scope) -> Subject | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            return _person(int(value.rpartition(b"=")[2]))
    return None


def waited_for() -> StepUpMiddleware:
    """The app of the library; uvicorn calls it."""
    approval_routes.LONGEST_WAIT = _LONG
    stepup = StepUp(
        secret_key=SECRET,
        store=SQLiteStore(os.environ["BENCHMARK_DATABASE"], timeout=PATIENT),
        relying_party=RelyingParty(id="localhost", name="Benchmark", origins=["http://localhost:8000"]),
        identify=_identify,
        purposes=approvable(PLATFORM_PURPOSES, "payroll_ach_transmit"),
        store_timeout=PATIENT,
    )

    async def count(request: Request) -> Response:
        return Response(str(stepup._parts.approvals.watch.waiting))

    return StepUpMiddleware(Starlette(routes=[Route("/waiting", count)]), stepup=stepup)


def held() -> ASGIApp:
    """A bare app whose requests wait, each for a future of its own."""
    waiting = []

    async def wait(request: Request) -> Response:
        future = asyncio.get_running_loop().create_future()
        waiting.append(future)
        await future
        return Response()

    async def count(request: Request) -> Response:
        return Response(str(len(waiting)))

    return Starlette(routes=[Route("/waiting", count), Route("/{path:path}", wait, methods=["POST"])])


@asynccontextmanager
async def _serving(app: str, database: Path) -> AsyncIterator[tuple[int, int]]:
    """Run an app of this module; give its port and its process."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:{app}", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "critical", "--timeout-graceful-shutdown", "1",
        cwd=ROOT, env={**os.environ, "BENCHMARK_DATABASE": str(database)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SECONDS):
            while not await _accepts(port):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield port, process.pid
    finally:
        await ended(process)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _asked(store: SQLiteStore, count: int) -> list[Approval]:
    """Have so many people be asked, one each."""
    await enrol(store)
    first: Prompt = await ask(store, now=datetime.now(UTC), lifetime=APPROVAL_LIFETIME)
    first = replace(first, workspace_id="w-1", purpose="payroll_ach_transmit", ip="127.0.0.1")
    end = datetime.now(UTC) + timedelta(hours=1)
    approvals = []
    for number, prompt in enumerate(prompts_like(first, count)):
        mine = _person(number)
        prompt = replace(prompt, subject_id=mine.id, session=mine.session, expires_at=end)
        approvals.append(approval_for(prompt))
    asked = (store.ask_approval(each, event=ASKED, now=each.prompt.created_at) for each in approvals)
    assert set(await asyncio.gather(*asked)) == {None}
    return approvals


async def _wait(port: int, number: int, prompt_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection that waits for an approval."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(
        f"POST /stepup/prompts/{prompt_id}/token HTTP/1.1\r\nhost: localhost:8000\r\nuser-agent: benchmark/1\r\n"
        f"cookie: session={number}\r\nprefer: wait={_LONG}\r\naccept: application/json\r\n"
        "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}".encode()
    )
    await writer.drain()
    return reader, writer


async def _weighed(app: str, database: Path, approvals: list[Approval], store: SQLiteStore) -> Sample:
    """Hold a connection for each approval; return the megabytes that they took, and how soon one was woken."""
    waiting: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    async with _serving(app, database) as (port, process):
        try:
            for number in range(min(8, len(approvals))):
                waiting += [await _wait(port, number, approvals[number].prompt.id)]
            await _all_wait(port, len(waiting))
            idle = await _settled(process)
            for start in range(len(waiting), len(approvals), _AT_ONCE):
                numbers = range(start, min(start + _AT_ONCE, len(approvals)))
                waiting += await asyncio.gather(*(_wait(port, each, approvals[each].prompt.id) for each in numbers))
            await _all_wait(port, len(waiting))
            grown = await _settled(process) - idle
            if app == "held":
                return {"MB": grown}
            took = []
            for number in range(0, len(approvals), max(1, len(approvals) // _WOKEN)):
                end = ApprovalEnd(state=ApprovalState.DENIED, reason=EndReason.DENIED, at=datetime.now(UTC))
                assert await store.end_approval(approvals[number].prompt.id, end, event=None)
                began = perf_counter()
                answer = await waiting[number][0].readuntil(b"\r\n")
                took.append((perf_counter() - began) * 1e3)
                assert b" 403 " in answer, answer
            sys.stderr.write(f"woken after {statistics.median(took):.0f} ms, at most {max(took):.0f} ms\n")
            return {"MB": grown, "ms": statistics.median(took)}
        finally:
            for _, writer in waiting:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for _, writer in waiting), return_exceptions=True)


async def _settled(process: int) -> float:
    """Return the memory of a process once it grows no more."""
    before, now = 0.0, own_megabytes(process)
    while now > before + 0.1:
        await asyncio.sleep(2)
        before, now = now, own_megabytes(process)
    return now


async def _all_wait(port: int, count: int) -> None:
    """Return once the server says that so many wait."""
    async with asyncio.timeout(_SECONDS), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        while int((await http.get("/waiting")).text) < count:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    if sys.platform != "linux":
        raise Unavailable(f"no /proc on {sys.platform}")
    with scratch() as folder:
        database = folder / "waiting.db"
        async with SQLiteStore(database, timeout=PATIENT).use(macs()) as store:
            approvals = await _asked(store, scale.of(10_000))

            async def ours() -> Sample:
                return await _weighed("waited_for", database, approvals, store)

            async def bare() -> Sample:
                return await _weighed("held", database, approvals, store)

            yield {"ours": ours, "bare": bare}


_WHAT = "10,000 programs that wait for an approval: memory; until one hears of its decision"
_BASE = "the bare app, holding them; nothing"

BENCHMARKS = (
    Benchmark(
        name="waiting",
        sides=_sides,
        figures=(
            Figure(_WHAT, _BASE, at_most(60), "MB", "ours", "bare", "MB"),
            Figure(_WHAT, _BASE, at_most(250), "ms", "ours", None, "ms"),
        ),
        rounds=1,
    ),
)
