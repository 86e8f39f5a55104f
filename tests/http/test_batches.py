"""Several prompts as one question: exactly what was shown is confirmed, and each token is its own request's alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import ConfigurationError, EventName
from stepup_middleware.core.batches import MOST_PROMPTS, total_hash
from stepup_middleware.core.canonical import read_base64url
from stepup_middleware.core.prompts import PROMPT_LIFETIME
from stepup_middleware.testing import totp_code
from tests.evidence.independent_verifier import verdict
from tests.evidence.logs import VKEYS, logged_house
from tests.support import ELSEWHERE, ORIGIN, ROTATE, Browser, House, code_of, house_in

SCIM = "/with-middleware"


def employees(shown: Sequence[Sequence[tuple[str, str]]], locale: str) -> tuple[str, str]:
    assert locale == "en"
    return "Employees", str(sum(int(dict(details)["Employees"]) for details in shown))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path, totals={"payroll_ach_transmit": employees}) as made:
        yield made


@pytest.fixture
async def ada(house: House) -> Browser:
    browser = Browser(house, house.sign_in("ada"))
    await browser.enrol("passkey")
    await browser.enrol("totp", by="passkey")
    return browser


def url_of(run: int) -> str:
    return f"/payroll/run-{run}/transmit"


async def asked(browser: Browser, count: int) -> list[str]:
    """Ask for so many payroll runs to be transmitted, and return the ids of the prompts."""
    return [(await browser.prompt("POST", url_of(run)))["prompt"]["id"] for run in range(count)]


async def together(browser: Browser, ids: list[str]) -> Any:
    answer = await browser.post("/stepup/batches", json={"prompts": ids})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def options(browser: Browser, ids: list[str]) -> httpx2.Response:
    return await browser.post("/stepup/batches/webauthn/options", json={"prompts": ids, "kind": "passkey"})


def signed(browser: Browser, begun: httpx2.Response, **deviations: Any) -> Any:
    authenticator = browser.factors["passkey"].authenticator
    assert authenticator is not None
    return authenticator.get(begun.json(), origin=ORIGIN, **deviations)


async def finish(browser: Browser, ids: list[str], credential: Any) -> httpx2.Response:
    return await browser.post("/stepup/batches/webauthn", json={"prompts": ids, "credential": credential})


async def prove(browser: Browser, ids: list[str]) -> dict[str, str]:
    """Confirm prompts together by passkey, and return each one's token."""
    begun = await options(browser, ids)
    assert begun.status_code == 200, begun.text
    return tokens_of(await finish(browser, ids, signed(browser, begun)))


def tokens_of(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {each["prompt"]: each["token"] for each in answer.json()["tokens"]}


async def test_fifty_prompts_are_one_question_and_exactly_the_right_ones_run(house: House, ada: Browser) -> None:
    """Two are left out, one expires, one is answered alone, one has other details, one is repeated: the rest run."""
    expired = await asked(ada, 1)
    house.clock.advance(60)
    prompts = [await ada.prompt("POST", url_of(run)) for run in range(1, MOST_PROMPTS)]
    ids = [*expired, *(each["prompt"]["id"] for each in prompts)]
    question = await together(ada, ids)
    assert [each["id"] for each in question["prompts"]] == ids
    assert question["prompts"][7]["details"] == [["Run", "run-7"], ["Employees", "214"]]
    assert (question["total"], question["left_out"]) == (["Employees", str(214 * MOST_PROMPTS)], [])
    gone = await ada.post("/stepup/batches/cancel", json={"prompts": ids[1:3]})
    assert gone.status_code == 204
    house.clock.advance(int(PROMPT_LIFETIME.total_seconds()) - 60)
    assert code_of(await options(ada, ids)) == "STEPUP_PROMPT_NOT_FOUND"  # the list that is shown is not what is left
    question = await together(ada, ids)
    assert [each["prompt"] for each in question["left_out"]] == ids[:3]
    assert {each["code"] for each in question["left_out"]} == {"STEPUP_PROMPT_NOT_FOUND"}
    assert question["total"] == ["Employees", str(214 * (MOST_PROMPTS - 3))]
    left = [each["id"] for each in question["prompts"]]
    assert left == ids[3:]
    begun = await options(ada, left)
    assert await ada.prove(prompts[left.index(ids[4]) + 2], "passkey")
    answer = await finish(ada, left, signed(ada, begun))
    tokens = tokens_of(answer)
    assert [each["prompt"] for each in answer.json()["left_out"]] == [ids[4]]
    assert list(tokens) == [ids[3], *ids[5:]]
    other = await ada.post("/payroll/another/transmit", token=tokens[ids[5]])  # for details that nobody was shown
    assert (other.status_code, code_of(other)) == (401, "STEPUP_REQUIRED")
    right = [3, *range(6, MOST_PROMPTS)]
    for run in right:
        assert (await ada.post(url_of(run), token=tokens[ids[run]])).status_code == 200
    assert code_of(await ada.post(url_of(10), token=tokens[ids[10]])) == "STEPUP_TOKEN_REUSED"
    assert house.runs == {url_of(run): 1 for run in right}


def the_code(browser: Browser) -> str:
    return totp_code(browser.factors["totp"].secret, browser.house.clock())


# N44
async def test_a_token_of_one_serves_none_of_the_others(house: House, ada: Browser) -> None:
    ids = await asked(ada, 4)
    tokens = await prove(ada, ids)
    for run in range(4):
        for other in range(4):
            if other != run:
                answer = await ada.post(url_of(run), token=tokens[ids[other]])
                assert (answer.status_code, code_of(answer)) == (401, "STEPUP_REQUIRED")
    assert house.total == 0
    for run, prompt in enumerate(ids):
        assert (await ada.post(url_of(run), token=tokens[prompt])).json()["prompt"] == prompt
    await house.assert_log_holds()


async def test_one_code_confirms_them_all_and_spends_one_time_step(house: House, ada: Browser) -> None:
    prompts = [await ada.prompt("POST", ROTATE, headers={"content-type": f"text/x-{at}"}) for at in range(3)]
    ids = [each["prompt"]["id"] for each in prompts]
    code = the_code(ada)
    answer = await ada.post("/stepup/batches/totp", json={"prompts": ids, "code": code})
    tokens = tokens_of(answer)
    assert list(tokens) == ids
    another = (await ada.prompt("POST", ROTATE))["prompt"]["id"]
    spent = await ada.post("/stepup/batches/totp", json={"prompts": [another], "code": code})
    assert code_of(spent) == "STEPUP_VERIFICATION_FAILED"
    steps = {
        record.data["proof"]["time_step"]
        for record in await house.events(EventName.VERIFIED)
        if record.prompt_id in ids
    }
    assert len(steps) == 1
    for at, prompt in enumerate(ids):
        headers = {"content-type": f"text/x-{at}"}
        assert (await ada.post(ROTATE, headers=headers, token=tokens[prompt])).status_code == 200


async def test_a_code_is_no_proof_where_the_requirement_resists_phishing(house: House, ada: Browser) -> None:
    ids = await asked(ada, 2)
    answer = await ada.post("/stepup/batches/totp", json={"prompts": ids, "code": the_code(ada)})
    assert code_of(answer) == "STEPUP_FACTOR_INSUFFICIENT"
    assert list(await prove(ada, ids)) == ids  # they are open still


# N40
@pytest.mark.parametrize("change", ["fewer", "more", "other", "order"])
async def test_a_proof_confirms_exactly_the_list_that_it_was_begun_with(
    house: House, ada: Browser, change: str
) -> None:
    ids = await asked(ada, 4)
    shown = ids[:3]
    begun = await options(ada, shown)
    sent = {"fewer": ids[:2], "more": ids, "other": [*ids[:2], ids[3]], "order": ids[2::-1]}[change]
    answer = await finish(ada, sent, signed(ada, begun))
    assert code_of(answer) == "STEPUP_VERIFICATION_FAILED"
    assert not [record for record in await house.events(EventName.VERIFIED) if record.prompt_id in ids]
    assert list(await prove(ada, shown)) == shown


# N45
async def test_a_proof_of_several_is_none_of_one_and_the_other_way_round(house: House, ada: Browser) -> None:
    (prompt,) = await asked(ada, 1)
    begun = await options(ada, [prompt])
    alone = await ada.post(f"/stepup/prompts/{prompt}/webauthn", json=signed(ada, begun))
    assert code_of(alone) == "STEPUP_VERIFICATION_FAILED"
    single = await ada.post(f"/stepup/prompts/{prompt}/webauthn/options", json={})
    assert code_of(await finish(ada, [prompt], signed(ada, single))) == "STEPUP_VERIFICATION_FAILED"


async def test_a_challenge_of_several_is_answered_once(house: House, ada: Browser) -> None:
    ids = await asked(ada, 3)
    begun = await options(ada, ids)
    wrong = await finish(ada, ids, signed(ada, begun, user_verified=False))
    assert code_of(wrong) == "STEPUP_VERIFICATION_FAILED"
    assert code_of(await finish(ada, ids, signed(ada, begun))) == "STEPUP_VERIFICATION_FAILED"
    failed = await house.events(EventName.FAILED)
    assert [record.prompt_id for record in failed] == [ids[0]] * 2  # once a failure, not once a prompt


# N41
async def test_two_questions_with_a_prompt_in_common_confirm_it_once(house: House, ada: Browser) -> None:
    ids = await asked(ada, 5)
    one, other = ids[:3], ids[2:]
    first, second = await options(ada, one), await options(ada, other)
    assert list(tokens_of(await finish(ada, one, signed(ada, first)))) == one
    answer = await finish(ada, other, signed(ada, second))
    assert list(tokens_of(answer)) == ids[3:]
    assert [each["prompt"] for each in answer.json()["left_out"]] == [ids[2]]
    assert len(await house.events(EventName.VERIFIED)) == 1 + len(ids)  # and the enrolment of the app


# N43
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_prompt_that_is_answered_alone_meanwhile_falls_out_and_it_is_said(
    house: House, ada: Browser, place: int
) -> None:
    prompts = [await ada.prompt("POST", url_of(run)) for run in range(3)]
    ids = [each["prompt"]["id"] for each in prompts]
    begun = await options(ada, ids)
    await ada.prove(prompts[place], "passkey")
    answer = await finish(ada, ids, signed(ada, begun))
    assert list(tokens_of(answer)) == [each for each in ids if each != ids[place]]
    (gone,) = answer.json()["left_out"]
    assert gone["prompt"] == ids[place]
    assert gone["detail"].startswith("It was finished, cancelled or has expired.")


# N43
async def test_the_question_ends_with_the_first_of_its_prompts(house: House, ada: Browser) -> None:
    early = await asked(ada, 1)
    house.clock.advance(60)
    ids = [*early, (await ada.prompt("POST", url_of(9)))["prompt"]["id"]]
    begun = await options(ada, ids)
    house.clock.advance(int(PROMPT_LIFETIME.total_seconds()) - 60)
    assert code_of(await finish(ada, ids, signed(ada, begun))) == "STEPUP_PROMPT_NOT_FOUND"
    question = await together(ada, ids)
    assert [each["prompt"] for each in question["left_out"]] == early
    assert list(await prove(ada, ids[1:])) == ids[1:]


# N42
async def test_a_prompt_of_somebody_else_is_like_one_that_is_not_there_and_is_logged(
    house: House, ada: Browser
) -> None:
    bob = Browser(house, house.sign_in("bob"))
    await bob.enrol("passkey")
    theirs = await asked(bob, 1)
    ids = [*await asked(ada, 1), *theirs]
    question = await together(ada, ids)
    assert [each["id"] for each in question["prompts"]] == ids[:1]
    unknown = (await together(ada, [ids[0], "unknown"]))["left_out"]
    assert [{**each, "prompt": ""} for each in question["left_out"]] == [{**each, "prompt": ""} for each in unknown]
    for call in (options(ada, ids), finish(ada, ids, {})):
        assert code_of(await call) == "STEPUP_PROMPT_NOT_FOUND"
    assert code_of(await ada.post("/stepup/batches", json={"prompts": theirs})) == "STEPUP_PROMPT_NOT_FOUND"
    await ada.post("/stepup/batches/cancel", json={"prompts": theirs})
    assert list(await prove(bob, theirs)) == theirs  # nobody cancelled it for them
    blocked = await house.events(EventName.BLOCKED)
    assert {(record.subject_id, record.reason) for record in blocked} == {("ada", "wrong_holder")}


async def test_what_is_not_one_question_is_refused_with_a_sentence(house: House, ada: Browser) -> None:
    (run,) = await asked(ada, 1)
    rotate = (await ada.prompt("POST", ROTATE))["prompt"]["id"]
    abroad = (await ada.at(ELSEWHERE).prompt("POST", url_of(8)))["prompt"]["id"]
    german = (await ada.prompt("POST", url_of(9), headers={"accept-language": "de"}))["prompt"]["id"]
    for other in (rotate, abroad, german):
        for path in ("", "/webauthn/options", "/webauthn", "/totp"):
            answer = await ada.post(f"/stepup/batches{path}", json={"prompts": [run, other], "code": the_code(ada)})
            assert (answer.status_code, code_of(answer)) == (400, "STEPUP_BAD_REQUEST")
            assert "one purpose" in answer.json()["detail"]
    another_session = ada.signed_in_again()
    left = await together(another_session, [(await another_session.prompt("POST", ROTATE))["prompt"]["id"], run])
    assert [each["prompt"] for each in left["left_out"]] == [run]


async def test_the_librarys_own_purposes_are_confirmed_one_at_a_time(house: House, ada: Browser) -> None:
    ids = [
        (await ada.prompt("POST", "/stepup/factors/webauthn/options", json={"kind": "passkey"}))["prompt"]["id"]
        for _ in range(2)
    ]
    answer = await ada.post("/stepup/batches", json={"prompts": ids})
    assert (answer.status_code, code_of(answer)) == (400, "STEPUP_BAD_REQUEST")


async def test_a_question_is_answered_from_where_it_was_asked(house: House, ada: Browser) -> None:
    ids = await asked(ada, 2)
    begun = await options(ada, ids)
    answer = await finish(ada.at(ELSEWHERE), ids, signed(ada, begun))
    assert code_of(answer) == "STEPUP_IP_MISMATCH"


@pytest.mark.parametrize(
    "prompts", [None, [], "a", [7], [""], ["é"], ["a" * 65], ["a", "a"], ["a"] * 51, {"a": 1}], ids=repr
)
async def test_a_list_that_cannot_be_read_is_refused(ada: Browser, prompts: Any) -> None:
    for path in ("", "/webauthn/options", "/webauthn", "/totp", "/cancel"):
        answer = await ada.post(f"/stepup/batches{path}", json={"prompts": prompts})
        assert (answer.status_code, code_of(answer)) == (400, "STEPUP_BAD_REQUEST")


async def test_a_factor_that_came_after_one_of_them_serves_none_of_them_together(house: House, ada: Browser) -> None:
    early = await asked(ada, 1)
    await ada.enrol("hardware_key", by="passkey")
    ids = [*early, (await ada.prompt("POST", url_of(5)))["prompt"]["id"]]
    assert (await together(ada, ids))["enrolled_factors"] == ["passkey"]
    answer = await ada.post("/stepup/batches/webauthn/options", json={"prompts": ids, "kind": "hardware_key"})
    assert code_of(answer) == "STEPUP_FACTOR_INSUFFICIENT"


async def test_signing_out_ends_the_question(house: House, ada: Browser) -> None:
    ids = await asked(ada, 2)
    begun = await options(ada, ids)
    assert ada.subject is not None
    await house.stepup.end_session(ada.subject)
    assert code_of(await finish(ada, ids, signed(ada, begun))) == "STEPUP_PROMPT_NOT_FOUND"


async def test_the_fragment_lists_each_request_and_the_total_and_names_itself(house: House, ada: Browser) -> None:
    ids = await asked(ada, 2)
    answer = await ada.post("/stepup/batches", json={"prompts": ids}, headers={"hx-request": "true"})
    assert answer.headers["stepup-prompt"] == "/stepup/batches"
    for text in ("run-0", "run-1", "428", *(f'data-stepup-item="{each}"' for each in ids)):
        assert text in answer.text
    assert 'data-stepup-prompt="/stepup/batches"' in answer.text


# N46
async def test_the_evidence_of_each_verifies_alone_and_has_nothing_of_the_others(tmp_path: Path) -> None:
    async with logged_house(tmp_path, totals={"payroll_ach_transmit": employees}) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        ids = await asked(ada, 3)
        tokens = await prove(ada, ids)
        for run, prompt in enumerate(ids):
            await ada.post(url_of(run), token=tokens[prompt])
        salts = []
        for run, prompt in enumerate(ids):
            bundle = await house.stepup.evidence("axis", prompt)
            assert verdict(bundle, VKEYS) == ("verified", "")
            text = json.dumps(bundle)
            assert [other for other in range(3) if f"run-{other}" in text] == [run]
            assert [other for other in ids if other in text] == [prompt]
            records = await house.stepup.audit.of_prompt("axis", prompt)
            (batch,) = [each.data["proof"]["batch"] for each in records if each.event is EventName.VERIFIED]
            assert len(batch["hashes"]) == 3
            assert "642" not in json.dumps(batch)
            salts.append(read_base64url(batch["salt"]))
        assert read_base64url(batch["total"]) == total_hash(salts, ("Employees", "642"))
        assert read_base64url(batch["total"]) != total_hash(salts, ("Employees", "641"))


@pytest.mark.parametrize(
    ("totals", "why"),
    [({"unknown": employees}, "none of the purposes"), ({"holds_override": 7}, "plain function")],
)
async def test_totals_that_cannot_be_made_stop_the_start(tmp_path: Path, totals: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        House(tmp_path, totals=totals)


async def test_a_total_that_is_no_text_confirms_nothing(tmp_path: Path) -> None:
    async with house_in(tmp_path, totals={"payroll_ach_transmit": lambda *_: ("Total", 7)}) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        answer = await ada.post("/stepup/batches", json={"prompts": await asked(ada, 2)})
        assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
