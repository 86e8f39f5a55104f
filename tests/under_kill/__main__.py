"""Kill nodes under the hands of people and programs, and count what must never be.

``python -m tests.under_kill approvals --runs 500`` has programs ask on one of three nodes, people approve on the
second, and the programs redeem on the third. ``batches --runs 10`` has people confirm fifty requests at once, two of
which they take out. ``--redis`` puts a hot store before PostgreSQL. It ends with 1 where an action ran twice, or
somebody was told something else than what ran and what the log has.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import ExitStack

from tests.stores.servers import ValkeyServer, running_postgres

from .approvals import approve_under_kill
from .batches import TOGETHER, confirm_under_kill
from .nodes import running_nodes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["approvals", "batches"])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()

    async def run(database: str, hot: str) -> int:
        async with running_nodes(database, hot) as nodes:
            if given.what == "approvals":
                figures = await approve_under_kill(nodes, given.runs or 500, given.seed)
            else:
                figures = await confirm_under_kill(nodes, given.runs or 10, TOGETHER, given.seed)
        sys.stdout.write(str(figures))
        return 1 if figures.faults else 0

    with running_postgres() as server, ExitStack() as stack:
        hot = ""
        if given.redis:
            valkey = ValkeyServer(appendonly="no")
            stack.callback(valkey.stop)
            asyncio.run(valkey.start())
            hot = valkey.url()
        return asyncio.run(run(asyncio.run(server.create_database("nodes")), hot))


if __name__ == "__main__":
    raise SystemExit(main())
