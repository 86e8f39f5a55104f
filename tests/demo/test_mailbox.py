"""The mailbox shows a person what they were told of their own account, once, and to nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from demo_app.accounts import Accounts
from demo_app.db import Database
from stepup_middleware import Notice, NoticeKind
from stepup_middleware.testing import FixedClock

from .conftest import SignedIn

NOTICE = Notice(
    id="7",
    kind=NoticeKind.FACTOR_ADDED,
    workspace_id="axis",
    subject_id="owner",
    subject_name="Owner",
    at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
    locale="en",
    title="New factor",
    text="A factor was added.",
    by_other=False,
)


async def test_a_person_reads_in_the_mailbox_that_a_factor_was_added_and_nobody_else_does(
    signed_in: SignedIn,
) -> None:
    owner, analyst = await signed_in("owner"), await signed_in("analyst")
    assert "No messages." in (await owner.page("/mailbox")).text
    await owner.enrol_passkey()
    html = await owner.page_with("/mailbox", "New factor for your account at AxisSynapse")
    assert "Laptop (Passkey)" in html
    assert html.count("<article") == 1
    assert "No messages." in (await analyst.page("/mailbox")).text


async def test_a_notice_that_is_handed_over_twice_is_one_message(database: Database, clock: FixedClock) -> None:
    accounts = Accounts(database, clock)
    (account,) = await database.all("SELECT id FROM account WHERE email = 'owner@axis.example'")
    for _ in range(2):
        await accounts.tell(replace(NOTICE, subject_id=account["id"]))
    await accounts.tell(replace(NOTICE, id="8", subject_id="nobody"))
    assert len(await database.all("SELECT id FROM message")) == 1
