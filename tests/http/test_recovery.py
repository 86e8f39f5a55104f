"""First factors, passes, recovery codes, resets and holds over HTTP: each way of taking over, and how it ends.

The paths are those of OWASP's cheat sheets on forgotten passwords and on MFA, and of NIST SP 800-63B-4 §4.2.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from stepup_middleware import ConfigurationError, EventName, NotPermitted, StepUp
from stepup_middleware.core.recovery import CODE_BITS, PASS_BITS, Person, read_secret, written_secret
from stepup_middleware.service.recovery import NewCodes
from stepup_middleware.service.resets import IssuedPass
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import VirtualAuthenticator, totp_code
from stepup_middleware.web.routes import library_router
from tests.support import DESK, ELSEWHERE, ORIGIN, PATIENT, ROTATE, TRANSMIT, Browser, House, code_of, house_in

OPTIONS = "/stepup/factors/webauthn/options"
TOTP = "/stepup/factors/totp"
PASS = "/stepup/factors/pass"
CODE = "/stepup/factors/recovery"
CODES = "/stepup/factors/recovery-codes"
PEOPLE = "/stepup/people"
RESET = f"{PEOPLE}/reset"
ISSUE = f"{PEOPLE}/pass"
WHY = "called from the number in the HR system, knew the last payslip"


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[House]:
    """An app in which a first factor takes a pass, with recovery codes."""
    async with house_in(tmp_path, first_factor="enrolment_pass", recovery_codes=True) as house:
        yield house


async def with_factor(house: House, name: str, *, kind: str = "passkey", is_admin: bool = False) -> Browser:
    """Return somebody who enrolled a factor by a pass of an operator."""
    browser = Browser(house, house.sign_in(name, is_admin=is_admin))
    issued = await house.stepup.factors.issue_pass("axis", name, by="test", reason="new here")
    assert (await browser.post(PASS, json={"pass": issued.secret})).status_code == 200
    await browser.enrol(kind)
    return browser


@pytest.fixture
async def desk(strict: House) -> Browser:
    """An admin with a passkey: the support desk."""
    return await with_factor(strict, "desk", is_admin=True)


@pytest.fixture
async def ada(strict: House) -> Browser:
    """Somebody with a passkey."""
    return await with_factor(strict, "ada")


async def issued_by(desk: Browser, person: str) -> str:
    """Return the pass that the desk issues for somebody, by its step-up."""
    answer = await desk.step_up("POST", ISSUE, "passkey", json={"person": person, "reason": WHY})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["secret"])


async def codes_of(browser: Browser) -> list[str]:
    """Return a new set of recovery codes."""
    answer = await browser.step_up("POST", CODES, "passkey", json={})
    assert answer.status_code == 201, answer.text
    codes: list[str] = answer.json()["codes"]
    return codes


async def kinds_of(browser: Browser) -> list[str]:
    answer = await browser.send("GET", "/stepup/factors")
    return [factor["kind"] for factor in answer.json()["factors"]]


# the first factor


# E12
async def test_with_passes_no_sign_in_however_fresh_enrols_a_first_factor(strict: House) -> None:
    person = Browser(strict, strict.sign_in("new"))
    for url, body in ((OPTIONS, {"kind": "passkey"}), (OPTIONS, {"kind": "hardware_key"}), (TOTP, {})):
        answer = await person.post(url, json=body)
        assert (answer.status_code, code_of(answer)) == (403, "STEPUP_PASS_REQUIRED")
        assert "Ask an admin" in answer.json()["detail"]


# E12
async def test_either_takes_a_fresh_sign_in_or_a_pass(tmp_path: Path) -> None:
    async with house_in(tmp_path, first_factor="either") as house:
        assert (await Browser(house, house.sign_in("fresh")).post(TOTP, json={})).status_code == 201
        stale = Browser(house, house.sign_in("stale", ago=3600))
        assert code_of(await stale.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"
        issued = await house.stepup.factors.issue_pass("axis", "stale", by="test", reason=WHY)
        assert (await stale.post(PASS, json={"pass": issued.secret})).status_code == 200
        await stale.enrol("passkey")


# E12
async def test_where_a_fresh_sign_in_is_asked_for_there_are_no_passes(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        with pytest.raises(NotPermitted, match="no pass is needed"):
            await house.stepup.factors.issue_pass("axis", "new", by="test", reason=WHY)
        typed = written_secret(secrets.randbits(PASS_BITS), PASS_BITS)
        answer = await Browser(house, house.sign_in("new")).post(PASS, json={"pass": typed})
        assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"


# E13
async def test_a_pass_enrols_one_factor_and_every_step_is_in_the_log(desk: Browser, strict: House) -> None:
    person = Browser(strict, strict.sign_in("new"))
    typed = (await issued_by(desk, "new")).lower().replace("-", " ")
    taken = await person.post(PASS, json={"pass": f"  {typed} "})
    assert taken.status_code == 200, taken.text
    await person.enrol("passkey")
    assert code_of(await person.post(TOTP, json={})) == "STEPUP_REQUIRED"
    (*_, issue) = await strict.events(EventName.ENROLMENT_PASS_ISSUED)
    (*_, use) = await strict.events(EventName.ENROLMENT_PASS_USED)
    assert (issue.subject_id, issue.data["person"], issue.data["why"]) == ("desk", "new", WHY)
    assert issue.prompt_id in {each.prompt_id for each in await strict.events(EventName.VERIFIED)}
    assert (use.subject_id, use.severity, issue.severity) == ("new", "info", "warning")
    log = json.dumps([dict(each.data) for each in await strict.events()])
    assert typed.upper().replace(" ", "-") not in log
    assert typed.upper().replace(" ", "") not in log


# E13
async def test_a_pass_opens_nothing_a_second_time_for_another_or_too_late(desk: Browser, strict: House) -> None:
    secret = await issued_by(desk, "new")
    thief, person = Browser(strict, strict.sign_in("eve")), Browser(strict, strict.sign_in("new"))
    refusals = [await thief.post(PASS, json={"pass": secret})]
    assert (await person.post(PASS, json={"pass": secret})).status_code == 200
    refusals.append(await person.post(PASS, json={"pass": secret}))
    await person.enrol("passkey")
    refusals.append(await person.signed_in_again().post(PASS, json={"pass": secret}))
    late = Browser(strict, strict.sign_in("late"))
    overdue = await issued_by(desk, "late")
    strict.clock.advance(timedelta(hours=1))
    refusals.append(await late.post(PASS, json={"pass": overdue}))
    assert {answer.status_code for answer in refusals} == {400}
    assert len({answer.json()["detail"] for answer in refusals}) == 1  # one sentence for all
    assert await kinds_of(thief) == await kinds_of(late) == []
    reasons = [event.reason for event in await strict.events(EventName.FAILED)]
    assert reasons == ["pass_unknown", "pass_used", "pass_unknown", "pass_expired"]


# E13
async def test_guessed_passes_close_the_pass_and_mistyped_ones_do_not(desk: Browser, strict: House) -> None:
    secret = await issued_by(desk, "new")
    person = Browser(strict, strict.sign_in("new"))
    for mistyped in ("", "1234", secret[:-1], f"{secret}A", secret.replace(secret[0], "*"), None, 7, ["x"]):
        answer = await person.post(PASS, json={"pass": mistyped})
        assert "did not count" in answer.json()["detail"]
    guesses = [written_secret(secrets.randbits(PASS_BITS), PASS_BITS) for _ in range(8)]
    answers = await asyncio.gather(*(person.post(PASS, json={"pass": guess}) for guess in guesses))
    assert {code_of(answer) for answer in answers} == {"STEPUP_VERIFICATION_FAILED"}
    assert code_of(await person.post(PASS, json={"pass": secret})) == "STEPUP_VERIFICATION_FAILED"
    reasons = [event.reason for event in await strict.events(EventName.FAILED)]
    assert (reasons.count("pass_wrong"), reasons.count("pass_closed")) == (5, 4)
    assert (await person.post(PASS, json={"pass": await issued_by(desk, "new")})).status_code == 200


# E14
async def test_a_pass_typed_at_once_in_two_sessions_on_two_nodes_opens_one(strict: House, tmp_path: Path) -> None:
    issued = await strict.stepup.factors.issue_pass("axis", "new", by="test", reason=WHY)
    async with house_in(
        tmp_path, first_factor="enrolment_pass", store=SQLiteStore(tmp_path / "stepup.db", timeout=PATIENT)
    ) as other:
        people = [Browser(house, house.sign_in("new")) for house in (strict, other) * 3]
        answers = await asyncio.gather(*(person.post(PASS, json={"pass": issued.secret}) for person in people))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400, 400]
        winner = people[[answer.status_code for answer in answers].index(200)]
        begun = [await person.post(TOTP, json={}) for person in people]
        assert [answer.status_code == 201 for answer in begun] == [person is winner for person in people]


# E15
async def test_a_right_serves_the_session_and_address_that_opened_it(desk: Browser, strict: House) -> None:
    person = Browser(strict, strict.sign_in("new"))
    await person.post(PASS, json={"pass": await issued_by(desk, "new")})
    for other in (person.at(ELSEWHERE), person.signed_in_again()):
        assert code_of(await other.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"
    strict.clock.advance(timedelta(minutes=10))
    assert code_of(await person.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"


async def test_an_enrolment_begun_by_a_pass_is_not_finished_when_another_was_faster(
    desk: Browser, strict: House
) -> None:
    person = Browser(strict, strict.sign_in("new"))
    await person.post(PASS, json={"pass": await issued_by(desk, "new")})
    begun = (await person.post(TOTP, json={})).json()
    await person.enrol("passkey")
    code = totp_code(begun["secret"], strict.clock())
    answer = await person.post(f"{TOTP}/{begun['id']}/confirm", json={"code": code})
    assert answer.status_code == 400
    assert await kinds_of(person) == ["passkey"]


class Thief:
    """A stolen session that tries every route of the library with whatever it has been told, in any order."""

    def __init__(self, browser: Browser, chance: random.Random) -> None:
        self.browser = browser
        self.chance = chance
        self.told: list[str] = ["x", browser.subject.id if browser.subject else ""]
        self.secret = "A" * 32
        self.routes = [
            (method, route.path)
            for route in library_router("/stepup").routes
            if isinstance(route, Route)
            for method in sorted(route.methods or ())
        ]

    def body(self) -> dict[str, Any]:
        chance = self.chance
        credential = {"challenge": secrets.token_urlsafe(32), "rp": {"id": "example.com", "name": "x"}}
        options = {
            **credential,
            "user": {"id": "eA", "name": "x", "displayName": "x"},
            "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        }
        choices: dict[str, list[Any]] = {
            "kind": ["passkey", "hardware_key"],
            "pass": [written_secret(chance.getrandbits(PASS_BITS), PASS_BITS), *self.told],
            "code": [totp_code(self.secret, self.browser.house.clock()), *self.told],
            "name": ["mine"],
            "credential": [VirtualAuthenticator.passkey().create(options, origin=ORIGIN)],
            "person": self.told,
            "reason": [WHY],
            "request": self.told,
        }
        return {name: chance.choice(values) for name, values in choices.items()}

    async def step(self) -> None:
        method, path = self.chance.choice(self.routes)
        for part in ("{prompt_id}", "{factor_id}", "{name}", "{language}"):
            path = path.replace(part, self.chance.choice(self.told).replace("/", "_") or "x")
        body = self.body()
        content: dict[str, Any] = {"json": body} if self.chance.random() < 0.8 else {"data": {"pass": body["pass"]}}
        answer = await self.browser.send(method, path, **({} if method == "GET" else content))
        if answer.content and "json" in answer.headers.get("content-type", ""):
            self._learn(answer.json())

    def _learn(self, value: Any) -> None:
        if isinstance(value, dict | list):
            for each in value.values() if isinstance(value, dict) else value:
                self._learn(each)
        elif isinstance(value, str) and 0 < len(value) < 120 and value not in self.told:
            self.told.append(value)


# E15
@pytest.mark.parametrize("seed", range(6))
async def test_a_stolen_session_enrols_nothing_on_any_route_in_any_order(strict: House, seed: int) -> None:
    victim = strict.sign_in("new")
    await strict.stepup.factors.issue_pass("axis", "new", by="test", reason=WHY)  # it waits, and is not known
    thief = Thief(Browser(strict, victim), random.Random(seed))  # noqa: S311 - chance of a test
    for _ in range(120):
        await thief.step()
        assert await strict.stepup.factors.list(victim) == ()
    assert await strict.events(EventName.FACTOR_ENROLLED) == []
    assert strict.total == 0


# resets


# E17, E21
async def test_a_reset_takes_all_tells_why_and_hands_out_a_pass_and_a_hold_follows(
    desk: Browser, ada: Browser, strict: House
) -> None:
    await ada.enrol("totp", by="passkey")
    await codes_of(ada)
    prompt = await ada.prompt("POST", TRANSMIT)
    token = await ada.token("POST", ROTATE, "passkey")
    asked = await desk.prompt("POST", RESET, json={"person": "ada", "reason": WHY, "pass": True})
    assert asked["purpose"]["id"] == "factors_reset"
    assert asked["requirement"] == "phishing_resistant"
    assert asked["details"] == [["Person", "Ada (ada)"], ["Reason", WHY]]
    done = await desk.step_up("POST", RESET, "passkey", json={"person": "ada", "reason": WHY, "pass": True})
    assert done.status_code == 200, done.text
    assert "<svg" in done.json()["pass"]["qr_svg"]
    assert await kinds_of(ada) == []
    assert "Your factors were reset" in (await ada.navigate("GET", "/stepup/factors")).text
    assert (await ada.options(prompt)).status_code == 404
    assert (await ada.send("POST", ROTATE, token=token)).status_code != 200
    assert (await ada.post(PASS, json={"pass": done.json()["pass"]["secret"]})).status_code == 200
    await ada.enrol("passkey")
    held = await ada.post(TRANSMIT)
    assert (held.status_code, code_of(held)) == (403, "STEPUP_FACTOR_INSUFFICIENT")
    until = strict.clock() + timedelta(hours=24)
    assert held.json()["until"].startswith(f"{until:%Y-%m-%dT%H:%M}")
    assert strict.stepup.languages.texts("en").moment(until) in held.json()["detail"]
    assert "enroll_url" not in held.json()
    own = (await ada.send("GET", "/stepup/factors")).json()
    assert own["held_until"] == held.json()["until"]
    told = strict.stepup.languages.texts("en").moment(until)
    assert f"closed to you until {told}" in (await ada.navigate("GET", "/stepup/factors")).text
    assert told in (await desk.navigate("GET", PEOPLE)).text
    assert (await ada.step_up("POST", ROTATE, "passkey")).status_code == 200
    purposes = {
        each["id"]: each["satisfied"] for each in (await ada.send("GET", "/stepup/purposes")).json()["purposes"]
    }
    assert (purposes["payroll_ach_transmit"], purposes["webhook_secret_rotation"]) == (False, True)
    strict.clock.advance(timedelta(hours=24))
    assert (await ada.send("GET", "/stepup/factors")).json()["held_until"] is None
    assert "Your factors were reset" not in (await ada.navigate("GET", "/stepup/factors")).text
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    (reset,) = await strict.events(EventName.FACTORS_RESET)
    assert (reset.subject_id, reset.severity) == ("desk", "warning")
    assert (reset.data["person"], reset.data["why"], reset.data["person_name"]) == ("ada", WHY, "Ada")
    assert sorted(factor["kind"] for factor in reset.data["factors"]) == ["passkey", "totp"]
    blocked = [event for event in await strict.events(EventName.BLOCKED) if event.reason == "on_hold"]
    assert blocked[0].data["until"]
    await strict.assert_log_holds()


# E16
async def test_nobody_resets_or_lets_in_themselves(desk: Browser, strict: House) -> None:
    for url in (RESET, ISSUE):
        answer = await desk.post(url, json={"person": "desk", "reason": WHY})
        assert (answer.status_code, code_of(answer)) == (403, "STEPUP_NOT_PERMITTED")
        assert "themselves" in answer.json()["detail"]
    assert [event.reason for event in await strict.events(EventName.BLOCKED)] == ["oneself", "oneself"]
    assert await kinds_of(desk) == ["passkey"]


# E16
async def test_only_an_admin_of_the_same_workspace_with_a_proof_of_their_own_resets(
    desk: Browser, ada: Browser, strict: House
) -> None:
    wanted = {"person": "ada", "reason": WHY}
    mallory = await with_factor(strict, "mallory")
    for url in (RESET, ISSUE):
        assert code_of(await mallory.post(url, json=wanted)) == "STEPUP_NOT_PERMITTED"
    assert code_of(await mallory.send("GET", PEOPLE)) == "STEPUP_NOT_PERMITTED"
    far = Browser(strict, strict.sign_in("far", workspace="other", is_admin=True))
    await strict.stepup.factors.issue_pass("other", "far", by="test", reason=WHY)
    assert (await far.send("GET", PEOPLE)).json()["people"] == []
    token = await desk.token("POST", RESET, "passkey", json={**wanted, "person": "mallory"})
    assert (await desk.send("POST", RESET, token=token, json=wanted)).status_code == 401  # for another person
    token = await desk.token("POST", RESET, "passkey", json=wanted)
    assert (await desk.send("POST", RESET, token=token, json={**wanted, "reason": "because"})).status_code == 401
    assert (await desk.send("POST", RESET, token=token, json={**wanted, "pass": True})).status_code == 401
    assert await kinds_of(ada) == ["passkey"]
    assert (await desk.send("POST", RESET, token=token, json=wanted)).status_code == 200
    assert await kinds_of(ada) == []
    assert code_of(await desk.send("POST", RESET, token=token, json=wanted)) == "STEPUP_TOKEN_REUSED"


# E16
async def test_a_code_is_no_proof_for_a_reset(strict: House, ada: Browser) -> None:
    admin = await with_factor(strict, "weak", kind="totp", is_admin=True)
    answer = await admin.post(RESET, json={"person": "ada", "reason": WHY})
    assert (answer.status_code, code_of(answer)) == (403, "STEPUP_FACTOR_INSUFFICIENT")


# E20
async def test_an_admin_who_was_reset_resets_nobody_for_a_day(desk: Browser, ada: Browser, strict: House) -> None:
    issued = (await strict.stepup.factors.reset("axis", "desk", by="test", reason=WHY, with_pass=True)).issued
    assert issued is not None
    await desk.post(PASS, json={"pass": issued.secret})
    await desk.enrol("passkey")
    answer = await desk.post(RESET, json={"person": "ada", "reason": WHY})
    assert (code_of(answer), "until" in answer.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "bell\x07", "\u202eevil"])
async def test_a_reset_without_a_readable_reason_is_refused(desk: Browser, ada: Browser, reason: str) -> None:
    answer = await desk.post(RESET, json={"person": "ada", "reason": reason})
    assert (answer.status_code, "Say whose" in answer.json()["detail"]) == (403, True)


# E16
async def test_a_handler_resets_only_by_the_proof_of_this_very_reset(
    desk: Browser, ada: Browser, strict: House
) -> None:
    assert desk.subject is not None
    with pytest.raises(NotPermitted, match="step-up"):
        await strict.stepup.factors.reset("axis", "ada", by=desk.subject, reason=WHY)
    for by_handler in ({}, {"pass": True}):
        answer = await desk.post(DESK, json={"person": "ada", "reason": WHY, "workspace": "other", **by_handler})
        assert (answer.status_code, "another workspace" in answer.text) == (422, True)
    asked = {"person": "ada", "reason": WHY}
    prompt = await desk.prompt("POST", DESK, json=asked)
    assert (prompt["purpose"]["id"], prompt["details"]) == (
        "factors_reset",
        [["Person", "Ada (ada)"], ["Reason", WHY]],
    )
    for other in ({**asked, "person": "tim"}, {**asked, "reason": "other"}, {**asked, "pass": True, "person": "new"}):
        token = await desk.token("POST", DESK, "passkey", json=other)
        assert code_of(await desk.send("POST", DESK, token=token, json=asked)) == "STEPUP_REQUIRED"
    token = await desk.token("POST", RESET, "passkey", json=asked)  # that of the library's own page
    assert code_of(await desk.send("POST", DESK, token=token, json=asked)) == "STEPUP_REQUIRED"
    token = await ada.token("POST", ROTATE, "passkey")
    assert code_of(await desk.send("POST", DESK, token=token, json=asked)) == "STEPUP_REQUIRED"
    assert await kinds_of(ada) == ["passkey"]
    done = await desk.send("POST", DESK, token=await desk.prove(prompt, "passkey"), json=asked)
    assert done.json() == {"waits": False}
    assert await kinds_of(ada) == []
    (reset,) = await strict.events(EventName.FACTORS_RESET)
    assert reset.prompt_id == prompt["prompt"]["id"]


# E16
async def test_a_handler_issues_a_pass_only_by_the_proof_of_the_admin_who_is_signed_in(
    desk: Browser, strict: House
) -> None:
    asked = {"person": "new", "reason": WHY, "pass": True}
    mallory = await with_factor(strict, "mallory")
    assert "Only an admin" in (await mallory.post(DESK, json=asked)).json()["why"]
    done = await desk.step_up("POST", DESK, "passkey", json=asked)
    person = Browser(strict, strict.sign_in("new"))
    assert (await person.post(PASS, json={"pass": done.json()["secret"]})).status_code == 200
    assert mallory.subject is not None
    assert desk.subject is not None
    strict.sessions[mallory.subject.session_id] = desk.subject  # a handler takes the word of a thief for who it is

    async def as_mallory(_: Any) -> Any:
        return mallory.subject

    strict.stepup._parts.identification._identify = as_mallory  # and the library knows better
    issued = len(await strict.events(EventName.ENROLMENT_PASS_ISSUED))
    answer = await mallory.step_up("POST", DESK, "passkey", json={**asked, "person": "late"})
    assert (answer.status_code, "somebody else who asks" in answer.text) == (422, True)
    assert len(await strict.events(EventName.ENROLMENT_PASS_ISSUED)) == issued


# E20
async def test_an_operator_on_the_host_lets_the_last_admin_in_and_is_named(strict: House) -> None:
    alone = Browser(strict, strict.sign_in("root", is_admin=True))
    outcome = await strict.stepup.factors.reset("axis", "root", by="deploy@web-1", reason=WHY, with_pass=True)
    assert outcome.issued is not None
    assert (await alone.post(PASS, json={"pass": outcome.issued.secret})).status_code == 200
    await alone.enrol("passkey")
    for event in await strict.events(EventName.FACTORS_RESET, EventName.ENROLMENT_PASS_ISSUED):
        assert (event.subject_id, event.data["operator"], event.data["person"]) == ("", "deploy@web-1", "root")


# E18
async def test_a_reset_while_the_person_proves_leaves_them_nothing_to_use(
    desk: Browser, ada: Browser, strict: House
) -> None:
    for _ in range(3):
        prompt = await ada.prompt("POST", ROTATE)
        token = await desk.token("POST", RESET, "passkey", json={"person": "ada", "reason": WHY})
        answer, _ = await asyncio.gather(
            ada.answer(prompt, ada.factors["passkey"]),
            desk.send("POST", RESET, token=token, json={"person": "ada", "reason": WHY}),
        )
        if answer.status_code == 200:
            late = await ada.send("POST", ROTATE, token=answer.json()["token"])
            assert late.status_code in (401, 403)
        assert await kinds_of(ada) == []
        issued = await strict.stepup.factors.issue_pass("axis", "ada", by="test", reason=WHY)
        await ada.post(PASS, json={"pass": issued.secret})
        await ada.enrol("passkey")
    assert strict.runs[ROTATE] == 0


# two admins


@pytest.fixture
async def paired(tmp_path: Path) -> AsyncIterator[House]:
    """An app in which a reset takes two admins."""
    async with house_in(tmp_path, first_factor="enrolment_pass", reset_needs_two=True) as house:
        yield house


# E19
async def test_a_reset_by_two_takes_a_proof_of_each_and_never_the_same_admin_twice(paired: House) -> None:
    one, two = [await with_factor(paired, name, is_admin=True) for name in ("one", "two")]
    ada = await with_factor(paired, "ada")
    asked = await one.step_up("POST", RESET, "passkey", json={"person": "ada", "reason": WHY, "pass": True})
    assert asked.status_code == 202, asked.text
    request = asked.json()["waits"]["id"]
    assert await kinds_of(ada) == ["passkey"]
    again = await one.post(f"{RESET}/confirm", json={"request": request})
    assert (again.status_code, "two admins" in again.json()["detail"]) == (403, True)
    listed = (await two.send("GET", PEOPLE)).json()["requests"]
    assert [(each["person"], each["reason"], each["yours"]) for each in listed] == [("ada", WHY, False)]
    prompt = await two.prompt("POST", f"{RESET}/confirm", json={"request": request})
    assert prompt["details"] == [["Person", "Ada (ada)"], ["Reason", WHY], ["Asked for by", "One (one)"]]
    done = await two.step_up("POST", f"{RESET}/confirm", "passkey", json={"request": request})
    assert done.status_code == 200, done.text
    assert done.json()["pass"]["secret"]
    assert await kinds_of(ada) == []
    (event,) = await paired.events(EventName.FACTORS_RESET)
    assert (event.subject_id, event.data["requested_by"]) == ("two", "one")
    assert len(await paired.events(EventName.FACTORS_RESET_REQUESTED)) == 1


# E19
async def test_an_admin_does_not_confirm_a_reset_of_themselves_and_any_admin_takes_one_back(paired: House) -> None:
    one, two = [await with_factor(paired, name, is_admin=True) for name in ("one", "two")]
    asked = await one.step_up("POST", RESET, "passkey", json={"person": "two", "reason": WHY})
    request = asked.json()["waits"]["id"]
    answer = await two.post(f"{RESET}/confirm", json={"request": request})
    assert "themselves" in answer.json()["detail"]
    assert (await two.post(f"{RESET}/withdraw", json={"request": request})).status_code == 200
    answer = await one.post(f"{RESET}/confirm", json={"request": request})
    assert "does not wait" in answer.json()["detail"]
    assert await kinds_of(two) == ["passkey"]


# E19
async def test_what_an_admin_asked_for_who_is_reset_themselves_waits_no_more(paired: House) -> None:
    one, two = [await with_factor(paired, name, is_admin=True) for name in ("one", "two")]
    ada, bob = [await with_factor(paired, name) for name in ("ada", "bob")]
    requests = {}
    for admin, person in ((one, "ada"), (two, "bob")):
        asked = await admin.step_up("POST", RESET, "passkey", json={"person": person, "reason": WHY})
        requests[person] = asked.json()["waits"]["id"]
    await paired.stepup.factors.reset("axis", "one", by="ops@web-1", reason="their laptop was stolen, unlocked")
    answer = await two.post(f"{RESET}/confirm", json={"request": requests["ada"]})
    assert "does not wait" in answer.json()["detail"]
    waiting = (await two.send("GET", PEOPLE)).json()["requests"]
    assert [each["person"] for each in waiting] == ["bob"]
    assert await kinds_of(ada) == await kinds_of(bob) == ["passkey"]
    (*_, withdrawn) = await paired.events(EventName.FACTORS_RESET_REQUESTED)
    assert (withdrawn.data["person"], withdrawn.data["withdrawn"]) == ("ada", True)
    assert withdrawn.data["operator"] == "ops@web-1"


# E14, E19
async def test_what_an_admin_did_who_is_reset_themselves_is_taken_back(desk: Browser, strict: House) -> None:
    secret, theirs = await issued_by(desk, "new"), await issued_by(desk, "bob")
    bob = Browser(strict, strict.sign_in("bob"))
    assert (await bob.post(PASS, json={"pass": theirs})).status_code == 200
    await strict.stepup.factors.reset("axis", "desk", by="ops@web-1", reason="their laptop was stolen, unlocked")
    new = Browser(strict, strict.sign_in("new"))
    assert (await new.post(PASS, json={"pass": secret})).status_code == 400
    assert code_of(await new.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"
    assert (await bob.post(TOTP, json={})).status_code == 201  # what was used is theirs
    *_, reset_desk = await strict.events(EventName.ENROLMENT_PASS_ISSUED)
    assert (reset_desk.data["person"], reset_desk.data["withdrawn"], reset_desk.data["operator"]) == (
        "new", True, "ops@web-1",
    )  # fmt: skip
    assert reset_desk.topics == ()
    issued = await strict.stepup.factors.issue_pass("axis", "new", by="test", reason=WHY)
    assert (await new.post(PASS, json={"pass": issued.secret})).status_code == 200


# E18, E19
@pytest.mark.parametrize(("two", "url", "whose"), [(False, RESET, "ada"), (True, RESET, "ada"), (False, ISSUE, "new")])
async def test_an_admin_who_is_reset_between_proof_and_act_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: bool, url: str, whose: str
) -> None:
    async with house_in(tmp_path, first_factor="enrolment_pass", reset_needs_two=two) as house:
        desk, ada = await with_factor(house, "desk", is_admin=True), await with_factor(house, "ada")
        guard = house.stepup.factors._guard
        prove = guard.prove

        async def overtaken(*of: Any) -> Any:
            proof = await prove(*of)
            await house.stepup.factors.reset("axis", "desk", by="ops@web-1", reason=WHY)
            return proof

        token = await desk.token("POST", url, "passkey", json={"person": whose, "reason": WHY})
        monkeypatch.setattr(guard, "prove", overtaken)
        late = await desk.send("POST", url, token=token, json={"person": whose, "reason": WHY})
        assert (late.status_code, "removed meanwhile" in late.json()["detail"]) == (403, True), late.text
        assert await kinds_of(ada) == ["passkey"]
        assert await house.stepup.factors.reset_requests(house.sign_in("two", is_admin=True)) == ()
        assert await house.stepup._parts.store.records.open_pass("axis", "new") is None
        assert [event.data["person"] for event in await house.events(EventName.FACTORS_RESET)] == ["desk"]


# E19
async def test_two_admins_who_confirm_at_once_reset_once_and_a_reset_is_over_after_a_day(paired: House) -> None:
    one, two, three = [await with_factor(paired, name, is_admin=True) for name in ("one", "two", "three")]
    await with_factor(paired, "ada")

    async def asked() -> str:
        answer = await one.step_up("POST", RESET, "passkey", json={"person": "ada", "reason": WHY})
        return str(answer.json()["waits"]["id"])

    request = await asked()
    url, body = f"{RESET}/confirm", {"request": request}
    tokens = [await each.token("POST", url, "passkey", json=body) for each in (two, three)]
    done = await asyncio.gather(
        *(each.send("POST", url, token=token, json=body) for each, token in zip((two, three), tokens, strict=True))
    )
    assert sorted(answer.status_code for answer in done) == [200, 403]
    assert len(await paired.events(EventName.FACTORS_RESET)) == 1
    late = await asked()
    paired.clock.advance(timedelta(hours=24))
    assert "does not wait" in (await two.post(url, json={"request": late})).json()["detail"]


# recovery codes


async def test_recovery_codes_are_off_unless_they_are_turned_on(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        person = Browser(house, house.sign_in("new"))
        await person.enrol("passkey")
        for url, body in ((CODE, {"code": written_secret(1, CODE_BITS)}), (CODES, {})):
            answer = await person.post(url, json=body)
            assert (answer.status_code, code_of(answer)) == (404, "STEPUP_FACTOR_NOT_FOUND")
        page = await person.navigate("GET", "/stepup/factors")
        assert "ecovery" not in page.text


async def test_a_set_has_ten_codes_that_nobody_guesses_and_none_is_kept_as_it_is(ada: Browser, strict: House) -> None:
    codes = await codes_of(ada)
    assert len(set(codes)) == 10
    assert CODE_BITS >= 64
    assert all(read_secret(code, CODE_BITS) == code.replace("-", "") for code in codes)
    stored = strict.path.read_bytes() + strict.path.with_name("stepup.db-wal").read_bytes()
    for code in codes:
        assert code.encode() not in stored
        assert code.replace("-", "").encode() not in stored


# E11, E21
async def test_a_code_enrols_a_factor_and_nothing_else_and_a_hold_follows(ada: Browser, strict: House) -> None:
    codes = await codes_of(ada)
    lost = ada.signed_in_again()
    for url in (TRANSMIT, ROTATE):  # never a token
        refused = await lost.send("POST", url, token=codes[0])
        assert code_of(refused) == "STEPUP_REQUIRED"
        answer = await lost.post(f"{refused.json()['prompt']['url']}/totp", json={"code": codes[0]})
        assert answer.status_code == 400
    used = await lost.post(CODE, json={"code": codes[0].lower()})
    assert (used.status_code, used.json()["left"]) == (200, 9)
    for url in (TRANSMIT, ROTATE):
        assert (await lost.post(url)).status_code in (401, 403)
    assert strict.total == 0
    await lost.enrol("hardware_key")
    assert code_of(await lost.post(TOTP, json={})) == "STEPUP_REQUIRED"  # one factor, not two
    held = await lost.post(TRANSMIT)
    assert (code_of(held), "until" in held.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)
    (event,) = await strict.events(EventName.RECOVERY_CODE_USED)
    assert (event.subject_id, event.severity, event.is_alert, event.data["left"]) == ("ada", "warning", True, 9)
    page = await lost.navigate("GET", "/stepup/factors")
    assert "9 recovery codes are left" in page.text


# E14
# E26
async def test_during_a_hold_nothing_goes_by_a_factor_that_came_after_it(ada: Browser, strict: House) -> None:
    codes, second = await codes_of(ada), await ada.enrol("totp", by="passkey")
    own = ada.factors["passkey"]
    thief = Browser(strict, ada.subject, ip=ELSEWHERE)
    strict.clock.advance(timedelta(minutes=1))
    assert (await thief.post(CODE, json={"code": codes[0]})).status_code == 200
    new = await thief.enrol("passkey")
    kept = [("DELETE", f"/stepup/factors/{own.id}"), ("DELETE", f"/stepup/factors/{second.id}"), ("POST", CODES)]
    for method, url in kept:
        answer = await thief.step_up(method, url, "passkey", **({} if method == "DELETE" else {"json": {}}))
        assert (answer.status_code, code_of(answer)) == (403, "STEPUP_FACTOR_INSUFFICIENT"), url
        assert answer.json()["until"] == "2026-11-25T12:01:30Z"
        assert "a factor that was added since takes nothing older away until Nov 25, 2026" in answer.json()["detail"]
    assert sorted(await kinds_of(ada)) == ["passkey", "passkey", "totp"]
    blocked = await strict.events(EventName.BLOCKED)
    assert [(event.reason, event.purpose) for event in blocked] == [("on_hold", "factor_change")] * 3
    # who has been there longer takes the stranger's factor and makes the list anew
    assert (await ada.step_up("DELETE", f"/stepup/factors/{new.id}", "passkey")).status_code == 204
    assert len(await codes_of(ada)) == 10
    strict.clock.advance(timedelta(days=1))
    third = await ada.enrol("hardware_key", by="passkey")
    ada.factors = {"hardware_key": third}
    assert (await ada.step_up("DELETE", f"/stepup/factors/{own.id}", "hardware_key")).status_code == 204


# E27
@pytest.mark.parametrize("of", ["pass", "code"])
async def test_nobody_takes_a_pass_or_a_code_on_behalf_of_the_person(ada: Browser, strict: House, of: str) -> None:
    (secret, *_) = await codes_of(ada) if of == "code" else [""]
    name, url = ("ada", CODE) if of == "code" else ("new", PASS)
    if of == "pass":
        secret = (await strict.stepup.factors.issue_pass("axis", name, by="test", reason=WHY)).secret
    person = strict.sign_in(name)
    strict.sessions[person.session_id] = replace(person, actor="agent-7")
    refused = await Browser(strict, person).post(url, json={of: secret})
    assert (refused.status_code, code_of(refused)) == (403, "STEPUP_NOT_PERMITTED")
    assert await strict.events(EventName.RECOVERY_CODE_USED) == []
    strict.sessions[person.session_id] = person  # the person themselves have it still
    assert (await Browser(strict, person).post(url, json={of: secret})).status_code == 200


# E27
async def test_nobody_changes_a_factor_on_behalf_of_the_person(ada: Browser, strict: House) -> None:
    await ada.enrol("totp", by="passkey")
    assert ada.subject is not None
    _, code = (await ada.send("GET", "/stepup/factors")).json()["factors"]
    acting = replace(ada, subject=replace(ada.subject, actor="agent-7", session_id="agent"))
    strict.sessions["agent"] = acting.subject  # type: ignore[assignment]
    url = f"/stepup/factors/{code['id']}"
    for method, path, body in (("PATCH", url, {"name": "Thief's"}), ("DELETE", url, {}), ("POST", CODES, {})):
        refused = await acting.send(method, path, json=body)
        assert (refused.status_code, code_of(refused)) == (403, "STEPUP_NOT_PERMITTED"), path
        assert "on their behalf" in refused.json()["detail"]
    assert (await ada.send("GET", "/stepup/factors")).json()["factors"][1]["name"] == code["name"]
    assert (await ada.send("PATCH", url, json={"name": "Own"})).status_code == 200


async def test_a_code_works_once_whoever_is_faster_on_two_nodes(ada: Browser, strict: House, tmp_path: Path) -> None:
    codes = await codes_of(ada)
    async with house_in(
        tmp_path, first_factor="enrolment_pass", recovery_codes=True,
        store=SQLiteStore(tmp_path / "stepup.db", timeout=PATIENT),
    ) as other:  # fmt: skip
        people = [Browser(house, house.sign_in("ada")) for house in (strict, other) * 2]
        answers = await asyncio.gather(*(person.post(CODE, json={"code": codes[3]}) for person in people))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert len(await strict.events(EventName.RECOVERY_CODE_USED)) == 1


# E11
async def test_a_code_of_another_person_an_old_one_and_guesses_open_nothing(ada: Browser, strict: House) -> None:
    old = await codes_of(ada)
    new = await codes_of(ada)
    eve = await with_factor(strict, "eve")
    await codes_of(eve)
    strangers = [(eve, new[0]), (ada, old[0]), (Browser(strict, strict.sign_in("nobody")), new[0])]
    for browser, code in strangers:
        answer = await browser.post(CODE, json={"code": code})
        assert (answer.status_code, "opens nothing" in answer.json()["detail"]) == (400, True)
    for _ in range(6):
        guess = written_secret(secrets.randbits(CODE_BITS), CODE_BITS)
        answer = await eve.post(CODE, json={"code": guess})
    assert (answer.status_code, code_of(answer)) == (429, "STEPUP_RATE_LIMITED")
    assert int(answer.headers["retry-after"]) > 0
    assert (await ada.post(CODE, json={"code": new[0]})).status_code == 200  # others are not shut out
    reasons = {event.reason for event in await strict.events(EventName.FAILED)}
    assert reasons == {"recovery_code_unknown", "rate_limited"}


# E11
async def test_mistyped_codes_do_not_count(ada: Browser) -> None:
    codes = await codes_of(ada)
    for _ in range(10):
        answer = await ada.post(CODE, json={"code": codes[0][:-1] + ("A" if codes[0][-1] != "A" else "B")})
        assert "did not count" in answer.json()["detail"]
    assert (await ada.post(CODE, json={"code": codes[0]})).status_code == 200


# E15
async def test_new_codes_take_a_step_up_and_a_stolen_session_gets_none(ada: Browser, strict: House) -> None:
    refused = await ada.post(CODES, json={})
    assert (code_of(refused), refused.json()["purpose"]["id"]) == ("STEPUP_REQUIRED", "factor_change")
    assert await strict.events(EventName.RECOVERY_CODES_ISSUED) == []
    nobody = Browser(strict, strict.sign_in("nobody"))
    assert code_of(await nobody.post(CODES, json={})) == "STEPUP_FACTOR_CONFLICT"


# E17
async def test_a_reset_makes_the_codes_worthless(desk: Browser, ada: Browser) -> None:
    codes = await codes_of(ada)
    await desk.step_up("POST", RESET, "passkey", json={"person": "ada", "reason": WHY})
    assert (await ada.post(CODE, json={"code": codes[0]})).status_code == 400


# without JavaScript


async def test_a_pass_and_a_code_are_typed_into_forms_without_javascript(
    desk: Browser, ada: Browser, strict: House
) -> None:
    person = Browser(strict, strict.sign_in("new"))
    page = await person.navigate("GET", "/stepup/factors")
    assert 'action="/stepup/factors/pass"' in page.text
    wrong = await person.navigate("POST", PASS, data={"pass": "1234"})
    assert (wrong.status_code, 'aria-invalid="true"' in wrong.text) == (400, True)
    right = await person.navigate("POST", PASS, data={"pass": await issued_by(desk, "new")})
    assert (right.status_code, right.headers["location"]) == (303, "/stepup/factors")
    assert "You may add one factor now" in (await person.navigate("GET", "/stepup/factors")).text
    codes = await codes_of(ada)
    page = await ada.navigate("GET", "/stepup/factors")
    assert 'action="/stepup/factors/recovery"' in page.text
    wrong = await ada.navigate("POST", CODE, data={"code": "1234"})
    assert (wrong.status_code, 'aria-invalid="true"' in wrong.text) == (400, True)
    assert (await ada.navigate("POST", CODE, data={"code": codes[0]})).status_code == 303


async def test_a_pass_and_a_code_lead_to_a_factor_without_javascript(
    desk: Browser, ada: Browser, strict: House
) -> None:
    (code, *_) = await codes_of(ada)
    secret = await issued_by(desk, "new")
    ways = [(Browser(strict, strict.sign_in("new")), PASS, {"pass": secret}), (ada, CODE, {"code": code})]
    for person, url, typed in ways:
        before = await kinds_of(person)
        assert 'action="/stepup/factors/totp"' not in (await person.navigate("GET", "/stepup/factors")).text
        assert (await person.navigate("POST", url, data=typed)).status_code == 303
        assert 'action="/stepup/factors/totp"' in (await person.navigate("GET", "/stepup/factors")).text
        begun = await person.navigate("POST", TOTP, data={"name": "<i>Old phone"})
        assert (begun.status_code, "<svg" in begun.text, "<i>" in begun.text) == (200, True, False)
        key = re.search(r'class="stepup-secret"[^>]*>([A-Z2-7]+)<', begun.text)
        confirm = re.search(r'action="(/stepup/factors/totp/[^"]+/confirm)"', begun.text)
        assert key
        assert confirm
        wrong = await person.navigate("POST", confirm[1], data={"code": "12 34 5", "name": "Old phone"})
        assert (wrong.status_code, 'aria-invalid="true"' in wrong.text, confirm[1] in wrong.text) == (400, True, True)
        assert key[1] not in wrong.text
        six = totp_code(key[1], strict.clock())
        done = await person.navigate("POST", confirm[1], data={"code": six, "name": "Old phone"})
        assert (done.status_code, done.headers["location"]) == (303, "/stepup/factors")
        assert sorted(await kinds_of(person)) == sorted([*before, "totp"])
        page = await person.navigate("GET", "/stepup/factors")
        assert ("Old phone" in page.text, 'action="/stepup/factors/totp"' in page.text) == (True, False)


async def test_without_javascript_nobody_enrols_who_may_not(strict: House) -> None:
    person = Browser(strict, strict.sign_in("new"))
    answer = await person.navigate("POST", TOTP, data={"name": "Mine"})
    assert (answer.status_code, answer.headers["stepup-error"]) == (403, "STEPUP_PASS_REQUIRED")
    assert "<svg" not in answer.text
    elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    for url in (TOTP, f"{TOTP}/x/confirm"):
        assert (await person.navigate("POST", url, data={}, headers=elsewhere)).status_code == 403


@pytest.mark.parametrize("url", [PASS, CODE, CODES, RESET, ISSUE, f"{RESET}/confirm", f"{RESET}/withdraw"])
async def test_no_other_site_sends_any_of_it(desk: Browser, url: str) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = await desk.send("POST", url, headers=headers, json={"person": "ada", "reason": WHY})
        assert (answer.status_code, code_of(answer)) == (403, "STEPUP_CROSS_ORIGIN")


# people


async def test_admins_find_people_with_their_factors_and_what_they_could_not_do(
    desk: Browser, ada: Browser, strict: House
) -> None:
    await Browser(strict, strict.sign_in("new")).send("GET", "/stepup/factors")
    tim = await with_factor(strict, "tim", kind="totp")
    await tim.step_up("POST", ROTATE, "totp")
    people = {each["id"]: each for each in (await desk.send("GET", PEOPLE)).json()["people"]}
    assert list(people) == ["ada", "desk", "new", "tim"]
    assert [factor["kind"] for factor in people["ada"]["factors"]] == ["passkey"]
    assert people["ada"]["factors"][0]["synced"] is True
    assert people["ada"]["closed"] == []
    assert people["tim"]["factors"][0]["last_used_at"] is not None
    assert "payroll_ach_transmit" in people["tim"]["closed"]
    assert "webhook_secret_rotation" not in people["tim"]["closed"]
    assert len(people["new"]["closed"]) == 16
    for query, found in (("q=IM", ["tim"]), ("purpose=payroll_ach_transmit", ["new", "tim"]), ("q=zzz", [])):
        listed = (await desk.send("GET", f"{PEOPLE}?{query}")).json()["people"]
        assert [each["id"] for each in listed] == found
    for query in ("q=zzz", "q=ada&purpose=payroll_ach_transmit"):  # she has been here, and could do it
        page = await desk.navigate("GET", f"{PEOPLE}?{query}")
        assert "Nobody who has been here matches this" in page.text


async def test_many_people_are_paged_and_words_of_others_are_shown_as_text(desk: Browser, strict: House) -> None:
    for number in range(120):
        await strict.store.note_person("axis", Person(subject_id=f"p-{number:03}", name=f"<b>P</b> {number:03}"))
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = await desk.client.get(PEOPLE, params={"after": after} if after else {})
        seen += [each["id"] for each in answer.json()["people"]]
        after = answer.json()["next"]
    assert seen == [*(f"p-{number:03}" for number in range(120)), "desk"]
    page = (await desk.navigate("GET", PEOPLE)).text
    assert "<b>P</b>" not in page
    assert 'rel="next"' in page
    # who renames themselves meanwhile may leave nobody on the last page; and an address may say anything
    for nowhere in (json.dumps(["\U0010ffff", ""]), "[" * 5_000, "{}"):
        answer = await desk.client.get(PEOPLE, params={"after": nowhere})
        assert answer.json()["people"][0]["id"] == "p-000", answer.text
    end = await desk.navigate("GET", f"{PEOPLE}?after=%5B%22zzz%22%2C%22%22%5D")
    assert "Nobody has been here yet" not in end.text
    assert "From the beginning" not in end.text


# settings


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("first_factor", "password", "first_factor is one of"),
        ("first_factor", None, "first_factor is one of"),
        ("recovery_codes", "yes", "recovery_codes is True or False"),
        ("reset_needs_two", 1, "reset_needs_two is True or False"),
        ("recovery_hold", 24, "recovery_hold is a timedelta"),
        ("recovery_hold", timedelta(days=31), "recovery_hold is a timedelta"),
        ("recovery_hold", -timedelta(hours=1), "recovery_hold is a timedelta"),
    ],
)
async def test_a_setting_that_says_nothing_stops_the_start(tmp_path: Path, setting: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        House(tmp_path, **{setting: value})


async def test_of_a_hold_the_page_speaks_where_there_is_one(ada: Browser, tmp_path: Path) -> None:
    await codes_of(ada)
    said = "closed to you for a while after it"
    assert said in (await ada.navigate("GET", "/stepup/factors")).text
    async with house_in(tmp_path, recovery_codes=True, recovery_hold=timedelta(0)) as house:
        bob = Browser(house, house.sign_in("bob"))
        await bob.enrol("passkey")
        await codes_of(bob)
        page = (await bob.navigate("GET", "/stepup/factors")).text
        assert "add one factor and nothing else" in page
        assert said not in page


async def test_without_a_hold_a_reset_person_acts_at_once(tmp_path: Path) -> None:
    async with house_in(tmp_path, recovery_hold=timedelta(0)) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        await house.stepup.factors.reset("axis", "ada", by="test", reason=WHY)
        again = ada.signed_in_again()
        await again.enrol("passkey")
        assert (await again.step_up("POST", TRANSMIT, "passkey")).status_code == 200


def test_secrets_of_people_are_in_no_repr(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert isinstance(house.stepup, StepUp)
    secret = written_secret(secrets.randbits(PASS_BITS), PASS_BITS)
    issued = IssuedPass(id="x", person=Person(subject_id="u"), secret=secret, expires_at=house.clock())
    assert secret not in repr(issued)
    assert secret not in repr(NewCodes(codes=(secret,)))
