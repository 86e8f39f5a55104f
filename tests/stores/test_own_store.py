"""A store that has nothing of the library's own stores keeps to the contract by the tests that ship."""

from __future__ import annotations

import pytest

from stepup_middleware.testing import StoreContract

from .memory import Data, MemoryStore


class TestMemoryStore(StoreContract):
    """The contract over a store in memory."""

    @pytest.fixture
    def open_store(self) -> object:
        """Return what opens a store on the memory of this test."""
        data = Data()
        return lambda: MemoryStore(data)
