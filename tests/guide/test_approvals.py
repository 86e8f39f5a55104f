"""Approved elsewhere: what the page shows is what a running app answers, and its figures are those of the code."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware import EndedSession, RequireStepUp, StepUpMiddleware
from stepup_middleware.core.approvals import (
    APPROVAL_LIFETIME,
    ASKED_PER_PERSON,
    ASKED_WITHIN,
    COLLECT_WITHIN,
    WAITING_PER_PERSON,
)
from stepup_middleware.core.subject import session_hash
from stepup_middleware.service.approving import ACTIONS_LOOKED_AT
from stepup_middleware.service.session_ending import END_SECONDS
from stepup_middleware.web.approval_routes import LONGEST_WAIT

from .harness import Ran
from .person import Person
from .test_api import message

TEXT = (FOLDER / "approvals.md").read_text(encoding="utf-8")


@pytest.mark.block("offer", "waiting")
async def test_a_program_is_offered_and_answered_what_the_page_shows(ran: Ran, blocks: dict[str, str]) -> None:
    async def rotate(scope: object, receive: object, send: object) -> None:
        raise AssertionError("it ran unasked")

    stepup = ran.names["stepup"]
    person = Person(StepUpMiddleware(RequireStepUp(rotate, "webhook_secret_rotation"), stepup=stepup))
    assert (await person.enrol_passkey()).status_code == 201
    for name in ("sec-fetch-site", "origin"):
        del person.http.headers[name]
    refused = (await person.http.post("/rotate", headers={"authorization": "Bearer x"})).json()
    shown = json.loads(blocks["offer"])["approval"]
    approval = refused["approval"]
    assert approval.keys() == shown.keys()
    code = approval["code"]
    assert [approval["url"], len(code)] == [shown["url"].replace(shown["code"], code), len(shown["code"])]
    assert re.fullmatch(r"\d\d", approval["match"])
    first, headers, body = message(blocks["waiting"])
    assert first == "POST /stepup/prompts/019ab3c2d6f1.../token"
    headers["prefer"] = "wait=1"
    answer = await person.http.post(f"{refused['prompt']['url']}/token", headers=headers, json=body)
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
    assert (
        (await person.http.post("/rotate", headers={"sec-fetch-site": "none"})).json().keys().isdisjoint({"approval"})
    )


async def test_the_callable_of_the_page_ends_the_session_that_it_is_told_and_no_other(ran: Ran) -> None:
    for_whom = {"workspace_id": "w", "subject_id": "ada", "actor": "", "client": "", "ip": "192.0.2.1"}
    await ran.names["end_session"](EndedSession(session=session_hash("s-2"), **for_whom))
    assert ran.names["sessions"] == {"s-1": "ada"}


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    assert (
        timedelta(minutes=10),
        timedelta(minutes=5),
        timedelta(hours=1),
    ) == (APPROVAL_LIFETIME, COLLECT_WITHIN, ASKED_WITHIN)
    assert (WAITING_PER_PERSON, ASKED_PER_PERSON, LONGEST_WAIT) == (8, 20, 30)
    assert END_SECONDS == 10
    assert f"one of their last {ACTIONS_LOOKED_AT} actions" in TEXT
    for words in (
        "callable has ten seconds",
        "ten minutes to decide",
        "five more to take",
        "eight for a person",
        "twenty times an hour",
    ):
        assert words in TEXT
