"""The receipt: who may see it, what it tells, and that it prints under a strict policy."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from stepup_middleware.cli.audit import read_witnessed
from stepup_middleware.core.canonical import strict_json
from stepup_middleware.core.heads import read_public_keys
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Verdict
from stepup_middleware.service.evidence import judge
from tests.support import HTML, Browser, House, house_in

from .qr import text_of_svg
from .support import KEY, person, signing_house, transmit


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with signing_house(tmp_path) as house:
        with blockbuster_ctx("stepup_middleware"):
            yield house


async def test_the_person_who_authorized_sees_what_how_when_and_from_where(house: House) -> None:
    ada = await person(house, "ada", "passkey")
    prompt = await transmit(ada, "passkey")
    answer = await ada.navigate("GET", f"/stepup/receipts/{prompt}")
    page = answer.text
    assert answer.status_code == 200
    for told in ("Payroll ACH transmit", "2026-06", "214", "Ada", "Passkey (My key)", "24 November 2026", "192.0.2.7",
                 "The app answered with status 200", "Verified:", prompt):  # fmt: skip
        assert told in page, told
    bundle = await house.stepup.evidence("axis", prompt)
    assert bundle is not None
    (segment,) = (segment for segment in bundle["segments"] if segment["chain"] == bundle["events"][-1]["chain"])
    assert segment["head"]["hash"] in page
    assert page.count("<svg") == 1


async def test_the_page_holds_under_a_strict_policy_and_is_not_stored(house: House) -> None:
    ada = await person(house, "ada", "passkey")
    answer = await ada.navigate("GET", f"/stepup/receipts/{await transmit(ada, 'passkey')}")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<style|style=|<script(?![^>]*\ssrc=)|\son\w+=", answer.text)
    sheets = re.findall(r'href="([^"]*receipt[^"]*\.css)"', answer.text)
    assert len(sheets) == 1
    sheet = await ada.send("GET", sheets[0])
    assert sheet.status_code == 200
    assert "@media print" in sheet.text
    assert "immutable" in sheet.headers["cache-control"]


async def test_an_admin_of_the_workspace_sees_it_and_nobody_else_does(house: House) -> None:
    ada = await person(house, "ada", "passkey")
    url = f"/stepup/receipts/{await transmit(ada, 'passkey')}"
    admin = Browser(house, house.sign_in("owner", is_admin=True))
    colleague = Browser(house, house.sign_in("bob"))
    foreign = Browser(house, house.sign_in("eve", workspace="elsewhere", is_admin=True))
    same_name = Browser(house, house.sign_in("ada", workspace="elsewhere"))
    nobody = Browser(house, None)
    unknown = await ada.navigate("GET", "/stepup/receipts/unknown")
    assert (await admin.navigate("GET", url)).status_code == 200
    for other in (colleague, foreign, same_name):
        answer = await other.navigate("GET", url)
        assert answer.status_code == 404
        assert answer.text == unknown.text  # like one that there never was
    assert (await nobody.navigate("GET", url)).status_code == 401


async def test_a_prompt_without_an_action_has_no_receipt(house: House) -> None:
    ada = await person(house, "ada", "passkey")
    asked = await ada.prompt("POST", "/webhooks/rotate")
    assert (await ada.send("GET", f"/stepup/receipts/{asked['prompt']['id']}")).status_code == 404
    await ada.prove(asked, "passkey")
    assert (await ada.send("GET", f"/stepup/receipts/{asked['prompt']['id']}")).status_code == 404


async def test_a_one_time_password_is_told_as_not_verifiable(house: House) -> None:
    tim = await person(house, "tim", "totp")
    answer = await tim.navigate("GET", f"/stepup/receipts/{await transmit(tim, 'totp', '/webhooks/rotate')}")
    assert "not everything can be verified independently" in answer.text
    assert "a one-time password is not independently verifiable" in answer.text


async def test_without_a_head_key_the_receipt_has_no_code_and_claims_nothing(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        answer = await ada.send("GET", f"/stepup/receipts/{await transmit(ada, 'passkey')}", headers=HTML)
        assert "No signed head covers this action" in answer.text
        assert "<svg" not in answer.text
        assert "Verified:" not in answer.text


async def test_names_and_details_are_text_and_never_markup(house: House) -> None:
    ada = await person(house, "<b>ada", "passkey")
    prompt = await transmit(ada, "passkey", "/payroll/<script>1/transmit")
    page = (await ada.navigate("GET", f"/stepup/receipts/{prompt}")).text
    assert "<script>1" not in page
    assert "&lt;script&gt;1" in page


async def test_an_admin_downloads_the_evidence_and_nobody_else_does(house: House) -> None:
    ada = await person(house, "ada", "passkey")
    prompt = await transmit(ada, "passkey")
    url = f"/stepup/receipts/{prompt}/evidence"
    admin = Browser(house, house.sign_in("owner", is_admin=True))
    answer = await admin.send("GET", url)
    assert answer.headers["content-disposition"] == f'attachment; filename="evidence-{prompt}.json"'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    report = judge(strict_json(answer.text), Trust(head_keys=read_public_keys(house.stepup.head_public_key or "")))
    assert report.verdict is Verdict.VERIFIED, report.findings
    page = await admin.navigate("GET", f"/stepup/receipts/{prompt}")
    assert f'href="{url}" download' in page.text
    assert url not in (await ada.navigate("GET", f"/stepup/receipts/{prompt}")).text
    foreign = Browser(house, house.sign_in("eve", workspace="elsewhere", is_admin=True))
    for other in (ada, foreign):
        assert (await other.send("GET", url)).status_code == 404
    assert (await admin.send("GET", "/stepup/receipts/unknown/evidence")).status_code == 404
    assert (await Browser(house, None).send("GET", url)).status_code == 401


async def test_the_code_on_the_receipt_is_a_head_to_verify_against(house: House, tmp_path: Path) -> None:
    ada = await person(house, "ada", "passkey")
    prompt = await transmit(ada, "passkey")
    page = (await ada.navigate("GET", f"/stepup/receipts/{prompt}")).text
    line = text_of_svg(page)
    bundle = await house.stepup.evidence("axis", prompt)
    assert bundle is not None
    head = json.loads(line)
    assert head in [segment["head"] for segment in bundle["segments"]]
    assert head["hash"] in page
    (tmp_path / "scanned").write_text(line + "\n", encoding="utf-8")
    witnessed = read_witnessed(tmp_path / "scanned")
    assert witnessed == {(head["chain"], head["link"]): bytes.fromhex(head["hash"])}
    forged = Trust(head_keys={KEY.key_id: KEY.public_key}, witnessed={place: bytes(32) for place in witnessed})
    for trust, verdict in ((Trust(head_keys=forged.head_keys, witnessed=witnessed), "verified"), (forged, "failed")):
        assert judge(bundle, trust).verdict.value == verdict
