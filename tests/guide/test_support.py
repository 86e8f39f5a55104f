"""Support desks and recovery: what the two pages say of lives, tries, holds and commands is what the code does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware import NotPermitted, Subject
from stepup_middleware.cli import main
from stepup_middleware.core.recovery import (
    CODE_BITS,
    CODES,
    LONGEST_PASS,
    PASS_BITS,
    PASS_LIFETIME,
    PASS_TRIES,
    RESET_REQUEST_LIFETIME,
    RIGHT_LIFETIME,
    FirstFactor,
    written_secret,
)
from stepup_middleware.service.recovery import CODE_LIMIT
from stepup_middleware.service.recovery_rules import LONGEST_HOLD, RecoveryRules
from tests.support import house_in

from .harness import Ran
from .person import Person

FACTORS = (FOLDER / "factors.md").read_text(encoding="utf-8")


def test_the_numbers_of_the_pages_are_those_of_the_code() -> None:
    rules = RecoveryRules()
    assert (PASS_BITS, CODE_BITS, CODES, PASS_TRIES) == (130, 70, 10, 5)
    for said in ("130 random bits in seven groups of four", "Five wrong ones close it", "70 random bits", "ten codes"):
        assert said in FACTORS
    assert written_secret(0, PASS_BITS).count("-") == 6
    assert (timedelta(hours=1), timedelta(days=7)) == (PASS_LIFETIME, LONGEST_PASS)
    assert (timedelta(minutes=10), timedelta(days=1)) == (RIGHT_LIFETIME, RESET_REQUEST_LIFETIME)
    assert (rules.recovery_hold, LONGEST_HOLD) == (timedelta(hours=24), timedelta(days=30))
    assert (rules.first_factor, rules.recovery_codes, rules.reset_needs_two) == ("recent_sign_in", False, False)
    assert CODE_LIMIT.failures == 5
    assert CODE_LIMIT.disable_at is None
    for value in FirstFactor:
        assert f"`{value.value}`" in FACTORS


async def test_the_page_runs_and_its_command_names_the_operator(ran: Ran) -> None:
    assert "the log names" in "".join(ran.outputs)
    async with ran.main.stepup:
        with pytest.raises(NotPermitted, match="no pass is needed"):
            await ran.names["invite"]("main", "u-17")


async def test_a_page_of_ones_own_resets_by_the_step_up_of_its_admin(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "owner@axis.example"
    boss = Subject(id=name, session_id="a-session-of-the-desk", workspace_id="main", name=name, is_admin=True)

    async def identify(scope: object) -> Subject:
        return boss

    monkeypatch.setitem(ran.names, "identify", identify)
    person, lost = Person(ran.names["app"]), Person(ran.names["app"], "lost@axis.example")
    await person.enrol_passkey()
    await lost.enrol_totp()
    wanted = {"person": "lost@axis.example", "reason": "seen in person"}
    asked = await person.ask("POST", "/desk/reset", json=wanted)
    assert [value for _, value in asked.json()["details"]] == ["lost@axis.example", "seen in person"]
    assert len((await lost.http.get("/stepup/factors")).json()["factors"]) == 1
    assert (await person.act("POST", "/desk/reset", json=wanted)).status_code == 200
    assert (await lost.http.get("/stepup/factors")).json()["factors"] == []
    itself = await person.http.post("/desk/reset", json={**wanted, "person": name})
    assert (itself.status_code, "themselves" in itself.json()["why"]) == (403, True)


async def test_a_program_invites_where_the_app_takes_passes(tmp_path: Path) -> None:
    async with house_in(tmp_path, first_factor="enrolment_pass") as house:
        issued = await house.stepup.factors.issue_pass(
            "axis", "u-17", by="hr-sync", reason="hired", lifetime=timedelta(days=2)
        )
        assert issued.expires_at == house.clock() + timedelta(days=2)
        admin = house.sign_in("boss", is_admin=True)
        with pytest.raises(NotPermitted):
            await house.stepup.factors.issue_pass("axis", "u-17", by=admin, reason="hired")
        with pytest.raises(ValueError, match="seven days"):
            await house.stepup.factors.issue_pass("axis", "u", by="x", reason="y", lifetime=timedelta(days=8))


APP = """
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware
from stepup_middleware.stores.sqlite import SQLiteStore

async def identify(scope):
    return None

async def hello(scope, receive, send):
    pass

stepup = StepUp(
    secret_key="0123456789abcdef0123456789abcdef", store=SQLiteStore("desk.db"), identify=identify,
    relying_party=RelyingParty(id="example.com", name="Desk", origins=["https://example.com"]),
    first_factor="enrolment_pass",
)
app = StepUpMiddleware(hello, stepup=stepup)
"""


def test_the_commands_of_the_page_print_a_pass_once_and_refuse_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "support_desk_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    whose = ["support_desk_app:app", "--workspace", "main", "--person", "u-17"]
    assert main(["factors", "reset", *whose, "--reason", "last admin, phone stolen", "--with-pass"]) == 0
    said = capsys.readouterr().out
    assert "@" in said.splitlines()[0]
    assert "u-17 in workspace main had no factor: see that both ids are those of the app" in said
    assert said.splitlines()[-1].count("-") == 6
    assert main(["factors", "pass", *whose, "--reason", "first admin"]) == 0
    assert capsys.readouterr().out != said
    assert main(["factors", "pass", *whose, "--reason", " "]) == 2
    assert "Say whose, and why" in capsys.readouterr().err
    assert main(["factors", "pass", *whose, "--reason", "x", "--minutes", "20000"]) == 2
    assert "seven days" in capsys.readouterr().err
