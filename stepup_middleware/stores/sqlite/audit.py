"""Reading and purging the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.retention import (
    ALERTS_STAY,
    PROMPTS_STAY,
    TOKENS_STAY,
    clock_anomaly,
    purgeable,
    retention_of,
)
from stepup_middleware.stores.base import Alert, AuditFilter, Purged
from stepup_middleware.stores.rows import Row, record_of

from .reader import Reader
from .transaction import Transaction

# The index to walk, by the first of these fields that is asked for: the earlier, the fewer rows it leaves.
_FACETS = (
    ("subject", "audit_subject"),
    ("purpose", "audit_purpose"),
    ("event", "audit_event"),
    ("outcome", "audit_outcome"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What part of the log to walk: ``first <= seq < end``, None for no bound."""

    first: int | None = None
    end: int | None = None


class Query:
    """One walk along the log: the statement and its parameters.

    Each walk follows an index in the order of ``seq`` and stops at its limit; nothing is sorted.
    """

    def __init__(
        self, workspace: str | None, wanted: AuditFilter, span: Span, *, newest_first: bool, limit: int
    ) -> None:
        conditions: list[tuple[str, object]] = []
        index = "" if workspace is None else "INDEXED BY audit_workspace"
        if workspace is not None:
            conditions.append(("workspace = ?", workspace))
            asked = [name for field, name in _FACETS if getattr(wanted, field) is not None]
            if asked:
                index = f"INDEXED BY {asked[0]}"
        conditions += [
            (f"{field} = ?", str(value)) for field, _ in _FACETS if (value := getattr(wanted, field)) is not None
        ]
        if wanted.prompt is not None:
            conditions.append(("prompt = ?", wanted.prompt))
            if wanted.prompt:
                index = "INDEXED BY audit_prompt"
        if wanted.since is not None:
            conditions.append(("at >= ?", to_micros(wanted.since)))
        if wanted.until is not None:
            conditions.append(("at < ?", to_micros(wanted.until)))
        if span.first is not None:
            conditions.append(("seq >= ?", span.first))
        if span.end is not None:
            conditions.append(("seq < ?", span.end))
        clauses = [text for text, _ in conditions]
        if wanted.prompt:
            clauses.append("prompt <> ''")  # to the letter: the partial index serves only whoever says so
        where = " AND ".join(clauses) or "1"
        order = "DESC" if newest_first else "ASC"
        # every part of the text is a constant of this module; what callers give is bound
        self.text = (
            f"SELECT seq, chain, link, previous, hash, body FROM audit {index} "  # noqa: S608
            f"WHERE {where} ORDER BY seq {order} LIMIT ?"
        )
        self.parameters = (*(value for _, value in conditions), limit)


def _by_workspace(workspace: str | None, wanted: AuditFilter) -> bool:
    """Whether a walk over all workspaces goes through each on its own, since the indexes begin with it."""
    return workspace is None and not wanted.prompt and any(getattr(wanted, field) is not None for field, _ in _FACETS)


async def walk(
    reader: Reader,
    sql: Mapping[str, str],
    workspace_id: str | None,
    wanted: AuditFilter,
    span: Span,
    *,
    newest_first: bool,
    limit: int,
) -> tuple[AuditRecord, ...]:
    """Return up to ``limit`` records of a span that match, in the order of the walk."""
    bounds = await _time_bounds(reader, sql, wanted)
    if bounds is None or limit <= 0:
        return ()
    span = Span(
        first=max((seq for seq in (span.first, bounds.first) if seq is not None), default=None),
        end=min((seq for seq in (span.end, bounds.end) if seq is not None), default=None),
    )
    workspaces: list[str | None] = [workspace_id]
    if _by_workspace(workspace_id, wanted):
        workspaces = [name for (name,) in await reader.rows(sql["workspaces"])]
    rows: list[Row] = []
    for workspace in workspaces:
        query = Query(workspace, wanted, span, newest_first=newest_first, limit=limit)
        rows += await reader.rows(query.text, query.parameters)
    if len(workspaces) > 1:
        rows.sort(key=itemgetter(0), reverse=newest_first)
    return tuple(record_of(row) for row in rows[:limit])


async def _time_bounds(reader: Reader, sql: Mapping[str, str], wanted: AuditFilter) -> Span | None:
    """Return which part of the log a time range can lie in; None when there is no such part.

    Times do not always grow with the sequence number, but they never lie further back than the database
    has noted.
    """
    first = end = None
    if wanted.since is not None:
        row = await reader.row(sql["first_since"], (to_micros(wanted.since),))
        if row is None or row[0] is None:
            return None
        first = row[0]
    if wanted.until is not None:
        meta = await reader.row(sql["read_meta"])
        back = 0 if meta is None else meta[3]
        row = await reader.row(sql["first_since"], (to_micros(wanted.until) + back,))
        end = None if row is None else row[0]
    return Span(first=first, end=end)


def purge(transaction: Transaction, now: datetime, limit: int, *, vouched: bool) -> Purged:
    """Remove what is over, at most ``limit`` rows of each kind, unless the clock looks wrong."""
    newest, before = transaction.row("newest"), _purged_before(transaction)
    anomaly = clock_anomaly(
        now, newest=None if newest is None else from_micros(newest[2]), before=before, vouched=vouched
    )
    if anomaly is not None:
        return Purged(anomalies=(anomaly,))
    transaction.run("note_purge", (to_micros(now),))
    events = 0
    for (chain,) in transaction.rows("chain_names"):
        events += _purge_chain(transaction, chain, now, limit - events)
    prompts = transaction.changed("purge_prompts", {"limit": limit, "over": to_micros(now - PROMPTS_STAY)})
    tokens = transaction.changed("purge_tokens", {"limit": limit, "over": to_micros(now - TOKENS_STAY)})
    transaction.run("purge_refused_sessions", {"limit": limit, "over": to_micros(now - PROMPTS_STAY)})
    transaction.run("purge_enrolments", {"limit": limit, "over": to_micros(now)})
    transaction.run("purge_alerts", {"limit": limit, "over": to_micros(now - ALERTS_STAY)})
    return Purged(events=events, prompts=prompts, tokens=tokens, more=limit in (events, prompts, tokens))


def _purged_before(transaction: Transaction) -> datetime | None:
    """Return when a purge last believed its clock; the time of the oldest record where none ever did."""
    found = transaction.row("purged_at")
    if found is not None and found[0]:
        return from_micros(found[0])
    oldest = transaction.row("oldest")
    return None if oldest is None else from_micros(oldest[0])


def _purge_chain(transaction: Transaction, chain: str, now: datetime, limit: int) -> int:
    """Remove the part of a chain before its first record that must stay."""
    years = retention_of(chain)
    if years is None or limit <= 0:
        return 0
    oldest = {link: (hash_, from_micros(at)) for link, hash_, at in transaction.rows("oldest_of_chain", (chain, limit))}
    last = purgeable(((link, at) for link, (_, at) in oldest.items()), years, now)
    if last is None:
        return 0
    transaction.run("set_chain_start", (chain, last, oldest[last][0], to_micros(now)))
    transaction.run("purge_heads", (chain, last))
    return transaction.changed("purge_chain", (chain, last))


def claim_alerts(transaction: Transaction, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
    """Take alerts that nobody holds. One whose record was purged is over."""
    taken = transaction.rows("claim_alerts", {"now": to_micros(now), "until": to_micros(until), "limit": limit})
    if not taken:
        return ()
    had = {seq: tuple(json.loads(names)) for seq, names in taken}
    records = [record_of(row) for row in transaction.rows("alert_records", (json.dumps(list(had)),))]
    for seq in had.keys() - {record.seq for record in records}:
        transaction.run("drop_alert", (seq,))
    return tuple(Alert(record=record, had=had[record.seq]) for record in records)


def settle_alert(transaction: Transaction, seq: int, had: Sequence[str], *, over: bool) -> None:
    """Note who has had an alert, or that everybody has."""
    if over:
        transaction.run("drop_alert", (seq,))
    else:
        transaction.run("note_alert", (json.dumps(list(had)), seq))
