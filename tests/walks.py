"""Two walks through the code, with file and line: ``python -m tests.walks``.

What runs is traced, so the walks are those of the code as it is: a tagged request on its way to its 401, and a
request with a proof on its way to ``ACTION_AUTHORIZED`` in SQLite, which stands in the log before the endpoint
begins. A file is listed where it is first entered. It is a step of the walk when it leads on, into another file of
the library; a helper that is called and returns is none, and no file becomes a step by calling one of the three small
``TOOLS``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import stepup_middleware
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import VirtualAuthenticator

PACKAGE = Path(stepup_middleware.__file__).parent
ORIGIN = "http://localhost"
SECRET = "k3Yz-0nly-f0r-the-walks-7c1d9e5b2a-8f6e4d2c"
REFUSED, AUTHORIZED = "a tagged request to its 401", "a redemption to ACTION_AUTHORIZED"
TOOLS = frozenset({"asgi.py", "core/canonical.py", "core/moments.py"})  # a header, a canonical text, a timestamp
AT_MOST = {REFUSED: 16, AUTHORIZED: 14}  # files: the goal


@dataclass(slots=True)
class Walk:
    """The files of a walk in the order in which they are first entered, each with its line and function."""

    name: str
    entered: dict[str, tuple[int, str]] = field(default_factory=dict)
    leading: set[str] = field(default_factory=set)

    @property
    def steps(self) -> dict[str, tuple[int, str]]:
        """Return the files that lead on, each with the line and the function by which it is entered."""
        return {file: place for file, place in self.entered.items() if file in self.leading}

    def enter(self, frame: FrameType, event: str, _: Any) -> None:
        """Note the file of a function that is called."""
        code = frame.f_code
        path = Path(code.co_filename)
        name = code.co_name
        if (
            event != "call"
            or name.startswith("<")
            or name in ("__init__", "__post_init__")
            or not path.is_relative_to(PACKAGE)
        ):
            return
        file = path.relative_to(PACKAGE).as_posix()
        self.entered.setdefault(file, (frame.f_lineno, code.co_qualname))
        caller = frame.f_back
        while caller is not None and not Path(caller.f_code.co_filename).is_relative_to(PACKAGE):
            caller = caller.f_back
        if file not in TOOLS and caller is not None and (by := Path(caller.f_code.co_filename)) != path:
            self.leading.add(by.relative_to(PACKAGE).as_posix())

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.steps)} files, and {len(self.entered) - len(self.steps)} of helpers"]
        return "\n".join([*lines, *(f"  {file}:{line} {name}" for file, (line, name) in self.steps.items())])


@contextmanager
def traced(walk: Walk) -> Any:
    """Follow what runs, in this thread and in those that begin meanwhile."""
    sys.setprofile(walk.enter)
    try:
        yield
    finally:
        sys.setprofile(None)


@requires_step_up("webhook_secret_rotation", details=[("Hook", "W-1")])
async def rotate(request: Request) -> Response:
    request.app.state.arrived()
    return PlainTextResponse("rotated")


async def identify(_: Any) -> Subject:
    return Subject(id="u", session_id="s", workspace_id="w", name="U", signed_in_at=datetime.now(UTC))


async def walks() -> list[Walk]:
    """Walk both ways, each the second time that it is gone: what is loaded or made once is no part of it."""
    refused, authorized, idle = Walk(REFUSED), Walk(AUTHORIZED), Walk("")
    with tempfile.TemporaryDirectory(prefix="walks-") as folder:
        current = [idle]
        threading.setprofile(lambda frame, event, given: current[0].enter(frame, event, given))  # the store's thread
        stepup = StepUp(
            secret_key=SECRET,
            store=SQLiteStore(Path(folder) / "stepup.db"),
            relying_party=RelyingParty(id="localhost", name="Walks", origins=[ORIGIN]),
            identify=identify,
            client_address=lambda _: "192.0.2.1",
        )
        inner = Starlette(routes=[Route("/rotate", rotate, methods=["POST"])])
        app = StepUpMiddleware(inner, stepup=stepup)

        def arrived() -> None:
            current[0] = idle
            sys.setprofile(None)

        inner.state.arrived = arrived
        try:
            async with stepup, httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as http:
                await stepup._parts.integration.close()  # gives records their leaves, beside every request
                key = VirtualAuthenticator.passkey()
                options = (await http.post("/stepup/factors/webauthn/options", json={"kind": "passkey"})).json()
                credential = key.create(options, origin=ORIGIN)
                await http.post("/stepup/factors/webauthn", json={"credential": credential})
                await _go(lambda: http.post("/rotate"), 401)
                current[0] = refused
                with traced(refused):
                    await _go(lambda: http.post("/rotate"), 401)
                current[0] = idle
                for walk in (idle, authorized):
                    prompt = (await _go(lambda: http.post("/rotate"), 401)).headers["stepup-prompt"]
                    options = (await http.post(f"{prompt}/webauthn/options", json={})).json()
                    proved = await http.post(f"{prompt}/webauthn", json=key.get(options, origin=ORIGIN))
                    headers = {"stepup-token": proved.json()["token"]}
                    current[0] = walk
                    with traced(walk):
                        await _go(lambda given=headers: http.post("/rotate", headers=given), 200)  # type: ignore[misc]
        finally:
            threading.setprofile(None)
    return [refused, authorized]


async def _go(send: Callable[[], Awaitable[httpx2.Response]], status: int) -> httpx2.Response:
    answer = await send()
    if answer.status_code != status:
        raise AssertionError(f"{answer.status_code}, not {status}: {answer.text}")
    return answer


def main() -> int:
    """Print the walks; the exit status is 1 where one is longer than it may be."""
    gone = asyncio.run(walks())
    for walk in gone:
        print(f"{walk}\n")  # noqa: T201 - this is the command
    return int(any(len(walk.steps) > AT_MOST[walk.name] for walk in gone))


if __name__ == "__main__":
    sys.exit(main())
