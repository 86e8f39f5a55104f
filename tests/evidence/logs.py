"""The app of the tests with a log key: real step-ups through the HTTP routes on a real SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stepup_middleware.log.keys import LOG_TYPES, SigningKey
from tests.support import House, house_in

ORIGIN = "log.example.com/house"
KEYS = tuple(SigningKey.generate(ORIGIN, type_) for type_ in LOG_TYPES)
KEY_TEXT = "".join(f"{key.secret_text()}\n" for key in KEYS)
VKEYS = [str(key.verifier) for key in KEYS]


@asynccontextmanager
async def logged_house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """The app with a log key."""
    async with house_in(folder, **{"log_key": KEY_TEXT, **settings}) as house:
        yield house


def vkey_file(folder: Path) -> Path:
    """Write the log's vkeys as an auditor has them."""
    path = folder / "log.vkey"
    path.write_text("# the log of the app\n" + "".join(f"{vkey}\n" for vkey in VKEYS), encoding="utf-8")
    return path
