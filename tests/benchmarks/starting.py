"""What ``import stepup_middleware`` adds to an app that has imported Starlette."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most

HEAVY = ("webauthn", "cryptography", "jinja2", "aiosqlite", "asyncpg", "psycopg", "redis", "segno")
_STARLETTE = (
    "import asyncio, sys, time, starlette.applications, starlette.requests, starlette.responses, starlette.routing, "
    "starlette.endpoints, starlette.websockets, starlette.concurrency, starlette.middleware, starlette.staticfiles; "
)
_TAIL = (
    "began = time.process_time(); {added}took = time.process_time() - began; "
    "print(took * 1e3, *(name for name in {heavy} if name in sys.modules))"
)


async def _started(added: str) -> Sample:
    code = _STARLETTE + _TAIL.format(added=added, heavy=HEAVY)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    took, *loaded = out.split()
    return {"ms": float(took), "loaded": len(loaded)}


@asynccontextmanager
async def _importing(scale: Scale) -> AsyncIterator[Sides]:
    await _started("import stepup_middleware; ")  # once, so that everything is compiled
    yield {
        "with us": lambda: _started("import stepup_middleware; "),
        "without": lambda: _started(""),
    }


BENCHMARKS = (
    Benchmark(
        name="import",
        sides=_importing,
        figures=(
            Figure(
                "`import stepup_middleware` after Starlette", "nothing", at_most(15), "ms", "with us", "without", "ms"
            ),
            Figure(
                "drivers, webauthn, cryptography and jinja2 loaded by that import",
                "nothing",
                at_most(0),
                "loaded",
                "with us",
                None,
                "modules",
            ),
        ),
        rounds=11,
    ),
)
