"""One text per value: the standard library's compact form is RFC 8785 for our values."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.canonical import base64url, canonical_json, digest, read_base64url, storable, strict_json
from stepup_middleware.core.challenge import NONCE_BYTES, commit, describe
from tests.core.support import json_values

NONCE = bytes(range(32))


@given(json_values)
def test_canonical_json_is_rfc_8785_byte_for_byte(value: Any) -> None:
    assert canonical_json(value).encode() == rfc8785.dumps(value)


@given(json_values)
def test_canonical_json_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_has_no_word_for_is_refused(number: float) -> None:
    with pytest.raises(ValueError):
        canonical_json({"n": number})


@given(json_values, json_values)
def test_two_values_share_a_digest_only_when_their_text_is_the_same(one: Any, other: Any) -> None:
    assert (digest("d", one) == digest("d", other)) == (canonical_json(one) == canonical_json(other))


def test_two_domains_never_share_a_digest() -> None:
    assert digest("one", [1]) != digest("other", [1])
    assert digest("stepup-request-v1", [1]) == sha256(b"stepup-request-v1\0[1]").digest()


# A08
@given(st.text())
def test_whatever_a_client_sends_becomes_text_that_utf_8_carries(text: str) -> None:
    stored = storable(text, 50)
    assert len(stored) <= 50
    assert json.loads(canonical_json(stored).encode()) == stored
    if len(text) <= 50 and not any("\ud800" <= character <= "\udfff" for character in text):
        assert stored == text


# A08
def test_line_breaks_and_escapes_stay_inside_one_record() -> None:
    hostile = 'a\r\nACTION_AUTHORIZED "}\x1b[31m\u2028'
    assert "\n" not in canonical_json({"user_agent": hostile})
    assert "\x1b" not in canonical_json({"user_agent": hostile})


# the challenge


@given(json_values.map(lambda value: {"v": value}), st.binary(min_size=32, max_size=32))
def test_the_challenge_commits_to_the_nonce_and_to_the_description(value: dict[str, Any], nonce: bytes) -> None:
    challenge = commit(nonce, describe(value))
    assert len(challenge) == 32
    assert challenge == sha256(b"stepup-challenge-v1\0" + nonce + rfc8785.dumps(value)).digest()
    assert challenge != commit(bytes(32) if any(nonce) else NONCE, describe(value))
    assert challenge != commit(nonce, describe({**value, "more": 1}))


@pytest.mark.parametrize("length", [0, 16, NONCE_BYTES - 1, NONCE_BYTES + 1])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        commit(bytes(length), b"{}")


def test_the_description_does_not_depend_on_the_order_of_its_members() -> None:
    assert describe({"b": 1, "a": 2}) == describe({"a": 2, "b": 1}) == b'{"a":2,"b":1}'


@given(st.binary(max_size=40), st.text("AQgwABCab09-_+/=\n é", max_size=3), st.integers(0, 60))
def test_bytes_have_one_spelling_in_base64url(raw: bytes, junk: str, at: int) -> None:
    text = base64url(raw)
    assert read_base64url(text) == raw
    other = text[:at] + junk + text[at + 1 :]
    if other != text:
        try:
            assert base64url(read_base64url(other)) == other
        except ValueError as error:
            assert str(error) == "not base64url"


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "QUJ+", "QUJ/", "QU JD", "QUJD\n", "QUJDé"])
def test_what_is_no_base64url_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_base64url(text)


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', "NaN", "[Infinity]", "[" * 100_000, "", "{}{}"])
def test_json_with_another_reading_or_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        strict_json(text)
