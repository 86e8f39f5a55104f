"""Recovery at the same moment: two admins, two sessions, two nodes, and a person who is in the middle of something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepup_middleware import EventName
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import VirtualAuthenticator
from tests.support import ORIGIN, PATIENT, TRANSMIT, Browser, House, code_of, house_in

from .test_recovery import CODE, ISSUE, OPTIONS, PASS, RESET, TOTP, WHY, codes_of, kinds_of, with_factor


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[House]]:
    """Two processes' worth of an app on one database, with passes and recovery codes."""
    settings = {"first_factor": "enrolment_pass", "recovery_codes": True}
    async with (
        house_in(tmp_path, **settings) as one,
        house_in(tmp_path, **settings, store=SQLiteStore(tmp_path / "stepup.db", timeout=PATIENT)) as other,
    ):
        other.sessions, other.clock = one.sessions, one.clock
        other.stepup._clock = other.stepup._parts.identification._clock = one.clock
        yield [one, other]


def on(house: House, browser: Browser) -> Browser:
    """The same person in the same session, on another node."""
    return Browser(house, browser.subject, factors=browser.factors)


async def two_admins(nodes: list[House]) -> list[Browser]:
    """Return two admins, each on a node of their own."""
    admins = [await with_factor(nodes[0], name, is_admin=True) for name in ("one", "two")]
    return [on(house, admin) for house, admin in zip(nodes, admins, strict=True)]


# E14, E16
async def test_of_the_passes_that_two_admins_issue_at_once_one_opens(nodes: list[House]) -> None:
    admins = await two_admins(nodes)
    body = {"person": "new", "reason": WHY}
    tokens = [await each.token("POST", ISSUE, "passkey", json=body) for each in admins]
    issued = await asyncio.gather(
        *(each.send("POST", ISSUE, token=token, json=body) for each, token in zip(admins, tokens, strict=True))
    )
    assert [answer.status_code for answer in issued] == [201, 201]
    person = Browser(nodes[0], nodes[0].sign_in("new"))
    answers = [await person.post(PASS, json={"pass": answer.json()["secret"]}) for answer in issued]
    assert sorted(answer.status_code for answer in answers) == [200, 400]


# E18
async def test_two_admins_who_reset_somebody_at_once_leave_nothing_and_each_is_named(nodes: list[House]) -> None:
    ada = await with_factor(nodes[0], "ada")
    admins = await two_admins(nodes)
    body = {"person": "ada", "reason": WHY}
    tokens = [await each.token("POST", RESET, "passkey", json=body) for each in admins]
    done = await asyncio.gather(
        *(each.send("POST", RESET, token=token, json=body) for each, token in zip(admins, tokens, strict=True))
    )
    assert [answer.status_code for answer in done] == [200, 200]
    assert await kinds_of(ada) == []
    resets = await nodes[0].events(EventName.FACTORS_RESET)
    assert sorted(event.subject_id for event in resets) == ["one", "two"]
    assert len(await nodes[0].events(EventName.FACTOR_REMOVED)) == 1


# E18
@pytest.mark.parametrize("began", ["step_up", "pass", "code"])
async def test_an_enrolment_that_was_begun_before_a_reset_is_not_finished_after_it(
    nodes: list[House], began: str
) -> None:
    one, other = nodes
    (desk, _) = await two_admins(nodes)
    if began == "pass":
        ada = Browser(one, one.sign_in("ada"))
        issued = await one.stepup.factors.issue_pass("axis", "ada", by="test", reason=WHY)
        await ada.post(PASS, json={"pass": issued.secret})
    else:
        ada = await with_factor(one, "ada")
        if began == "code":
            (code, *_) = await codes_of(ada)
            await ada.post(CODE, json={"code": code})
    begun = await ada.step_up("POST", OPTIONS, "passkey", json={"kind": "passkey"})
    assert begun.status_code == 200, begun.text
    credential = VirtualAuthenticator.passkey().create(begun.json(), origin=ORIGIN)
    token = await desk.token("POST", RESET, "passkey", json={"person": "ada", "reason": WHY})
    finish = {"name": "Late", "credential": credential}
    reset, late = await asyncio.gather(
        desk.send("POST", RESET, token=token, json={"person": "ada", "reason": WHY}),
        on(other, ada).post("/stepup/factors/webauthn", json=finish),
    )
    assert reset.status_code == 200
    assert late.status_code in (201, 400, 409)
    assert await kinds_of(ada) == []
    for url, content in ((TOTP, {}), (OPTIONS, {"kind": "passkey"})):
        assert code_of(await ada.post(url, json=content)) == "STEPUP_PASS_REQUIRED"


# E14, E17
async def test_a_code_that_is_used_while_its_owner_is_reset_opens_nothing_that_lasts(nodes: list[House]) -> None:
    ada = await with_factor(nodes[0], "ada")
    codes = await codes_of(ada)
    (desk, _) = await two_admins(nodes)
    token = await desk.token("POST", RESET, "passkey", json={"person": "ada", "reason": WHY})
    used, reset = await asyncio.gather(
        on(nodes[1], ada).post(CODE, json={"code": codes[0]}),
        desk.send("POST", RESET, token=token, json={"person": "ada", "reason": WHY}),
    )
    assert (used.status_code in (200, 400), reset.status_code) == (True, 200)
    assert code_of(await ada.post(TOTP, json={})) == "STEPUP_PASS_REQUIRED"
    assert (await ada.post(CODE, json={"code": codes[1]})).status_code == 400
    await ada_comes_back(nodes[0], ada)


async def ada_comes_back(house: House, ada: Browser) -> None:
    """Let her enrol by a pass, and find the hold in place."""
    issued = await house.stepup.factors.issue_pass("axis", "ada", by="test", reason=WHY)
    assert (await ada.post(PASS, json={"pass": issued.secret})).status_code == 200
    await ada.enrol("passkey")
    held = await ada.post(TRANSMIT)
    assert (code_of(held), "until" in held.json()) == ("STEPUP_FACTOR_INSUFFICIENT", True)
