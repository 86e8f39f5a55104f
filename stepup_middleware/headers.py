"""Reads the headers of an ASGI scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def header(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    """Return the first value of a header (lower-case name), or None."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def headers(scope: Mapping[str, Any], name: bytes) -> list[bytes]:
    """Return every value of a header (lower-case name)."""
    return [value for key, value in scope["headers"] if key == name]
