"""WebAuthn L3 §7.2, one attack per test."""

from __future__ import annotations

import binascii
import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor, parse_cbor
from webauthn.helpers import exceptions as library_exceptions
from webauthn.helpers.structs import CredentialDeviceType

from stepup_middleware.ceremonies import authentication as ceremony
from stepup_middleware.ceremonies.authentication import (
    begin_authentication,
    finish_authentication,
)
from stepup_middleware.ceremonies.cose import verify_assertion_signature
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.errors import CeremonyError, FailureReason
from stepup_middleware.testing import EDDSA, ES256, RS256, VirtualAuthenticator
from tests.machine import steps

from .bombs import CBOR_BOMBS
from .support import (
    CHALLENGE,
    ORIGIN,
    OTHER_CHALLENGE,
    OTHER_ORIGIN,
    RP,
    TIMEOUT,
    Enrolled,
    creation_options,
    enrol,
    enrolled_hardware_key,
    enrolled_passkey,
    failure_of,
)


def honest_client_data(**members: Any) -> dict[str, Any]:
    return {
        "type": "webauthn.get",
        "challenge": bytes_to_base64url(CHALLENGE),
        "origin": ORIGIN,
        "crossOrigin": False,
    } | members


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_an_honest_assertion_verifies_and_can_be_verified_again_offline(algorithm: int) -> None:
    enrolled = enrol(VirtualAuthenticator.hardware_key(algorithms=[algorithm]), FactorKind.HARDWARE_KEY)
    verified = enrolled.authenticate()
    assert verified.factor is enrolled.factor
    assert verified.factor.algorithm == algorithm
    assert verified.new_sign_count == 2
    assert verified.backed_up is False
    kept = (verified.authenticator_data, verified.client_data_json, verified.signature)
    assert verify_assertion_signature(verified.factor.public_key, *kept)
    assert json.loads(verified.client_data_json)["challenge"] == bytes_to_base64url(CHALLENGE)


def test_each_of_the_relying_party_s_origins_is_accepted(passkey: Enrolled) -> None:
    assert passkey.authenticate(client_origin=OTHER_ORIGIN).backed_up is True


@pytest.mark.parametrize("part", range(4))
def test_an_altered_proof_does_not_verify_offline(hardware_key: Enrolled, part: int) -> None:
    verified = hardware_key.authenticate()
    proof = [
        verified.factor.public_key,
        verified.authenticator_data,
        verified.client_data_json,
        verified.signature,
    ]
    proof[part] = proof[part][:-1] + bytes([proof[part][-1] ^ 1])
    assert not verify_assertion_signature(*proof)
    proof[part] = b""
    assert not verify_assertion_signature(*proof)


# W02
@pytest.mark.parametrize("value", [True, 1, "true", None, {}])
def test_a_cross_origin_frame_is_refused(passkey: Enrolled, value: object) -> None:
    assert passkey.refusal(cross_origin=value) is FailureReason.CROSS_ORIGIN


# W02
@pytest.mark.parametrize("value", [ORIGIN, "https://evil.example", None])
def test_any_top_origin_is_refused(passkey: Enrolled, value: object) -> None:
    assert passkey.refusal(top_origin=value) is FailureReason.CROSS_ORIGIN


def test_client_data_of_an_old_browser_without_cross_origin_is_accepted(passkey: Enrolled) -> None:
    members = honest_client_data()
    del members["crossOrigin"]
    assert passkey.authenticate(client_data=json.dumps(members).encode()).factor is passkey.factor


# W03
def test_an_assertion_without_user_verification_is_refused(passkey: Enrolled) -> None:
    assert passkey.refusal(user_verified=False) is FailureReason.NO_USER_VERIFICATION


# W04
def test_an_assertion_without_user_presence_is_refused(passkey: Enrolled) -> None:
    assert passkey.refusal(user_present=False) is FailureReason.NO_USER_PRESENCE


# W06
@pytest.mark.parametrize(
    "origin",
    [
        "http://example.com",
        "https://example.com:444",
        "https://example.com/",
        "HTTPS://EXAMPLE.COM",
        "https://notexample.com",
        "https://sub.example.com",
        "https://example.com.evil.example",
        "https://xn--exmple-cua.com",
        "https://ex\u0430mple.com",
        "null",
        "",
        None,
        [ORIGIN],
        {"origin": ORIGIN},
        17,
    ],
)
def test_any_other_origin_is_refused(passkey: Enrolled, origin: object) -> None:
    assert passkey.refusal(client_origin=origin) is FailureReason.WRONG_ORIGIN


# W07
@pytest.mark.parametrize("client_type", ["webauthn.create", "payment.get", "WEBAUTHN.GET", ""])
def test_an_assertion_of_another_type_is_refused(passkey: Enrolled, client_type: str) -> None:
    assert passkey.refusal(client_type=client_type) is FailureReason.WRONG_TYPE


# W09
def test_an_assertion_over_another_challenge_is_refused(passkey: Enrolled) -> None:
    response = passkey.respond()
    verdict = failure_of(lambda: passkey.judge(response, challenge=OTHER_CHALLENGE))
    assert verdict is FailureReason.CHALLENGE_MISMATCH


# W11
def test_a_registration_response_is_no_assertion_even_over_the_same_challenge(passkey: Enrolled) -> None:
    response = passkey.authenticator.create(creation_options(FactorKind.PASSKEY), origin=ORIGIN)
    response["id"] = response["rawId"] = bytes_to_base64url(passkey.factor.credential_id)
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.MALFORMED
    response["response"] |= passkey.respond()["response"] | {"clientDataJSON": response["response"]["clientDataJSON"]}
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.WRONG_TYPE


@pytest.mark.parametrize("challenge", [b"", b"short", bytes(15)])
def test_a_challenge_too_short_to_be_random_never_matches(passkey: Enrolled, challenge: bytes) -> None:
    response = passkey.respond(challenge=bytes_to_base64url(challenge))
    verdict = failure_of(lambda: passkey.judge(response, challenge=challenge))
    assert verdict is FailureReason.CHALLENGE_MISMATCH


# W12
def test_the_registered_key_of_another_person_is_refused(passkey: Enrolled) -> None:
    other = enrolled_passkey()
    verdict = failure_of(lambda: passkey.judge(other.respond()))
    assert verdict is FailureReason.CREDENTIAL_NOT_ALLOWED


# W13
def test_a_signature_by_another_key_under_the_right_id_is_refused(passkey: Enrolled) -> None:
    other = enrolled_passkey()
    verdict = passkey.refusal(signed_by=other.authenticator.credentials[0])
    assert verdict is FailureReason.BAD_SIGNATURE


# W13
def test_two_factors_of_one_person_cannot_swap_their_ids(passkey: Enrolled, hardware_key: Enrolled) -> None:
    response = passkey.respond()
    response["id"] = response["rawId"] = bytes_to_base64url(hardware_key.factor.credential_id)
    with pytest.raises(CeremonyError):
        finish_authentication(
            RP,
            challenge=CHALLENGE,
            credentials=[passkey.factor, hardware_key.factor],
            response=response,
        )


def test_the_matching_factor_among_several_is_the_one_returned(passkey: Enrolled, hardware_key: Enrolled) -> None:
    verified = finish_authentication(
        RP,
        challenge=CHALLENGE,
        credentials=[passkey.factor, hardware_key.factor],
        response=hardware_key.respond(),
    )
    assert verified.factor is hardware_key.factor


def test_a_tampered_signature_is_refused(passkey: Enrolled) -> None:
    assert passkey.refusal(tamper_signature=True) is FailureReason.BAD_SIGNATURE


# W14
@pytest.mark.parametrize("handle", [b"someone else", bytes(65)])
def test_a_user_handle_of_somebody_else_is_refused(passkey: Enrolled, handle: bytes) -> None:
    assert passkey.refusal(user_handle=handle) is FailureReason.WRONG_USER_HANDLE


# W14
@pytest.mark.parametrize("none", [None, ""])
def test_an_absent_null_or_empty_user_handle_is_accepted(hardware_key: Enrolled, none: str | None) -> None:
    response = hardware_key.respond(user_handle=None)
    assert "userHandle" not in response["response"]
    response["response"]["userHandle"] = none
    assert hardware_key.judge(response).factor is hardware_key.factor


# W14
@pytest.mark.parametrize("handle", [17, [], {}, True, "not base64url!", "AA=="])
def test_a_user_handle_that_is_no_base64url_text_is_refused(passkey: Enrolled, handle: object) -> None:
    response = passkey.respond()
    response["response"]["userHandle"] = handle
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.WRONG_USER_HANDLE


# W16
def test_options_without_credentials_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="allowCredentials"):
        begin_authentication(RP, credentials=[], challenge=CHALLENGE, timeout=TIMEOUT)


# W16
def test_no_credential_passes_where_none_was_offered(passkey: Enrolled) -> None:
    verdict = failure_of(
        lambda: finish_authentication(RP, challenge=CHALLENGE, credentials=[], response=passkey.respond())
    )
    assert verdict is FailureReason.CREDENTIAL_NOT_ALLOWED


# W17
@pytest.mark.parametrize("presented", [5, 3, 0])
def test_a_sign_count_that_does_not_grow_is_suspected_of_a_clone(hardware_key: Enrolled, presented: int) -> None:
    verdict = hardware_key.altered(sign_count=5).refusal(sign_count=presented)
    assert verdict is FailureReason.CLONE_SUSPECTED


# W17
@pytest.mark.parametrize(("stored", "presented"), [(0, 0), (0, 1), (5, 6), (5, 0xFFFFFFFF)])
def test_a_sign_count_that_grows_or_is_never_used_is_accepted(
    hardware_key: Enrolled, stored: int, presented: int
) -> None:
    verified = hardware_key.altered(sign_count=stored).authenticate(sign_count=presented)
    assert verified.new_sign_count == presented


# W17
def test_only_the_holder_of_the_key_can_raise_the_alarm_of_a_clone(hardware_key: Enrolled) -> None:
    verdict = hardware_key.altered(sign_count=5).refusal(sign_count=3, tamper_signature=True)
    assert verdict is FailureReason.BAD_SIGNATURE


# W18
def test_a_changed_backup_eligibility_is_refused_in_both_directions(passkey: Enrolled, hardware_key: Enrolled) -> None:
    changed = FailureReason.BACKUP_ELIGIBILITY_CHANGED
    assert passkey.refusal(backup_eligible=False, backed_up=False) is changed
    assert hardware_key.refusal(backup_eligible=True) is changed


# W18
def test_a_changed_backup_state_is_accepted_and_returned(passkey: Enrolled) -> None:
    assert passkey.factor.backed_up is True
    assert passkey.authenticate(backed_up=False).backed_up is False
    assert passkey.authenticate(backed_up=True).backed_up is True


# W19
def test_a_backed_up_credential_that_cannot_be_backed_up_is_refused(hardware_key: Enrolled) -> None:
    assert hardware_key.refusal(backed_up=True) is FailureReason.BACKUP_STATE_INVALID


def verified_authentication(enrolled: Enrolled, **changes: Any) -> VerifiedAuthentication:
    values: dict[str, Any] = {
        "credential_id": enrolled.factor.credential_id,
        "new_sign_count": 2,
        "credential_device_type": CredentialDeviceType.SINGLE_DEVICE,
        "credential_backed_up": False,
        "user_verified": True,
    }
    return VerifiedAuthentication(**(values | changes))


# W21
@pytest.mark.parametrize(
    "result",
    [
        lambda _: None,
        lambda _: False,
        lambda _: True,
        lambda _: object(),
        lambda enrolled: verified_authentication(enrolled, user_verified=False),
        lambda enrolled: verified_authentication(enrolled, user_verified=1),
        lambda enrolled: verified_authentication(enrolled, credential_id=b"another"),
        lambda enrolled: verified_authentication(enrolled, new_sign_count=7),
        lambda enrolled: verified_authentication(enrolled, credential_backed_up=True),
    ],
)
def test_no_result_of_the_verifier_but_the_exact_one_passes(
    hardware_key: Enrolled, monkeypatch: pytest.MonkeyPatch, result: Callable[[Enrolled], object]
) -> None:
    response = hardware_key.respond()
    monkeypatch.setattr(ceremony, "verify_authentication_response", lambda **_: result(hardware_key))
    assert failure_of(lambda: hardware_key.judge(response)) is FailureReason.MALFORMED


LIBRARY_ERRORS = [
    error for _, error in inspect.getmembers(library_exceptions, inspect.isclass) if issubclass(error, Exception)
]
ESCAPING_ERRORS = [
    *LIBRARY_ERRORS,
    AttributeError,
    binascii.Error,
    IndexError,
    InvalidSignature,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
]


# W20, W21
@pytest.mark.parametrize("error", ESCAPING_ERRORS)
def test_whatever_the_verifier_raises_is_a_failed_ceremony_that_quotes_nothing(
    hardware_key: Enrolled, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(**_: object) -> None:
        raise error("a canary that must not be logged")

    response = hardware_key.respond()
    monkeypatch.setattr(ceremony, "verify_authentication_response", fail)
    with pytest.raises(CeremonyError) as caught:
        hardware_key.judge(response)
    assert caught.value.note == error.__name__
    assert caught.value.__suppress_context__


# W22
def test_reserved_flags_and_unknown_extensions_are_ignored(hardware_key: Enrolled) -> None:
    extensions = encode_cbor({"unknown": {"value": [1, 2]}})
    verified = hardware_key.authenticate(extra_flags=0x22, extensions=extensions)
    assert verified.factor is hardware_key.factor


# W22
def test_credential_data_in_an_assertion_is_never_used(hardware_key: Enrolled) -> None:
    other = enrolled_hardware_key()
    planted = bytes(16) + len(other.factor.credential_id).to_bytes(2, "big") + other.factor.credential_id
    planted += other.factor.public_key
    verified = hardware_key.authenticate(attested_data=planted)
    assert verified.factor is hardware_key.factor
    verdict = hardware_key.refusal(attested_data=planted, signed_by=other.authenticator.credentials[0])
    assert verdict is FailureReason.BAD_SIGNATURE


# W22
@pytest.mark.parametrize(
    "data",
    [b"", bytes(36), bytes(37) + b"\x00", bytes(5000)],
    ids=["empty", "36 bytes", "left over", "5000 bytes"],
)
def test_authenticator_data_of_the_wrong_length_is_refused(passkey: Enrolled, data: bytes) -> None:
    assert passkey.refusal(authenticator_data=data) is FailureReason.MALFORMED


@pytest.mark.parametrize("flag", [0x40, 0x80])
def test_a_flag_that_announces_data_which_is_not_there_is_refused(passkey: Enrolled, flag: int) -> None:
    assert passkey.refusal(extra_flags=flag) is FailureReason.MALFORMED


# W23
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-32"),
        lambda text: text.encode() + b"\xff",
        lambda text: text[:-1].encode() + b',"x":"\xed\xa0\x80"}',
        lambda text: text[:-1].encode() + b',"type":"webauthn.get"}',
        lambda text: text[:-1].encode() + b',"x":{"a":1,"a":2}}',
        lambda text: text[:-1].encode() + b',"x":NaN}',
        lambda text: text.encode() + b"{}",
        lambda text: b"[" + text.encode() + b"]",
        lambda text: b"",
        lambda text: b"null",
        lambda text: b" " * 5000 + text.encode(),
    ],
)
def test_client_data_with_more_than_one_reading_is_refused(passkey: Enrolled, encode: Callable[[str], bytes]) -> None:
    client_data = encode(json.dumps(honest_client_data()))
    assert passkey.refusal(client_data=client_data) is FailureReason.MALFORMED


# W23
def test_a_byte_order_mark_and_further_members_are_accepted(passkey: Enrolled) -> None:
    text = json.dumps(honest_client_data(future={"deep": [1, {"er": None}]}, text="{[\u00e9"))
    assert passkey.authenticate(client_data=b"\xef\xbb\xbf" + text.encode()).factor is passkey.factor


# W24
@pytest.mark.parametrize(
    "distort",
    [
        lambda text: text + "=",
        lambda text: text + "==",
        lambda text: " " + text,
        lambda text: text[:5] + "\n" + text[5:],
        lambda text: text[:5] + "!" + text[5:],
        lambda text: text[:5] + "\u00e9" + text[5:],
        lambda text: text[:-1] + chr(ord(text[-1]) + 1),
        lambda text: text.replace("_", "/").replace("-", "+") + "+",
    ],
)
def test_a_challenge_is_compared_as_text(passkey: Enrolled, distort: Callable[[str], str]) -> None:
    distorted = distort(bytes_to_base64url(CHALLENGE))
    assert passkey.refusal(challenge=distorted) is FailureReason.CHALLENGE_MISMATCH


# W26
@pytest.mark.parametrize("bomb", CBOR_BOMBS.values(), ids=CBOR_BOMBS)
def test_a_cbor_bomb_is_refused_at_once_even_when_signed(hardware_key: Enrolled, bomb: bytes) -> None:
    in_extensions = hardware_key.respond(extensions=bomb)
    in_public_key = hardware_key.respond(attested_data=bytes(16) + b"\x00\x01A" + bomb)
    most = steps(partial(hardware_key.judge, hardware_key.respond()))
    for response in (in_extensions, in_public_key):
        judge = partial(hardware_key.judge, response)
        assert failure_of(judge) is FailureReason.MALFORMED
        assert steps(partial(failure_of, judge)) < most


# W26
@pytest.mark.parametrize(
    "nested",
    ["[" * 65 + "]" * 65, "[" * 1500 + "]" * 1500, '{"a":' * 500 + "1" + "}" * 500, "[" * 3000],
    ids=["65 arrays", "1500 arrays", "500 objects", "unclosed"],
)
def test_deeply_nested_client_data_is_refused_at_once(passkey: Enrolled, nested: str) -> None:
    text = json.dumps(honest_client_data())[:-1] + ',"x":' + nested + "}"
    assert len(text) < 4096
    response = passkey.respond(client_data=text.encode())
    judge = partial(passkey.judge, response)
    assert failure_of(judge) is FailureReason.MALFORMED
    assert steps(partial(failure_of, judge)) < steps(partial(passkey.judge, passkey.respond()))


# W27
def test_a_stored_algorithm_that_is_not_the_key_s_own_is_refused_at_use(hardware_key: Enrolled) -> None:
    verdict = hardware_key.altered(algorithm=RS256).refusal()
    assert verdict is FailureReason.UNSUPPORTED_KEY


# W27
@pytest.mark.parametrize(
    ("bits", "exponent", "algorithm"),
    [(1024, 65537, RS256), (2048, 3, RS256), (2048, 65537, -65535), (2048, 65537, -37), (2048, 65537, ES256)],
    ids=["RSA-1024", "e=3", "RS1", "PS256", "RSA named ES256"],
)
def test_a_stored_weak_rsa_key_is_refused_at_use_although_its_signature_holds(
    bits: int, exponent: int, algorithm: int
) -> None:
    enrolled = enrol(VirtualAuthenticator.hardware_key(algorithms=[RS256]), FactorKind.HARDWARE_KEY)
    credential = enrolled.authenticator.credentials[0]
    credential.private_key = rsa.generate_private_key(public_exponent=exponent, key_size=bits)
    credential.algorithm = algorithm
    weak = enrolled.altered(public_key=credential.public_key, algorithm=algorithm)
    assert weak.refusal() is FailureReason.UNSUPPORTED_KEY


# W27
@pytest.mark.parametrize("stored", [b"", b"\x00", b"\x04" + bytes(64), b"\xa0", b"\xa5\x01\x02", bytes(2000)])
def test_a_stored_key_that_cannot_be_read_is_refused_at_use(hardware_key: Enrolled, stored: bytes) -> None:
    assert hardware_key.altered(public_key=stored).refusal() is FailureReason.UNSUPPORTED_KEY


# W27
def test_a_stored_raw_u2f_point_is_refused_although_its_signature_holds(hardware_key: Enrolled) -> None:
    members = parse_cbor(hardware_key.factor.public_key)
    raw = b"\x04" + members[-2] + members[-3]
    assert hardware_key.altered(public_key=raw).refusal() is FailureReason.UNSUPPORTED_KEY


# W28
def test_the_kind_is_the_record_s_whatever_the_client_claims(passkey: Enrolled) -> None:
    response = passkey.respond(attachment="cross-platform") | {
        "factor": "hardware_key",
        "kind": "hardware_key",
    }
    assert passkey.judge(response).factor.kind is FactorKind.PASSKEY


# W29
def test_options_name_the_configured_relying_party_and_demand_verification(hardware_key: Enrolled) -> None:
    options = begin_authentication(RP, credentials=[hardware_key.factor], challenge=CHALLENGE, timeout=TIMEOUT)
    assert options == {
        "challenge": bytes_to_base64url(CHALLENGE),
        "timeout": 60_000,
        "rpId": "example.com",
        "allowCredentials": [
            {
                "id": bytes_to_base64url(hardware_key.factor.credential_id),
                "type": "public-key",
                "transports": ["nfc", "usb"],
            }
        ],
        "userVerification": "required",
        "hints": ["security-key"],
    }


# W34
def test_options_name_the_given_credentials_alone_with_a_hint_for_each_kind(
    passkey: Enrolled, hardware_key: Enrolled
) -> None:
    factors = [passkey.factor, hardware_key.factor, enrolled_passkey().factor]
    options = begin_authentication(RP, credentials=factors, challenge=CHALLENGE, timeout=TIMEOUT)
    named = [base64url_to_bytes(one["id"]) for one in options["allowCredentials"]]
    assert named == [factor.credential_id for factor in factors]
    assert options["hints"] == ["client-device", "security-key"]


def test_options_over_a_short_challenge_cannot_be_made(passkey: Enrolled) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        begin_authentication(RP, credentials=[passkey.factor], challenge=bytes(15), timeout=TIMEOUT)


def test_a_transport_that_is_no_longer_known_is_left_out_of_the_options(passkey: Enrolled) -> None:
    factor = passkey.altered(transports=("telepathy", "internal", "internal")).factor
    options = begin_authentication(RP, credentials=[factor], challenge=CHALLENGE, timeout=TIMEOUT)
    assert options["allowCredentials"][0]["transports"] == ["internal"]


def test_an_assertion_for_another_relying_party_is_refused(passkey: Enrolled) -> None:
    assert passkey.refusal(rp_id="evil.example") is FailureReason.WRONG_RP_ID
    elsewhere = RelyingParty(id="axis.example", name="AxisSynapse", origins=["https://axis.example"])
    response = passkey.respond(client_origin="https://axis.example")
    verdict = failure_of(
        lambda: finish_authentication(elsewhere, challenge=CHALLENGE, credentials=[passkey.factor], response=response)
    )
    assert verdict is FailureReason.WRONG_RP_ID


@pytest.mark.parametrize("response", [None, [], "{}", b"{}", 17, {}, {"type": "public-key"}, {"id": []}])
def test_a_response_of_another_shape_is_malformed(passkey: Enrolled, response: object) -> None:
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.MALFORMED


@pytest.mark.parametrize("kind", [None, "password", "Public-Key", [], 1])
def test_a_credential_of_another_type_is_malformed(passkey: Enrolled, kind: object) -> None:
    response = passkey.respond() | {"type": kind}
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.MALFORMED


@pytest.mark.parametrize("member", ["clientDataJSON", "authenticatorData", "signature"])
@pytest.mark.parametrize("value", [None, "", "=", "!", 17, [], {}, "A", "QQ==", "\ud800", "A" * 100_000])
def test_a_member_that_is_missing_or_no_base64url_text_is_refused(
    passkey: Enrolled, member: str, value: object
) -> None:
    response = passkey.respond()
    response["response"][member] = value
    with pytest.raises(CeremonyError):
        passkey.judge(response)
    del response["response"][member]
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.MALFORMED


@pytest.mark.parametrize("member", ["id", "rawId"])
def test_an_id_that_is_not_the_raw_id_is_refused(passkey: Enrolled, member: str) -> None:
    response = passkey.respond() | {member: bytes_to_base64url(b"another")}
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.CREDENTIAL_ID_INVALID


@pytest.mark.parametrize("value", [None, 17, [], "A" * 2000, "%%%", "QQ==", "\ud800"])
def test_an_id_that_is_no_base64url_text_is_refused(passkey: Enrolled, value: object) -> None:
    response = passkey.respond() | {"id": value, "rawId": value}
    assert failure_of(lambda: passkey.judge(response)) is FailureReason.CREDENTIAL_ID_INVALID
