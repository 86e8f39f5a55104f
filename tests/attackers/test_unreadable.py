"""Records whose text somebody else has replaced by one that is no event: they are shown as that, beside all others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepup_middleware.core.events import EventName
from tests.log.signing import app, write

from .raw import Raw
from .test_ahead import raw

__all__ = ["raw"]

NESTED = "[" * 100_000
MEMBERS = [
    "request",
    "details",
    "flags",
    "data",
    "at",
    "event",
    "severity",
    "outcome",
    "workspace",
    "subject_name",
    "reason",
]


# A20
@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "7", "null", "{}", NESTED, *MEMBERS], ids=lambda text: text[:12] or "nothing"
)
async def test_a_record_that_is_no_event_keeps_nobody_from_the_others(raw: Raw, text: str) -> None:
    async with app(Path(), store=raw.store()) as stepup:
        await write(stepup, 3)
        before = [each.id async for each in stepup.audit.stream(None)]
        rows = sorted(await raw.rows("audit"), key=lambda row: row["seq"])
        body = json.dumps(json.loads(rows[1]["body"]) | {text: 5}) if text in MEMBERS else text
        assert await raw.put("audit", [rows[0], rows[1] | {"body": body}, *rows[2:]])
        read = [each async for each in stepup.audit.stream(None)]
        page = await stepup.audit.page(rows[0]["workspace"], limit=10)
        assert [each.id for each in read] == before
        assert [each.id for each in page.events] == before[::-1]
        named = [each.event is EventName.DATABASE_ALTERED for each in read]
        assert named == [number == 1 for number in range(len(read))]
        assert read[1].reason == "record_entry"
