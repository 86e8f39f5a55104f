"""Settings: the page has every one of them with its default, and the example is a whole set-up."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware import AttemptLimit, ClusterRule, StepUp, Subject
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from tests.patience import USUAL

from .harness import Ran

TEXT = (FOLDER / "settings.md").read_text(encoding="utf-8")


def rows(title: str) -> dict[str, list[str]]:
    """Return the cells of the rows under a heading, by the name in the first."""
    section = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = {}
    for line in re.findall(r"^\| (`.*) \|$", section, re.MULTILINE):
        name, *cells = line.split(" | ")
        found[name.strip("`")] = cells
    return found


def test_every_setting_is_on_the_page_and_the_needed_ones_are_needed() -> None:
    parameters = inspect.signature(StepUp).parameters
    needed = [name for name, each in parameters.items() if each.default is inspect.Parameter.empty]
    assert list(rows("Needed")) == needed
    assert sorted(rows("Optional")) == sorted(set(parameters) - set(needed))
    assert list(rows("Who is signed in")) == [field.name for field in fields(Subject) if field.init]


def test_the_defaults_are_those_of_the_code() -> None:
    parameters = inspect.signature(StepUp).parameters
    shown = {name: cells[0].strip("`") for name, cells in rows("Optional").items()}
    for name in ("prefix", "proxy_header", "ipv6_prefix"):
        assert shown[name] == str(parameters[name].default)
    assert (shown["max_bound_body"], parameters["max_bound_body"].default) == ("32 MiB", 32 * 1024 * 1024)
    assert shown["open_prompts_per_session"] == str(OPEN_PROMPTS_PER_SESSION)
    assert (AttemptLimit().failures, AttemptLimit().pause) == (5, timedelta(minutes=1))
    assert (ClusterRule().failures, ClusterRule().within) == (5, timedelta(minutes=10))
    assert USUAL["StepUp.store_timeout"] == timedelta(seconds=1.5)
    for name in (
        "client_address",
        "home_url",
        "on_event",
        "notify",
        "trusted_proxies",
        "log_key",
        "witnesses",
    ):
        assert shown[name] == "none"
        assert not parameters[name].default
    assert shown["bundle_htmx"] == str(parameters["bundle_htmx"].default)


async def test_identify_of_the_page_finds_the_person_and_the_sink_tells(
    ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    session = {"person": "p-1", "id": "s-1", "name": "Owner", "admin": True, "since": 1_795_000_000}
    session["email"] = "owner@axis.example"
    subject = await ran.names["identify"]({"session": session})
    assert subject.account == "owner@axis.example"
    assert (subject.id, subject.is_admin, subject.signed_in_at.tzinfo) == ("p-1", True, UTC)
    assert await ran.names["identify"]({"session": {}}) is None
    now = datetime.now(UTC)
    await ran.names["alert"](
        AuditEvent(at=now, name=EventName.REUSED, workspace_id="main", subject_id="p-1", purpose="x")
    )
    assert capsys.readouterr().out == "p-1: a token of x was presented again\n"
