"""The secret keys: which are good enough, and one derived key per use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from itsdangerous import Signer

from stepup_middleware.errors import ConfigurationError

MIN_KEY_BYTES = 32
_PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "insecure",
    "placeholder",
    "example",
    "your-",
)


class KeyRing:
    """The secret keys of an installation: the first signs and encrypts, all verify and decrypt.

    Each use derives its own keys with its own salt, so that nothing made for one use passes for another
    (and a host that signs its sessions with the same secret shares nothing with us). Raises
    ``ConfigurationError`` for a missing, short, placeholder or repeated key.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        if isinstance(keys, str | bytes | bytearray):
            keys = [keys]
        if not keys:
            raise ConfigurationError("secret_key is empty: make one with `stepup keygen`")
        self._keys = tuple(self._checked(key) for key in keys)
        if len(set(self._keys)) != len(self._keys):
            raise ConfigurationError("secret_key lists the same key twice")

    @staticmethod
    def _checked(key: object) -> bytes:
        if isinstance(key, str):
            key = key.encode()
        if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"each secret_key needs at least {MIN_KEY_BYTES} bytes: make one with `stepup keygen`"
            )
        lowered = key.lower()
        if len(set(key)) < 10 or any(word.encode() in lowered for word in _PLACEHOLDERS):
            raise ConfigurationError("a secret_key looks like a placeholder: make one with `stepup keygen`")
        return key

    def derive(self, use: str) -> tuple[bytes, ...]:
        """Return 32-byte keys for one use, in the order of the ring (HMAC-SHA256 over the use's name)."""
        return tuple(
            Signer(
                key, salt=f"stepup_middleware.{use}", key_derivation="hmac", digest_method=hashlib.sha256
            ).derive_key()
            for key in self._keys
        )

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._keys)}>"
