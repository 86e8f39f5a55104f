"""What admins do is in the log: who, from which address and browser, and what it was before and is now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stepup_middleware import EventName, NotPermitted, Outcome, PolicyError, Severity
from stepup_middleware.exports import CSV_COLUMNS, csv_row, ocsf_event, record_as_dict
from tests.support import ELSEWHERE, HOME, POLICY, ROTATE, TRANSMIT, Browser, House, code_of

STRICT = "phishing_resistant"
DAY = timedelta(days=1)


def scope_from(ip: str | None, agent: bytes = b"Admin/1") -> dict[str, Any]:
    """Return what a server makes of a request from an address; None: through a socket without one."""
    return {"type": "http", "headers": [(b"user-agent", agent)], "client": None if ip is None else (ip, 50_000)}


async def replayed(person: Browser, *thieves: Browser) -> None:
    """Redeem a token, and let others present it again."""
    token = await person.token("POST", TRANSMIT, "passkey")
    assert (await person.post(TRANSMIT, token=token)).status_code == 200
    for thief in thieves:
        assert code_of(await thief.post(TRANSMIT, token=token)) == "STEPUP_TOKEN_REUSED"


async def test_a_changed_policy_says_who_from_where_and_from_what_to_what_in_every_export(house: House) -> None:
    root = Browser(house, house.sign_in("root", is_admin=True), ip=ELSEWHERE)
    await root.enrol("passkey")
    assert root.subject is not None
    await house.stepup.policy.set(root.subject, "webhook_secret_rotation", STRICT, scope=scope_from(HOME))
    done = await root.step_up("PUT", POLICY, "passkey", json={"webhook_secret_rotation": "any"})
    assert done.status_code == 200, done.text
    tightened, loosened = await house.events(EventName.POLICY_CHANGED)
    assert (tightened.ip, tightened.user_agent, tightened.prompt_id, dict(tightened.data)) == (
        HOME,
        "Admin/1",
        "",
        {"from": "any", "to": STRICT},
    )
    (authorized,) = await house.events(EventName.ACTION_AUTHORIZED)
    assert (loosened.ip, loosened.user_agent, loosened.prompt_id) == (ELSEWHERE, "Browser/1", authorized.prompt_id)
    row = dict(zip(CSV_COLUMNS, csv_row(loosened), strict=True))
    assert (row["from"], row["to"], row["ip"], row["user_agent"]) == (STRICT, "any", ELSEWHERE, "Browser/1")
    assert record_as_dict(loosened)["data"] == {"from": STRICT, "to": "any"}
    assert ocsf_event(loosened)["unmapped"]["data"] == {"from": STRICT, "to": "any"}


async def test_a_refused_policy_write_says_from_where_it_came(house: House) -> None:
    with pytest.raises(PolicyError, match="Only an admin"):
        await house.stepup.policy.set(
            house.sign_in("eve"), "webhook_secret_rotation", STRICT, scope=scope_from(ELSEWHERE)
        )
    (refused,) = await house.events(EventName.BLOCKED)
    assert (refused.ip, refused.user_agent, refused.reason) == (ELSEWHERE, "Admin/1", "not_an_admin")


async def test_an_admin_from_an_unknown_address_changes_nothing(house: House) -> None:
    admin, nowhere = house.sign_in("root", is_admin=True), scope_from(None)
    with pytest.raises(NotPermitted, match="address"):
        await house.stepup.policy.set(admin, "webhook_secret_rotation", STRICT, scope=nowhere)
    with pytest.raises(NotPermitted, match="address"):
        await house.stepup.revoke_all(admin, scope=nowhere)
    assert await house.events() == []


async def test_whoever_revokes_everything_is_in_the_log_and_nobody_but_an_admin_may(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    with pytest.raises(NotPermitted, match="Only an admin"):
        await house.stepup.revoke_all(ada.subject, scope=scope_from(HOME))
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    token = await ada.token("POST", TRANSMIT, "passkey")
    await house.stepup.revoke_all(house.sign_in("root", is_admin=True), scope=scope_from(ELSEWHERE))
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    await house.stepup.revoke_all()
    person, program = await house.events(EventName.ALL_REVOKED)
    assert (person.workspace_id, person.subject_id, person.ip, person.severity) == (
        "axis",
        "root",
        ELSEWHERE,
        Severity.INFO,
    )
    assert (program.workspace_id, program.subject_id, program.ip) == ("", "", "")
    refused = [each for each in await house.events(EventName.BLOCKED) if each.reason == "not_an_admin"]
    assert [(each.subject_id, each.data["wanted"]) for each in refused] == [("ada", "revoke_all")]


async def test_an_alert_waits_until_an_admin_acknowledges_it_and_the_log_has_the_first_who_did(
    ada: Browser, house: House
) -> None:
    alerts, since = house.stepup.alerts, house.clock() - DAY
    await replayed(ada, ada, ada, ada.at(ELSEWHERE))
    theft, retry = await alerts.list("axis", since=since)  # newest first; the second retry is counted, and no alert
    assert (retry.likely_retry, theft.likely_retry, theft.count, retry.count) == (True, False, 3, 3)
    assert (theft.record.ip, theft.acknowledged, await alerts.waiting("axis", since=since)) == (ELSEWHERE, None, 2)

    root, other = house.sign_in("root", is_admin=True), house.sign_in("other", is_admin=True)
    with pytest.raises(NotPermitted, match="Only an admin"):
        await alerts.acknowledge(house.sign_in("eve"), theft.record.seq, scope=scope_from(HOME))
    assert not await alerts.acknowledge(root, theft.record.seq + 1, scope=scope_from(HOME))
    assert not await alerts.acknowledge(root, 1, scope=scope_from(HOME))
    stranger = house.sign_in("stranger", workspace="elsewhere", is_admin=True)
    assert not await alerts.acknowledge(stranger, theft.record.seq, scope=scope_from(HOME))
    assert await alerts.waiting("axis", since=since) == 2

    assert await alerts.acknowledge(root, theft.record.seq, scope=scope_from(HOME))
    assert await alerts.acknowledge(other, theft.record.seq, scope=scope_from(HOME))
    (told,) = await house.events(EventName.ALERT_ACKNOWLEDGED)
    assert (told.subject_id, told.ip, told.user_agent, told.purpose) == (
        "root",
        HOME,
        "Admin/1",
        "payroll_ach_transmit",
    )
    assert told.data["alert"]["seq"] == theft.record.seq
    assert told.data["alert"]["prompt"] == theft.record.prompt_id
    theft, _ = await alerts.list("axis", since=since)
    assert theft.acknowledged is not None
    assert replace(theft.acknowledged, log=told.log, index=told.index) == told  # it may have got its leaf meanwhile
    assert await alerts.waiting("axis", since=since) == 1
    await replayed(ada, ada.at("192.0.2.99"))  # what is acknowledged hides nobody who comes later
    assert await alerts.waiting("axis", since=since) == 2


async def test_what_was_altered_in_the_database_is_an_alert_for_whom_it_concerns(house: House) -> None:
    alerts, since = house.stepup.alerts, house.clock() - DAY
    alarm = house.stepup._parts.alarm
    alarm.raise_for(("tree",), "the tree has shrunk", reason="tree_shrank")
    alarm.raise_for(
        ("a",), "a row of axis", reason="factors", workspace_id="axis", data={"table": "factors", "row": "1"}
    )
    alarm.raise_for(
        ("b",), "a row of theirs", reason="factors", workspace_id="elsewhere", data={"table": "factors", "row": "2"}
    )
    await house.store.records.append([])
    root = house.sign_in("root", is_admin=True)
    stranger = house.sign_in("stranger", workspace="elsewhere", is_admin=True)
    ours, theirs = await alerts.list("axis", since=since), await alerts.list("elsewhere", since=since)
    assert [alert.record.data["what"] for alert in ours] == ["a row of axis", "the tree has shrunk"]
    assert [alert.record.data["what"] for alert in theirs] == ["a row of theirs", "the tree has shrunk"]
    assert {(alert.count, alert.likely_retry) for alert in (*ours, *theirs)} == {(1, False)}

    own, whole = (alert.record.seq for alert in ours)
    assert not await alerts.acknowledge(stranger, own, scope=scope_from(HOME))
    assert await alerts.acknowledge(root, whole, scope=scope_from(HOME))
    assert await alerts.waiting("axis", since=since) == 1
    assert await alerts.waiting("elsewhere", since=since) == 2, "whom it concerns looks at it, each"
    assert await alerts.acknowledge(stranger, whole, scope=scope_from(HOME))


async def test_who_cancels_is_counted_as_cancelled_and_not_as_failed(ada: Browser, house: House) -> None:
    for _ in range(2):
        prompt = await ada.prompt("POST", ROTATE)
        await ada.send("DELETE", prompt["prompt"]["url"])
    prompt = await ada.prompt("POST", ROTATE)
    await ada.post(f"{prompt['prompt']['url']}/totp", json={"code": "000000"})
    told = await house.events(EventName.FAILED)
    assert [each.outcome for each in told] == [Outcome.CANCELLED, Outcome.CANCELLED, Outcome.FAILURE]
    assert [each.severity for each in told] == [Severity.INFO, Severity.INFO, Severity.WARNING]
    counts = await house.stepup.audit.counts("axis", since=house.clock() - DAY)
    failed = {outcome: n for (_, event, outcome), n in counts.by_hour.items() if event is EventName.FAILED}
    assert failed == {Outcome.CANCELLED: 2, Outcome.FAILURE: 1}
    ocsf = ocsf_event(told[0])
    assert (ocsf["status"], ocsf["severity"], ocsf["action"]) == ("cancelled", "Informational", "Observed")
