"""The packages that ask again before an action, each with a server and a database of its own, beside the library.

``python -m tests.benchmarks peers`` installs them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx2

from tests.machine import free_port

from .apps import PATH
from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, Unavailable, at_least, scratch
from .redemption import RATE, WHAT, minting, redeemed
from .served import ROOT, load, running, serving

GROUP = "peers"  # of pyproject.toml
_WORKERS, _THREADS = 3, 4  # gunicorn's own advice for one core: 2 * cores + 1 workers, two to four threads each
_TOKENS = 2_000
_PASSWORD = "Correct-horse-7-battery"


def install() -> int:
    """Install the group of the peers into this environment; return pip's exit status."""
    return subprocess.run([sys.executable, "-m", "pip", "install", "--group", GROUP], cwd=ROOT, check=False).returncode


def need(*packages: str) -> None:
    """Raise ``Unavailable`` where one of the packages is missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)} (python -m tests.benchmarks peers)")


def _request(path: str, **headers: str) -> bytes:
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: benchmark/1\r\naccept: application/json\r\n"
        f"sec-fetch-site: same-origin\r\n{given}content-length: 0\r\n\r\n"
    ).encode()


class _Django:
    """gunicorn with both peers of Django."""

    def __init__(self, database: Path, cookies: str, csrf: str, port: int) -> None:
        self._database = database
        self._headers = {"cookie": cookies, "x_csrftoken": csrf}
        self._port = port

    def scoped(self, scale: Scale) -> Side:
        """Return the side that consumes tokens of django-scoped-access."""

        async def side() -> Sample:
            tokens = await _django(self._database, "mint", str(scale.of(_TOKENS)))
            path = PATH.replace("payroll", "scoped")
            requests = [_request(path, **self._headers, x_reauth_token=token) for token in tokens]
            return await load(self._port, requests, scale, status=200, repeat=False)

        return side

    def allauth(self, scale: Scale) -> Side:
        """Return the side that acts in the window of django-allauth."""
        requests = [_request(PATH.replace("payroll", "allauth"), **self._headers)]
        return lambda: load(self._port, requests, scale, status=200, repeat=True)


async def _django(database: Path, *arguments: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.django_app", *arguments,
        cwd=ROOT, env={**os.environ, "BENCHMARK_DATABASE": str(database)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    said: str | list[str] = json.loads(out)
    return [said] if isinstance(said, str) else said


@asynccontextmanager
async def _on_django(database: Path) -> AsyncIterator[_Django]:
    (cookies,) = await _django(database, "create")
    port = free_port()
    command = [
        "gunicorn", "tests.benchmarks.django_app:wsgi", "--bind", f"127.0.0.1:{port}", "--workers", str(_WORKERS),
        "--worker-class", "gthread", "--threads", str(_THREADS), "--keep-alive", "30", "--log-level", "warning",
    ]  # fmt: skip
    async with running(port, command, BENCHMARK_DATABASE=str(database)):
        yield _Django(database, cookies, cookies.rpartition("=")[2], port)


async def _in_sudo(port: int, scale: Scale) -> Side:
    """Register, sign in and elevate at crudauth; return the side that acts in its window."""
    async with httpx2.AsyncClient(base_url=f"http://localhost:{port}", timeout=60) as client:
        person = {"email": "owner@axis.example", "username": "owner", "password": _PASSWORD}
        registered = await client.post("/register", json=person)
        assert registered.status_code < 300, registered.text
        signed_in = await client.post("/login", data={"username": "owner", "password": _PASSWORD})
        assert signed_in.status_code == 200, signed_in.text
        held = {cookie.name: cookie.value or "" for cookie in signed_in.cookies.jar}
        cookies = "; ".join(f"{name}={value}" for name, value in held.items())
        csrf = next(value for name, value in held.items() if "csrf" in name)
        headers = {"cookie": cookies, "x-csrf-token": csrf}
        client.cookies.clear()
        elevated = await client.post("/sudo", data={"password": _PASSWORD}, headers=headers)
        assert elevated.status_code == 200, elevated.text
    requests = [_request(PATH, cookie=cookies, x_csrf_token=csrf)]
    return lambda: load(port, requests, scale, status=200, repeat=True)


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    need("gunicorn", "scoped_access", "allauth", "crudauth")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        tokens = await minting(folder / "ours.db")
        tagged = await stack.enter_async_context(serving("apps:tagged", folder / "ours.db"))
        django = await stack.enter_async_context(_on_django(folder / "django.db"))
        url = f"sqlite+aiosqlite:///{folder}/crudauth.db"
        crudauth = await stack.enter_async_context(serving("crudauth_app:app", url))
        yield {
            "ours": redeemed(tagged, tokens, 8_000, scale),
            "scoped": django.scoped(scale),
            "allauth": django.allauth(scale),
            "crudauth": await _in_sudo(crudauth, scale),
        }


_ON_STARLETTE = f"{WHAT}, Starlette, 64 connections"
_WINDOWS = "django-allauth's window, gunicorn; crudauth's window, in memory (neither has a log)"

BENCHMARKS = (
    Benchmark(
        name="redemption-peers",
        sides=_sides,
        figures=(
            Figure(
                _ON_STARLETTE, "django-scoped-access, database cache, gunicorn (no log)", at_least(9), RATE,
                "ours", "scoped",
            ),
            Figure("the same", _WINDOWS, at_least(14), RATE, "ours", "allauth"),
            Figure("the same", _WINDOWS, at_least(6), RATE, "ours", "crudauth"),
        ),
        rounds=9,
    ),
)  # fmt: skip
