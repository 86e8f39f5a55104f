"""Languages: the texts of the page are ones that can be given, and its function chooses the language."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from pytest import MonkeyPatch

from stepup_middleware.core.texts import marked
from stepup_middleware.languages import check_added, library_languages

from .harness import Ran


async def test_the_texts_of_the_page_are_taken_at_the_start_and_shown(ran: Ran) -> None:
    page = ran.names
    check_added(page["texts"], {marked("Close the month")})
    languages = library_languages(page["texts"])
    assert languages.texts("de")("Cancel") == "Zurück"
    assert languages.texts("sv")("Cancel") == "Avbryt"
    assert page["language"]({"session": {"language": "de"}}) == "de"
    assert page["language"]({"session": {}}) is None


async def test_an_apps_own_pages_are_in_the_languages_too(ran: Ran, tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    (tmp_path / "de.po").write_text('msgid "Payroll"\nmsgstr "Gehälter"\n', encoding="utf-8")
    monkeypatch.setitem(ran.names, "CATALOGUES", tmp_path)
    stepup = SimpleNamespace(languages=library_languages())
    assert await ran.names["heading"](stepup, {}) == ("Gehälter", "412.908", "ltr")
