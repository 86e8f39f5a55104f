"""What the page on evidence says of each event's data, read from the table that people read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from demo_app.guide_pages import FOLDER
from stepup_middleware import AuditRecord

ANYWHERE = {"lost_before", "locale", "browser_locale"}  # the page says so below the table


@cache
def described() -> Mapping[str, set[str]]:
    """Return the words that the row of each event has in code."""
    text = FOLDER.joinpath("evidence.md").read_text(encoding="utf-8")
    table = text[text.index("| Event | severity, outcome | `data` |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|[^|]*\|(.*)\|$", table, re.MULTILINE)
    return {name: set(re.findall(r"`([a-z_]+)`", words)) for names, words in rows for name in re.findall(r"\w+", names)}


def assert_described(record: AuditRecord) -> None:
    """Fail unless a stranger who has the page alone knows every member that a record's data has."""
    known = described().get(record.event.value)
    assert known is not None, f"{record.event} has no row in the table of events of the page on evidence"
    unknown = set(_members(record.data)) - known - ANYWHERE
    assert not unknown, f"say on the page on evidence what these members of {record.event} are: {sorted(unknown)}"


def _members(data: Mapping[str, Any]) -> Iterator[str]:
    for name, value in data.items():
        yield name
        if isinstance(value, dict) and name != "proof":  # the page has a paragraph of its own on that
            yield from _members(value)
