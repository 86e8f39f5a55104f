"""Write down the schema that the scripts of PostgreSQL make: what verifying holds a database against."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path

from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.postgres.log_reader import plain
from stepup_middleware.testing.contract.values import MACS

from .servers import running_postgres

PATH = Path(str(files("stepup_middleware.stores.postgres"))) / "schema" / "made.json"


async def schema_of(dsn: str) -> dict[str, str]:
    """Start a store on an empty database, and return what the scripts made there."""
    async with PostgresStore(dsn).use(MACS) as store:
        objects = await store._engine.log.fetch_all("schema_objects")
    return {what: plain(text) for _, what, text, _ in objects}


def main() -> None:
    """Write the file anew."""
    with running_postgres() as server:
        made = asyncio.run(schema_of(asyncio.run(server.create_database("made"))))
    PATH.write_text(json.dumps(made, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
