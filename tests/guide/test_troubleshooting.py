"""Troubleshooting: every code and every reason has its entry, and what is quoted is what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stepup_middleware
from demo_app.guide_pages import FOLDER
from stepup_middleware.core.decisions import Flag
from stepup_middleware.core.keys import MIN_KEY_BYTES
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.errors import FailureReason
from stepup_middleware.request.bound import LONGEST_PATH

from .harness import Ran
from .person import Person

TEXT = (FOLDER / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in Path(stepup_middleware.__path__[0]).rglob("*.py")
    if "testing" not in path.parts  # what adopters' tests log is logged by no program
}
# what is logged beside the two enumerations: by the name of the event's field in the sources
OTHERS = set(re.findall(r'reason(?:=| = |: str = )"(\w+)"', "".join(SOURCES.values()))) | {
    "ambiguous_token",
    "malformed_token",
    "not_an_admin",
    "policy_write_refused",
    "no_factor",
}


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """Return what the rows of the tables under a heading begin with."""
    return [
        cell
        for line in re.findall(r"^\| (.*?) \|", section(title), re.MULTILINE)
        for cell in re.findall(r"`([^`]+)`", line)
    ]


def test_every_code_has_a_section() -> None:
    assert sorted(re.findall(r"^### (STEPUP_\w+)$", TEXT, re.MULTILINE)) == sorted(code.value for code in RefusalCode)


@pytest.mark.parametrize(
    "code", [code.value for code in RefusalCode if f"### {code.value}" in section("Codes that people meet")]
)
def test_a_code_that_people_meet_tells_each_what_to_do(code: str) -> None:
    entry = TEXT.partition(f"### {code}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    assert "\n- Person: " in entry
    assert "\n- Developer" in entry
    assert "admin" in entry.lower()


def test_every_reason_is_explained_once() -> None:
    proof = [cell for cell in first_cells("Reasons of a failed proof") if cell != "reason"]
    request = [cell for cell in first_cells("Reasons of a refused request") if cell != "reason"]
    assert len(set(proof)) == len(proof)
    assert len(set(request)) == len(request)
    assert set(proof) == {reason.value for reason in FailureReason} | {"cancelled"}
    assert {flag.value for flag in Flag} <= set(request)
    assert set(proof) | set(request) >= OTHERS
    everything = "".join(SOURCES.values())
    for reason in (*proof, *request):
        assert f'"{reason}"' in everything, reason


def test_what_is_quoted_is_what_the_program_says() -> None:
    everything = re.sub(r'"\s*f?"', "", "".join(SOURCES.values())).replace("{MIN_KEY_BYTES}", str(MIN_KEY_BYTES))
    for title, heads in (("Codes that people meet", "In the program's log"), ("It does not start", "It says")):
        assert heads in section(title)
        for quoted in first_cells(title):
            for part in quoted.split(" … "):
                assert part in everything, part


def test_the_figures_are_those_of_the_code() -> None:
    assert OPEN_PROMPTS_PER_SESSION == 64
    assert LONGEST_PATH == 8192


async def test_the_function_of_the_page_finds_what_went_wrong(ran: Ran) -> None:
    person = Person(ran.main.app)
    await person.enrol_passkey()
    asked = await person.ask("POST", "/webhooks/orders/rotate")
    await person.http.post(f"{asked.headers['stepup-prompt']}/totp", json={"code": "000000"})
    found = await ran.names["failures_of"]("main", "owner@axis.example")
    assert [(purpose, reason) for _, _, purpose, reason in found] == [("webhook_secret_rotation", "factor_not_allowed")]
