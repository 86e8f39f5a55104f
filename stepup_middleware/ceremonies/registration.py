"""The registration ceremony (WebAuthn L3 §7.1): ``begin`` makes options, ``finish`` judges the response.

``py_webauthn`` verifies attestation statements. The rest, which it leaves to its caller, is done here: strict decoding,
cross-origin framing, backup flags, key policy. A credential id must be unique over all users (§7.1 step 26): that
needs the store and stays with the service, which also takes the challenge out of the store before ``finish``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from webauthn import (
    generate_registration_options,
    verify_registration_response,
)
from webauthn.helpers import aaguid_to_string, bytes_to_base64url, options_to_json_dict, parse_cbor
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorAttachment,
    AuthenticatorAttestationResponse,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.errors import CeremonyError, FailureReason

from .bounds import (
    MAX_ATTESTATION_OBJECT,
    MAX_CLIENT_DATA,
    MAX_USER_HANDLE,
    AttestedCredential,
    AuthenticatorData,
    decode_base64url,
    end_of_cbor_item,
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
from .cose import SUPPORTED_ALGORITHMS, decode_new_key

_ROAMING_TRANSPORTS = frozenset({"usb", "nfc", "ble", "smart-card"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCredential:
    """What a passed registration is worth storing (WebAuthn L3 §4, credential record).

    ``public_key`` is the COSE_Key in CBOR and ``algorithm`` its COSE ``alg``. ``transports``, ``aaguid``
    and ``attestation_format`` are the client's word: no chain to a trusted root was asked for or checked,
    so nothing may be granted on them.
    """

    credential_id: bytes
    public_key: bytes
    algorithm: int
    sign_count: int
    backup_eligible: bool
    backed_up: bool
    transports: tuple[str, ...]
    aaguid: str
    attestation_format: str


def begin_registration(
    rp: RelyingParty,
    *,
    user_handle: bytes,
    user_name: str,
    display_name: str,
    kind: FactorKind,
    exclude: Sequence[bytes],
    challenge: bytes,
    timeout: timedelta,
) -> dict[str, Any]:
    """Make the ``PublicKeyCredentialCreationOptionsJSON`` (WebAuthn L3 §5.4) for a factor of this kind.

    User verification is always required. A passkey is discoverable, on any authenticator; a hardware key
    is asked for as a cross-platform authenticator that need not spend a resident slot. ``exclude`` are the
    person's credential ids. ``challenge`` is at least 16 random bytes, ``user_handle`` 1 to 64 bytes that
    tell nothing of the person. No attestation is asked for: without a list of trusted roots it would
    identify the model to us, cost the person a consent dialog, and prove nothing.

    Raises ``ValueError`` for arguments that no ceremony may have.
    """
    check_challenge_length(challenge)
    if not 0 < len(user_handle) <= MAX_USER_HANDLE:
        raise ValueError("a user handle has 1 to 64 bytes")
    if kind not in HINTS:
        raise ValueError(f"no WebAuthn registration makes a factor of kind {kind}")
    passkey = kind is FactorKind.PASSKEY
    options = generate_registration_options(
        rp_id=rp.id,
        rp_name=rp.name,
        user_id=user_handle,
        user_name=user_name,
        user_display_name=display_name,
        challenge=challenge,
        timeout=milliseconds(timeout),
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            authenticator_attachment=None if passkey else AuthenticatorAttachment.CROSS_PLATFORM,
            resident_key=ResidentKeyRequirement.REQUIRED if passkey else ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in exclude],
        supported_pub_key_algs=list(SUPPORTED_ALGORITHMS),
        hints=[HINTS[kind]],
    )
    return options_to_json_dict(options)


def finish_registration(rp: RelyingParty, *, challenge: bytes, kind: FactorKind, response: Any) -> RegisteredCredential:
    """Judge a ``RegistrationResponseJSON`` (already parsed) by WebAuthn L3 §7.1.

    ``challenge`` has been taken out of the store and is spent, whatever comes out. ``kind`` is the kind
    that was asked for when the ceremony began, and the response must be consistent with it:

    - a hardware key must not be backup-eligible, which the authenticator says in its own data, and the
      client must call it roaming: by transports such as ``usb`` or ``nfc``, or by the cross-platform
      attachment where it names no transports, and not by ``internal`` or ``hybrid``;
    - a passkey may live anywhere, except that a credential which cannot be synced and whose transports are
      those of a roaming key alone is a hardware key, and is refused under the other name.

    Transports and attachment are unsigned claims. Without attestation up to a trusted root "hardware key"
    is therefore best effort: a person who controls their client can register a software authenticator as
    one. It binds what an honest client says, and the backup flag stays checked at every use.

    Raises ``CeremonyError`` only.
    """
    outer, inner = public_key_credential(response)  # WebAuthn L3 §7.1 step 3
    # WebAuthn L3 §7.1 step 4: client extension results are ignored; none was asked for.
    client_data_json = decode_base64url(inner.get("clientDataJSON"), MAX_CLIENT_DATA, "clientDataJSON")
    # WebAuthn L3 §7.1 steps 5 to 11
    check_client_data(rp, parse_client_data(client_data_json), "webauthn.create", challenge)
    # WebAuthn L3 §7.1 steps 12 and 13. Step 12, the hash, is taken where the statement is verified.
    attestation_object = decode_base64url(inner.get("attestationObject"), MAX_ATTESTATION_OBJECT, "attestationObject")
    authenticator_data = _authenticator_data_of(attestation_object)
    check_flags(rp, authenticator_data)  # WebAuthn L3 §7.1 steps 14 to 17
    attested = _check_credential_id(outer, authenticator_data)  # WebAuthn L3 §7.1 step 25
    # WebAuthn L3 §7.1 step 20, and what no step asks for but every later signature rests on.
    key = decode_new_key(attested.public_key)
    transports = known_transports(inner.get("transports"))
    # WebAuthn L3 §7.1 steps 18 and 19
    _check_kind(kind, authenticator_data, transports, outer.get("authenticatorAttachment"))
    # WebAuthn L3 §7.1 steps 21 to 24: extensions are ignored, the statement must hold by its own format,
    # and with no roots its chain is not looked at: nothing here is said to be trusted.
    try:
        verified = verify_registration_response(
            credential=RegistrationCredential(
                id=outer["id"],
                raw_id=attested.credential_id,
                response=AuthenticatorAttestationResponse(
                    client_data_json=client_data_json, attestation_object=attestation_object
                ),
            ),
            expected_challenge=challenge,
            expected_rp_id=rp.id,
            expected_origin=list(rp.origins),
            require_user_verification=True,
            supported_pub_key_algs=list(SUPPORTED_ALGORITHMS),
        )
    except Exception as error:
        raise from_library(error) from None
    if not (
        isinstance(verified, VerifiedRegistration)
        and verified.user_verified is True
        and verified.credential_id == attested.credential_id
        and verified.credential_public_key == attested.public_key
        and verified.sign_count == authenticator_data.sign_count
    ):
        raise malformed("the verifier's result does not match its input")
    return RegisteredCredential(
        credential_id=attested.credential_id,
        public_key=attested.public_key,
        algorithm=int(key.alg),
        sign_count=authenticator_data.sign_count,
        backup_eligible=authenticator_data.backup_eligible,
        backed_up=authenticator_data.backed_up,
        transports=transports,
        aaguid=aaguid_to_string(attested.aaguid),
        attestation_format=str(getattr(verified.fmt, "value", verified.fmt)),
    )


def _authenticator_data_of(attestation_object: bytes) -> AuthenticatorData:
    if end_of_cbor_item(attestation_object, 0) != len(attestation_object):
        raise malformed("attestationObject has bytes left over")
    try:
        members = parse_cbor(attestation_object)
    except Exception as error:
        raise malformed(type(error).__name__) from None
    if not (
        isinstance(members, dict)
        and isinstance(members.get("fmt"), str)
        and isinstance(members.get("attStmt"), dict)
        and isinstance(members.get("authData"), bytes)
    ):
        raise malformed("attestationObject lacks fmt, attStmt or authData")
    return parse_authenticator_data(members["authData"])


def _check_credential_id(outer: dict[str, Any], data: AuthenticatorData) -> AttestedCredential:
    """Return the attested credential after its signed id was found to be the one the client names."""
    if data.attested is None:
        raise malformed("no attested credential data")
    if outer["id"] != bytes_to_base64url(data.attested.credential_id):
        raise CeremonyError(FailureReason.CREDENTIAL_ID_INVALID, "id is not the signed one")
    return data.attested


def _check_kind(kind: FactorKind, data: AuthenticatorData, transports: tuple[str, ...], attachment: Any) -> None:
    named = frozenset(transports)
    only_roaming = bool(named) and named <= _ROAMING_TRANSPORTS
    if kind is FactorKind.HARDWARE_KEY:
        claimed = only_roaming or (not named and attachment == "cross-platform")
        consistent = claimed and attachment != "platform" and not data.backup_eligible
    else:
        consistent = kind is FactorKind.PASSKEY and (data.backup_eligible or not only_roaming)
    if not consistent:
        raise CeremonyError(FailureReason.KIND_MISMATCH)
