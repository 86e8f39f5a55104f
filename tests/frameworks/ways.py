"""``python -m tests.frameworks.ways [FRAMEWORK...]``: every way into a tagged class, signed out, as a table.

Each class is tried twice: untagged, which shows the methods that run something of it, and tagged. A cell is
``asked`` where it ran untagged and nothing ran tagged, ``RAN`` where something did, ``-`` where nothing ever runs; a
class that was refused says where: when it was tagged, or at the start.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import tempfile
import warnings
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from stepup_middleware import ConfigurationError, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import ASGIApp, Message
from tests.support import scope_of

from .apps import PURPOSE
from .shapes import FRAMEWORKS, METHODS
from .site import Site, life


class Row(NamedTuple):
    """What a class of one shape does. ``refused`` is a sentence for one that was not taken."""

    framework: str
    shape: str
    untagged: dict[str, int]
    tagged: dict[str, int]
    refused: str = ""

    def cell(self, method: str) -> str:
        if self.tagged.get(method):
            return "RAN"
        return "asked" if self.untagged[method] and not self.refused else "-"


async def measured(framework: str, folder: Path) -> list[Row]:
    """Return a row for each shape of class of a framework."""
    site = Site(str(folder / f"{framework}.db"), frameworks=())
    shapes = importlib.import_module(f"tests.frameworks.shapes.{framework}").SHAPES
    rows = []
    async with site.stepup:
        for name, make in shapes.items():
            runs: list[int] = []

            def ran(runs: list[int] = runs) -> None:
                runs.append(1)

            plain: dict[str, int] = {}
            async with AsyncExitStack() as stack:
                with suppress(ConfigurationError):
                    plain = await _asked(make(lambda kind: kind, ran), runs, stack)
            try:
                app = StepUpMiddleware(make(requires_step_up(PURPOSE), ran), stepup=site.stepup)
            except ConfigurationError as error:
                rows.append(Row(framework, name, plain, {}, str(error)))
                continue
            async with AsyncExitStack() as stack:
                rows.append(Row(framework, name, plain, await _asked(app, runs, stack)))
    return rows


async def _asked(app: ASGIApp, runs: list[int], stack: AsyncExitStack) -> dict[str, int]:
    """Send a request of every method, signed out, and return how often something ran for it."""
    with suppress(AssertionError, ValueError):  # an app without a lifespan (Django)
        inner = app.app if isinstance(app, StepUpMiddleware) else app
        await stack.enter_async_context(life(inner))
    found: dict[str, int] = {}
    for method in METHODS:
        runs.clear()
        await _sent(app, method)
        found[method] = len(runs)
    return found


async def _sent(app: ASGIApp, method: str) -> list[Message]:
    socket = method == "WEBSOCKET"
    coming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    if socket:
        coming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()  # the client waits for its answer
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    extra: dict[str, Any] = {"subprotocols": [], "scheme": "ws"} if socket else {}
    scope = scope_of("GET" if socket else method, "/x", kind="websocket" if socket else "http", headers=[], **extra)
    scope["headers"] = [(b"host", b"localhost:8000")]
    with suppress(Exception):  # a framework may fail over a refusal; what counts is what ran
        await asyncio.wait_for(app(scope, receive, send), 10)
    return sent


def table(rows: list[Row]) -> str:
    """Return the rows as text, and the counts."""
    lines = [f"{'':11}{'':72}" + " ".join(f"{method[:7]:7}" for method in METHODS)]
    for row in rows:
        cells = row.refused[:110] if row.refused else " ".join(f"{row.cell(method):7}" for method in METHODS)
        lines.append(f"{row.framework:11}{row.shape:72}{cells}")
    ran = sum(cell == "RAN" for row in rows for cell in map(row.cell, METHODS))
    asked = sum(cell == "asked" for row in rows for cell in map(row.cell, METHODS))
    refused = sum(bool(row.refused) for row in rows)
    lines.append(f"{len(rows)} classes, {refused} refused; {asked} pairs of class and method asked; {ran} ran")
    return "\n".join(lines)


def main() -> int:
    """Print the table. Returns 1 if anything ran."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for framework in sys.argv[1:] or FRAMEWORKS:
            rows += asyncio.run(measured(framework, Path(folder)))
    print(table(rows))  # noqa: T201
    return 1 if any("RAN" in map(row.cell, METHODS) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
