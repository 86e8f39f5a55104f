"""One text per value: canonical JSON and the digests over it.

Values are built from str, int, bool, None, lists and str-keyed dicts with ASCII keys. For these the
standard library's sorted, compact form is byte for byte the one of RFC 8785 (a test compares the two).
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical_json(value: Any) -> str:
    """Return the RFC 8785 text of a value without floats and with ASCII keys."""
    return _encode(value)


def digest(domain: str, value: Any) -> bytes:
    """Return the 32-byte SHA-256 of a value under a domain name, so that no two uses share a digest."""
    return sha256(domain.encode() + b"\0" + _encode(value).encode()).digest()


def storable(text: str, limit: int = 2048) -> str:
    """Return text that UTF-8 can carry, at most ``limit`` characters: lone surrogates become ``?``."""
    return text[:limit].encode("utf-8", "replace").decode()
