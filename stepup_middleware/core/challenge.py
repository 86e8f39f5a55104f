"""The WebAuthn challenge: unpredictable, and a commitment to what was asked.

The nonce is the random part (WebAuthn L3 §13.4.3: random, made by the server, used once). The challenge
that the authenticator signs is a domain-separated SHA-256 over that nonce and the canonical description
of the prompt, so that the signature says, years later and offline, which action this person authorized.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from .canonical import canonical_json

NONCE_BYTES = 32


def describe(description: dict[str, Any]) -> bytes:
    """Return the RFC 8785 bytes of a prompt's description."""
    return canonical_json(description).encode()


def commit(nonce: bytes, description: bytes) -> bytes:
    """Return the 32-byte challenge of a nonce (32 random bytes) and a canonical description.

    Raises ``ValueError`` for a nonce of another length.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"the nonce has {NONCE_BYTES} bytes")
    return sha256(b"stepup-challenge-v1\0" + nonce + description).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChallenge:
    """A challenge that waits for its one answer. ``factor_ids`` are those that were offered for it."""

    nonce: bytes
    factor_ids: tuple[str, ...]
    expires_at: datetime
