"""The authentication ceremony (WebAuthn L3 §7.2): ``begin`` makes options, ``finish`` judges the response.

``py_webauthn`` verifies the signature. The rest, which it leaves to its caller, is done here: strict decoding,
cross-origin framing, membership, user handles, backup flags, clone suspicion. The service does what needs a store or a
clock: the challenge is taken out of the store *before* ``finish`` is called, its expiry is checked there, and the sign
count is advanced by compare-and-set (§7.2 step 24).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from webauthn import (
    generate_authentication_options,
    verify_authentication_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    UserVerificationRequirement,
)

from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.errors import CeremonyError, FailureReason

from .bounds import (
    MAX_AUTHENTICATOR_DATA,
    MAX_CLIENT_DATA,
    MAX_CREDENTIAL_ID,
    MAX_SIGNATURE,
    MAX_USER_HANDLE,
    decode_base64url,
    malformed,
    parse_authenticator_data,
    parse_client_data,
)
from .checks import (
    HINTS,
    check_challenge_length,
    check_client_data,
    check_flags,
    from_library,
    known_transports,
    milliseconds,
    public_key_credential,
)
from .cose import decode_key


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAssertion:
    """A passed authentication: which factor proved it, and the bytes with which it can be verified again.

    ``new_sign_count`` and ``backed_up`` belong into the factor's record, by compare-and-set.
    """

    factor: WebAuthnFactor
    new_sign_count: int
    backed_up: bool
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


def begin_authentication(
    rp: RelyingParty, *, credentials: Sequence[WebAuthnFactor], challenge: bytes, timeout: timedelta
) -> dict[str, Any]:
    """Make the ``PublicKeyCredentialRequestOptionsJSON`` (WebAuthn L3 §5.5) for these factors of one person.

    User verification is always required. An empty ``allowCredentials`` would invite any discoverable
    credential, so no credentials raise ``ValueError``, as does a challenge under 16 bytes.
    """
    check_challenge_length(challenge)
    if not credentials:
        raise ValueError("a request without allowCredentials would invite any credential")
    options = generate_authentication_options(
        rp_id=rp.id,
        challenge=challenge,
        timeout=milliseconds(timeout),
        allow_credentials=[
            PublicKeyCredentialDescriptor(
                id=factor.credential_id,
                transports=[AuthenticatorTransport(one) for one in known_transports(list(factor.transports))],
            )
            for factor in credentials
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    hints = dict.fromkeys(HINTS[factor.kind].value for factor in credentials)
    return {**options_to_json_dict(options), "hints": list(hints)}


def finish_authentication(
    rp: RelyingParty, *, challenge: bytes, credentials: Sequence[WebAuthnFactor], response: Any
) -> VerifiedAssertion:
    """Judge an ``AuthenticationResponseJSON`` (already parsed) by WebAuthn L3 §7.2.

    ``challenge`` has been taken out of the store and is spent, whatever comes out. ``credentials`` are the
    factors that were offered, all of the person whose session this is: a credential outside them is
    refused however good its signature. Everything cheap comes before the signature, except the sign count:
    ``CLONE_SUSPECTED`` raises an alarm, so only the holder of the key may cause it.

    Raises ``CeremonyError`` only.
    """
    # WebAuthn L3 §7.2 steps 1 and 2 are ``begin_authentication`` and the browser.
    # WebAuthn L3 §7.2 step 3
    outer, inner = public_key_credential(response)
    # WebAuthn L3 §7.2 step 4: client extension results are ignored; none was asked for.
    # WebAuthn L3 §7.2 step 5
    factor = _offered(credentials, outer)
    # WebAuthn L3 §7.2 step 6: the person is the session's, so the credential and the handle must be theirs.
    _check_user_handle(factor, inner.get("userHandle"))
    # WebAuthn L3 §7.2 step 7
    client_data_json = decode_base64url(inner.get("clientDataJSON"), MAX_CLIENT_DATA, "clientDataJSON")
    raw_data = decode_base64url(inner.get("authenticatorData"), MAX_AUTHENTICATOR_DATA, "authenticatorData")
    signature = decode_base64url(inner.get("signature"), MAX_SIGNATURE, "signature")
    # WebAuthn L3 §7.2 steps 8 and 9
    client_data = parse_client_data(client_data_json)
    # WebAuthn L3 §7.2 steps 10 to 14
    check_client_data(rp, client_data, "webauthn.get", challenge)
    # WebAuthn L3 §7.2 steps 15 to 18
    authenticator_data = parse_authenticator_data(raw_data)
    check_flags(rp, authenticator_data)
    # WebAuthn L3 §7.2 step 19: eligibility is for life; the state may change and is returned.
    if factor.backup_eligible not in (None, authenticator_data.backup_eligible):  # None: imported without it
        raise CeremonyError(FailureReason.BACKUP_ELIGIBILITY_CHANGED)
    # The algorithm is pinned at registration, so a record altered later does not choose a weaker one.
    if decode_key(factor.public_key).alg != factor.algorithm:
        raise CeremonyError(FailureReason.UNSUPPORTED_KEY, "algorithm is not the registered one")
    # WebAuthn L3 §7.2 steps 20 and 21. A stored count of 0 keeps step 22 for below, behind the signature.
    try:
        verified = verify_authentication_response(
            credential=AuthenticationCredential(
                id=outer["id"],
                raw_id=factor.credential_id,
                response=AuthenticatorAssertionResponse(
                    client_data_json=client_data_json, authenticator_data=raw_data, signature=signature
                ),
            ),
            expected_challenge=challenge,
            expected_rp_id=rp.id,
            expected_origin=list(rp.origins),
            credential_public_key=factor.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:
        raise from_library(error) from None
    # An unchecked result is the bug behind CVE-2026-0723 and CVE-2026-46419: only this exact answer passes.
    if not (
        isinstance(verified, VerifiedAuthentication)
        and verified.user_verified is True
        and verified.credential_id == factor.credential_id
        and verified.new_sign_count == authenticator_data.sign_count
        and verified.credential_backed_up is authenticator_data.backed_up
    ):
        raise malformed("the verifier's result does not match its input")
    # WebAuthn L3 §7.2 step 22: 0 to 0 is an authenticator that does not count.
    if (factor.sign_count or verified.new_sign_count) and verified.new_sign_count <= factor.sign_count:
        raise CeremonyError(FailureReason.CLONE_SUSPECTED)
    # WebAuthn L3 §7.2 step 23: extension results are ignored. Step 24 is the store's.
    return VerifiedAssertion(
        factor=factor,
        new_sign_count=verified.new_sign_count,
        backed_up=authenticator_data.backed_up,
        authenticator_data=raw_data,
        client_data_json=client_data_json,
        signature=signature,
    )


def _offered(credentials: Sequence[WebAuthnFactor], outer: dict[str, Any]) -> WebAuthnFactor:
    credential_id = decode_base64url(outer["id"], MAX_CREDENTIAL_ID, "id", FailureReason.CREDENTIAL_ID_INVALID)
    for factor in credentials:
        if factor.credential_id == credential_id:
            return factor
    raise CeremonyError(FailureReason.CREDENTIAL_NOT_ALLOWED)


def _check_user_handle(factor: WebAuthnFactor, value: Any) -> None:
    if value is None or value == "":  # not discoverable: none, or an empty one from some password managers
        return
    handle = decode_base64url(value, MAX_USER_HANDLE, "userHandle", FailureReason.WRONG_USER_HANDLE)
    if factor.user_handle and handle != factor.user_handle:  # empty: imported without it
        raise CeremonyError(FailureReason.WRONG_USER_HANDLE)
