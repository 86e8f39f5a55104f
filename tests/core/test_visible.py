"""What is shown has nothing unseen in it, and two texts are never shown alike."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.visible import direction, visible, visible_lines

texts = st.text(
    st.one_of(
        st.sampled_from("\u2039\u203aU+202E0\u202e\u2066\u200b\u200d\ufeff\n\0\u3164 a"),
        st.characters(exclude_categories=[]),
        st.characters(categories=["Cf", "Cc", "Co", "Zl", "Zp"]),
    ),
    max_size=30,
)


@given(texts)
def test_nothing_that_is_shown_is_unseen(text: str) -> None:
    assert not {unicodedata.category(char) for char in visible(text)} & {"Cf", "Cc", "Co", "Cs", "Zl", "Zp"}


@given(texts)
def test_what_was_written_can_be_told_from_what_is_shown(text: str) -> None:
    read = re.sub("\u2039U\\+([0-9A-F]+)\u203a", lambda escape: chr(int(escape[1], 16)), visible(text))
    assert read == text  # so no two texts are shown alike


@given(texts)
def test_of_a_text_of_several_lines_the_line_feeds_alone_stay(text: str) -> None:
    assert visible_lines(text).split("\n") == [visible(line) for line in text.split("\n")]


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"], exclude_characters="\u2039"), max_size=30))
def test_a_text_that_can_be_seen_stays_as_it_is(text: str) -> None:
    if not set(text) & set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"):
        assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("USD 412,908.77", "USD 412,908.77"),
        ("Ada\u202eecila", "Ada\u2039U+202E\u203aecila"),
        ("a\u200bb", "a\u2039U+200B\u203ab"),
        ("a\u2068b\u2069", "a\u2039U+2068\u203ab\u2039U+2069\u203a"),
        ("line\nline", "line\u2039U+000A\u203aline"),
        ("\U000e0041", "\u2039U+E0041\u203a"),
        ("\u2039U+202E\u203a", "\u2039U+2039\u203aU+202E\u203a"),
        ("\u2039quoted\u203a", "\u2039quoted\u203a"),
        ("\u3164", "\u2039U+3164\u203a"),
        (
            "Jos\u00e9 \u674e\u5c0f\u9f8d \u0645\u0631\u062d\u0628\u0627",
            "Jos\u00e9 \u674e\u5c0f\u9f8d \u0645\u0631\u062d\u0628\u0627",
        ),
    ],
)
def test_unseen_characters_stand_as_their_numbers(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(max_size=30), st.sampled_from(["ltr", "rtl"]))
def test_a_value_has_the_pages_direction_where_anything_in_it_is_written_that_way(text: str, page: str) -> None:
    written = {
        "rtl" if unicodedata.bidirectional(char) in ("R", "AL") else unicodedata.bidirectional(char) for char in text
    }
    assert direction(text, page) == (page if ("rtl" if page == "rtl" else "L") in written else "auto")


@pytest.mark.parametrize(
    ("text", "page", "is_laid_out"),
    [
        ("First Bank، رقم التوجيه 021000021", "rtl", "rtl"),
        ("USD 412,908.77", "rtl", "auto"),
        ("אבי כהן, routing number 021000021", "ltr", "ltr"),
        ("אבי כהן", "ltr", "auto"),
    ],
)
def test_a_name_of_another_script_turns_no_sentence_round(text: str, page: str, is_laid_out: str) -> None:
    assert direction(text, page) == is_laid_out
