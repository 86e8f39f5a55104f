"""Bounds what a session that is refused again and again writes to the log: some records, then a count."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from datetime import datetime, timedelta

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.replays import worth_logging
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.records import Records

WINDOW = timedelta(minutes=5)
LOGGED_EACH = 32  # events of one session and reason that are all logged; of further ones each power of ten
REFUSED_PRESENTATIONS = 64  # of one session in a window; then its tokens are not looked at
MOST_SESSIONS = 10_000  # that are remembered at once

_Key = tuple[str, str, str, str]


class RefusalThrottle:
    """Counts refusals per session and reason, in this process, for five minutes each.

    Records that the log needs for its own sake are never counted here: attempts that are judged are bounded by their
    buckets, prompts by the session's limit, replays by their token. This is for refusals that nothing else bounds.
    """

    def __init__(self, store: Records) -> None:
        self._store = store
        self._counts: OrderedDict[_Key, tuple[datetime, int]] = OrderedDict()  # oldest window first

    async def log(self, subject: Subject, event: AuditEvent, *, of_person: bool = False) -> None:
        """Write a refusal to the log, unless its session has had so many that only the count matters (D02).

        ``of_person``: all sessions of the person count as one, for what is bounded for the person.
        """
        key = _key(subject, event.reason)
        count = self._count((*key[:2], "", event.reason) if of_person else key, event.at)
        if count > LOGGED_EACH:
            if not worth_logging(count):
                return
            event = replace(event, data={**event.data, "count": count})
        await self._store.append([event])

    def refused(self, subject: Subject, now: datetime) -> None:
        """Count a token that was presented and refused."""
        self._count(_key(subject, "presentation"), now)

    def closed(self, subject: Subject, now: datetime) -> timedelta | None:
        """Return for how long no token of this session is looked at; None when they are."""
        began, count = self._counts.get(_key(subject, "presentation"), (now, 0))
        left = began + WINDOW - now
        return left if count >= REFUSED_PRESENTATIONS and timedelta(0) < left <= WINDOW else None

    def _count(self, key: _Key, now: datetime) -> int:
        while self._counts and not _within(next(iter(self._counts.values()))[0], now):
            self._counts.popitem(last=False)
        began, count = self._counts.get(key, (now, 0))
        if not _within(began, now):
            del self._counts[key]  # so that it comes behind the others again
            began, count = now, 0
        self._counts[key] = (began, count + 1)
        if len(self._counts) > MOST_SESSIONS:
            self._counts.popitem(last=False)
        return count + 1


def _key(subject: Subject, reason: str) -> _Key:
    return (subject.workspace_id, subject.id, subject.session, reason)


def _within(began: datetime, now: datetime) -> bool:
    return began <= now < began + WINDOW
