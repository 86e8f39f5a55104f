"""What an action is for: the catalogue of purposes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from types import MappingProxyType

from stepup_middleware.errors import ConfigurationError

from .factors import FactorRequirement

MAX_TTL = timedelta(minutes=5)  # PSD2 RTS 4(3)(d): nothing idle for longer can be redeemed
LEAST_RETENTION_YEARS = MappingProxyType({"holds_override": 10})
_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """Notice that a purpose will go: ``on`` is the date of its end, ``text`` a sentence for developers."""

    on: date
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """One kind of high-impact action.

    ``id`` is what a tag names: lower-case letters, digits and underscores, 64 at most. ``title`` names it in lists,
    ``description`` says what it is for, ``authorize_title`` heads the modal and ``consequence`` tells what will
    happen, in plain words. ``minimum`` is the platform's floor and default, ``ttl`` the life of a token (at most five
    minutes), ``retention_years`` how many calendar years its audit events are kept. ``approvable``: a program may
    ask for it, and the person approves it in a browser of theirs (``approvable()`` turns it on). ``deprecated`` gives
    notice of its end; until then it works as ever.

    Raises ``ConfigurationError`` for values that cannot be served safely.
    """

    id: str
    title: str
    authorize_title: str
    consequence: str
    minimum: FactorRequirement
    ttl: timedelta
    description: str = ""
    retention_years: int = 1
    approvable: bool = False
    deprecated: Deprecation | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise ConfigurationError(f"a purpose id is lower-case letters, digits and _: {self.id!r}")
        try:
            object.__setattr__(self, "minimum", FactorRequirement(self.minimum))
        except ValueError:
            raise ConfigurationError(f"purpose {self.id}: unknown minimum {self.minimum!r}") from None
        if not isinstance(self.ttl, timedelta) or not timedelta(seconds=1) <= self.ttl <= MAX_TTL:
            raise ConfigurationError(f"purpose {self.id}: ttl must be 1 second to 5 minutes: {self.ttl!r}")
        if type(self.retention_years) is not int or not 1 <= self.retention_years <= 100:
            raise ConfigurationError(f"purpose {self.id}: retention_years must be 1 to 100")
        # A14: no setting of an app lowers what the regulator expects
        if self.retention_years < (least := LEAST_RETENTION_YEARS.get(self.id, 1)):
            raise ConfigurationError(f"purpose {self.id}: retention_years cannot be lowered below {least}")
        for field in ("title", "authorize_title", "consequence", "description"):
            text = getattr(self, field)
            if not isinstance(text, str) or (not text.strip() and field != "description"):
                raise ConfigurationError(f"purpose {self.id}: {field} must be text, and not be empty: {text!r}")
        if type(self.approvable) is not bool:
            raise ConfigurationError(f"purpose {self.id}: approvable is True or False: {self.approvable!r}")
        if self.deprecated is not None and not isinstance(self.deprecated, Deprecation):
            raise ConfigurationError(f"purpose {self.id}: deprecated must be a Deprecation(on=date(...), text=...)")


class Catalogue(Mapping[str, Purpose]):
    """The purposes of an app in their order, by id.

    Raises ``ConfigurationError`` for an empty catalogue or an id given twice.
    """

    __slots__ = ("_by_id",)

    def __init__(self, purposes: Iterable[Purpose]) -> None:
        self._by_id: dict[str, Purpose] = {}
        for purpose in purposes:
            if purpose.id in INTERNAL_PURPOSES:
                raise ConfigurationError(f"purpose id {purpose.id} is taken by the library itself: choose another")
            if purpose.id in self._by_id:
                raise ConfigurationError(f"purpose id {purpose.id} is listed twice")
            self._by_id[purpose.id] = purpose
        if not self._by_id:
            raise ConfigurationError("the catalogue has no purpose")

    @property
    def factor_retention_years(self) -> int:
        """How many calendar years the enrolment of a factor is kept.

        A proof is worth something to an auditor as long as the log tells whose key made it: so for the
        longest retention of any proof, on top of as many years in which the factor may be used.
        """
        return min(100, 2 * max(10, *(purpose.retention_years for purpose in self.values())))

    def __getitem__(self, purpose_id: str) -> Purpose:
        return self._by_id[purpose_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


FACTOR_CHANGE = Purpose(
    id="factor_change",
    title="Factor change",
    description="Adding or removing one of your own factors",
    authorize_title="Authorize a change of your factors",
    consequence=(
        "The set of factors that can authorize actions in your name changes. Go on only if you asked for it yourself."
    ),
    minimum=FactorRequirement.ANY,  # in effect: the strongest kind that the person has enrolled
    ttl=timedelta(seconds=120),
)
FACTORS_RESET = Purpose(
    id="factors_reset",
    title="Factors reset",
    description="Taking all factors of another person away",
    authorize_title="Authorize a reset of factors",
    consequence=(
        "All factors and recovery codes of this person go, and what they have open ends. Go on only if you know for "
        "certain that it is they who asked."
    ),
    minimum=FactorRequirement.PHISHING_RESISTANT,
    ttl=timedelta(seconds=120),
)
ENROLMENT_PASS = Purpose(
    id="enrolment_pass",
    title="Enrolment pass",
    description="Issuing a pass with which another person enrols their first factor",
    authorize_title="Authorize an enrolment pass",
    consequence=(
        "Whoever holds the pass and is signed in as this person can enrol a factor in their name. Hand it to nobody "
        "else."
    ),
    minimum=FactorRequirement.PHISHING_RESISTANT,
    ttl=timedelta(seconds=120),
)
POLICY_LOOSEN = Purpose(
    id="policy_loosen",
    title="Policy loosening",
    description="Asking for less than before in the step-up policy",
    authorize_title="Authorize a looser policy",
    consequence=(
        "From now on everybody in your workspace can authorize these actions with a weaker factor than before. Go on "
        "only if that is what you mean."
    ),
    minimum=FactorRequirement.PHISHING_RESISTANT,
    ttl=timedelta(seconds=120),
)
INTERNAL_PURPOSES: Mapping[str, Purpose] = MappingProxyType(
    {purpose.id: purpose for purpose in (FACTOR_CHANGE, FACTORS_RESET, ENROLMENT_PASS, POLICY_LOOSEN)}
)
"""The library's own purposes, outside every catalogue: no policy sets them, no tag names them."""

_ANY = FactorRequirement.ANY
_PHR = FactorRequirement.PHISHING_RESISTANT


def _purpose(
    purpose_id: str,
    title: str,
    description: str,
    authorize_title: str,
    consequence: str,
    minimum: FactorRequirement,
    seconds: int,
    retention_years: int = 1,
) -> Purpose:
    return Purpose(
        id=purpose_id,
        title=title,
        description=description,
        authorize_title=authorize_title,
        consequence=consequence,
        minimum=minimum,
        ttl=timedelta(seconds=seconds),
        retention_years=retention_years,
    )


PLATFORM_PURPOSES: tuple[Purpose, ...] = (
    _purpose(
        "payroll_ach_transmit",
        "Payroll ACH transmit",
        "Sending a NACHA file to the bank for direct-deposit payroll",
        "Authorize payroll ACH transmit",
        "Real money moves: the bank pays everyone on this run, and a sent file cannot be called back from here.",
        _PHR,
        60,
    ),
    _purpose(
        "equity_grant_cosign",
        "Equity grant cosign",
        "The second signer on an equity grant",
        "Authorize equity grant cosign",
        "Your signature makes the grant binding: the shares are promised to this person.",
        _PHR,
        120,
    ),
    _purpose(
        "year_end_tax_transmit",
        "Year-end tax transmit",
        "Finalizing W-2 / 1099 / T4 / 1095-C output for transmission",
        "Authorize year-end tax transmit",
        "The forms become final and go to the tax authority; later changes need filed corrections.",
        _PHR,
        120,
    ),
    _purpose(
        "account_erasure_finalize",
        "Account erasure finalize",
        "The final button after cooling-off and four-eyes",
        "Authorize account erasure",
        "The account and its personal data are erased for good. Nobody can bring them back.",
        _PHR,
        60,
    ),
    _purpose(
        "webhook_secret_rotation",
        "Webhook secret rotation",
        "Changing the HMAC secret of a subscription",
        "Authorize webhook secret rotation",
        "Deliveries are signed with a new secret at once; receivers that still know only the old one reject them.",
        _ANY,
        180,
    ),
    _purpose(
        "scim_token_revocation",
        "SCIM token revocation",
        "Revoking the active SCIM bearer token",
        "Authorize SCIM token revocation",
        "Your identity provider loses access at once: people are no longer added or removed automatically.",
        _ANY,
        180,
    ),
    _purpose(
        "saml_provider_deletion",
        "SAML provider deletion",
        "Removing an enabled SAML provider",
        "Authorize SAML provider deletion",
        "Everyone who signs in through this provider loses that way in.",
        _PHR,
        120,
    ),
    _purpose(
        "custom_domain_change",
        "Custom domain change",
        "Re-pointing the workspace's custom domain",
        "Authorize custom domain change",
        "The workspace answers at the new address; links to the old one stop working.",
        _ANY,
        180,
    ),
    _purpose(
        "mfa_policy_disable",
        "MFA policy disable",
        "Turning Require MFA off",
        "Authorize turning Require MFA off",
        "People can sign in with a password alone: a stolen password is then enough.",
        _PHR,
        60,
    ),
    _purpose(
        "network_policy_disable",
        "Network policy disable",
        "Disabling an active network allowlist",
        "Authorize disabling the network allowlist",
        "The workspace can be reached from any network, not only from the ones you listed.",
        _PHR,
        60,
    ),
    _purpose(
        "data_export_download",
        "Data-export download",
        "Downloading a prepared data-export bundle",
        "Authorize data-export download",
        "The bundle with the workspace's data leaves the platform and is yours to protect.",
        _ANY,
        120,
    ),
    _purpose(
        "audit_log_export",
        "Audit-log export",
        "Generating a CSV or NDJSON of the audit log",
        "Authorize audit-log export",
        "A copy of who did what, from where, leaves the platform and is yours to protect.",
        _ANY,
        120,
    ),
    _purpose(
        "personal_access_token_elevation",
        "Personal-access-token elevation",
        "Raising a PAT's scope past read-only",
        "Authorize personal-access-token elevation",
        "Whoever holds this token can change data, not only read it.",
        _ANY,
        180,
    ),
    _purpose(
        "holds_override",
        "Holds override",
        "Overriding a regulatory retention hold during account erasure; audit kept 10 years",
        "Authorize holds override",
        "A regulatory hold is set aside, so that records it protects can be erased. This is kept on record for "
        "ten years.",
        _PHR,
        60,
        10,
    ),
    _purpose(
        "attestation_policy_tighten",
        "Attestation policy tighten",
        "Switching the attestation mode to a stricter level",
        "Authorize a stricter attestation policy",
        "Authenticators that cannot attest what they are will no longer be accepted at enrolment.",
        _ANY,
        180,
    ),
    _purpose(
        "branding_domain_cname",
        "Branding domain CNAME",
        "Issuing a TLS certificate for a custom subdomain",
        "Authorize branding domain CNAME",
        "A TLS certificate is issued for the subdomain, and your pages are served under it.",
        _ANY,
        300,
    ),
)
"""The platform's sixteen purposes, in order, the same for every workspace."""


def unknown(purpose: str, purposes: Collection[str]) -> str:
    """Return the words for a purpose that is not in a catalogue, with the id that was probably meant."""
    near = get_close_matches(purpose, purposes, n=1)
    meant = f"did you mean {near[0]!r}?" if near else "correct it, or add the purpose: StepUp(purposes=[...])"
    return f"the unknown purpose {purpose!r}: {meant}"
