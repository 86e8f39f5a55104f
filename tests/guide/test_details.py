"""Details and bodies: what is shown is bound, and a change in between asks again."""

from __future__ import annotations

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware.core.binding import MAX_DETAIL_LENGTH, MAX_DETAILS, check_details
from stepup_middleware.core.multipart import MOST_PARTS
from stepup_middleware.request.body import BODY_SECONDS
from stepup_middleware.request.bound import LONGEST_FIELDS, LONGEST_PATH

from .harness import Ran
from .person import Person

TRANSMIT = "/runs/2026-06/transmit"


@pytest.fixture
async def person(ran: Ran) -> Person:
    somebody = Person(ran.names["app"])
    await somebody.enrol_passkey()
    return somebody


async def test_the_modal_gets_the_details_of_the_record(person: Person) -> None:
    asked = await person.ask("POST", TRANSMIT)
    assert asked.json()["details"] == [["Run", "2026-06"], ["Employees", "214"], ["Amount", "USD 412,908.77"]]


async def test_a_record_that_changed_in_between_asks_again_with_the_new_details(ran: Ran, person: Person) -> None:
    token = await person.prove(await person.ask("POST", TRANSMIT))
    ran.names["RUNS"]["2026-06"]["employees"] = 215
    again = await person.ask("POST", TRANSMIT, headers={"stepup-token": token})
    assert again.json()["details"][1] == ["Employees", "215"]
    ran.names["RUNS"]["2026-06"]["employees"] = 214
    assert (await person.http.post(TRANSMIT, headers={"stepup-token": token})).text == "sent 2026-06"


async def test_what_the_callable_raises_is_the_answer_of_the_app(person: Person) -> None:
    assert (await person.http.post("/runs/none/transmit")).status_code == 404


async def test_a_token_serves_no_other_query_and_is_not_lost_by_it(person: Person) -> None:
    token = await person.prove(await person.ask("POST", TRANSMIT))
    assert (await person.ask("POST", TRANSMIT + "?again=1", headers={"stepup-token": token})).status_code == 401
    assert (await person.http.post(TRANSMIT, headers={"stepup-token": token})).status_code == 200


async def test_a_form_is_bound_whole_its_anti_forgery_field_included(person: Person) -> None:
    form = {"domain": "pay.example.com", "csrf_token": "one"}
    token = await person.prove(await person.ask("POST", "/domain", data=form))
    other = await person.ask(
        "POST", "/domain", data={**form, "domain": "evil.example"}, headers={"stepup-token": token}
    )
    assert other.json()["code"] == "STEPUP_REQUIRED"
    renewed = await person.ask("POST", "/domain", data={**form, "csrf_token": "two"}, headers={"stepup-token": token})
    assert renewed.json()["code"] == "STEPUP_REQUIRED"
    done = await person.http.post("/domain", data=form, headers={"stepup-token": token})
    assert done.text == "now at pay.example.com"


async def test_details_of_a_body_are_bound_to_its_bytes(person: Person) -> None:
    order = b'{"payee": "Payroll account", "amount": "USD 10.00"}'
    asked = await person.ask("POST", "/pay", content=order)
    assert asked.json()["details"] == [["To", "Payroll account"], ["Amount", "USD 10.00"]]
    token = await person.prove(asked)
    spaced = await person.ask("POST", "/pay", content=order + b" ", headers={"stepup-token": token})
    assert spaced.json()["details"] == asked.json()["details"]
    paid = await person.http.post("/pay", content=order, headers={"stepup-token": token})
    assert paid.text == "paid, authorized by owner@axis.example"


async def test_a_body_beyond_the_limit_is_answered_413(person: Person, ran: Ran) -> None:
    assert ran.names["stepup"].max_bound_body == 32 * 1024 * 1024
    answer = await person.http.post("/domain", content=b"x" * (32 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "STEPUP_BODY_TOO_LARGE")


def test_the_limits_are_those_of_the_page() -> None:
    assert (MAX_DETAILS, MAX_DETAIL_LENGTH, BODY_SECONDS) == (64, 2000, 15)
    text = (FOLDER / "details.md").read_text(encoding="utf-8")
    for said in (f"{MOST_PARTS:,} parts", f"{LONGEST_PATH:,} characters", f"headers {LONGEST_FIELDS:,} together"):
        assert said in text
    with pytest.raises(TypeError):
        check_details([("Employees", 214)])
