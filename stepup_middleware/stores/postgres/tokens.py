"""Tokens in the database: minted, redeemed once, revoked. Each verb serves a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter

from stepup_middleware.core.decisions import (
    CLOCK_SKEW,
    IssuedToken,
    Presentation,
    Redemption,
    TokenState,
    Verdict,
    decide,
    presentation_event,
    worth_logging,
)
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.authorized import NAME, OUTCOME, REDEEMED, Ready, authorized_body, authorized_event
from stepup_middleware.stores.base import GrantRefused, TokenGrant
from stepup_middleware.stores.proofs import factor_refusal
from stepup_middleware.stores.rows import Row, grant_row, redeemed_token, token_of

from .log import Entry, indexed
from .parameters import columns
from .transaction import Transaction

_MAX_ID = 2**63 - 1  # the largest bigint
_SKEW = span_micros(CLOCK_SKEW)
_SHOWN_COLUMNS = 14


async def redeem_all(transaction: Transaction, batch: Sequence[Ready]) -> list[Redemption]:
    """Redeem what a batch presents with one guarded statement, and say of the rest why not.

    At most one presentation of a token redeems it, also within the batch: the row carries its ``attempt``.
    """
    # in the order of the keys: two nodes never wait for each other crosswise
    staged = [ready.row for ready in batch if ready.row is not None and ready.shown.reference.id <= _MAX_ID]
    staged.sort(key=itemgetter(0))
    redeemed = await transaction.rows("redeem", *columns(staged, _SHOWN_COLUMNS), _SKEW)
    won = {(row[0], row[1]): row for row in redeemed}
    answers: list[Redemption | None] = []
    for ready in batch:
        shown = ready.shown
        row = won.pop((shown.reference.id, shown.attempt), None)
        if row is None:
            answers.append(None)
            continue
        facts = row[2:]
        answers.append(Redemption(decision=REDEEMED, row=redeemed_token(shown, facts)))
        transaction.entries.append(authorized_entry(ready, facts))
    if won or len(redeemed) != sum(answer is not None for answer in answers):
        raise StoreError("the database redeemed a token that nobody presented")
    rest = [ready.shown for ready, answer in zip(batch, answers, strict=True) if answer is None]
    judged = iter(await _judge_all(transaction, rest) if rest else ())
    return [next(judged) if answer is None else answer for answer in answers]


def authorized_entry(ready: Ready, facts: Row) -> Entry:
    """Return the log entry of a redemption, with the ``Facts`` of its row."""
    shown = ready.shown
    return Entry(
        to_micros(shown.now),
        shown.retention_years,
        authorized_body(ready, facts),
        indexed(shown.workspace_id),
        indexed(shown.subject_id),
        NAME,
        OUTCOME,
        indexed(shown.purpose),
        indexed(facts[0]),
        partial(authorized_event, shown, facts),
    )


async def _judge_all(transaction: Transaction, batch: Sequence[Presentation]) -> list[Redemption]:
    """Say why the guard let presentations down, and do what follows from it."""
    ids = sorted({shown.reference.id for shown in batch if shown.reference.id <= _MAX_ID})
    tokens: dict[int, IssuedToken] = {}
    live: dict[int, bool] = {}
    for row in await transaction.rows("read_tokens", ids):
        tokens[row[0]], live[row[0]] = token_of(row), row[22]
    revoked: dict[int, str] = {}
    replayed: dict[int, int] = {}
    answers = []
    for shown in batch:
        id_ = shown.reference.id
        token = tokens.get(id_)
        if token is not None and token.reference != shown.reference:
            token = None
        if token is not None and token.state is TokenState.REDEEMED and token.attempt == shown.attempt:
            # S04: the answer of this very presentation was lost on its way; its event is written
            answers.append(Redemption(decision=REDEEMED, row=token))
            continue
        decision = decide(token, shown, factor_live=live.get(id_, False))
        if decision.verdict is Verdict.REDEEMED:
            raise StoreError("the statement and the decision table disagree on a token")
        replays = 0
        if token is not None and decision.revoke and token.state is TokenState.ISSUED:
            revoked[id_] = decision.revoke
            tokens[id_] = replace(token, state=TokenState.REVOKED)
        if token is not None and decision.verdict is Verdict.REUSED:
            replays = token.replays + 1
            token = tokens[id_] = replace(token, replays=replays)
            replayed[id_] = replays
        answers.append(Redemption(decision=decision, row=token))
        if decision.verdict is not Verdict.REUSED or worth_logging(replays):
            transaction.append(presentation_event(shown, decision, token, replays=replays))
    await transaction.many("revoke_tokens", sorted(revoked.items()))
    await transaction.many("count_replays", sorted(replayed.items()))
    return answers


async def issue_all(transaction: Transaction, batch: Sequence[TokenGrant]) -> list[TokenReference | GrantRefused]:
    """Mint tokens where prompt, factor and proof still allow it. No person comes twice in a batch.

    What is judged is locked first, prompts before factors before people, each in the order of their keys.
    """
    locked = await transaction.rows("lock_prompts", sorted(grant.prompt.id for grant in batch))
    prompts: dict[str, int] = {row[0]: row[1] for row in locked}
    factors = {
        row[0]: row[1:] for row in await transaction.rows("lock_factors", sorted(grant.factor_id for grant in batch))
    }
    refused = {grant.prompt.id: _refusal(grant, prompts, factors) for grant in batch}
    steps = {
        person_of(grant): grant.time_step
        for grant in batch
        if grant.factor_kind is FactorKind.TOTP and refused[grant.prompt.id] is None
    }
    advanced = set(await advance_steps(transaction, steps))
    for grant in batch:
        if person_of(grant) in steps and person_of(grant) not in advanced and refused[grant.prompt.id] is None:
            refused[grant.prompt.id] = GrantRefused.STEP_SPENT
    granted = [grant for grant in batch if refused[grant.prompt.id] is None]
    inserted = await transaction.many("insert_tokens", [grant_row(grant) for grant in granted])
    minted: dict[str, int] = {row[0]: row[1] for row in inserted}
    if len(minted) != len(granted):
        raise StoreError("the database did not mint what was granted")
    await transaction.many("prove_prompts", sorted(minted.items()))
    await transaction.many(
        "use_factors",
        sorted((g.factor_id, g.sign_count, g.backed_up, to_micros(g.issued_at)) for g in granted),
    )
    await transaction.many("clear_attempts", sorted((*person_of(grant), grant.bucket) for grant in granted))
    for grant in granted:
        transaction.append(grant.event)
    return [refused[grant.prompt.id] or TokenReference(minted[grant.prompt.id], grant.nonce) for grant in batch]


def person_of(grant: TokenGrant) -> tuple[str, str]:
    """Return whose grant it is."""
    return grant.prompt.workspace_id, grant.prompt.subject_id


async def advance_steps(transaction: Transaction, steps: dict[tuple[str, str], int | None]) -> list[tuple[str, str]]:
    """Spend time-steps by person; return whose was not spent before."""
    rows = await transaction.many("advance_steps", sorted((*person, step) for person, step in steps.items()))
    return [(row[0], row[1]) for row in rows]


def _refusal(grant: TokenGrant, prompts: dict[str, int], factors: dict[str, Row]) -> GrantRefused | None:
    """Say what stands against a grant, but for a spent time-step. Raises ``StoreError`` for half a proof."""
    expires_at = prompts.get(grant.prompt.id)
    if expires_at is None or from_micros(expires_at) <= grant.issued_at:
        return GrantRefused.PROMPT_CLOSED
    return factor_refusal(grant, owned(grant, factors.get(grant.factor_id)))


def owned(grant: TokenGrant, factor: Row | None) -> Row | None:
    """Return kind and sign count of a row of ``lock_factors``, None when it is not the person's."""
    return factor[2:] if factor is not None and tuple(factor[:2]) == person_of(grant) else None


async def revoke_session(transaction: Transaction, workspace_id: str, subject_id: str, session: str) -> None:
    """Cancel the prompts of a session and revoke its unredeemed tokens."""
    rows = await transaction.rows("cancel_prompts_of_session", workspace_id, subject_id, session)
    tokens = sorted(row[0] for row in rows if row[0] is not None)
    await transaction.many("revoke_tokens", [(token, "session") for token in tokens])


async def revoke_all(transaction: Transaction, event: AuditEvent | None) -> None:
    """Begin a new epoch: no prompt and no token of an earlier one is worth anything."""
    await transaction.row("bump_epoch")
    if event is not None:
        transaction.append(event)
