"""What a client that means ill costs everybody else: the times of another client's ``/ping`` meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from .apps import PATH, SESSION
from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch
from .served import ROOT, serving

SECONDS = 2.0
KILOBYTE = 1024
HEAD = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\n"
SIGNED_IN = f"cookie: session={SESSION}\r\n"
NAVIGATION = "accept: text/html\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n"
BOUNDARY = "----benchmark7fA3"
FORM_DATA = f"multipart/form-data; boundary={BOUNDARY}"
PART = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'


def _going(cookies: str) -> bytes:
    """Return a request for which the library looks into the cookies: a form that the app's own page sends."""
    return f"{HEAD}{NAVIGATION}cookie: {cookies}; session={SESSION}\r\ncontent-length: 0\r\n\r\n".encode()


def _with_body(content_type: str, body: str) -> bytes:
    return (
        f"{HEAD}{SIGNED_IN}{NAVIGATION}content-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _mebibyte(piece: str) -> str:
    return piece * (KILOBYTE * KILOBYTE // len(piece))


PATHS = "a path of 60 kB"  # which the server decodes before it asks any app
# what is sent again and again, each on connections of its own
HOSTILE: Mapping[str, bytes] = {
    "a cookie of 60 kB": _going('a="' + "\\" * 60 * KILOBYTE),
    "cookies of 60 kB": _going("a=b; " * 12 * KILOBYTE),
    PATHS: f"GET {'/a%2e' * 12 * KILOBYTE} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(),
    "a form of 1 MiB": _with_body("application/x-www-form-urlencoded", _mebibyte("a=b&")),
    "a form of 1 MiB in parts": _with_body(FORM_DATA, _mebibyte(PART) + f"--{BOUNDARY}--\r\n"),
    "a JSON text of 1 MiB": _with_body("application/json", json.dumps(["a"] * (KILOBYTE * KILOBYTE // 5))),
}
NEVER_SENT = f"{HEAD}{SIGNED_IN}content-type: application/json\r\ncontent-length: 1000\r\n\r\n".encode()
WAITING = 200  # connections whose body never comes


async def _ping(port: int, scale: Scale) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.pings", str(port), str(scale.seconds(SECONDS)),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return float(out)


async def _repeated(port: int, request: bytes) -> None:
    """Send one request after another, each on a connection of its own: the server may close it."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                await reader.read(KILOBYTE)
            finally:
                writer.close()


@asynccontextmanager
async def _bothered(port: int, kind: str) -> AsyncIterator[None]:
    if kind in HOSTILE:
        task = asyncio.create_task(_repeated(port, HOSTILE[kind]))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return
    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(WAITING)]
    for writer in writers:
        writer.write(NEVER_SENT)
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        port = await stack.enter_async_context(serving("apps:bothered", folder / "bothered.db"))
        without = await stack.enter_async_context(serving("apps:unbothered", folder / "unbothered.db"))

        async def quiet() -> Sample:
            return {"p99": await _ping(port, scale)}

        async def beside(port: int, kind: str) -> Sample:
            async with _bothered(port, kind):
                return {"p99": await _ping(port, scale)}

        async def worst() -> Sample:
            return {"p99": max([(await beside(port, kind))["p99"] for kind in KINDS])}

        yield {
            "quiet": quiet,
            "worst": worst,
            "paths": lambda: beside(port, PATHS),
            "paths without us": lambda: beside(without, PATHS),
        }


KINDS = (*(kind for kind in HOSTILE if kind != PATHS), "bodies that never come")
FURTHER = (
    Benchmark(
        name="bystanders",
        sides=_sides,
        figures=(
            Figure(
                f"another client's `/ping` beside {len(KINDS)} kinds of costly requests: the worst 99th percentile",
                "its quiet value",
                at_most(5),
                "p99",
                "worst",
                "quiet",
            ),
            Figure(
                f"another client's `/ping` beside {PATHS} and 40 rules: the 99th percentile",
                "an app without us, beside the same",
                at_most(1.25),
                "p99",
                "paths",
                "paths without us",
            ),
        ),
    ),
)
