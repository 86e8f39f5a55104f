"""The durable half of a hot store: what must be in the database before a token that is kept elsewhere counts."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.approvals import may_be_proved
from stepup_middleware.core.decisions import Decision, TokenRow, Verdict, epoch_refusal
from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.presentations import presentation_events, replay_of
from stepup_middleware.core.prompts import NoFactor, Prompt, PromptRequest
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.authorized import REDEEMED, PreparedRedemption
from stepup_middleware.stores.rows import facts_of

from . import approvals
from .prompts import decide
from .tokens import spend_proofs
from .transaction import Transaction

AuthorizedBatch = tuple[Sequence[tuple[PreparedRedemption, TokenRow]], int]  # what one pipeline redeemed, and its epoch


async def read(transaction: Transaction) -> tuple[int, str]:
    """Return the current epoch and the place of the hot server that serves it."""
    row = await transaction.fetch_one("read_hot_epoch")
    if row is None:
        raise StoreError("the schema of the store is incomplete")
    return row[0], row[1]


async def begin(transaction: Transaction, place: str, after: int) -> tuple[int, str]:
    """Begin the epoch after one at a place, if that one is still the current one."""
    await transaction.execute("begin_hot_epoch", place, after)
    return await read(transaction)


async def ask(transaction: Transaction, asked: PromptRequest, epoch: int) -> Prompt | NoFactor | None:
    """Decide a prompt and write its events; None when the epoch is over."""
    current, _ = await read(transaction)
    return await decide(transaction, asked) if current == epoch else None


async def prove(
    transaction: Transaction, granted: Sequence[tuple[TokenGrant, TokenReference]], epoch: int
) -> list[GrantRefused | None]:
    """Spend a proof and write the events of its grants. Their prompts were closed before, so that it is spent once."""
    current, _ = await read(transaction)
    if current != epoch:
        return [GrantRefused.PROMPT_CLOSED] * len(granted)
    grants = tuple(grant for grant, _ in granted)
    held = await approvals.hold_all(transaction, grants)
    refused: dict[str, GrantRefused | None] = {grant.prompt.id: GrantRefused.PROMPT_CLOSED for grant in grants}
    open_ = tuple(grant for grant in grants if may_be_proved(held.get(grant.prompt.id), grant.decider, grant.issued_at))
    refused |= await spend_proofs(transaction, [open_])
    await approvals.prove_all(transaction, held, [pair for pair in granted if refused[pair[0].prompt.id] is None])
    return [refused[grant.prompt.id] for grant in grants]


async def authorize_all(transaction: Transaction, batch: Sequence[AuthorizedBatch]) -> list[list[Decision]]:
    """Write ``ACTION_AUTHORIZED`` for tokens of this epoch whose factor is there, or else why it is refused."""
    factors = sorted({row.factor_id for redeemed, _ in batch for _, row in redeemed})
    found = await transaction.fetch_many("epoch_and_factors", [(factor,) for factor in factors])
    current, live = {row[0] for row in found}, {tuple(row)[1:] for row in found}
    tokens = sorted({row.reference.id for redeemed, _ in batch for _, row in redeemed})
    strong = sorted(
        {
            (row.workspace_id, row.subject_id)
            for redeemed, _ in batch
            for prepared, row in redeemed
            if prepared.shown.minimum is FactorRequirement.PHISHING_RESISTANT
        }
    )
    held = {(row[0], row[1]): row[2] for row in await transaction.fetch_many("holds_of", strong)}
    spent = {row[0] for row in await transaction.fetch_many("authorized_tokens", [(token,) for token in tokens])}
    answers = []
    for redeemed, epoch in batch:
        decisions = []
        for prepared, row in redeemed:
            factor_live = (row.factor_id, row.workspace_id, row.subject_id) in live
            refused = epoch_refusal(
                prepared.shown,
                row,
                lasts=epoch in current,
                factor_live=factor_live,
                authorized=row.reference.id in spent,
                held=held.get((row.workspace_id, row.subject_id), 0) > to_micros(prepared.shown.now),
            )
            if refused is None:
                spent.add(row.reference.id)
                transaction.append_authorized(prepared, facts_of(row))
            else:
                replay = replay_of(prepared.shown, row) if refused.verdict is Verdict.REUSED else None
                for event in presentation_events(prepared.shown, refused, row, replay=replay):
                    transaction.append(event)
            decisions.append(refused or REDEEMED)
        answers.append(decisions)
    return answers
