"""One text per value: canonical JSON and the digests over it, base64url; and the strict readers of both.

Values are built from str, int, bool, None, lists and str-keyed dicts with ASCII keys. For these the
standard library's sorted, compact form is byte for byte the one of RFC 8785 (a test compares the two).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from json import encoder as json_encoder
from typing import Any, NoReturn

MAX_INTEGER = 2**53 - 1  # that every reader of JSON reads alike (RFC 7493 §2.2)

_standard = json_encoder.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)
canonical_string = json_encoder.encode_basestring  # of a text, with its quotes

if json_encoder.c_make_encoder is None:  # type: ignore[attr-defined] # not CPython

    def canonical_json(value: Any) -> str:
        """Return the RFC 8785 text of a value without floats and with ASCII keys."""
        return _standard.encode(value)

else:
    # JSONEncoder makes this anew for every value, which takes longer than a small value itself
    _parts = json_encoder.c_make_encoder(  # type: ignore[attr-defined]
        None, _standard.default, canonical_string, None, ":", ",", True, False, False
    )

    def canonical_json(value: Any) -> str:
        """Return the RFC 8785 text of a value without floats and with ASCII keys."""
        return "".join(_parts(value, 0))


def digest(domain: str, value: Any) -> bytes:
    """Return the 32-byte SHA-256 of a value under a domain name, so that no two uses share a digest."""
    return sha256(domain.encode() + b"\0" + canonical_json(value).encode()).digest()


def storable(text: str, limit: int = 2048) -> str:
    """Return text that UTF-8 can carry, at most ``limit`` characters: lone surrogates become ``?``."""
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def strict_json(text: str) -> Any:
    """Parse JSON that has one reading: no duplicate members, no NaN, no text that UTF-8 cannot carry (RFC 7493 §2.1).

    Raises ``ValueError`` for all else.
    """
    return _strict(text, _reader)


def strict_json_of_integers(text: str) -> Any:
    """Parse JSON as ``strict_json`` does, whose numbers are all integers that a double holds (RFC 7493 §2.2).

    Of such a value ``canonical_json`` makes the RFC 8785 text. Raises ``ValueError`` for all else.
    """
    return _strict(text, _reader_of_integers)


def _strict(text: str, reader: json.JSONDecoder) -> Any:
    try:
        value = reader.decode(text)
        if "\\u" in text:  # an escape may be half of a character
            canonical_json(value).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not text.isascii():
        text.encode()
    return value


def base64url(raw: bytes) -> str:
    """Return base64url without padding (RFC 4648 §5)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_base64url(text: str) -> bytes:
    """Return the bytes whose ``base64url`` a text is. Raises ``ValueError`` for every other spelling of them."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ValueError("not base64url") from None
    if base64url(raw) != text:  # the decoder ignores what it does not know: only a round trip tells the one spelling
        raise ValueError("not base64url")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _exact_integer(digits: str) -> int:
    if len(digits) > len(str(-MAX_INTEGER)) or abs(number := int(digits)) > MAX_INTEGER:
        raise ValueError(f"{digits[:40]} is an integer that a double does not hold")
    return number


def _no_integer(number: str) -> NoReturn:
    raise ValueError(f"{number[:40]} is no integer")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_reader = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_reader_of_integers = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_no_integer, parse_int=_exact_integer
)
