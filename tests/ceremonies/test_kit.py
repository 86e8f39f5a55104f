"""The kit for adopters' tests must itself be honest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from stepup_middleware.ceremonies.totp import new_secret
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.testing import EDDSA, ES256, RS256, FixedClock, VirtualAuthenticator, totp_code

from .support import CHALLENGE, ORIGIN, RP, USER_HANDLE, creation_options, enrol


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_py_webauthn_itself_accepts_what_the_authenticator_makes(algorithm: int) -> None:
    authenticator = VirtualAuthenticator.hardware_key(algorithms=[algorithm])
    options = creation_options(FactorKind.HARDWARE_KEY)
    registered = verify_registration_response(
        credential=json.dumps(authenticator.create(options, origin=ORIGIN)),
        expected_challenge=CHALLENGE,
        expected_rp_id=RP.id,
        expected_origin=ORIGIN,
        require_user_verification=True,
    )
    allowed = [{"type": "public-key", "id": bytes_to_base64url(registered.credential_id)}]
    request = {"challenge": options["challenge"], "rpId": RP.id, "allowCredentials": allowed}
    verified = verify_authentication_response(
        credential=json.dumps(authenticator.get(request, origin=ORIGIN)),
        expected_challenge=CHALLENGE,
        expected_rp_id=RP.id,
        expected_origin=ORIGIN,
        credential_public_key=registered.credential_public_key,
        credential_current_sign_count=registered.sign_count,
        require_user_verification=True,
    )
    assert verified.new_sign_count == registered.sign_count + 1


def test_a_passkey_returns_the_user_handle_and_a_hardware_key_does_not() -> None:
    passkey = enrol(VirtualAuthenticator.passkey(), FactorKind.PASSKEY)
    assert base64url_to_bytes(passkey.respond()["response"]["userHandle"]) == USER_HANDLE
    hardware_key = enrol(VirtualAuthenticator.hardware_key(), FactorKind.HARDWARE_KEY)
    assert "userHandle" not in hardware_key.respond()["response"]


def test_a_synced_passkey_does_not_count_and_a_hardware_key_does() -> None:
    passkey = enrol(VirtualAuthenticator.passkey(), FactorKind.PASSKEY)
    assert [passkey.authenticate().new_sign_count for _ in range(2)] == [0, 0]
    hardware_key = enrol(VirtualAuthenticator.hardware_key(), FactorKind.HARDWARE_KEY)
    assert [hardware_key.authenticate().new_sign_count for _ in range(2)] == [2, 3]


def test_an_authenticator_holds_several_credentials_and_answers_with_the_allowed_one() -> None:
    authenticator = VirtualAuthenticator.hardware_key()
    one = enrol(authenticator, FactorKind.HARDWARE_KEY)
    other = enrol(authenticator, FactorKind.HARDWARE_KEY)
    assert one.authenticate().factor.credential_id == authenticator.credentials[0].credential_id
    assert other.authenticate().factor.credential_id == authenticator.credentials[1].credential_id


def test_an_authenticator_without_an_allowed_credential_does_not_answer() -> None:
    enrolled = enrol(VirtualAuthenticator.passkey(), FactorKind.PASSKEY)
    enrolled.authenticator.credentials[0].rp_id = "elsewhere.example"
    with pytest.raises(LookupError, match="none of the allowed"):
        enrolled.respond()


def test_an_excluded_credential_is_not_made_twice() -> None:
    enrolled = enrol(VirtualAuthenticator.passkey(), FactorKind.PASSKEY)
    options = creation_options(FactorKind.PASSKEY, exclude=(enrolled.factor.credential_id,))
    with pytest.raises(LookupError, match="excluded"):
        enrolled.authenticator.create(options, origin=ORIGIN)
    assert VirtualAuthenticator.passkey().create(options, origin=ORIGIN)["type"] == "public-key"


def test_an_authenticator_that_can_do_no_wanted_algorithm_says_so() -> None:
    options = creation_options(FactorKind.PASSKEY) | {"pubKeyCredParams": [{"type": "public-key", "alg": -48}]}
    with pytest.raises(ValueError, match="algorithms"):
        VirtualAuthenticator.passkey().create(options, origin=ORIGIN)


def test_responses_are_json_as_a_browser_sends_it() -> None:
    enrolled = enrol(VirtualAuthenticator.passkey(), FactorKind.PASSKEY)
    response = enrolled.respond()
    assert json.loads(json.dumps(response)) == response
    enrolled.judge(json.loads(json.dumps(response)))


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = FixedClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert clock() == clock() == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert clock.advance(timedelta(minutes=1)) == clock() == datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
    assert clock.advance(0.5) == datetime(2026, 11, 24, 12, 1, 0, 500_000, tzinfo=UTC)
    assert clock.advance(-90) == datetime(2026, 11, 24, 11, 59, 30, 500_000, tzinfo=UTC)
    clock.set(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert clock().isoformat() == "2026-01-01T00:00:00+00:00"


def test_a_naive_time_is_refused_everywhere() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="aware"):
        FixedClock(naive)
    with pytest.raises(ValueError, match="aware"):
        FixedClock().set(naive)
    with pytest.raises(ValueError, match="aware"):
        totp_code(new_secret(bytes(20)), naive)
