"""The token on the wire: a signed reference to a row, in exactly one spelling.

24 bytes of reference (row id, then 16 random bytes) and 30 bytes of HMAC-SHA256 make 54 bytes, which is
72 characters of base64url with no padding and no spare bits: a token has no second spelling, so nothing
that decodes alike can differ as text. Everything else about a token is in its row.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

NONCE_BYTES = 16  # 128 bits from the CSPRNG (ASVS 7.2.3, PSD2 RTS 4(2))
TOKEN_LENGTH = 72
_MAC_BYTES = 30
_REFERENCE = Struct(">Q16s")
_SHAPE = re.compile(rb"[A-Za-z0-9_-]{72}")


@dataclass(frozen=True, slots=True)
class TokenReference:
    """What a token points at: the row's id, and the row's nonce, so that a reused id never matches."""

    id: int
    nonce: bytes


class TokenCodec:
    """Writes and reads tokens with derived keys: the first signs, all verify."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        # a keyed HMAC is prepared once and copied per token: half the cost of keying it anew
        self._keys = tuple(hmac.new(key, digestmod=sha256) for key in keys)

    def write(self, reference: TokenReference) -> str:
        """Return the token of a row."""
        payload = _REFERENCE.pack(reference.id, reference.nonce)
        return urlsafe_b64encode(payload + self._mac(self._keys[0], payload)).decode()

    def read(self, token: bytes) -> TokenReference | None:
        """Return the reference of a token (the raw header value), or None when no key of ours signed it."""
        if len(token) != TOKEN_LENGTH or not _SHAPE.fullmatch(token):
            return None
        raw = urlsafe_b64decode(token)
        payload, mac = raw[:24], raw[24:]
        valid = False
        for key in self._keys:
            valid |= hmac.compare_digest(self._mac(key, payload), mac)
        return TokenReference(*_REFERENCE.unpack(payload)) if valid else None

    @staticmethod
    def _mac(key: hmac.HMAC, payload: bytes) -> bytes:
        keyed = key.copy()
        keyed.update(payload)
        return keyed.digest()[:_MAC_BYTES]
