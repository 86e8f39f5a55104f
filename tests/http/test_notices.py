"""People are told what happens to their factors: in their language, at least once, without keeping anybody waiting."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware import AuditEvent, ConfigurationError, EventName, FactorKind, Notice, NoticeKind
from stepup_middleware.core.notices import KINDS, browser_of
from stepup_middleware.core.topics import Topic
from stepup_middleware.languages import library_languages
from stepup_middleware.service.notices import NoticeWriter
from stepup_middleware.stores.postgres import PostgresStore
from tests.machine import until
from tests.stores.memory import Data, MemoryStore
from tests.support import HOME, PATIENT, Browser, House, house_in

LATER = timedelta(seconds=90)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"


class Mailbox:
    """What was handed to ``notify``. ``down``: it takes nothing."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.tried = 0
        self.notices: list[Notice] = []

    async def __call__(self, notice: Notice) -> None:
        self.tried += 1
        if self.down:
            raise ConnectionError("the mail server is down")
        self.notices.append(notice)

    async def has(self, number: int) -> list[Notice]:
        """Return the notices once there are so many."""
        await until(lambda: len(self.notices) >= number)
        return self.notices


def person(house: House, name: str = "ada", locale: str = "", language: str = "en") -> Browser:
    """Return a signed-in person who has no factor yet, with the language of the app's word and of the browser."""
    subject = replace(house.sign_in(name), locale=locale)
    house.sessions[subject.session_id] = subject
    browser = Browser(house, subject)
    browser.client.headers.update({"user-agent": FIREFOX, "accept-language": language})
    return browser


async def test_a_person_is_told_of_a_factor_that_was_added_and_of_one_that_was_removed(tmp_path: Path) -> None:
    mailbox = Mailbox()
    async with house_in(tmp_path, notify=[mailbox]) as house:
        ada = person(house)
        await ada.enrol("passkey")
        second = await ada.enrol("totp", by="passkey")
        assert (await ada.step_up("DELETE", f"/stepup/factors/{second.id}", "passkey")).status_code == 204
        added, app, removed = await mailbox.has(3)
    assert [added.kind, app.kind, removed.kind] == [*[NoticeKind.FACTOR_ADDED] * 2, NoticeKind.FACTOR_REMOVED]
    assert {(each.subject_id, each.workspace_id, each.subject_name) for each in mailbox.notices} == {
        ("ada", "axis", "Ada")
    }
    assert (added.factor_kind, added.factor_name, app.factor_name) == (FactorKind.PASSKEY, "My key", "Phone")
    assert (added.ip, added.user_agent, added.by_other, added.locale) == (HOME, FIREFOX, False, "en")
    assert added.title == "New factor for your account at AxisSynapse"
    for said in (
        "My key (Passkey)",
        f"IP address: {HOME}",
        "Browser: Firefox · Linux",
        "UTC",
        "tell your security team",
    ):
        assert said in added.text
    assert "If you have another factor, remove this one with it" in added.text  # a last one cannot be removed
    assert len({each.id for each in mailbox.notices}) == 3


async def test_a_notice_is_written_in_the_language_that_the_app_says_the_person_reads(tmp_path: Path) -> None:
    mailbox = Mailbox()
    async with house_in(tmp_path, notify=[mailbox]) as house:
        await person(house, locale="de-AT", language="ja").enrol("passkey")
        (notice,) = await mailbox.has(1)
        assert notice.locale == "de"
        assert "IP-Adresse" in notice.text
        assert notice.in_language("fr").locale == "fr"
        assert notice.in_language("fr").title != notice.title != notice.in_language("en").title
        assert notice.in_language("xx").text == notice.text


async def test_who_holds_a_stolen_session_does_not_choose_the_language_of_the_warning(tmp_path: Path) -> None:
    mailbox = Mailbox()
    async with house_in(tmp_path, notify=[mailbox]) as house:
        ada = person(house, language="nl")
        await ada.enrol("passkey")
        ada.client.headers["accept-language"] = "ja"
        await ada.enrol("totp", by="passkey")
        assert [notice.locale for notice in await mailbox.has(2)] == ["nl", "nl"]


async def test_a_failing_mail_server_holds_up_nobody_and_the_notice_comes_when_it_is_back(tmp_path: Path) -> None:
    mailbox = Mailbox(down=True)
    async with house_in(tmp_path, notify=[mailbox]) as house:
        await person(house).enrol("passkey")
        await until(lambda: mailbox.tried)
        await until(lambda: house.stepup._parts.dispatcher.failing)
        assert (await person(house, "bob").enrol("passkey")).id
        mailbox.down = False
        while len(mailbox.notices) < 2:
            house.clock.advance(LATER)
            await house.stepup._parts.dispatcher.outbox.collect()
        await until(lambda: not house.stepup._parts.dispatcher.failing)
    assert len({notice.id for notice in mailbox.notices}) == 2


async def test_a_mail_server_that_hangs_holds_up_no_enrolment(tmp_path: Path) -> None:
    async def hang(_: Notice) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        house = House(tmp_path, notify=[hang])
        await house.stepup.start()
        for name in ("ada", "bob", "eve"):
            await person(house, name).enrol("passkey")
        await house.stepup._parts.dispatcher.close(seconds=0)
        await house.stepup.close()


async def test_a_node_without_notify_leaves_notices_to_those_that_have_it(tmp_path: Path) -> None:
    async def sink(_: AuditEvent) -> None:
        return

    async with house_in(tmp_path, on_event=[sink]) as house:
        await person(house).enrol("passkey")
        house.clock.advance(LATER)
        await house.stepup._parts.dispatcher.outbox.collect()
    mailbox = Mailbox()
    other = House(tmp_path, notify=[mailbox])
    other.clock.set(house.clock() + LATER)
    async with other.stepup:
        assert [notice.kind for notice in await mailbox.has(1)] == [NoticeKind.FACTOR_ADDED]


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str:
    """The address of an empty PostgreSQL database, and nothing for SQLite."""
    return str(request.getfixturevalue("postgres_dsn")) if request.param == "postgres" else ""


def restarted(folder: Path, key: str, dsn: str, mailbox: Mailbox) -> House:
    """Return the same app, not started, when nobody holds what the process before it was about to hand over."""
    settings: dict[str, Any] = {"store": PostgresStore(dsn, timeout=PATIENT)} if dsn else {}
    house = House(folder, secret_key=key, notify=[mailbox], **settings)
    house.clock.advance(LATER)
    return house


async def test_a_process_that_is_killed_between_act_and_delivery_still_tells_the_person(
    tmp_path: Path, dsn: str
) -> None:
    key = secrets.token_hex(32)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.http.notice_process", str(tmp_path), key, dsn, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            said = sorted([await process.stdout.readline(), await process.stdout.readline()])
        assert said[0].startswith(b"came"), said
    finally:
        os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    mailbox = Mailbox()
    house = restarted(tmp_path, key, dsn, mailbox)
    async with house.stepup:
        (notice,) = await mailbox.has(1)
    assert f"came {notice.id}".encode() == said[0].strip()
    assert (notice.kind, notice.subject_id) == (NoticeKind.FACTOR_ADDED, "ada")
    again = Mailbox()
    last = restarted(tmp_path, key, dsn, again)
    last.clock.advance(LATER)
    async with last.stepup:
        await last.stepup._parts.dispatcher.outbox.collect()
    assert again.tried == 0


@pytest.mark.parametrize("value", [print, lambda notice: None, [print], "mail", 3])
def test_notify_is_a_list_of_async_callables_or_the_start_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ConfigurationError, match="notify"):
        House(tmp_path, notify=value)


# the text


def told(name: EventName, app: str = "AxisSynapse", tag: str = "en", **fields: Any) -> Notice:
    """Return the notice of an event about ada: of her own session, unless another subject is given."""
    values: dict[str, Any] = {
        "at": NOW,
        "workspace_id": "axis",
        "subject_id": "ada",
        "subject_name": "Ada",
        "session": "s" * 32,
        "ip": HOME,
        "user_agent": FIREFOX,
    }
    made = AuditEvent(name=name, **{**values, **fields})
    writer = NoticeWriter(store=MemoryStore(Data()), languages=library_languages(), app=app, locale=tag)
    return asyncio.run(writer.write(7, made))


def test_each_event_that_must_reach_a_person_has_a_notice_and_no_other_event_has() -> None:
    topics = {name: AuditEvent(at=NOW, name=name, workspace_id="w", subject_id="s").topics for name in EventName}
    assert {name for name, found in topics.items() if Topic.NOTICE in found} == KINDS.keys()
    assert set(KINDS.values()) == set(NoticeKind)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("tag", library_languages().tags)
@pytest.mark.sweep()
def test_every_notice_says_in_every_language_what_when_and_what_to_do(name: EventName, tag: str) -> None:
    notice = told(name, tag=tag, factor_kind=FactorKind.TOTP, data={"name": "Phone"})
    english = told(name, factor_kind=FactorKind.TOTP, data={"name": "Phone"})
    assert "AxisSynapse" in notice.title
    assert all(said in notice.text for said in (HOME, "Firefox · Linux", "UTC"))
    assert len(notice.text.split("\n\n")) == 3
    assert tag == "en" or (notice.title != english.title and notice.text != english.text)


def test_what_an_admin_did_is_told_to_the_person_with_who_and_why_and_without_the_admins_address() -> None:
    notice = told(
        EventName.FACTORS_RESET,
        subject_id="root",
        subject_name="Root Admin",
        data={
            "person": "ada",
            "person_name": "Ada",
            "why": "lost phone, seen in person",
            "hold_until": "2026-11-25T12:00:00Z",
        },
    )
    assert (notice.subject_id, notice.subject_name, notice.by_other, notice.ip) == ("ada", "Ada", True, "")
    assert HOME not in notice.text
    assert "By: Root Admin" in notice.text
    assert "Reason: lost phone, seen in person" in notice.text
    assert "Until Nov 25, 2026, 12:00 PM UTC" in notice.text


def test_of_an_imported_factor_nobody_is_told_that_they_added_it_themselves() -> None:
    imported = {"imported": True, "source": "totp", "by": "root@web-1", "name": "Phone"}
    notice = told(EventName.FACTOR_ENROLLED, session="", ip="", factor_kind=FactorKind.TOTP, data=imported)
    assert (notice.by_other, notice.subject_id) == (True, "ada")
    assert "By: an operator or a program of AxisSynapse" in notice.text
    assert "Ada" not in notice.text
    assert "root" not in notice.text  # nor whose shell it was, and where


def test_what_the_command_line_did_is_told_as_done_by_another() -> None:
    notice = told(
        EventName.ENROLMENT_PASS_ISSUED,
        subject_id="",
        subject_name="",
        session="",
        ip="",
        data={"person": "ada", "expires_at": "2026-11-24T13:00:00Z"},
    )
    assert (notice.subject_id, notice.by_other) == ("ada", True)
    assert "By: an operator or a program of AxisSynapse" in notice.text
    assert "admin issued" not in notice.text
    assert "The pass is valid until Nov 24, 2026, 1:00 PM UTC." in notice.text


def test_a_recovery_code_that_was_used_is_told_with_how_many_are_left() -> None:
    assert "9 recovery codes are left." in told(EventName.RECOVERY_CODE_USED, data={"left": 9}).text
    assert "1 recovery code is left." in told(EventName.RECOVERY_CODE_USED, data={"left": 1}).text


HOSTILE = st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["a\r\nBcc: all@axis.example", "a\u2028b", "a\x85b", "\u202egnp.exe", "%(app)s", "%s%d", "<script>", "a\0b"]
)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.sampled_from(sorted(KINDS)))
def test_no_name_of_anybody_gets_a_line_or_an_unseen_character_into_a_notice(
    name: str, agent: str, app: str, why: str, kind: str
) -> None:
    notice = told(
        EventName(kind),
        app=app or "x",
        subject_name=name,
        user_agent=agent,
        data={"name": name, "person": "ada" if why else 3, "person_name": name, "why": why, "left": 2},
    )
    plain = told(EventName(kind), data={"person": "ada" if why else 3, "left": 2})
    assert len(notice.title.splitlines()) == 1
    for text in (notice.title, notice.factor_name, notice.subject_name, *notice.text.split("\n")):
        assert not [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs")]
    assert len(notice.text.splitlines()) - len(plain.text.splitlines()) in range(
        -1, 2
    )  # a line that is left out, or why


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (FIREFOX, "Firefox · Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
            "Safari/537.36 Edg/131.0.0.0",
            "Edge · Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.1 Mobile/15E148 Safari/604.1",
            "Safari · iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile "
            "Safari/537.36",
            "Chrome · Android",
        ),
        ("python-httpx/0.28.1", "python-httpx/0.28.1"),
        ("curl/8.5.0 anything", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_a_browser_is_named_as_its_owner_names_it(agent: str, said: str) -> None:
    assert browser_of(agent) == said
