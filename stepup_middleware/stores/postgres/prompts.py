"""Prompts, their challenges, and the count of attempts."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping, Sequence
from datetime import datetime

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import EnrolledFactor
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import (
    ONE_FLOOD_EVENT_PER,
    PROMPT_LIFETIME,
    Asked,
    NoFactor,
    Prompt,
    PromptState,
    asking_event,
    flood_event,
)
from stepup_middleware.core.prompts import ask as decide_prompt
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import AttemptLimit, TooMany
from stepup_middleware.stores.proofs import count_attempt
from stepup_middleware.stores.rows import prompt_row

from .factors import factors_of, policies_of
from .parameters import columns
from .transaction import Transaction

Session = tuple[str, str, str]


def _lock_key(session: Session) -> int:
    """Return a 32-bit signed key; that two sessions share one only makes them wait for each other."""
    key = crc32("\0".join(session).encode("utf-8", "surrogatepass"))
    return key - 2**32 if key >= 2**31 else key


def decide(
    transaction: Transaction,
    asked: Asked,
    policies: Mapping[str, StoredPolicy],
    factors: Mapping[tuple[str, str], Sequence[EnrolledFactor]],
) -> Prompt | NoFactor:
    """Decide a prompt and write the events of asking, not the prompt."""
    workspace, subject, _ = asked.asker
    result = decide_prompt(asked, policies.get(workspace, StoredPolicy()), factors.get((workspace, subject), ()))
    for event in asked.also:
        transaction.append(event)
    transaction.append(asking_event(asked, result))
    return result


async def ask_all(transaction: Transaction, batch: Sequence[tuple[Asked, int]]) -> list[Prompt | NoFactor | TooMany]:
    """Decide the prompts of a batch from the policies and the factors of this transaction, and write them.

    Each comes with the limit of open prompts. Sessions are locked, so that no two nodes count the same.
    """
    sessions = [asked.asker for asked, _ in batch]
    await transaction.rows("lock_sessions", sorted({_lock_key(session) for session in sessions}))
    counting = columns([(*asked.asker, to_micros(asked.now)) for asked, _ in batch], 4)
    found = await transaction.rows("open_prompts", *counting)
    policies = await policies_of(transaction, sorted({session[0] for session in sessions}))
    factors = await factors_of(transaction, sorted({session[:2] for session in sessions}))
    added: dict[Session, list[int]] = {}
    written: list[Prompt] = []
    answers: list[Prompt | NoFactor | TooMany] = []
    for (asked, open_limit), (_, count, soonest) in zip(batch, found, strict=True):
        session = asked.asker
        ends = added.setdefault(session, [])
        if count + len(ends) >= open_limit:
            await _tell_refusal(transaction, asked)
            first = min((end for end in (soonest, *ends) if end is not None), default=None)
            # a limit of zero has no prompt whose end could be waited for
            retry_after = ONE_FLOOD_EVENT_PER if first is None else from_micros(first) - asked.now
            answers.append(TooMany(retry_after=retry_after))
            continue
        result = decide(transaction, asked, policies, factors)
        until = to_micros(asked.now + PROMPT_LIFETIME)
        ends.append(until)
        if isinstance(result, Prompt):
            written.append(result)
        else:
            await transaction.changed("count_blocked_request", *session, to_micros(asked.now), until)
        answers.append(result)
    await transaction.many("insert_prompts", [prompt_row(prompt) for prompt in written])
    return answers


async def _tell_refusal(transaction: Transaction, asked: Asked) -> None:
    # D01, D02: a flood leaves one event a minute, with the number of those it stands for
    key = asked.asker
    logged_at, unlogged = await transaction.row("read_refused_session", *key) or (None, 0)
    if logged_at is not None and abs(asked.now - from_micros(logged_at)) < ONE_FLOOD_EVENT_PER:
        await transaction.changed("note_refused_session", *key, logged_at, unlogged + 1)
        return
    await transaction.changed("note_refused_session", *key, to_micros(asked.now), 0)
    transaction.append(flood_event(asked, also_refused_before=unlogged))


async def set_challenge(transaction: Transaction, prompt_id: str, challenge: PendingChallenge, now: datetime) -> bool:
    """Set the pending challenge of an open prompt."""
    changed = await transaction.changed(
        "set_challenge",
        prompt_id,
        to_micros(now),
        challenge.nonce,
        challenge.factor_ids,
        to_micros(challenge.expires_at),
    )
    return changed == 1


async def pop_challenge(transaction: Transaction, prompt_id: str, now: datetime) -> PendingChallenge | None:
    """Take the pending challenge of an open prompt."""
    found = await transaction.row("pop_challenge", prompt_id, to_micros(now))
    if found is None:
        return None
    nonce, factors, expires_at = found
    return PendingChallenge(nonce=nonce, factor_ids=tuple(factors), expires_at=from_micros(expires_at))


async def cancel(transaction: Transaction, prompt_id: str, event: AuditEvent, now: datetime) -> bool:
    """Cancel a prompt that is open, or proved with a token that nobody redeemed and that has not expired."""
    found = await transaction.row("prompt_to_cancel", prompt_id)
    if found is None:
        return False
    state, expires_at, token = found
    at = to_micros(now)
    if state == PromptState.OPEN:
        if expires_at <= at:
            return False
    elif not await transaction.changed("cancel_token", token, at):
        return False
    await transaction.changed("cancel_prompt", prompt_id)
    transaction.append(event)
    return True


async def reserve_attempt(
    transaction: Transaction, workspace_id: str, subject_id: str, bucket: str, limit: AttemptLimit, now: datetime
) -> TooMany | None:
    """Count an attempt before it is judged, or refuse it while its bucket is closed."""
    key = (workspace_id, subject_id, bucket)
    counted = count_attempt(await transaction.row("read_attempts", *key), limit, now)
    if isinstance(counted, TooMany):
        return counted
    if await transaction.changed("count_attempt", *key, *counted) != 1:
        raise StoreError("the attempt was not counted")
    return None
