"""Try everything that somebody with the tables and no key can do to a log, and print what verifying finds.

The log is altered at rest and then verified, rows that decide are altered while an app runs on them. ``python -m
tests.attackers`` tries every third alteration on a SQLite file; ``--every 1`` all, ``--postgres`` there; ``--only``
a part: ``log``, ``rows``, ``role`` (statements of the app's role, or on its file) or ``keys`` (with some of them).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from tests.stores.servers import running_postgres

from . import file, keys
from . import role as of_role
from .attacked import Attacked, AttackedPostgres, AttackedSQLite, Tally, attack, honest, table_of
from .raw import Raw, RawPostgres, RawSQLite
from .state import sweep


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--only", choices=["log", "rows", "role", "keys"])
    given = parser.parse_args()

    async def run(database: Attacked, rows: Raw, role: Callable[[], Awaitable[dict[str, Tally]]]) -> int:
        tallies: dict[str, Tally] = {}
        if given.only in (None, "rows"):
            tallies |= await sweep(rows, every_nth=given.every)
        if given.only in (None, "log"):
            tallies |= await attack(database, await honest(database), every_nth=given.every)
        if given.only in (None, "keys"):
            tallies |= await keys.attack(database, await honest(database, in_order=True), every_nth=given.every)
        if given.only in (None, "role"):
            tallies |= await role()
        sys.stdout.write(table_of(tallies))
        undetected = [what for tally in tallies.values() for what in tally.undetected]
        sys.stdout.write("".join(f"undetected: {what}\n" for what in undetected))
        return 1 if undetected else 0

    if not given.postgres:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            role = partial(file.sweep, place, every_nth=given.every)
            return asyncio.run(run(AttackedSQLite(place / "log.db"), RawSQLite(place / "rows.db"), role))
    with running_postgres() as server:
        log, rows, _ = [asyncio.run(server.create_database(name)) for name in ("log", "rows", "role")]
        role = partial(of_role.sweep, server, "role", every_nth=given.every)
        return asyncio.run(run(AttackedPostgres(log), RawPostgres(rows), role))


if __name__ == "__main__":
    raise SystemExit(main())
