"""Which proof a workspace asks for: its own choice, never below the platform's minimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepup_middleware.errors import PolicyError

from .factors import FactorRequirement, stricter
from .purposes import Purpose
from .texts import Text, marked

OTHERS = ""  # the id under which a policy says what holds for purposes that it does not name


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """A workspace's policy as stored: raw values by purpose id, and a version that grows with each write."""

    version: int = 0
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposePolicy:
    """One ``purpose`` with the ``requirement`` in effect for a workspace."""

    purpose: Purpose
    requirement: FactorRequirement

    @property
    def minimum(self) -> FactorRequirement:
        """What the platform asks for at least: no policy goes below it."""
        return self.purpose.minimum


def altered_policy(version: int) -> StoredPolicy:
    """Return what holds where somebody else wrote the policy: the strictest for all, until an admin chooses again."""
    return StoredPolicy(version=version, values={OTHERS: FactorRequirement.PHISHING_RESISTANT.value})


def effective_requirement(purpose: Purpose, policy: StoredPolicy) -> FactorRequirement:
    """Return what a new prompt asks for: the stored choice or the minimum, whichever is stricter.

    A stored word that is not one of the two known ones reads as the strictest.
    """
    stored = policy.values.get(purpose.id, policy.values.get(OTHERS))
    if stored is None:
        return purpose.minimum
    try:
        return stricter(purpose.minimum, FactorRequirement(stored))
    except ValueError:
        return FactorRequirement.PHISHING_RESISTANT


def check_policy_write(purpose: Purpose, requirement: str) -> FactorRequirement:
    """Return the requirement to save, or raise ``PolicyError`` when it is below the minimum or unknown."""
    try:
        wanted = FactorRequirement(requirement)
    except ValueError:
        raise PolicyError(
            marked("%(purpose)s: choose 'any' or 'phishing_resistant', not %(value)s."),
            purpose=Text(purpose.title, {}),
            value=repr(str(requirement)[:40]),
        ) from None
    if wanted.strength < purpose.minimum.strength:
        raise PolicyError(
            marked("%(purpose)s: the platform minimum is a phishing-resistant factor, so 'any' cannot be saved."),
            purpose=Text(purpose.title, {}),
        )
    return wanted
