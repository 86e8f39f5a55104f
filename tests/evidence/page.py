"""What the page on evidence says of each record, read from the tables that people read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from demo_app.guide_pages import FOLDER
from stepup_middleware import AuditRecord
from stepup_middleware.core.moments import iso

ANYWHERE = {"lost_before", "locale", "browser_locale"}  # the page says so below the tables
CLUSTER = "failure_cluster"  # likewise
APART = {"proof"}  # members of data on whose own members the page has a paragraph


@dataclass(frozen=True)
class Row:
    """What the table of events says of one: how loud it is, how it goes, and the members of its data."""

    severity: str
    outcome: str
    data: frozenset[str]


def page() -> str:
    return FOLDER.joinpath("evidence.md").read_text(encoding="utf-8")


def tables(head: str) -> list[list[list[str]]]:
    """Return the tables whose first line this is: of each its rows, of each its cells."""
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.partition("\n\n")[0].splitlines()[1:]]
        for table in page().split(f"\n| {head} |\n")[1:]
    ]


def words(cell: str) -> list[str]:
    """Return the words of a cell that are in code."""
    return re.findall(r"`([^`]+)`", cell)


@cache
def events() -> Mapping[str, Row]:
    """Return what the table of events says, by their names."""
    found: dict[str, Row] = {}
    for names, goes, data in tables("Event | severity, outcome | `data`")[0]:
        severity, outcome = goes.split(", ")
        row = Row(severity, outcome, frozenset(word for word in words(data) if re.fullmatch("[a-z_]+", word)))
        found |= dict.fromkeys(words(names), row)
    return found


@cache
def reasons() -> Mapping[str, frozenset[str]]:
    """Return what reasons each event may have; one that is not named has none."""
    return {name: frozenset(words(cell)) for names, cell in tables("Event | `reason`")[0] for name in words(names)}


@cache
def order() -> Mapping[str, tuple[str | None, bool]]:
    """Return after which event each one of a step-up comes, None for the first, and whether it comes once at most."""
    found: dict[str, tuple[str | None, bool]] = {}
    for names, after, times in tables("Event of a step-up | Comes after | How often")[0]:
        found |= dict.fromkeys(words(names), (next(iter(words(after)), None), times in ("once", "at most once")))
    return found


@cache
def types(head: str, number: int = 0) -> Mapping[str, frozenset[str]]:
    """Return the JSON types of the members of a table: of the page's first one with this first line, or a later one."""
    return {name: frozenset(cells[1].split(", ")) for cells in tables(head)[number] for name in words(cells[0])}


def is_moment(value: Any) -> bool:
    return isinstance(value, str) and iso(datetime.fromisoformat(value)) == value


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: type(value) is int,
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
    "hexadecimal": lambda value: isinstance(value, str) and re.fullmatch("([0-9a-f]{2})*", value) is not None,
    "moment": is_moment,
}


def assert_typed(value: Mapping[str, Any], known: Mapping[str, frozenset[str]], where: str) -> None:
    """Fail unless each member is of one of the types that the page gives it."""
    for name, member in value.items():
        assert name in known, f"say on the page on evidence of which JSON type {name} is: {where} has it"
        assert any(TYPES[each](member) for each in known[name]), (where, name, member, known[name])


def assert_described(record: AuditRecord) -> None:
    """Fail unless a stranger who has the page alone knows every member of a record, its type and its words."""
    row = events().get(record.event.value)
    assert row is not None, f"{record.event} has no row in the table of events of the page on evidence"
    body = json.loads(record.body)
    members, components = types("Member | JSON | What"), types("Member | JSON | What", 1)
    assert_typed(body, members, record.event)
    assert body.keys() == members.keys(), record.event
    if body["request"] is not None:
        assert_typed(body["request"], components, record.event)
        assert body["request"].keys() == components.keys()
    goes = ("info", "cancelled") if body["reason"] == "cancelled" else (row.severity, row.outcome)
    assert (body["severity"], body["outcome"]) == goes, record.event
    known = reasons().get(record.event.value, frozenset())
    assert not body["reason"] or body["reason"] in known, f"say when {record.event} has the reason {body['reason']}"
    assert {*body["flags"]} <= {CLUSTER}.union(*reasons().values()), body["flags"]
    for where, data in _objects(body["data"]):
        assert_typed(data, types("Member | JSON"), record.event)
        unknown = data.keys() - row.data - ANYWHERE
        assert not unknown, f"say on the page on evidence what these members of {record.event}{where} are: {unknown}"


def _objects(data: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield an object and those in it, also in its lists."""
    yield where, data
    for name, value in data.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and name not in APART:
                yield from _objects(each, f"{where}.{name}")
