"""Factors over HTTP: who may enrol, rename and remove what."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stepup_middleware import ConfigurationError, EventName
from stepup_middleware.testing import VirtualAuthenticator, totp_code
from tests.support import HTML, ORIGIN, ROTATE, TRANSMIT, Browser, House, code_of, house_in

OPTIONS = "/stepup/factors/webauthn/options"
TOTP = "/stepup/factors/totp"


async def held(browser: Browser) -> list[tuple[str, str]]:
    answer = await browser.send("GET", "/stepup/factors")
    return [(factor["kind"], factor["name"]) for factor in answer.json()["factors"]]


# E02
@pytest.mark.parametrize(("ago", "allowed"), [(0, True), (600, True), (601, False), (-1, False), (10**6, False)])
async def test_a_first_factor_needs_a_sign_in_of_the_last_ten_minutes(house: House, ago: float, allowed: bool) -> None:
    person = Browser(house, house.sign_in("new", ago=ago))
    for url, body in ((OPTIONS, {"kind": "passkey"}), (OPTIONS, {"kind": "hardware_key"}), (TOTP, {})):
        answer = await person.post(url, json=body)
        assert (answer.status_code < 300) == allowed
        if not allowed:
            assert (answer.status_code, code_of(answer)) == (401, "STEPUP_NOT_SIGNED_IN")
            assert "sign in again" in answer.json()["detail"].casefold()
            assert "prompt" not in answer.json()


# E02
async def test_without_a_time_of_sign_in_no_first_factor_is_enrolled(house: House) -> None:
    subject = replace(house.sign_in("new"), signed_in_at=None)
    house.sessions[subject.session_id] = subject
    assert code_of(await Browser(house, subject).post(TOTP, json={})) == "STEPUP_NOT_SIGNED_IN"


# E01
async def test_a_further_factor_needs_a_step_up_however_fresh_the_sign_in(bob: Browser, house: House) -> None:
    for url, body in ((OPTIONS, {"kind": "passkey"}), (OPTIONS, {"kind": "hardware_key"}), (TOTP, {})):
        answer = await bob.post(url, json=body)
        assert (answer.status_code, code_of(answer)) == (401, "STEPUP_REQUIRED")
        assert answer.json()["purpose"]["id"] == "factor_change"
        assert answer.json()["requirement"] == "phishing_resistant"


# E01
async def test_the_step_up_for_a_factor_change_takes_the_strongest_kind_enrolled(ada: Browser, tim: Browser) -> None:
    prompt = await ada.prompt("POST", OPTIONS, json={"kind": "hardware_key"})
    assert code_of(await ada.answer(prompt, ada.factors["totp"])) == "STEPUP_FACTOR_INSUFFICIENT"
    weakest = await tim.prompt("POST", OPTIONS, json={"kind": "passkey"})
    assert weakest["requirement"] == "any"
    await tim.enrol("passkey", by="totp")
    assert ("passkey", "My key") in await held(tim)


# E01
async def test_the_step_up_of_one_kind_of_enrolment_begins_no_other(bob: Browser, house: House) -> None:
    token = await bob.token("POST", TOTP, "passkey", json={})
    answer = await bob.post(OPTIONS, json={"kind": "passkey"}, token=token)
    assert code_of(answer) == "STEPUP_REQUIRED"
    other_kind = await bob.token("POST", OPTIONS, "passkey", json={"kind": "passkey"})
    assert code_of(await bob.post(OPTIONS, json={"kind": "hardware_key"}, token=other_kind)) == "STEPUP_REQUIRED"


async def test_finishing_an_enrolment_asks_for_no_second_step_up(bob: Browser) -> None:
    await bob.enrol("totp", by="passkey")
    await bob.enrol("hardware_key", by="passkey")
    assert sorted(await held(bob)) == [("hardware_key", "My key"), ("passkey", "My key"), ("totp", "Phone")]


# R08 E08
async def test_an_enrolment_is_finished_once_and_by_the_session_that_began_it(bob: Browser, house: House) -> None:
    begun = await bob.step_up("POST", OPTIONS, "passkey", json={"kind": "hardware_key"})
    key = VirtualAuthenticator.hardware_key()
    response = {"name": "Key", "credential": key.create(begun.json(), origin=ORIGIN)}
    other = await bob.signed_in_again().post("/stepup/factors/webauthn", json=response)
    assert code_of(other) == "STEPUP_VERIFICATION_FAILED"
    assert (await bob.post("/stepup/factors/webauthn", json=response)).status_code == 201
    assert code_of(await bob.post("/stepup/factors/webauthn", json=response)) == "STEPUP_VERIFICATION_FAILED"
    assert len(await held(bob)) == 2


# R08 E08
async def test_an_enrolment_is_over_after_ten_minutes(house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    begun = await new.post(TOTP, json={})
    options = await new.post(OPTIONS, json={"kind": "passkey"})
    house.clock.advance(timedelta(minutes=10))
    passkey = VirtualAuthenticator.passkey().create(options.json(), origin=ORIGIN)
    late = await new.post("/stepup/factors/webauthn", json={"name": "x", "credential": passkey})
    assert late.status_code == 400
    confirm = await new.post(
        f"{TOTP}/{begun.json()['id']}/confirm", json={"code": totp_code(begun.json()["secret"], house.clock())}
    )
    assert confirm.status_code == 404
    assert await held(new) == []


# W11
async def test_the_challenge_of_an_enrolment_answers_no_prompt_and_the_other_way_round(
    bob: Browser, house: House
) -> None:
    key = bob.factors["passkey"].authenticator
    assert key is not None
    begun = (await bob.step_up("POST", OPTIONS, "passkey", json={"kind": "passkey"})).json()
    prompt = await bob.prompt("POST", TRANSMIT)
    asked = (await bob.options(prompt)).json()
    swapped = key.get({**asked, "challenge": begun["challenge"]}, origin=ORIGIN)
    assert code_of(await bob.post(f"{prompt['prompt']['url']}/webauthn", json=swapped)) == "STEPUP_VERIFICATION_FAILED"
    new = VirtualAuthenticator.passkey()
    credential = new.create({**begun, "challenge": asked["challenge"]}, origin=ORIGIN)
    answer = await bob.post("/stepup/factors/webauthn", json={"name": "x", "credential": credential})
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
    assert len(await held(bob)) == 1


# R03
async def test_a_key_that_anyone_has_registered_is_not_registered_again(bob: Browser, house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    begun = (await new.post(OPTIONS, json={"kind": "passkey"})).json()
    theirs = bob.factors["passkey"].authenticator
    assert theirs is not None
    credential = VirtualAuthenticator.passkey().create(
        begun, origin=ORIGIN, signed_credential_id=theirs.credentials[0].credential_id
    )
    answer = await new.post("/stepup/factors/webauthn", json={"name": "x", "credential": credential})
    assert (answer.status_code, code_of(answer)) == (409, "STEPUP_FACTOR_CONFLICT")
    assert await held(new) == []
    assert (await bob.step_up("POST", TRANSMIT, "passkey")).status_code == 200


async def test_creation_options_leave_out_what_is_enrolled_and_want_user_verification(bob: Browser) -> None:
    begun = (await bob.step_up("POST", OPTIONS, "passkey", json={"kind": "passkey"})).json()
    key = bob.factors["passkey"].authenticator
    assert key is not None
    assert begun["authenticatorSelection"]["userVerification"] == "required"
    assert len(begun["excludeCredentials"]) == 1
    with pytest.raises(LookupError):
        key.create(begun, origin=ORIGIN)


async def test_an_enrolled_key_is_told_and_logged(house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    begun = await new.post(OPTIONS, json={"kind": "passkey"})
    credential = VirtualAuthenticator.passkey().create(begun.json(), origin=ORIGIN)
    answer = await new.post("/stepup/factors/webauthn", json={"name": " Laptop\x00\n ", "credential": credential})
    assert answer.status_code == 201
    assert {"id", "kind", "name", "created_at"} <= set(answer.json())
    assert (answer.json()["kind"], answer.json()["name"]) == ("passkey", "Laptop")
    assert answer.json()["created_at"] == "2026-11-24T12:00:00Z"
    (event,) = await house.events(EventName.FACTOR_ENROLLED)
    assert (event.factor_kind, event.data["name"], event.subject_id) == ("passkey", "Laptop", "new")


# W28
async def test_a_synced_passkey_does_not_become_a_hardware_key(house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    begun = await new.post(OPTIONS, json={"kind": "hardware_key"})
    claims = VirtualAuthenticator.passkey().create(
        begun.json(), origin=ORIGIN, attachment="cross-platform", transports=["usb"]
    )
    answer = await new.post("/stepup/factors/webauthn", json={"name": "x", "credential": claims})
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
    assert await held(new) == []


@pytest.mark.parametrize("kind", ["totp", "", None, 7, [], "PASSKEY"])
async def test_a_kind_that_cannot_be_enrolled_here_cannot_be_read(house: House, kind: object) -> None:
    new = Browser(house, house.sign_in("new"))
    assert code_of(await new.post(OPTIONS, json={"kind": kind})) == "STEPUP_BAD_REQUEST"


# O14 O17
async def test_a_secret_is_shown_once_as_text_uri_and_qr_code_and_is_unusable_until_confirmed(house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    answer = await new.post(TOTP, json={})
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"id", "secret", "uri", "qr_svg"}
    assert len(body["secret"]) >= 32  # 160 bits in base32
    assert body["uri"].startswith("otpauth://totp/AxisSynapse:New?")
    assert f"secret={body['secret']}" in body["uri"]
    svg = ElementTree.fromstring(body["qr_svg"])  # noqa: S314 - our own text
    assert svg.tag.endswith("svg")
    assert "style=" not in body["qr_svg"]
    assert await held(new) == []
    assert code_of(await new.post(ROTATE)) == "STEPUP_FACTOR_INSUFFICIENT"


async def test_a_mistyped_code_may_be_typed_again_at_confirmation(house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    begun = (await new.post(TOTP, json={})).json()
    url = f"{TOTP}/{begun['id']}/confirm"
    assert code_of(await new.post(url, json={"code": "000000"})) == "STEPUP_VERIFICATION_FAILED"
    done = await new.post(url, json={"code": totp_code(begun["secret"], house.clock())})
    assert done.status_code == 200
    assert begun["secret"] not in done.text
    assert await held(new) == [("totp", "Authenticator app")]


async def test_guessing_at_confirmation_is_bounded(house: House) -> None:
    new = Browser(house, house.sign_in("new"))
    begun = (await new.post(TOTP, json={})).json()
    url = f"{TOTP}/{begun['id']}/confirm"
    answers = [await new.post(url, json={"code": f"{guess:06}"}) for guess in range(8)]
    assert [answer.status_code for answer in answers] == [400] * 5 + [429] * 3


# E07
async def test_another_persons_enrolment_cannot_be_confirmed(house: House) -> None:
    new, thief = Browser(house, house.sign_in("new")), Browser(house, house.sign_in("thief"))
    begun = (await new.post(TOTP, json={})).json()
    right = totp_code(begun["secret"], house.clock())
    assert (await thief.post(f"{TOTP}/{begun['id']}/confirm", json={"code": right})).status_code == 404
    assert await held(thief) == []


# rename and remove


async def test_a_factor_is_renamed_by_its_owner(ada: Browser) -> None:
    url = f"/stepup/factors/{ada.factors['passkey'].id}"
    answer = await ada.send("PATCH", url, json={"name": "  Blue <laptop>\r\n"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Blue <laptop>")
    assert ("passkey", "Blue <laptop>") in await held(ada)
    page = await ada.navigate("GET", "/stepup/factors")
    assert "Blue &lt;laptop&gt;" in page.text
    assert "<laptop>" not in page.text


@pytest.mark.parametrize("name", ["", "   ", None, 7, ["x"]])
async def test_a_name_is_text(ada: Browser, name: object) -> None:
    answer = await ada.send("PATCH", f"/stepup/factors/{ada.factors['passkey'].id}", json={"name": name})
    assert code_of(answer) == "STEPUP_BAD_REQUEST"


# E07
async def test_another_persons_factor_is_not_there_to_rename_or_remove(ada: Browser, bob: Browser) -> None:
    for factor_id in (ada.factors["passkey"].id, "unknown"):
        renamed = await bob.send("PATCH", f"/stepup/factors/{factor_id}", json={"name": "mine"})
        removed = await bob.send("DELETE", f"/stepup/factors/{factor_id}")
        assert (renamed.status_code, removed.status_code) == (404, 404)
        assert renamed.content == removed.content
    assert len(await held(ada)) == 2


# E01
async def test_removing_a_factor_needs_a_step_up_and_is_logged(ada: Browser, house: House) -> None:
    url = f"/stepup/factors/{ada.factors['totp'].id}"
    prompt = await ada.prompt("DELETE", url)
    assert prompt["purpose"]["id"] == "factor_change"
    assert ["Remove", "Phone"] in prompt["details"]
    assert len(await held(ada)) == 2
    assert (await ada.send("DELETE", url, token=await ada.prove(prompt, "passkey"))).status_code == 204
    assert await held(ada) == [("passkey", "My key")]
    completed = await house.soon(EventName.ACTION_COMPLETED)
    assert completed.purpose == "factor_change"
    (event,) = await house.events(EventName.FACTOR_REMOVED)
    assert (event.subject_id, event.factor_kind, event.data["name"]) == ("ada", "totp", "Phone")


async def test_the_step_up_to_remove_one_factor_removes_no_other(ada: Browser) -> None:
    await ada.enrol("hardware_key", by="passkey")
    token = await ada.token("DELETE", f"/stepup/factors/{ada.factors['totp'].id}", "passkey")
    answer = await ada.send("DELETE", f"/stepup/factors/{ada.factors['hardware_key'].id}", token=token)
    assert code_of(answer) == "STEPUP_REQUIRED"
    assert len(await held(ada)) == 3


# E06
async def test_the_last_factor_and_the_last_strong_one_stay(ada: Browser, tim: Browser) -> None:
    only = await tim.send("DELETE", f"/stepup/factors/{tim.factors['totp'].id}")
    strong = await ada.send("DELETE", f"/stepup/factors/{ada.factors['passkey'].id}")
    for answer in (only, strong):
        assert (answer.status_code, code_of(answer)) == (409, "STEPUP_FACTOR_CONFLICT")
        assert "enrol another one first" in answer.json()["detail"].casefold()
    assert (len(await held(tim)), len(await held(ada))) == (1, 2)


# E06
async def test_removing_the_last_two_strong_factors_at_once_removes_one(ada: Browser) -> None:
    await ada.enrol("hardware_key", by="passkey")
    urls = [f"/stepup/factors/{ada.factors[kind].id}" for kind in ("passkey", "hardware_key")]
    tokens = [await ada.token("DELETE", urls[0], "hardware_key"), await ada.token("DELETE", urls[1], "passkey")]
    answers = await asyncio.gather(
        *(ada.send("DELETE", url, token=token) for url, token in zip(urls, tokens, strict=True))
    )
    assert sorted(answer.status_code for answer in answers)[0] == 204
    assert [answer.status_code for answer in answers].count(204) == 1
    assert len([kind for kind, _ in await held(ada) if kind != "totp"]) == 1


# E09
async def test_a_removed_key_answers_no_prompt_that_is_still_open(ada: Browser, house: House) -> None:
    await ada.enrol("hardware_key", by="passkey")
    prompt = await ada.prompt("POST", TRANSMIT)
    key = ada.factors["hardware_key"]
    assert key.authenticator is not None
    assertion = key.authenticator.get((await ada.options(prompt, "hardware_key")).json(), origin=ORIGIN)
    assert (await ada.step_up("DELETE", f"/stepup/factors/{key.id}", "passkey")).status_code == 204
    answer = await ada.post(f"{prompt['prompt']['url']}/webauthn", json=assertion)
    assert code_of(answer) in ("STEPUP_VERIFICATION_FAILED", "STEPUP_PROMPT_NOT_FOUND")
    assert code_of(await ada.options(prompt, "hardware_key")) in (
        "STEPUP_FACTOR_INSUFFICIENT",
        "STEPUP_PROMPT_NOT_FOUND",
    )


async def test_a_factor_of_one_workspace_serves_in_no_other(ada: Browser, house: House) -> None:
    elsewhere = Browser(house, house.sign_in("ada", workspace="other"))
    assert await held(elsewhere) == []
    assert code_of(await elsewhere.post(ROTATE)) == "STEPUP_FACTOR_INSUFFICIENT"
    assert (await elsewhere.send("DELETE", f"/stepup/factors/{ada.factors['totp'].id}")).status_code == 404


# O26 A09
async def test_the_list_shows_neither_secret_nor_key(ada: Browser) -> None:
    for headers in ({}, HTML):
        text = (await ada.send("GET", "/stepup/factors", headers=headers)).text
        assert ada.factors["totp"].secret not in text
        assert "public_key" not in text
        assert "credential_id" not in text


# C06
async def test_who_is_not_signed_in_sees_and_changes_no_factor(ada: Browser, house: House) -> None:
    stranger = Browser(house, None)
    factor = f"/stepup/factors/{ada.factors['totp'].id}"
    calls = [
        ("GET", "/stepup/factors"),
        ("GET", "/stepup/purposes"),
        ("POST", OPTIONS),
        ("POST", TOTP),
        ("DELETE", factor),
        ("PATCH", factor),
    ]
    for method, url in calls:
        answer = await stranger.send(method, url, json={"kind": "passkey", "name": "x"})
        assert (answer.status_code, code_of(answer)) == (401, "STEPUP_NOT_SIGNED_IN")
    assert len(await held(ada)) == 2


async def test_the_bundled_pages_lead_back_to_the_app_where_it_says_so(tmp_path: Path) -> None:
    async with house_in(tmp_path, home_url="/start?from=stepup&x") as house:
        person = Browser(house, house.sign_in("new"))
        page = await person.send("GET", "/stepup/factors", headers=HTML)
        assert 'href="/start?from=stepup&amp;x">Back to AxisSynapse<' in page.text
    async with house_in(tmp_path) as house:
        page = await Browser(house, house.sign_in("new")).send("GET", "/stepup/factors", headers=HTML)
        assert "Back to" not in page.text


@pytest.mark.parametrize("url", ["", "start", "//elsewhere.example", "/\\elsewhere.example", "javascript:alert(1)"])
def test_a_way_back_is_a_path_or_a_url(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="home_url"):
        House(tmp_path, home_url=url)


async def test_passkeys_and_authenticator_apps_list_the_account_under_the_login(house: House) -> None:
    subject = replace(house.sign_in("new"), login="new@axis.example")
    house.sessions[subject.session_id] = subject
    person = Browser(house, subject)
    user = (await person.post(OPTIONS, json={"kind": "passkey"})).json()["user"]
    assert (user["name"], user["displayName"]) == ("new@axis.example", subject.name)
    assert "new%40axis.example" in (await person.post(TOTP, json={})).json()["uri"]
