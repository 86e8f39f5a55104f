"""What goes wrong around an action: whatever it is, the action does not run unproved, nor twice."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stepup_middleware import (
    EventName,
    RelyingParty,
    StepUp,
    StepUpMiddleware,
    StepUpRequired,
    Subject,
    require_step_up,
    requires_step_up,
)
from stepup_middleware.asgi import Scope
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import KEY, ROTATE, RP, TRANSMIT, Browser, House, call, code_of, house_in, scope_of


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of the database, as another process that hangs does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def failing_to_log(path: Path, event: EventName) -> Iterator[None]:
    """Make the database refuse one kind of audit event."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(
            f"CREATE TRIGGER broken BEFORE INSERT ON audit WHEN NEW.event = '{event.value}' "
            "BEGIN SELECT RAISE(ABORT, 'the log is broken'); END"
        )
        yield
        other.execute("DROP TRIGGER broken")


# the store


# S02 S09 P12
async def test_while_the_store_cannot_be_written_tagged_requests_are_refused_and_others_served(
    tmp_path: Path,
) -> None:
    store = SQLiteStore(tmp_path / "stepup.db", timeout=timedelta(seconds=0.3))
    async with house_in(tmp_path, store=store) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        with locked(house.path):
            answers = [
                await ada.post(TRANSMIT, token=token),
                await ada.post(TRANSMIT),
                await ada.post(ROTATE),
                await ada.post(TRANSMIT, token="garbage"),
            ]
            assert (await ada.send("GET", "/open")).text == "open"
        for answer in answers:
            assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
            assert answer.headers["retry-after"]
            assert answer.headers["cache-control"] == "no-store"
            assert "has not run" in answer.json()["detail"]
        assert house.total == 0
        # the store may have written what it answered too late: then the token is spent, else it works once
        again = await ada.post(TRANSMIT, token=token)
        assert again.status_code == 200 or code_of(again) in ("STEPUP_TOKEN_REUSED", "STEPUP_REQUIRED")
        assert house.total <= 1
        assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200


# S01
async def test_a_store_that_cannot_be_opened_shuts_tagged_routes_alone_and_recovers(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    house = House(folder)
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: asyncio.Queue[str] = asyncio.Queue()

    async def send(message: Any) -> None:
        sent.put_nowait(message["type"])

    lifespan = asyncio.create_task(house.app({"type": "lifespan", "state": {}}, messages.get, send))
    messages.put_nowait({"type": "lifespan.startup"})
    assert await sent.get() == "lifespan.startup.complete"
    ada = Browser(house, house.sign_in("ada"))
    assert (await ada.send("GET", "/open")).status_code == 200
    for method, url in (("POST", ROTATE), ("GET", "/stepup/factors"), ("GET", "/stepup/purposes")):
        answer = await ada.send(method, url)
        assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    folder.mkdir()
    await ada.enrol("passkey")
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    messages.put_nowait({"type": "lifespan.shutdown"})
    await lifespan
    assert house.total == 1


# A03
async def test_a_redemption_that_cannot_be_logged_does_not_happen(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    with failing_to_log(house.path, EventName.ACTION_AUTHORIZED):
        answer = await ada.post(TRANSMIT, token=token)
    assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    assert house.total == 0
    assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    assert house.total == 1


# W33
async def test_a_proof_that_cannot_be_logged_brings_no_token(ada: Browser, house: House) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    with failing_to_log(house.path, EventName.VERIFIED):
        answer = await ada.answer(prompt, ada.factors["passkey"])
    assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    assert "token" not in answer.text
    assert (await ada.answer(prompt, ada.factors["passkey"])).status_code == 200


async def test_a_prompt_that_cannot_be_logged_is_not_issued(ada: Browser, house: House) -> None:
    with failing_to_log(house.path, EventName.CHALLENGE_REQUESTED):
        answer = await ada.post(TRANSMIT)
    assert (answer.status_code, "stepup-prompt" in answer.headers) == (503, False)


# who and where


LOOK_ALIKE = SimpleNamespace(
    id="ada", session_id="s", workspace_id="axis", name="Ada", is_admin=True, signed_in_at=None, session="0" * 32
)


@pytest.mark.parametrize(
    "returned",
    [LOOK_ALIKE, "ada", {"id": "ada"}, True, ("ada", "s"), 7, object()],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_identify_returns_that_is_no_subject_is_a_refusal(
    house: House, monkeypatch: pytest.MonkeyPatch, returned: object
) -> None:
    async def identify(scope: Scope) -> Any:
        return returned

    monkeypatch.setattr(house.stepup._parts.identification, "_identify", identify)
    for method, url in (("POST", TRANSMIT), ("GET", "/stepup/factors")):
        answer = await Browser(house, None).send(method, url)
        assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    assert house.total == 0


@pytest.mark.parametrize(
    "error", [ValueError, KeyError, TypeError, AttributeError, RuntimeError, asyncio.TimeoutError, ExceptionGroup]
)
async def test_an_exception_in_identify_is_a_refusal(
    house: House, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def identify(scope: Scope) -> Any:
        raise error("x", [ValueError()]) if error is ExceptionGroup else error("x")

    monkeypatch.setattr(house.stepup._parts.identification, "_identify", identify)
    answer = await Browser(house, None).post(TRANSMIT)
    assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    assert house.total == 0


# T41
async def test_a_subject_whose_id_is_a_number_is_a_refusal(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def identify(scope: Scope) -> Subject:
        return Subject(id=1, session_id="s", workspace_id="axis", name="Ada")  # type: ignore[arg-type]

    monkeypatch.setattr(house.stepup._parts.identification, "_identify", identify)
    assert (await Browser(house, None).post(TRANSMIT)).status_code == 503
    assert house.total == 0


# I08
@pytest.mark.parametrize("client", [None, ["", 0], ["unix:", 0], ["<script>", 1], [None, 1], ["testclient", 1]])
async def test_a_client_without_an_address_is_a_refusal(ada: Browser, house: House, client: Any) -> None:
    answer = await call(house.app, scope_of("POST", TRANSMIT, subject=ada.subject, client=client))
    assert answer.status == 503
    assert house.total == 0


# I08
@pytest.mark.parametrize("found", [None, "", "a", "1.2.3.4, 5.6.7.8", b"1.2.3.4", 7])
async def test_a_resolver_that_finds_no_address_is_a_refusal(tmp_path: Path, found: Any) -> None:
    async with house_in(tmp_path, client_address=lambda scope: found) as house:
        answer = await Browser(house, house.sign_in("ada")).post(TRANSMIT)
        assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")


async def test_a_resolver_that_raises_is_a_refusal(tmp_path: Path) -> None:
    def client_address(scope: Scope) -> str:
        raise LookupError

    async with house_in(tmp_path, client_address=client_address) as house:
        assert (await Browser(house, house.sign_in("ada")).post(TRANSMIT)).status_code == 503


# I06 I07 I11
async def test_behind_a_trusted_proxy_the_client_is_bound_and_not_the_proxy(tmp_path: Path) -> None:
    async with house_in(tmp_path, trusted_proxies=["10.0.0.0/8"]) as house:
        ada = Browser(house, house.sign_in("ada"), ip="10.0.0.1")
        ada.client.headers["x-forwarded-for"] = "6.6.6.6, 203.0.113.5"
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        moved = await ada.post(TRANSMIT, token=token, headers={"x-forwarded-for": "203.0.113.5, 6.6.6.6"})
        assert code_of(moved) == "STEPUP_IP_MISMATCH"
        assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
        assert (await ada.post(TRANSMIT, headers={"x-forwarded-for": "<script>"})).status_code == 503
        assert (await house.events(EventName.VERIFIED))[-1].ip == "203.0.113.5"


# I09
async def test_a_forwarded_address_counts_for_nothing_where_no_proxy_is_trusted(ada: Browser, house: House) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    answer = await ada.at("198.51.100.9").post(TRANSMIT, token=token, headers={"x-forwarded-for": ada.ip})
    assert code_of(answer) == "STEPUP_IP_MISMATCH"


# K09
@pytest.mark.parametrize("how", ["raises", "naive"])
async def test_a_clock_that_fails_is_a_refusal(ada: Browser, house: House, how: str) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")

    def clock() -> datetime:
        if how == "raises":
            raise OSError
        return datetime(2026, 11, 24, 12)  # noqa: DTZ001 - this is the fault

    house.stepup._parts.identification._clock = clock
    answers = [
        await ada.post(TRANSMIT, token=token),
        await ada.post(TRANSMIT),
        await ada.send("GET", "/stepup/prompts/x"),
    ]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert house.total == 0


# U04
@pytest.mark.parametrize(
    "changes",
    [
        {"secret_key": ""},
        {"secret_key": []},
        {"secret_key": [KEY, b""]},
        {"secret_key": "changeme" * 8},
        {"store": None},
        {"store": object()},
        {"prefix": ""},
        {"prefix": "stepup"},
        {"prefix": "/stepup/"},
        {"prefix": "/"},
        {"purposes": ()},
        {"trusted_proxies": ["*"]},
        {"max_bound_body": 0},
        {"open_prompts_per_session": 0},
    ],
    ids=lambda setting: re.sub(r"b['\"].*?['\"](?=, b|\])|0x[0-9a-f]+", "…", str(setting)),
)
def test_a_configuration_that_cannot_be_served_safely_stops_the_start(tmp_path: Path, changes: dict[str, Any]) -> None:
    async def nobody(scope: Scope) -> None:
        return None

    sound: dict[str, Any] = {
        "secret_key": KEY,
        "store": SQLiteStore(tmp_path / "x.db"),
        "relying_party": RP,
        "identify": nobody,
    }
    StepUp(**sound)
    with pytest.raises(ConfigurationError):
        StepUp(**{**sound, **changes})


# the app


# T02 A02
async def test_when_the_action_runs_its_authorization_is_in_the_file_already(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    async with house_in(tmp_path) as house:

        def authorized() -> list[tuple[str, str]]:
            with closing(sqlite3.connect(house.path)) as other:
                rows = other.execute("SELECT event, purpose FROM audit WHERE event = 'ACTION_AUTHORIZED'")
                return [tuple(row) for row in rows]

        @requires_step_up("payroll_ach_transmit")
        async def act(request: Request) -> Response:
            seen.extend(await asyncio.to_thread(authorized))
            return PlainTextResponse("ran")

        house.starlette.router.routes.insert(0, Route("/act", act, methods=["POST"]))
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert (await ada.step_up("POST", "/act", "passkey")).status_code == 200
    assert seen == [("ACTION_AUTHORIZED", "payroll_ach_transmit")]


# X09
async def test_an_exception_of_the_app_goes_through_unchanged_and_its_class_is_logged(
    ada: Browser, house: House
) -> None:
    with pytest.raises(ZeroDivisionError, match="the app's own"):
        await ada.step_up("POST", "/raising", "passkey")
    ended = await _end_of(house, "/raising", "webhook_secret_rotation")
    assert (ended.data["outcome"], ended.data["exception"]) == ("raised", "ZeroDivisionError")


async def test_the_status_of_an_action_is_logged(ada: Browser, house: House) -> None:
    assert (await ada.step_up("POST", "/unprocessable", "passkey")).status_code == 422
    ended = await _end_of(house, "/unprocessable", "webhook_secret_rotation")
    assert (ended.data["outcome"], ended.data["status"]) == ("returned", 422)


async def _end_of(house: House, url: str, purpose: str) -> Any:
    async with asyncio.timeout(10):
        while True:
            for record in await house.events(EventName.ACTION_COMPLETED):
                if record.purpose == purpose:
                    return record
            await house.store.records.wait_for_audit(await house.store.records.last_seq(), seconds=1)


# X03
async def test_a_client_that_leaves_during_the_action_leaves_its_end_in_the_log(ada: Browser, house: House) -> None:
    token = await ada.token("POST", "/slow", "passkey")
    request = asyncio.create_task(ada.post("/slow", token=token))
    await house.entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    ended = await _end_of(house, "/slow", "webhook_secret_rotation")
    assert ended.data["outcome"] == "aborted"
    assert code_of(await ada.post("/slow", token=token)) == "STEPUP_TOKEN_REUSED"
    assert house.runs["/slow"] == 1


# X03 X04
@pytest.mark.parametrize("turns", range(0, 12))
async def test_a_request_cancelled_at_any_moment_runs_its_action_at_most_once(
    ada: Browser, house: House, turns: int
) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    request = asyncio.create_task(ada.post(TRANSMIT, token=token))
    for _ in range(turns):
        await asyncio.sleep(0)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    again = await ada.post(TRANSMIT, token=token)
    assert again.status_code == 200 or code_of(again) == "STEPUP_TOKEN_REUSED"
    assert house.runs[TRANSMIT] <= 1
    await house.assert_log_holds()


# X02
async def test_what_was_under_way_at_the_end_of_the_app_is_in_the_log(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        for _ in range(3):
            await ada.step_up("POST", TRANSMIT, "passkey")
    async with house_in(tmp_path) as again:
        assert len(await again.events(EventName.ACTION_COMPLETED)) == 3
        await again.assert_log_holds()


async def test_tokens_and_prompts_outlive_a_restart_with_the_same_key(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        spent = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=spent)
        sessions = house.sessions
    async with house_in(tmp_path) as again:
        again.sessions = sessions
        back = Browser(again, ada.subject, factors=ada.factors)
        assert (await back.post(TRANSMIT, token=token)).status_code == 200
        assert code_of(await back.post(TRANSMIT, token=spent)) == "STEPUP_TOKEN_REUSED"


# Y04
async def test_a_rotation_of_the_key_costs_nobody_anything(tmp_path: Path) -> None:
    newer = bytes(range(1, 33))
    async with house_in(tmp_path) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        await ada.enrol("totp", by="passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        sessions, now = house.sessions, house.clock()
    async with house_in(tmp_path, secret_key=[newer, KEY]) as rotated:
        rotated.sessions = sessions
        rotated.clock.set(now)
        back = Browser(rotated, ada.subject, factors=ada.factors)
        assert (await back.post(TRANSMIT, token=token)).status_code == 200
        assert (await back.step_up("POST", ROTATE, "totp")).status_code == 200  # the old secret still opens
        await rotated.stepup.reencrypt_secrets()
    async with house_in(tmp_path, secret_key=newer) as final:
        final.sessions = sessions
        final.clock.set(now)
        last = Browser(final, ada.subject, factors=ada.factors)
        assert code_of(await last.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
        assert (await last.step_up("POST", TRANSMIT, "passkey")).status_code == 200


# Y03
async def test_nodes_that_list_the_keys_in_another_order_take_each_others_tokens(tmp_path: Path) -> None:
    newer = bytes(range(1, 33))
    async with (
        house_in(tmp_path, secret_key=[newer, KEY]) as one,
        house_in(tmp_path, secret_key=[KEY, newer]) as other,
    ):
        other.sessions = one.sessions
        here = Browser(one, one.sign_in("ada"))
        await here.enrol("passkey")
        there = Browser(other, here.subject, factors=here.factors)
        assert (await there.post(TRANSMIT, token=await here.token("POST", TRANSMIT, "passkey"))).status_code == 200
        assert (await here.post(TRANSMIT, token=await there.token("POST", TRANSMIT, "passkey"))).status_code == 200


# D06
@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_sink_that_fails_or_hangs_keeps_nobody_waiting(tmp_path: Path, kind: str) -> None:
    heard: list[EventName] = []
    hung, alerted = asyncio.Event(), asyncio.Event()

    async def broken(event: Any) -> None:
        if kind == "raises":
            raise RuntimeError
        await hung.wait()

    async def alert(event: Any) -> None:
        heard.append(event.name)
        if event.name is EventName.REUSED:
            alerted.set()

    sinks: list[Callable[[Any], Awaitable[None]]] = [broken, alert]
    async with house_in(tmp_path, on_event=sinks) as house:
        ada = Browser(house, house.sign_in("ada"))
        async with asyncio.timeout(10):
            await ada.enrol("passkey")
            token = await ada.token("POST", TRANSMIT, "passkey")
            assert (await ada.post(TRANSMIT, token=token)).status_code == 200
            await ada.post(TRANSMIT, token=token)
            await alerted.wait()  # A07
        hung.set()
    assert heard.index(EventName.VERIFIED) < heard.index(EventName.ACTION_AUTHORIZED) < heard.index(EventName.REUSED)


# H18
async def test_an_app_whose_error_page_swallows_exceptions_still_answers_with_the_refusal(tmp_path: Path) -> None:
    async def page(request: Request, error: Exception) -> Response:
        return PlainTextResponse("something went wrong", status_code=500)

    async def act(request: Request) -> Response:
        raise AssertionError("ran")

    tagged = requires_step_up("webhook_secret_rotation")(act)
    async with house_in(tmp_path) as house:
        inner = Starlette(routes=[Route("/act", tagged, methods=["POST"])], exception_handlers={Exception: page})
        app = StepUpMiddleware(inner, stepup=house.stepup)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        answer = await call(app, scope_of("POST", "/act", subject=ada.subject))
    assert answer.status == 401
    assert answer.headers("stepup-prompt")
    assert b"something went wrong" not in answer.body


def test_plain_http_away_from_localhost_stops_the_start() -> None:
    with pytest.raises(ConfigurationError):
        RelyingParty(id="example.com", name="AxisSynapse", origins=["http://example.com"])


async def test_whatever_a_framework_raises_over_a_refusal_the_refusal_is_what_the_client_hears(tmp_path: Path) -> None:
    @requires_step_up("payroll_ach_transmit")
    async def act(request: Request) -> Response:
        raise AssertionError("it does not run")

    async def fails_over_it(scope: Scope, receive: Any, send: Any) -> None:
        try:
            await act(Request(scope, receive))
        except StepUpRequired as refused:
            raise ValueError("cannot make a page of it") from refused

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    async with house_in(tmp_path, wrap=lambda app: fails_over_it) as house:
        with pytest.raises(ValueError, match="cannot make a page of it"):
            await house.app(scope_of("POST", "/act", subject=house.sign_in("ada")), receive, send)
    assert sent[0]["status"] == 403  # she has no factor


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_refusal_of_which_a_framework_makes_nothing_is_what_the_client_hears(tmp_path: Path, kind: str) -> None:
    async def swallows_it(scope: Scope, receive: Any, send: Any) -> None:
        with suppress(StepUpRequired):
            await require_step_up(scope, "payroll_ach_transmit")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    async with house_in(tmp_path, wrap=lambda app: swallows_it) as house:
        scope = scope_of("POST", "/act", kind=kind, subject=house.sign_in("ada"))
        scope["extensions"] = {"websocket.http.response": {}}
        await house.app(scope, receive, send)
    begun, *_ = sent
    assert begun["type"] == ("http" if kind == "http" else "websocket.http") + ".response.start"
    assert begun["status"] == 403  # she has no factor
