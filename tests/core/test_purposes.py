"""The catalogue of the platform, word by word, and what a purpose may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.purposes import FACTOR_CHANGE, PLATFORM_PURPOSES, Catalogue, Deprecation, Purpose
from stepup_middleware.errors import ConfigurationError
from tests.core.support import PAYROLL, PURPOSES, WEBHOOK

HOLDS = "overriding a regulatory retention hold during account erasure; audit kept 10 years"

# id | title | what it is for | minimum | TTL in seconds
PLATFORM = f"""
payroll_ach_transmit | Payroll ACH transmit | sending a NACHA file to the bank for direct-deposit payroll | phr | 60
equity_grant_cosign | Equity grant cosign | the second signer on an equity grant | phr | 120
year_end_tax_transmit | Year-end tax transmit | finalizing W-2 / 1099 / T4 / 1095-C output for transmission | phr | 120
account_erasure_finalize | Account erasure finalize | the final button after cooling-off and four-eyes | phr | 60
webhook_secret_rotation | Webhook secret rotation | changing the HMAC secret of a subscription | any | 180
scim_token_revocation | SCIM token revocation | revoking the active SCIM bearer token | any | 180
saml_provider_deletion | SAML provider deletion | removing an enabled SAML provider | phr | 120
custom_domain_change | Custom domain change | re-pointing the workspace's custom domain | any | 180
mfa_policy_disable | MFA policy disable | turning Require MFA off | phr | 60
network_policy_disable | Network policy disable | disabling an active network allowlist | phr | 60
data_export_download | Data-export download | downloading a prepared data-export bundle | any | 120
audit_log_export | Audit-log export | generating a CSV or NDJSON of the audit log | any | 120
personal_access_token_elevation | Personal-access-token elevation | raising a PAT's scope past read-only | any | 180
holds_override | Holds override | {HOLDS} | phr | 60
attestation_policy_tighten | Attestation policy tighten | switching the attestation mode to a stricter level | any | 180
branding_domain_cname | Branding domain CNAME | issuing a TLS certificate for a custom subdomain | any | 300
"""
ROWS = [tuple(cell.strip() for cell in line.split("|")) for line in PLATFORM.strip().splitlines()]
REQUIREMENTS = {"any": FactorRequirement.ANY, "phr": FactorRequirement.PHISHING_RESISTANT}


def purpose(**changes: Any) -> Purpose:
    """Return a sound purpose but for the changes."""
    values: dict[str, Any] = {
        "id": "wire_transfer",
        "title": "Wire transfer",
        "authorize_title": "Authorize wire transfer",
        "consequence": "Money moves.",
        "minimum": FactorRequirement.ANY,
        "ttl": timedelta(seconds=60),
    }
    return Purpose(**{**values, **changes})


def test_the_platform_has_its_sixteen_purposes_in_their_order() -> None:
    assert [purpose.id for purpose in PLATFORM_PURPOSES] == [row[0] for row in ROWS]
    assert len(PLATFORM_PURPOSES) == 16


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_purpose_has_its_title_its_minimum_and_its_ttl(row: tuple[str, ...]) -> None:
    purpose_id, title, use, minimum, seconds = row
    found = PURPOSES[purpose_id]
    assert found.title == title
    assert found.description.casefold() == use.casefold()
    assert found.minimum is REQUIREMENTS[minimum]
    assert found.ttl == timedelta(seconds=int(seconds))


def test_the_modal_of_payroll_is_headed_as_promised() -> None:
    assert PAYROLL.authorize_title == "Authorize payroll ACH transmit"
    assert PAYROLL.consequence.startswith("Real money moves:")


@pytest.mark.parametrize("found", PLATFORM_PURPOSES, ids=lambda found: found.id)
def test_each_purpose_heads_its_modal_with_authorize_and_tells_a_consequence(found: Purpose) -> None:
    assert found.authorize_title.startswith("Authorize ")
    assert found.consequence.endswith(".")


def test_titles_and_consequences_are_all_different() -> None:
    for field in ("title", "authorize_title", "consequence"):
        assert len({getattr(found, field) for found in PLATFORM_PURPOSES}) == 16


# A11
def test_holds_override_is_kept_ten_years_and_all_else_one() -> None:
    kept = {found.id: found.retention_years for found in PLATFORM_PURPOSES}
    assert kept.pop("holds_override") == 10
    assert set(kept.values()) == {1}


@pytest.mark.parametrize("years", [1, 9])
def test_no_setting_of_an_app_lowers_the_ten_years_of_holds_override(years: int) -> None:
    (found,) = (purpose for purpose in PLATFORM_PURPOSES if purpose.id == "holds_override")
    with pytest.raises(ConfigurationError, match="cannot be lowered below 10"):  # A14
        replace(found, retention_years=years)
    assert replace(found, retention_years=11).retention_years == 11


def test_an_enrolment_outlasts_every_proof_made_with_it_as_long_as_the_longest_retention() -> None:
    assert Catalogue(PLATFORM_PURPOSES).factor_retention_years == 20
    assert Catalogue([WEBHOOK]).factor_retention_years == 20
    assert Catalogue([replace(WEBHOOK, retention_years=15)]).factor_retention_years == 30
    assert Catalogue([replace(WEBHOOK, retention_years=90)]).factor_retention_years == 100


def test_every_purpose_accepts_a_phishing_resistant_factor() -> None:
    for found in PLATFORM_PURPOSES:
        assert any(kind.phishing_resistant for kind in found.minimum.kinds())


# T37
@pytest.mark.parametrize(
    "ttl",
    [
        timedelta(0),
        timedelta(seconds=-1),
        timedelta(microseconds=999_999),
        timedelta(minutes=5, microseconds=1),
        timedelta(days=1),
        60,
        60.0,
        float("nan"),
        None,
        "60",
    ],
)
def test_a_ttl_that_cannot_be_served_safely_is_refused(ttl: object) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        purpose(ttl=ttl)


@pytest.mark.parametrize("ttl", [timedelta(seconds=1), timedelta(minutes=5)])
def test_the_bounds_of_the_ttl_are_allowed(ttl: timedelta) -> None:
    assert purpose(ttl=ttl).ttl == ttl


@given(st.timedeltas())
def test_no_purpose_has_a_ttl_outside_its_bounds(ttl: timedelta) -> None:
    try:
        made = purpose(ttl=ttl)
    except ConfigurationError:
        assert not timedelta(seconds=1) <= ttl <= timedelta(minutes=5)
    else:
        assert timedelta(seconds=1) <= made.ttl <= timedelta(minutes=5)


@pytest.mark.parametrize(
    "purpose_id",
    ["", "Payroll", "1st", "_x", "a b", "a-b", "a\n", "é", "a" * 65, "a/b", "a;b", 7, None],
)
def test_a_purpose_id_is_plain_lower_case(purpose_id: object) -> None:
    with pytest.raises(ConfigurationError, match="id"):
        purpose(id=purpose_id)


# F09
@pytest.mark.parametrize("minimum", ["", "phr", "none", "ANY", "any ", None, 0, [], "mfa"])
def test_an_unknown_minimum_stops_the_start(minimum: object) -> None:
    with pytest.raises(ConfigurationError, match="minimum"):
        purpose(minimum=minimum)


def test_a_minimum_may_be_given_by_its_word() -> None:
    assert purpose(minimum="phishing_resistant").minimum is FactorRequirement.PHISHING_RESISTANT


@pytest.mark.parametrize("years", [0, -1, 101, 1.5, True, "1", None])
def test_a_retention_is_one_to_a_hundred_whole_years(years: object) -> None:
    with pytest.raises(ConfigurationError, match="retention_years"):
        purpose(retention_years=years)


@pytest.mark.parametrize("field", ["title", "authorize_title", "consequence"])
def test_what_people_read_may_not_be_empty(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        purpose(**{field: ""})


def test_a_purpose_may_carry_a_notice_of_its_end() -> None:
    notice = Deprecation(on=date(2027, 1, 31), text="Use domain_change.")
    assert purpose(deprecated=notice).deprecated == notice


def test_a_catalogue_keeps_its_order_and_finds_by_id() -> None:
    catalogue = Catalogue([WEBHOOK, PAYROLL])
    assert list(catalogue) == [WEBHOOK.id, PAYROLL.id]
    assert catalogue[PAYROLL.id] is PAYROLL
    assert len(catalogue) == 2
    assert "factor_change" not in catalogue


def test_an_empty_catalogue_stops_the_start() -> None:
    with pytest.raises(ConfigurationError):
        Catalogue([])


def test_an_id_given_twice_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="listed twice"):
        Catalogue([PAYROLL, WEBHOOK, PAYROLL])


def test_no_app_takes_the_id_of_the_librarys_own_purpose() -> None:
    with pytest.raises(ConfigurationError, match="taken by the library itself"):
        Catalogue([purpose(id=FACTOR_CHANGE.id)])


def test_the_librarys_own_purpose_is_outside_the_sixteen() -> None:
    assert FACTOR_CHANGE.id not in PURPOSES
