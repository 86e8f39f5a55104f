"""The one-time cookie, which carries a token for a native form or a link: they cannot set a header."""

from __future__ import annotations


def cookie_name(*, secure: bool) -> str:
    """Return the name of the one-time cookie; the prefix makes browsers insist on https (RFC 6265bis §4.1.3.1)."""
    return "__Secure-stepup-token" if secure else "stepup-token"


def token_cookie(token: str, *, path: str, seconds: int, secure: bool) -> bytes:
    """Return the ``Set-Cookie`` value of the one-time cookie: for this path, this site and this long only.

    ``path`` is the path as browsers write it, percent-encoded.
    """
    if ";" in path:  # which would end the attribute: the folder above it (RFC 6265 §5.1.4)
        path = path.partition(";")[0].rpartition("/")[0] or "/"
    parts = [
        f"{cookie_name(secure=secure)}={token}",
        f"Path={path}",
        f"Max-Age={seconds}",
        "HttpOnly",
        "SameSite=Strict",
    ]
    if secure:
        parts.append("Secure")
    return "; ".join(parts).encode("latin-1")
