"""The decoders that stand in front of all others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webauthn.helpers import bytes_to_base64url, encode_cbor

from stepup_middleware.ceremonies.bounds import (
    decode_base64url,
    end_of_cbor_item,
    parse_authenticator_data,
    parse_client_data,
)
from stepup_middleware.errors import CeremonyError, FailureReason
from tests.machine import steps

from .bombs import CBOR_BOMBS
from .support import failure_of

LEAVES = (
    st.integers(-(2**63), 2**63)
    | st.binary(max_size=300)
    | st.text(max_size=300)
    | st.booleans()
    | st.none()
    | st.floats()
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=30) | st.dictionaries(st.integers(-50, 50), inner, max_size=30)


@settings(deadline=None, max_examples=100)
@given(value=LEAVES | containers(LEAVES | containers(LEAVES)), behind=st.binary(max_size=5))
def test_the_end_of_what_an_encoder_wrote_is_found(value: Any, behind: bytes) -> None:
    encoded = encode_cbor(value)
    assert end_of_cbor_item(b"#" + encoded + behind, 1) == 1 + len(encoded)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=200), start=st.integers(0, 250))
def test_any_bytes_have_an_end_within_them_or_are_malformed(data: bytes, start: int) -> None:
    try:
        end = end_of_cbor_item(data, start)
    except CeremonyError as error:
        assert error.reason is FailureReason.MALFORMED
    else:
        assert start < end <= len(data)


def test_four_levels_of_containers_are_the_limit() -> None:
    assert end_of_cbor_item(encode_cbor([[[{1: 1}]]]), 0) == 6
    assert failure_of(lambda: end_of_cbor_item(encode_cbor([[[{1: []}]]]), 0)) is FailureReason.MALFORMED


# W26
@pytest.mark.parametrize("bomb", CBOR_BOMBS.values(), ids=CBOR_BOMBS)
def test_every_bomb_is_refused_after_a_few_steps(bomb: bytes) -> None:
    assert failure_of(lambda: end_of_cbor_item(bomb, 0)) is FailureReason.MALFORMED
    honest = encode_cbor({number: bytes(30) for number in range(20)})
    assert steps(lambda: failure_of(lambda: end_of_cbor_item(bomb, 0))) < steps(lambda: end_of_cbor_item(honest, 0))


@given(data=st.binary(max_size=50))
def test_base64url_is_decoded_to_what_was_encoded(data: bytes) -> None:
    assert decode_base64url(bytes_to_base64url(data), 50, "it") == data


@given(text=st.text(max_size=40))
def test_no_two_texts_decode_to_the_same_bytes(text: str) -> None:
    try:
        decoded = decode_base64url(text, 30, "it")
    except CeremonyError:
        return
    assert bytes_to_base64url(decoded) == text


@pytest.mark.parametrize("limit", range(12))
def test_the_limit_is_in_bytes_and_exact(limit: int) -> None:
    assert decode_base64url(bytes_to_base64url(bytes(limit)), limit, "it") == bytes(limit)
    too_long = bytes_to_base64url(bytes(limit + 1))
    assert failure_of(lambda: decode_base64url(too_long, limit, "it")) is FailureReason.MALFORMED


@settings(deadline=None)
@given(data=st.binary(max_size=100))
def test_any_bytes_are_an_object_of_client_data_or_malformed(data: bytes) -> None:
    try:
        parsed = parse_client_data(data)
    except CeremonyError as error:
        assert error.reason is FailureReason.MALFORMED
    else:
        assert isinstance(parsed, dict)


@settings(deadline=None, max_examples=300)
@given(header=st.binary(min_size=32, max_size=32), flags=st.integers(0, 255), rest=st.binary(max_size=120))
def test_any_authenticator_data_is_split_without_a_byte_left_or_refused(header: bytes, flags: int, rest: bytes) -> None:
    data = header + bytes([flags]) + rest
    try:
        parsed = parse_authenticator_data(data)
    except CeremonyError as error:
        assert error.reason in {FailureReason.MALFORMED, FailureReason.CREDENTIAL_ID_INVALID}
        return
    assert parsed.rp_id_hash == header
    assert parsed.sign_count == int.from_bytes(data[33:37], "big")
    assert parsed.user_present is bool(flags & 1)
    assert parsed.user_verified is bool(flags & 4)
    assert (parsed.attested is not None) is bool(flags & 0x40)
    assert len(data) == 37 or flags & 0xC0
