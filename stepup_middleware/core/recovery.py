"""How a person without factors gets one: enrolment passes, recovery codes, resets, and the hold after them.

A *right* to enrol one factor is what a pass or a recovery code turns into: of one session at one address, for ten
minutes. A *hold* closes the purposes whose minimum is phishing-resistant to a person for a while after a reset or a
recovery code, whatever they enrol meanwhile (NIST SP 800-63B-4 §4.2.2: recovery is told, and is weaker than a proof).
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from .factors import EnrolmentBasis, FactorRequirement
from .proof import Proof
from .purposes import Purpose
from .typed import typed

PASS_LIFETIME = timedelta(hours=1)
LONGEST_PASS = timedelta(days=7)
PASS_TRIES = 5  # wrong ones that a pass bears; then it opens nothing any more
RIGHT_LIFETIME = timedelta(minutes=10)
CODES = 10  # recovery codes of a set
RESET_REQUEST_LIFETIME = timedelta(hours=24)  # in which a second admin may confirm a reset
LONGEST_REASON = 200  # characters


class FirstFactor(StrEnum):
    """What a first factor takes: ``StepUp(first_factor=)``."""

    RECENT_SIGN_IN = "recent_sign_in"
    ENROLMENT_PASS = "enrolment_pass"  # noqa: S105 - a word, not a password
    EITHER = "either"

    @property
    def takes_sign_in(self) -> bool:
        """Whether a fresh sign-in is enough."""
        return self is not FirstFactor.ENROLMENT_PASS

    @property
    def takes_pass(self) -> bool:
        """Whether an enrolment pass is enough."""
        return self is not FirstFactor.RECENT_SIGN_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentPass:
    """A pass that an admin issued for a person: one open pass each, a new one takes the place of the one before.

    ``digest`` is SHA-256 of its 128 random bits: so many need no slow hash. ``issued_by`` is the id of the admin, or
    names the operator. ``tries`` counts wrong ones, ``used_at`` says when it was taken.
    """

    id: str
    workspace_id: str
    subject_id: str
    digest: bytes = field(repr=False)
    issued_at: datetime
    issued_by: str
    expires_at: datetime
    tries: int = 0
    used_at: datetime | None = None

    def opens_with(self, digest: bytes) -> bool:
        """Whether this is the digest of its secret, compared in constant time."""
        return hmac.compare_digest(self.digest, digest)


class PassRefused(StrEnum):
    """Why a pass opened nothing, in the word of the log. The person is told one sentence for all."""

    UNKNOWN = "pass_unknown"
    WRONG = "pass_wrong"
    SPENT = "pass_used"
    EXPIRED = "pass_expired"
    CLOSED = "pass_closed"
    HAS_FACTORS = "pass_not_needed"


def refuse_pass(found: EnrolmentPass | None, digest: bytes, *, now: datetime, has_factors: bool) -> PassRefused | None:
    """Return why a pass opens nothing, None when it does. A store asks inside the transaction that takes it."""
    if found is None:
        return PassRefused.UNKNOWN
    if not found.opens_with(digest):
        return PassRefused.WRONG if found.tries < PASS_TRIES else PassRefused.CLOSED
    if found.used_at is not None:
        return PassRefused.SPENT
    if found.tries >= PASS_TRIES:
        return PassRefused.CLOSED
    if now >= found.expires_at:
        return PassRefused.EXPIRED
    return PassRefused.HAS_FACTORS if has_factors else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRight:
    """The right to enrol one factor, of one session (hashed) at one address. A new one takes its place."""

    workspace_id: str
    subject_id: str
    session: str
    ip: str
    basis: EnrolmentBasis
    expires_at: datetime

    def serves(self, session: str, ip: str, now: datetime) -> bool:
        """Whether it is this session's, from this address, and not over."""
        return self.session == session and self.ip == ip and now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes:
    """The recovery codes of a person: one set, a new one takes the place of the one before.

    ``hashes`` are of ``scrypt`` under the ``salt`` of the set, 32 bytes each; ``used`` are the numbers of those that
    were used.
    """

    id: str
    workspace_id: str
    subject_id: str
    made_at: datetime
    salt: bytes = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    used: frozenset[int] = frozenset()

    @property
    def left(self) -> int:
        """How many can still be used."""
        return len(self.hashes) - len(self.used)

    def number_of(self, hashed: bytes) -> int | None:
        """Return which code has this hash. All of them are compared, each in constant time."""
        found = [number for number, known in enumerate(self.hashes) if hmac.compare_digest(known, hashed)]
        return found[0] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Purposes whose minimum is phishing-resistant are closed to a person ``until`` then."""

    workspace_id: str
    subject_id: str
    until: datetime

    def closes(self, purpose: Purpose, now: datetime) -> bool:
        """Whether a purpose is closed now."""
        return purpose.minimum is FactorRequirement.PHISHING_RESISTANT and now < self.until


def is_shielded(made_at: datetime, proved_with: datetime) -> bool:
    """Whether a hold keeps a factor or set of codes of ``made_at`` from a proof by a factor of ``proved_with``.

    Nothing goes meanwhile by a factor that came after it: whoever came in by a recovery code locks nobody out.
    """
    return proved_with > made_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRequest:
    """A reset that one admin asked for and another must confirm (``StepUp(reset_needs_two=True)``)."""

    id: str
    workspace_id: str
    subject_id: str
    subject_name: str
    reason: str
    requested_by: str
    requested_by_name: str
    requested_at: datetime
    expires_at: datetime
    with_pass: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorsReset:
    """A reset: what takes the place of a person's factors, all in one transaction.

    ``request`` is the one that it confirms and takes away; ``hold`` None holds nothing. ``proof`` is the admin's, None
    where an operator resets.
    """

    workspace_id: str
    subject_id: str
    hold: Hold | None
    new_pass: EnrolmentPass | None = None
    request: ResetRequest | None = None
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the library has met them: with their name and login of that time, empty where it has not."""

    subject_id: str
    name: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleFilter:
    """Whom to list: those whose name, login or id has ``text`` in it, both as ``folded`` gives them.

    ``lacking``: those without a factor that meets this requirement. ``enrolled``: those with any factor, or (False)
    without one.
    """

    text: str = ""
    lacking: FactorRequirement | None = None
    enrolled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """Some people in the order of their names; ``next`` is what to ask for those after them by, None at the end."""

    people: Sequence[Person]
    next: str | None


_ACCENTS = frozenset(map(chr, range(0x300, 0x370)))  # of Latin, Greek and Cyrillic letters; elsewhere marks are letters


def folded(text: str) -> str:
    """Return a text as it is compared in a search: however its letters are composed, accented, wide or capital.

    A name from macOS comes decomposed, one typed into a form composed (Unicode Standard Annex 15).
    """
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in bare if char not in _ACCENTS)


# secrets that people type: Crockford's base32, in groups of four, the last two characters a check of the others

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ = {digit: number for number, digit in enumerate(_DIGITS)} | {"O": 0, "I": 1, "L": 1}
_CHECK = 2  # characters: of 1024 mistyped ones about one is not seen
PASS_BITS, CODE_BITS = 130, 70


def written_secret(value: int, bits: int) -> str:
    """Return a secret of this many bits, a multiple of five, as people are shown it: ``7K2M-…``."""
    text = "".join(_DIGITS[value >> shift & 31] for shift in range(bits - 5, -1, -5))
    text += _check_of(text)
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def read_secret(text: object, bits: int) -> str | None:
    """Return a typed secret in its one spelling, without groups; None for what cannot be one.

    Case, the letters that look like digits and what is no letter or digit do not matter.
    """
    letters = typed(text, 200).upper()
    if len(letters) != bits // 5 + _CHECK or any(letter not in _READ for letter in letters):
        return None
    secret = "".join(_DIGITS[_READ[letter]] for letter in letters)
    return secret if _check_of(secret[:-_CHECK]) == secret[-_CHECK:] else None


def pass_digest(secret: str) -> bytes:
    """Return the digest of a pass in its one spelling."""
    return sha256(b"stepup-enrolment-pass\0" + secret.encode()).digest()


def _check_of(text: str) -> str:
    digest = sha256(b"stepup-check\0" + text.encode()).digest()
    return _DIGITS[digest[0] & 31] + _DIGITS[digest[1] & 31]
