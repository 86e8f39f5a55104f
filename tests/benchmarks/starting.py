"""What ``import stepup_middleware`` adds to an app that has imported Starlette."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch

HEAVY = ("webauthn", "cryptography", "jinja2", "aiosqlite", "asyncpg", "psycopg", "redis", "segno")
_STARLETTE = (
    "import asyncio, sys, time, starlette.applications, starlette.requests, starlette.responses, starlette.routing, "
    "starlette.endpoints, starlette.websockets, starlette.concurrency, starlette.middleware, starlette.staticfiles; "
)
_TAIL = (
    "began = time.process_time(); {added}took = time.process_time() - began; "
    "print(took * 1e3, *(name for name in {heavy} if name in sys.modules))"
)
_BARE = "import stepup_middleware; "
_NAMES = "from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up; "


async def _started(added: str, compiled: Path) -> Sample:
    code = _STARLETTE + _TAIL.format(added=added, heavy=HEAVY)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled), "PYTHONDONTWRITEBYTECODE": ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=environment
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    took, *loaded = out.split()
    return {"ms": float(took), "loaded": len(loaded)}


@asynccontextmanager
async def _importing(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as compiled:
        await _started(_BARE, compiled)  # once, so that everything is compiled, as pip leaves it
        yield {
            "with us": lambda: _started(_BARE, compiled),
            "the five names": lambda: _started(_NAMES, compiled),
            "without": lambda: _started("", compiled),
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
                "the five names that the README's app imports, after Starlette",
                "nothing",
                at_most(15),
                "ms",
                "the five names",
                "without",
                "ms",
            ),
            Figure(
                "drivers, webauthn, cryptography and jinja2 loaded by that import",
                "nothing",
                at_most(0),
                "loaded",
                "the five names",
                None,
                "modules",
            ),
        ),
        rounds=11,
    ),
)
