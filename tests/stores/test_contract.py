"""Every store of the library keeps to the contract."""

from __future__ import annotations

import pytest

from stepup_middleware.stores.sqlite import log_reader
from stepup_middleware.testing import StoreContract
from stepup_middleware.testing.contract.values import Opener


class TestEveryStore(StoreContract):
    """The contract over the kinds of store that ``conftest`` knows."""

    @pytest.fixture
    def open_store(self, open_any_store: Opener) -> Opener:
        """Return what opens a store of each kind in turn."""
        return open_any_store

    @pytest.fixture(autouse=True)
    def short_stretches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a count of SQLite's log go over several stretches, the last of them not whole."""
        monkeypatch.setattr(log_reader, "STRETCH", 70)
