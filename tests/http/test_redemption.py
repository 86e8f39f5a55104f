"""One token, one run: replays, races, bindings and the order of refusals, over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware import AuditEvent, EventName, Severity
from tests.support import ELSEWHERE, ROTATE, TRANSMIT, Browser, House, code_of, house_in


# T02
async def test_a_token_lets_the_action_run_once_and_the_handler_finds_the_proof(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    answer = await ada.post(TRANSMIT, token=await ada.prove(prompt, "passkey"))
    assert answer.status_code == 200
    assert answer.json() == {"ran": TRANSMIT, "prompt": prompt["prompt"]["id"]}
    assert house.runs[TRANSMIT] == 1
    assert answer.headers["cache-control"] == "no-store"  # C23


# A01
async def test_all_events_of_a_step_up_share_the_prompt_and_come_in_their_order(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    await ada.post(TRANSMIT, token=await ada.prove(prompt, "passkey"))
    async with asyncio.timeout(10):
        while len(records := await house.stepup.audit.of_prompt("axis", prompt["prompt"]["id"])) < 4:
            await house.store.records.wait_for_audit(await house.store.records.last_seq(), seconds=1)
    assert [record.event for record in records] == [
        EventName.CHALLENGE_REQUESTED,
        EventName.VERIFIED,
        EventName.ACTION_AUTHORIZED,
        EventName.ACTION_COMPLETED,
    ]
    assert ada.subject is not None
    for record in records:
        assert (record.workspace_id, record.subject_id, record.session) == ("axis", "ada", ada.subject.session)
        assert (record.ip, record.user_agent, record.purpose) == (ada.ip, "Browser/1", "payroll_ach_transmit")
        assert record.details == (("Run", "2026-06"), ("Employees", "214"))
        assert record.requirement is not None
    for record in records[:3]:
        assert record.request is not None
        assert (record.request.method, record.request.path) == ("POST", TRANSMIT)
    assert records[3].data["status"] == 200
    await house.assert_log_holds()


# T03 A07
async def test_a_replay_is_a_critical_event_that_names_the_first_use(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    for _ in range(3):
        await ada.post(TRANSMIT, token=token)
    (reused,) = await house.events(EventName.REUSED)
    assert reused.severity is Severity.CRITICAL
    assert reused.data["likely_retry"] is True  # T34
    assert reused.data["redeemed"]["ip"] == ada.ip
    assert house.runs[TRANSMIT] == 1


# A07
async def test_a_replay_reaches_the_apps_own_sink_within_a_second(tmp_path: Path) -> None:
    heard: asyncio.Queue[EventName] = asyncio.Queue()

    async def alert(event: AuditEvent) -> None:
        heard.put_nowait(event.name)

    async with house_in(tmp_path, on_event=[alert]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await ada.post(TRANSMIT, token=token)
        async with asyncio.timeout(1):
            while await heard.get() is not EventName.REUSED:
                pass


# T04
async def test_a_hundred_presentations_at_once_run_the_action_once(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    answers = await asyncio.gather(*(ada.post(TRANSMIT, token=token) for _ in range(100)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 403: 99}
    assert {code_of(answer) for answer in answers if answer.status_code == 403} == {"STEPUP_TOKEN_REUSED"}
    assert house.runs[TRANSMIT] == 1
    counts = [record.data["count"] for record in await house.events(EventName.REUSED)]
    assert counts == [1, 10]  # D09: one alert, and then a count
    assert len(await house.events(EventName.ACTION_AUTHORIZED)) == 2  # the other one is the enrolment of the app


# T42 F13
async def test_no_step_up_counts_for_the_next_request(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    answer = await ada.post(TRANSMIT, token=token)
    assert "set-cookie" not in answer.headers
    assert code_of(await ada.post(TRANSMIT)) == "STEPUP_REQUIRED"
    assert house.runs[TRANSMIT] == 1


# T26
@pytest.mark.parametrize("url", ["/raising", "/unprocessable"])
async def test_a_token_is_never_given_back_whatever_the_app_made_of_it(ada: Browser, house: House, url: str) -> None:
    token = await ada.token("POST", url, "passkey")
    try:
        assert (await ada.post(url, token=token)).status_code == 422
    except ZeroDivisionError:
        assert url == "/raising"
    assert code_of(await ada.post(url, token=token)) == "STEPUP_TOKEN_REUSED"
    assert house.runs[url] == 1


# T14 C04
async def test_a_token_in_another_persons_session_is_revoked_and_looks_unused(
    ada: Browser, bob: Browser, house: House
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert code_of(await bob.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    blocked = (await house.events(EventName.BLOCKED))[-1]
    assert blocked.subject_id == "bob"
    assert {"wrong_user", "wrong_session", "ip_mismatch"} <= set(blocked.flags)
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert house.runs[TRANSMIT] == 0
    assert await house.events(EventName.REUSED) == []  # P13


# T32
async def test_a_token_of_an_earlier_session_of_the_same_person_is_worthless(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert code_of(await ada.signed_in_again().post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert house.runs[TRANSMIT] == 0


# T17
async def test_a_token_of_one_workspace_does_nothing_in_another(ada: Browser, house: House) -> None:
    elsewhere = Browser(house, house.sign_in("ada", workspace="other"), factors={})
    await elsewhere.enrol("passkey")
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert code_of(await elsewhere.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert "wrong_workspace" in (await house.events(EventName.BLOCKED))[-1].flags
    assert house.runs[TRANSMIT] == 0


# T16
async def test_a_token_for_another_purpose_stays_good_for_its_own(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    answer = await ada.post(ROTATE, token=token)
    assert code_of(answer) == "STEPUP_REQUIRED"
    assert answer.json()["purpose"]["id"] == "webhook_secret_rotation"
    assert house.total == 0
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200


# T18 T19
@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("DELETE", TRANSMIT),
        ("POST", "/payroll/2026-07/transmit"),
        ("POST", TRANSMIT + "?fast=1"),
        ("POST", TRANSMIT + "?"),
        ("POST", "/alias/2026-06"),
    ],
)
async def test_a_token_is_good_for_the_very_request_that_was_asked_about(
    ada: Browser, house: House, method: str, url: str
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    answer = await ada.send(method, url, token=token)
    if url.endswith("?"):
        assert answer.status_code == 200  # an empty query is no query
        return
    assert code_of(answer) == "STEPUP_REQUIRED"
    assert set((await house.events(EventName.BLOCKED))[-1].flags) <= {"wrong_request", "wrong_details"}
    assert house.total == 0
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200


async def test_a_token_for_other_details_of_the_same_request_is_refused(ada: Browser, house: House) -> None:
    token = await ada.token("POST", "/inside", "passkey", params={"amount": "1"})
    assert code_of(await ada.post("/inside", token=token, params={"amount": "1000000"})) == "STEPUP_REQUIRED"
    assert {"wrong_request", "wrong_details"} == set((await house.events(EventName.BLOCKED))[-1].flags)
    assert house.runs["/inside"] == 0


# T12
async def test_two_token_headers_are_ambiguous_and_consume_neither(ada: Browser, house: House) -> None:
    one = await ada.token("POST", TRANSMIT, "passkey")
    other = await ada.token("POST", TRANSMIT, "passkey")
    for pair in ([one, other], [one, one], [f"{one},{other}"], [f"{one}, {one}"], [one, ""]):
        headers = [("stepup-token", value) for value in pair]
        answer = await ada.client.post(TRANSMIT, headers=headers)
        assert code_of(answer) == "STEPUP_REQUIRED"
        assert (await house.events(EventName.BLOCKED))[-1].reason == "ambiguous_token"
    assert house.runs[TRANSMIT] == 0
    assert (await ada.post(TRANSMIT, token=one)).status_code == 200
    assert (await ada.post(TRANSMIT, token=other)).status_code == 200


# T07 T08 T09 T11
@pytest.mark.parametrize("spoil", ["last", "pad", "dot", "space", "short", "garbage", "long"])
async def test_a_spoilt_spelling_of_a_spent_token_never_runs_anything(ada: Browser, house: House, spoil: str) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    await ada.post(TRANSMIT, token=token)
    spoilt = {
        "last": token[:-1] + ("A" if token[-1] != "A" else "B"),
        "pad": token + "=",
        "dot": "." + token,
        "space": token[:30] + "  " + token[30:],
        "short": token[:-1],
        "garbage": "..",
        "long": "." * 100_000,
    }[spoil]
    assert code_of(await ada.post(TRANSMIT, token=spoilt)) == "STEPUP_REQUIRED"
    assert (await house.events(EventName.BLOCKED))[-1].reason == "malformed_token"
    assert house.runs[TRANSMIT] == 1


# T13
async def test_a_token_in_query_body_or_a_cookie_of_another_name_counts_for_nothing(ada: Browser, house: House) -> None:
    token = await ada.token("POST", ROTATE, "passkey")
    answers = [
        await ada.post(ROTATE, params={"StepUp-Token": token}),
        await ada.post(ROTATE, data={"StepUp-Token": token}),
        await ada.post(ROTATE, json={"token": token}),
        await ada.post(ROTATE, headers={"stepup_token": token}),
        await ada.post(ROTATE, headers={"authorization": f"Bearer {token}"}),
        await ada.post(ROTATE, headers={"cookie": f"session={ada.client.cookies['session']}; StepUp-Token={token}"}),
    ]
    assert {code_of(answer) for answer in answers} == {"STEPUP_REQUIRED"}
    assert house.runs[ROTATE] == 0


# T36
async def test_a_request_in_early_data_is_too_early_and_consumes_nothing(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    answer = await ada.post(TRANSMIT, token=token, headers={"early-data": "1"})
    assert answer.status_code == 425
    assert answer.headers["cache-control"] == "no-store"
    assert house.runs[TRANSMIT] == 0
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200


# C18
@pytest.mark.parametrize("header", ["sec-purpose", "purpose"])
async def test_a_prefetch_is_refused_without_asking_anybody(ada: Browser, house: House, header: str) -> None:
    before = len(await house.events())
    answer = await ada.send("GET", "/export", headers={header: "prefetch;prerender"})
    assert (answer.status_code, code_of(answer)) == (401, "STEPUP_REQUIRED")
    assert "prompt" not in answer.json()
    assert "stepup-prompt" not in answer.headers
    assert len(await house.events()) == before
    assert house.runs["/export"] == 0


# C18
async def test_a_prefetch_with_the_one_time_cookie_does_not_spend_it(ada: Browser, house: House) -> None:
    token = await ada.token("GET", "/export", "passkey")
    cookie = {"cookie": f"session={ada.client.cookies['session']}; __Secure-stepup-token={token}"}
    early = await ada.navigate("GET", "/export", headers={**cookie, "sec-purpose": "prefetch"})
    assert early.status_code == 401
    assert house.runs["/export"] == 0
    assert (await ada.navigate("GET", "/export", headers=cookie)).status_code == 200


# T18 T19
@pytest.mark.parametrize("where", ["path", "query"])
async def test_an_address_too_long_to_be_bound_as_a_whole_is_refused(ada: Browser, house: House, where: str) -> None:
    def url(tail: str) -> str:
        long = "x" * 8192 + tail
        return f"/mounted/{long}" if where == "path" else f"/export?q={long}"

    answer = await ada.send("GET", url("a"))
    assert (answer.status_code, code_of(answer)) == (414, "STEPUP_TARGET_TOO_LONG")
    assert house.total == 0


# T18 T19
async def test_a_long_address_is_bound_to_its_last_character(ada: Browser, house: House) -> None:
    long = "/export?q=" + "x" * 8000
    token = await ada.token("GET", long + "a", "passkey")
    assert code_of(await ada.send("GET", long + "b", token=token)) == "STEPUP_REQUIRED"
    assert (await ada.send("GET", long + "a", token=token)).status_code == 200


# C09
async def test_two_prompts_live_side_by_side_and_their_tokens_are_not_interchangeable(
    ada: Browser, house: House
) -> None:
    one = await ada.prompt("POST", TRANSMIT)
    other = await ada.prompt("POST", "/payroll/2026-07/transmit")
    token = await ada.prove(other, "passkey")
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert (await ada.post(TRANSMIT, token=await ada.prove(one, "passkey"))).status_code == 200
    assert (await ada.post("/payroll/2026-07/transmit", token=token)).status_code == 200


# P01 P02 P03 P04
async def test_a_token_that_ran_is_told_as_used_whatever_else_is_wrong_now(
    ada: Browser, bob: Browser, house: House
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    await ada.post(TRANSMIT, token=token)
    house.clock.advance(timedelta(days=2))
    answers = [
        await ada.post(TRANSMIT, token=token),
        await ada.at(ELSEWHERE).post(TRANSMIT, token=token),
        await ada.signed_in_again().post(TRANSMIT, token=token),
        await bob.post(TRANSMIT, token=token),
        await ada.post(ROTATE, token=token),
        await ada.send("DELETE", TRANSMIT, token=token),
    ]
    assert {code_of(answer) for answer in answers} == {"STEPUP_TOKEN_REUSED"}
    assert house.total == 1


# P07 P08 P13
async def test_a_token_shown_from_another_address_is_dead_and_raises_no_critical_alert(
    ada: Browser, house: House
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert code_of(await ada.at(ELSEWHERE).post(ROTATE, token=token)) == "STEPUP_IP_MISMATCH"
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert "revoked" in (await house.events(EventName.BLOCKED))[-1].flags
    assert await house.events(EventName.REUSED) == []
    assert house.total == 0


# P14
async def test_the_right_and_the_wrong_address_at_once_run_the_action_at_most_once(ada: Browser, house: House) -> None:
    other = ada.at(ELSEWHERE)
    for _ in range(10):
        before = house.runs[TRANSMIT]
        token = await ada.token("POST", TRANSMIT, "passkey")
        answers = await asyncio.gather(
            *(browser.post(TRANSMIT, token=token) for browser in (other, ada, other, ada, other))
        )
        ran = [answer for answer in answers if answer.status_code == 200]
        assert len(ran) == house.runs[TRANSMIT] - before <= 1


# P09
async def test_an_expired_token_of_another_purpose_is_told_as_expired(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    house.clock.advance(61)
    assert code_of(await ada.post(ROTATE, token=token)) == "STEPUP_TOKEN_EXPIRED"


# I01
async def test_an_address_in_its_mapped_spelling_is_the_same_address(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    assert (await ada.at(f"::ffff:{ada.ip}").post(TRANSMIT, token=token)).status_code == 200


# I04
async def test_after_a_change_of_network_one_new_prompt_is_enough(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    moved = ada.at("2001:db8::1")
    assert code_of(await moved.post(TRANSMIT, token=token)) == "STEPUP_IP_MISMATCH"
    assert (await moved.step_up("POST", TRANSMIT, "passkey")).status_code == 200


# T31 E09
async def test_a_token_whose_factor_was_removed_is_refused(ada: Browser, house: House) -> None:
    token = await ada.token("POST", ROTATE, "totp")
    house.clock.advance(30)
    removed = await ada.step_up("DELETE", f"/stepup/factors/{ada.factors['totp'].id}", "passkey")
    assert removed.status_code == 204, removed.text
    assert code_of(await ada.post(ROTATE, token=token)) == "STEPUP_FACTOR_INSUFFICIENT"
    assert house.runs[ROTATE] == 0


async def test_signing_out_makes_prompts_and_unused_tokens_of_the_session_worthless(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    prompt = await ada.prompt("POST", TRANSMIT)
    assert ada.subject is not None
    await house.stepup.end_session(ada.subject)
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert (await ada.send("GET", prompt["prompt"]["url"])).status_code == 404
    assert house.runs[TRANSMIT] == 0


# Y06
async def test_revoking_everything_makes_every_outstanding_token_worthless(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    await house.stepup.revoke_all()
    assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    assert house.runs[TRANSMIT] == 1


# K06
async def test_no_token_lives_beyond_its_time_in_either_direction(ada: Browser, house: House) -> None:
    tokens = [await ada.token("POST", TRANSMIT, "passkey") for _ in range(6)]
    issued = house.clock()
    for token, apart in zip(tokens, (3650, 366, 1, -1, -366, -3650), strict=True):
        house.clock.set(issued + timedelta(days=apart))
        assert code_of(await ada.post(TRANSMIT, token=token)) == "STEPUP_TOKEN_EXPIRED"
    assert house.total == 0


# I03
@pytest.mark.parametrize(("settings", "status"), [({}, 403), ({"ipv6_prefix": 64}, 200), ({"ipv6_prefix": 96}, 403)])
async def test_a_token_serves_another_address_of_the_same_ipv6_network_only_where_the_app_says_so(
    tmp_path: Path, settings: dict[str, int], status: int
) -> None:
    async with house_in(tmp_path, **settings) as house:
        ada = Browser(house, house.sign_in("ada"), ip="2001:db8:1:2:aaaa::1")
        await ada.enrol("passkey")
        token = await ada.token("POST", ROTATE, "passkey")
        elsewhere = await ada.at("2001:db8:1:3:aaaa::1").send("POST", "/open", token=token)
        assert elsewhere.status_code == 200
        assert (await ada.at("2001:db8:1:2:bbbb::1").send("POST", ROTATE, token=token)).status_code == status
        assert house.runs[ROTATE] == (status == 200)
