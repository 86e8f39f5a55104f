"""How long things are kept, and whether to believe a clock that says their time is over.

A purge is the one act that a wrong clock turns into a loss for good: a day on which the clock stands eleven
years ahead must delete nothing. The log has its times from that same clock, so a purge is
measured against the purge before it.
"""

from __future__ import annotations

from calendar import isleap
from dataclasses import dataclass
from datetime import datetime, timedelta

from .topics import Topic

PROMPTS_STAY = timedelta(hours=1)  # after they expired
TOKENS_STAY = timedelta(days=30)  # likewise: until then a replay is known for what it is
# how long what was not handed over waits for its sinks; of a factor that changed a week ago nobody is told any more
DELIVERIES_STAY = {Topic.ALERT: timedelta(days=30), Topic.NOTICE: timedelta(days=7)}
DELIVERY_LEASE = timedelta(minutes=1)  # how long the process that wrote it has to hand it over, before another may
DELIVERIES_LATE = timedelta(minutes=1)  # how old it is when every sink should have taken it

CLOCKS_DIFFER = timedelta(minutes=5)  # how far the clocks of honest nodes may lie apart
LONGEST_LEAP = timedelta(days=45)  # between two purges that no person confirms: a month, and some days


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What one bounded purge removed."""

    events: int = 0
    prompts: int = 0
    tokens: int = 0
    more: bool = False
    anomalies: tuple[str, ...] = ()


def later_by_years(moment: datetime, years: int) -> datetime:
    """Return the same moment so many calendar years later; for 29 February, where there is none, 1 March."""
    if moment.month == 2 and moment.day == 29 and not isleap(moment.year + years):
        return moment.replace(year=moment.year + years, month=3, day=1)
    return moment.replace(year=moment.year + years)


def clock_anomaly(
    now: datetime, *, newest: datetime | None, before: datetime | None, clock_confirmed: bool = False
) -> str | None:
    """Return why a purge must not believe ``now``, None when it may.

    ``newest`` is the time of the newest record; ``before`` that of the last purge, or of the oldest record
    where nothing was ever purged. ``clock_confirmed``: a person said what day it is.
    """
    if clock_confirmed:
        return None
    if newest is not None and now < newest - CLOCKS_DIFFER:
        return f"the clock says {now.isoformat()}, which is before the newest audit record, of {newest.isoformat()}"
    if before is not None and now < before - CLOCKS_DIFFER:
        return f"the clock says {now.isoformat()}, which is before the last purge, of {before.isoformat()}"
    if before is not None and now - before > LONGEST_LEAP:
        return (
            f"the clock says {now.isoformat()}, which is {(now - before).days} days after the last purge (or the "
            f"beginning of the log), of {before.isoformat()}"
        )
    return None
