"""The policy page says whom a stricter policy shuts out before it is saved."""

from __future__ import annotations

import re
from html import unescape

from stepup_middleware import FactorRequirement

from .conftest import SignedIn

POLICY = "/settings/step-up-policy"
STRICT = {"scim_token_revocation": "phishing_resistant"}


async def test_a_stricter_policy_names_those_whom_it_shuts_out_and_is_saved_when_it_was_seen(
    signed_in: SignedIn,
) -> None:
    owner, analyst = await signed_in("owner", passkey=True), await signed_in("analyst")
    await analyst.enrol_totp()
    asked = await owner.http.post(POLICY, data=STRICT)
    assert asked.status_code == 200
    text = unescape(asked.text)
    assert "1 person with factors could no longer do what you make stricter." in text
    assert "Analyst" in re.findall(r"<li>([^<]*)</li>", text)
    assert "Nothing is saved yet." in text
    purposes = (await analyst.http.get("/stepup/purposes")).json()["purposes"]
    assert {each["requirement"] for each in purposes if each["id"] in STRICT} == {"any"}
    saved = await owner.http.post(POLICY, data={**STRICT, "shut_out": "1"})
    assert saved.status_code == 303
    loose = await owner.http.post(POLICY, data={"scim_token_revocation": "any"})
    assert loose.status_code == 401, "nobody is shut out by what gets looser, and the owner proves it"
    assert "could no longer" not in loose.text


async def test_a_stricter_policy_that_shuts_nobody_out_is_saved_at_once(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    assert (await owner.http.post(POLICY, data=STRICT)).status_code == 303
    assert FactorRequirement(STRICT["scim_token_revocation"]) is FactorRequirement.PHISHING_RESISTANT


async def test_nobody_but_an_admin_is_told_whom_a_policy_would_shut_out(signed_in: SignedIn) -> None:
    owner, analyst = await signed_in("owner", passkey=True), await signed_in("analyst")
    await analyst.enrol_totp()
    refused = await analyst.http.post(POLICY, data=STRICT)
    assert refused.status_code == 403
    assert "could no longer" not in refused.text
    assert owner
