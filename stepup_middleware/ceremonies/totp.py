"""Time-based one-time passwords (RFC 6238): secrets, their URI, and which time-step a code belongs to.

A new secret has SHA-1, six digits and 30 seconds: what every authenticator app speaks (RFC 6238 §1.2, Key URI format).
One that was imported keeps its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import pyotp

from stepup_middleware.core.typed import typed
from stepup_middleware.errors import CeremonyError, FailureReason

PERIOD_SECONDS = 30
DIGITS = 6
ALGORITHMS = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}  # RFC 6238 §1.2
ALL_DIGITS = (6, 8)
PERIODS = (30, 60)  # seconds
MIN_NEW_SECRET = 20  # bytes, 160 bit (RFC 4226 §4 R6, recommended)
MIN_SECRET = 16  # bytes, 128 bit (RFC 4226 §4 R6, required)
MAX_SECRET = 128  # bytes; longer keys are hashed by HMAC and add nothing
MAX_DRIFT = 1  # time-steps
MAX_TYPED = 64  # characters that are read as a code

# ASCII digits alone: pyotp folds full-width, superscript and bold digits into these before it compares.
_CODE = re.compile(r"[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class TOTPSecret:
    """A secret in base32 with the hash, digits and period of its codes. Raises ``ValueError`` for others than these."""

    secret: str
    algorithm: str = "SHA1"
    digits: int = DIGITS
    period: int = PERIOD_SECONDS  # seconds

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS or self.digits not in ALL_DIGITS or self.period not in PERIODS:
            raise ValueError("a secret has SHA1, SHA256 or SHA512, 6 or 8 digits, and a period of 30 or 60 seconds")

    def text(self) -> str:
        """Return the one text that is encrypted and kept."""
        return f"{self.algorithm}.{self.digits}.{self.period}.{self.secret}"

    def hmac_key(self) -> bytes:
        """Return the key as HMAC uses it (RFC 2104 §2), without its padding: equal where all codes are.

        A secret that ends in zeros, or is longer than a block of the hash, gives the codes of another one.
        """
        key, new = base64.b32decode(self.secret + "=" * (-len(self.secret) % 8)), ALGORITHMS[self.algorithm]
        return (new(key).digest() if len(key) > new().block_size else key).rstrip(b"\0")

    def __repr__(self) -> str:
        return f"<TOTPSecret {self.algorithm} {self.digits} {self.period}>"


def read_secret(text: str) -> TOTPSecret:
    """Return the secret of a text that was kept. Raises ``ValueError`` for any other."""
    algorithm, digits, period, secret = text.split(".")
    return TOTPSecret(secret, algorithm, int(digits), int(period))


def read_code(text: object, lengths: Collection[int] = (DIGITS,)) -> str | None:
    """Return the ASCII digits that somebody meant, as many as one of ``lengths``, or None.

    Text with another number of digits, or with letters, is not a code, and so not an attempt.
    """
    digits = typed(text, MAX_TYPED)
    return digits if _CODE.fullmatch(digits) and len(digits) in lengths else None


def new_secret(random: bytes) -> str:
    """Encode at least 20 random bytes as a base32 secret without padding (RFC 4648 §6).

    Raises ``ValueError`` for fewer bytes, or for more than HMAC can use.
    """
    if not MIN_NEW_SECRET <= len(random) <= MAX_SECRET:
        raise ValueError(f"a new secret has {MIN_NEW_SECRET} to {MAX_SECRET} random bytes")
    return base64.b32encode(random).decode("ascii").rstrip("=")


def provisioning_uri(secret: str, *, account: str, issuer: str) -> str:
    """Return the ``otpauth://totp/`` URI that an authenticator app reads from a QR code.

    A colon separates the two in the label (Key URI format, *Label*), so neither may have one: strict apps refuse
    such a URI. It is written as a space. Raises ``ValueError`` for a secret under 128 bits or one that is not base32,
    and for an account or issuer of which nothing is left. The URI contains the secret: it is shown once and logged
    never.
    """
    account, issuer = (" ".join(label.replace(":", " ").split()) for label in (account, issuer))
    if not account or not issuer:
        raise ValueError("an account and an issuer are needed to tell one entry from another")
    return _generator(TOTPSecret(secret)).provisioning_uri(name=account, issuer_name=issuer)


def matched_step(secret: TOTPSecret, code: object, *, now: datetime, last_step: int, drift: int = MAX_DRIFT) -> int:
    """Return the time-step that ``code`` belongs to (RFC 6238 §4.2), for the caller to advance to.

    Steps are counted in 30 seconds whatever the period, so that those of all secrets compare: a longer one is named by
    its last 30 seconds. ``now`` is aware. ``last_step`` is the last step accepted of this secret, -1 for none; a step
    is accepted once, so the caller stores the returned one by compare-and-set. A code is accepted ``drift``
    periods, 0 or 1, to either side of the current one. That lets a code live one period beyond its own, for the time
    it takes to type and send it (RFC 6238 §5.2) and for a clock that is ahead (§6): a conscious deviation from ASVS
    6.5.5, which single use bounds.

    Raises ``CeremonyError``: ``MALFORMED`` unless the code is a string of ASCII digits, as many as the secret's codes
    have, ``WRONG_CODE``, ``CODE_REPLAYED`` for the right code of a step at or before ``last_step``,
    ``UNSUPPORTED_KEY`` for a stored secret under 128 bits. Raises ``ValueError`` for a naive ``now`` or another
    ``drift``.
    """
    if drift not in range(MAX_DRIFT + 1):
        raise ValueError(f"drift is 0 to {MAX_DRIFT} periods")
    if now.utcoffset() is None:
        raise ValueError("now must be aware")
    if not isinstance(code, str) or _CODE.fullmatch(code) is None or len(code) != secret.digits:
        raise CeremonyError(FailureReason.MALFORMED, "not the digits of a code")
    try:
        generator = _generator(secret)
    except ValueError:
        raise CeremonyError(FailureReason.UNSUPPORTED_KEY, "stored secret") from None
    try:
        current = generator.timecode(now)
    except ValueError:
        raise CeremonyError(FailureReason.WRONG_CODE, "no time-step at this time") from None
    matched = -1
    # Every candidate is computed and compared, so that the time taken tells nothing. The latest match
    # counts: were two steps to share a code, the earlier one would leave the same code good for the later.
    for step in range(max(current - drift, 0), current + drift + 1):
        if hmac.compare_digest(generator.generate_otp(step), code):
            matched = step
    if matched < 0:
        raise CeremonyError(FailureReason.WRONG_CODE)
    matched = (matched + 1) * (secret.period // PERIOD_SECONDS) - 1
    if matched <= last_step:
        raise CeremonyError(FailureReason.CODE_REPLAYED)
    return matched


def check_secret(secret: TOTPSecret) -> None:
    """Raise ``ValueError`` for a secret that is not base32, or of fewer than 128 bits or more than HMAC can use."""
    _generator(secret)


def _generator(secret: TOTPSecret) -> pyotp.TOTP:
    """Build pyotp's generator, or raise ``ValueError`` without the secret in its text."""
    try:
        generator = pyotp.TOTP(
            secret.secret, digits=secret.digits, interval=secret.period, digest=ALGORITHMS[secret.algorithm]
        )
        size = len(generator.byte_secret())
    except ValueError:
        raise ValueError("the secret is not base32 or far too short") from None
    if not MIN_SECRET <= size <= MAX_SECRET:
        raise ValueError(f"a secret has {MIN_SECRET} to {MAX_SECRET} bytes")
    return generator
