"""The log in the words of others: OCSF, CAEP, CSV and NDJSON."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stepup_middleware.core.audit import read_record
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.spreadsheets import FORMULA_SIGNS, defused
from stepup_middleware.exports import CSV_COLUMNS, caep_event, csv_line, csv_row, ocsf_event, record_as_dict
from tests.machine import growth

AT = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)


def record(name: EventName = EventName.VERIFIED, **fields: Any) -> AuditRecord:
    event = AuditEvent(
        **{
            "at": AT, "name": name, "workspace_id": "axis", "subject_id": "ada", "subject_name": "Ada",
            "session": "5e55", "ip": "192.0.2.7", "user_agent": "Browser/1", "purpose": "payroll_ach_transmit",
            "prompt_id": "prompt-1", "factor_kind": FactorKind.PASSKEY, "factor_id": "factor-1",
            "requirement": FactorRequirement.PHISHING_RESISTANT, "policy_version": 3,
            "request": BoundRequest(method="POST", path="/x", query="a=1"), "details": (("Run", "2026-06"),),
            **fields,
        }
    )  # fmt: skip
    body = event.body()
    return read_record(body, seq=7, id_="0193", entry="{}", log=1, index=5)


@pytest.mark.parametrize(
    ("name", "activity", "severity", "status", "alert"),
    [
        (EventName.CHALLENGE_REQUESTED, 6, 1, 99, False),
        (EventName.VERIFIED, 1, 1, 1, False),
        (EventName.FAILED, 1, 3, 2, False),
        (EventName.BLOCKED, 99, 3, 2, False),
        (EventName.REUSED, 99, 5, 2, True),
        (EventName.ACTION_AUTHORIZED, 99, 1, 1, False),
        (EventName.ACTION_COMPLETED, 99, 1, 1, False),
        (EventName.POLICY_CHANGED, 99, 1, 1, False),
        (EventName.FACTOR_ENROLLED, 99, 1, 1, False),
        (EventName.FACTOR_REMOVED, 99, 1, 1, False),
    ],
)
def test_each_event_has_its_place_in_the_authentication_class(
    name: EventName, activity: int, severity: int, status: int, alert: bool
) -> None:
    event = ocsf_event(record(name))
    assert (event["class_uid"], event["category_uid"]) == (3002, 3)
    assert (event["activity_id"], event["severity_id"], event["status_id"]) == (activity, severity, status)
    assert event["is_alert"] is alert
    assert event["type_uid"] == 300200 + activity
    assert event["time"] == 1795521600250
    assert event["metadata"]["correlation_uid"] == "prompt-1"
    assert event["service"]["name"]
    json.dumps(event)


@pytest.mark.parametrize(
    ("kind", "type_id"), [(FactorKind.PASSKEY, 10), (FactorKind.HARDWARE_KEY, 6), (FactorKind.TOTP, 7)]
)
def test_each_factor_has_its_type(kind: FactorKind, type_id: int) -> None:
    event = ocsf_event(record(factor_kind=kind))
    assert event["is_mfa"] is True
    assert [factor["factor_type_id"] for factor in event["auth_factors"]] == [type_id]


def test_an_event_without_a_factor_claims_no_mfa() -> None:
    event = ocsf_event(record(EventName.CHALLENGE_REQUESTED, factor_kind=None))
    assert event["is_mfa"] is False
    assert "auth_factors" not in event


def test_the_kept_proof_stays_in_the_log() -> None:
    event = ocsf_event(record(data={"proof": {"signature": "canary"}, "factor_name": "Key"}))
    assert "canary" not in json.dumps(event)
    assert event["unmapped"]["data"] == {"factor_name": "Key"}


def test_a_passed_step_up_is_an_assurance_level_change_and_nothing_else_is() -> None:
    claims = caep_event(record(), issuer="https://example.com", audience="https://receiver.example")
    assert claims is not None
    (change,) = claims["events"].values()
    assert list(claims["events"]) == ["https://schemas.openid.net/secevent/caep/event-type/assurance-level-change"]
    assert (change["namespace"], change["current_level"], change["change_direction"]) == (
        "NIST-AAL",
        "nist-aal2",
        "increase",
    )
    assert change["event_timestamp"] == claims["iat"] == 1795521600
    assert claims["sub_id"]["user"] == {"format": "iss_sub", "iss": "https://example.com", "sub": "ada"}
    for name in EventName:
        if name is not EventName.VERIFIED:
            assert caep_event(record(name), issuer="https://example.com") is None


LANGUAGES = {"type": "object", "propertyNames": {"pattern": "^[a-z]{2}"}, "additionalProperties": {"type": "string"}}
CAEP_1_0 = {
    "type": "object",
    "required": ["iss", "iat", "jti", "aud", "sub_id", "events"],  # RFC 8417 §2.2, SSF 1.0 §4
    "not": {"anyOf": [{"required": ["exp"]}, {"required": ["sub"]}]},
    "properties": {
        "iss": {"type": "string", "format": "uri"},
        "iat": {"type": "integer"},
        "jti": {"type": "string", "minLength": 1},
        "aud": {"type": ["string", "array"]},
        "txn": {"type": "string"},
        "sub_id": {
            "type": "object",
            "required": ["format", "user"],
            "additionalProperties": False,
            "properties": {
                "format": {"const": "complex"},
                "user": {
                    "type": "object",
                    "required": ["format", "iss", "sub"],
                    "properties": {"format": {"const": "iss_sub"}},
                    "additionalProperties": {"type": "string"},
                },  # RFC 9493 §3.2.4
                **{
                    name: {
                        "type": "object",
                        "required": ["format", "id"],
                        "properties": {"format": {"const": "opaque"}, "id": {"type": "string"}},
                        "additionalProperties": False,
                    }
                    for name in ("session", "tenant")
                },
            },
        },
        "events": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "required": ["https://schemas.openid.net/secevent/caep/event-type/assurance-level-change"],
            "additionalProperties": {
                "type": "object",
                "required": ["namespace", "current_level"],
                "additionalProperties": False,
                "properties": {
                    "namespace": {"enum": ["RFC8176", "RFC6711", "ISO-IEC-29115", "NIST-IAL", "NIST-AAL", "NIST-FAL"]},
                    "current_level": {"enum": ["nist-aal1", "nist-aal2", "nist-aal3"]},
                    "previous_level": {"enum": ["nist-aal1", "nist-aal2", "nist-aal3"]},
                    "change_direction": {"enum": ["increase", "decrease"]},
                    "event_timestamp": {"type": "integer"},
                    "initiating_entity": {"enum": ["admin", "user", "policy", "system"]},
                    "reason_admin": LANGUAGES,
                    "reason_user": LANGUAGES,
                },
            },
        },
    },
}
"""What OpenID CAEP 1.0 (§2 and §3.4) asks of an assurance-level-change event, written down from its text."""


@pytest.mark.parametrize(("level", "direction"), [("nist-aal1", "increase"), ("nist-aal2", None)])
def test_the_event_has_the_claims_of_caep_and_says_increase_only_where_there_is_one(
    level: str, direction: str | None
) -> None:
    claims = caep_event(record(), issuer="https://example.com", audience="https://receiver.example", signed_in_at=level)
    assert claims is not None
    Draft202012Validator(CAEP_1_0).validate(json.loads(json.dumps(claims)))
    (change,) = claims["events"].values()
    assert (change["previous_level"], change.get("change_direction")) == (level, direction)


def test_ndjson_has_the_whole_event_and_its_place() -> None:
    one = record()
    fields = record_as_dict(one)
    assert [fields[name] for name in ("seq", "id", "log", "index", "entry")] == [7, "0193", 1, 5, "{}"]
    assert fields["details"] == [["Run", "2026-06"]]


cells = st.lists(
    st.text(
        st.one_of(
            st.sampled_from("=+-@;,|\t\r\n\"' \ufeff\u3000\uff1d\uff0b\uff0d\uff20a1"),
            st.characters(exclude_categories=["Cs"]),
        )
    ),
    min_size=1,
    max_size=4,
)


@given(cells)
def test_however_a_spreadsheet_splits_the_csv_no_cell_of_it_begins_like_a_formula(row: list[str]) -> None:
    line = csv_line(row)
    for separator in ",;|\t":
        read = [cell for found in csv.reader(io.StringIO(line, newline=""), delimiter=separator) for cell in found]
        split = re.split(f"[{re.escape(separator)}\r\n]", line)
        for cell in (*read, *split):
            shown = cell.lstrip('\ufeff \u3000"\t\r\n')
            assert not shown or unicodedata.normalize("NFKC", shown[0])[0] not in "=+-@"


@given(cells)
def test_a_line_of_csv_has_every_cell_and_nothing_but_apostrophes_besides(row: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(csv_line(row), newline="")) if row != [""] else [row]
    assert [cell.replace("'", "") for cell in read] == [cell.replace("'", "") for cell in row]
    assert [defused(cell) for cell in read] == read


# D03
@pytest.mark.parametrize("unit", ["\t", "\r\n", " ", '"\n', ";\t", ", ", "\u200b\t", "=\t"])
def test_the_time_to_write_a_cell_grows_with_its_length_and_no_faster(unit: str) -> None:
    assert growth(lambda times: csv_line([unit * times, unit * times + "="]), 2000) < 8


def test_every_character_that_is_read_as_a_formula_sign_is_known() -> None:
    alike = {chr(code) for code in range(0x110000) if unicodedata.normalize("NFKC", chr(code))[:1] in set("=+-@")}
    assert alike == set(FORMULA_SIGNS) - {"\u2212", "\u207b", "\u208b"}  # minus signs, which are none by NFKC


def test_a_record_in_csv_has_its_cells_treated_already() -> None:
    row = csv_row(record(subject_name="=1+1", user_agent="a;=1+1", reason="\u00a0\uff1d1+1"))
    assert len(row) == len(CSV_COLUMNS)
    assert {"'=1+1", "a;'=1+1", "'\u00a0\uff1d1+1"} <= set(row)
