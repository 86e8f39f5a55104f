"""Notices: the page's mail says what happened, and what it promises is what the code does."""

from __future__ import annotations

from datetime import timedelta

from demo_app.guide_pages import FOLDER
from stepup_middleware import NoticeKind, StepUpMiddleware
from stepup_middleware.core.retention import DELIVERIES_STAY
from stepup_middleware.core.topics import Topic
from stepup_middleware.service.sinks import SINK_TIMEOUT_SECONDS
from tests.machine import until

from .harness import Ran
from .person import Person


async def test_the_mail_of_the_page_goes_out_when_a_factor_is_added(ran: Ran) -> None:
    person = Person(StepUpMiddleware(ran.main.app, stepup=ran.names["stepup"]))
    person.session["name"] = "ada"
    assert (await person.enrol_passkey()).status_code == 201
    await until(lambda: ran.names["outgoing"])
    (message,) = ran.names["outgoing"]
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "New factor for your account at Payday"
    assert "tell your security team" in message.get_content()


def test_the_page_lists_every_kind_and_the_times_of_the_code() -> None:
    text = (FOLDER / "notices.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `") and line.count("|") == 4]
    assert [name for name in listed if name != "notice.kind"] == [kind.value for kind in NoticeKind]
    assert DELIVERIES_STAY[Topic.NOTICE] == timedelta(days=7)
    assert SINK_TIMEOUT_SECONDS == 10
