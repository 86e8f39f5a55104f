"""Compare a record with its columns: an index over it, which nothing trusts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from hashlib import sha256

from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import iso_of_micros, millisecond, time_ordered_id, to_micros
from stepup_middleware.core.standing import HOLDING_EVENTS, RECOVERY_EVENTS, held_until, person_concerned
from stepup_middleware.log.records import entry_text, last_day
from stepup_middleware.log.stored import StoredRecord

from .findings import LogFinding
from .record import MISSHAPEN, read_record_at

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_AUTHORIZED = EventName.ACTION_AUTHORIZED.value
_MEMBERS = 26  # of a body, with its salt
_parse = json.JSONDecoder().raw_decode  # without looking for spaces, which no body has at its ends


def fits(row: StoredRecord) -> bool:
    """Tell whether a record's body, entry, leaf and columns fit together; slower, ``why_not`` says why not."""
    try:
        body = row.body
        fields, end = _parse(body)
        at = iso_of_micros(row.at)  # the one spelling of it, which the body must have
        keep_until = last_day(date.fromisoformat(at[:10]), fields["retention_years"])
        entry = entry_text(at, sha256(body.encode()).hexdigest(), keep_until)
        event, data = fields["event"], fields["data"]
        token = data.get("token") if event == _AUTHORIZED else None
        whose = data.get("person", fields["subject"]) if event in RECOVERY_EVENTS else None
        until = data.get("hold_until") if event in HOLDING_EVENTS else None
        return (
            row.entry == entry
            and (row.leaf is None or row.leaf.entry == entry)
            and row.workspace == fields["workspace"]
            and row.subject == fields["subject"]
            and row.event == event
            and row.outcome == fields["outcome"]
            and row.purpose == fields["purpose"]
            and row.prompt == fields["prompt"]
            and row.factor == fields["factor_id"]
            and fields["at"] == at
            and (None if row.token is None else str(row.token)) == token
            and row.person == whose
            and row.held == (None if until is None else to_micros(datetime.fromisoformat(until)))
            and row.id.startswith(millisecond(row.at))
            and len(fields) == _MEMBERS
            and end == len(body)
        )
    except MISSHAPEN:
        return False


def why_not(row: StoredRecord) -> Sequence[LogFinding]:
    found: list[LogFinding] = []
    where = f"seq {row.seq}"

    def wrong(field: str, problem: str) -> None:
        found.append(LogFinding(where=where, field=field, problem=problem, record_id=row.id))

    if not are_texts(row.body, row.entry, row.id):
        wrong("body", "id, body and entry are texts")
        return found
    read = read_record_at(where, row.entry, row.body)
    for finding in read.findings:
        wrong(finding.field.removeprefix(f"{where}."), finding.problem)
    if row.leaf is not None and row.leaf.entry != row.entry:
        wrong("entry", f"is not the entry of its leaf, {_leaf(row)}")
    event = read.event
    if event is None:
        return found
    for column, stored, said in (
        ("workspace", row.workspace, event.workspace_id),
        ("subject", row.subject, event.subject_id),
        ("event", row.event, event.event.value),
        ("outcome", row.outcome, event.outcome.value),
        ("purpose", row.purpose, event.purpose),
        ("prompt", row.prompt, event.prompt_id),
        ("factor", row.factor, event.factor_id),
        ("token", row.token, event.as_event().token_id),
        ("person", row.person, person_concerned(event.as_event())),
        ("held", row.held, held_until(event.as_event())),
        ("at", row.at, to_micros(event.at)),
    ):
        if stored != said and not (isinstance(said, str) and stored == said.replace("\0", _REPLACED)):
            wrong(column, f"is not what the body says: {stored!r} beside {said!r}")
    if not row.id.startswith(time_ordered_id(event.at, b"")):
        wrong("id", "does not begin with the time of the body")
    return found


def are_texts(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _leaf(row: StoredRecord) -> str:
    return "none" if row.leaf is None else f"leaf {row.leaf.index}"
