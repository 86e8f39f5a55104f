"""Every action of the product, from the click through the proof to what it leaves behind."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from demo_app.app import create_app
from demo_app.areas.privacy import OVERRIDE_REASONS
from demo_app.db import Database
from demo_app.settings import Settings
from stepup_middleware import PLATFORM_PURPOSES
from stepup_middleware.testing import FixedClock

from .conftest import KEYS, SignedIn
from .support import ORIGIN, Person, running


@dataclass(frozen=True)
class Action:
    """One click: what is sent, what the modal must show, and what the page says afterwards."""

    purpose: str
    method: str
    url: str
    page: str
    details: list[list[str]]
    leaves: str
    body: dict[str, Any] = field(default_factory=dict)
    htmx: bool = False
    fresh: bool = True


HTMX = {"hx-request": "true"}
PDF = {"document": ("grant.pdf", b"%PDF-1.7 signed", "application/pdf")}
ACTIONS = [
    Action(
        "payroll_ach_transmit",
        "POST",
        "/payroll/runs/2026-06/transmit",
        "/payroll",
        [["Run", "2026-06"], ["Employees", "214"], ["Total", "USD 412,908.77"]],
        "payroll-2026-06.ach",
        htmx=True,
    ),
    Action(
        "equity_grant_cosign",
        "POST",
        "/equity/grants/G-1042/cosign",
        "/equity",
        [["Grant", "G-1042"], ["Shares", "12,500"], ["First signer", "Cosigner"]],
        hashlib.sha256(PDF["document"][1]).hexdigest(),
        body={"files": PDF},
    ),
    Action(
        "year_end_tax_transmit",
        "POST",
        "/year-end/w-2-2026/finalize",
        "/year-end",
        [["Form", "W-2"], ["Tax year", "2026"], ["Recipients", "214"]],
        "w-2-2026.txt",
    ),
    Action(
        "account_erasure_finalize",
        "POST",
        "/privacy/erasures/E-301/finalize",
        "/privacy",
        [["Erasure", "E-301"], ["Account", "Former employee 0017"], ["Approved by", "Cosigner"]],
        "Finalized by Owner",
        htmx=True,
    ),
    Action(
        "webhook_secret_rotation",
        "POST",
        "/developers/webhooks/W-1/rotate",
        "/developers",
        [["Webhook", "https://hooks.axis.example/payroll"], ["Secret", "version 1 is replaced"]],
        "Secret v2",
        htmx=True,
        fresh=False,
    ),
    Action(
        "scim_token_revocation",
        "DELETE",
        "/developers/scim/S-1",
        "/developers",
        [["Issued", "Aug 26, 2026"]],
        "No SCIM token is active",
    ),
    Action(
        "saml_provider_deletion",
        "DELETE",
        "/identity/saml/saml-staff",
        "/identity",
        [["Provider", "Staff directory"], ["People who use it", "198"]],
        "Partners",
        htmx=True,
    ),
    Action(
        "custom_domain_change",
        "POST",
        "/domains/custom/work.axis.example",
        "/domains",
        [["Domain now", "people.axis.example"], ["New domain", "work.axis.example"]],
        "answers at <strong>work.axis.example",
    ),
    Action(
        "mfa_policy_disable",
        "POST",
        "/identity/mfa/disable",
        "/identity",
        [["Require MFA now", "On"]],
        "with a password alone",
        htmx=True,
    ),
    Action(
        "network_policy_disable",
        "POST",
        "/identity/network/disable",
        "/identity",
        [["Allowlist now", "On"]],
        "kept but not applied",
        htmx=True,
    ),
    Action(
        "data_export_download",
        "GET",
        "/exports/X-1/download",
        "/exports",
        [["Export", "People directory"], ["Files", "employees.csv, former-employees.csv"]],
        "Last download",
        fresh=False,
    ),
    Action(
        "audit_log_export",
        "GET",
        "/audit/export?format=csv",
        "/audit",
        [["Format", "CSV"], ["Events", "all"]],
        '<span class="event" translate="no">ACTION_AUTHORIZED',
        fresh=False,
    ),
    Action(
        "personal_access_token_elevation",
        "PUT",
        "/developers/tokens/T-1/scope/write",
        "/developers",
        [["Owner", "Owner"], ["Scope now", "read"], ["New scope", "write"]],
        "May write",
    ),
    Action(
        "holds_override",
        "POST",
        "/privacy/holds/H-1/override/court-order",
        "/privacy",
        [
            ["Hold", "H-1"],
            ["Runs until", "Jun 30, 2029"],
            ["Erasure", "E-302, Former employee 0044"],
            ["Reason", OVERRIDE_REASONS["court-order"]],
        ],
        f"by Owner: {OVERRIDE_REASONS['court-order']}",
        htmx=True,
    ),
    Action(
        "attestation_policy_tighten",
        "PUT",
        "/identity/attestation/direct",
        "/identity",
        [["Mode now", "none"], ["New mode", "direct"]],
        '<span class="badge " translate="no">Direct</span>',
        htmx=True,
    ),
    Action(
        "branding_domain_cname",
        "POST",
        "/domains/branding/careers/certificate",
        "/domains",
        [["Subdomain", "careers.axis.example"], ["CNAME", "edge.axis.example"]],
        "careers.axis.example.pem",
        htmx=True,
    ),
]
EACH = pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.purpose)


def request_of(action: Action) -> dict[str, Any]:
    return {**action.body, "headers": HTMX if action.htmx else {}}


def test_the_demo_has_an_action_for_each_purpose_of_the_platform() -> None:
    assert [action.purpose for action in ACTIONS] == [purpose.id for purpose in PLATFORM_PURPOSES]


@EACH
async def test_an_action_asks_shows_the_row_and_does_its_work_after_the_proof(
    action: Action, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    before = (await owner.page(action.page)).text
    assert action.leaves not in before or action.purpose == "saml_provider_deletion"
    asked = await owner.ask(action.method, action.url, **action.body)
    assert asked["purpose"]["id"] == action.purpose
    assert all(pair in asked["details"] for pair in action.details), asked["details"]
    if action.purpose != "audit_log_export":  # the log has the prompt
        assert (await owner.page(action.page)).text == before, "nothing has run before the proof"

    token = await owner.prove(asked)
    request = request_of(action)
    request["headers"] = {**request["headers"], "stepup-token": token}
    done = await owner.http.request(action.method, action.url, **request)
    assert done.status_code in (200, 303), done.text
    assert action.leaves in (await owner.page(action.page)).text
    assert asked["prompt"]["id"] in (await owner.page("/")).text or action.purpose == "audit_log_export"
    if action.purpose == "saml_provider_deletion":
        assert "Staff directory" not in (await owner.page("/identity")).text


@EACH
async def test_a_second_try_of_an_action_is_explained_and_changes_nothing(action: Action, signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    assert (await owner.act(action.method, action.url, **request_of(action))).status_code in (200, 303)
    if not action.fresh:
        assert (await owner.act(action.method, action.url, **request_of(action))).status_code == 200
        return
    if action.purpose == "saml_provider_deletion":
        again = await owner.http.request(action.method, action.url)
        assert again.status_code == 404
        return
    again = await owner.act(action.method, action.url, **request_of(action))
    assert again.status_code == 409
    assert re.search(
        r"already|again|not active|erased|no hold|in the meantime|Both signatures|not stricter", again.text
    )


@EACH
async def test_a_page_marks_the_element_that_starts_the_action(action: Action, signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    html = (await owner.page(action.page)).text
    elements = re.findall(rf'<(button|a)\b[^>]*data-stepup-purpose="{action.purpose}"[^>]*>', html)
    assert elements


@EACH
async def test_without_a_script_the_element_is_a_form_or_link_that_asks_and_then_does_the_work(
    action: Action, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    html = (await owner.page(action.page)).text
    link = re.search(rf'<a\b[^>]*href="([^"]*)"[^>]*data-stepup-purpose="{action.purpose}"', html)
    forms = re.findall(r'<form method="(get|post)" action="([^"]*)"(.*?)</form>', html, re.DOTALL)
    marked = [(method, url) for method, url, inside in forms if f'data-stepup-purpose="{action.purpose}"' in inside]
    method, url = ("get", link[1]) if link else next(each for each in marked if each[1] == action.url.partition("?")[0])
    url = action.url if method == "get" else url
    going = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    page = await owner.http.request(method, url, headers=going, **action.body)
    assert page.status_code == 401
    assert "data-stepup-prompt" in page.text, "the page that asks"

    token = await owner.prove(await owner.ask(method, url, **action.body))
    done = await owner.http.request(method, url, headers={**going, "stepup-token": token}, **action.body)
    assert done.status_code in (200, 303), done.text
    if "location" in done.headers:
        assert "notice success" in (await owner.page(done.headers["location"])).text
    else:
        assert method == "get" or "shown this once" in done.text


@EACH
async def test_without_a_session_an_action_tells_nothing_of_its_purpose(
    action: Action, app: ASGIApp, clock: FixedClock
) -> None:
    stranger = Person(app, clock)
    answer = await stranger.http.request(action.method, action.url, headers={"accept": "application/json"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "STEPUP_NOT_SIGNED_IN"
    assert action.purpose not in answer.text
    await stranger.http.aclose()


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/payroll/runs/1999-01/transmit"),
        ("POST", "/equity/grants/G-0/cosign"),
        ("POST", "/year-end/w-9/finalize"),
        ("POST", "/privacy/erasures/E-0/finalize"),
        ("POST", "/privacy/holds/H-0/override/court-order"),
        ("POST", "/privacy/holds/H-1/override/because"),
        ("POST", "/developers/webhooks/W-0/rotate"),
        ("DELETE", "/developers/scim/S-0"),
        ("PUT", "/developers/tokens/T-0/scope/write"),
        ("DELETE", "/identity/saml/unknown"),
        ("POST", "/domains/branding/unknown/certificate"),
        ("POST", "/domains/custom/unknown.example"),
        ("POST", "/identity/attestation/unknown"),
        ("GET", "/exports/X-0/download"),
    ],
)
async def test_nobody_is_asked_to_prove_for_a_row_that_does_not_exist(
    method: str, url: str, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    answer = await owner.http.request(method, url, headers={"accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("That does not exist")


async def test_a_cosigner_meets_a_prompt_of_their_own_and_the_first_signer_is_refused_after_theirs(
    signed_in: SignedIn,
) -> None:
    owner = await signed_in("owner", passkey=True)
    cosigner = await signed_in("cosigner", passkey=True, ip="192.0.2.11")
    refused = await owner.act("POST", "/equity/grants/G-1041/cosign")
    assert refused.status_code == 409
    assert "You signed first" in refused.text
    done = await cosigner.act("POST", "/equity/grants/G-1041/cosign")
    assert done.status_code == 303
    assert "Grant G-1041 cosigned. Shares granted: 4,000." in (await cosigner.page("/equity")).text


@pytest.mark.parametrize(
    ("content", "says"), [(b"MZ not a document", "not a PDF"), (b"%PDF-" + b"x" * 5_242_880, "larger than 5 MB")]
)
async def test_a_document_that_is_no_pdf_or_too_large_stops_the_cosigning(
    content: bytes, says: str, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    files = {"document": ("x.pdf", content, "application/pdf")}
    refused = await owner.act("POST", "/equity/grants/G-1042/cosign", files=files)
    assert refused.status_code == 409
    assert says in refused.text
    assert "Second signature: none yet" in re.sub(r"\s+", " ", refused.text)


async def test_an_override_is_bound_to_the_reason_that_was_chosen(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    url = "/privacy/holds/H-1/override"
    token = await owner.prove(await owner.ask("POST", f"{url}/released"))
    headers = {"stepup-token": token, "accept": "application/json"}
    other = await owner.http.post(f"{url}/court-order", headers=headers)
    assert other.status_code == 401
    assert other.json()["code"] == "STEPUP_REQUIRED"
    assert "Override hold" in (await owner.page("/privacy")).text


async def test_the_new_webhook_secret_is_shown_once(signed_in: SignedIn, settings: Settings) -> None:
    owner = await signed_in("owner", passkey=True)
    answer = await owner.act("POST", "/developers/webhooks/W-1/rotate", headers=HTMX)
    shown = re.search(r"whsec_[\w-]{43}", answer.text)
    assert shown
    assert shown.group() not in (await owner.page("/developers")).text
    assert shown.group().encode() not in settings.database.read_bytes()


async def test_a_new_scim_token_is_in_the_answer_and_never_in_the_cookie(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    await owner.act("DELETE", "/developers/scim/S-1")
    await owner.page("/developers")  # says what was done, and takes that out of the session
    answer = await owner.http.post("/developers/scim")
    shown = re.search(r"scim_[\w-]{43}", answer.text)
    assert shown
    assert "set-cookie" not in answer.headers
    assert shown.group() not in (await owner.page("/developers")).text


async def test_a_transmitted_file_and_a_final_form_can_be_downloaded(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    assert (await owner.page("/payroll/runs/2026-06/file")).status_code == 404
    await owner.act("POST", "/payroll/runs/2026-06/transmit", headers=HTMX)
    await owner.act("POST", "/year-end/t4-2026/finalize")
    nacha = await owner.page("/payroll/runs/2026-06/file")
    assert nacha.headers["content-disposition"] == 'attachment; filename="payroll-2026-06.ach"'
    assert len(nacha.text.split("\r\n")) == 221  # 218 records, padded to 220, and the end of the last line
    form = await owner.page("/year-end/t4-2026/file")
    assert form.headers["content-type"] == "application/xml"
    assert form.text.count("<T4Slip>") == 18


async def test_a_bundle_is_a_zip_of_tables(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    answer = await owner.act("GET", "/exports/X-1/download")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["employees.csv", "former-employees.csv"]
        assert "'+1 555 0117" in archive.read("former-employees.csv").decode()


async def test_an_export_of_the_log_follows_the_filters_in_each_format(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    await owner.act("POST", "/payroll/runs/2026-06/transmit", headers=HTMX)
    query = "purpose=payroll_ach_transmit&event=ACTION_AUTHORIZED"
    answer = await owner.act("GET", f"/audit/export?format=ndjson&{query}")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(row["event"], row["purpose"], row["subject"]) for row in rows] == [
        ("ACTION_AUTHORIZED", "payroll_ach_transmit", "owner")
    ]
    assert rows[0]["details"][0] == ["Run", "2026-06"]
    table = await owner.act("GET", f"/audit/export?format=csv&{query}")
    header, line = table.text.splitlines()
    assert header.startswith("seq,at,event,")
    assert "ACTION_AUTHORIZED" in line
    assert table.headers["content-disposition"] == 'attachment; filename="audit-log.csv"'
    events = await owner.act("GET", f"/audit/export?format=ocsf&{query}")
    (event,) = [json.loads(line) for line in events.text.splitlines()]
    assert (event["class_uid"], event["unmapped"]["purpose"]) == (3002, "payroll_ach_transmit")
    html = (await owner.page("/audit")).text
    latest = html[html.index('id="exports"') : html.index("</form>", html.index('id="exports"'))]
    assert [latest.index(f"<strong>{name}</strong>") for name in ("OCSF", "CSV", "NDJSON")] == sorted(
        latest.index(f"<strong>{name}</strong>") for name in ("OCSF", "CSV", "NDJSON")
    )
    assert latest.count("Events: 1</span>") == 3
    manifests = re.findall(r'href="(/audit/exports/\d+/manifest)"', latest)
    manifest = (await owner.page(manifests[-1])).json()
    claim = json.loads(manifest["claim"])
    assert (claim["format"], claim["records"], claim["workspace"]) == ("ndjson", 1, "axis")
    assert claim["filter"] == [["event", "ACTION_AUTHORIZED"], ["purpose", "payroll_ach_transmit"]]
    assert claim["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert (await owner.page("/audit/exports/999/manifest")).status_code == 404
    analyst = await signed_in("analyst", ip="192.0.2.11")
    assert (await analyst.page(manifests[-1])).status_code == 403


async def test_what_a_browser_calls_itself_is_no_formula_in_an_export(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    owner.http.headers["user-agent"] = '=HYPERLINK("https://elsewhere.example")'
    table = (await owner.act("GET", "/audit/export?format=csv")).text
    assert "HYPERLINK" in table
    cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


async def test_the_evidence_is_for_admins_and_the_receipt_for_its_person(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    cosigner = await signed_in("cosigner", passkey=True, ip="192.0.2.11")
    await cosigner.act("POST", "/equity/grants/G-1041/cosign")
    found = re.search(r'/stepup/receipts/([\w-]+)"', (await cosigner.page("/")).text)
    assert found
    page = f"/audit/prompts/{found[1]}"
    assert (await cosigner.page(page)).status_code == 403
    receipt = f"/stepup/receipts/{found[1]}"
    assert "Receipt" in (await cosigner.page(receipt)).text
    evidence = f"{receipt}/evidence"
    assert (await cosigner.page(evidence)).status_code == 404
    assert f'href="{evidence}" download' in (await owner.page(page)).text
    assert f'href="{receipt}"' in (await owner.page(page)).text
    bundle = await owner.page(evidence)
    assert bundle.headers["content-disposition"].startswith("attachment")
    assert (bundle.json()["format"], bundle.json()["prompt_id"]) == ("stepup-evidence-2", found[1])
    assert "Receipt" in (await owner.page(receipt)).text
    analyst = await signed_in("analyst", ip="192.0.2.12")
    assert receipt not in (await analyst.page("/")).text
    assert (await analyst.page(receipt)).status_code == 404
    assert (await owner.page("/stepup/receipts/none/evidence")).status_code == 404


@pytest.mark.parametrize("query", ["format=pdf", "format=csv&since=yesterday", "format=csv&event=NOTHING"])
async def test_an_export_that_means_nothing_is_refused_before_anything_is_asked(
    query: str, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    assert (await owner.page(f"/audit/export?{query}")).status_code == 422


async def test_a_token_presented_again_leaves_the_run_alone(signed_in: SignedIn, settings: Settings) -> None:
    owner = await signed_in("owner", passkey=True)
    url = "/developers/webhooks/W-1/rotate"
    token = await owner.prove(await owner.ask("POST", url))
    headers = {"stepup-token": token, "accept": "application/json"}
    assert (await owner.http.post(url, headers=headers)).status_code == 200
    again = await owner.http.post(url, headers=headers)
    assert again.status_code == 403
    assert again.json()["code"] == "STEPUP_TOKEN_REUSED"
    assert "Secret v2" in (await owner.page("/developers")).text


async def test_an_analyst_with_an_authenticator_app_alone_cannot_move_money(
    signed_in: SignedIn, clock: FixedClock
) -> None:
    analyst = await signed_in("analyst")
    await analyst.enrol_totp()
    answer = await analyst.http.post("/payroll/runs/2026-06/transmit", headers={"accept": "application/json"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "STEPUP_FACTOR_INSUFFICIENT"
    assert answer.json()["enroll_url"] == "/stepup/factors"
    assert "Transmit to bank" in (await analyst.page("/payroll")).text


async def test_two_workers_on_the_same_files_share_everything(settings: Settings, clock: FixedClock) -> None:
    one, two = create_app(settings, clock=clock), create_app(settings, clock=clock)
    async with running(one), running(two):
        person = Person(one, clock)
        assert (await person.sign_in("owner")).status_code == 303
        await person.enrol_passkey()
        url = "/payroll/runs/2026-06/transmit"
        token = await person.prove(await person.ask("POST", url))
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=two, client=("192.0.2.10", 40001)),
            base_url="http://localhost:8000",
            cookies=person.http.cookies,
        ) as elsewhere:
            done = await elsewhere.post(url, headers={"stepup-token": token, "sec-fetch-site": "same-origin"})
        assert done.status_code == 303
        assert "payroll-2026-06.ach" in (await person.page("/payroll")).text
        await person.http.aclose()


async def test_the_rows_of_the_first_start_are_written_once(tmp_path: Path, clock: FixedClock) -> None:
    settings = Settings(database=tmp_path / "new.db", origin=ORIGIN, secret_keys=KEYS)
    for _ in range(2):
        async with running(create_app(settings, clock=clock)):
            pass
    again = Database(settings.database)

    async def nothing(_: object) -> None:
        raise AssertionError("a database that has its rows is not given them again")

    await again.open(nothing)
    row = await again.one("SELECT count(*) AS number FROM account")
    assert row is not None
    assert row["number"] == 3
    await again.close()
