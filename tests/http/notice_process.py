"""An app in which a person enrols a passkey, and whose ``notify`` never comes back: to be killed while it hangs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from stepup_middleware import Notice
from stepup_middleware.stores.postgres import PostgresStore
from tests.support import PATIENT, Browser, house_in


async def hang(notice: Notice) -> None:
    """Say that a notice came, and take it never."""
    print(f"came {notice.id}", flush=True)  # noqa: T201 - the test reads it
    await asyncio.Event().wait()


async def run(folder: Path, key: str, dsn: str) -> None:
    """Enrol, say when that is done, and stay."""
    settings: dict[str, Any] = {"store": PostgresStore(dsn, timeout=PATIENT)} if dsn else {}
    async with house_in(folder, secret_key=key, notify=[hang], **settings) as house:
        await Browser(house, house.sign_in("ada")).enrol("passkey")
        print("enrolled", flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
