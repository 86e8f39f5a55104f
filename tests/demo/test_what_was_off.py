"""What was off is said in words of a person, in every language: no word of the log's own stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo_app.languages import FOLDER, Languages
from demo_app.what_was_off import ALTERED, FLAGS, altered, off
from stepup_middleware.core.decisions import Flag
from stepup_middleware.log.integrator import Fault
from tests.languages import LANGUAGES

TEXTS = Languages(FOLDER)
GUIDE = (Path(__file__).parents[2] / "demo_app" / "guide" / "evidence.md").read_text(encoding="utf-8")


def test_each_flag_and_each_fault_of_the_log_has_words_of_its_own() -> None:
    assert {flag.value for flag in Flag} <= FLAGS.keys()
    assert {fault.name.lower() for fault in Fault} <= ALTERED.keys()
    for reason in (*FLAGS, *ALTERED):
        assert f"`{reason}`" in GUIDE


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_the_words_are_said_in_each_language(language: str) -> None:
    texts = TEXTS.texts(language.replace("_", "-"))
    said = [off(texts, flag) for flag in FLAGS] + [altered(texts, reason) for reason in (*ALTERED, "factors")]
    assert not any("_" in sentence for sentence in said)
    if language != "en":
        english = TEXTS.texts("en")
        assert not {off(english, flag) for flag in FLAGS} & set(said)
    assert off(texts, "of_the_app") == "of_the_app"
