"""WebAuthn L3 §7.1, one attack per test."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn import verify_registration_response
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor, parse_cbor

from stepup_middleware.ceremonies import registration as ceremony
from stepup_middleware.ceremonies.cose import decode_key
from stepup_middleware.ceremonies.registration import begin_registration, finish_registration
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.errors import CeremonyError, FailureReason
from stepup_middleware.testing import EDDSA, ES256, RS256, VirtualAuthenticator
from tests.machine import steps

from .bombs import CBOR_BOMBS
from .support import (
    CHALLENGE,
    ORIGIN,
    OTHER_CHALLENGE,
    RP,
    TIMEOUT,
    USER_HANDLE,
    creation_options,
    failure_of,
    register,
)
from .test_webauthn_authentication import ESCAPING_ERRORS

HARDWARE_KEY, PASSKEY = FactorKind.HARDWARE_KEY, FactorKind.PASSKEY


def respond(authenticator: VirtualAuthenticator | None = None, **deviations: Any) -> dict[str, Any]:
    """Answer the options for a passkey, honestly but for the deviations."""
    authenticator = authenticator or VirtualAuthenticator.passkey()
    return authenticator.create(creation_options(PASSKEY), origin=ORIGIN, **deviations)


def refusal(response: Any, challenge: bytes = CHALLENGE) -> FailureReason:
    return failure_of(lambda: finish_registration(RP, challenge=challenge, kind=PASSKEY, response=response))


def refusal_of(**deviations: Any) -> FailureReason:
    return refusal(respond(**deviations))


def with_attestation(response: dict[str, Any], attestation_object: bytes) -> dict[str, Any]:
    response["response"]["attestationObject"] = bytes_to_base64url(attestation_object)
    return response


def attestation_of(response: dict[str, Any]) -> dict[str, Any]:
    members = parse_cbor(base64url_to_bytes(response["response"]["attestationObject"]))
    assert isinstance(members, dict)
    return members


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
@pytest.mark.parametrize("self_attestation", [False, True])
def test_an_honest_registration_returns_what_was_signed(algorithm: int, self_attestation: bool) -> None:
    authenticator = VirtualAuthenticator.hardware_key(algorithms=[algorithm])
    authenticator.aaguid = bytes(range(16))
    registered = register(authenticator, HARDWARE_KEY, self_attestation=self_attestation)
    credential = authenticator.credentials[0]
    assert registered.credential_id == credential.credential_id
    assert registered.public_key == credential.public_key
    assert registered.algorithm == algorithm
    assert registered.sign_count == credential.sign_count == 1
    assert (registered.backup_eligible, registered.backed_up) == (False, False)
    assert registered.transports == ("nfc", "usb")
    assert registered.aaguid == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert registered.attestation_format == ("packed" if self_attestation else "none")


def test_the_backup_flags_of_a_synced_passkey_are_returned() -> None:
    registered = register(VirtualAuthenticator.passkey(), PASSKEY)
    assert (registered.backup_eligible, registered.backed_up) == (True, True)


def test_the_options_for_a_passkey_ask_for_a_discoverable_verified_credential() -> None:
    assert creation_options(PASSKEY, exclude=(b"one", b"two")) == {
        "rp": {"id": "example.com", "name": "AxisSynapse"},
        "user": {
            "id": bytes_to_base64url(USER_HANDLE),
            "name": "owner@axis.example",
            "displayName": "Owner",
        },
        "challenge": bytes_to_base64url(CHALLENGE),
        "pubKeyCredParams": [
            {"type": "public-key", "alg": ES256},
            {"type": "public-key", "alg": EDDSA},
            {"type": "public-key", "alg": RS256},
        ],
        "timeout": 60_000,
        "excludeCredentials": [
            {"id": bytes_to_base64url(b"one"), "type": "public-key"},
            {"id": bytes_to_base64url(b"two"), "type": "public-key"},
        ],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
        "hints": ["client-device"],
    }


def test_the_options_for_a_hardware_key_ask_for_a_roaming_verified_authenticator() -> None:
    options = creation_options(HARDWARE_KEY)
    assert options["authenticatorSelection"] == {
        "authenticatorAttachment": "cross-platform",
        "residentKey": "discouraged",
        "requireResidentKey": False,
        "userVerification": "required",
    }
    assert options["hints"] == ["security-key"]
    assert options["attestation"] == "none"


@pytest.mark.parametrize(
    "changes",
    [
        {"challenge": bytes(15)},
        {"user_handle": b""},
        {"user_handle": bytes(65)},
        {"kind": FactorKind.TOTP},
        {"user_name": ""},
    ],
)
def test_options_that_no_ceremony_may_have_cannot_be_made(changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "user_handle": USER_HANDLE,
        "user_name": "owner@axis.example",
        "display_name": "Owner",
        "kind": PASSKEY,
        "exclude": [],
        "challenge": CHALLENGE,
        "timeout": timedelta(seconds=60),
    }
    begin_registration(RP, **arguments)
    with pytest.raises(ValueError, match=r"."):
        begin_registration(RP, **(arguments | changes))


# R01
def test_a_json_id_that_is_not_the_signed_id_is_refused() -> None:
    assert refusal_of(credential_id=b"another") is FailureReason.CREDENTIAL_ID_INVALID
    for member in ("id", "rawId"):
        response = respond() | {member: bytes_to_base64url(b"another")}
        assert refusal(response) is FailureReason.CREDENTIAL_ID_INVALID


# R02
def test_a_credential_id_of_1023_bytes_is_accepted_and_no_longer_one() -> None:
    registered = register(VirtualAuthenticator.passkey(), PASSKEY, signed_credential_id=bytes(1023))
    assert len(registered.credential_id) == 1023
    for length in (0, 1024, 3000):
        assert refusal_of(signed_credential_id=bytes(length)) is FailureReason.CREDENTIAL_ID_INVALID


def cose_ec2(x: int, y: int, curve: int = 1, algorithm: int = ES256, size: int = 32, **extra: Any) -> bytes:
    return encode_cbor(
        {1: 2, 3: algorithm, -1: curve, -2: x.to_bytes(size, "big"), -3: y.to_bytes(size, "big")} | extra
    )


def cose_rsa(bits: int, exponent: int, algorithm: int = RS256) -> bytes:
    modulus = (1 << (bits - 1)) | 1
    return encode_cbor(
        {1: 3, 3: algorithm, -1: modulus.to_bytes((bits + 7) // 8, "big"), -2: exponent.to_bytes(8, "big")}
    )


def cose_okp(x: bytes, curve: int = 6, algorithm: int = EDDSA) -> bytes:
    return encode_cbor({1: 1, 3: algorithm, -1: curve, -2: x})


P256 = ec.derive_private_key(17, ec.SECP256R1()).public_key().public_numbers()
P384 = ec.derive_private_key(17, ec.SECP384R1()).public_key().public_numbers()

BAD_KEYS = {
    "EC point off the curve": cose_ec2(P256.x, P256.y ^ 1),
    "EC point at infinity": cose_ec2(0, 0),
    "EC coordinate beyond the field": cose_ec2(P256.x + 2**255, P256.y),
    "ES256 with P-384": cose_ec2(P384.x, P384.y, curve=2, size=48),
    "ES256 with P-384 sizes": cose_ec2(P256.x, P256.y, size=48),
    "ES384": cose_ec2(P384.x, P384.y, curve=2, algorithm=-35, size=48),
    "EC key named RS256": cose_ec2(P256.x, P256.y, algorithm=RS256),
    "EC key named EdDSA": cose_ec2(P256.x, P256.y, algorithm=EDDSA),
    "compressed EC point": encode_cbor({1: 2, 3: ES256, -1: 1, -2: bytes(32), -3: True}),
    "RSA-1024": cose_rsa(1024, 65537),
    "RSA-2047": cose_rsa(2047, 65537),
    "RSA-4097": cose_rsa(4097, 65537),
    "RSA with e=3": cose_rsa(2048, 3),
    "RSA with e=1": cose_rsa(2048, 1),
    "RSA with even e": cose_rsa(2048, 65538),
    "RSA with a 63-bit e": cose_rsa(2048, (1 << 62) + 1),
    "RS1": cose_rsa(2048, 65537, algorithm=-65535),
    "RS512": cose_rsa(2048, 65537, algorithm=-259),
    "RSA key named ES256": cose_rsa(2048, 65537, algorithm=ES256),
    "Ed25519 identity": cose_okp(b"\x01" + bytes(31)),
    "Ed25519 point of order 4": cose_okp(bytes(32)),
    "Ed25519 point of order 4, sign set": cose_okp(bytes(31) + b"\x80"),
    "Ed25519 point of order 8": cose_okp(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    ),
    "Ed25519 too short": cose_okp(bytes(31)),
    "X25519": cose_okp(bytes(range(32)), curve=4),
    "Ed448": cose_okp(bytes(57), curve=7, algorithm=-53),
    "algorithm named by a float": encode_cbor(
        {1: 2, 3: -7.0, -1: 1, -2: P256.x.to_bytes(32, "big"), -3: P256.y.to_bytes(32, "big")}
    ),
    "over 1024 bytes": encode_cbor(
        {
            1: 2,
            3: ES256,
            -1: 1,
            -2: P256.x.to_bytes(32, "big"),
            -3: P256.y.to_bytes(32, "big"),
            2: bytes(1000),
        }
    ),
    "type named by true": encode_cbor({True: 1, 3: EDDSA, -1: 6, -2: bytes(range(32))}),
    "type is true": encode_cbor({1: True, 3: EDDSA, -1: 6, -2: bytes(range(32))}),
    "no type": encode_cbor({3: ES256}),
    "no algorithm": encode_cbor({1: 2, -1: 1, -2: bytes(32), -3: bytes(32)}),
    "no coordinates": encode_cbor({1: 2, 3: ES256}),
    "a number": encode_cbor(17),
    "an array": encode_cbor([1, 2]),
    "an empty map": encode_cbor({}),
}


# R04, R07
@pytest.mark.parametrize("public_key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_must_not_be_used_is_refused_at_registration(public_key: bytes) -> None:
    assert refusal_of(public_key=public_key) is FailureReason.UNSUPPORTED_KEY


# R04: what loading would catch is refused before it, so that at use it needs no loading
@pytest.mark.parametrize(
    "public_key",
    [
        cose_ec2(P256.x, P256.y, curve=2),
        cose_okp(bytes(range(32)), curve=4),
        cose_okp(bytes(range(32)), algorithm=ES256),
        encode_cbor({1: 3, 3: RS256, -1: (1 << 2047).to_bytes(256, "big"), -2: b"\x01\x00\x01"}),
    ],
    ids=["P-256 point named P-384", "X25519", "Ed25519 named ES256", "even modulus"],
)
def test_a_key_is_judged_without_being_loaded(public_key: bytes) -> None:
    assert failure_of(lambda: decode_key(public_key)) is FailureReason.UNSUPPORTED_KEY


# R04
@pytest.mark.parametrize("public_key", [cose_rsa(2048, 65537), cose_rsa(4096, 65537), cose_ec2(P256.x, P256.y)])
def test_the_limits_of_a_sane_key_are_inside(public_key: bytes) -> None:
    assert register(VirtualAuthenticator.passkey(), PASSKEY, public_key=public_key).public_key == public_key


# R06
@pytest.mark.parametrize("deviation", [{"cross_origin": True}, {"top_origin": ORIGIN}])
def test_a_framed_registration_is_refused(deviation: dict[str, Any]) -> None:
    assert refusal_of(**deviation) is FailureReason.CROSS_ORIGIN


# R08
def test_a_registration_over_another_challenge_is_refused() -> None:
    assert refusal(respond(), challenge=OTHER_CHALLENGE) is FailureReason.CHALLENGE_MISMATCH
    assert refusal_of(challenge=bytes_to_base64url(CHALLENGE) + "=") is FailureReason.CHALLENGE_MISMATCH
    assert refusal(respond(challenge=""), challenge=b"") is FailureReason.CHALLENGE_MISMATCH


# R09
def test_an_attestation_by_a_certificate_that_nobody_vouches_for_is_never_asked_for() -> None:
    for kind in (PASSKEY, HARDWARE_KEY):
        assert creation_options(kind)["attestation"] == "none"


def test_a_self_attestation_that_does_not_verify_is_refused() -> None:
    verdict = refusal_of(self_attestation=True, tamper_signature=True)
    assert verdict is FailureReason.BAD_SIGNATURE


def test_a_none_attestation_with_a_statement_is_refused() -> None:
    response = respond()
    members = attestation_of(response) | {"attStmt": {"sig": b"x", "alg": ES256}}
    assert refusal(with_attestation(response, encode_cbor(members))) is FailureReason.MALFORMED


@pytest.mark.parametrize(
    ("deviation", "reason"),
    [
        ({"client_type": "webauthn.get"}, FailureReason.WRONG_TYPE),
        ({"client_origin": "https://evil.example"}, FailureReason.WRONG_ORIGIN),
        ({"client_origin": ORIGIN + "/"}, FailureReason.WRONG_ORIGIN),
        ({"rp_id": "evil.example"}, FailureReason.WRONG_RP_ID),
        ({"user_present": False}, FailureReason.NO_USER_PRESENCE),
        ({"user_verified": False}, FailureReason.NO_USER_VERIFICATION),
        ({"backup_eligible": False, "backed_up": True}, FailureReason.BACKUP_STATE_INVALID),
        ({"client_data": b"{}"}, FailureReason.WRONG_TYPE),
        ({"client_data": b'{"type":1,"type":2}'}, FailureReason.MALFORMED),
        ({"client_data": '{"type":"webauthn.create"}'.encode("utf-16")}, FailureReason.MALFORMED),
        ({"authenticator_data": bytes(36)}, FailureReason.MALFORMED),
        ({"authenticator_data": bytes(5000)}, FailureReason.MALFORMED),
        ({"extra_flags": 0x80}, FailureReason.MALFORMED),
    ],
)
def test_each_deviation_is_refused_with_its_own_reason(deviation: dict[str, Any], reason: FailureReason) -> None:
    assert refusal_of(**deviation) is reason


def test_a_registration_without_attested_credential_data_is_refused() -> None:
    response = respond()
    members = attestation_of(response)
    header = members["authData"][:32] + b"\x1d" + members["authData"][33:37]
    members["authData"] = header
    assert refusal(with_attestation(response, encode_cbor(members))) is FailureReason.MALFORMED


def test_further_members_and_extensions_are_ignored() -> None:
    extensions = encode_cbor({"credProtect": 2})
    registered = register(
        VirtualAuthenticator.passkey(),
        PASSKEY,
        extensions=extensions,
        extra_flags=0x22,
        client_members={"future": [1]},
    )
    assert registered.attestation_format == "none"


# R01, and what is behind the signed key
def test_bytes_behind_the_attestation_object_or_the_key_are_refused() -> None:
    response = respond()
    attestation_object = base64url_to_bytes(response["response"]["attestationObject"])
    assert refusal(with_attestation(response, attestation_object + b"\x00")) is FailureReason.MALFORMED
    key = cose_ec2(P256.x, P256.y)
    assert refusal_of(public_key=key + b"\x00") is FailureReason.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"fmt": 17},
        {"fmt": "unheard-of"},
        {"attStmt": []},
        {"attStmt": None},
        {"authData": "text"},
        {"authData": b""},
        {"authData": None},
    ],
)
def test_an_attestation_object_of_another_shape_is_malformed(change: dict[str, Any]) -> None:
    response = respond()
    members = attestation_of(response) | change
    assert refusal(with_attestation(response, encode_cbor(members))) is FailureReason.MALFORMED


@pytest.mark.parametrize("value", [[1, 2], 17, "none", b"none", None, {}])
def test_an_attestation_object_that_is_no_map_of_members_is_malformed(value: object) -> None:
    assert refusal(with_attestation(respond(), encode_cbor(value))) is FailureReason.MALFORMED


@pytest.mark.parametrize("missing", ["fmt", "attStmt", "authData"])
def test_an_attestation_object_without_a_member_is_malformed(missing: str) -> None:
    response = respond()
    members = attestation_of(response)
    del members[missing]
    assert refusal(with_attestation(response, encode_cbor(members))) is FailureReason.MALFORMED


def test_a_duplicate_key_in_the_attestation_object_is_refused() -> None:
    response = respond()
    encoded = encode_cbor(attestation_of(response))
    doubled = b"\xa4" + encoded[1:] + encode_cbor("fmt") + encode_cbor("none")
    assert refusal(with_attestation(response, doubled)) is FailureReason.MALFORMED


# W26 at registration
@pytest.mark.parametrize("bomb", CBOR_BOMBS.values(), ids=CBOR_BOMBS)
def test_a_cbor_bomb_is_refused_at_once(bomb: bytes) -> None:
    in_key, in_extensions = respond(public_key=bomb), respond(extensions=bomb)
    as_object = with_attestation(respond(), bomb)
    in_statement = respond()
    encoded = encode_cbor(attestation_of(in_statement) | {"attStmt": "@"})
    with_attestation(in_statement, encoded.replace(encode_cbor("@"), bomb))
    honest = respond()
    most = steps(lambda: finish_registration(RP, challenge=CHALLENGE, kind=PASSKEY, response=honest))
    for response in (in_key, in_extensions, as_object, in_statement):
        assert refusal(response) in {FailureReason.MALFORMED, FailureReason.UNSUPPORTED_KEY}
        assert steps(partial(refusal, response)) < most


@pytest.mark.parametrize("member", ["clientDataJSON", "attestationObject"])
@pytest.mark.parametrize("value", [None, "", "!", 17, [], "QQ==", "A" * 100_000])
def test_a_member_that_is_missing_or_no_base64url_text_is_refused(member: str, value: object) -> None:
    response = respond()
    response["response"][member] = value
    assert refusal(response) is FailureReason.MALFORMED


@pytest.mark.parametrize("response", [None, [], "{}", 17, {}, {"type": "public-key", "response": []}])
def test_a_response_of_another_shape_is_malformed(response: object) -> None:
    assert refusal(response) is FailureReason.MALFORMED


# W28: the kind is decided here, once
@pytest.mark.parametrize(
    ("transports", "attachment", "backup_eligible", "fits_hardware_key", "fits_passkey"),
    [
        (["usb"], "cross-platform", False, True, False),
        (["nfc", "usb"], None, False, True, False),
        (["ble"], "cross-platform", False, True, False),
        (["smart-card"], "cross-platform", False, True, False),
        ([], "cross-platform", False, True, True),
        (["unheard-of"], "cross-platform", False, True, True),
        ([], None, False, False, True),
        (["usb"], "platform", False, False, False),
        (["usb"], "cross-platform", True, False, True),
        (["internal"], "platform", False, False, True),
        (["internal"], "platform", True, False, True),
        (["internal"], "cross-platform", False, False, True),
        (["ble", "hybrid"], "cross-platform", False, False, True),
        (["hybrid", "internal"], "cross-platform", True, False, True),
        (["usb", "internal"], "cross-platform", False, False, True),
    ],
)
def test_the_response_must_be_consistent_with_the_kind_that_was_asked_for(
    transports: list[str],
    attachment: str | None,
    backup_eligible: bool,
    fits_hardware_key: bool,
    fits_passkey: bool,
) -> None:
    for kind, fits in ((HARDWARE_KEY, fits_hardware_key), (PASSKEY, fits_passkey)):
        authenticator = VirtualAuthenticator.passkey()
        response = authenticator.create(
            creation_options(kind),
            origin=ORIGIN,
            transports=transports,
            attachment=attachment,
            backup_eligible=backup_eligible,
            backed_up=False,
        )

        def finish(kind: FactorKind = kind, response: dict[str, Any] = response) -> object:
            return finish_registration(RP, challenge=CHALLENGE, kind=kind, response=response)

        if fits:
            finish()
        else:
            assert failure_of(finish) is FailureReason.KIND_MISMATCH


def test_no_webauthn_credential_is_a_one_time_password() -> None:
    verdict = failure_of(lambda: finish_registration(RP, challenge=CHALLENGE, kind=FactorKind.TOTP, response=respond()))
    assert verdict is FailureReason.KIND_MISMATCH


@pytest.mark.parametrize("transports", ["usb", None, {"usb": 1}, 17])
def test_transports_of_another_shape_count_as_none(transports: object) -> None:
    response = respond()
    response["response"]["transports"] = transports
    registered = finish_registration(RP, challenge=CHALLENGE, kind=PASSKEY, response=response)
    assert registered.transports == ()


def test_only_known_transports_are_kept_and_each_once() -> None:
    response = respond(transports=["internal", "internal", "<script>", "hybrid"])
    response["response"]["transports"] += [17, None, ["usb"]]
    registered = finish_registration(RP, challenge=CHALLENGE, kind=PASSKEY, response=response)
    assert registered.transports == ("internal", "hybrid")


# W21 at registration
@pytest.mark.parametrize("result", [None, False, True, object()])
def test_no_result_of_the_verifier_but_the_exact_one_passes(monkeypatch: pytest.MonkeyPatch, result: object) -> None:
    response = respond()
    monkeypatch.setattr(ceremony, "verify_registration_response", lambda **_: result)
    assert refusal(response) is FailureReason.MALFORMED


# W21 at registration
@pytest.mark.parametrize(
    "change",
    [
        {"user_verified": False},
        {"credential_id": b"another"},
        {"credential_public_key": b"another"},
        {"sign_count": 7},
    ],
)
def test_a_verified_registration_of_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    honest: Callable[..., Any] = verify_registration_response

    def altered(**arguments: Any) -> Any:
        verified = honest(**arguments)
        for name, value in change.items():
            setattr(verified, name, value)
        return verified

    response = respond()
    monkeypatch.setattr(ceremony, "verify_registration_response", altered)
    assert refusal(response) is FailureReason.MALFORMED


# W20 at registration
@pytest.mark.parametrize("error", ESCAPING_ERRORS)
def test_whatever_the_verifier_raises_is_a_failed_ceremony_that_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(**_: object) -> None:
        raise error("a canary that must not be logged")

    response = respond()
    monkeypatch.setattr(ceremony, "verify_registration_response", fail)
    with pytest.raises(CeremonyError) as caught:
        finish_registration(RP, challenge=CHALLENGE, kind=PASSKEY, response=response)
    assert caught.value.note == error.__name__
    assert caught.value.__suppress_context__


def test_options_survive_json_unchanged() -> None:
    options = creation_options(PASSKEY, exclude=(b"one",))
    assert json.loads(json.dumps(options)) == options
    assert options["timeout"] == TIMEOUT / timedelta(milliseconds=1)
