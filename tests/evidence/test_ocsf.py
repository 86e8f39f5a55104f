"""The OCSF export is judged by the published schema, never by our own idea of it."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from stepup_middleware import EventName, FactorKind, Outcome
from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.exports import ocsf_event
from stepup_middleware.request.body import content_digest

from .ocsf import VERSION, faults, published
from .test_exports import record

FULL = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "user"}
CAPTIONED = ("activity", "severity", "status", "action", "disposition")


def exported(name: EventName, **fields: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(ocsf_event(record(name, **fields))))
    return event


@pytest.mark.parametrize("name", EventName)
def test_every_event_is_valid_under_the_published_schema(name: EventName) -> None:
    requests = (None, BoundRequest(method="POST", path="/x", query="a=1", content_digest=content_digest(b"a" * 32)))
    for kind, outcome, request, text in product((None, *FactorKind), (None, *Outcome), requests, ("", "é\x1b\n")):
        event = exported(
            name, factor_kind=kind, outcome=outcome, request=request, reason=text, user_agent=text,
            subject_name=text, ip=text and "2001:db8::1", session=text, prompt_id=text,
        )  # fmt: skip
        assert faults(event) == []
        assert event["metadata"]["version"] == VERSION


@pytest.mark.parametrize("name", EventName)
def test_each_number_has_the_caption_that_the_schema_gives_it(name: EventName) -> None:
    attributes = published()["classes"]["authentication"]["attributes"]
    for kind in FactorKind:
        event = exported(name, factor_kind=kind)
        for word in CAPTIONED:
            number, text = event[f"{word}_id"], event["activity_name" if word == "activity" else word]
            caption = attributes[f"{word}_id"]["enum"][str(number)]["caption"]
            assert text == caption or number == 99, (word, number, text)  # 99 is named by the source
        assert event["type_name"] == attributes["type_uid"]["enum"][str(event["type_uid"])]["caption"]
        types = published()["objects"]["auth_factor"]["attributes"]["factor_type_id"]["enum"]
        (factor,) = event["auth_factors"]
        assert factor["factor_type"] == types[str(factor["factor_type_id"])]["caption"]


def test_a_reused_token_is_a_critical_alert_that_was_denied() -> None:
    event = exported(EventName.REUSED)
    assert (event["severity"], event["is_alert"], event["action"], event["disposition"]) == (
        "Critical",
        True,
        "Denied",
        "Blocked",
    )


def test_the_schema_refuses_what_is_missing_unknown_or_of_another_type() -> None:
    genuine = exported(EventName.VERIFIED)
    for name in FULL:
        assert faults({key: value for key, value in genuine.items() if key != name}), name
    assert faults({**genuine, "invented": 1})
    assert faults({**genuine, "time": "2026-11-24"})
    assert faults({**genuine, "activity_id": 42})
    assert faults({**genuine, "auth_factors": [{"factor_type_id": 42}]})
