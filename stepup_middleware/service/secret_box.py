"""Secrets at rest: encrypted under the first key of the ring, readable under all of them, each in its own row."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stepup_middleware.errors import StoreError
from stepup_middleware.stores.sealing import Place

_VERSION = b"\x01"
_NONCE_BYTES = 12  # random: a key encrypts far fewer than 2**32 secrets (NIST SP 800-38D section 8.3)


class SecretBox:
    """Encrypts one-time-password secrets (AES-256-GCM) with keys derived for this use alone.

    A secret is bound to its ``place``, as associated data: workspace, subject, and the id of its factor or enrolment.
    One that was copied into another row cannot be read there.
    """

    __slots__ = ("_ciphers",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    def encrypt(self, secret: str, place: Place) -> bytes:
        """Return the secret encrypted under the first key."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._ciphers[0].encrypt(nonce, secret.encode(), _bound(place))

    def decrypt(self, sealed: bytes, place: Place) -> str:
        """Return the secret. Raises ``StoreError`` when no key of the ring opens it at this place."""
        if sealed[:1] == _VERSION and len(sealed) > 1 + _NONCE_BYTES:
            nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
            for cipher in self._ciphers:
                try:
                    return cipher.decrypt(nonce, text, _bound(place)).decode()
                except InvalidTag:
                    continue
        raise StoreError("a stored secret cannot be read with any of the keys, or is another row's")

    def rotate(self, sealed: bytes, place: Place) -> bytes:
        """Return the same secret encrypted under the first key. Raises ``StoreError`` as ``decrypt`` does."""
        return self.encrypt(self.decrypt(sealed, place), place)

    def __repr__(self) -> str:
        return "<SecretBox>"


def _bound(place: Place) -> bytes:
    return json.dumps(["stepup-totp", *place]).encode()
