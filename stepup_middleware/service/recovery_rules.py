"""The settings of first factors, resets and recovery, checked where a ``StepUp`` is built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from stepup_middleware.core.recovery import FirstFactor, Hold
from stepup_middleware.errors import ConfigurationError

LONGEST_HOLD = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryRules:
    """What a first factor takes, whether there are recovery codes, how long a hold is, whether a reset needs two."""

    first_factor: FirstFactor = FirstFactor.RECENT_SIGN_IN
    recovery_codes: bool = False
    recovery_hold: timedelta = timedelta(hours=24)
    reset_needs_two: bool = False

    def hold(self, workspace_id: str, subject_id: str, now: datetime) -> Hold | None:
        """Return the hold that begins now, None where there is none."""
        if not self.recovery_hold:
            return None
        return Hold(workspace_id=workspace_id, subject_id=subject_id, until=now + self.recovery_hold)


def checked_rules(
    *, first_factor: object, recovery_codes: object, recovery_hold: object, reset_needs_two: object
) -> RecoveryRules:
    """Return the rules. Raises ``ConfigurationError`` for a setting that says nothing."""
    try:
        first = FirstFactor(str(first_factor))
    except ValueError:
        words = ", ".join(repr(each.value) for each in FirstFactor)
        raise ConfigurationError(f"first_factor is one of {words}, not {first_factor!r}") from None
    for name, value in (("recovery_codes", recovery_codes), ("reset_needs_two", reset_needs_two)):
        if type(value) is not bool:
            raise ConfigurationError(f"{name} is True or False, not {value!r}")
    if not isinstance(recovery_hold, timedelta) or not timedelta(0) <= recovery_hold <= LONGEST_HOLD:
        raise ConfigurationError(
            f"recovery_hold is a timedelta of at most 30 days, such as timedelta(hours=24), not {recovery_hold!r}"
        )
    return RecoveryRules(
        first_factor=first,
        recovery_codes=bool(recovery_codes),
        recovery_hold=recovery_hold,
        reset_needs_two=bool(reset_needs_two),
    )
