"""Tokens in the database: minted, redeemed once, revoked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from stepup_middleware.core.decisions import (
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
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.authorized import NAME, OUTCOME, REDEEMED, Ready, authorized_body, authorized_event
from stepup_middleware.stores.base import GrantRefused, TokenGrant
from stepup_middleware.stores.proofs import factor_refusal
from stepup_middleware.stores.rows import Row, grant_row, redeemed_token, token_of

from .transaction import Transaction

_MAX_ID = 2**63 - 1  # the largest row id


def redeem_all(transaction: Transaction, batch: Sequence[Ready]) -> list[Redemption | Row]:
    """Redeem what a batch presents with one guarded statement, and say of the rest why not.

    At most one presentation of a token redeems it, also within the batch: the row carries its ``attempt``.
    A presentation that redeemed is answered with the facts of the row, which ``redemption_of`` reads.
    """
    number = transaction.batch
    rows = [(number, *ready.row) for ready in batch if ready.shown.reference.id <= _MAX_ID]
    redeemed = transaction.run_rows("redeem", rows)
    found = transaction.row("redeemed_in_batch", (json.dumps([row[1] for row in rows]), number)) if redeemed else None
    won: dict[bytes, list[Any]] = {}
    for entry in json.loads(found[0]) if found else ():
        won[bytes.fromhex(entry[1])] = entry
    answers: list[Redemption | Row] = []
    for ready in batch:
        shown = ready.shown
        entry = won.get(shown.attempt)
        if entry is None or entry[0] != shown.reference.id:
            answers.append(_judge(transaction, shown))
            continue
        del won[shown.attempt]
        redeemed -= 1
        facts = entry[2:]
        place_authorized(transaction, ready, facts)
        answers.append(facts)
    if redeemed:
        raise StoreError("a token was redeemed that no presentation of its own accounts for")
    return answers


def place_authorized(transaction: Transaction, ready: Ready, facts: Row) -> None:
    """Write ``ACTION_AUTHORIZED`` for a presentation, with the ``Facts`` of its row."""
    shown = ready.shown
    transaction.place(
        to_micros(shown.now),
        shown.retention_years,
        authorized_body(ready, facts),
        shown.workspace_id,
        shown.subject_id,
        NAME,
        OUTCOME,
        shown.purpose,
        facts[0],
        partial(authorized_event, shown, facts),
    )


def redemption_of(shown: Presentation, answer: Redemption | Row) -> Redemption:
    """Return what the caller is told."""
    if isinstance(answer, Redemption):
        return answer
    return Redemption(decision=REDEEMED, row=redeemed_token(shown, answer))


def _judge(transaction: Transaction, shown: Presentation) -> Redemption:
    """Say why the guard let a presentation down, and do what follows from it."""
    found = transaction.row("read_token", (shown.reference.id,)) if shown.reference.id <= _MAX_ID else None
    token, factor_live = (None, False) if found is None else (token_of(found), bool(found[22]))
    if token is not None and token.reference != shown.reference:
        token = None
    if token is not None and token.state is TokenState.REDEEMED and token.attempt == shown.attempt:
        # S04: the answer of this very presentation was lost on its way; its event is written
        return Redemption(decision=REDEEMED, row=token)
    decision = decide(token, shown, factor_live=factor_live)
    if decision.verdict is Verdict.REDEEMED:
        raise StoreError("the statement and the decision table disagree on a token")
    if decision.revoke and token is not None:
        transaction.run("revoke_token", (decision.revoke, token.reference.id))
    replays = 0
    if decision.verdict is Verdict.REUSED and token is not None:
        counted = transaction.row("count_replay", (token.reference.id,))
        replays = 0 if counted is None else counted[0]
        token = replace(token, replays=replays)
        if not worth_logging(replays):
            return Redemption(decision=decision, row=token)
    transaction.append(presentation_event(shown, decision, token, replays=replays))
    return Redemption(decision=decision, row=token)


def issue(transaction: Transaction, grant: TokenGrant) -> TokenReference | GrantRefused:
    """Mint a token if its prompt, its factor and its proof still allow it. Checks all, then writes all."""
    prompt, at = grant.prompt, to_micros(grant.issued_at)
    if transaction.row("prompt_is_open", (prompt.id, at, transaction.epoch)) is None:
        return GrantRefused.PROMPT_CLOSED
    refused = spend_proof(transaction, grant)
    if refused is not None:
        return refused
    minted = transaction.run("insert_token", (transaction.epoch, *grant_row(grant))).lastrowid
    if minted is None:
        raise StoreError("the database gave the token no row id")
    transaction.run("prove_prompt", (minted, prompt.id))
    return TokenReference(minted, grant.nonce)


def spend_proof(transaction: Transaction, grant: TokenGrant) -> GrantRefused | None:
    """Advance the factor behind a grant, clear its bucket and write its event, unless something stands against it."""
    prompt, at = grant.prompt, to_micros(grant.issued_at)
    person = (prompt.workspace_id, prompt.subject_id)
    refused = factor_refusal(grant, transaction.row("read_factor", (grant.factor_id, *person)))
    if refused is not None:
        return refused
    if grant.factor_kind is FactorKind.TOTP:
        if not transaction.changed("advance_step", (*person, grant.time_step)):
            return GrantRefused.STEP_SPENT
        transaction.run("use_totp_factor", (at, grant.factor_id))
    else:
        transaction.run("use_webauthn_factor", (grant.sign_count, grant.backed_up, at, grant.factor_id))
    transaction.run("clear_attempts", (*person, grant.bucket))
    transaction.append(grant.event)
    return None


def revoke_session(transaction: Transaction, workspace_id: str, subject_id: str, session: str) -> None:
    """Revoke the unredeemed tokens of a session and cancel its prompts."""
    transaction.run("revoke_tokens_of_session", (workspace_id, subject_id, session))
    transaction.run("cancel_prompts_of_session", (workspace_id, subject_id, session))


def revoke_all(transaction: Transaction, event: AuditEvent | None) -> None:
    """Begin a new epoch: no prompt and no token of an earlier one is worth anything."""
    transaction.begin_epoch()
    if event is not None:
        transaction.append(event)
