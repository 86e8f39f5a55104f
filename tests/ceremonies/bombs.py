"""Small CBOR inputs that a decoder pays dearly for."""

from __future__ import annotations


def shared_references(levels: int) -> bytes:
    """Build an array whose items refer twice each to the one before (tags 28, 29): 2**levels when encoded."""
    items = [b"\x80"]
    for index in range(levels - 1):
        reference = b"\xd8\x1d\x18" + bytes([index])
        items.append(b"\x82" + reference * 2)
    return b"\x98" + bytes([levels]) + b"".join(b"\xd8\x1c" + item for item in items)


CBOR_BOMBS = {
    "length of 2**63 bytes": b"\x5b" + (1 << 63).to_bytes(8, "big"),
    "text of 2**63 bytes": b"\x7b" + (1 << 63).to_bytes(8, "big"),
    "array of 2**63 items": b"\x9b" + (1 << 63).to_bytes(8, "big"),
    "map of 2**63 items": b"\xbb" + (1 << 63).to_bytes(8, "big"),
    "nesting": b"\x81" * 3000 + b"\x80",
    "indefinite array": b"\x9f" + b"\x00" * 3000 + b"\xff",
    "indefinite nesting": b"\x9f" * 1500 + b"\xff" * 1500,
    "shared references": shared_references(28),
    "regular expression": b"\xd8\x23\x78\x20" + b"(a+)+" * 6 + b"$$",
    "bignum": b"\xc2\x59\x0b\xb8" + b"\xff" * 3000,
    "cut off": b"\xa1\x63",
    "reserved length": b"\x1c",
}
