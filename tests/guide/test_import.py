"""The import page: its file is imported by its commands, and its table has what the schema has."""

from __future__ import annotations

import re

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware.service.importing import MAX_LINES, MOST_FAULTS, import_schema

from .harness import Ran
from .person import Person


@pytest.mark.slow
async def test_the_file_of_the_page_is_imported(ran: Ran) -> None:
    dry, done = ran.outputs[0].splitlines()[-2:]
    assert dry == "would import 2 factors: 1 passkey, 1 totp"
    assert done == "imported 2 factors: 1 passkey, 1 totp"
    person = Person(ran.main.app)
    listed = sorted((await person.http.get("/stepup/factors")).json()["factors"], key=lambda each: each["kind"])
    assert [(each["kind"], each["name"], each["synced"]) for each in listed] == [
        ("passkey", "Laptop", True),
        ("totp", "Authenticator app", None),
    ]


def test_the_tables_have_the_members_of_the_schema() -> None:
    text = (FOLDER / "import.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(import_schema()["properties"])
    assert (MAX_LINES, MOST_FAULTS) == (100_000, 100)
