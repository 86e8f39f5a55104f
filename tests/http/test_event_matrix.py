"""Each outcome leaves exactly its events, with one prompt id, and each event says who, what, how and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from stepup_middleware import AuditRecord, EventName, Severity
from tests.support import ELSEWHERE, ORIGIN, ROTATE, TRANSMIT, Browser, House

Play = Callable[[Browser, Browser, House], Awaitable[object]]
Told = list[tuple[EventName, str]]

ASKED, PROVED, FAILED = EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.FAILED
BLOCKED, REUSED = EventName.BLOCKED, EventName.REUSED
RAN, ENDED = EventName.ACTION_AUTHORIZED, EventName.ACTION_COMPLETED


async def asked_alone(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.prompt("POST", TRANSMIT)


async def ran(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.step_up("POST", TRANSMIT, "passkey")


async def proved_alone(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.token("POST", TRANSMIT, "passkey")


async def wrong_code(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.answer(await ada.prompt("POST", ROTATE), ada.factors["totp"], code="000000")


async def code_again(ada: Browser, bob: Browser, house: House) -> object:
    await ada.token("POST", ROTATE, "totp")
    return await ada.answer(await ada.prompt("POST", ROTATE), ada.factors["totp"])


async def bad_signature(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.answer(await ada.prompt("POST", TRANSMIT), ada.factors["passkey"], tamper_signature=True)


async def wrong_origin(ada: Browser, bob: Browser, house: House) -> object:
    prompt = await ada.prompt("POST", TRANSMIT)
    return await ada.answer(prompt, ada.factors["passkey"], client_origin="https://evil.example")


async def unverified(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.answer(await ada.prompt("POST", TRANSMIT), ada.factors["passkey"], user_verified=False)


async def weak_factor(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.answer(await ada.prompt("POST", TRANSMIT), ada.factors["totp"])


async def from_elsewhere(ada: Browser, bob: Browser, house: House) -> object:
    prompt = await ada.prompt("POST", TRANSMIT)
    options = await ada.options(prompt, "passkey")
    authenticator = ada.factors["passkey"].authenticator
    assert authenticator is not None
    assertion = authenticator.get(options.json(), origin=ORIGIN)
    return await ada.at(ELSEWHERE).post(f"{prompt['prompt']['url']}/webauthn", json=assertion)


async def of_somebody_else(ada: Browser, bob: Browser, house: House) -> object:
    prompt = await ada.prompt("POST", TRANSMIT)
    return await bob.post(f"{prompt['prompt']['url']}/webauthn/options", json={})


async def cancelled(ada: Browser, bob: Browser, house: House) -> object:
    prompt = await ada.prompt("POST", TRANSMIT)
    return await ada.send("DELETE", prompt["prompt"]["url"])


async def replayed(ada: Browser, bob: Browser, house: House) -> object:
    token = await ada.token("POST", TRANSMIT, "passkey")
    await ada.post(TRANSMIT, token=token)
    return await ada.post(TRANSMIT, token=token)


async def token_elsewhere(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.at(ELSEWHERE).post(TRANSMIT, token=await ada.token("POST", TRANSMIT, "passkey"))


async def token_of_somebody_else(ada: Browser, bob: Browser, house: House) -> object:
    return await bob.post(TRANSMIT, token=await ada.token("POST", TRANSMIT, "passkey"))


async def token_too_late(ada: Browser, bob: Browser, house: House) -> object:
    token = await ada.token("POST", TRANSMIT, "passkey")
    house.clock.advance(timedelta(seconds=61))
    return await ada.post(TRANSMIT, token=token)


async def token_for_something_else(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.post(ROTATE, token=await ada.token("POST", TRANSMIT, "passkey"))


async def token_for_another_run(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.post("/payroll/2026-07/transmit", token=await ada.token("POST", TRANSMIT, "passkey"))


async def malformed(ada: Browser, bob: Browser, house: House) -> object:
    return await ada.post(TRANSMIT, token="." * 40)


async def no_factor(ada: Browser, bob: Browser, house: House) -> object:
    return await Browser(house, house.sign_in("eve")).post(TRANSMIT)


async def raised(ada: Browser, bob: Browser, house: House) -> object:
    with pytest.raises(ZeroDivisionError):
        await ada.step_up("POST", "/raising", "passkey")
    return None


async def limited(ada: Browser, bob: Browser, house: House) -> object:
    prompt = await ada.prompt("POST", ROTATE)
    for code in ("000001", "000002", "000003", "000004", "000005"):
        await ada.answer(prompt, ada.factors["totp"], code=code)
    return await ada.answer(prompt, ada.factors["totp"], code="000006")


async def key_removed(ada: Browser, bob: Browser, house: House) -> object:
    await ada.enrol("hardware_key", by="passkey")
    token = await ada.token("POST", TRANSMIT, "hardware_key")
    removal = f"/stepup/factors/{ada.factors['hardware_key'].id}"
    removed = await ada.step_up("DELETE", removal, "passkey")
    assert removed.status_code == 204
    return await ada.post(TRANSMIT, token=token)


MATRIX: list[tuple[Play, Told]] = [
    (asked_alone, [(ASKED, "")]),
    (proved_alone, [(ASKED, ""), (PROVED, "")]),
    (ran, [(ASKED, ""), (PROVED, ""), (RAN, ""), (ENDED, "")]),
    (raised, [(ASKED, ""), (PROVED, ""), (RAN, ""), (ENDED, "")]),
    (wrong_code, [(ASKED, ""), (FAILED, "wrong_code")]),
    (code_again, [(ASKED, ""), (PROVED, ""), (ASKED, ""), (FAILED, "totp_replay")]),
    (bad_signature, [(ASKED, ""), (FAILED, "bad_signature")]),
    (wrong_origin, [(ASKED, ""), (FAILED, "wrong_origin")]),
    (unverified, [(ASKED, ""), (FAILED, "no_user_verification")]),
    (weak_factor, [(ASKED, ""), (FAILED, "factor_insufficient")]),
    (limited, [(ASKED, ""), *[(FAILED, "wrong_code")] * 5, (BLOCKED, "rate_limited")]),
    (from_elsewhere, [(ASKED, ""), (FAILED, "ip")]),
    (of_somebody_else, [(ASKED, ""), (BLOCKED, "wrong_holder")]),
    (cancelled, [(ASKED, ""), (FAILED, "cancelled")]),
    (no_factor, [(BLOCKED, "no_factor")]),
    (malformed, [(BLOCKED, "malformed_token"), (ASKED, "")]),
    (replayed, [(ASKED, ""), (PROVED, ""), (RAN, ""), (ENDED, ""), (REUSED, "redeemed_before")]),
    (token_elsewhere, [(ASKED, ""), (PROVED, ""), (BLOCKED, "ip_mismatch")]),
    (token_of_somebody_else, [(ASKED, ""), (PROVED, ""), (BLOCKED, "wrong_user"), (ASKED, "")]),
    (token_too_late, [(ASKED, ""), (PROVED, ""), (BLOCKED, "expired"), (ASKED, "")]),
    (token_for_something_else, [(ASKED, ""), (PROVED, ""), (BLOCKED, "wrong_purpose"), (ASKED, "")]),
    (token_for_another_run, [(ASKED, ""), (PROVED, ""), (BLOCKED, "wrong_request"), (ASKED, "")]),
]


async def told_since(house: House, seq: int, count: int) -> list[AuditRecord]:
    """Return the events after a place, once there are so many: the end of an action comes when nobody waits."""
    async with asyncio.timeout(20):
        while len(told := [record for record in await house.events() if record.seq > seq]) < count:
            await house.store.records.wait_for_audit(await house.store.records.last_seq(), seconds=1)
    return told


# A01
@pytest.mark.parametrize(("play", "expected"), MATRIX, ids=[play.__name__ for play, _ in MATRIX])
async def test_each_outcome_leaves_exactly_its_events_and_each_says_everything(
    ada: Browser, bob: Browser, house: House, play: Play, expected: Told
) -> None:
    before = await house.store.records.last_seq()
    await play(ada, bob, house)
    told = await told_since(house, before, len(expected))
    assert Counter((record.event, record.reason) for record in told) == Counter(expected)
    assert [record.event for record in told if record.event is not ENDED] == [
        event for event, _ in expected if event is not ENDED
    ]  # how an action ended may be written behind what came after it
    for record in told:
        tells_everything(record, house)
    of_prompt: dict[str, list[AuditRecord]] = {}
    for record in told:
        of_prompt.setdefault(record.prompt_id, []).append(record)
    for prompt_id, records in of_prompt.items():
        if prompt_id and records[0].event is ASKED:
            own = [record for record in records if record.reason != "wrong_holder"]
            assert {record.policy_version for record in own} == {records[0].policy_version}
            assert sum(record.event is ASKED for record in records) == 1
    await house.assert_log_holds()


def tells_everything(record: AuditRecord, house: House) -> None:
    """Check what every event says, whatever it is of (ASVS 16.2.1)."""
    assert record.at.tzinfo is not None and record.at.utcoffset() == timedelta(0)
    assert record.workspace_id == "axis"
    subject = next(subject for subject in house.sessions.values() if subject.session == record.session)
    assert (record.subject_id, record.subject_name) == (subject.id, subject.name)
    assert record.ip in ("192.0.2.7", "192.0.2.8", ELSEWHERE)
    assert record.user_agent == "Browser/1"
    foreign = record.reason == "wrong_holder"  # of whose prompt the log has its number alone, which was sent
    assert (record.purpose in house.stepup.purposes) is not foreign
    assert record.retention_years >= 1
    assert (record.severity is Severity.CRITICAL) is (record.event is REUSED)
    unreadable = record.reason == "malformed_token"
    assert bool(record.prompt_id) is not unreadable
    assert (record.policy_version is not None) is (record.requirement is not None) is not (unreadable or foreign)
    assert (record.request is not None) is (record.event is not ENDED and not foreign)
    assert bool(record.reason) is (record.event in (FAILED, BLOCKED, REUSED))
    assert bool(record.flags) is (record.event in (BLOCKED, REUSED) and record.reason != "no_factor")
    assert not record.flags or record.flags[0] == record.reason
    tried = record.event in (PROVED, RAN, ENDED, REUSED) or (
        record.event is FAILED and record.reason not in ("cancelled", "ip")
    )
    if tried:
        assert record.factor_kind is not None
    if record.event in (PROVED, RAN, ENDED, REUSED) or record.reason in ("bad_signature", "wrong_origin"):
        assert record.factor_id
    assert ("proof" in record.data) is (record.event is PROVED)


# A01
async def test_a_removed_key_takes_its_token_with_it_and_the_log_says_so(
    ada: Browser, bob: Browser, house: House
) -> None:
    await key_removed(ada, bob, house)
    blocked = (await house.events(BLOCKED))[-1]
    assert "revoked" in blocked.flags or "factor_gone" in blocked.flags, blocked
    assert [removed.factor_id for removed in await house.events(EventName.FACTOR_REMOVED)]


# A19
async def test_the_log_is_in_the_order_of_its_numbers_when_the_clock_goes_back(ada: Browser, house: House) -> None:
    before = await house.store.records.last_seq()
    await ada.step_up("POST", TRANSMIT, "passkey")
    house.clock.advance(timedelta(hours=-2))
    await ada.step_up("POST", TRANSMIT, "passkey")
    told = await told_since(house, before, 8)
    assert [record.seq for record in told] == list(range(before + 1, before + 9))
    asked = [record.at for record in told if record.event is ASKED]
    assert asked[1] < asked[0]
    await house.assert_log_holds()
