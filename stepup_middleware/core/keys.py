"""The secret keys: which are good enough, and one derived key per use."""

from __future__ import annotations

import hashlib
import re
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


_REPR_OF_BYTES = re.compile(r"""[bB]('.*'|".*")""", re.DOTALL)
_JOINED = re.compile(r"[\w+/=-]{32,}(\s*[,;]\s*[\w+/=-]{32,})+")


class KeyRing:
    """The secret keys of an installation: the first signs and encrypts, all verify and decrypt.

    Each use derives its own keys with its own salt, so that nothing made for one use passes for another
    (and a host that signs its sessions with the same secret shares nothing with us). Raises
    ``ConfigurationError`` for a missing, short, placeholder or repeated key.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: str | bytes | Sequence[str | bytes]) -> None:
        if isinstance(keys, str | bytes | bytearray):
            keys = [keys]
        if keys is None or (isinstance(keys, Sequence) and not keys):
            raise ConfigurationError("secret_key is empty: make one with `stepup keygen`")
        if not isinstance(keys, Sequence):
            raise ConfigurationError(
                f"secret_key is one key or a list of them, the first of which signs, not a {type(keys).__name__}"
            )
        self._keys = tuple(self._checked(key) for key in keys)
        if len(set(self._keys)) != len(self._keys):
            raise ConfigurationError("secret_key lists the same key twice")

    @staticmethod
    def _checked(key: object) -> bytes:
        if isinstance(key, str):
            key = _encoded(key)
        if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"each secret_key needs at least {MIN_KEY_BYTES} bytes: make one with `stepup keygen`"
            )
        lowered = key.lower()
        if len(set(key)) < 10 or any(word.encode() in lowered for word in _PLACEHOLDERS):
            raise ConfigurationError("a secret_key looks like a placeholder: make one with `stepup keygen`")
        return key

    def __contains__(self, key: object) -> bool:
        """Whether a key, as text or bytes, is one of these."""
        return (key.encode() if isinstance(key, str) else key) in self._keys

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


def _encoded(key: str) -> bytes:
    """Return the bytes of a key given as text. Raises ``ConfigurationError`` for text that was made by mistake."""
    if _REPR_OF_BYTES.fullmatch(key):
        raise ConfigurationError("a secret_key is the text of bytes, b'...': give the bytes, or what they decode to")
    if key != key.strip() or "\n" in key or "\r" in key or _JOINED.fullmatch(key):
        raise ConfigurationError(
            "a secret_key has line ends or commas in it, as several keys in one text have: split it into a list, "
            "such as Path(...).read_text().split()"
        )
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("a secret_key is no text that UTF-8 can carry: give it as bytes") from None
