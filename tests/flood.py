"""Floods from one session, in a process of their own: ``python -m tests.flood [--requests N] [KIND ...]``.

Prints for each kind how many rows the flood left and how much the process grew between its first tenth and its
end. Each request goes through the whole app to a SQLite file, and the clock stands still: nothing is let off
for being old.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no type information

from stepup_middleware.asgi import Scope
from tests.support import TRANSMIT, Browser, House, call, house_in, scope_of

ROOT = Path(__file__).parent.parent
AT_ONCE = 50
TABLES = ("prompts", "tokens", "attempts", "enrolments", "refused_sessions", "audit")

Make = Callable[[House, Browser], Awaitable[Callable[[int], tuple[Scope, bytes]]]]


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood left: answers by status, new rows by table, growth in bytes, and how often an endpoint ran."""

    kind: str
    statuses: dict[str, int]
    rows: dict[str, int]
    grown: int
    runs: int


def _post(ada: Browser, path: str, body: bytes = b"", **headers: str) -> tuple[Scope, bytes]:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return scope_of("POST", path, subject=ada.subject, ip=ada.ip, headers=named), body


async def _tokenless(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    return lambda number: _post(ada, TRANSMIT)


async def _long_kept(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    """A purpose whose events are kept for ten years."""
    return lambda number: _post(ada, "/socket-mount/x")


async def _factorless(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    nobody = Browser(house, house.sign_in("nobody"))
    return lambda number: _post(nobody, TRANSMIT)


async def _malformed(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    return lambda number: _post(ada, TRANSMIT, stepup_token="x" * 72)


async def _spent(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    token = await ada.token("POST", TRANSMIT, "passkey")
    await ada.post(TRANSMIT, token=token)
    return lambda number: _post(ada, TRANSMIT, stepup_token=token)


async def _expired(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    token = await ada.token("POST", TRANSMIT, "passkey")
    house.clock.advance(3600)
    return lambda number: _post(ada, TRANSMIT, stepup_token=token)


async def _code(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    url = (await ada.prompt("POST", "/webhooks/rotate"))["prompt"]["url"]
    return lambda number: _post(ada, f"{url}/totp", b'{"code": "000000"}', content_type="application/json")


async def _assertion(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    url = (await ada.prompt("POST", TRANSMIT))["prompt"]["url"]
    return lambda number: _post(ada, f"{url}/webauthn", b"{}", content_type="application/json")


async def _enrolment(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    return lambda number: _post(ada, "/stepup/factors/webauthn", b"{}", content_type="application/json")


async def _foreign(house: House, ada: Browser) -> Callable[[int], tuple[Scope, bytes]]:
    url = (await ada.prompt("POST", TRANSMIT))["prompt"]["url"]
    eve = Browser(house, house.sign_in("eve"))
    return lambda number: (scope_of("GET", url, subject=eve.subject, ip=eve.ip), b"")


KINDS: dict[str, Make] = {
    "tokenless": _tokenless,
    "long kept": _long_kept,
    "factorless": _factorless,
    "malformed": _malformed,
    "spent": _spent,
    "expired": _expired,
    "code": _code,
    "assertion": _assertion,
    "enrolment": _enrolment,
    "foreign": _foreign,
}


def _rows(path: Path) -> Counter[str]:
    with closing(sqlite3.connect(path)) as other:
        counted = {table: other.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608
    return Counter(counted)


async def flooded(kind: str, requests: int) -> Flood:
    """Send so many requests of a kind from one session, and see that others are served all the while."""
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        async with house_in(Path(folder)) as house:
            ada = Browser(house, house.sign_in("ada"))
            await ada.enrol("passkey")
            await ada.enrol("totp", by="passkey")
            bob = Browser(house, house.sign_in("bob"), ip="192.0.2.8")
            await bob.enrol("passkey")
            made = await KINDS[kind](house, ada)
            before, ran, statuses = _rows(house.path), house.total, Counter[str]()
            process, first = psutil.Process(), 0

            async def one(number: int) -> None:
                scope, body = made(number)
                statuses[str((await call(house.app, scope, [body])).status)] += 1

            for start in range(0, requests, AT_ONCE):
                await asyncio.gather(*(one(number) for number in range(start, min(start + AT_ONCE, requests))))
                if not first and start >= requests // 10:
                    gc.collect()
                    first = process.memory_info().rss
            gc.collect()
            grown = process.memory_info().rss - first
            rows, runs = _rows(house.path) - before, house.total - ran
            assert (await bob.step_up("POST", TRANSMIT, "passkey")).status_code == 200
            return Flood(kind, dict(statuses), dict(rows), grown, runs)


def in_a_process(kind: str, requests: int) -> Flood:
    """Return what a flood leaves in a fresh process."""
    command = [sys.executable, "-m", "tests.flood", "--requests", str(requests), "--json", kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Flood(**json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run floods and print what they left."""
    parser = argparse.ArgumentParser(prog="python -m tests.flood", description="Floods from one session.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="run one kind here, and print it as JSON")
    given = parser.parse_args(arguments)
    if given.json:
        found = asyncio.run(flooded(given.kinds[0], given.requests))
        fields = ("kind", "statuses", "rows", "grown", "runs")
        print(json.dumps({name: getattr(found, name) for name in fields}))  # noqa: T201
        return
    for kind in given.kinds or KINDS:
        found = in_a_process(kind, given.requests)
        rows = ", ".join(f"{table} {count}" for table, count in found.rows.items() if count) or "none"
        grown = f"{found.grown / 1_000_000:+.1f} MB"
        print(f"{kind:12} {found.statuses}  new rows: {rows}  memory {grown}  ran {found.runs}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
