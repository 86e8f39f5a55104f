"""Prompts, their challenges, and the count of attempts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

from stepup_middleware.core.attempts import AttemptLimit, TooMany, count_attempt
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import EnrolledFactor, FactorKind
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import (
    ONE_FLOOD_EVENT_PER,
    PROMPT_LIFETIME,
    NoFactor,
    Prompt,
    PromptRequest,
    PromptState,
    asking_event,
    flood_event,
)
from stepup_middleware.core.prompts import ask as decide_prompt
from stepup_middleware.core.recovery import Hold
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.recovery_rows import hold_of
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import PROMPTS

from .enrolled import enrolled
from .policies import policy_of, read_policy
from .recovery import read_hold
from .transaction import Transaction

Asking = tuple[PromptRequest, int]  # and the limit of open prompts


async def decide(transaction: Transaction, asked: PromptRequest) -> Prompt | NoFactor:
    """Decide a prompt and write the events of asking, not the prompt."""
    workspace, subject, _ = asked.asker
    policy = await read_policy(transaction, workspace)
    hold = await read_hold(transaction, workspace, subject, asked.now)
    return _decide(transaction, asked, policy, await enrolled(transaction, workspace, subject), hold)


def _decide(
    transaction: Transaction,
    asked: PromptRequest,
    policy: StoredPolicy,
    factors: Sequence[EnrolledFactor],
    hold: Hold | None,
) -> Prompt | NoFactor:
    result = decide_prompt(asked, policy, factors, hold)
    for event in asked.extra_events:
        transaction.append(event)
    transaction.append(asking_event(asked, result))
    return result


async def ask_all(transaction: Transaction, batch: Sequence[Asking]) -> list[Prompt | NoFactor | TooMany]:
    """Decide what a batch asks from the policies and the factors of this transaction, and write the prompts.

    Sessions are locked, so that no two nodes count the same.
    """
    askers = [asked.asker for asked, _ in batch]
    await transaction.lock(["\0".join(asker) for asker in askers])
    rows = [(place, *askers[place], to_micros(asked.now)) for place, (asked, _) in enumerate(batch)]
    answers: list[Prompt | NoFactor | TooMany] = []
    written: list[Row] = []
    macs = transaction.macs
    taken: dict[tuple[str, str, str], list[int]] = {}  # in this batch, by session: until when, each
    found = sorted(await transaction.fetch_many("read_for_asking", rows), key=itemgetter(0))
    for place, prompts, blocked, row, last_change, factors, held in found:
        (asked, limit), asker = batch[place], askers[place]
        ends = taken.setdefault(asker, [])
        places, soonest = prompts
        if blocked is not None:
            places, soonest = places + blocked[0], min(soonest or blocked[1], blocked[1])
        if places + len(ends) >= limit:
            await _tell_refusal(transaction, asked)
            first = min(ends if soonest is None else [*ends, soonest], default=None)
            # a limit of zero has no prompt whose end could be waited for
            pause = ONE_FLOOD_EVENT_PER if first is None else from_micros(first) - asked.now
            answers.append(TooMany(retry_after=pause))
            continue
        policy, tampered = policy_of(macs, asker[0], asked_policy_row(row), last_change)
        transaction.tampered += tampered
        hold = hold_of(*asker[:2], held, asked.now)
        enrolled_now = [EnrolledFactor(id_, FactorKind(kind)) for id_, kind in factors]
        result = _decide(transaction, asked, policy, enrolled_now, hold)
        until = to_micros(asked.now + PROMPT_LIFETIME)
        ends.append(until)
        if isinstance(result, Prompt):
            written.append(PROMPTS.sealed(macs, _row(result)))
        else:
            await transaction.execute("count_blocked_request", *asker, to_micros(asked.now), until)
        answers.append(result)
    await transaction.execute_many("insert_prompts", written)
    return answers


def _row(prompt: Prompt) -> Row:
    """Return the row of a new prompt, but for its epoch."""
    return (
        prompt.id,
        prompt.workspace_id,
        prompt.subject_id,
        prompt.session,
        to_micros(prompt.created_at),
        to_micros(prompt.expires_at),
        canonical_json(prompt.kept()),
    )


def asked_policy_row(row: Row | None) -> Row | None:
    """Return the row of ``POLICIES`` of its texts in ``read_for_asking``, the MAC in hexadecimal."""
    if row is None:
        return None
    workspace, version, requirements, mac = row
    try:
        return workspace, int(version), requirements, bytes.fromhex(mac)
    except (TypeError, ValueError):  # a value of a type that no honest writer gave it
        return workspace, 0, requirements, b""


async def _tell_refusal(transaction: Transaction, asked: PromptRequest) -> None:
    # D01, D02: a flood leaves one event a minute, with the number of those it stands for
    key = asked.asker
    logged_at, unlogged = await transaction.fetch_one("read_refused_session", *key) or (None, 0)
    if logged_at is not None and abs(asked.now - from_micros(logged_at)) < ONE_FLOOD_EVENT_PER:
        await transaction.execute("note_refused_session", *key, logged_at, unlogged + 1)
        return
    await transaction.execute("note_refused_session", *key, to_micros(asked.now), 0)
    transaction.append(flood_event(asked, also_refused_before=unlogged))


async def set_challenge(transaction: Transaction, prompt_id: str, challenge: PendingChallenge, now: datetime) -> bool:
    """Set the pending challenge of an open prompt."""
    factors, until = json.dumps(challenge.factor_ids), to_micros(challenge.expires_at)
    return bool(await transaction.execute("set_challenge", prompt_id, to_micros(now), challenge.nonce, factors, until))


async def pop_challenge(transaction: Transaction, prompt_id: str, now: datetime) -> PendingChallenge | None:
    """Take the pending challenge of an open prompt."""
    found = await transaction.fetch_one("lock_challenge", prompt_id, to_micros(now))
    if found is None:
        return None
    await transaction.execute("clear_challenge", prompt_id)
    nonce, factors, expires_at = found
    return PendingChallenge(nonce=nonce, factor_ids=tuple(json.loads(factors)), expires_at=from_micros(expires_at))


async def cancel(transaction: Transaction, prompt_id: str, event: AuditEvent | None, now: datetime) -> bool:
    """Cancel a prompt that is open, or proved with a token that nobody redeemed and that has not expired."""
    found = await transaction.fetch_one("prompt_to_cancel", prompt_id)
    if found is None:
        return False
    state, expires_at, token = found
    at = to_micros(now)
    if state == PromptState.OPEN:
        if expires_at <= at:
            return False
    elif not await transaction.execute("cancel_token", token, at):
        return False
    await transaction.execute("cancel_prompt", prompt_id)
    if event is not None:
        transaction.append(event)
    return True


async def reserve_attempt(
    transaction: Transaction, workspace_id: str, subject_id: str, bucket: str, limit: AttemptLimit, now: datetime
) -> TooMany | None:
    """Count an attempt before it is judged, or refuse it while its bucket is closed."""
    key = (workspace_id, subject_id, bucket)
    counted = count_attempt(await transaction.fetch_one("lock_attempts", *key), limit, now)
    if isinstance(counted, TooMany):
        return counted
    if await transaction.execute("count_attempt", *key, *counted) != 1:
        raise StoreError("the attempt was not counted")
    return None
