"""The kit for adopters' tests: authenticators with real keys.

Nothing is mocked: a ``VirtualAuthenticator`` answers the very options that the library sends to a browser,
with the JSON that a browser would send back, signed by a key of its own. So a test of a tagged route runs
the same verification as production does::

    authenticator = VirtualAuthenticator.passkey()
    credential = authenticator.create(creation_options, origin="https://example.com")
    ...
    assertion = authenticator.get(request_options, origin="https://example.com")

For negative tests, keyword arguments make one response deviate from an honest one (``Deviations``)::

    authenticator.get(request_options, origin="https://example.com", user_verified=False)

Not for production: an authenticator that a server can run proves nothing about a person.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

__all__ = [
    "EDDSA",
    "ES256",
    "RS256",
    "Deviations",
    "VirtualAuthenticator",
    "VirtualCredential",
]

ES256 = -7
"""The COSE identifier of ECDSA with P-256 and SHA-256 (RFC 9053 §2.1)."""
EDDSA = -8
"""The COSE identifier of EdDSA, here with Ed25519 (RFC 9053 §2.2)."""
RS256 = -257
"""The COSE identifier of RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8812 §2)."""

_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80  # WebAuthn L3 §6.1

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


class Deviations(TypedDict, total=False):
    """How one response departs from an honest one. Members that are left out are honest.

    ``user_present``, ``user_verified``, ``backup_eligible``, ``backed_up``: that flag for this response.
    ``extra_flags``: bits set on top, such as the reserved ``0x22``. ``sign_count``: the count that is signed
    and kept. ``rp_id``: hashed in place of the options'. ``extensions``: raw bytes of the extension map, sets
    the ED flag. ``attested_data``: raw attested credential data in an assertion, sets the AT flag.
    ``authenticator_data``: raw bytes in place of all that.

    ``client_type``, ``challenge`` (as text), ``client_origin``, ``cross_origin``, ``top_origin``: that member
    of the client data. ``client_members``: further members. ``client_data``: raw bytes in place of it all.

    ``credential_id``: the raw id that the JSON names. ``signed_credential_id``: the raw id in a
    registration's authenticator data. ``public_key``: the raw COSE_Key in it. ``user_handle``: returned by
    an assertion, None for none. ``transports``, ``attachment``: the client's claims at registration.
    ``self_attestation``: ``packed`` with the credential's own key in place of ``none``.
    ``signed_by``: another credential whose key signs. ``tamper_signature``: flip a bit of the signature.
    """

    user_present: bool
    user_verified: bool
    backup_eligible: bool
    backed_up: bool
    extra_flags: int
    sign_count: int
    rp_id: str
    extensions: bytes
    attested_data: bytes
    authenticator_data: bytes
    client_type: str
    challenge: str
    client_origin: Any
    cross_origin: Any
    top_origin: Any
    client_members: dict[str, Any]
    client_data: bytes
    credential_id: bytes
    signed_credential_id: bytes
    public_key: bytes
    user_handle: bytes | None
    transports: Sequence[str]
    attachment: str | None
    self_attestation: bool
    signed_by: VirtualCredential
    tamper_signature: bool


@dataclass(slots=True, kw_only=True)
class VirtualCredential:
    """A credential in an authenticator: ``credential_id`` for the relying party ``rp_id``.

    It signs with ``private_key`` by ``algorithm``, a COSE identifier. ``sign_count`` is the last one signed; set it
    back to play a clone. ``user_handle`` is None for a credential that is not discoverable.
    """

    credential_id: bytes
    rp_id: str
    user_handle: bytes | None
    private_key: PrivateKey
    algorithm: int
    sign_count: int = 0

    @property
    def public_key(self) -> bytes:
        """The COSE_Key in CBOR (RFC 9053 §7.1, RFC 8230 §4)."""
        return encode_cbor(_cose_members(self.private_key, self.algorithm))

    def sign(self, message: bytes) -> bytes:
        """Sign as the credential's algorithm does (WebAuthn L3 §6.5.5)."""
        key = self.private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(hashes.SHA256()))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return key.sign(message)


class VirtualAuthenticator:
    """A software authenticator together with its browser, holding any number of credentials.

    ``transports`` and ``attachment`` are what its client claims. ``algorithms`` are those it can do, taken
    in the order of the relying party's wishes. ``counts`` tells whether it has a signature counter. It
    answers whatever it is asked, also where a browser would look for another authenticator.
    """

    def __init__(
        self,
        *,
        transports: Sequence[str],
        attachment: str,
        backup_eligible: bool = False,
        backed_up: bool = False,
        user_present: bool = True,
        user_verified: bool = True,
        counts: bool = True,
        aaguid: bytes = bytes(16),
        algorithms: Sequence[int] = (ES256, EDDSA, RS256),
    ) -> None:
        self.transports: tuple[str, ...] = tuple(transports)
        self.attachment = attachment
        self.backup_eligible = backup_eligible
        self.backed_up = backed_up
        self.user_present = user_present
        self.user_verified = user_verified
        self.counts = counts
        self.aaguid = aaguid
        self.algorithms: tuple[int, ...] = tuple(algorithms)
        self.credentials: list[VirtualCredential] = []

    @classmethod
    def passkey(cls, *, synced: bool = True, algorithms: Sequence[int] = (ES256,)) -> VirtualAuthenticator:
        """Make a platform authenticator; a synced one is backup-eligible, backed up and does not count."""
        return cls(
            transports=("internal", "hybrid") if synced else ("internal",),
            attachment="platform",
            backup_eligible=synced,
            backed_up=synced,
            counts=not synced,
            algorithms=algorithms,
        )

    @classmethod
    def hardware_key(cls, *, algorithms: Sequence[int] = (ES256,)) -> VirtualAuthenticator:
        """Make a roaming USB and NFC key that counts its signatures."""
        return cls(transports=("nfc", "usb"), attachment="cross-platform", algorithms=algorithms)

    def create(self, options: dict[str, Any], *, origin: str, **deviations: Unpack[Deviations]) -> dict[str, Any]:
        """Answer ``PublicKeyCredentialCreationOptionsJSON`` with a ``RegistrationResponseJSON``.

        The new credential is the last of ``credentials``. Raises ``LookupError`` for a credential that
        ``excludeCredentials`` names and this authenticator holds, and ``ValueError`` where it can do none
        of the wanted algorithms.
        """
        _check_options(options, "pubKeyCredParams")
        excluded = {one["id"] for one in options.get("excludeCredentials", [])}
        if any(bytes_to_base64url(one.credential_id) in excluded for one in self.credentials):
            raise LookupError("this authenticator holds an excluded credential")
        wanted = [one["alg"] for one in options["pubKeyCredParams"] if one["alg"] in self.algorithms]
        if not wanted:
            raise ValueError("this authenticator can do none of the wanted algorithms")
        resident = options.get("authenticatorSelection", {}).get("residentKey", "discouraged")
        credential = VirtualCredential(
            credential_id=deviations.get("signed_credential_id", secrets.token_bytes(32)),
            rp_id=options["rp"]["id"],
            user_handle=None if resident == "discouraged" else base64url_to_bytes(options["user"]["id"]),
            private_key=_new_key(wanted[0]),
            algorithm=wanted[0],
        )
        self.credentials.append(credential)
        public_key = deviations.get("public_key", credential.public_key)
        length = len(credential.credential_id).to_bytes(2, "big")
        attested = self.aaguid + length + credential.credential_id + public_key
        client_data = _client_data("webauthn.create", options, origin, deviations)
        authenticator_data = self._authenticator_data(credential, attested, deviations)
        statement: dict[str, Any] = {}
        if deviations.get("self_attestation"):
            signature = _sign(credential, authenticator_data, client_data, deviations)
            statement = {"alg": credential.algorithm, "sig": signature}
        attestation = {
            "fmt": "packed" if statement else "none",
            "attStmt": statement,
            "authData": authenticator_data,
        }
        named = bytes_to_base64url(deviations.get("credential_id", credential.credential_id))
        return {
            "id": named,
            "rawId": named,
            "type": "public-key",
            "authenticatorAttachment": deviations.get("attachment", self.attachment),
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": bytes_to_base64url(client_data),
                "attestationObject": bytes_to_base64url(encode_cbor(attestation)),
                "transports": list(deviations.get("transports", self.transports)),
            },
        }

    def get(self, options: dict[str, Any], *, origin: str, **deviations: Unpack[Deviations]) -> dict[str, Any]:
        """Answer ``PublicKeyCredentialRequestOptionsJSON`` with an ``AuthenticationResponseJSON``.

        The first allowed credential that this authenticator holds for the RP ID answers. Raises
        ``LookupError`` where there is none.
        """
        credential = self._allowed(options)
        client_data = _client_data("webauthn.get", options, origin, deviations)
        attested = deviations.get("attested_data", b"")
        authenticator_data = self._authenticator_data(credential, attested, deviations)
        signature = _sign(credential, authenticator_data, client_data, deviations)
        named = bytes_to_base64url(deviations.get("credential_id", credential.credential_id))
        response = {
            "clientDataJSON": bytes_to_base64url(client_data),
            "authenticatorData": bytes_to_base64url(authenticator_data),
            "signature": bytes_to_base64url(signature),
        }
        user_handle = deviations.get("user_handle", credential.user_handle)
        if user_handle is not None:
            response["userHandle"] = bytes_to_base64url(user_handle)
        return {
            "id": named,
            "rawId": named,
            "type": "public-key",
            "authenticatorAttachment": deviations.get("attachment", self.attachment),
            "clientExtensionResults": {},
            "response": response,
        }

    def _allowed(self, options: dict[str, Any]) -> VirtualCredential:
        _check_options(options, "rpId")
        held = {bytes_to_base64url(one.credential_id): one for one in self.credentials if one.rp_id == options["rpId"]}
        for allowed in options.get("allowCredentials", []):
            if allowed["id"] in held:
                return held[allowed["id"]]
        raise LookupError("this authenticator holds none of the allowed credentials")

    def _authenticator_data(self, credential: VirtualCredential, attested: bytes, deviations: Deviations) -> bytes:
        if "authenticator_data" in deviations:
            return deviations["authenticator_data"]
        credential.sign_count = deviations.get("sign_count", credential.sign_count + int(self.counts))
        extensions = deviations.get("extensions", b"")
        flags = (
            _UP * deviations.get("user_present", self.user_present)
            | _UV * deviations.get("user_verified", self.user_verified)
            | _BE * deviations.get("backup_eligible", self.backup_eligible)
            | _BS * deviations.get("backed_up", self.backed_up)
            | _AT * bool(attested)
            | _ED * bool(extensions)
            | deviations.get("extra_flags", 0)
        )
        rp_id_hash = hashlib.sha256(deviations.get("rp_id", credential.rp_id).encode()).digest()
        return struct.pack(">32sBI", rp_id_hash, flags, credential.sign_count) + attested + extensions


def _client_data(ceremony: str, options: dict[str, Any], origin: str, deviations: Deviations) -> bytes:
    """Serialize the client data as a browser does (WebAuthn L3 §5.8.1.1)."""
    if "client_data" in deviations:
        return deviations["client_data"]
    members: dict[str, Any] = {
        "type": deviations.get("client_type", ceremony),
        "challenge": deviations.get("challenge", options["challenge"]),
        "origin": deviations.get("client_origin", origin),
        "crossOrigin": deviations.get("cross_origin", False),
    }
    if "top_origin" in deviations:
        members["topOrigin"] = deviations["top_origin"]
    members |= deviations.get("client_members", {})
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def _sign(
    credential: VirtualCredential, authenticator_data: bytes, client_data: bytes, deviations: Deviations
) -> bytes:
    """Sign as WebAuthn L3 §6.3.3 step 11 says."""
    message = authenticator_data + hashlib.sha256(client_data).digest()
    signature = deviations.get("signed_by", credential).sign(message)
    if deviations.get("tamper_signature"):
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    return signature


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


_KEY_MAKERS: dict[int, Callable[[], PrivateKey]] = {
    ES256: lambda: ec.generate_private_key(ec.SECP256R1()),
    EDDSA: ed25519.Ed25519PrivateKey.generate,
    RS256: _rsa_key,
}


def _new_key(algorithm: int) -> PrivateKey:
    return _KEY_MAKERS[algorithm]()


def _cose_members(key: PrivateKey, algorithm: int) -> dict[int, Any]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        return {1: 2, 3: algorithm, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {1: 3, 3: algorithm, -1: _unsigned(numbers.n), -2: _unsigned(numbers.e)}
    return {1: 1, 3: algorithm, -1: 6, -2: key.public_key().public_bytes_raw()}


def _check_options(options: dict[str, Any], member: str) -> None:
    if member not in options:
        said = options.get("detail") or options
        raise ValueError(f"these are no options of a ceremony, but another answer of the server: {said}")


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
