"""Which keys are good enough, and one derived key per use."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.keys import KeyRing
from stepup_middleware.errors import ConfigurationError
from tests.core.support import texts

KEY_1, KEY_2 = bytes(range(32)), bytes(range(32, 64))


# Y01 Y02
@pytest.mark.parametrize(
    "keys",
    [
        [],
        "",
        b"",
        [""],
        [b""],
        [None],
        [KEY_1, ""],
        ["", KEY_1],
        [KEY_1, None],
        [KEY_1, b""],
        [KEY_1[:31]],
        "x" * 31,
        [7],
        [KEY_1, KEY_1[:31]],
    ],
)
def test_a_missing_or_short_key_anywhere_in_the_list_stops_the_start(keys: object) -> None:
    with pytest.raises(ConfigurationError, match="keygen"):
        KeyRing(keys)  # type: ignore[arg-type]


# Y02
@pytest.mark.parametrize(
    "placeholder",
    [
        "changeme" * 8,
        "please-change-me-before-you-go-live!!",
        "django-insecure-0123456789abcdefghijklmnop",
        "this-is-my-SECRET-key-0123456789-abcdef",
        "your-key-goes-here-0123456789abcdefghij",
        "a" * 64,
        bytes(64),
        "abcabcabcabcabcabcabcabcabcabcabcabc",
    ],
)
def test_a_placeholder_stops_the_start(placeholder: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="placeholder"):
        KeyRing([placeholder])


def test_the_same_key_twice_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        KeyRing([KEY_1, KEY_2, KEY_1])


@given(st.integers(32, 80))
def test_random_keys_of_enough_bytes_are_taken(length: int) -> None:
    assert len(KeyRing([secrets.token_bytes(length)]).derive("token")[0]) == 32


def test_one_key_alone_is_a_ring_of_one() -> None:
    assert KeyRing(KEY_1).derive("token") == KeyRing([KEY_1]).derive("token")


# Y07
def test_each_use_and_each_key_derives_a_key_of_its_own() -> None:
    ring = KeyRing([KEY_1, KEY_2])
    derived = [key for use in ("token", "totp-secret", "row-mac", "") for key in ring.derive(use)]
    assert len(set(derived)) == len(derived) == 8
    assert not {KEY_1, KEY_2} & set(derived)


@given(texts, texts)
def test_two_uses_never_share_a_key(one: str, other: str) -> None:
    ring = KeyRing([KEY_1])
    assert (ring.derive(one) == ring.derive(other)) == (one == other)


# Y08
def test_derivation_is_hmac_with_sha_256() -> None:
    expected = hmac.new(KEY_1, b"stepup_middleware.token", hashlib.sha256).digest()
    assert KeyRing([KEY_1]).derive("token") == (expected,)


def test_derived_keys_keep_the_order_of_the_ring() -> None:
    one, other = KeyRing([KEY_1]).derive("token"), KeyRing([KEY_2]).derive("token")
    assert KeyRing([KEY_2, KEY_1]).derive("token") == other + one


# Y09
def test_no_key_is_in_the_repr_of_the_ring() -> None:
    assert repr(KeyRing([KEY_1, KEY_2])) == "<KeyRing of 2>"
    assert not hasattr(KeyRing([KEY_1]), "__dict__")


# Y09
def test_no_key_is_in_the_message_of_a_refusal() -> None:
    canary = "canary-0123456789"
    with pytest.raises(ConfigurationError) as caught:
        KeyRing([canary])
    assert canary not in str(caught.value)
