"""Signed heads: an Ed25519 statement of how far a chain of the audit log had grown, and with which hash.

A chain alone shows that nothing in it was altered *after* somebody saw its end. A signed head is that
sight, made to be kept elsewhere: who rewrites the log later cannot make the old head fit. The key is a
key of its own, never the one that signs tokens (RFC 8032 for the signature; the idea is that of the
signed tree head in RFC 6962 §3.5).
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from stepup_middleware.errors import ConfigurationError

from .canonical import canonical_json
from .moments import iso

SEED_BYTES = 32
_PUBLIC_LABEL = "public_key="
_PRIVATE_LABEL = "head_key="


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """How far a ``chain`` had grown ``at`` a moment (aware UTC): up to ``link``, whose ``hash`` is 32 bytes.

    ``signature`` is Ed25519 over the text of all other fields, by the key that ``key_id`` names.
    """

    chain: str
    link: int
    hash: bytes
    at: datetime
    key_id: str
    signature: bytes

    @property
    def statement(self) -> bytes:
        """The bytes that the signature covers."""
        return head_statement(chain=self.chain, link=self.link, hash_=self.hash, at=iso(self.at), key_id=self.key_id)

    def as_dict(self) -> dict[str, Any]:
        """Return the head as a JSON value: a member of evidence bundles, and a line that ``verify --heads`` reads."""
        return {
            "chain": self.chain,
            "link": self.link,
            "hash": self.hash.hex(),
            "at": iso(self.at),
            "key_id": self.key_id,
            "signature": self.signature.hex(),
        }


def head_statement(*, chain: str, link: int, hash_: bytes, at: str, key_id: str) -> bytes:
    """Return the bytes that a head's signature covers. ``at`` is the text of ``moments.iso``."""
    members = {"at": at, "chain": chain, "hash": hash_.hex(), "key_id": key_id, "link": link}
    return b"stepup-audit-head-v1\0" + canonical_json(members).encode()


def key_id_of(public_key: bytes) -> str:
    """Return the short name of a public key: the first 16 hexadecimal characters of its SHA-256."""
    return sha256(b"stepup-head-key\0" + public_key).hexdigest()[:16]


class HeadKey:
    """The private key that signs heads: 32 bytes, raw or in base64, as ``stepup keygen --head`` makes them.

    Raises ``ConfigurationError`` for anything else.
    """

    __slots__ = ("_private", "key_id", "public_key")

    def __init__(self, seed: bytes | str) -> None:
        raw = _decoded(seed) if isinstance(seed, str) else seed
        if not isinstance(raw, bytes) or len(raw) != SEED_BYTES or len(set(raw)) < 10:
            raise ConfigurationError(
                "head_key is 32 random bytes, raw or in base64: make one with `stepup keygen --head`"
            )
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._private = Ed25519PrivateKey.from_private_bytes(raw)
        self.public_key: bytes = self._private.public_key().public_bytes_raw()
        self.key_id: str = key_id_of(self.public_key)

    def sign(self, *, chain: str, link: int, hash_: bytes, at: datetime) -> bytes:
        """Return the 64-byte signature of a head."""
        return self._private.sign(head_statement(chain=chain, link=link, hash_=hash_, at=iso(at), key_id=self.key_id))

    def __repr__(self) -> str:
        return f"<HeadKey {self.key_id}>"


def head_holds(
    public_key: bytes, *, chain: str, link: int, hash_: bytes, at: str, key_id: str, signature: bytes
) -> bool:
    """Tell whether a head was signed by this key. ``at`` is the text that was signed. Never raises."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if key_id != key_id_of(public_key):
        return False
    try:
        statement = head_statement(chain=chain, link=link, hash_=hash_, at=at, key_id=key_id)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_text(public_key: bytes) -> str:
    """Return the text of a public key, as ``read_public_keys`` reads it."""
    return urlsafe_b64encode(public_key).rstrip(b"=").decode()


def read_public_keys(text: str) -> dict[str, bytes]:
    """Return the public keys of a file by key id: one a line in base64, ``#`` begins a comment.

    A line may say ``public_key=``. Raises ``ValueError`` for a line that is no Ed25519 key, and for a private
    one: who only verifies must not have it.
    """
    keys = {}
    for line in text.splitlines():
        entry = line.partition("#")[0].strip()
        if not entry or entry.startswith("key_id="):
            continue
        if entry.startswith(_PRIVATE_LABEL):
            raise ValueError("this file has the private head key: give the verifier the public key alone")
        public_key = _decoded(entry.removeprefix(_PUBLIC_LABEL).strip())
        if len(public_key) != SEED_BYTES:
            raise ValueError("not an Ed25519 public key: 32 bytes in base64 are expected, one key a line")
        keys[key_id_of(public_key)] = public_key
    if not keys:
        raise ValueError("there is no public key in the file")
    return keys


def _decoded(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet, padded or not; nothing for what is not base64."""
    bare = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        raw = urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return b""
    return raw if urlsafe_b64encode(raw).rstrip(b"=").decode() == bare else b""
