"""A query of SQLite's log returns what a plain scan returns, and looks at little besides."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import AuditEvent, EventName, Outcome
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.stores.sqlite.query import statement
from stepup_middleware.testing.contract.values import MACS, NOW, all_records, event

EVENTS = (EventName.VERIFIED, EventName.FAILED, EventName.ACTION_AUTHORIZED, EventName.REUSED)
STEP = timedelta(seconds=10)


def log_of(count: int, chance: Random) -> list[AuditEvent]:
    """Make events by chance: of two persons in three workspaces, one seldom; clocks go back now and then.

    A prompt is proved at most once, as the log demands: a further proof names none.
    """
    proved: set[str] = set()

    def named() -> tuple[EventName, str]:
        name = chance.choices(EVENTS, (50, 5, 44, 1))[0]
        prompt = chance.choice(("", *(f"p{one}" for one in range(count // 4))))
        if name is EventName.VERIFIED and prompt in proved:
            prompt = ""
        elif name is EventName.VERIFIED and prompt:
            proved.add(prompt)
        return name, prompt

    return [
        event(
            name,
            at=NOW + STEP * (number - (chance.randrange(9) if chance.random() < 0.05 else 0)),
            workspace_id=chance.choices(("w-1", "w-2", "w-3"), (8, 1, 1))[0],
            subject_id=chance.choices(("x", "y"), (99, 1))[0],
            purpose=chance.choice(("", "a", "b", "c")),
            prompt_id=prompt,
            outcome=chance.choices((None, *Outcome), (95, 1, 1, 1, 1, 1))[0],
        )
        for number in range(count)
        for name, prompt in [named()]
    ]


def matches(record: AuditRecord, workspace: str | None, wanted: AuditFilter) -> bool:
    """Tell what a plain scan would."""
    return (
        workspace in (None, record.workspace_id)
        and wanted.event in (None, record.event)
        and wanted.purpose in (None, record.purpose)
        and wanted.subject in (None, record.subject_id)
        and wanted.outcome in (None, record.outcome)
        and wanted.prompt in (None, record.prompt_id)
        and (wanted.since is None or record.at >= wanted.since)
        and (wanted.until is None or record.at < wanted.until)
    )


async def test_whatever_is_asked_a_query_returns_what_a_plain_scan_returns(tmp_path: Path) -> None:
    chance = Random(3)  # noqa: S311 - questions, no secret
    count = 400
    async with SQLiteStore(tmp_path / "stepup.db", timeout=timedelta(seconds=30)).use(MACS) as store:
        await store.append(log_of(count, chance))
        records = await all_records(store)

        def moment() -> datetime | None:
            return chance.choice((None, None, NOW + STEP * chance.randrange(-5, count + 5)))

        found = 0
        for number in range(1_500):
            wanted = AuditFilter(
                event=chance.choice((None, *EVENTS, EventName.POLICY_CHANGED)),
                purpose=chance.choice((None, None, "", "a", "nowhere")),
                subject=chance.choice((None, None, "x", "y", "nobody")),
                outcome=chance.choice((None, None, *Outcome)),
                since=moment(),
                until=moment(),
                prompt=chance.choice((None, None, None, "", chance.choice(records).prompt_id)),
            )
            workspace = chance.choice((None, "w-1", "w-2", "nowhere"))
            cursor, limit = chance.randrange(count + 3), chance.choice((1, 5, 500))
            matching = [record.seq for record in records if matches(record, workspace, wanted)]
            upward = await store.audit_after(workspace, wanted, after=cursor, limit=limit)
            assert [one.seq for one in upward] == [seq for seq in matching if seq > cursor][:limit], (number, wanted)
            page = await store.audit_page(workspace, wanted, before=cursor, limit=limit)
            older = [seq for seq in reversed(matching) if seq < cursor]
            assert [one.seq for one in page.events] == older[:limit], (number, wanted)
            assert page.next == (older[limit - 1] if len(older) > limit else None), (number, wanted)
            found += len(upward)
    assert found > 500  # most questions are narrow


def steps_of(connection: sqlite3.Connection, wanted: AuditFilter, *, newest_first: bool) -> int:
    """Return how many hundreds of steps SQLite's machine takes for a page of fifty."""
    text, parameters = statement("w-1", wanted, first=None, end=None, newest_first=newest_first, limit=51)
    steps = 0

    def tick() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(tick, 100)
    connection.execute(text, parameters).fetchall()
    connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("newest_first", [True, False])
async def test_no_combination_of_filters_looks_at_more_of_a_longer_log(tmp_path: Path, newest_first: bool) -> None:
    middle = NOW + STEP * 500
    choices = (
        (None, EventName.ACTION_AUTHORIZED, EventName.REUSED, EventName.POLICY_CHANGED),
        (None, "a", "nowhere"),
        (None, "x", "y", "nobody"),
        (None, Outcome.SUCCESS, Outcome.FAILURE),
        (None, middle),
        (None, middle + STEP * 100),
        (None, "p7"),
    )
    steps: dict[int, list[int]] = {}
    for count in (1_000, 10_000):
        path = tmp_path / f"{count}.db"
        async with SQLiteStore(path, timeout=timedelta(seconds=30)).use(MACS) as store:
            await store.append(log_of(count, Random(5)))  # noqa: S311 - events, no secret
        with closing(sqlite3.connect(path)) as connection:
            steps[count] = [
                steps_of(
                    connection,
                    AuditFilter(
                        event=kind, purpose=purpose, subject=who, outcome=how, since=since, until=to, prompt=id_
                    ),
                    newest_first=newest_first,
                )
                for kind, purpose, who, how, since, to, id_ in itertools.product(*choices)
            ]
    assert max(steps[10_000]) < 200  # a plain scan of ten thousand takes more than five times as many
    assert max(steps[10_000]) < 1.5 * max(steps[1_000])
