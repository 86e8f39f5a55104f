"""The kinds of factor, and how strong a proof must be: the words, without the records."""

from __future__ import annotations

from enum import StrEnum


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
    """How strong a proof must be. ``ANY`` is any enrolled factor."""

    ANY = "any"
    PHISHING_RESISTANT = "phishing_resistant"

    @property
    def strength(self) -> int:
        """0 for any factor, 1 for phishing-resistant only: what a store compares."""
        return 1 if self is FactorRequirement.PHISHING_RESISTANT else 0

    @property
    def acr(self) -> str:
        """The ``acr_values`` of the RFC 9470 challenge: ``phr`` or ``mfa``."""
        return "phr" if self is FactorRequirement.PHISHING_RESISTANT else "mfa"

    def accepts(self, kind: FactorKind) -> bool:
        """Whether a factor of this kind meets the requirement."""
        return self is FactorRequirement.ANY or kind.phishing_resistant

    def kinds(self) -> tuple[FactorKind, ...]:
        """The kinds that meet the requirement, strongest preference first."""
        return tuple(kind for kind in FactorKind if self.accepts(kind))


def stricter(one: FactorRequirement, other: FactorRequirement) -> FactorRequirement:
    """Return the stricter of two requirements."""
    return one if one.strength >= other.strength else other
