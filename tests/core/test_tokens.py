"""The token on the wire: one spelling, and no other reads."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.tokens import TOKEN_LENGTH, TokenCodec, TokenReference

KEY_1, KEY_2, KEY_3 = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
CODEC = TokenCodec([KEY_1])
REFERENCE = TokenReference(123_456, bytes(range(100, 116)))
TOKEN = CODEC.write(REFERENCE).encode()
ALPHABET = (string.ascii_letters + string.digits + "-_").encode()

references = st.builds(TokenReference, st.integers(0, 2**64 - 1), st.binary(min_size=16, max_size=16))


@given(references)
def test_a_token_reads_as_the_reference_that_it_was_written_for(reference: TokenReference) -> None:
    token = CODEC.write(reference).encode()
    assert len(token) == TOKEN_LENGTH
    assert set(token) <= set(ALPHABET)
    assert CODEC.read(token) == reference


@given(references)
def test_a_token_has_no_spare_bits_and_so_no_second_spelling(reference: TokenReference) -> None:
    token = CODEC.write(reference).encode()
    assert urlsafe_b64encode(urlsafe_b64decode(token)) == token
    assert b"=" not in token


# T07
def test_no_substitution_of_a_single_character_reads() -> None:
    for place in range(TOKEN_LENGTH):
        for character in ALPHABET:
            altered = TOKEN[:place] + bytes([character]) + TOKEN[place + 1 :]
            if altered != TOKEN:
                assert CODEC.read(altered) is None


# T07
@given(st.integers(0, TOKEN_LENGTH - 1), st.integers(0, 255))
def test_no_byte_in_a_token_can_be_replaced(place: int, byte: int) -> None:
    altered = TOKEN[:place] + bytes([byte]) + TOKEN[place + 1 :]
    assert (CODEC.read(altered) == REFERENCE) == (altered == TOKEN)


# T08
@pytest.mark.parametrize(
    "spelling",
    [
        TOKEN + b"=",
        TOKEN + b"==",
        TOKEN + b" ",
        b" " + TOKEN,
        TOKEN + b"\n",
        TOKEN + b"\r\n",
        TOKEN + b"\0",
        TOKEN[:40] + b"\r\n" + TOKEN[40:],
        TOKEN[:71] + "é".encode(),
        TOKEN[:40] + b"  " + TOKEN[42:],
        TOKEN.swapcase(),
        TOKEN.replace(b"-", b"+").replace(b"_", b"/"),
        b'"' + TOKEN + b'"',
        b"Bearer " + TOKEN,
    ],
)
def test_no_other_spelling_of_a_token_reads(spelling: bytes) -> None:
    if spelling != TOKEN:
        assert CODEC.read(spelling) is None


# T08
@given(st.integers(0, TOKEN_LENGTH), st.binary(min_size=1, max_size=4))
def test_nothing_can_be_inserted_into_a_token(place: int, inserted: bytes) -> None:
    assert CODEC.read(TOKEN[:place] + inserted + TOKEN[place:]) is None


# T09
@pytest.mark.parametrize("prefix", [b".", b"..", b"eyJ", b"v1."])
def test_no_prefix_turns_a_token_into_another_encoding(prefix: bytes) -> None:
    assert CODEC.read(prefix + TOKEN) is None
    assert CODEC.read((prefix + TOKEN)[:TOKEN_LENGTH]) is None


# T11
@pytest.mark.parametrize(
    "garbage",
    [b"", b".", b"..", b"\0", b"\xc3\xa9", b"\xed\xa0\x80", b"=" * 72, b"." * 72, b"A" * 72, b"A" * 10**7],
    ids=lambda garbage: f"{garbage[:3]!r}*{len(garbage)}",
)
def test_garbage_is_no_token_and_raises_nothing(garbage: bytes) -> None:
    assert CODEC.read(garbage) is None


# T11
@given(st.binary(max_size=100) | st.binary(min_size=72, max_size=72))
def test_no_bytes_from_outside_are_a_token(garbage: bytes) -> None:
    assert CODEC.read(garbage) is None


@given(st.binary(min_size=54, max_size=54))
def test_a_well_formed_token_that_no_key_signed_does_not_read(raw: bytes) -> None:
    assert CODEC.read(urlsafe_b64encode(raw)) is None


def test_the_parts_of_two_tokens_do_not_make_a_third() -> None:
    other = CODEC.write(TokenReference(123_457, bytes(16))).encode()
    assert CODEC.read(TOKEN[:32] + other[32:]) is None
    assert CODEC.read(other[:32] + TOKEN[32:]) is None


def test_a_token_of_another_key_does_not_read() -> None:
    assert TokenCodec([KEY_2]).read(TOKEN) is None


# Y04
def test_after_a_rotation_old_tokens_read_and_new_ones_are_signed_with_the_first_key() -> None:
    rotated = TokenCodec([KEY_2, KEY_1])
    assert rotated.read(TOKEN) == REFERENCE
    assert TokenCodec([KEY_2]).read(rotated.write(REFERENCE).encode()) == REFERENCE
    assert TokenCodec([KEY_1]).read(rotated.write(REFERENCE).encode()) is None


# Y04
def test_a_node_that_verifies_the_coming_key_already_takes_its_tokens() -> None:
    assert TokenCodec([KEY_1, KEY_2]).read(TokenCodec([KEY_2, KEY_1]).write(REFERENCE).encode()) == REFERENCE


def test_a_key_that_left_the_ring_signs_nothing_any_more() -> None:
    assert TokenCodec([KEY_3, KEY_2]).read(TOKEN) is None


# Y07
def test_a_token_signed_with_keys_of_another_use_does_not_read() -> None:
    ring = KeyRing([bytes(range(32))])
    forged = TokenCodec(ring.derive("totp-secret")).write(REFERENCE).encode()
    assert TokenCodec(ring.derive("token")).read(forged) is None


# A09
def test_no_key_can_be_read_off_the_codec() -> None:
    assert not hasattr(CODEC, "__dict__")
    assert KEY_1.hex() not in repr(CODEC)
    assert repr(KEY_1)[2:-1] not in repr(CODEC)
