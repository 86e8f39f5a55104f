"""What every store must keep to, as tests: subclass ``StoreContract`` in a test module of your own.

Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from stepup_middleware.stores.base import HotState

from .approvals import ApprovalContract
from .audit import LogContract
from .batches import BatchContract
from .collecting import CollectingContract
from .counts import CountContract
from .deciding import DecidingContract
from .deliveries import DeliveryContract
from .grants import GrantContract
from .people import PeopleContract
from .prompts import PromptContract
from .purge import PurgeContract
from .recovery import RecoveryContract
from .redeem import RedemptionContract
from .replays import ReplayContract
from .resets import ResetContract
from .settings import FactorAndPolicyContract
from .tree import TreeContract
from .values import MACS, Opener

__all__ = ["StoreContract"]


@pytest.mark.asyncio
class StoreContract(
    PromptContract,
    GrantContract,
    BatchContract,
    RedemptionContract,
    ReplayContract,
    FactorAndPolicyContract,
    RecoveryContract,
    ResetContract,
    PeopleContract,
    ApprovalContract,
    DecidingContract,
    CollectingContract,
    LogContract,
    CountContract,
    DeliveryContract,
    PurgeContract,
    TreeContract,
):
    """The contract of a store, as tests that pytest collects from a subclass.

    A subclass gives the fixture ``open_store``: a callable that returns a store, not started, each time on the same
    data, as another process or node would open it. The data is new for each test::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def open_store(self, tmp_path):
                return lambda: MyStore(tmp_path / "data")
    """

    @pytest.fixture
    def open_store(self) -> Opener:
        """Return what opens a store. A subclass replaces this."""
        raise NotImplementedError("give a fixture open_store: a callable that returns a store, not started")

    @pytest.fixture
    def open_node(self, open_store: Opener) -> Opener:
        """Return what opens a store that was given its MACs, as ``StepUp`` gives them."""

        def opened() -> HotState:
            store = open_store()
            store.records.use(MACS)
            return store

        return opened

    @pytest_asyncio.fixture
    async def store(self, open_node: Opener) -> AsyncIterator[HotState]:
        """Yield a started store without data."""
        async with open_node() as store:
            yield store
