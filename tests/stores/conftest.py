"""One ``store`` fixture over every kind of store. A new kind registers a factory in ``KINDS``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from stepup_middleware.stores.base import Store
from stepup_middleware.stores.sqlite import SQLiteStore


class Opener(Protocol):
    """Opens another store on the same database, as another node or process would."""

    def __call__(self) -> AbstractAsyncContextManager[Store]: ...


def _sqlite(folder: Path) -> Opener:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        async with SQLiteStore(folder / "stepup.db") as store:
            yield store

    return opened


KINDS: dict[str, Callable[[Path], Opener]] = {"sqlite": _sqlite}


@pytest.fixture(params=sorted(KINDS))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Open a store on the test's own database, as often as a test needs nodes."""
    kind: str = request.param
    return KINDS[kind](tmp_path)


@pytest.fixture
async def store(open_store: Opener) -> AsyncIterator[Store]:
    """Yield a started store on an empty database."""
    async with open_store() as store:
        yield store
