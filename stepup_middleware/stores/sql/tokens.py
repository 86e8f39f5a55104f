"""Tokens in the database: minted, redeemed once, revoked. The frequent verbs serve a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from stepup_middleware.core.approvals import ApprovalEnd, ApprovalState, EndReason, may_be_proved
from stepup_middleware.core.decisions import (
    Presentation,
    Redemption,
    TokenRow,
    TokenState,
    Verdict,
    decide,
)
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.grants import GrantRefused, TokenGrant, factor_refusal
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.presentations import presentation_events, replay_of
from stepup_middleware.core.replays import Replays
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.authorized import REDEEMED, PreparedRedemption
from stepup_middleware.stores.rows import MAX_ID, Row, grant_row, redeemed_token, token_of
from stepup_middleware.stores.sealing import (
    Tampered,
    factor_counts,
    redeemed_token_holds,
    sealed_token,
    tampered_factor,
    tampered_token,
    token_row_holds,
    used_factor_mac,
)

from . import approvals
from .transaction import Transaction

OneProof = tuple[TokenGrant, ...]  # grants of one passed ceremony, of a prompt each
Redeemed = Redemption | Row  # a Row has the facts of a token that was redeemed: see redemption_of


async def redeem_all(transaction: Transaction, batch: Sequence[PreparedRedemption]) -> list[Redeemed]:
    """Redeem what a batch presents with one guarded statement, and say of the rest why not.

    At most one presentation of a token redeems it, also within the batch: the row carries its ``attempt``.
    A presentation that redeemed is answered with the facts of the row, which ``redemption_of`` reads.
    """
    rows = [prepared.row for prepared in batch if prepared.row is not None]
    won = {(row[0], row[1]): row for row in await transaction.redeem(rows)} if rows else {}
    answers: list[Redeemed | None] = []
    for prepared in batch:
        shown = prepared.shown
        row = won.pop((shown.reference.id, shown.attempt), None)
        if row is None:
            answers.append(None)
            continue
        facts, epoch, mac = row[2:-2], row[-2], row[-1]
        if not redeemed_token_holds(transaction.macs, shown, facts, epoch, mac):
            transaction.tampered.append(tampered_token(shown))
            answers.append(_unknown(transaction, shown))  # the row is spent all the same
            continue
        answers.append(facts)
        transaction.append_authorized(prepared, facts)
    if won:
        raise StoreError("a token was redeemed that no presentation of its own accounts for")
    rest = [prepared.shown for prepared, answer in zip(batch, answers, strict=True) if answer is None]
    judged = iter(await _judge_all(transaction, rest) if rest else ())
    return [next(judged) if answer is None else answer for answer in answers]


def _unknown(transaction: Transaction, shown: Presentation) -> Redemption:
    """Answer a presentation of a token that this installation did not mint as it is: like one that is not there."""
    decision = decide(None, shown, factor_live=False)
    for event in presentation_events(shown, decision, None, replay=None):
        transaction.append(event)
    return Redemption(decision=decision, row=None)


def redemption_of(shown: Presentation, answer: Redeemed) -> Redemption:
    """Return the answer for the caller."""
    if isinstance(answer, Redemption):
        return answer
    return Redemption(decision=REDEEMED, row=redeemed_token(shown, answer))


async def _judge_all(transaction: Transaction, batch: Sequence[Presentation]) -> list[Redemption]:
    """Say why the guard refused presentations, and do what follows from it."""
    ids = sorted({shown.reference.id for shown in batch if shown.reference.id <= MAX_ID})
    tokens: dict[int, TokenRow] = {}
    live: dict[int, bool] = {}
    held: dict[int, int] = {}  # until when
    for row in await transaction.fetch_many("read_tokens", [(id_,) for id_ in ids]):
        if token_row_holds(transaction.macs, row):
            tokens[row[0]], live[row[0]], held[row[0]] = token_of(row), bool(row[25]), row[26]
        else:
            transaction.tampered.append(Tampered("tokens", str(row[0]), str(row[4]), str(row[5])))
    revoked: dict[int, str] = {}
    replayed: dict[int, Replays] = {}
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
        on_hold = held.get(id_, 0) > to_micros(shown.now)
        decision = decide(token, shown, factor_live=live.get(id_, False), held=on_hold)
        if decision.verdict is Verdict.REDEEMED:
            raise StoreError("the statement and the decision table disagree on a token")
        replay = None
        if token is not None and decision.revoke and token.state is TokenState.ISSUED:
            revoked[id_] = decision.revoke
            tokens[id_] = replace(token, state=TokenState.REVOKED)
        if token is not None and decision.verdict is Verdict.REUSED:
            replay = replay_of(shown, token)
            replayed[id_] = replay.after
            token = tokens[id_] = replace(token, replays=replay.after)
        answers.append(Redemption(decision=decision, row=token))
        if replay is None or replay.told:
            for event in presentation_events(shown, decision, token, replay=replay):
                transaction.append(event)
    await transaction.execute_many("revoke_tokens", sorted(revoked.items()))
    rows = [(id_, replays.count, replays.presenters) for id_, replays in sorted(replayed.items())]
    await transaction.execute_many("note_replays", rows)
    return answers


async def issue_all(transaction: Transaction, batch: Sequence[OneProof]) -> list[list[TokenReference | GrantRefused]]:
    """Mint tokens where prompt, factor and proof still allow it. No person comes twice in a batch.

    All rows that are judged are locked first: approvals, prompts, factors, people, each in the order of their keys.
    """
    grants = [grant for proof in batch for grant in proof]
    held = await approvals.hold_all(transaction, grants)
    locked = await transaction.fetch_many("lock_prompts", sorted((grant.prompt.id,) for grant in grants))
    prompts: dict[str, int] = {row[0]: row[1] for row in locked}
    epochs: dict[str, int] = {row[0]: row[2] for row in locked}
    refused = {
        grant.prompt.id: None
        if prompts.get(grant.prompt.id, 0) > to_micros(grant.issued_at)
        and may_be_proved(held.get(grant.prompt.id), grant.decider, grant.issued_at)
        else GrantRefused.PROMPT_CLOSED
        for grant in grants
    }
    refused |= await spend_proofs(
        transaction, [tuple(grant for grant in proof if refused[grant.prompt.id] is None) for proof in batch]
    )
    granted = [grant for grant in grants if refused[grant.prompt.id] is None]
    rows = [
        (*sealed_token(transaction.macs, epochs[grant.prompt.id], grant_row(grant)), grant.state.value)
        for grant in granted
    ]
    inserted = await transaction.fetch_many("insert_tokens", rows)
    minted: dict[str, int] = {row[0]: row[1] for row in inserted}
    if len(minted) != len(granted):
        raise StoreError("the database did not mint what was granted")
    await transaction.execute_many("prove_prompts", sorted(minted.items()))
    references = {grant.prompt.id: TokenReference(minted[grant.prompt.id], grant.nonce) for grant in granted}
    await approvals.prove_all(transaction, held, [(grant, references[grant.prompt.id]) for grant in granted])
    return [[refused[grant.prompt.id] or references[grant.prompt.id] for grant in proof] for proof in batch]


async def collect(
    transaction: Transaction, reference: TokenReference, ttl: timedelta, now: datetime
) -> datetime | None:
    """Hand out the token that an approval brought: its life begins the first time."""
    if reference.id > MAX_ID:
        return None
    found = await transaction.fetch_many("read_tokens", [(reference.id,)])
    if not found or found[0][1] != reference.nonce:
        return None
    row = found[0]
    if not token_row_holds(transaction.macs, row):
        transaction.tampered.append(Tampered("tokens", str(row[0]), str(row[4]), str(row[5])))
        return None
    token = token_of(row)
    if token.state not in (TokenState.UNCOLLECTED, TokenState.ISSUED) or token.expires_at <= now:
        return None
    if token.state is TokenState.UNCOLLECTED:
        token = replace(token, state=TokenState.ISSUED, issued_at=now, expires_at=now + ttl)
        life = (to_micros(token.issued_at), to_micros(token.expires_at))
        *_, mac = sealed_token(transaction.macs, row[23], (row[1], *row[3:15], *life))
        await transaction.execute("collect_token", reference.id, *life, mac)
    return token.expires_at


async def spend_proofs(transaction: Transaction, batch: Sequence[OneProof]) -> dict[str, GrantRefused | None]:
    """Advance the factors behind proofs, clear their buckets and write the events of their grants.

    Returns by prompt why its proof is refused. No person comes twice in a batch. A proof is spent by its first grant.
    """
    grants = [grant for proof in batch for grant in proof]
    ids = sorted({grant.factor_id for grant in grants})
    found = await transaction.fetch_many("lock_factors", [(id_,) for id_ in ids])
    factors = {row[0]: row for row in found if factor_counts(transaction.macs, row)}
    transaction.tampered += [tampered_factor(row) for row in found if row[0] not in factors]
    refused = {grant.prompt.id: factor_refusal(grant, _owned(grant, factors.get(grant.factor_id))) for grant in grants}
    good = [[grant for grant in proof if refused[grant.prompt.id] is None] for proof in batch]
    spent = [proof[0] for proof in good if proof]
    coded = [grant for grant in spent if grant.factor_kind is FactorKind.TOTP]
    for person in sorted(map(person_of, coded)):
        await transaction.fetch_one("lock_person", *person)
    steps = sorted((grant.factor_id, grant.time_step) for grant in coded)
    advanced = {row[0] for row in await transaction.fetch_many("spend_steps", steps)}
    late = {person_of(grant) for grant in coded if grant.factor_id not in advanced}
    refused |= {
        grant.prompt.id: GrantRefused.STEP_SPENT for proof in good for grant in proof if person_of(grant) in late
    }
    spent = [grant for grant in spent if person_of(grant) not in late]
    await transaction.execute_many(
        "use_factors",
        [
            (
                grant.factor_id,
                grant.sign_count,
                grant.backed_up,
                to_micros(grant.issued_at),
                used_factor_mac(transaction.macs, factors[grant.factor_id], grant.sign_count),
            )
            for grant in sorted(spent, key=lambda grant: grant.factor_id)
        ],
    )
    await transaction.execute_many("clear_attempts", sorted((*person_of(grant), grant.bucket) for grant in spent))
    for grant in grants:
        if refused[grant.prompt.id] is None:
            transaction.append(grant.event)
    return refused


def person_of(grant: TokenGrant) -> tuple[str, str]:
    """Return whose grant it is."""
    return grant.prompt.workspace_id, grant.prompt.subject_id


def _owned(grant: TokenGrant, factor: Row | None) -> tuple[str, int | None] | None:
    """Return kind and sign count of a row of ``lock_factors``, None when it is not the person's."""
    return (factor[3], factor[4]) if factor is not None and tuple(factor[1:3]) == person_of(grant) else None


async def revoke_session(
    transaction: Transaction, workspace_id: str, subject_id: str, session: str, now: datetime
) -> None:
    """Cancel prompts and approvals of a session and revoke its unredeemed tokens."""
    end = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.SIGNED_OUT, at=now)
    await approvals.end_all(transaction, workspace_id, subject_id, session, end)
    rows = await transaction.fetch_all("cancel_prompts_of_session", workspace_id, subject_id, session)
    tokens = sorted(row[0] for row in rows if row[0] is not None)
    await transaction.execute_many("revoke_tokens", [(token, "session") for token in tokens])


async def revoke_all(transaction: Transaction, event: AuditEvent | None) -> None:
    """Begin a new epoch: no prompt and no token of an earlier one counts. Redemptions already begun come before."""
    await transaction.lock_epoch()
    await transaction.execute("begin_epoch")
    if event is not None:
        transaction.append(event)
