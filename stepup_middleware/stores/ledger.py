"""What a store must be able to do to stand behind a hot store, such as Redis.

A hot server forgets, and a copy of it that takes over may remember what was long spent. So an epoch is kept here,
together with the one server that may serve it: what belongs to another epoch is never authorized, and
another server, or the same one after a loss, begins a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from stepup_middleware.core.decisions import Decision, Presentation, TokenRow, TokenState, Verdict, decide
from stepup_middleware.core.prompts import Asked, NoFactor, Prompt
from stepup_middleware.errors import StoreError

from .base import GrantRefused, TokenGrant


@runtime_checkable
class Ledger(Protocol):
    """The durable half of a hot store. Each method is one transaction, durable when it returns."""

    async def hot_epoch(self) -> tuple[int, str]:
        """Return the current epoch, and the place of the hot server that serves it (empty: none did yet)."""

    async def begin_hot_epoch(self, place: str, *, after: int) -> tuple[int, str]:
        """Begin the epoch after ``after`` at a place, unless somebody was faster. Returns the current one."""

    async def ask_hot(self, asked: Asked, *, epoch: int) -> Prompt | NoFactor | None:
        """Decide a prompt from policy and factors and write its events. None: the epoch is over."""

    async def prove_hot(self, grant: TokenGrant, *, epoch: int) -> GrantRefused | None:
        """Check and advance the factor behind a grant, clear its bucket and write its event, or say why not.

        An epoch that is over is a closed prompt.
        """

    async def authorize_hot(
        self, redeemed: Sequence[tuple[Presentation, TokenRow]], *, epoch: int
    ) -> Sequence[Decision]:
        """Write ``ACTION_AUTHORIZED`` for each token that was redeemed, or the refusal and why.

        Refuses tokens whose epoch is over (revoked) or whose factor is gone.
        """


def refusal(shown: Presentation, row: TokenRow, *, lasts: bool, factor_live: bool) -> Decision | None:
    """Return why a token that a hot server redeemed does not count, None when it does.

    S27, S29: an epoch ends when the hot server is another one, so what a copy of it revived counts for nothing.
    ``lasts``: the token's epoch is the present one.
    """
    if lasts and factor_live:
        return None
    decision = decide(
        replace(row, state=TokenState.ISSUED if lasts else TokenState.REVOKED), shown, factor_live=factor_live
    )
    if decision.verdict in (Verdict.REDEEMED, Verdict.REUSED):
        raise StoreError("the ledger and the decision table disagree on a token")
    return decision
