"""The kit for adopters' tests: a clock that stands still, and the one-time codes of its moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp

from stepup_middleware.ceremonies.totp import DIGITS, PERIOD_SECONDS

__all__ = ["FixedClock", "totp_code"]


class FixedClock:
    """A clock for ``StepUp(clock=...)`` that moves only when a test moves it.

    ``start`` is an aware datetime; noon UTC of 2026-11-24 if left out. Calling the clock returns the
    current time in UTC.
    """

    def __init__(self, start: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)) -> None:
        self.set(start)

    def __call__(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        """Jump to an aware datetime, forwards or backwards. Raises ``ValueError`` for a naive one."""
        if now.utcoffset() is None:
            raise ValueError("a clock shows aware datetimes")
        self._now = now.astimezone(UTC)

    def advance(self, by: timedelta | float) -> datetime:
        """Move by a timedelta or a number of seconds, which may be negative, and return the new time."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)
        return self._now


def totp_code(secret: str, now: datetime) -> str:
    """Return the code that an authenticator app shows for a base32 secret at this aware time (RFC 6238)."""
    if now.utcoffset() is None:
        raise ValueError("now must be aware")
    return pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD_SECONDS).at(now)
