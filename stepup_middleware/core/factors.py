"""The factors by which a person proves who they are: their kinds, their strength, their records.

The kind of a factor is a fact of its stored registration. No ceremony takes the client's word for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_LINE = 64 * 1024  # characters of a line that brings a factor of another system


class FactorKind(StrEnum):
    """The three kinds of factor, by the words of the wire format."""

    PASSKEY = "passkey"
    HARDWARE_KEY = "hardware_key"
    TOTP = "totp"

    @property
    def phishing_resistant(self) -> bool:
        """Whether the kind resists phishing (NIST SP 800-63B-4 §3.2.5: one-time passwords never do)."""
        return self is not FactorKind.TOTP

    @property
    def label(self) -> str:
        """The kind in the words of a page."""
        return _LABELS[self]

    @property
    def amr(self) -> tuple[str, ...]:
        """Authentication method references (RFC 8176 §2)."""
        return _AMR[self]


_LABELS = {
    FactorKind.PASSKEY: "Passkey",
    FactorKind.HARDWARE_KEY: "Hardware key",
    FactorKind.TOTP: "Authenticator app",
}
_AMR = {
    FactorKind.PASSKEY: ("swk", "user", "mfa"),
    FactorKind.HARDWARE_KEY: ("hwk", "user", "mfa"),
    FactorKind.TOTP: ("otp", "mfa"),
}


class FactorRequirement(StrEnum):
    """How strong a proof must be. ``ANY`` is any enrolled factor.

    ``strength`` is 0 for any factor, 1 for phishing-resistant only: what a store compares.
    """

    ANY = "any"
    PHISHING_RESISTANT = "phishing_resistant"

    def __init__(self, value: str) -> None:
        self.strength = 1 if value == "phishing_resistant" else 0

    @property
    def acr(self) -> str:
        """The ``acr_values`` of the RFC 9470 challenge: ``phr`` or ``mfa``."""
        return "phr" if self is FactorRequirement.PHISHING_RESISTANT else "mfa"

    def accepts(self, kind: FactorKind) -> bool:
        """Whether a factor of this kind meets the requirement."""
        return self is FactorRequirement.ANY or kind.phishing_resistant

    def kinds(self) -> tuple[FactorKind, ...]:
        """The kinds that meet the requirement, strongest preference first."""
        return _KINDS[self]


_KINDS = {
    requirement: tuple(kind for kind in FactorKind if requirement.accepts(kind)) for requirement in FactorRequirement
}


def stricter(one: FactorRequirement, other: FactorRequirement) -> FactorRequirement:
    """Return the stricter of two requirements."""
    return one if one.strength >= other.strength else other


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAuthnFactor:
    """A registered credential (WebAuthn L3 §4, credential record).

    ``credential_id`` is raw bytes, ``public_key`` the COSE_Key in CBOR, ``algorithm`` its COSE ``alg``
    pinned at registration, ``user_handle`` the handle the credential was made for, empty where an import did not have
    it. ``backup_eligible`` and ``backed_up`` are None where an import did not have them.
    """

    id: str
    kind: FactorKind
    name: str
    created_at: datetime
    last_used_at: datetime | None
    credential_id: bytes
    public_key: bytes
    algorithm: int
    sign_count: int
    backup_eligible: bool | None
    backed_up: bool | None
    transports: tuple[str, ...]
    aaguid: str
    user_handle: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TOTPFactor:
    """A confirmed one-time-password secret (RFC 6238), encrypted at rest.

    ``last_step`` is the last accepted time-step of this secret, counted in 30 seconds; a step is accepted once.
    ``encrypted_secret`` has the hash, digits and period, too (``ceremonies.totp.TOTPSecret``).
    """

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    encrypted_secret: bytes
    last_step: int

    @property
    def kind(self) -> FactorKind:
        return FactorKind.TOTP


Factor = WebAuthnFactor | TOTPFactor


@dataclass(frozen=True, slots=True)
class EnrolledFactor:
    """A factor as decisions see it."""

    id: str
    kind: FactorKind


def may_remove(factors: Sequence[EnrolledFactor], factor_id: str) -> bool:
    """Whether a person may remove a factor: not the last one, and not the last phishing-resistant one.

    Without one the person could not step up to enrol another, or could run no strong action. A store asks inside the
    transaction that removes, so that of two removals at once the second sees the first.
    """
    leaving = next((factor for factor in factors if factor.id == factor_id), None)
    others = [factor for factor in factors if factor.id != factor_id]
    if leaving is None or not others:
        return False
    return not leaving.kind.phishing_resistant or any(factor.kind.phishing_resistant for factor in others)


class EnrolmentBasis(StrEnum):
    """What an enrolment began on: it decides what must still be so when the factor is added."""

    SIGN_IN = "recent_sign_in"
    STEP_UP = "step_up"
    PASS = "enrolment_pass"  # noqa: S105 - a word, not a password
    RECOVERY = "recovery_code"

    @property
    def takes_right(self) -> bool:
        """Whether it spends the right of its session."""
        return self in (EnrolmentBasis.PASS, EnrolmentBasis.RECOVERY)

    def still_holds(self, *, has_factors: bool, had_before: bool) -> bool:
        """Whether a factor may be added now: ``had_before``, a factor from before the enrolment is still there.

        A store asks inside the transaction that adds it. So of two first factors one is added, and what was begun
        before a reset adds nothing after it.
        """
        match self:
            case EnrolmentBasis.SIGN_IN | EnrolmentBasis.PASS:
                return not has_factors
            case EnrolmentBasis.STEP_UP:
                return had_before
            case EnrolmentBasis.RECOVERY:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """An enrolment that has begun: a WebAuthn challenge, or a one-time-password secret to confirm.

    ``challenge`` is 32 bytes for WebAuthn; ``encrypted_secret`` is set for TOTP. One answer each. ``basis`` is what it
    began on, ``ip`` the address from which.
    """

    id: str
    workspace_id: str
    subject_id: str
    session: str
    kind: FactorKind
    basis: EnrolmentBasis
    ip: str
    begun_at: datetime
    expires_at: datetime
    challenge: bytes = b""
    encrypted_secret: bytes = b""
