"""The policy in force: at once on every node, never open when it cannot be read, and nobody's to change unasked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware import EventName, NotPermitted, PolicyError
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.core.recovery import Person
from stepup_middleware.web.routes import library_router
from tests.support import POLICY, ROTATE, TRANSMIT, Browser, House, code_of, house_in

STRICT = "phishing_resistant"


@contextmanager
def without_table(path: Path, table: str) -> Iterator[None]:
    """Take a table away from the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"ALTER TABLE {table} RENAME TO hidden")
        yield
        other.execute(f"ALTER TABLE hidden RENAME TO {table}")


# F06
async def test_prompts_stored_up_before_a_policy_is_tightened_are_few_and_short_lived(
    tim: Browser, house: House
) -> None:
    answers = [await tim.post(ROTATE) for _ in range(OPEN_PROMPTS_PER_SESSION + 8)]
    prompts = [answer.json() for answer in answers if answer.status_code == 401]
    assert len(prompts) == OPEN_PROMPTS_PER_SESSION
    admin = house.sign_in("root", is_admin=True)
    await house.stepup.policy.set(admin, "webhook_secret_rotation", STRICT)
    assert (await tim.answer(prompts[0], tim.factors["totp"])).status_code == 200
    house.clock.advance(timedelta(minutes=5))
    for prompt in prompts[1:]:
        assert code_of(await tim.answer(prompt, tim.factors["totp"])) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await tim.post(ROTATE)) == "STEPUP_FACTOR_INSUFFICIENT"


# F07
async def test_a_policy_saved_on_one_node_holds_on_the_next_prompt_of_another(tmp_path: Path) -> None:
    async with house_in(tmp_path) as one, house_in(tmp_path) as other:
        other.sessions = one.sessions
        tim = Browser(one, one.sign_in("tim"))
        await tim.enrol("totp")
        other.clock.set(one.clock())
        there = Browser(other, tim.subject, factors=tim.factors)
        root = Browser(one, one.sign_in("root", is_admin=True))
        await root.enrol("passkey")
        for requirement, code in ((STRICT, "STEPUP_FACTOR_INSUFFICIENT"), ("any", "STEPUP_REQUIRED")) * 3:
            await root.step_up("PUT", POLICY, "passkey", json={"webhook_secret_rotation": requirement})
            assert code_of(await there.post(ROTATE)) == code


# F08
@pytest.mark.parametrize("table", ["policies", "factors"])
async def test_while_policy_or_factors_cannot_be_read_nothing_is_asked_and_nothing_runs(
    ada: Browser, house: House, table: str
) -> None:
    with without_table(house.path, table):
        for method, url in (("POST", TRANSMIT), ("POST", ROTATE), ("GET", "/stepup/purposes")):
            answer = await ada.send(method, url)
            assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
            assert "prompt" not in answer.json()
    assert house.total == 0
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200


# F14
async def test_no_route_of_the_library_changes_a_policy_and_those_that_change_factors_ask_first(
    ada: Browser, house: House
) -> None:
    changing = {
        (method, route.path)  # type: ignore[attr-defined] # each is a Route
        for route in library_router("").routes
        for method in getattr(route, "methods", None) or ()
        if method not in ("GET", "HEAD")
    }
    about_a_prompt = ("/prompts/{prompt_id}", "/approve/{code}", "/batches")
    ceremonies = {(method, path) for method, path in changing if path.startswith(about_a_prompt)}
    finishing = {("POST", "/factors/webauthn"), ("POST", "/factors/totp/{factor_id}/confirm")}
    renaming = {("PATCH", "/factors/{factor_id}")}
    asking = {
        ("POST", "/factors/webauthn/options"),
        ("POST", "/factors/totp"),
        ("DELETE", "/factors/{factor_id}"),
    }
    recovering = {("POST", "/factors/pass"), ("POST", "/factors/recovery"), ("POST", "/factors/recovery-codes")}
    for_admins = {("POST", f"/people/{act}") for act in ("pass", "reset", "reset/confirm", "reset/withdraw")}
    assert changing == ceremonies | finishing | renaming | asking | recovering | for_admins
    for method, path in for_admins:
        sent = {"person": "tim", "reason": "lost", "request": "none"}
        assert code_of(await ada.send(method, "/stepup" + path, json=sent)) == "STEPUP_NOT_PERMITTED"
    for method, path in asking:
        url = "/stepup" + path.replace("{factor_id}", ada.factors["totp"].id)
        assert code_of(await ada.send(method, url, json={"kind": "passkey"})) == "STEPUP_REQUIRED"
    assert ada.subject is not None
    with pytest.raises(PolicyError, match="Only an admin"):
        await house.stepup.policy.set(ada.subject, "webhook_secret_rotation", "any")


async def test_whom_a_stricter_policy_would_shut_out_is_told_to_admins_by_name_in_pages(
    tim: Browser, ada: Browser, house: House
) -> None:
    for name in ("tim", "ada", "new"):
        await house.store.records.note_person("axis", Person(subject_id=name, name=name.title()))
    admin = house.sign_in("root", is_admin=True)
    stricter = {"webhook_secret_rotation": STRICT, "scim_token_revocation": "any", "payroll_ach_transmit": STRICT}
    found = await house.stepup.policy.shut_out(admin, stricter)
    assert [purpose.id for purpose in found.purposes] == ["webhook_secret_rotation"]
    assert (found.count, [person.name for person in found.people], found.next) == (1, ["Tim"], None)
    assert (await house.stepup.policy.shut_out(admin, {"webhook_secret_rotation": "any"})).count == 0
    await house.store.records.note_person("axis", Person(subject_id="zoe", name="Zoe"))
    zoe = Browser(house, house.sign_in("zoe"), ip="192.0.2.10")
    await zoe.enrol("totp")
    first = await house.stepup.policy.shut_out(admin, stricter, limit=1)
    rest = await house.stepup.policy.shut_out(admin, stricter, after=first.next, limit=1)
    assert (first.count, [*first.people, *rest.people]) == (2, [*found.people, Person(subject_id="zoe", name="Zoe")])
    with pytest.raises(NotPermitted):
        await house.stepup.policy.shut_out(house.sign_in("ada"), stricter)
    (refused,) = await house.events(EventName.BLOCKED)
    assert refused.data["wanted"] == "policy_consequence"
    assert ada
