"""Ceremonies over HTTP: whose they are, what they prove, how often they may be tried."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from webauthn.helpers import bytes_to_base64url

from stepup_middleware import AttemptLimit, EventName
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.testing import VirtualAuthenticator, totp_code
from tests.support import ELSEWHERE, ORIGIN, POLICY, ROTATE, TRANSMIT, Browser, House, code_of, house_in

STRICT = "phishing_resistant"


async def reasons(house: House) -> list[str]:
    return [record.reason for record in await house.events(EventName.FAILED)]


async def test_options_offer_exactly_the_persons_own_keys_and_want_user_verification(
    ada: Browser, bob: Browser
) -> None:
    await ada.enrol("hardware_key", by="passkey")
    prompt = await ada.prompt("POST", TRANSMIT)
    options = (await ada.options(prompt)).json()
    assert options["userVerification"] == "required"
    assert options["rpId"] == "example.com"
    own = {
        one["id"]
        for kind in ("passkey", "hardware_key")
        for one in (await ada.options(prompt, kind)).json()["allowCredentials"]
    }
    assert len(own) == 2
    assert {one["id"] for one in options["allowCredentials"]} == own  # W34
    assert len((await ada.options(prompt, "hardware_key")).json()["allowCredentials"]) == 1


async def test_each_beginning_makes_another_challenge(ada: Browser) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    challenges = {(await ada.options(prompt)).json()["challenge"] for _ in range(5)}
    assert len(challenges) == 5
    assert all(len(challenge) >= 43 for challenge in challenges)


async def test_a_kind_that_is_no_webauthn_kind_cannot_be_read(ada: Browser) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    for kind in ("totp", "yubikey", 7, ["passkey"]):
        answer = await ada.post(f"{prompt['prompt']['url']}/webauthn/options", json={"kind": kind})
        assert (answer.status_code, code_of(answer)) == (400, "STEPUP_BAD_REQUEST")


# W16
async def test_whoever_has_no_key_is_offered_no_webauthn(tim: Browser) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    assert prompt["enrolled_factors"] == ["totp"]
    answer = await tim.options(prompt)
    assert (answer.status_code, code_of(answer)) == (403, "STEPUP_FACTOR_INSUFFICIENT")


# W08
async def test_an_assertion_is_taken_once(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    assertion = key.get((await ada.options(prompt)).json(), origin=ORIGIN)
    url = f"{prompt['prompt']['url']}/webauthn"
    answers = await asyncio.gather(*(ada.post(url, json=assertion) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers).count(200) == 1
    assert sum("token" in answer.json() for answer in answers) == 1
    assert code_of(await ada.post(url, json=assertion)) == "STEPUP_PROMPT_NOT_FOUND"


# W08
async def test_a_challenge_is_gone_after_a_failed_answer_too(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    options = (await ada.options(prompt)).json()
    url = f"{prompt['prompt']['url']}/webauthn"
    assert (await ada.post(url, json=key.get(options, origin=ORIGIN, tamper_signature=True))).status_code == 400
    assert code_of(await ada.post(url, json=key.get(options, origin=ORIGIN))) == "STEPUP_VERIFICATION_FAILED"
    assert await reasons(house) == ["bad_signature", "challenge_used"]


# W09 C09
async def test_the_answer_to_one_prompt_does_not_answer_another(ada: Browser, house: House) -> None:
    one, other = await ada.prompt("POST", TRANSMIT), await ada.prompt("POST", TRANSMIT)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    await ada.options(other)
    assertion = key.get((await ada.options(one)).json(), origin=ORIGIN)
    answer = await ada.post(f"{other['prompt']['url']}/webauthn", json=assertion)
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
    assert await reasons(house) == ["challenge_mismatch"]


# W12 C04
async def test_another_persons_key_proves_nothing_in_this_session(ada: Browser, bob: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    options = (await ada.options(prompt)).json()
    key = bob.factors["passkey"].authenticator
    assert key is not None
    options["allowCredentials"] = [{"type": "public-key", "id": _id_of(key)}]
    answer = await ada.post(f"{prompt['prompt']['url']}/webauthn", json=key.get(options, origin=ORIGIN))
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
    assert await reasons(house) == ["credential_not_allowed"]


def _id_of(key: VirtualAuthenticator) -> str:
    return bytes_to_base64url(key.credentials[0].credential_id)


# C04 W09 W34
async def test_a_prompt_in_other_hands_is_logged_under_the_one_who_came(
    ada: Browser, bob: Browser, house: House
) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    assert code_of(await bob.send("GET", prompt["prompt"]["url"])) == "STEPUP_PROMPT_NOT_FOUND"
    blocked = (await house.events(EventName.BLOCKED))[-1]
    assert (blocked.subject_id, blocked.reason, blocked.prompt_id) == ("bob", "wrong_holder", prompt["prompt"]["id"])
    assert (await ada.send("GET", prompt["prompt"]["url"])).status_code == 200


# V03
@pytest.mark.parametrize("workspace", ["axis", "elsewhere"])
async def test_who_reaches_for_a_foreign_prompt_finds_nothing_of_it_in_their_own_log(
    ada: Browser, house: House, workspace: str
) -> None:
    url = "/payroll/secret-run/transmit?amount=412908"
    prompt = await ada.prompt("POST", url)
    mallory = Browser(house, house.sign_in("mallory", workspace=workspace))
    await mallory.enrol("passkey")
    at, key = prompt["prompt"]["url"], mallory.factors["passkey"].authenticator
    assert key is not None
    before = len([record async for record in house.stepup.audit.stream(workspace)])
    own = await mallory.options(await mallory.prompt("POST", TRANSMIT))
    answers = [
        await mallory.send("GET", at),
        await mallory.post(f"{at}/webauthn/options", json={}),
        await mallory.post(f"{at}/webauthn", json=key.get(own.json(), origin=ORIGIN)),
        await mallory.post(f"{at}/totp", json={"code": "123456"}),
        await mallory.send("DELETE", at),
    ]
    assert {code_of(answer) for answer in answers} == {"STEPUP_PROMPT_NOT_FOUND"}
    blocked = [record async for record in house.stepup.audit.stream(workspace)][before:]
    blocked = [record for record in blocked if record.event is EventName.BLOCKED]
    assert len(blocked) == 4
    for record in blocked:
        assert (record.subject_id, record.prompt_id) == ("mallory", prompt["prompt"]["id"])
        assert (record.purpose, record.request, record.details) == ("", None, ())
        assert "secret-run" not in record.body and "412908" not in record.body
    assert (await ada.send("GET", at)).status_code == 200, "it is open as before"


# W31 K08
@pytest.mark.parametrize(("seconds", "code"), [(299, None), (300, "STEPUP_PROMPT_NOT_FOUND")])
async def test_a_key_may_be_touched_as_long_as_the_prompt_lives_and_no_longer(
    ada: Browser, house: House, seconds: int, code: str | None
) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    key = ada.factors["passkey"].authenticator
    assert key is not None
    options = (await ada.options(prompt)).json()
    assert options["timeout"] == 300_000  # the rest of its life
    house.clock.advance(timedelta(seconds=seconds))
    answer = await ada.post(f"{prompt['prompt']['url']}/webauthn", json=key.get(options, origin=ORIGIN))
    assert (answer.json().get("token") is None) == (code is not None)
    assert answer.json().get("code") == code


# K08
async def test_a_prompt_is_over_after_five_minutes(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    house.clock.advance(timedelta(minutes=5))
    assert code_of(await ada.options(prompt)) == "STEPUP_PROMPT_NOT_FOUND"


# I12
@pytest.mark.parametrize("kind", ["passkey", "totp"])
async def test_a_proof_from_another_address_than_the_prompts_brings_no_token(
    ada: Browser, house: House, kind: str
) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    answer = await ada.at(ELSEWHERE).answer(prompt, ada.factors[kind])
    assert code_of(answer) == "STEPUP_IP_MISMATCH"
    assert await reasons(house) == ["ip"]


async def test_a_passkey_that_a_password_manager_moved_is_refused_with_the_way_to_add_it_again(
    ada: Browser, house: House
) -> None:
    key = ada.factors["passkey"].authenticator
    assert key is not None
    flipped = not key.backup_eligible
    prompt = await ada.prompt("POST", TRANSMIT)
    answer = await ada.answer(prompt, ada.factors["passkey"], backup_eligible=flipped, backed_up=False)
    assert (answer.status_code, code_of(answer)) == (400, "STEPUP_VERIFICATION_FAILED")
    assert "Add it again under your factors" in answer.json()["detail"]
    assert await reasons(house) == ["backup_eligibility_changed"]
    assert (await ada.answer(prompt, ada.factors["passkey"])).status_code == 200


# W17
async def test_a_counter_that_does_not_advance_is_suspected_to_be_a_clone(ada: Browser, house: House) -> None:
    await ada.enrol("hardware_key", by="passkey")
    key = ada.factors["hardware_key"].authenticator
    assert key is not None
    assert (await ada.step_up("POST", TRANSMIT, "hardware_key")).status_code == 200
    key.credentials[0].sign_count -= 1
    prompt = await ada.prompt("POST", TRANSMIT)
    assert code_of(await ada.answer(prompt, ada.factors["hardware_key"])) == "STEPUP_VERIFICATION_FAILED"
    assert await reasons(house) == ["clone_suspected"]
    assert (await ada.step_up("POST", TRANSMIT, "hardware_key")).status_code == 200


# W32
async def test_a_failed_answer_moves_no_counter(ada: Browser, house: House) -> None:
    await ada.enrol("hardware_key", by="passkey")
    prompt = await ada.prompt("POST", TRANSMIT)
    await ada.answer(prompt, ada.factors["hardware_key"], sign_count=1_000, client_origin="https://evil.test")
    key = ada.factors["hardware_key"].authenticator
    assert key is not None
    key.credentials[0].sign_count = 5
    assert (await ada.answer(prompt, ada.factors["hardware_key"])).status_code == 200


# codes


# O02 O03
async def test_a_code_is_taken_once_across_prompts_purposes_and_sessions(tim: Browser, house: House) -> None:
    again = tim.signed_in_again()
    first, second = await tim.prompt("POST", ROTATE), await again.prompt("POST", "/sync")
    assert (await tim.answer(first, tim.factors["totp"])).status_code == 200
    assert code_of(await again.answer(second, tim.factors["totp"])) == "STEPUP_VERIFICATION_FAILED"
    assert await reasons(house) == ["totp_replay"]


# O06
async def test_one_code_sent_many_times_at_once_brings_one_token(tmp_path: Path) -> None:
    async with house_in(tmp_path, totp_limit=AttemptLimit(failures=90)) as house:
        tim = Browser(house, house.sign_in("tim"))
        await tim.enrol("totp")
        prompts = [await tim.prompt("POST", ROTATE) for _ in range(20)]
        answers = await asyncio.gather(*(tim.answer(prompt, tim.factors["totp"]) for prompt in prompts * 2))
        assert sum("token" in answer.json() for answer in answers) == 1


# O16
async def test_the_code_that_confirmed_the_app_is_spent(tim: Browser, house: House) -> None:
    house.clock.advance(-30)
    prompt = await tim.prompt("POST", ROTATE)
    assert code_of(await tim.answer(prompt, tim.factors["totp"])) == "STEPUP_VERIFICATION_FAILED"


# O09
async def test_a_code_that_the_apps_sign_in_took_is_spent_here_too(tim: Browser, house: House) -> None:
    assert tim.subject is not None
    step = int(house.clock().timestamp()) // 30
    assert await house.stepup.spend_time_step(tim.subject, step)
    prompt = await tim.prompt("POST", ROTATE)
    assert code_of(await tim.answer(prompt, tim.factors["totp"])) == "STEPUP_VERIFICATION_FAILED"
    assert not await house.stepup.spend_time_step(tim.subject, step)


# F01
async def test_a_right_code_for_a_strict_prompt_is_insufficient_and_spent(ada: Browser, house: House) -> None:
    strict = await ada.prompt("POST", TRANSMIT)
    answer = await ada.answer(strict, ada.factors["totp"])
    assert (answer.status_code, code_of(answer)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
    assert await reasons(house) == ["factor_insufficient"]
    loose = await ada.prompt("POST", ROTATE)
    assert code_of(await ada.answer(loose, ada.factors["totp"])) == "STEPUP_VERIFICATION_FAILED"
    assert house.total == 0


# T39
async def test_cancelling_ends_the_prompt_and_kills_what_it_proved(ada: Browser, bob: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    token = await ada.prove(prompt, "passkey")
    assert (await bob.send("DELETE", prompt["prompt"]["url"])).status_code == 404
    assert (await ada.send("DELETE", prompt["prompt"]["url"])).status_code == 204
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert house.runs[TRANSMIT] == 0
    assert "cancelled" in await reasons(house)


# T38
async def test_cancelling_afterwards_does_not_make_a_used_token_new(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    token = await ada.prove(prompt, "passkey")
    await ada.post(TRANSMIT, token=token)
    await ada.send("DELETE", prompt["prompt"]["url"])
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_TOKEN_REUSED"
    assert house.runs[TRANSMIT] == 1


# A18
async def test_failing_and_cancelling_leave_the_session_alone(ada: Browser) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    for _ in range(3):
        await ada.answer(prompt, ada.factors["totp"], code="000000")
    await ada.send("DELETE", prompt["prompt"]["url"])
    assert (await ada.send("GET", "/open")).status_code == 200
    assert (await ada.send("GET", "/stepup/factors")).status_code == 200


# C08
@pytest.mark.parametrize("body", [{"verified": True}, {"token": "x"}, {"id": "x", "type": "public-key"}, {}])
async def test_what_a_client_says_of_itself_brings_no_token(ada: Browser, body: dict[str, object]) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    await ada.options(prompt)
    answer = await ada.post(f"{prompt['prompt']['url']}/webauthn", json=body)
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"


# policy in flight


# F02
async def test_a_prompt_completes_on_the_policy_it_was_issued_under(tim: Browser, house: House) -> None:
    admin = house.sign_in("root", is_admin=True)
    prompt = await tim.prompt("POST", ROTATE)
    await house.stepup.policy.set(admin, "webhook_secret_rotation", STRICT)
    token = await tim.prove(prompt, "totp")
    assert (await tim.post(ROTATE, token=token)).status_code == 200
    assert code_of(await tim.post(ROTATE)) == "STEPUP_FACTOR_INSUFFICIENT"


# F03
async def test_a_policy_that_was_loosened_does_not_loosen_an_open_prompt(ada: Browser, house: House) -> None:
    root = Browser(house, house.sign_in("root", is_admin=True))
    await root.enrol("passkey")
    assert (await root.send("PUT", POLICY, json={"webhook_secret_rotation": STRICT})).status_code == 200
    prompt = await ada.prompt("POST", ROTATE)
    assert prompt["requirement"] == STRICT
    loosened = await root.step_up("PUT", POLICY, "passkey", json={"webhook_secret_rotation": "any"})
    assert loosened.json()["webhook_secret_rotation"] == "any"
    assert code_of(await ada.answer(prompt, ada.factors["totp"])) == "STEPUP_FACTOR_INSUFFICIENT"
    house.clock.advance(30)
    assert (await ada.step_up("POST", ROTATE, "totp")).status_code == 200


# E04
async def test_a_factor_enrolled_while_a_prompt_is_open_does_not_serve_it(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    await ada.enrol("hardware_key", by="passkey")
    options = await ada.options(prompt, "hardware_key")
    assert code_of(options) == "STEPUP_FACTOR_INSUFFICIENT"
    key = ada.factors["hardware_key"].authenticator
    assert key is not None
    honest = (await ada.options(prompt)).json()
    honest["allowCredentials"] = [{"type": "public-key", "id": _id_of(key)}]
    answer = await ada.post(f"{prompt['prompt']['url']}/webauthn", json=key.get(honest, origin=ORIGIN))
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
    assert (await ada.answer(prompt, ada.factors["passkey"])).status_code == 200


# E04
async def test_an_app_enrolled_while_a_prompt_is_open_does_not_serve_it(bob: Browser, house: House) -> None:
    prompt = await bob.prompt("POST", ROTATE)
    await bob.enrol("totp", by="passkey")
    assert code_of(await bob.answer(prompt, bob.factors["totp"])) == "STEPUP_FACTOR_INSUFFICIENT"


# W28
async def test_a_client_that_calls_its_key_another_kind_changes_nothing(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    answer = await ada.answer(prompt, ada.factors["passkey"], attachment="cross-platform")
    assert answer.status_code == 200
    assert (await house.events(EventName.VERIFIED))[-1].factor_kind == "passkey"


# how often


# O21 O24
async def test_too_many_wrong_codes_close_the_codes_and_leave_the_passkey_working(ada: Browser, house: House) -> None:
    app = ada.factors["totp"]
    for _ in range(5):
        prompt = await ada.signed_in_again().prompt("POST", ROTATE)
        again = ada.signed_in_again()  # O21: neither a new prompt nor a new session resets the count
        prompt = await again.prompt("POST", ROTATE)
        assert code_of(await again.answer(prompt, app, code="000000")) == "STEPUP_VERIFICATION_FAILED"
    prompt = await ada.prompt("POST", ROTATE)
    closed = await ada.answer(prompt, app)
    wrong = await ada.answer(prompt, app, code="000000")
    assert (closed.status_code, code_of(closed)) == (429, "STEPUP_RATE_LIMITED")
    assert closed.content == wrong.content  # O24: a right code is not told from a wrong one
    assert int(closed.headers["retry-after"]) > 0
    assert (await ada.answer(prompt, ada.factors["passkey"])).status_code == 200
    still = await ada.prompt("POST", ROTATE)
    assert code_of(await ada.answer(still, app)) == "STEPUP_RATE_LIMITED"  # O21: a passkey resets nothing
    house.clock.advance(timedelta(minutes=4))
    prompt = await ada.prompt("POST", ROTATE)
    assert (await ada.answer(prompt, app)).status_code == 200  # O24: the right code was not spent


# O21
async def test_one_persons_wrong_codes_close_nothing_for_another(ada: Browser, tim: Browser) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    for _ in range(7):
        await ada.answer(prompt, ada.factors["totp"], code="000000")
    assert (await tim.step_up("POST", ROTATE, "totp")).status_code == 200


# O21
async def test_parallel_guesses_share_one_count(ada: Browser) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    answers = await asyncio.gather(
        *(ada.answer(prompt, ada.factors["totp"], code=f"{guess:06}") for guess in range(30))
    )
    assert sum(answer.status_code == 400 for answer in answers) == 5
    assert sum(answer.status_code == 429 for answer in answers) == 25


async def test_too_many_false_assertions_close_the_keys_and_leave_the_codes_working(ada: Browser) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    for _ in range(20):
        answer = await ada.post(f"{prompt['prompt']['url']}/webauthn", json={})
        assert answer.status_code == 400
    assert code_of(await ada.answer(prompt, ada.factors["passkey"])) == "STEPUP_RATE_LIMITED"
    assert (await ada.answer(prompt, ada.factors["totp"])).status_code == 200


# D01 C19
async def test_a_session_has_a_bounded_number_of_open_prompts_and_others_are_unaffected(
    ada: Browser, bob: Browser, house: House
) -> None:
    answers = await asyncio.gather(*(ada.post(TRANSMIT) for _ in range(OPEN_PROMPTS_PER_SESSION + 28)))
    assert sum(answer.status_code == 401 for answer in answers) == OPEN_PROMPTS_PER_SESSION
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 28
    assert int(refused[0].headers["retry-after"]) > 0
    assert (await bob.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    blocked = [record for record in await house.events(EventName.BLOCKED) if record.reason == "rate_limited"]
    assert len(blocked) == 1  # D02
    house.clock.advance(timedelta(minutes=5))
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200


async def test_answering_or_cancelling_prompts_makes_room_for_new_ones(ada: Browser) -> None:
    for _ in range(20):
        assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    for _ in range(20):
        prompt = await ada.prompt("POST", TRANSMIT)
        await ada.send("DELETE", prompt["prompt"]["url"])


async def test_a_code_is_wrong_without_an_app_to_make_it(bob: Browser, house: House) -> None:
    prompt = await bob.prompt("POST", ROTATE)
    code_of_nobody = totp_code("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", house.clock())
    answer = await bob.post(f"{prompt['prompt']['url']}/totp", json={"code": code_of_nobody})
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"


# codes as people have them


async def test_what_has_not_six_digits_is_no_attempt_and_no_failure(tim: Browser, house: House) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    for typed in ("", "12345", "1234567", "hunter2", "123 45", 123456, None, ["123456"], "1" * 70, "12345½"):
        answer = await tim.answer(prompt, tim.factors["totp"], code=typed)
        assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
        assert "did not count" in answer.json()["detail"]
    assert await reasons(house) == []
    assert (await tim.answer(prompt, tim.factors["totp"])).status_code == 200


@pytest.mark.parametrize(
    "way", ["{0} {1}", "{0}-{1}", " {0}{1}\n", "\u200b{0}\u2013{1}\ufeff", "{0}\u00a0{1}", "{0}.{1}"]
)
@pytest.mark.parametrize("form", [False, True], ids=["from a script", "from a form without one"])
async def test_a_code_is_taken_as_it_was_typed(tim: Browser, house: House, way: str, form: bool) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    code = totp_code(tim.factors["totp"].secret, house.clock())
    typed = way.format(code[:3], code[3:])
    if form:
        answer = await tim.navigate("POST", f"{prompt['prompt']['url']}/totp", data={"code": typed})
    else:
        answer = await tim.answer(prompt, tim.factors["totp"], code=typed)
    assert answer.status_code == 200, answer.text


async def test_a_code_in_full_width_digits_is_taken(tim: Browser, house: House) -> None:
    code = totp_code(tim.factors["totp"].secret, house.clock())
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    assert (await tim.answer(await tim.prompt("POST", ROTATE), tim.factors["totp"], code=wide)).status_code == 200


async def test_a_code_that_was_used_already_is_told_to_wait_for_the_next(tim: Browser, house: House) -> None:
    assert (await tim.answer(await tim.prompt("POST", ROTATE), tim.factors["totp"])).status_code == 200
    again = await tim.answer(await tim.prompt("POST", "/sync"), tim.factors["totp"])
    assert code_of(again) == "STEPUP_VERIFICATION_FAILED"
    assert "Wait for the next one" in again.json()["detail"]
    other = await tim.answer(await tim.prompt("POST", "/sync"), tim.factors["totp"], code="000000")
    assert "Wait for the next one" not in other.json()["detail"]
