"""The contract of records that can stand behind a hot state that is kept elsewhere.

``base`` says what holds for every method.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.decisions import Decision, Presentation, TokenRow
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.prompts import NoFactor, Prompt, PromptRequest
from stepup_middleware.core.recovery import FactorsReset
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import RowMacs

from .records import Records
from .sealing import Tampered


class EpochStore(Records):
    """Records that can stand behind a hot state that is kept elsewhere, such as Redis.

    A hot server forgets, and a copy of it that takes over may remember what was long spent. So an epoch is kept here,
    together with the one server that may serve it: what belongs to another epoch is never authorized, and
    another server, or the same one after a loss, begins a new one.
    """

    @property
    @abstractmethod
    def row_macs(self) -> RowMacs:
        """What makes and checks the MACs of rows, those of the hot store too. Raises ``StoreError`` without any."""

    @abstractmethod
    def met(self, rows: Sequence[Tampered]) -> None:
        """Hand rows of the hot store that this installation did not write as they are to ``on_tampering``."""

    @abstractmethod
    async def epoch_for_hot_store(self) -> tuple[int, str]:
        """Return the current epoch, and the place of the hot server that serves it (empty: none did yet)."""

    @abstractmethod
    async def begin_epoch_for_hot_store(self, place: str, *, after: int) -> tuple[int, str]:
        """Begin the epoch after ``after`` at a place, unless somebody was faster. Returns the current one."""

    @abstractmethod
    async def end_epoch_for_hot_store(self, *, event: AuditEvent | None) -> None:
        """Begin the next epoch wherever the hot server is, and write the event: all that is outstanding ends."""

    @abstractmethod
    async def ask_for_hot_store(self, asked: PromptRequest, *, epoch: int) -> Prompt | NoFactor | None:
        """Decide a prompt from policy and factors and write its events. None: the epoch is over."""

    @abstractmethod
    async def prove_for_hot_store(
        self, grants: Sequence[tuple[TokenGrant, TokenReference]], *, epoch: int
    ) -> Sequence[GrantRefused | None]:
        """Check and advance the factor behind grants of one proof, clear their bucket and write their events.

        Each comes with the token that it will bring. Answers for each: None, or why not. An epoch that is over is a
        closed prompt. ``HotState.issue_tokens`` says what becomes of its approval.
        """

    @abstractmethod
    async def reset_factors_for_hot_store(
        self, wanted: FactorsReset, events: Sequence[AuditEvent], *, now: datetime
    ) -> bool:
        """Do what ``HotState.reset_factors`` says, but for prompts and tokens that are kept elsewhere.

        No token and no prompt of the person is worth anything after it, for the factors behind them are gone.
        """

    @abstractmethod
    async def authorize_for_hot_store(
        self, redeemed: Sequence[tuple[Presentation, TokenRow]], *, epoch: int
    ) -> Sequence[Decision]:
        """Write ``ACTION_AUTHORIZED`` for each token that was redeemed, or the refusal and why.

        Refuses tokens whose epoch is over (revoked), whose factor is gone, or whose purpose is on hold.
        """
