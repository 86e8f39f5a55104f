"""The steps that registration and authentication share (WebAuthn L3 §7.1 and §7.2).

Every check raises ``CeremonyError`` with its own reason.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.exceptions import UnsupportedAlgorithm, UnsupportedPublicKey, UnsupportedPublicKeyType
from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialHint

from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.errors import CeremonyError, FailureReason

from .bounds import MIN_CHALLENGE, AuthenticatorData, malformed

HINTS = {
    FactorKind.PASSKEY: PublicKeyCredentialHint.CLIENT_DEVICE,
    FactorKind.HARDWARE_KEY: PublicKeyCredentialHint.SECURITY_KEY,
}
_KNOWN_TRANSPORTS = frozenset(transport.value for transport in AuthenticatorTransport)
_MAX_TRANSPORTS = 16


def public_key_credential(response: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the credential object and its ``response`` member, both of the right shape."""
    if not isinstance(response, dict) or response.get("type") != "public-key":
        raise malformed("not a public-key credential")
    inner = response.get("response")
    if not isinstance(inner, dict):
        raise malformed("response is missing")
    # Both are base64url of one value (WebAuthn L3 §5.1); compared as text, before any decoding.
    if not isinstance(response.get("id"), str) or response["id"] != response.get("rawId"):
        raise CeremonyError(FailureReason.CREDENTIAL_ID_INVALID, "id is not rawId")
    return response, inner


def check_client_data(rp: RelyingParty, client_data: dict[str, Any], ceremony: str, challenge: bytes) -> None:
    """Check type, challenge, origin and framing (WebAuthn L3 §7.1 steps 7 to 11, §7.2 steps 10 to 14)."""
    if client_data.get("type") != ceremony:
        raise CeremonyError(FailureReason.WRONG_TYPE)
    # Compared as text, because lenient decoding would let several texts stand for one challenge.
    expected = bytes_to_base64url(challenge)
    if len(challenge) < MIN_CHALLENGE or client_data.get("challenge") != expected:
        raise CeremonyError(FailureReason.CHALLENGE_MISMATCH)
    origin = client_data.get("origin")
    if not isinstance(origin, str) or origin not in rp.origins:
        raise CeremonyError(FailureReason.WRONG_ORIGIN)
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        raise CeremonyError(FailureReason.CROSS_ORIGIN)


def check_flags(rp: RelyingParty, data: AuthenticatorData) -> None:
    """Check RP ID, presence, verification and backup flags (§7.1 steps 14 to 17, §7.2 steps 15 to 18)."""
    if data.rp_id_hash != hashlib.sha256(rp.id.encode()).digest():
        raise CeremonyError(FailureReason.WRONG_RP_ID)
    if not data.user_present:
        raise CeremonyError(FailureReason.NO_USER_PRESENCE)
    if not data.user_verified:
        raise CeremonyError(FailureReason.NO_USER_VERIFICATION)
    if data.backed_up and not data.backup_eligible:
        raise CeremonyError(FailureReason.BACKUP_STATE_INVALID)


def from_library(error: Exception) -> CeremonyError:
    """Name the reason of whatever the verifier raised; the note has its class and never its sentence.

    Not only ``WebAuthnException`` escapes: also ``KeyError``, ``ValueError``, ``RecursionError`` and more.
    """
    note = type(error).__name__
    if isinstance(error, InvalidSignature) or isinstance(error.__context__, InvalidSignature):
        return CeremonyError(FailureReason.BAD_SIGNATURE, note)
    if isinstance(error, UnsupportedAlgorithm | UnsupportedPublicKey | UnsupportedPublicKeyType):
        return CeremonyError(FailureReason.UNSUPPORTED_KEY, note)
    return CeremonyError(FailureReason.MALFORMED, note)


def check_challenge_length(challenge: bytes) -> None:
    if len(challenge) < MIN_CHALLENGE:
        raise ValueError(f"a challenge has at least {MIN_CHALLENGE} bytes")


def milliseconds(timeout: timedelta) -> int:
    return timeout // timedelta(milliseconds=1)


def known_transports(value: Any) -> tuple[str, ...]:
    """Keep the transports with a meaning (WebAuthn L3 §5.8.4), each once; they are hints and no more."""
    if not isinstance(value, list):
        return ()
    known = (one for one in value[:_MAX_TRANSPORTS] if isinstance(one, str) and one in _KNOWN_TRANSPORTS)
    return tuple(dict.fromkeys(known))
