"""Codes, digits and passes as people have them: on any keyboard, and out of any page."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from stepup_middleware.ceremonies import totp
from stepup_middleware.core import approvals
from stepup_middleware.core.recovery import CODE_BITS, PASS_BITS, read_secret, written_secret
from stepup_middleware.core.typed import typed

BLANKS = "\u115f\u1160\u2800\u3164\uffa0\u034f\ufe0f\u20e3\u200b\u202e\ufeff\u00ad"
PASS = written_secret(12345678901234567890123456789012345678, PASS_BITS)
CODE = written_secret(123456789012345678901, CODE_BITS)


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


def arabic(text: str) -> str:
    return "".join(chr(0x660 + int(char)) if char.isdecimal() else char for char in text)


@given(st.text(st.characters(exclude_categories=["L", "N", "M", "Cs"]) | st.sampled_from(BLANKS), max_size=12))
@example("_'\u2019,/\u2022`")
def test_what_is_no_letter_or_number_changes_nothing_wherever_it_stands(between: str) -> None:
    assume(not any(char.isalnum() for char in unicodedata.normalize("NFKC", between) if char not in BLANKS))
    assert totp.read_code(f"{between}12{between}3456{between}") == "123456"
    assert approvals.read_digits(f"4{between}2") == "42"
    assert approvals.read_code(f"{between}bcdf{between}GHJK") == "BCDF-GHJK"
    assert read_secret(between + PASS, PASS_BITS) == PASS.replace("-", "")


@pytest.mark.parametrize("change", [str.lower, full_width, arabic, lambda text: text.replace("-", " \u2013 ")])
def test_codes_are_read_on_any_keyboard(change: object) -> None:
    assert callable(change)
    assert totp.read_code(change("123456")) == "123456"
    assert approvals.read_digits(change("42")) == "42"
    assert approvals.read_code(change("BCDF-GHJK")) == "BCDF-GHJK"
    assert read_secret(change(PASS), PASS_BITS) == PASS.replace("-", "")
    assert read_secret(change(CODE), CODE_BITS) == CODE.replace("-", "")


@pytest.mark.parametrize("text", ["", "4", "423", "4a2", "x42", "4" + " " * 64 + "2", None, 42, b"42", ["42"]])
def test_what_are_not_two_digits_are_none(text: object) -> None:
    assert approvals.read_digits(text) is None


@pytest.mark.parametrize("text", ["", "BCDF", "BCDF-GHJ", "BCDF-GHJA", "BCDF-GHJ1", "BCDF-GHJKL"])
def test_what_are_not_eight_of_its_letters_is_no_code_of_an_approval(text: str) -> None:
    assert approvals.read_code(text) is None


@given(st.text(max_size=12))
def test_nothing_but_letters_and_numbers_is_left(text: str) -> None:
    left = typed(text, 12)
    assert all(unicodedata.category(char)[0] in "LN" for char in left)
    assert typed("x" * 13, 12) == ""
