"""The one-time cookie, which carries a token for a native form or a link: they cannot set a header.

A reader of our own, because ``http.cookies`` gives up on the whole header at one pair that it does not like (JSON in
a value, a cookie without ``=``), and takes quadratic time to unquote a long value (CVE-2024-7592). Here every pair
stands for itself, nothing is unquoted, and the work is linear in the length of the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

MOST_VALUES = 8  # of one name that are looked at; browsers send one for each path and domain that matches


def cookie_values(lines: Iterable[bytes], name: bytes) -> Iterator[bytes]:
    """Yield the values of the cookies of exactly this name, in the order in which they came, at most ``MOST_VALUES``.

    A cookie with a longer path comes first, and of equal ones the older (RFC 6265 §5.4 step 2). Pairs end at ``;``,
    also inside quotes: no browser stores a ``;`` in a cookie (RFC 6265 §5.2 step 1). HTTP/2 may send each pair in a
    line of its own (RFC 9113 §8.2.3). A value is what stands behind the first ``=``, without the blanks around it.
    """
    left = MOST_VALUES
    for line in lines:
        if name not in line:
            continue
        for pair in line.split(b";"):
            key, equals, value = pair.partition(b"=")
            if equals and key.strip(b" \t") == name:
                yield value.strip(b" \t")
                left -= 1
                if not left:
                    return


def chosen_value(lines: Iterable[bytes], name: bytes, accepts: Callable[[bytes], object]) -> bytes | None:
    """Return the first value of a cookie that ``accepts`` takes; where it takes none, the first; None without one.

    Somebody who may set cookies for the domain (another host below it) cannot hide the right value behind values
    that are none of ours.
    """
    first: bytes | None = None
    for value in cookie_values(lines, name):
        if accepts(value):
            return value
        if first is None:
            first = value
    return first


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
