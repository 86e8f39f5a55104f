"""Who takes an account over, path by path of the sources, and how each ends.

A row is a path, an attempt along it, and its outcome:

- refused: the factors of the person are what they were, nobody else has one, no action has run;
- held: the attempt brings a factor, the person is told, the log has it, and strong actions stay closed for a day;
- told: the attempt brings a factor as anybody's own first one, and the person is told.

Sources: OWASP's cheat sheets *Forgot Password* and *Multifactor Authentication*, NIST SP 800-63B-4 §4.2 (recovery) with
§4.1.2 (binding) and §4.6 (notices), and what is known of how Okta, Entra and GitHub let people back in.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from stepup_middleware import EventName, NoticeKind
from stepup_middleware.core.recovery import CODE_BITS, PASS_BITS, written_secret
from stepup_middleware.testing import totp_code
from tests.machine import until
from tests.support import ELSEWHERE, POLICY, ROTATE, TRANSMIT, Browser, House, code_of, house_in

from .test_notices import Mailbox
from .test_recovery import CODE, CODES, ISSUE, OPTIONS, PASS, RESET, TOTP, WHY, codes_of, issued_by, with_factor


class Outcome(StrEnum):
    """How an attempt ends; the module says what each means."""

    REFUSED = "refused"
    HELD = "held"
    TOLD = "told"


@dataclass
class Scene:
    """A workspace with an admin (desk), a person with a passkey and recovery codes (ada), and one without (new).

    ``mailbox`` has what they were told. ``thief`` has a stolen session of ada at another address.
    """

    house: House
    desk: Browser
    ada: Browser
    new: Browser
    codes: list[str]
    mailbox: Mailbox
    victim: str = "ada"  # whose factors it is about; "" where they go as was asked
    runs: int = 0  # of tagged endpoints, by their owners

    @property
    def thief(self) -> Browser:
        """Whoever stole a session of ada's: none of her keys, and another address."""
        assert self.ada.subject is not None
        return Browser(self.house, self.ada.subject, ip=ELSEWHERE)

    async def ids(self, name: str) -> list[str]:
        """Return the ids of somebody's factors."""
        return [factor.id for factor in await self.house.store.records.list_factors("axis", name)]


Attempt = Callable[[Scene], Awaitable[Browser | None]]


@dataclass(frozen=True)
class Row:
    """One row: where it is written, what it is, how it ends, and what the log and the person are told of it."""

    source: str
    title: str
    outcome: Outcome
    attempt: Attempt
    reasons: tuple[str, ...]
    notices: tuple[NoticeKind, ...]
    first_factor: str


ROWS: list[Row] = []
FORGOT, MFA, NIST = "OWASP Forgot Password", "OWASP MFA", "NIST SP 800-63B-4"
OKTA, ENTRA, GITHUB = "Okta", "Entra", "GitHub"


def path(
    source: str,
    title: str,
    outcome: Outcome,
    *,
    reasons: tuple[str, ...] = (),
    notices: tuple[NoticeKind, ...] = (),
    first_factor: str = "enrolment_pass",
) -> Callable[[Attempt], Attempt]:
    """Put an attempt into the list."""

    def put(attempt: Attempt) -> Attempt:
        ROWS.append(Row(source, title, outcome, attempt, reasons, notices, first_factor))
        return attempt

    return put


# OWASP, Forgot Password


@path(FORGOT, "answers tell whether somebody has an account, or a pass that waits", Outcome.REFUSED,
      reasons=("pass_unknown", "pass_wrong"), notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def consistent_answers(scene: Scene) -> None:
    await issued_by(scene.desk, "new")
    guess = written_secret(secrets.randbits(PASS_BITS), PASS_BITS)
    nobody = Browser(scene.house, scene.house.sign_in("nobody"))
    answers = [await each.post(PASS, json={"pass": guess}) for each in (scene.new, nobody, scene.ada)]
    assert len({(answer.status_code, answer.json()["detail"]) for answer in answers}) == 1


@path(FORGOT, "the secret is guessed", Outcome.REFUSED,
      reasons=("pass_wrong", "pass_closed"), notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def guessed(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    for _ in range(5):
        await scene.new.post(PASS, json={"pass": written_secret(secrets.randbits(PASS_BITS), PASS_BITS)})
    assert (await scene.new.post(PASS, json={"pass": secret})).status_code == 400


@path(FORGOT, "the secret is used again", Outcome.REFUSED,
      reasons=("pass_used",), notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def used_again(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    assert (await scene.new.post(PASS, json={"pass": secret})).status_code == 200
    thief = scene.new.signed_in_again()
    assert (await thief.post(PASS, json={"pass": secret})).status_code == 400
    assert code_of(await thief.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"


@path(FORGOT, "the secret is used too late", Outcome.REFUSED,
      reasons=("pass_expired",), notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def too_late(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    scene.house.clock.advance(timedelta(hours=1))
    assert (await scene.new.post(PASS, json={"pass": secret})).status_code == 400


@path(FORGOT, "the secret of one person opens the account of another", Outcome.REFUSED,
      reasons=("pass_unknown",), notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def of_another(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    nobody = Browser(scene.house, scene.house.sign_in("nobody"))
    far = Browser(scene.house, scene.house.sign_in("new", workspace="other"))
    for each in (nobody, scene.thief, far):
        assert (await each.post(PASS, json={"pass": secret})).status_code == 400


@path(FORGOT, "the secret is read out of the database", Outcome.REFUSED,
      reasons=("pass_wrong",), notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def read_out(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    stored = b"".join(each.read_bytes() for each in scene.house.path.parent.glob("stepup.db*"))
    for kept in (secret, secret.replace("-", ""), *scene.codes):
        assert kept.encode() not in stored
    await scene.new.post(PASS, json={"pass": written_secret(secrets.randbits(PASS_BITS), PASS_BITS)})


@path(FORGOT, "the account is changed before the secret is shown", Outcome.REFUSED)
async def changed_before(scene: Scene) -> None:
    refused = await scene.desk.post(ISSUE, json={"person": "ada", "reason": WHY})
    assert "has a factor" in refused.json()["detail"]


@path(FORGOT, "somebody is locked out by attempts in their name", Outcome.REFUSED,
      reasons=("recovery_code_unknown", "rate_limited"))  # fmt: skip
async def locked_out(scene: Scene) -> None:
    for _ in range(8):
        last = await scene.thief.post(CODE, json={"code": written_secret(secrets.randbits(CODE_BITS), CODE_BITS)})
    assert (last.status_code, int(last.headers["retry-after"]) <= 3600) == (429, True)
    assert (await scene.ada.step_up("POST", ROTATE, "passkey")).status_code == 200
    scene.runs = 1


@path(FORGOT, "a session from before goes on with what it had open", Outcome.REFUSED,
      notices=(NoticeKind.FACTORS_RESET,))  # fmt: skip
async def old_session(scene: Scene) -> None:
    prompt, token = await scene.ada.prompt("POST", TRANSMIT), await scene.ada.token("POST", ROTATE, "passkey")
    await reset(scene, "ada")
    assert (await scene.ada.options(prompt)).status_code == 404
    assert (await scene.ada.send("POST", ROTATE, token=token)).status_code in (401, 403)
    scene.victim = ""


@path(FORGOT, "a Host header turns the link of the message to another site", Outcome.REFUSED)
async def forged_host(scene: Scene) -> None:
    body = {"person": "new", "reason": WHY}
    answer = await scene.desk.send("POST", ISSUE, headers={"host": "evil.example"}, json=body)
    assert (answer.status_code, "evil.example" in answer.text) == (401, False)
    token = await scene.desk.prove(answer.json(), "passkey")
    again = await scene.desk.send("POST", ISSUE, token=token, json=body)  # the authority is bound
    assert code_of(again) == "STEPUP_REQUIRED"


@path(FORGOT, "the secret leaks by an address", Outcome.REFUSED, notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))
async def in_the_address(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    page = await scene.new.navigate("GET", f"/stepup/factors?pass={secret}")
    assert (page.status_code, secret in page.text) == (200, False)
    assert page.headers["referrer-policy"] == "same-origin"
    await scene.new.post(f"{PASS}?pass={secret}", json={})
    assert code_of(await scene.new.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"


@path(FORGOT, "the secret signs somebody in", Outcome.REFUSED, notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))
async def signs_in(scene: Scene) -> None:
    secret = await issued_by(scene.desk, "new")
    nobody = Browser(scene.house, None)
    for url, body in ((PASS, {"pass": secret}), (CODE, {"code": scene.codes[0]}), (TOTP, {})):
        assert code_of(await nobody.post(url, json=body)) == "STEPUP_NOT_SIGNED_IN"


# OWASP, Multifactor Authentication


@path(MFA, "a stolen session of somebody without a factor adds the first one soon after the sign-in", Outcome.TOLD,
      notices=(NoticeKind.FACTOR_ADDED,), first_factor="either")  # fmt: skip
async def first_of_all(scene: Scene) -> Browser:
    scene.victim = "new"
    late = Browser(scene.house, scene.house.sign_in("new", ago=600.1), ip=ELSEWHERE)
    for url, body in ((OPTIONS, {"kind": "passkey"}), (TOTP, {})):
        assert code_of(await late.post(url, json=body)) == "STEPUP_PASS_REQUIRED"
    thief = Browser(scene.house, scene.house.sign_in("new", ago=599), ip=ELSEWHERE)
    await thief.enrol("passkey")
    return thief


@path(MFA, "a stolen session of somebody without a factor adds the first one where it takes a pass", Outcome.REFUSED)
async def first_by_pass(scene: Scene) -> None:
    thief = Browser(scene.house, scene.house.sign_in("new"), ip=ELSEWHERE)
    for url, body in ((OPTIONS, {"kind": "passkey"}), (OPTIONS, {"kind": "hardware_key"}), (TOTP, {})):
        assert code_of(await thief.post(url, json=body)) == "STEPUP_PASS_REQUIRED"


@path(MFA, "a stolen session adds a factor", Outcome.REFUSED)
async def adds(scene: Scene) -> None:
    for url, body in ((OPTIONS, {"kind": "passkey"}), (OPTIONS, {"kind": "hardware_key"}), (TOTP, {})):
        assert code_of(await scene.thief.post(url, json=body)) == "STEPUP_REQUIRED"


@path(MFA, "a stolen session removes a factor, or one of another", Outcome.REFUSED)
async def removes(scene: Scene) -> None:
    second = await scene.ada.enrol("totp", by="passkey")
    assert code_of(await scene.thief.send("DELETE", f"/stepup/factors/{second.id}")) == "STEPUP_REQUIRED"
    for method in ("DELETE", "PATCH"):
        other = await scene.desk.send(method, f"/stepup/factors/{second.id}", json={"name": "mine"})
        assert (other.status_code, code_of(other)) == (404, "STEPUP_FACTOR_NOT_FOUND")
    scene.victim = "desk"


@path(MFA, "a code from an app adds a passkey", Outcome.REFUSED)
async def weaker_adds(scene: Scene) -> None:
    await scene.ada.enrol("totp", by="passkey")
    prompt = await scene.ada.prompt("POST", OPTIONS, json={"kind": "passkey"})
    assert code_of(await scene.ada.answer(prompt, scene.ada.factors["totp"])) == "STEPUP_FACTOR_INSUFFICIENT"
    scene.victim = "desk"


@path(MFA, "a recovery code is used twice", Outcome.HELD, reasons=("recovery_code_used",),
      notices=(NoticeKind.RECOVERY_CODE_USED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def code_twice(scene: Scene) -> Browser:
    back = scene.ada.signed_in_again()
    assert (await back.post(CODE, json={"code": scene.codes[0]})).status_code == 200
    assert (await scene.thief.post(CODE, json={"code": scene.codes[0]})).status_code == 400
    await back.enrol("hardware_key")
    return back


@path(MFA, "a recovery code authorizes an action, or signs in", Outcome.REFUSED, reasons=("wrong_code",))
async def code_acts(scene: Scene) -> None:
    await scene.ada.enrol("totp", by="passkey")
    prompt = await scene.ada.prompt("POST", ROTATE)
    code = scene.codes[0]
    assert (await scene.ada.post(f"{prompt['prompt']['url']}/totp", json={"code": code})).status_code == 400
    assert code_of(await scene.ada.send("POST", ROTATE, token=code)) == "STEPUP_REQUIRED"
    six = totp_code(scene.ada.factors["totp"].secret, scene.house.clock() + timedelta(days=9))
    assert (await scene.ada.post(f"{prompt['prompt']['url']}/totp", json={"code": six})).status_code == 400
    scene.victim = "desk"


@path(MFA, "the support desk is talked over", Outcome.HELD,
      notices=(NoticeKind.FACTORS_RESET, NoticeKind.ENROLMENT_PASS_ISSUED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def talked_over(scene: Scene) -> Browser:
    thief = scene.thief
    await thief.post(PASS, json={"pass": await reset(scene, "ada", with_pass=True)})
    await thief.enrol("passkey")
    return thief


@path(MFA, "a stolen session of an admin resets somebody, or issues a pass", Outcome.REFUSED)
async def stolen_admin(scene: Scene) -> None:
    thief = Browser(scene.house, scene.desk.subject, ip=ELSEWHERE)
    for url, person in ((RESET, "ada"), (ISSUE, "new")):
        assert code_of(await thief.post(url, json={"person": person, "reason": WHY})) == "STEPUP_REQUIRED"


@path(MFA, "a stolen session of an admin asks for less in the policy", Outcome.REFUSED)
async def stolen_policy(scene: Scene) -> None:
    rotation = "webhook_secret_rotation"
    assert (await scene.desk.send("PUT", POLICY, json={rotation: "phishing_resistant"})).status_code == 200
    thief = Browser(scene.house, scene.desk.subject, ip=ELSEWHERE)
    assert code_of(await thief.send("PUT", POLICY, json={rotation: "any"})) == "STEPUP_REQUIRED"
    told = (await scene.desk.send("GET", "/stepup/purposes")).json()["purposes"]
    assert {each["requirement"] for each in told if each["id"] == rotation} == {"phishing_resistant"}


# NIST SP 800-63B-4


@path(NIST, "§4.2.1.1 a saved code of an earlier set is used", Outcome.REFUSED, reasons=("recovery_code_unknown",))
async def earlier_set(scene: Scene) -> None:
    await codes_of(scene.ada)
    assert (await scene.ada.post(CODE, json={"code": scene.codes[0]})).status_code == 400


@path(NIST, "§4.2.1.2 an issued code lives too long", Outcome.REFUSED)
async def lives_too_long(scene: Scene) -> None:
    with pytest.raises(ValueError, match="seven days"):
        await scene.house.stepup.factors.issue_pass("axis", "new", by="x", reason=WHY, lifetime=timedelta(days=8))


@path(NIST, "§4.2.2 recovery brings back all that a strong factor opens", Outcome.HELD,
      notices=(NoticeKind.RECOVERY_CODE_USED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def recovered(scene: Scene) -> Browser:
    back = scene.ada.signed_in_again()
    await back.post(CODE, json={"code": scene.codes[1]})
    await back.enrol("passkey")
    return back


@path(NIST, "§4.1.2 a session binds an authenticator by a right that another session opened", Outcome.REFUSED,
      notices=(NoticeKind.ENROLMENT_PASS_ISSUED,))  # fmt: skip
async def right_of_another(scene: Scene) -> None:
    await scene.new.post(PASS, json={"pass": await issued_by(scene.desk, "new")})
    for thief in (scene.new.at(ELSEWHERE), scene.new.signed_in_again()):
        assert code_of(await thief.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"


@path(NIST, "§4.2.3 the holder is not told, or in a language of the thief's", Outcome.HELD,
      notices=(NoticeKind.RECOVERY_CODE_USED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def untold(scene: Scene) -> Browser:
    thief = scene.thief
    thief.client.headers["accept-language"] = "ja"
    await thief.post(CODE, json={"code": scene.codes[2]})
    await thief.enrol("passkey")
    await until(lambda: NoticeKind.RECOVERY_CODE_USED in [each.kind for each in scene.mailbox.notices])
    (used,) = [each for each in scene.mailbox.notices if each.kind is NoticeKind.RECOVERY_CODE_USED]
    assert (used.locale, ELSEWHERE in used.text, "tell your security team" in used.text) == ("en", True, True)
    return thief


# Okta, Entra, GitHub


@path(OKTA, "one admin takes over another", Outcome.REFUSED, notices=(NoticeKind.FACTORS_RESET,))
async def admin_of_admin(scene: Scene) -> None:
    boss = await with_factor(scene.house, "boss", is_admin=True)
    await reset(scene, "boss")
    again = Browser(scene.house, boss.subject)
    issued = await scene.house.stepup.factors.issue_pass("axis", "boss", by="test", reason=WHY)
    await again.post(PASS, json={"pass": issued.secret})
    await again.enrol("passkey")
    held = await again.post(RESET, json={"person": "ada", "reason": WHY})
    assert (code_of(held), "until" in held.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)


@path(OKTA, "a session that was stolen just now adds a factor after a reset", Outcome.HELD,
      notices=(NoticeKind.FACTORS_RESET, NoticeKind.FACTOR_ADDED), first_factor="either")  # fmt: skip
async def after_a_reset(scene: Scene) -> Browser:
    thief = scene.thief
    await reset(scene, "ada")
    await thief.enrol("passkey")
    return thief


@path(OKTA, "an admin resets their own factors", Outcome.REFUSED, reasons=("oneself",))
async def oneself(scene: Scene) -> None:
    assert "themselves" in (await scene.desk.post(RESET, json={"person": "desk", "reason": WHY})).json()["detail"]


@path(ENTRA, "an admin issues a pass for themselves, or for somebody who has factors", Outcome.REFUSED,
      reasons=("oneself",))  # fmt: skip
async def own_pass(scene: Scene) -> None:
    for person, says in (("desk", "themselves"), ("ada", "has a factor")):
        assert says in (await scene.desk.post(ISSUE, json={"person": person, "reason": WHY})).json()["detail"]


@path(ENTRA, "a pass is issued on the host for the last admin", Outcome.HELD,
      notices=(NoticeKind.FACTORS_RESET, NoticeKind.ENROLMENT_PASS_ISSUED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def on_the_host(scene: Scene) -> Browser:
    scene.victim = "desk"
    done = await scene.house.stepup.factors.reset("axis", "desk", by="ops@web-1", reason=WHY, with_pass=True)
    assert done.issued is not None
    await scene.desk.post(PASS, json={"pass": done.issued.secret})
    await scene.desk.enrol("passkey")
    assert {event.data["operator"] for event in await scene.house.events(EventName.FACTORS_RESET)} == {"ops@web-1"}
    return scene.desk


@path(GITHUB, "a stolen session makes itself new recovery codes", Outcome.REFUSED)
async def new_codes(scene: Scene) -> None:
    assert code_of(await scene.thief.post(CODES, json={})) == "STEPUP_REQUIRED"
    assert len(await scene.house.events(EventName.RECOVERY_CODES_ISSUED)) == 1


@path(GITHUB, "a list of codes is found with a session", Outcome.HELD,
      notices=(NoticeKind.RECOVERY_CODE_USED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def found_list(scene: Scene) -> Browser:
    thief = scene.thief
    await thief.post(CODE, json={"code": scene.codes[5]})
    await thief.enrol("passkey")
    assert code_of(await thief.post(TOTP, json={})) == "STEPUP_REQUIRED"  # one factor, not two
    return thief


@path(GITHUB, "whoever came in by a code of the list takes away what its owner has", Outcome.HELD,
      reasons=("on_hold",), notices=(NoticeKind.RECOVERY_CODE_USED, NoticeKind.FACTOR_ADDED))  # fmt: skip
async def locks_out(scene: Scene) -> Browser:
    thief, (own,) = scene.thief, await scene.ids("ada")
    await thief.post(CODE, json={"code": scene.codes[6]})
    scene.house.clock.advance(1)
    await thief.enrol("passkey")
    for method, url in (("DELETE", f"/stepup/factors/{own}"), ("POST", CODES)):
        answer = await thief.step_up(method, url, "passkey", json={})
        assert (code_of(answer), "until" in answer.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)
    assert own in await scene.ids("ada")
    return thief


async def reset(scene: Scene, person: str, *, with_pass: bool = False) -> str:
    """Let the desk reset somebody, by its own proof; return the pass."""
    body = {"person": person, "reason": WHY, "pass": with_pass}
    done = await scene.desk.step_up("POST", RESET, "passkey", json=body)
    assert done.status_code == 200, done.text
    return str((done.json()["pass"] or {}).get("secret"))


@asynccontextmanager
async def scene_in(folder: Path, first_factor: str) -> AsyncIterator[Scene]:
    """Set the scene, and forget what people were told meanwhile."""
    mailbox = Mailbox()
    async with house_in(folder, first_factor=first_factor, recovery_codes=True, notify=[mailbox]) as house:
        desk, ada = await with_factor(house, "desk", is_admin=True), await with_factor(house, "ada")
        codes = await codes_of(ada)
        await mailbox.has(5)
        mailbox.notices.clear()
        new = Browser(house, house.sign_in("new"))
        yield Scene(house=house, desk=desk, ada=ada, new=new, codes=codes, mailbox=mailbox)


# E01, E02, E11, E13, E15, E16, E17, E20, E21
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source}: {row.title}")
async def test_each_path_of_taking_an_account_over_ends_as_its_row_says(tmp_path: Path, row: Row) -> None:
    async with scene_in(tmp_path, row.first_factor) as scene:
        before = {name: await scene.ids(name) for name in ("ada", "desk", "new", "nobody", "")}
        taker = await row.attempt(scene)
        reasons = {event.reason for event in await scene.house.events(EventName.FAILED, EventName.BLOCKED)}
        assert {*row.reasons} <= reasons
        if row.outcome is Outcome.REFUSED:
            assert taker is None
            assert await scene.ids(scene.victim) == before[scene.victim]
            assert await scene.ids("new") == await scene.ids("nobody") == []
            assert scene.house.total == scene.runs
        else:
            assert taker is not None
            assert taker.subject is not None
            (new,) = {*await scene.ids(scene.victim)} - {*before[scene.victim]}
            (*_, enrolled) = await scene.house.events(EventName.FACTOR_ENROLLED)
            assert (enrolled.factor_id, enrolled.subject_id, enrolled.ip) == (new, taker.subject.id, taker.ip)
            act = await taker.step_up("POST", TRANSMIT, "passkey")
            if row.outcome is Outcome.HELD:
                assert (code_of(act), "until" in act.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)
        await until(lambda: {*row.notices} <= {(each.kind) for each in scene.mailbox.notices})
        assert row.outcome is Outcome.REFUSED or {
            each.subject_id for each in scene.mailbox.notices if each.kind in row.notices
        } == {scene.victim}
        await scene.house.assert_log_holds()


def test_the_list_has_every_source_and_outcome_and_no_path_twice() -> None:
    assert {row.source for row in ROWS} == {FORGOT, MFA, NIST, OKTA, ENTRA, GITHUB}
    assert len({row.title for row in ROWS}) == len(ROWS) >= 30
    assert {row.outcome for row in ROWS} == {*Outcome}
    assert all(row.notices for row in ROWS if row.outcome is not Outcome.REFUSED)
