"""The durable half of a hot store: what must be in the database before a token that is kept elsewhere counts."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.decisions import Decision, IssuedToken, presentation_event
from stepup_middleware.core.prompts import Asked, NoFactor, Prompt
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.authorized import REDEEMED, Ready
from stepup_middleware.stores.base import GrantRefused, TokenGrant
from stepup_middleware.stores.ledger import refusal
from stepup_middleware.stores.rows import facts_of

from .prompts import decide
from .tokens import place_authorized, spend_proof
from .transaction import Transaction


def read(transaction: Transaction) -> tuple[int, str]:
    """Return the current epoch and the place of the hot server that serves it."""
    row = transaction.row("read_hot")
    if row is None:
        raise StoreError("the schema of the store is incomplete")
    return row[0], row[1]


def begin(transaction: Transaction, place: str, after: int) -> tuple[int, str]:
    """Begin the epoch after one at a place, if that one is still the current one."""
    transaction.begin_epoch("begin_hot", (place, after))
    return read(transaction)


def ask(transaction: Transaction, asked: Asked, epoch: int) -> Prompt | NoFactor | None:
    """Decide a prompt and write its events; None when the epoch is over."""
    return decide(transaction, asked) if transaction.epoch == epoch else None


def prove(transaction: Transaction, grant: TokenGrant, epoch: int) -> GrantRefused | None:
    """Spend the proof of a grant and write its event. The prompt was closed before, so that it is spent once."""
    return spend_proof(transaction, grant) if transaction.epoch == epoch else GrantRefused.PROMPT_CLOSED


def authorize(transaction: Transaction, batch: Sequence[tuple[Ready, IssuedToken]], epoch: int) -> list[Decision]:
    """Write ``ACTION_AUTHORIZED`` for tokens of this epoch whose factor is there, or else why it is refused."""
    decisions = []
    for ready, row in batch:
        factor = transaction.row("read_factor", (row.factor_id, row.workspace_id, row.subject_id))
        refused = refusal(ready.shown, row, lasts=transaction.epoch == epoch, factor_live=factor is not None)
        if refused is None:
            place_authorized(transaction, ready, facts_of(row))
        else:
            transaction.append(presentation_event(ready.shown, refused, row))
        decisions.append(refused or REDEEMED)
    return decisions
