"""What stands against a proof: the attempts before it, and the factor behind it."""

from __future__ import annotations

from datetime import datetime

from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.errors import StoreError

from .base import AttemptLimit, GrantRefused, TokenGrant, TooMany
from .rows import Row

_FOR_GOOD = 2**62  # microseconds: a bucket that only a new enrolment opens


def count_attempt(bucket: Row | None, limit: AttemptLimit, now: datetime) -> tuple[int, int] | TooMany:
    """Return the bucket with one more attempt in it, or that it is closed.

    A bucket is how many attempts failed in a row, and the microsecond until which it is closed.
    """
    failed, closed_until = bucket or (0, 0)
    if closed_until >= _FOR_GOOD:
        return TooMany(retry_after=limit.longest)
    if to_micros(now) < closed_until:
        return TooMany(retry_after=from_micros(closed_until) - now)
    pause = limit.closed_for(failed + 1)
    return failed + 1, _FOR_GOOD if pause is None else to_micros(now + pause)


def factor_refusal(grant: TokenGrant, factor: Row | None) -> GrantRefused | None:
    """Return what the person's factor (kind and sign count) has against a grant, but for a spent time-step.

    Raises ``StoreError`` for half a proof.
    """
    if factor is None or factor[0] != grant.factor_kind or grant.factor_id not in grant.prompt.factor_ids:
        return GrantRefused.FACTOR_GONE
    if grant.factor_kind is FactorKind.TOTP:
        if grant.time_step is None:
            raise StoreError("a one-time password was granted without its time-step")
        return None
    if grant.sign_count is None or grant.expected_sign_count is None:
        raise StoreError("an assertion was granted without its sign count")
    return None if factor[1] == grant.expected_sign_count else GrantRefused.SIGN_COUNT_MOVED
