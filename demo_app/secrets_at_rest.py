"""Keys derived from the configured ones, each for one use, and what they encrypt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, MultiFernet


def derived_key(secret_key: str, use: str) -> bytes:
    """Return 32 bytes for one use; keys of two uses tell nothing of each other."""
    return hmac.digest(secret_key.encode(), f"axis {use}".encode(), "sha256")


def token_hash(token: str) -> str:
    """Return the hash by which a bearer token of high entropy is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(prefix: str) -> str:
    """Return a new bearer token: its public prefix and 256 random bits."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


class Vault:
    """Encrypts secrets that the app itself must read again (webhook HMAC secrets).

    The first key encrypts, all decrypt, so that keys rotate without losing a secret.
    """

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(derived_key(key, "vault"))) for key in secret_keys])

    def encrypt(self, secret: str) -> bytes:
        """Return the secret as ciphertext."""
        return self._fernet.encrypt(secret.encode())

    def decrypt(self, ciphertext: bytes) -> str:
        """Return the secret. Raises ``cryptography.fernet.InvalidToken`` when no key fits."""
        return self._fernet.decrypt(ciphertext).decode()
