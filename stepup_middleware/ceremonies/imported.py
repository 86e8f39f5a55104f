"""Reads a factor that another system has registered, as that system keeps it.

The word of that system is taken for this: that the person holds the key, and that it was registered. The rest is
decided here: the kind follows from the backup flag and the transports, never from a word of the file; the key is one
that a registration would take; and every use is verified like that of any other factor. Faults are ``ValueError`` with
a sentence that quotes nothing of the line, which may have a secret.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from webauthn.helpers import aaguid_to_string, parse_cbor

from stepup_middleware.core.canonical import read_base64url, strict_json
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.schema import violations
from stepup_middleware.errors import CeremonyError

from .bounds import MAX_ATTESTATION_OBJECT, MAX_CREDENTIAL_ID, end_of_cbor_item, parse_authenticator_data
from .checks import known_transports
from .cose import MAX_COSE_KEY, decode_new_key
from .totp import ALGORITHMS, TOTPSecret, check_secret

NO_AAGUID = "00000000-0000-0000-0000-000000000000"
_ROAMING = frozenset({"usb", "nfc", "ble", "smart-card"})
_MAX_JSON_BRACKETS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCredential:
    """A passkey or hardware key; ``backup_eligible`` and ``backed_up`` are None where they were not kept."""

    credential_id: bytes
    public_key: bytes
    algorithm: int
    sign_count: int
    transports: tuple[str, ...]
    aaguid: str
    backup_eligible: bool | None
    backed_up: bool | None

    @property
    def kind(self) -> FactorKind:
        """A hardware key where it cannot be synced and has the transports of a roaming key alone, else a passkey."""
        roaming = bool(self.transports) and set(self.transports) <= _ROAMING
        return FactorKind.HARDWARE_KEY if self.backup_eligible is False and roaming else FactorKind.PASSKEY


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFactor:
    """A line of the file. ``source`` is the member that had the factor; ``user_handle`` is empty if it was not kept."""

    workspace_id: str
    subject_id: str
    subject_name: str
    name: str
    source: str
    created_at: datetime | None
    last_used_at: datetime | None
    user_handle: bytes
    factor: ImportedCredential | TOTPSecret


def read_line(text: str, schema: Mapping[str, Any], rp_id: str) -> ImportedFactor:
    """Return the factor of a line. Raises ``ValueError`` with what is wrong with it, and what to write instead."""
    if text.count("[") + text.count("{") > _MAX_JSON_BRACKETS:
        raise ValueError("is nested too deeply")
    try:
        line = strict_json(text)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON of one reading") from None
    for path, problem in violations(schema, line):
        raise ValueError(f"{path or 'the line'} {problem}")
    named = [name for name in _READERS if name in line]
    if len(named) != 1:
        raise ValueError(f"exactly one of {', '.join(_READERS)} must be there")
    source = named[0]
    try:
        factor = _READERS[source](line[source], rp_id)
    except CeremonyError as error:
        raise ValueError(f"{source}: the key cannot be used here: {error.note or error.reason}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{source}: a member is missing or of another type") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if isinstance(factor, ImportedCredential) and line.get("rp_id") != rp_id:
        raise ValueError(f"rp_id must be there and be {rp_id}: a key works for no other relying party")
    for name in ("workspace", "subject", "subject_name"):
        if len(line.get(name, "")) > 512 or not _is_text(line.get(name, "")):
            raise ValueError(f"{name} must be text of at most 512 characters")
    handle = line.get("user_handle")
    return ImportedFactor(
        workspace_id=line["workspace"],
        subject_id=line["subject"],
        subject_name=line.get("subject_name", ""),
        name=line.get("name", ""),
        source=source,
        created_at=_moment(line, "created_at"),
        last_used_at=_moment(line, "last_used_at"),
        user_handle=b"" if handle is None else _bytes(handle, "user_handle", 64),
        factor=factor,
    )


def _webauthn(data: Mapping[str, Any], _: str) -> ImportedCredential:
    return _credential(
        _bytes(data["credential_id"], "credential_id", MAX_CREDENTIAL_ID),
        _bytes(data["public_key"], "public_key", MAX_COSE_KEY),
        sign_count=data.get("sign_count", 0),
        transports=data.get("transports"),
        aaguid=data.get("aaguid"),
        backup_eligible=data.get("backup_eligible"),
        backed_up=data.get("backed_up"),
    )


def _totp(data: Mapping[str, Any], _: str) -> TOTPSecret:
    return _secret(data["secret"], data.get("algorithm", "SHA1"), data.get("digits", 6), data.get("period", 30))


def _py_webauthn(data: Mapping[str, Any], _: str) -> ImportedCredential:
    return _credential(
        _bytes(data["credential_id"], "credential_id", MAX_CREDENTIAL_ID),
        _bytes(data["credential_public_key"], "credential_public_key", MAX_COSE_KEY),
        sign_count=data.get("sign_count", 0),
        transports=data.get("transports"),
        aaguid=data.get("aaguid"),
        backup_eligible=_one_of(data.get("credential_device_type"), single_device=False, multi_device=True),
        backed_up=data.get("credential_backed_up"),
    )


def _simplewebauthn(data: Mapping[str, Any], _: str) -> ImportedCredential:
    device = data.get("deviceType", data.get("credentialDeviceType"))
    return _credential(
        _bytes(data["id"], "id", MAX_CREDENTIAL_ID),
        _bytes(data["publicKey"], "publicKey", MAX_COSE_KEY),
        sign_count=data.get("counter", 0),
        transports=data.get("transports"),
        aaguid=data.get("aaguid"),
        backup_eligible=_one_of(device, singleDevice=False, multiDevice=True),
        backed_up=data.get("backedUp", data.get("credentialBackedUp")),
    )


def _allauth(row: Mapping[str, Any], rp_id: str) -> ImportedCredential | TOTPSecret:
    """Read a row of ``mfa.Authenticator``. Of a key it keeps the whole answer of the registration, flags included."""
    data = row["data"]
    if row["type"] == "totp":
        return _secret(data["secret"], "SHA1", 6, 30)
    if row["type"] != "webauthn":
        raise ValueError("type is neither webauthn nor totp")
    answer = data["credential"]["response"]
    attestation = _bytes(answer["attestationObject"], "attestationObject", MAX_ATTESTATION_OBJECT)
    if end_of_cbor_item(attestation, 0) != len(attestation):
        raise ValueError("attestationObject has bytes left over")
    try:
        members = parse_cbor(attestation)
    except Exception:
        raise ValueError("attestationObject is no CBOR") from None
    auth_data = members["authData"]
    if not isinstance(auth_data, bytes):  # bytes() of a number are as many zeros
        raise ValueError("attestationObject has no authData")
    signed = parse_authenticator_data(auth_data)
    if signed.attested is None:
        raise ValueError("attestationObject has no credential")
    if signed.rp_id_hash != sha256(rp_id.encode()).digest():
        raise ValueError(f"it was registered for another relying party than {rp_id}")
    return _credential(
        signed.attested.credential_id,
        signed.attested.public_key,
        sign_count=signed.sign_count,
        transports=answer.get("transports"),
        aaguid=aaguid_to_string(signed.attested.aaguid),
        backup_eligible=signed.backup_eligible,
        backed_up=signed.backed_up,
    )


def _keycloak(row: Mapping[str, Any], _: str) -> ImportedCredential | TOTPSecret:
    """Read a credential; Keycloak keeps no backup flags of a key."""
    data = _object(row["credentialData"])
    if row["type"] == "otp":
        if data.get("subType") != "totp":
            raise ValueError("only one-time passwords by time (subType totp) can be taken over")
        value = _object(row["secretData"])["value"]
        if data.get("secretEncoding") != "BASE32":
            value = base64.b32encode(value.encode()).decode("ascii")  # the secret is the text itself
        hashes = {"HmacSHA1": "SHA1", "HmacSHA256": "SHA256", "HmacSHA512": "SHA512"}
        return _secret(value, hashes[data.get("algorithm", "HmacSHA1")], data.get("digits", 6), data.get("period", 30))
    if row["type"] not in ("webauthn", "webauthn-passwordless"):
        raise ValueError("type is none of webauthn, webauthn-passwordless and otp")
    return _credential(
        _bytes(_url_alphabet(data["credentialId"]), "credentialId", MAX_CREDENTIAL_ID),
        _bytes(_url_alphabet(data["credentialPublicKey"]), "credentialPublicKey", MAX_COSE_KEY),
        sign_count=data.get("counter", 0),
        transports=[str(each).lower() for each in data.get("transports") or ()],
        aaguid=data.get("aaguid"),
        backup_eligible=None,
        backed_up=None,
    )


_READERS: dict[str, Callable[[Mapping[str, Any], str], ImportedCredential | TOTPSecret]] = {
    "webauthn": _webauthn,
    "totp": _totp,
    "py_webauthn": _py_webauthn,
    "simplewebauthn": _simplewebauthn,
    "allauth": _allauth,
    "keycloak": _keycloak,
}


def _credential(
    credential_id: bytes,
    public_key: bytes,
    *,
    sign_count: object,
    transports: object,
    aaguid: object,
    backup_eligible: object,
    backed_up: object,
) -> ImportedCredential:
    """Return a credential that a registration here would take."""
    if end_of_cbor_item(public_key, 0) != len(public_key):
        raise ValueError("the public key has bytes left over")
    key = decode_new_key(public_key)
    if type(sign_count) is not int or not 0 <= sign_count < 2**32:
        raise ValueError("the sign count is no number of 32 bits")
    for flag in (backup_eligible, backed_up):
        if flag is not None and type(flag) is not bool:
            raise ValueError("a backup flag is neither true nor false nor null")
    if backed_up and backup_eligible is False:
        raise ValueError("it is said to be backed up and not to be eligible for it")
    if aaguid is not None and not (isinstance(aaguid, str) and len(aaguid) == 36 and aaguid.isascii()):
        raise ValueError("aaguid is not written as 8-4-4-4-12 hexadecimal digits")
    return ImportedCredential(
        credential_id=credential_id,
        public_key=public_key,
        algorithm=int(key.alg),
        sign_count=sign_count,
        transports=known_transports(transports),
        aaguid=NO_AAGUID if aaguid is None else aaguid.lower(),
        backup_eligible=backup_eligible if isinstance(backup_eligible, bool) else None,
        backed_up=backed_up if isinstance(backed_up, bool) else None,
    )


def _secret(secret: object, algorithm: object, digits: object, period: object) -> TOTPSecret:
    """Return a secret in the one spelling of base32 that is kept: upper case without padding."""
    if not isinstance(secret, str) or not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ValueError("the secret is no text, or its algorithm none of SHA1, SHA256 and SHA512")
    if type(digits) is not int or type(period) is not int:
        raise ValueError("digits and period are numbers")
    plain = "".join(secret.split()).rstrip("=").upper()
    made = TOTPSecret(plain, algorithm, digits, period)
    check_secret(made)
    raw = base64.b32decode(plain + "=" * (-len(plain) % 8))
    if base64.b32encode(raw).decode("ascii").rstrip("=") != plain:
        raise ValueError("the secret is not base32 of one spelling")
    if not any(raw):
        raise ValueError("the secret is nothing but zeros, which everybody knows")
    return made


def _bytes(value: object, what: str, limit: int) -> bytes:
    if not isinstance(value, str) or len(value) > limit * 2:
        raise ValueError(f"{what} is missing, no text or too long")
    try:
        raw = read_base64url(value)
    except ValueError:
        raise ValueError(f"{what} is not base64url without padding") from None
    if not 0 < len(raw) <= limit:
        raise ValueError(f"{what} is empty or too long")
    return raw


def _one_of(value: object, **meanings: bool) -> bool | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in meanings:
        raise ValueError(f"the device type is none of {', '.join(meanings)}")
    return meanings[value]


def _object(value: object) -> Mapping[str, Any]:
    """Return what Keycloak keeps as the text of a JSON object."""
    found = strict_json(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise ValueError("credentialData and secretData are JSON objects")
    return found


def _url_alphabet(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a member is no text")
    return value.rstrip("=").replace("+", "-").replace("/", "_")


def _is_text(text: str) -> bool:
    try:
        return "\0" not in text and bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _moment(line: Mapping[str, Any], name: str) -> datetime | None:
    if name not in line:
        return None
    try:
        moment = datetime.fromisoformat(line[name])
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise ValueError(f"{name} is a time with its offset, such as 2026-11-24T12:00:00Z")
    return moment
