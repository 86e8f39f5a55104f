"""The durable half of a hot store: what must be in the database before a token that is kept elsewhere counts."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.decisions import Decision, IssuedToken, presentation_event
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.prompts import Asked, NoFactor, Prompt
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.authorized import REDEEMED, Ready
from stepup_middleware.stores.base import GrantRefused, TokenGrant
from stepup_middleware.stores.ledger import refusal
from stepup_middleware.stores.proofs import factor_refusal
from stepup_middleware.stores.rows import facts_of

from .factors import factors_of, policies_of
from .prompts import decide
from .tokens import advance_steps, authorized_entry, owned, person_of
from .transaction import Transaction


async def read(transaction: Transaction) -> tuple[int, str]:
    """Return the current epoch and the place of the hot server that serves it."""
    row = await transaction.row("read_hot")
    if row is None:
        raise StoreError("the schema of the store is incomplete")
    return row[0], row[1]


async def begin(transaction: Transaction, place: str, after: int) -> tuple[int, str]:
    """Begin the epoch after one at a place, if that one is still the current one."""
    await transaction.changed("begin_hot", place, after)
    return await read(transaction)


async def ask(transaction: Transaction, asked: Asked, epoch: int) -> Prompt | NoFactor | None:
    """Decide a prompt and write its events; None when the epoch is over."""
    if (await read(transaction))[0] != epoch:
        return None
    workspace, subject, _ = asked.asker
    policies = await policies_of(transaction, [workspace])
    factors = await factors_of(transaction, [(workspace, subject)])
    return decide(transaction, asked, policies, factors)


async def prove(transaction: Transaction, grant: TokenGrant, epoch: int) -> GrantRefused | None:
    """Spend the proof of a grant and write its event. The prompt was closed before, so that it is spent once."""
    if (await read(transaction))[0] != epoch:
        return GrantRefused.PROMPT_CLOSED
    row = await transaction.row("lock_factors", [grant.factor_id])
    refused = factor_refusal(grant, owned(grant, None if row is None else row[1:]))
    if refused is not None:
        return refused
    person = person_of(grant)
    if grant.factor_kind is FactorKind.TOTP and not await advance_steps(transaction, {person: grant.time_step}):
        return GrantRefused.STEP_SPENT
    used = (grant.factor_id, grant.sign_count, grant.backed_up, to_micros(grant.issued_at))
    await transaction.many("use_factors", [used])
    await transaction.many("clear_attempts", [(*person, grant.bucket)])
    transaction.append(grant.event)
    return None


async def authorize_all(
    transaction: Transaction, batch: Sequence[tuple[Sequence[tuple[Ready, IssuedToken]], int]]
) -> list[list[Decision]]:
    """Write ``ACTION_AUTHORIZED`` for tokens of this epoch whose factor is there, or else why it is refused.

    Each of the batch is what one pipeline redeemed, and its epoch.
    """
    factors = sorted({row.factor_id for redeemed, _ in batch for _, row in redeemed})
    found = await transaction.rows("epoch_and_factors", factors)
    current, live = found[0][0], {tuple(row)[1:] for row in found}
    answers = []
    for redeemed, epoch in batch:
        decisions = []
        for ready, row in redeemed:
            factor_live = (row.factor_id, row.workspace_id, row.subject_id) in live
            refused = refusal(ready.shown, row, lasts=epoch == current, factor_live=factor_live)
            if refused is None:
                transaction.entries.append(authorized_entry(ready, facts_of(row)))
            else:
                transaction.append(presentation_event(ready.shown, refused, row))
            decisions.append(refused or REDEEMED)
        answers.append(decisions)
    return answers
