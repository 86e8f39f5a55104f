"""The receipt: who may see it, what it tells, and that it prints under a strict policy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from tests.support import Browser, House, house_in

from .support import person, transmit


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path) as house:
        with blockbuster_ctx("stepup_middleware"):
            yield house


async def test_the_person_who_authorized_sees_what_how_when_and_from_where(house: House) -> None:
    ada = await person(house, "ada", "passkey")
    prompt = await transmit(ada, "passkey")
    answer = await ada.navigate("GET", f"/stepup/receipts/{prompt}")
    page = answer.text
    assert answer.status_code == 200
    for told in ("Payroll ACH transmit", "2026-06", "214", "Ada", "Passkey (My key)", "Nov 24, 2026", "192.0.2.7",
                 "The app answered with status 200", prompt):  # fmt: skip
        assert told in page, told


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


async def test_names_and_details_are_text_and_never_markup(house: House) -> None:
    ada = await person(house, "<b>ada", "passkey")
    prompt = await transmit(ada, "passkey", "/payroll/<script>1/transmit")
    page = (await ada.navigate("GET", f"/stepup/receipts/{prompt}")).text
    assert "<script>1" not in page
    assert "&lt;script&gt;1" in page
