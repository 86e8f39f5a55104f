"""How long things are kept, and whether to believe a clock that says their time is over.

A purge is the one act that a wrong clock turns into a loss for good: a day on which the clock stands eleven
years ahead must delete nothing. The log has its times from that same clock, so a purge is
measured against the purge before it.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

PROMPTS_STAY = timedelta(hours=1)  # after they expired
TOKENS_STAY = timedelta(days=30)  # likewise: until then a replay is known for what it is
ALERTS_STAY = timedelta(days=30)  # how long a critical alert waits for its sinks
ALERT_LEASE = timedelta(minutes=1)  # how long the process that wrote an alert has to hand it over, before another may

CLOCKS_DIFFER = timedelta(minutes=5)  # how far the clocks of honest nodes may lie apart
LONGEST_LEAP = timedelta(days=45)  # between two purges that no person confirms: a month, and some days

_YEARS = re.compile(r".*/P(\d+)Y", re.DOTALL)


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


def retention_of(chain: str) -> int | None:
    """Return the years that a chain's records are kept, by its name (``core.chain.chain_name``)."""
    found = _YEARS.fullmatch(chain)
    return None if found is None else int(found[1])


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


def purgeable(oldest: Iterable[tuple[int, datetime]], years: int, now: datetime) -> int | None:
    """Return the last link of the part of a chain that may go; None when nothing may.

    ``oldest`` are the links of the chain from its beginning, with their times. A record from a clock that
    stood ahead bears a time that has not come: it was written no later than the last of its neighbours
    whose time has, and does not hold up the others (A13).
    """
    rows = list(oldest)
    latest = max((at for _, at in rows if at <= now), default=None)
    last = None
    for link, at in rows:
        written = at if at <= now else latest
        if written is None or now < later_by_years(written, years):
            break
        last = link
    return last
