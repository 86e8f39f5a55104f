"""Who has every key of the app writes what did not happen: what verifying still finds, for it contradicts itself."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.log.checkpoints import checkpoint_of
from tests.log.histories import WITNESS_KEYS

from .alterations import Alteration, Row, Tables, at_the_end, rebuilt, with_body
from .attacked import AttackedSQLite, honest
from .keys import HELD, with_keys

ASKED, PROVED = "ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED"
RAN, ENROLLED = "ACTION_AUTHORIZED", "FACTOR_ENROLLED"
OTHER_AMR = {"data": lambda data: {**data, "amr": ["pwd"]}}


def rows_of(tables: Tables, event: str) -> Iterator[tuple[int, Any]]:
    for number, row in enumerate(tables["audit"]):
        body = json.loads(row["body"])
        if body["event"] == event:
            yield number, body


def changed(event: str, **members: Callable[[Any], Any]) -> Callable[[Tables], Alteration]:
    """Return what changes members of the first record of an event."""

    def change(tables: Tables) -> Alteration:
        number, body = next(rows_of(tables, event))
        return with_body(
            tables, number, {**body, **{name: new(body[name]) for name, new in members.items()}}, "", event
        )

    return change


def without(event: str) -> Callable[[Tables], Alteration]:
    """Return what takes out the last record of an event."""

    def take(tables: Tables) -> Alteration:
        *_, (number, _) = rows_of(tables, event)
        gone = tables["audit"][number]
        audit = [row for row in tables["audit"] if row is not gone]
        leaves = [leaf for leaf in tables["leaves"] if leaf["record_id"] != gone["id"]]
        return rebuilt({**tables, "audit": audit, "leaves": leaves}, "", event)

    return take


def twice(event: str) -> Callable[[Tables], Alteration]:
    """Return what writes a record of an event once more, at the end."""

    def write(tables: Tables) -> Alteration:
        *_, (number, _) = rows_of(tables, event)
        row = tables["audit"][number]
        twin: Row = {**row, "seq": row["seq"] + 10**6, "id": row["id"][:12] + "f" * 20}
        index = len(tables["leaves"])
        leaf = {"log": 1, "idx": index, "record_id": twin["id"], "entry": twin["entry"]}
        grown = {**tables, "audit": [*tables["audit"], twin], "leaves": [*tables["leaves"], leaf]}
        return rebuilt(grown, "", event)

    return write


def exchanged(tables: Tables) -> Alteration:
    """Give the authorization the place of its proof, and the proof that of the authorization."""
    (proved, body), *_ = rows_of(tables, PROVED)
    ran = next(number for number, each in rows_of(tables, RAN) if each["prompt"] == body["prompt"])
    first, second = tables["audit"][proved], tables["audit"][ran]
    swap = {first["id"]: second, second["id"]: first}
    audit: list[Row] = [{**swap.get(row["id"], row), "seq": row["seq"]} for row in tables["audit"]]
    places = {leaf["record_id"]: leaf["idx"] for leaf in tables["leaves"]}
    leaves = [
        {**leaf, "idx": places[swap[leaf["record_id"]]["id"]]} if leaf["record_id"] in swap else leaf
        for leaf in tables["leaves"]
    ]
    return rebuilt({**tables, "audit": audit, "leaves": leaves}, "", "exchanged")


def one_token(tables: Tables) -> Alteration:
    """Give two authorizations the same token, in their columns as well."""
    made = Alteration("", "", tables)
    for number, body in [*rows_of(tables, RAN)][:2]:
        made = with_body({**tables, **made.tables}, number, {**body, "data": {"token": "7"}}, "", "one token")
        made.tables["audit"][number]["token"] = 7
    return made


WRITTEN: dict[str, tuple[str, Callable[[Tables], Alteration]]] = {
    "another way to prove": ("body.data.amr", changed(PROVED, **OTHER_AMR)),
    "a stronger proof": ("body.data.acr", changed(PROVED, data=lambda data: {**data, "acr": "none"})),
    "another requirement": ("body.requirement", changed(RAN, requirement=lambda _: "any")),
    "another factor": ("body.factor_id", changed(RAN, factor_id=lambda _: "another")),
    "other details": ("body.details", changed(RAN, details=lambda _: [["Amount", "USD 1.00"]])),
    "another address": ("body.ip", changed(RAN, ip=lambda _: "203.0.113.9")),
    "a proof without its question": ("body.event", without(ASKED)),
    "an action without its proof": ("body.event", without(PROVED)),
    "a proof without its enrolment": ("enrolment", without(ENROLLED)),
    "an action that is authorized twice": ("body.event", twice(RAN)),
    "a token that authorizes two actions": ("body.data.token", one_token),
    "a factor that is enrolled twice": ("body.factor_id", twice(ENROLLED)),
    "an action before its proof": ("body.event", exchanged),
}


# A26
@pytest.mark.parametrize("what", WRITTEN)
async def test_what_contradicts_itself_is_found_whoever_wrote_it(tmp_path: Path, what: str) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database, in_order=True)
    field, alter = WRITTEN[what]
    *_, made, _ = [*with_keys(alter(base.tables), base, HELD["all"])]  # one checkpoint, that of this tree
    await database.write(made.tables)
    kept = [checkpoint_of(row["note"]) for row in made.tables["checkpoints"]]  # nobody has another history
    verdict, findings = await database.found(base.trust(kept), base.now)
    assert verdict is EvidenceVerdict.FAILED
    assert field in {finding.field for finding in findings if not finding.unverifiable}, findings


# A26
async def test_a_record_that_is_dated_before_what_a_witness_saw_is_found(tmp_path: Path) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database, in_order=True)
    chance = random.Random(26)  # noqa: S311 - what is forged, no secret
    backdated = Alteration("", "", at_the_end(base.tables, [base.now.replace(year=base.now.year - 1)], chance))
    signed_anew = [*with_keys(backdated, base, HELD["the secret key and the log key"])][1]
    await database.write(signed_anew.tables)
    verdict, findings = await database.found(base.trust(base.kept[:2], WITNESS_KEYS), base.now)
    assert verdict is EvidenceVerdict.FAILED
    assert any("witnessed before it had its leaf" in finding.problem for finding in findings)
