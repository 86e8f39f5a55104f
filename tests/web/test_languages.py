"""The texts in each language: nothing is missing, the right language is chosen, an app's own texts are checked."""

from __future__ import annotations

import string
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.purposes import PLATFORM_PURPOSES
from stepup_middleware.core.texts import Text
from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.languages import Languages, check_added, library_languages, library_texts, mismatch
from tests import languages as catalogues
from tests.machine import growth

LANGUAGES = library_languages()


@pytest.mark.parametrize("domain", catalogues.DOMAINS)
def test_every_text_is_there_in_every_language_with_its_values_and_markup(domain: str) -> None:
    assert catalogues.faults(domain) == []


def test_there_are_english_and_thirteen_more_languages_two_of_them_from_right_to_left() -> None:
    assert len(LANGUAGES.tags) == 14
    assert [tag for tag in LANGUAGES.tags if LANGUAGES.texts(tag).direction == "rtl"] == ["ar", "he"]


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("sv, fr;q=0.8, en;q=0.2", "fr"),
        ("en;q=0.3, ja;q=0.9", "ja"),
        ("pt-PT", "pt-BR"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hans-SG", "zh-Hans"),
        ("zh-TW, ko;q=0.4", "ko"),
        ("iw", "he"),
        ("de;q=0, it;q=0.1", "it"),
        ("*", "en"),
        ("de;q=nonsense", "en"),
        ("DE-de", "de"),
    ],
)
def test_the_browsers_preferences_choose_the_language(accepted: str, chosen: str) -> None:
    assert LANGUAGES.negotiate(accepted) == chosen


@given(st.text(string.printable, max_size=2000))
def test_any_header_chooses_a_language_that_is_there(accepted: str) -> None:
    assert LANGUAGES.negotiate(accepted) in LANGUAGES.tags


# D03
@pytest.mark.parametrize("unit", ["-", "_", "a-", "de-", " ", "zh-"])
def test_a_long_tag_is_looked_up_by_its_beginning(unit: str) -> None:
    assert growth(lambda times: LANGUAGES.find(unit * times), 2000) < 8
    assert LANGUAGES.find("de-" + "x" * 30_000) == "de"


@pytest.mark.parametrize("tag", LANGUAGES.tags)
def test_the_sixteen_purposes_have_titles_and_consequences_of_their_own_in_every_language(tag: str) -> None:
    texts = LANGUAGES.texts(tag)
    titles = {texts(purpose.authorize_title) for purpose in PLATFORM_PURPOSES}
    assert len(titles) == len(PLATFORM_PURPOSES)
    if tag != "en":
        assert not titles & {purpose.authorize_title for purpose in PLATFORM_PURPOSES}


def test_a_text_with_values_is_put_into_a_language_and_a_number_as_the_language_writes_it() -> None:
    texts = LANGUAGES.texts("de")
    assert texts(Text("Renamed to %(name)s.", {"name": "100 %"})) == "Umbenannt in „100 %“."
    assert texts.number(412908.77) == "412.908,77"
    assert LANGUAGES.texts("en").day("2026-11-24T08:00:00+00:00") == "Nov 24, 2026"


@pytest.mark.parametrize("tag", LANGUAGES.tags)
def test_dates_and_numbers_have_nothing_that_cannot_be_seen_and_no_blank_but_the_space(tag: str) -> None:
    texts, noon = LANGUAGES.texts(tag), datetime(2026, 11, 24, 12, 4, 5, tzinfo=UTC)
    written = [texts.day(noon), texts.moment(noon), texts.moment(noon, seconds=True), texts.number(-1_234_567.5)]
    written += [texts.ago(timedelta(hours=3)), texts.plural("%(number)s file", "%(number)s files", 12_345)]
    for text in written:
        assert visible(text) == text
        assert not {char for char in text if char.isspace()} - {" "}


def test_the_scripts_are_told_what_they_say_and_nothing_else() -> None:
    told = LANGUAGES.said_by_scripts(LANGUAGES.texts("fr"))
    assert told["Cancelled. Nothing has happened."].startswith("Annulé.")
    assert "Authorize payroll ACH transmit" not in told
    assert LANGUAGES.said_by_scripts(LANGUAGES.texts("en")) == {}


async def test_a_language_is_read_beside_the_loop_and_once() -> None:
    languages = library_languages()
    first = await languages.ready("de")
    assert await languages.ready("de") is first
    assert languages.texts("de") is first
    assert languages.said_by_scripts(first) is languages.said_by_scripts(first)


def test_a_start_reads_no_catalogue() -> None:
    start = """
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from tests.support import House
House(Path(sys.argv[1]))
sys.exit(" ".join(name for name in opened if name.endswith((".po", ".pot"))) or int(not opened))
"""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", start, folder], cwd=catalogues.ROOT, capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_apps_catalogues_stand_on_the_librarys(tmp_path: Path) -> None:
    (tmp_path / "own.pot").write_text('#: static/own.js:1\nmsgid "Ledger"\nmsgstr ""\n', encoding="utf-8")
    (tmp_path / "de.po").write_text('msgid "Ledger"\nmsgstr "Hauptbuch"\n', encoding="utf-8")
    own = Languages(tmp_path, beneath=LANGUAGES)
    assert own.texts("de")("Ledger") == "Hauptbuch"
    assert own.texts("de")("Cancel") == LANGUAGES.texts("de")("Cancel")
    assert own.texts("de")("Neither") == "Neither"
    assert own.said_by_scripts(own.texts("de")) == {"Ledger": "Hauptbuch"}


def test_an_app_adds_a_language_and_says_otherwise_what_it_wants_to() -> None:
    languages = library_languages({"de": {"Cancel": "Zurück"}, "sv": {"Cancel": "Avbryt"}})
    assert languages.texts("de")("Cancel") == "Zurück"
    assert languages.texts("de")("Close") == "Schließen"
    assert languages.negotiate("sv-SE") == "sv"
    assert languages.texts("sv")("Cancel") == "Avbryt"
    assert languages.texts("sv")("Close") == "Close"  # what is missing is said in English


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ({"de": {"Cancle": "Zurück"}}, "there is no such text; is 'Cancel' meant?"),
        ({"de": {"Cancel": ""}}, "must be text, and not be empty"),
        ({"de": {"Back to %(app)s": "Zurück"}}, "the places of values must be the same"),
        ({"de": {"as <strong>%(name)s</strong>": "als %(name)s"}}, "the markup must be the same"),
        ({"de": "Zurück"}, "maps English texts to those of the language"),
        ({"german": {"Cancel": "Zurück"}}, "a language is named as in HTML"),
        ({"xq": {"Cancel": "Zurück"}}, "is not known"),
        ({"<de>": {"Cancel": "Zurück"}}, "a language is named as in HTML"),
        ([], "texts maps languages to texts"),
    ],
)
def test_texts_that_cannot_be_shown_are_refused_with_what_to_write(added: object, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence.replace("?", r"\?").replace("(", r"\(")):
        check_added(added, ())


def test_an_apps_own_purposes_can_be_said_in_its_languages() -> None:
    check_added({"de": {"Close the month": "Monat abschließen"}}, {"Close the month"})


@given(st.sampled_from(sorted(library_texts())))
def test_a_translation_that_lost_a_value_is_noticed(english: str) -> None:
    assert mismatch(english, english) == ""
    if "%(" in english:
        assert mismatch(english, english.replace("%(", "(", 1))
