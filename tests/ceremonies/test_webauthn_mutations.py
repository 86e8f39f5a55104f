"""No altered response passes, and none gets anything but a ``CeremonyError`` out of a ceremony."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from stepup_middleware.ceremonies.registration import finish_registration
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.errors import CeremonyError
from stepup_middleware.testing import EDDSA, ES256, RS256, VirtualAuthenticator

from .support import CHALLENGE, ORIGIN, RP, Enrolled, creation_options, enrol

ALGORITHMS = st.sampled_from([ES256, EDDSA, RS256])
SIGNED = st.sampled_from(["authenticatorData", "clientDataJSON", "signature"])
MEMBERS = ["", "id", "rawId", "type", "response", "authenticatorData", "userHandle"]
TEXT = st.characters(min_codepoint=32, max_codepoint=126)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@cache
def assertion(algorithm: int) -> tuple[Enrolled, str]:
    """Make one honest assertion an algorithm; as JSON text, so that no test alters another's."""
    enrolled = enrol(VirtualAuthenticator.hardware_key(algorithms=[algorithm]), FactorKind.HARDWARE_KEY)
    response = enrolled.respond()
    enrolled.judge(copy.deepcopy(response))
    return enrolled, json.dumps(response)


@cache
def registration() -> str:
    response = VirtualAuthenticator.passkey().create(creation_options(FactorKind.PASSKEY), origin=ORIGIN)
    finish_registration(RP, challenge=CHALLENGE, kind=FactorKind.PASSKEY, response=response)
    return json.dumps(response)


def assert_refused(enrolled: Enrolled, response: Any) -> None:
    with pytest.raises(CeremonyError):
        enrolled.judge(response)


@settings(deadline=None, max_examples=300)
@given(algorithm=ALGORITHMS, member=SIGNED, position=st.integers(0), flip=st.integers(1, 255))
def test_no_assertion_with_a_changed_byte_verifies(algorithm: int, member: str, position: int, flip: int) -> None:
    enrolled, honest = assertion(algorithm)
    response = json.loads(honest)
    data = bytearray(base64url_to_bytes(response["response"][member]))
    data[position % len(data)] ^= flip
    response["response"][member] = bytes_to_base64url(bytes(data))
    assert_refused(enrolled, response)


@settings(deadline=None, max_examples=300)
@given(
    algorithm=ALGORITHMS,
    member=SIGNED,
    position=st.integers(0),
    removed=st.integers(0, 3),
    inserted=st.text(TEXT, max_size=3),
)
def test_no_assertion_with_changed_text_verifies(
    algorithm: int, member: str, position: int, removed: int, inserted: str
) -> None:
    enrolled, honest = assertion(algorithm)
    response = json.loads(honest)
    text = response["response"][member]
    at = position % (len(text) + 1)
    changed = text[:at] + inserted + text[at + removed :]
    response["response"][member] = changed
    if changed == text:
        enrolled.judge(response)
    else:
        assert_refused(enrolled, response)


@settings(deadline=None, max_examples=50)
@given(algorithm=ALGORITHMS, credential_id=st.binary(min_size=0, max_size=40))
def test_no_assertion_under_another_id_verifies(algorithm: int, credential_id: bytes) -> None:
    enrolled, honest = assertion(algorithm)
    response = json.loads(honest)
    response["id"] = response["rawId"] = bytes_to_base64url(credential_id)
    assert_refused(enrolled, response)


@settings(deadline=None, max_examples=50)
@given(one=ALGORITHMS, other=ALGORITHMS, member=SIGNED)
def test_no_part_of_one_assertion_fits_another(one: int, other: int, member: str) -> None:
    enrolled, honest = assertion(one)
    response, foreign = json.loads(honest), json.loads(assertion(other)[1])
    if response["response"][member] == foreign["response"][member]:
        return
    response["response"][member] = foreign["response"][member]
    assert_refused(enrolled, response)


@settings(deadline=None, max_examples=200)
@given(
    path=st.sampled_from(["", "id", "rawId", "type", "response", *("authenticatorData", "userHandle")]),
    value=JSON,
)
def test_any_json_in_the_place_of_a_member_is_refused_with_a_ceremony_error(path: str, value: Any) -> None:
    enrolled, honest = assertion(ES256)
    response = json.loads(honest)
    if path == "":
        response = value
    elif path in response:
        response[path] = value
    else:
        response["response"][path] = value
    if path == "userHandle" and value in (None, ""):  # not discoverable
        enrolled.judge(response)
    else:
        assert_refused(enrolled, response)


@settings(deadline=None, max_examples=300)
@given(position=st.integers(0), flip=st.integers(1, 255), cut=st.booleans())
def test_a_changed_registration_raises_a_ceremony_error_or_says_the_truth_about_its_bytes(
    position: int, flip: int, cut: bool
) -> None:
    # Under none attestation nothing is signed, so a changed AAGUID or key is another honest registration.
    response = json.loads(registration())
    data = bytearray(base64url_to_bytes(response["response"]["attestationObject"]))
    at = position % len(data)
    if cut:
        del data[at:]
    else:
        data[at] ^= flip
    response["response"]["attestationObject"] = bytes_to_base64url(bytes(data))
    try:
        registered = finish_registration(RP, challenge=CHALLENGE, kind=FactorKind.PASSKEY, response=response)
    except CeremonyError:
        return
    assert not cut
    assert registered.public_key in bytes(data)
    assert bytes_to_base64url(registered.credential_id) == response["id"]
