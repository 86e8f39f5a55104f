"""How often a person may fail: attempts are counted before they are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stepup_middleware.errors import ConfigurationError

from .moments import from_micros, to_micros

_FOR_GOOD = 2**62  # microseconds: a bucket that only a new enrolment opens


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimit:
    """How many failures in a row are free, and how long the pause after more.

    After ``failures`` consecutive failures each further one closes the bucket for ``pause``, doubled with
    every failure up to ``longest``; at ``disable_at`` failures it stays closed (NIST SP 800-63B-4 §3.2.2:
    at most 100) until the factor is enrolled anew. None: it never closes for good, for a proof that cannot be guessed.
    Raises ``ConfigurationError`` for values that set no bound.
    """

    failures: int = 5
    pause: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    disable_at: int | None = 100

    def __post_init__(self) -> None:
        numbers = [self.failures] if self.disable_at is None else [self.failures, self.disable_at]
        spans = (self.pause, self.longest)
        if any(type(number) is not int or number < 1 for number in numbers):
            raise ConfigurationError("AttemptLimit: failures and disable_at are whole numbers from 1 on")
        if any(not isinstance(span, timedelta) or span <= timedelta(0) for span in spans) or self.longest < self.pause:
            raise ConfigurationError("AttemptLimit: pause and longest are positive timedeltas, longest the longer one")

    def closed_for(self, failed: int) -> timedelta | None:
        """Return the pause after the n-th failure in a row: zero, a time, or None for closed for good."""
        if self.disable_at is not None and failed >= self.disable_at:
            return None
        if failed < self.failures:
            return timedelta(0)
        return min(self.pause * int(2 ** min(failed - self.failures, 16)), self.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """Refused for now: the caller may come back after ``retry_after``."""

    retry_after: timedelta


def count_attempt(bucket: Sequence[int] | None, limit: AttemptLimit, now: datetime) -> tuple[int, int] | TooMany:
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
