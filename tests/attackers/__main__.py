"""Try everything that somebody with the tables and no key can do to a log, and print what verifying finds.

The log is altered at rest and then verified, rows that decide are altered while an app runs on them. ``python -m
tests.attackers`` tries every third alteration on a SQLite file; ``--every 1`` all, ``--postgres`` there; ``--only log``
or ``--only rows`` a part.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.stores.servers import running_postgres

from .attacked import Attacked, AttackedPostgres, AttackedSQLite, attack, honest, table_of
from .raw import Raw, RawPostgres, RawSQLite
from .state import sweep


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--only", choices=["log", "rows"])
    given = parser.parse_args()

    async def run(database: Attacked, rows: Raw) -> int:
        tallies = {} if given.only == "log" else await sweep(rows, every_nth=given.every)
        if given.only != "rows":
            tallies |= await attack(database, await honest(database), every_nth=given.every)
        sys.stdout.write(table_of(tallies))
        undetected = [what for tally in tallies.values() for what in tally.undetected]
        sys.stdout.write("".join(f"undetected: {what}\n" for what in undetected))
        return 1 if undetected else 0

    if not given.postgres:
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(run(AttackedSQLite(Path(folder) / "log.db"), RawSQLite(Path(folder) / "rows.db")))
    with running_postgres() as server:
        log, rows = [asyncio.run(server.create_database(name)) for name in ("log", "rows")]
        return asyncio.run(run(AttackedPostgres(log), RawPostgres(rows)))


if __name__ == "__main__":
    raise SystemExit(main())
