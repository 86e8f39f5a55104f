"""Evidence from a real browser's ceremonies: both verifiers, the receipt on the screen and on paper, its code."""

from __future__ import annotations

import asyncio
import io
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect
from pypdf import PdfReader

from stepup_middleware.core.canonical import strict_json
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.evidence.verification import verify_bundle
from stepup_middleware.log.checkpoints import read_checkpoint
from stepup_middleware.log.keys import LOG_TYPES, read_signing_keys, read_verifier_keys
from stepup_middleware.log.notes import read_note
from stepup_middleware.service.assertions import signature_holds
from tests.evidence import independent_verifier
from tests.evidence.qr import text_of_picture
from tests.evidence.tampering import altered_members, restructured

from .conftest import Demo, Person


async def transmitted(person: Person, transport: str, kind: str) -> str:
    """Enrol a key and step up with it for a payroll run. Returns the prompt's id, as the audit log has it."""
    await person.plug_in(transport)
    await person.sign_in()
    await person.enrol(kind)
    await person.go("/payroll")
    async with person.page.expect_response(re.compile(r"/stepup/prompts/[0-9a-f]+/webauthn$")) as proved:
        await person.page.locator('[data-stepup-purpose="payroll_ach_transmit"]').first.click()
        await person.dialog.locator(f'[data-stepup-kind="{kind}"]').click()
        await expect(person.page.locator('a[href$="/file"]').first).to_be_visible()
    prompt = re.search("/prompts/([0-9a-f]+)/", (await proved.value).url)
    assert prompt is not None
    await person.go(f"/stepup/receipts/{prompt[1]}")
    async with asyncio.timeout(15):  # how it ended is logged when nobody waits for it any more
        while not await person.page.get_by_text("The app answered").count():
            await person.page.reload()
    return prompt[1]


async def downloaded(person: Person, prompt: str) -> Any:
    """Download the evidence as an admin does from the receipt."""
    await person.go(f"/stepup/receipts/{prompt}")
    async with person.page.expect_download() as download:
        await person.page.get_by_role("link", name="Download the evidence").click()
    file = await download.value
    assert file.suggested_filename == f"evidence-{prompt}.json"
    return strict_json((await asyncio.to_thread(Path(await file.path()).read_bytes)).decode())


@pytest.mark.parametrize(("transport", "kind"), [("internal", "passkey"), ("usb", "hardware_key")])
async def test_both_verifiers_agree_on_what_a_real_browser_signed(
    person: Person, demo: Demo, transport: str, kind: str
) -> None:
    prompt = await transmitted(person, transport, kind)
    bundle = await downloaded(person, prompt)
    vkeys = await log_vkeys(person, prompt)
    trust = Trust(log_keys=read_verifier_keys("\n".join(vkeys)), rp_id="localhost")
    report = verify_bundle(bundle, trust, signature_holds=signature_holds)
    assert (report.verdict, report.findings) == (EvidenceVerdict.VERIFIED, ())
    assert independent_verifier.verdict(bundle, vkeys) == ("verified", "")
    proofs = [json.loads(record["body"])["data"].get("proof") for record in bundle["records"]]
    (proof,) = filter(None, proofs)
    assert json.loads(independent_verifier.url64(proof["client_data_json"]))["origin"] == demo.url
    optional = len(bundle["records"]) - 1  # how the action ended may be missing
    for count, tampered in enumerate([*altered_members(bundle), *restructured(bundle)]):
        if count % 40 == 0 and tampered.bundle["records"] != bundle["records"][:optional]:
            changed = verify_bundle(tampered.bundle, trust, signature_holds=signature_holds)
            assert changed.verdict is not EvidenceVerdict.VERIFIED, (tampered.how, tampered.text)
            assert independent_verifier.verdict(tampered.bundle, vkeys)[0] != "verified", tampered.text


async def log_vkeys(person: Person, prompt: str) -> list[str]:
    """Return the public keys of the log that the audit page shows to an admin: those of the file by the database."""
    await person.go(f"/audit/prompts/{prompt}")
    shown = (await person.page.locator("[data-vkeys]").text_content() or "").split()
    text = await asyncio.to_thread(person.demo.database.with_suffix(".log.key").read_text)
    assert shown == [str(key.verifier) for key in read_signing_keys(text, LOG_TYPES)]
    return shown


@pytest.mark.slow
async def test_the_receipt_reads_prints_and_scans(person: Person, tmp_path: Path) -> None:
    prompt = await transmitted(person, "internal", "passkey")
    bundle = await downloaded(person, prompt)
    page = person.page
    await expect(page.locator("[data-stepup-verdict]")).to_have_attribute("data-stepup-verdict", "verified")
    assert (await Axe().run(page)).response["violations"] == []
    picture = await page.screenshot(full_page=True)
    (tmp_path / "receipt.png").write_bytes(picture)
    scanned = read_note(text_of_picture(picture))
    assert scanned.text == read_note(bundle["checkpoint"]).text
    printed = await page.pdf(format="A4", prefer_css_page_size=False)
    (tmp_path / "receipt.pdf").write_bytes(printed)
    paper = PdfReader(io.BytesIO(printed))
    assert len(paper.pages) == 1
    text = squeezed(paper.pages[0].extract_text())
    action = json.loads(bundle["records"][-1]["body"])
    told = (
        "Payroll ACH transmit",
        "Verified:",
        prompt,
        read_checkpoint(scanned.text).root.hex(),
        action["ip"],
        action["subject"],
    )
    for each in (*told, *(part for pair in action["details"] for part in pair)):
        assert squeezed(each) in text, each
    assert squeezed("Download the evidence") not in text


def squeezed(text: str) -> str:
    """Return text without its spaces and ligatures, which paper places as it likes."""
    return "".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.slow
async def test_the_receipt_fits_a_telephone_in_the_dark(person: Person) -> None:
    prompt = await transmitted(person, "internal", "passkey")
    await person.page.emulate_media(color_scheme="dark")
    await person.page.set_viewport_size({"width": 360, "height": 780})
    await person.go(f"/stepup/receipts/{prompt}")
    assert (await Axe().run(person.page)).response["violations"] == []
    assert not await person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert read_checkpoint(read_note(text_of_picture(await person.page.screenshot(full_page=True))).text).size > 1
