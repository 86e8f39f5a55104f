"""The first rows of a new workspace. Every figure is computed, none is anybody's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

from demo_app.accounts import hash_password
from demo_app.db import Transaction
from demo_app.nacha import check_digit
from demo_app.secrets_at_rest import Vault, new_token, token_hash

DEMO_PASSWORD = "axis-demo"  # noqa: S105 - told on the sign-in page on purpose
ACCOUNTS = (
    ("owner", "owner@axis.example", "Owner", True),
    ("cosigner", "cosigner@axis.example", "Cosigner", False),
    ("analyst", "analyst@axis.example", "Analyst", False),
)
_EMPLOYEES = 216
_BANKS = ("99100001", "99100002", "99100003", "99100004")  # no bank has numbers that begin with 99
_RUNS = (
    ("2026-06", "June 2026, regular", "2026-06-30", 214, 41_290_877),
    ("2026-06-B", "June 2026, off-cycle bonus", "2026-06-30", 38, 9_120_450),
    ("2026-07", "July 2026, regular", "2026-07-31", 216, 41_731_206),
)
_GRANTS = (
    ("G-1041", 12, "Restricted stock units", 4_000, 1_850, "4 years, 1-year cliff", "owner"),
    ("G-1042", 57, "Incentive stock options", 12_500, 925, "4 years, monthly", "cosigner"),
    ("G-1043", 88, "Restricted stock units", 2_400, 1_850, "3 years, quarterly", "analyst"),
    ("G-1044", 131, "Non-qualified stock options", 7_200, 925, "4 years, 1-year cliff", "owner"),
    ("G-1045", 160, "Restricted stock units", 900, 1_850, "2 years, quarterly", None),
)
_FORMS = (("W-2", 2026, 214), ("1099-NEC", 2026, 26), ("T4", 2026, 18), ("1095-C", 2026, 214))
# id, employee, requested by, requested days ago, approved by, holds
_ERASURES: tuple[tuple[str, int, str, int, str | None, tuple[tuple[str, str, str], ...]], ...] = (
    ("E-301", 17, "analyst", 45, "cosigner", ()),
    ("E-302", 44, "owner", 38, "cosigner", (("H-1", "Payroll records, 29 CFR 516.5", "2029-06-30"),)),
    ("E-303", 63, "analyst", 36, None, ()),
    ("E-304", 90, "cosigner", 6, "owner", ()),
    ("E-305", 102, "cosigner", 52, "owner", (("H-2", "I-9 retention, 8 CFR 274a.2", "2027-03-31"),)),
)
_COOLING_OFF = timedelta(days=30)
_WEBHOOKS = (
    ("W-1", "https://hooks.axis.example/payroll", "payroll.transmitted, payroll.returned"),
    ("W-2", "https://hooks.axis.example/people", "person.created, person.erased"),
)


def spread(count: int, total: int) -> Iterator[int]:
    """Spread a total over people unevenly and exactly: pairs differ from the mean by the same amount."""
    mean, rest = divmod(total, count)
    for place in range(count):
        pair = place % (count // 2) if count > 1 else 0
        swing = (pair * 7919) % (mean // 3) if place < count // 2 * 2 else 0
        cents = mean + (swing if place < count // 2 else -swing)
        yield cents + (1 if place < rest else 0)


async def seed(change: Transaction, *, now: datetime, vault: Vault) -> None:
    """Write the first rows of the workspace."""
    password_hash = await asyncio.to_thread(hash_password, DEMO_PASSWORD)  # the same for all, as is the password
    for account_id, email, name, is_admin in ACCOUNTS:
        await change.run(
            "INSERT INTO account VALUES (?, ?, ?, ?, ?)", account_id, email, name, int(is_admin), password_hash
        )
    await change.many(
        "INSERT INTO employee VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                number,
                f"Employee {number:04d}",
                f"900{number * 4637 % 1_000_000:06d}",  # no person has a number that begins with 9
                (bank := _BANKS[number % len(_BANKS)]) + check_digit(bank),
                f"{4_000_000_000 + number * 104_729}",
                "savings" if number % 5 == 0 else "checking",
            )
            for number in range(1, _EMPLOYEES + 1)
        ],
    )
    await _seed_pay_and_equity(change, now)
    await _seed_privacy(change, now)
    await _seed_platform(change, now, vault)


async def _seed_pay_and_equity(change: Transaction, now: datetime) -> None:
    for run_id, title, pay_date, count, total in _RUNS:
        await change.run(
            "INSERT INTO payroll_run (id, title, pay_date, state) VALUES (?, ?, ?, 'draft')",
            run_id,
            title,
            pay_date,
        )
        payments = [(run_id, number, cents) for number, cents in enumerate(spread(count, total), start=1)]
        await change.many("INSERT INTO payment VALUES (?, ?, ?)", payments)
    for grant_id, grantee, instrument, shares, price, vesting, signer in _GRANTS:
        await change.run(
            "INSERT INTO equity_grant (id, grantee, instrument, shares, price_cents, vesting, first_signer,"
            " first_signed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            grant_id,
            grantee,
            instrument,
            shares,
            price,
            vesting,
            signer,
            (now - timedelta(days=2)).isoformat() if signer else None,
        )
    for form, year, count in _FORMS:
        form_id = f"{form}-{year}".lower()
        await change.run(
            "INSERT INTO year_end_form (id, form, tax_year, state) VALUES (?, ?, ?, 'prepared')", form_id, form, year
        )
        slips = [
            (form_id, number, cents, cents * 17 // 100)
            for number, cents in enumerate(spread(count, count * 6_210_000 + 77), start=1)
        ]
        await change.many("INSERT INTO year_end_slip VALUES (?, ?, ?, ?)", slips)


async def _seed_privacy(change: Transaction, now: datetime) -> None:
    for erasure_id, number, requested_by, days_ago, approved_by, holds in _ERASURES:
        member_id = f"member-{number:04d}"
        await change.run(
            "INSERT INTO member VALUES (?, ?, ?, ?, ?, ?)",
            member_id,
            f"Former employee {number:04d}",
            f"former-{number:04d}@axis.example",
            f"+1 555 01{number % 100:02d}",
            f"{number} Example Street",
            f"19{60 + number % 40}-0{1 + number % 9}-1{number % 10}",
        )
        for title in ("Employment contract", "Payslips 2024 to 2026", "Benefits election"):
            await change.run(
                "INSERT INTO member_document (member_id, title, body) VALUES (?, ?, ?)",
                member_id,
                title,
                f"{title} of former employee {number:04d}",
            )
        requested_at = now - timedelta(days=days_ago)
        await change.run(
            "INSERT INTO erasure (id, member_id, requested_by, requested_at, cooling_off_ends, approved_by,"
            " approved_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            erasure_id,
            member_id,
            requested_by,
            requested_at.isoformat(),
            (requested_at + _COOLING_OFF).isoformat(),
            approved_by,
            (requested_at + timedelta(days=1)).isoformat() if approved_by else None,
        )
        for hold_id, rule, ends_on in holds:
            await change.run(
                "INSERT INTO hold (id, erasure_id, rule, ends_on) VALUES (?, ?, ?, ?)",
                hold_id,
                erasure_id,
                rule,
                ends_on,
            )


async def _seed_platform(change: Transaction, now: datetime, vault: Vault) -> None:
    for webhook_id, url, events in _WEBHOOKS:
        await change.run(
            "INSERT INTO webhook VALUES (?, ?, ?, ?, 1, NULL)",
            webhook_id,
            url,
            events,
            vault.encrypt(new_token("whsec")),
        )
    token = new_token("scim")
    await change.run(
        "INSERT INTO scim_token (id, prefix, token_hash, created_at) VALUES ('S-1', ?, ?, ?)",
        token[:10],
        token_hash(token),
        (now - timedelta(days=90)).isoformat(),
    )
    for token_id, name, account_id in (
        ("T-1", "Nightly people sync", "owner"),
        ("T-2", "Ledger connector", "cosigner"),
        ("T-3", "Headcount report", "analyst"),
    ):
        token = new_token("pat")
        await change.run(
            "INSERT INTO access_token VALUES (?, ?, ?, ?, ?, 'read', ?)",
            token_id,
            name,
            account_id,
            token[:9],
            token_hash(token),
            (now - timedelta(days=30)).isoformat(),
        )
    for provider_id, name, people in (("saml-staff", "Staff directory", 198), ("saml-partners", "Partners", 16)):
        await change.run(
            "INSERT INTO saml_provider VALUES (?, ?, ?, 1, ?, ?)",
            provider_id,
            name,
            f"https://{provider_id}.idp.axis.example/metadata",
            people,
            (now - timedelta(days=200)).isoformat(),
        )
    ranges = [("192.0.2.0/24", "Headquarters"), ("198.51.100.0/24", "VPN"), ("2001:db8:a::/48", "Headquarters")]
    await change.many("INSERT INTO network_range VALUES (?, ?)", ranges)
    for key, value in (
        ("mfa_required", "yes"),
        ("network_allowlist", "on"),
        ("attestation_mode", "none"),
        ("custom_domain", "people.axis.example"),
    ):
        await change.run("INSERT INTO setting VALUES (?, ?)", key, value)
    for hostname in ("people.axis.example", "work.axis.example", "hr.axis.example"):
        await change.run(
            "INSERT INTO domain VALUES (?, ?, ?)",
            hostname,
            f"axis-verification={token_hash(hostname)[:24]}",
            (now - timedelta(days=12)).isoformat(),
        )
    for branding_id, subdomain, site in (
        ("careers", "careers.axis.example", "Careers site"),
        ("benefits", "benefits.axis.example", "Benefits portal"),
        ("offers", "offers.axis.example", "Offer letters"),
    ):
        await change.run("INSERT INTO branding (id, subdomain, site) VALUES (?, ?, ?)", branding_id, subdomain, site)
    for export_id, title, content in (
        ("X-1", "People directory", "people"),
        ("X-2", "Payroll runs", "payroll"),
        ("X-3", "Equity ledger", "equity"),
    ):
        await change.run(
            "INSERT INTO data_export (id, title, content, prepared_at) VALUES (?, ?, ?, ?)",
            export_id,
            title,
            content,
            (now - timedelta(hours=3)).isoformat(),
        )
