"""Secrets at rest: encrypted under the first key of the ring, readable under all of them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from stepup_middleware.errors import StoreError


class SecretBox:
    """Encrypts one-time-password secrets with keys derived for this use alone."""

    __slots__ = ("_fernet",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])

    def encrypt(self, secret: str) -> bytes:
        """Return the secret encrypted under the first key."""
        return self._fernet.encrypt(secret.encode())

    def decrypt(self, sealed: bytes) -> str:
        """Return the secret. Raises ``StoreError`` when no key of the ring opens it."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise StoreError("a stored secret cannot be read with any of the keys") from error

    def rotate(self, sealed: bytes) -> bytes:
        """Return the same secret encrypted under the first key. Raises ``StoreError`` as ``decrypt`` does."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise StoreError("a stored secret cannot be read with any of the keys") from error

    def __repr__(self) -> str:
        return "<SecretBox>"
