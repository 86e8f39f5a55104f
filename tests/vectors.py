"""Published test vectors: one-time passwords; W3C's WebAuthn pairs and Merkle proofs where they lie at hand.

The files are not part of this project. They are read from ``shared/vectors`` in a folder above; their
tests are skipped, and say why, where they are absent.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_FOLDERS = (
    Path(__file__).resolve().parents[2],
    Path(__file__).resolve().parents[3],
)  # a checkout, or a work tree in it
_SHARED = next((at / "shared" / "vectors" for at in _FOLDERS if (at / "shared" / "vectors").is_dir()), Path("absent"))
WEBAUTHN_FILE = _SHARED / "webauthn-l3-spec.json"
MERKLE_FILE = _SHARED / "merkle-rfc6962.json"

# RFC 4226 appendix D: secret in ASCII, six digits, counters 0 to 9.
HOTP_SECRET = b"12345678901234567890"
HOTP_VALUES = (
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
)

# RFC 6238 appendix B with erratum 2866: eight digits, 30-second steps; seeds of 20, 32 and 64 bytes.
TOTP_SEEDS = {
    "SHA1": b"12345678901234567890",
    "SHA256": b"12345678901234567890123456789012",
    "SHA512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
TOTP_VALUES = (
    (59, 1, "SHA1", "94287082"),
    (59, 1, "SHA256", "46119246"),
    (59, 1, "SHA512", "90693936"),
    (1111111109, 37037036, "SHA1", "07081804"),
    (1111111109, 37037036, "SHA256", "68084774"),
    (1111111109, 37037036, "SHA512", "25091201"),
    (1111111111, 37037037, "SHA1", "14050471"),
    (1111111111, 37037037, "SHA256", "67062674"),
    (1111111111, 37037037, "SHA512", "99943326"),
    (1234567890, 41152263, "SHA1", "89005924"),
    (1234567890, 41152263, "SHA256", "91819424"),
    (1234567890, 41152263, "SHA512", "93441116"),
    (2000000000, 66666666, "SHA1", "69279037"),
    (2000000000, 66666666, "SHA256", "90698825"),
    (2000000000, 66666666, "SHA512", "38618901"),
    (20000000000, 666666666, "SHA1", "65353130"),
    (20000000000, 666666666, "SHA256", "77737706"),
    (20000000000, 666666666, "SHA512", "47863826"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAuthnVector:
    """One registration and authentication pair of WebAuthn L3 §16, with its hex strings decoded."""

    name: str
    rp_id: str
    origin: str
    credential_id: bytes
    public_key: bytes
    registration_challenge: bytes
    registration_client_data: bytes
    attestation_object: bytes
    authentication_challenge: bytes
    authentication_client_data: bytes
    authenticator_data: bytes
    signature: bytes


def load_webauthn_vectors() -> dict[str, WebAuthnVector]:
    """Read the pairs by name; empty where the file is absent."""
    if not WEBAUTHN_FILE.is_file():
        return {}
    document: dict[str, Any] = json.loads(WEBAUTHN_FILE.read_text(encoding="utf-8"))
    return {entry["name"]: _vector(entry, document["rp_id"], document["origin"]) for entry in document["vectors"]}


def _vector(entry: dict[str, Any], rp_id: str, origin: str) -> WebAuthnVector:
    registration, authentication = entry["registration"], entry["authentication"]
    return WebAuthnVector(
        name=entry["name"],
        rp_id=rp_id,
        origin=origin,
        credential_id=bytes.fromhex(registration["credential_id"]),
        public_key=bytes.fromhex(entry["credential_public_key_cose"]),
        registration_challenge=bytes.fromhex(registration["challenge"]),
        registration_client_data=bytes.fromhex(registration["clientDataJSON"]),
        attestation_object=bytes.fromhex(registration["attestationObject"]),
        authentication_challenge=bytes.fromhex(authentication["challenge"]),
        authentication_client_data=bytes.fromhex(authentication["clientDataJSON"]),
        authenticator_data=bytes.fromhex(authentication["authenticatorData"]),
        signature=bytes.fromhex(authentication["signature"]),
    )


requires_webauthn_vectors = pytest.mark.skipif(
    not WEBAUTHN_FILE.is_file(),
    reason="W3C's WebAuthn test vectors are not beside the checkout (shared/vectors/webauthn-l3-spec.json)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionVector:
    """A proof of inclusion, and whether it must be refused. From the tests of transparency-dev/merkle."""

    name: str
    index: int
    size: int
    root: bytes
    leaf_hash: bytes
    proof: list[bytes]
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyVector:
    """A proof of consistency, likewise."""

    name: str
    old: int
    size: int
    old_root: bytes
    root: bytes
    proof: list[bytes]
    refused: bool


def load_merkle_vectors() -> tuple[list[InclusionVector], list[ConsistencyVector]]:
    """Read the proofs of both kinds; empty where the file is absent."""
    if not MERKLE_FILE.is_file():
        return [], []
    document: dict[str, Any] = json.loads(MERKLE_FILE.read_text(encoding="utf-8"))
    inclusion = [
        InclusionVector(
            name=entry["name"],
            index=entry["leafIdx"],
            size=entry["treeSize"],
            root=_bytes(entry["root"]),
            leaf_hash=_bytes(entry["leafHash"]),
            proof=[_bytes(each) for each in entry["proof"] or []],
            refused=entry["wantErr"],
        )
        for entry in document["inclusion"]
    ]
    consistency = [
        ConsistencyVector(
            name=entry["name"],
            old=entry["size1"],
            size=entry["size2"],
            old_root=_bytes(entry["root1"]),
            root=_bytes(entry["root2"]),
            proof=[_bytes(each) for each in entry["proof"] or []],
            refused=entry["wantErr"],
        )
        for entry in document["consistency"]
    ]
    return inclusion, consistency


def _bytes(text: str | None) -> bytes:
    return b64decode(text or "")


requires_merkle_vectors = pytest.mark.skipif(
    not MERKLE_FILE.is_file(),
    reason="the Merkle proofs of transparency-dev are not beside the checkout (shared/vectors/merkle-rfc6962.json)",
)
