"""All sixteen actions, clicked as a person would: what the modal says, and what is true afterwards."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from cryptography import x509
from playwright.async_api import Browser, Download, Locator, expect

from stepup_middleware import PLATFORM_PURPOSES

from .conftest import COSIGNER, OWNER, Demo, Person, open_person, start_demo, stop_demo

PURPOSES = {purpose.id: purpose for purpose in PLATFORM_PURPOSES}
Check = Callable[[Person], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """A demo for all actions of this module: each touches rows of its own."""
    running = await start_demo(tmp_path_factory.mktemp("actions"))
    yield running
    await stop_demo(running)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def owner(browser: Browser, shared: Demo) -> AsyncIterator[Person]:
    """The owner, with a passkey."""
    person = await open_person(browser, shared)
    await person.plug_in("internal")
    await person.sign_in(OWNER)
    await person.enrol("passkey")
    yield person
    await person.context.close()
    assert person.faults == []


@dataclass(frozen=True)
class Action:
    """One click: where, on what, what the modal must show, and what must be true afterwards."""

    purpose: str
    page: str
    within: str
    button: str
    shows: tuple[str, ...]
    after: Check
    downloads: bool = False


def titled(name: str) -> str:
    """Return the selector of the card that its heading of this id names."""
    return f'article[aria-labelledby="{name}"]'


def card(person: Person, selector: str) -> Locator:
    return person.page.locator(selector)


async def saved(person: Person, link: Locator) -> bytes:
    """Click a link and return the file that it brings."""
    async with person.page.expect_download() as download:
        await link.click()
    return await content_of(await download.value)


async def content_of(download: Download) -> bytes:
    content: bytes = (await download.path()).read_bytes()
    return content


async def payroll_sent(person: Person) -> None:
    run = card(person, "#run-2026-06")
    await expect(run.get_by_text("Transmitted", exact=True)).to_be_visible()
    lines = (await saved(person, run.get_by_role("link", name="payroll-2026-06.ach"))).decode().splitlines()
    assert all(len(line) == 94 for line in lines)
    assert sum(line.startswith("6") for line in lines) == 214
    credited = sum(int(line[29:39]) for line in lines if line.startswith("6"))
    assert credited == 41_290_877


async def grant_made(person: Person) -> None:
    grant = card(person, titled("grant-G-1042"))
    await expect(grant).to_contain_text("Granted")
    await expect(grant).to_contain_text("Second signature: Owner")
    await expect(grant.get_by_role("button")).to_have_count(0)


async def form_final(person: Person) -> None:
    form = card(person, titled("form-w-2-2026"))
    await expect(form).to_contain_text("Final since")
    content = await saved(person, form.get_by_role("link", name="w-2-2026.txt"))
    await expect(form).to_contain_text(hashlib.sha256(content).hexdigest())


async def account_erased(person: Person) -> None:
    erasure = card(person, "#erasure-E-301")
    await expect(erasure).to_contain_text("Finalized by Owner")
    assert await erasure.get_by_text("erased", exact=True).count() == 3
    await person.page.reload()
    assert "former-0017@axis.example" not in await person.page.content()


async def secret_rotated(person: Person) -> None:
    webhook = card(person, "#webhook-W-1")
    secret = await webhook.locator("code", has_text="whsec_").inner_text()
    await expect(webhook).to_contain_text("Secret v2")
    await webhook.get_by_role("button", name="Sign a test delivery").click()
    signature = hmac.new(secret.encode(), b'{"event":"test.delivery"}', hashlib.sha256).hexdigest()
    await expect(webhook).to_contain_text(f"sha256={signature}")
    assert secret not in await person.page.content()


async def directory_cut_off(person: Person) -> None:
    await expect(card(person, titled("scim-S-1"))).to_contain_text("Revoked")
    await expect(person.page.get_by_text("No SCIM token is active")).to_be_visible()
    await person.page.get_by_role("button", name="Issue a new token").click()
    await expect(person.page.locator("code", has_text="scim_")).to_be_visible()
    await person.go("/developers")
    await expect(person.page.locator("code", has_text="scim_")).to_have_count(0)


async def provider_gone(person: Person) -> None:
    await expect(card(person, "#saml")).to_contain_text("People who sign in with a password from now on: 198.")
    await person.page.reload()
    await expect(card(person, "#saml").get_by_role("heading", name="Staff directory")).to_have_count(0)
    await expect(card(person, "#saml").get_by_role("heading", name="Partners")).to_be_visible()


async def domain_moved(person: Person) -> None:
    await expect(person.page.locator("main")).to_contain_text("The workspace answers at work.axis.example")


async def mfa_off(person: Person) -> None:
    await expect(card(person, "#mfa")).to_contain_text("People may sign in with a password alone")
    await card(person, "#mfa").get_by_role("button", name="Turn on").click()
    await expect(card(person, "#mfa")).to_contain_text("Everyone needs a second factor")


async def allowlist_off(person: Person) -> None:
    await expect(card(person, "#network")).to_contain_text("people sign in from any network")
    await expect(card(person, "#network")).to_contain_text("192.0.2.0/24")


async def bundle_saved(person: Person) -> None:
    await person.page.reload()
    export = card(person, titled("export-X-1"))
    await expect(export).to_contain_text("Last download")
    await expect(export).to_contain_text("by Owner")


async def log_saved(person: Person) -> None:
    await person.page.reload()
    await person.page.get_by_text("Latest exports").click()
    await expect(person.page.locator("#exports li").first).to_contain_text("CSV")
    await expect(person.page.locator("#exports li").first).to_contain_text(re.compile(r"Events: \d+"))


async def token_raised(person: Person) -> None:
    token = card(person, titled("token-T-1"))
    await expect(token).to_contain_text("May write")
    await expect(token.get_by_role("button", name="Raise to write")).to_have_count(0)
    await expect(token.get_by_role("button", name="Raise to admin")).to_be_visible()
    await token.get_by_role("button", name="Back to read-only").click()
    await expect(token).to_contain_text("Read-only")


async def hold_overridden(person: Person) -> None:
    erasure = card(person, "#erasure-E-302")
    await expect(erasure).to_contain_text("by Owner: A court ordered the erasure")
    await expect(erasure.get_by_role("button", name="Override hold")).to_have_count(0)
    await expect(erasure.get_by_role("button", name="Erase for good")).to_be_visible()
    await expect(card(person, "#erasure-E-303").get_by_role("button", name="Override hold")).to_have_count(0)


async def attestation_tightened(person: Person) -> None:
    modes = card(person, "#attestation").get_by_role("listitem")
    await expect(modes.filter(has_text="names its maker itself")).to_contain_text("in force")
    await expect(modes.filter(has_text="Any key may enrol")).to_contain_text("looser")
    await expect(modes.get_by_role("button")).to_have_count(1)


async def certificate_issued(person: Person) -> None:
    branding = card(person, "#branding-careers")
    await expect(branding).to_contain_text("careers.axis.example. CNAME edge.axis.example.")
    pem = await saved(person, branding.get_by_role("link", name="careers.axis.example.pem"))
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["careers.axis.example"]


ACTIONS = [
    Action(
        "payroll_ach_transmit",
        "/payroll",
        "#run-2026-06",
        "Transmit to bank",
        ("2026-06", "USD 412,908.77"),
        payroll_sent,
    ),
    Action(
        "equity_grant_cosign",
        "/equity",
        titled("grant-G-1042"),
        "Cosign",
        ("G-1042", "12,500"),
        grant_made,
    ),
    Action(
        "year_end_tax_transmit",
        "/year-end",
        titled("form-w-2-2026"),
        "Finalize",
        ("W-2", "214"),
        form_final,
    ),
    Action(
        "account_erasure_finalize",
        "/privacy",
        "#erasure-E-301",
        "Erase for good",
        ("E-301", "Cosigner"),
        account_erased,
    ),
    Action(
        "webhook_secret_rotation",
        "/developers",
        "#webhook-W-1",
        "Rotate secret",
        ("version 1 is replaced",),
        secret_rotated,
    ),
    Action(
        "scim_token_revocation",
        "/developers",
        titled("scim-S-1"),
        "Revoke",
        ("S-1",),
        directory_cut_off,
    ),
    Action(
        "saml_provider_deletion",
        "/identity",
        '#saml .inset:has-text("Staff directory")',
        "Delete",
        ("198",),
        provider_gone,
    ),
    Action(
        "custom_domain_change",
        "/domains",
        'li:has-text("work.axis.example")',
        "Point here",
        ("people.axis.example",),
        domain_moved,
    ),
    Action(
        "mfa_policy_disable",
        "/identity",
        "#mfa",
        "Turn off",
        ("Require MFA now",),
        mfa_off,
    ),
    Action(
        "network_policy_disable",
        "/identity",
        "#network",
        "Disable",
        ("198.51.100.0/24",),
        allowlist_off,
    ),
    Action(
        "data_export_download",
        "/exports",
        titled("export-X-1"),
        "Download",
        ("employees.csv",),
        bundle_saved,
        downloads=True,
    ),
    Action(
        "audit_log_export",
        "/audit",
        "form.export",
        "Export",
        ("CSV", "all"),
        log_saved,
        downloads=True,
    ),
    Action(
        "personal_access_token_elevation",
        "/developers",
        titled("token-T-1"),
        "Raise to write",
        ("Nightly people sync",),
        token_raised,
    ),
    Action(
        "holds_override",
        "/privacy",
        "#erasure-E-302",
        "A court ordered the erasure",
        ("H-1", "Jun 30, 2029", "A court ordered the erasure"),
        hold_overridden,
    ),
    Action(
        "attestation_policy_tighten",
        "/identity",
        '#attestation li:has(strong:text-is("Direct"))',
        "Tighten",
        ("direct",),
        attestation_tightened,
    ),
    Action(
        "branding_domain_cname",
        "/domains",
        "#branding-careers",
        "Issue certificate",
        ("careers.axis.example",),
        certificate_issued,
    ),
]


async def test_every_purpose_of_the_platform_is_clicked() -> None:
    assert [action.purpose for action in ACTIONS] == list(PURPOSES)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.purpose)
@pytest.mark.sweep(one_in=4)
async def test_an_action_is_authorized_in_the_modal_and_done(action: Action, owner: Person) -> None:
    purpose = PURPOSES[action.purpose]
    await owner.go(action.page)
    place = owner.page.locator(action.within)
    element = place.locator(f'[data-stepup-purpose="{action.purpose}"]').filter(has_text=action.button)
    await expect(element).to_have_count(1)
    await element.click()
    await expect(owner.dialog).to_be_visible()
    await expect(owner.dialog.get_by_role("heading")).to_have_text(purpose.authorize_title)
    await expect(owner.dialog).to_contain_text(purpose.consequence)
    for words in action.shows:
        await expect(owner.dialog).to_contain_text(words)
    press = owner.dialog.locator('[data-stepup-kind="passkey"]')
    if action.downloads:
        async with owner.page.expect_download() as download:
            await press.click()
        check_file(action.purpose, await content_of(await download.value))
    else:
        await press.click()
    await expect(owner.dialog).to_have_count(0)
    await action.after(owner)
    await owner.go(f"/audit?purpose={action.purpose}")
    log = owner.page.locator("table.audit tbody")
    for event in ("ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED", "ACTION_AUTHORIZED"):
        await expect(log.locator("tr", has_text=event)).to_have_count(1)


def check_file(purpose: str, content: bytes) -> None:
    if purpose == "data_export_download":
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            assert sorted(bundle.namelist()) == ["employees.csv", "former-employees.csv"]
            assert len(bundle.read("employees.csv").splitlines()) == 217
    else:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert {"ACTION_AUTHORIZED", "FACTOR_ENROLLED"} <= {row["event"] for row in rows}


async def test_the_log_is_exported_in_each_format_and_the_page_shows_how_far_it_is(owner: Person) -> None:
    await owner.go("/audit")
    await owner.page.get_by_text("Latest exports").click()
    for form in ("NDJSON", "OCSF"):
        await owner.page.get_by_label("Export these events as").select_option(form)
        await owner.page.locator("form.export").get_by_role("button", name="Export").click()
        await expect(owner.dialog).to_contain_text(form)
        async with owner.page.expect_download() as download:
            await owner.dialog.locator('[data-stepup-kind="passkey"]').click()
        content = (await content_of(await download.value)).decode()
        events = [json.loads(line) for line in content.splitlines()]
        assert all(("class_uid" if form == "OCSF" else "entry") in event for event in events)
        # without a reload
        await expect(owner.page.locator("#exports li").first).to_contain_text(form)
        await expect(owner.page.locator("#exports li").first).to_contain_text(f"Events: {len(events)}")


async def test_a_cosigner_meets_a_prompt_of_their_own_at_their_own_click(browser: Browser, owner: Person) -> None:
    await owner.go("/equity")
    grant = titled("grant-G-1045")
    await owner.page.locator(grant).get_by_role("button", name="Sign first").click()
    await expect(owner.page.locator(grant)).to_contain_text("You signed first. A different person must cosign.")
    await expect(owner.page.locator(grant).get_by_role("button")).to_have_count(0)
    cosigner = await open_person(browser, owner.demo)
    await cosigner.plug_in("internal")
    await cosigner.sign_in(COSIGNER)
    await cosigner.enrol("passkey")
    await cosigner.go("/equity")
    await cosigner.page.locator(grant).get_by_role("button", name="Cosign").click()
    await expect(cosigner.dialog).to_contain_text("First signer")
    await expect(cosigner.dialog).to_contain_text("Owner")
    await expect(owner.dialog).to_have_count(0)
    await cosigner.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(cosigner.page.locator(grant)).to_contain_text("Second signature: Cosigner")
    await owner.page.reload()
    await expect(owner.page.locator(grant)).to_contain_text("Granted")
    await cosigner.context.close()


async def test_an_erasure_waits_for_a_second_person_and_its_cooling_off(browser: Browser, owner: Person) -> None:
    await owner.go("/privacy")
    await expect(owner.page.locator("#erasure-E-304")).to_contain_text("cooling-off period is still running")
    await expect(owner.page.locator("#erasure-E-304").get_by_role("button")).to_have_count(0)
    waiting = owner.page.locator("#erasure-E-303")
    await expect(waiting.get_by_role("button", name="Erase for good")).to_have_count(0)
    await waiting.get_by_role("button", name="Approve as second person").click()
    await expect(waiting).to_contain_text("Approved by Owner")
    await expect(waiting.get_by_role("button", name="Erase for good")).to_be_visible()


async def test_what_somebody_else_did_in_the_meantime_is_said_in_plain_words(browser: Browser, owner: Person) -> None:
    await owner.go("/identity")
    other = await owner.context.new_page()
    await other.goto(f"{owner.demo.url}/identity")
    await owner.page.locator("#attestation").get_by_role("button", name="Tighten").last.click()
    await expect(owner.dialog).to_be_visible()
    await owner.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(owner.page.locator("#attestation")).to_contain_text("The strictest mode is in force")
    await expect(owner.page.locator("#attestation").get_by_role("button")).to_have_count(0)
    await other.close()
