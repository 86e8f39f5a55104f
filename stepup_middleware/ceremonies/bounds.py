"""Decode what a client sent, within bounds that are fixed before any parser runs.

The parsers of the standard library and of ``webauthn`` are lenient and have no bounds of their own:
base64 decoding skips junk, JSON keeps the last of two equal keys, and a CBOR value of 200 bytes with
shared references takes minutes to encode again. Data that passes here has one reading and a small cost.

Every function raises ``CeremonyError`` and nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from stepup_middleware.core.canonical import read_base64url, strict_json
from stepup_middleware.errors import CeremonyError, FailureReason

# All in bytes. A client's data is about 150, an assertion's authenticator data 37, an RSA-4096 signature 512.
MAX_CLIENT_DATA = 4096
MAX_AUTHENTICATOR_DATA = 4096
MAX_SIGNATURE = 1024
MAX_ATTESTATION_OBJECT = 16_384
MAX_USER_HANDLE = 64  # WebAuthn L3 §5.4.3
MAX_CREDENTIAL_ID = 1023  # WebAuthn L3 §7.1 step 25
MIN_CHALLENGE = 16  # WebAuthn L3 §13.4.3

MAX_JSON_BRACKETS = 64
MAX_CBOR_DEPTH = 4  # CTAP 2.1 §8: at most four levels of maps and arrays

_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80  # WebAuthn L3 §6.1
_HEADER = struct.Struct(">32sBI")
_ATTESTED_HEADER = struct.Struct(">16sH")


@dataclass(frozen=True, slots=True)
class AttestedCredential:
    """Attested credential data (WebAuthn L3 §6.5.1); ``public_key`` is the COSE_Key as it was sent."""

    aaguid: bytes
    credential_id: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class AuthenticatorData:
    """Authenticator data (WebAuthn L3 §6.1) without its extensions, which this library does not use."""

    rp_id_hash: bytes
    flags: int
    sign_count: int
    attested: AttestedCredential | None

    @property
    def user_present(self) -> bool:
        """The UP flag."""
        return bool(self.flags & _UP)

    @property
    def user_verified(self) -> bool:
        """The UV flag."""
        return bool(self.flags & _UV)

    @property
    def backup_eligible(self) -> bool:
        """The BE flag: the credential may be synced."""
        return bool(self.flags & _BE)

    @property
    def backed_up(self) -> bool:
        """The BS flag: the credential is synced now."""
        return bool(self.flags & _BS)


def malformed(note: str) -> CeremonyError:
    """Build the error for input that has no reading; ``note`` never quotes the input."""
    return CeremonyError(FailureReason.MALFORMED, note)


def decode_base64url(value: object, limit: int, what: str, reason: FailureReason = FailureReason.MALFORMED) -> bytes:
    """Decode the one canonical base64url text of at most ``limit`` bytes (RFC 4648 §5, no padding).

    Junk characters, padding, the ``+/`` alphabet and stray trailing bits are refused, with ``reason``.
    """
    if not isinstance(value, str) or len(value) > (limit * 4 + 2) // 3:
        raise CeremonyError(reason, f"{what} is missing or too long")
    try:
        return read_base64url(value)
    except ValueError:
        raise CeremonyError(reason, f"{what} is not base64url") from None


def parse_client_data(data: bytes) -> dict[str, Any]:
    """Parse ``clientDataJSON`` (WebAuthn L3 §5.8.1): an object in strict UTF-8 without duplicate keys.

    A byte-order mark is dropped and unknown members are kept, as the standard asks (§7.2 steps 8 and 9).
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("clientDataJSON is not UTF-8") from None
    if text.count("[") + text.count("{") > MAX_JSON_BRACKETS:
        raise malformed("clientDataJSON is nested too deeply")
    try:
        parsed = strict_json(text)
    except ValueError:
        raise malformed("clientDataJSON is not JSON of one reading") from None
    if not isinstance(parsed, dict):
        raise malformed("clientDataJSON is not an object")
    return parsed


def parse_authenticator_data(data: bytes) -> AuthenticatorData:
    """Split authenticator data (WebAuthn L3 §6.1) without decoding the CBOR in it.

    All bytes must be accounted for. Reserved flags are ignored. A credential id over 1023 bytes or of no
    bytes raises ``CREDENTIAL_ID_INVALID``; all else ``MALFORMED``.
    """
    if not _HEADER.size <= len(data) <= MAX_AUTHENTICATOR_DATA:
        raise malformed("authenticator data is too short or too long")
    rp_id_hash, flags, sign_count = _HEADER.unpack_from(data)
    at, attested = _HEADER.size, None
    if flags & _AT:
        attested, at = _attested_credential(data, at)
    if flags & _ED:
        at = end_of_cbor_item(data, at)
    if at != len(data):
        raise malformed("authenticator data has bytes left over")
    return AuthenticatorData(rp_id_hash, flags, sign_count, attested)


def _attested_credential(data: bytes, at: int) -> tuple[AttestedCredential, int]:
    if len(data) < at + _ATTESTED_HEADER.size:
        raise malformed("attested credential data is cut off")
    aaguid, length = _ATTESTED_HEADER.unpack_from(data, at)
    if not 0 < length <= MAX_CREDENTIAL_ID:
        raise CeremonyError(FailureReason.CREDENTIAL_ID_INVALID, "length of the signed credential id")
    start = at + _ATTESTED_HEADER.size
    end_of_id = start + length
    end = end_of_cbor_item(data, end_of_id)
    return AttestedCredential(aaguid, data[start:end_of_id], data[end_of_id:end]), end


def end_of_cbor_item(data: bytes, start: int, depth: int = MAX_CBOR_DEPTH) -> int:
    """Return the offset behind the CBOR item at ``start``, decoding nothing (RFC 8949 §3).

    Refuses what CTAP 2.1 §8 forbids and a decoder would pay for: tags, indefinite lengths, lengths
    beyond the data and nesting deeper than ``depth``. Takes at most one step per byte.
    """
    if start >= len(data):
        raise malformed("CBOR is cut off")
    major, info = data[start] >> 5, data[start] & 0x1F
    at, argument = start + 1, info
    if info >= 28:
        raise malformed("CBOR has an indefinite or reserved length")
    if info >= 24:
        size = 1 << (info - 24)
        argument = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 6:
        raise malformed("CBOR has a tag")
    if major in (2, 3):
        at += argument
    if at > len(data):
        raise malformed("CBOR is cut off")
    if major in (4, 5):
        count = argument * (major - 3)
        # Each item takes a byte at least, so a larger count cannot be true.
        if depth == 0 or count > len(data) - at:
            raise malformed("CBOR is nested too deeply or cut off")
        for _ in range(count):
            at = end_of_cbor_item(data, at, depth - 1)
    return at
