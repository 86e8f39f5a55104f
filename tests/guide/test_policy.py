"""Policy: the table is the catalogue, and reading, setting and effect are as the page says."""

from __future__ import annotations

import json
import re
import secrets

import httpx2
import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware import PLATFORM_PURPOSES, EventName, RelyingParty, StepUp, Subject
from stepup_middleware.stores.sqlite import SQLiteStore

from .harness import Ran
from .person import ORIGIN, Person


def test_the_table_is_the_catalogue_in_its_order() -> None:
    text = (FOLDER / "policy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (any|phr) \| (\d+) s \|$", text, re.MULTILINE)
    assert rows == [
        (purpose.id, purpose.description, purpose.minimum.acr.replace("mfa", "any"), f"{purpose.ttl.seconds}")
        for purpose in PLATFORM_PURPOSES
    ]


def admin(name: str = "owner@axis.example", *, is_admin: bool = True) -> Subject:
    return Subject(id=name, session_id=secrets.token_urlsafe(), workspace_id="main", name=name, is_admin=is_admin)


async def put(
    ran: Ran, who: Subject | None, wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> httpx2.Response:
    async def identify(scope: object) -> Subject | None:
        return who

    monkeypatch.setitem(ran.names, "identify", identify)
    return await Person(ran.names["app"]).http.put("/policy", json=wanted)


async def test_an_admin_tightens_and_the_next_prompt_asks_for_more(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(ran.names["app"])
    await person.enrol_totp()
    rotate = "/webhooks/orders/rotate"
    asked = await person.ask("POST", rotate)
    assert asked.json()["requirement"] == "any"
    saved = await put(ran, admin(), {"webhook_secret_rotation": "phishing_resistant"}, monkeypatch)
    assert (saved.status_code, saved.json()["webhook_secret_rotation"]) == (200, "phishing_resistant")
    token = await person.prove(asked, "totp")  # the open prompt completes as it was issued
    assert (await person.http.post(rotate, headers={"stepup-token": token})).status_code == 200
    assert (await person.http.post(rotate)).json()["code"] == "STEPUP_FACTOR_INSUFFICIENT"


async def test_the_page_loosens_by_the_step_up_of_the_admin_who_is_signed_in(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, rotation = Person(ran.names["app"]), "webhook_secret_rotation"
    await person.enrol_passkey()
    await put(ran, admin(), {rotation: "phishing_resistant"}, monkeypatch)
    asked = await person.ask("PUT", "/policy", json={rotation: "any"})
    assert asked.json()["purpose"]["id"] == "policy_loosen"
    told = (await person.http.get("/stepup/purposes")).json()["purposes"]
    assert {each["requirement"] for each in told if each["id"] == rotation} == {"phishing_resistant"}
    saved = await person.act("PUT", "/policy", json={rotation: "any"})
    assert (saved.status_code, saved.json()[rotation]) == (200, "any")
    changes = [record async for record in ran.names["stepup"].audit.stream("main") if record.data.get("to")]
    assert [bool(change.prompt_id) for change in changes] == [False, True]


@pytest.mark.parametrize(
    ("who", "wanted", "status"),
    [
        (admin(), {"payroll_ach_transmit": "any"}, 422),
        (admin(), {"no_such_purpose": "any"}, 422),
        (admin(), {"webhook_secret_rotation": "weak"}, 422),
        (admin(is_admin=False), {"webhook_secret_rotation": "phishing_resistant"}, 422),
        (None, {"webhook_secret_rotation": "phishing_resistant"}, 401),
    ],
)
async def test_a_refused_write_says_why_saves_nothing_and_is_logged(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, who: Subject | None, wanted: dict[str, str], status: int
) -> None:
    stepup = ran.names["stepup"]
    await stepup.start()
    answer = await put(ran, who, {"custom_domain_change": "phishing_resistant", **wanted}, monkeypatch)
    assert answer.status_code == status
    assert answer.json()["why"].endswith(".")
    for entry in await stepup.policy.current("main"):
        assert entry.requirement == entry.purpose.minimum
    blocked = [record async for record in stepup.audit.stream("main") if record.event is EventName.BLOCKED]
    assert len(blocked) == (1 if who else 0)


@pytest.mark.block("purposes")
async def test_what_the_caller_meets_is_what_the_page_shows(ran: Ran, blocks: dict[str, str]) -> None:
    told = (await Person(ran.names["app"]).http.get("/stepup/purposes")).json()
    assert [entry["id"] for entry in told["purposes"]] == [purpose.id for purpose in PLATFORM_PURPOSES]
    assert told["purposes"][:1] == json.loads(blocks["purposes"])["purposes"]


def test_purposes_of_ones_own_stand_beside_the_platforms(ran: Ran) -> None:
    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(ran.folder / "own.db"),
        relying_party=RelyingParty(id="localhost", name="X", origins=[ORIGIN]),
        identify=ran.names["identify"],
        purposes=ran.names["PURPOSES"],
    )
    assert list(stepup.purposes)[-2:] == ["refund_payout", "refund_approve"]
    assert stepup.purposes["refund_payout"].minimum == "phishing_resistant"
