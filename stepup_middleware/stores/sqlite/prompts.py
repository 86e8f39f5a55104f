"""Prompts, their challenges, and the count of attempts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.prompts import (
    PROMPT_LIFETIME,
    Asked,
    NoFactor,
    Prompt,
    PromptState,
    asking_event,
    flood_event,
)
from stepup_middleware.core.prompts import ask as decide_prompt
from stepup_middleware.stores.base import AttemptLimit, TooMany
from stepup_middleware.stores.proofs import count_attempt
from stepup_middleware.stores.rows import prompt_row

from .factors import enrolled
from .policies import read_policy
from .transaction import Transaction

_ONE_EVENT_PER = timedelta(minutes=1)


def ask(transaction: Transaction, asked: Asked, open_limit: int) -> Prompt | NoFactor | TooMany:
    """Decide a prompt from the policy and the factors of this transaction, and write it."""
    subject = asked.subject
    now = to_micros(asked.now)
    taken, soonest = _places_taken(transaction, asked)
    if taken >= open_limit:
        _tell_refusal(transaction, asked)
        # a limit of zero has no prompt whose end could be waited for
        return TooMany(retry_after=_ONE_EVENT_PER if soonest is None else from_micros(soonest) - asked.now)
    result = decide(transaction, asked)
    if isinstance(result, Prompt):
        transaction.run("insert_prompt", (transaction.epoch, *prompt_row(result)))
    else:
        transaction.run(
            "count_blocked_request",
            {
                "workspace": subject.workspace_id,
                "subject": subject.id,
                "session": subject.session,
                "now": now,
                "until": to_micros(asked.now + PROMPT_LIFETIME),
            },
        )
    return result


def decide(transaction: Transaction, asked: Asked) -> Prompt | NoFactor:
    """Decide a prompt and write the events of asking, not the prompt."""
    subject = asked.subject
    policy = read_policy(transaction, subject.workspace_id)
    result = decide_prompt(asked, policy, enrolled(transaction, subject.workspace_id, subject.id))
    for event in asked.also:
        transaction.append(event)
    transaction.append(asking_event(asked, result))
    return result


def _places_taken(transaction: Transaction, asked: Asked) -> tuple[int, int | None]:
    """Return how many places of the session's limit are taken, and when the first of them is free again."""
    now = to_micros(asked.now)
    session = (asked.subject.workspace_id, asked.subject.id, asked.subject.session)
    prompts, soonest = transaction.row("open_prompts", (*session, now, transaction.epoch)) or (0, None)
    blocked, until = transaction.row("blocked_requests", (*session, now)) or (0, None)
    return prompts + blocked, min((end for end in (soonest, until) if end is not None), default=None)


def _tell_refusal(transaction: Transaction, asked: Asked) -> None:
    # D01, D02: a flood leaves one event a minute, with the number of those it stands for
    subject = asked.subject
    key = (subject.workspace_id, subject.id, subject.session)
    logged_at, unlogged = transaction.row("read_refused_session", key) or (None, 0)
    if logged_at is not None and abs(asked.now - from_micros(logged_at)) < _ONE_EVENT_PER:
        transaction.run("note_refused_session", (*key, logged_at, unlogged + 1))
        return
    transaction.run("note_refused_session", (*key, to_micros(asked.now), 0))
    transaction.append(flood_event(asked, also_refused_before=unlogged))


def set_challenge(transaction: Transaction, prompt_id: str, challenge: PendingChallenge, now: datetime) -> bool:
    """Set the pending challenge of an open prompt."""
    return bool(
        transaction.changed(
            "set_challenge",
            {
                "id": prompt_id,
                "nonce": challenge.nonce,
                "factors": json.dumps(challenge.factor_ids),
                "expires_at": to_micros(challenge.expires_at),
                "now": to_micros(now),
                "epoch": transaction.epoch,
            },
        )
    )


def pop_challenge(transaction: Transaction, prompt_id: str, now: datetime) -> PendingChallenge | None:
    """Take the pending challenge of an open prompt."""
    found = transaction.row("read_challenge", (prompt_id, to_micros(now), transaction.epoch))
    if found is None:
        return None
    transaction.run("clear_challenge", (prompt_id,))
    nonce, factors, expires_at = found
    return PendingChallenge(nonce=nonce, factor_ids=tuple(json.loads(factors)), expires_at=from_micros(expires_at))


def cancel(transaction: Transaction, prompt_id: str, event: AuditEvent, now: datetime) -> bool:
    """Cancel a prompt that is open, or proved with a token that nobody redeemed and that has not expired."""
    found = transaction.row("prompt_to_cancel", (prompt_id, transaction.epoch))
    if found is None:
        return False
    state, expires_at, token = found
    at = to_micros(now)
    if state == PromptState.OPEN:
        if expires_at <= at:
            return False
    elif not transaction.changed("cancel_token", (token, at)):
        return False
    transaction.run("cancel_prompt", (prompt_id,))
    transaction.append(event)
    return True


def reserve_attempt(
    transaction: Transaction, workspace_id: str, subject_id: str, bucket: str, limit: AttemptLimit, now: datetime
) -> TooMany | None:
    """Count an attempt before it is judged, or refuse it while its bucket is closed."""
    key = (workspace_id, subject_id, bucket)
    counted = count_attempt(transaction.row("read_attempts", key), limit, now)
    if isinstance(counted, TooMany):
        return counted
    transaction.run("count_attempt", (*key, *counted))
    return None
