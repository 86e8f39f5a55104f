"""One proof answers one question, once, on every kind of connection; a further question brings its own token."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import (
    ConfigurationError,
    EventName,
    RequireStepUp,
    Rule,
    StepUpRequired,
    require_step_up,
    requires_step_up,
)
from stepup_middleware.asgi import Message, Receive, Scope, Send
from stepup_middleware.core.binding import Reached
from tests.support import Browser, House, call, code_of, house_in, scope_of

PURPOSE = "webhook_secret_rotation"
OTHER = "scim_token_revocation"

Endpoint = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def ada_at(folder: Path, *routes: Any, rules: tuple[Rule, ...] = ()) -> AsyncIterator[Browser]:
    """Ada, with a passkey, at an app of these routes."""
    app = Starlette(routes=list(routes))
    async with house_in(folder, wrap=lambda _: app, rules=rules) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        yield ada


async def users_in(request: Request) -> list[str]:
    return list((await request.json())["users"])


# a loop over items


def deleting(runs: Counter[str], *, own_answer: bool = False) -> Endpoint:
    """Return an endpoint that asks for each of several users and deletes it."""

    async def delete(request: Request) -> Response:
        tokens = json.loads(request.headers.get("tokens", "{}"))
        for user in await users_in(request):
            try:
                await require_step_up(request, PURPOSE, details=[("User", user)], token=tokens.get(user))
            except StepUpRequired as required:
                if not own_answer:
                    raise
                return JSONResponse({"done": list(runs), "problem": required.problem})
            runs[user] += 1
        return JSONResponse({"done": list(runs)})

    return delete


# N01 N06
async def test_of_a_loop_over_users_one_token_deletes_one(tmp_path: Path) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, Route("/delete", deleting(runs), methods=["POST"])) as ada:
        body = {"users": ["1", "2", "3"]}
        token = await ada.token("POST", "/delete", "passkey", json=body)
        answer = await ada.post("/delete", token=token, json=body)
        assert runs == {"1": 1}
        assert (answer.status_code, code_of(answer)) == (409, "STEPUP_PARTLY_DONE")
        assert "stepup-prompt" not in answer.headers
        assert "prompt" not in answer.json()
        assert "Look at what has been done" in answer.json()["detail"]
        assert "www-authenticate" not in answer.headers
        completed = await ada.house.soon(EventName.ACTION_COMPLETED)
        assert completed.data["status"] == 409


async def test_a_handler_that_answers_by_itself_sends_the_problem_of_the_next_question(tmp_path: Path) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, Route("/delete", deleting(runs, own_answer=True), methods=["POST"])) as ada:
        body = {"users": ["1", "2"]}
        first = (await ada.post("/delete", json=body)).json()
        assert (first["done"], first["problem"]["code"]) == ([], "STEPUP_REQUIRED")
        one = await ada.prove(first["problem"], "passkey")
        second = await ada.post("/delete", token=one, json=body)
        assert second.status_code == 200
        assert second.json()["done"] == ["1"]
        assert second.json()["problem"]["details"] == [["User", "2"]]
        two = await ada.prove(second.json()["problem"], "passkey")
        runs.clear()
        third = await ada.post("/delete", json={"users": ["2"]}, headers={"tokens": json.dumps({"2": two})})
        assert third.json()["problem"]["code"] == "STEPUP_REQUIRED"  # it is bound to the whole request
        fresh = await ada.prove((await ada.post("/delete", json=body)).json()["problem"], "passkey")
        both = await ada.post("/delete", json=body, headers={"tokens": json.dumps({"1": fresh, "2": two})})
        assert both.json() == {"done": ["1", "2"]}
        assert runs == {"1": 1, "2": 1}
        authorized = await ada.house.events(EventName.ACTION_AUTHORIZED)
        assert len(authorized) == 3
        completed = await ada.house.soon(EventName.ACTION_COMPLETED)
        assert completed.data["status"] == 200


async def test_a_spent_token_answers_no_second_question_of_the_same_words(tmp_path: Path) -> None:
    runs = Counter[str]()

    async def twice(request: Request) -> Response:
        for _ in range(2):
            await require_step_up(request, PURPOSE)
            runs["x"] += 1
        return PlainTextResponse("both")

    async with ada_at(tmp_path, Route("/twice", twice, methods=["POST"])) as ada:
        answer = await ada.step_up("POST", "/twice", "passkey")
        assert (answer.status_code, runs) == (409, {"x": 1})
        assert await ada.house.events(EventName.REUSED) == []  # nobody has presented it again: no alarm


async def _one_after_another(*questions: Awaitable[Any]) -> list[Any]:
    return [await each for each in questions]


# N11
@pytest.mark.parametrize("ask", [asyncio.gather, _one_after_another], ids=["at once", "one after another"])
async def test_of_several_questions_at_once_one_presents_the_token_and_nobody_raises_an_alert(
    tmp_path: Path, ask: Callable[..., Awaitable[Any]]
) -> None:
    runs = Counter[str]()

    async def one(request: Request) -> Any:
        try:
            await require_step_up(request, PURPOSE)
        except StepUpRequired as required:
            return required.problem
        runs["x"] += 1

    async def several(request: Request) -> Response:
        found = await ask(*(one(request) for _ in range(4)))
        return JSONResponse({"problems": [problem for problem in found if problem is not None]})

    async with ada_at(tmp_path, Route("/x", several, methods=["POST"])) as ada:
        first = (await ada.post("/x")).json()["problems"][0]
        token = await ada.prove(first, "passkey")
        problems = (await ada.post("/x", token=token)).json()["problems"]
        assert ([problem["code"] for problem in problems], runs) == (["STEPUP_REQUIRED"] * 3, {"x": 1})
        assert len(await ada.house.events(EventName.ACTION_AUTHORIZED)) == 1
        assert await ada.house.events(EventName.REUSED) == []


def _forgetting(kind: str, runs: Counter[str]) -> Endpoint | Callable[[Request], Response]:
    """Return an endpoint that calls ``require_step_up`` and does not await it, then acts and answers."""

    def acted(request: Request) -> Response:
        require_step_up(request, PURPOSE)  # type: ignore[unused-coroutine]
        runs["x"] += 1
        return PlainTextResponse("acted")

    async def forgets(request: Request) -> Response:
        return acted(request)

    async def fails(request: Request) -> Response:
        acted(request)
        raise RuntimeError("of the app")

    async def catches(request: Request) -> Response:
        with suppress(StepUpRequired):
            await require_step_up(request, OTHER)
        return acted(request)

    async def streams(request: Request) -> Response:
        async def pieces() -> AsyncIterator[str]:
            yield "a"
            acted(request)
            yield "b"

        return StreamingResponse(pieces())

    made: dict[str, Any] = {"sync": acted, "async": forgets, "fails": fails, "catches": catches, "streams": streams}
    return made[kind]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["sync", "async", "fails", "catches"])
async def test_a_question_that_is_never_awaited_does_not_pass_unseen(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, Route("/x", _forgetting(kind, runs), methods=["POST"])) as ada:
        with suppress(RuntimeError):
            answer = await ada.post("/x")
            assert (answer.status_code, code_of(answer)) == (500, "STEPUP_NEVER_ASKED")
            assert "stepup-prompt" not in answer.headers
        assert runs == {"x": 1}
    (said,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "never awaited for /x" in said.getMessage()


async def _started(request: Request) -> None:
    keep.add(asyncio.create_task(require_step_up(request, PURPOSE)))
    await asyncio.sleep(0)


async def _left_in_a_task(request: Request) -> None:
    task = asyncio.create_task(require_step_up(request, PURPOSE))
    keep.add(task)
    await asyncio.wait([task])


async def _gathered_and_dropped(request: Request) -> None:
    await asyncio.gather(require_step_up(request, PURPOSE), return_exceptions=True)


async def _gathered_and_left(request: Request) -> None:
    gathered = asyncio.gather(require_step_up(request, PURPOSE))
    keep.add(gathered)
    with suppress(StepUpRequired):
        await asyncio.wait_for(asyncio.shield(gathered), 5)


async def _cancelled(request: Request) -> None:
    task = asyncio.create_task(require_step_up(request, PURPOSE))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _timed_out(request: Request) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await require_step_up(request, PURPOSE)


async def _left_in_a_thread(request: Request) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(require_step_up(request, PURPOSE), loop))
    await asyncio.sleep(0)


keep: set[Any] = set()  # what is referred to nowhere may be collected before it runs
UNHEARD = [
    _started,
    _left_in_a_task,
    _gathered_and_dropped,
    _gathered_and_left,
    _cancelled,
    _timed_out,
    _left_in_a_thread,
]


# N09
@pytest.mark.parametrize("ask", UNHEARD)
async def test_an_answer_that_begins_without_the_verdict_of_a_question_does_not_go_out(
    tmp_path: Path, ask: Callable[[Request], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    async def acts(request: Request) -> Response:
        await ask(request)
        return PlainTextResponse("acted")

    async with ada_at(tmp_path, Route("/x", acts, methods=["POST"])) as ada:
        answer = await ada.post("/x")
        assert (answer.status_code, code_of(answer)) == (500, "STEPUP_NEVER_ASKED")
        assert "stepup-prompt" not in answer.headers
        await asyncio.gather(*keep, return_exceptions=True)
        keep.clear()
    assert "require_step_up was called" in caplog.text


async def _awaited_task(request: Request) -> None:
    await asyncio.create_task(require_step_up(request, PURPOSE))


async def _gathered(request: Request) -> None:
    await asyncio.gather(require_step_up(request, PURPOSE), asyncio.sleep(0))


async def _waited_for(request: Request) -> None:
    await asyncio.wait_for(require_step_up(request, PURPOSE), 5)


# N09
@pytest.mark.parametrize("ask", [_awaited_task, _gathered, _waited_for])
async def test_a_question_in_another_task_that_is_waited_for_guards_like_any(
    tmp_path: Path, ask: Callable[[Request], Awaitable[None]]
) -> None:
    runs = Counter[str]()

    async def acts(request: Request) -> Response:
        await ask(request)
        runs["x"] += 1
        return PlainTextResponse("acted")

    async with ada_at(tmp_path, Route("/x", acts, methods=["POST"])) as ada:
        refused = await ada.post("/x")
        assert (refused.status_code, code_of(refused)) == (401, "STEPUP_REQUIRED")
        assert runs == {}
        token = await ada.prove(refused.json(), "passkey")
        assert (await ada.post("/x", token=token)).text == "acted"
        assert runs == {"x": 1}


# N09
async def test_a_question_after_the_answer_began_guards_and_makes_no_second_answer(tmp_path: Path) -> None:
    runs = Counter[str]()

    async def later(request: Request) -> None:
        await require_step_up(request, PURPOSE)
        runs["x"] += 1

    async def acts(request: Request) -> Response:
        return PlainTextResponse("later", background=BackgroundTask(later, request))

    sent: list[str] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            sent.append(message["type"])
            await send(message)

        await ada.house.app(scope, receive, note)

    async with ada_at(tmp_path, Route("/x", acts, methods=["POST"])) as ada:
        with suppress(StepUpRequired, RuntimeError):
            await call(noting, scope_of("POST", "/x", subject=ada.subject))
        assert sent == ["http.response.start", "http.response.body"]
        assert runs == {}


async def test_a_question_that_a_stream_does_not_await_cuts_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, Route("/x", _forgetting("streams", runs), methods=["POST"])) as ada:
        with pytest.raises(BaseException) as raised:  # Starlette may put it into a group
            await ada.post("/x")
        assert "was not awaited" in repr(raised.value)
    assert "never awaited for /x" in caplog.text


async def test_a_question_that_is_awaited_later_is_no_forgotten_one(tmp_path: Path) -> None:
    async def gathers(request: Request) -> Response:
        question = require_step_up(request, PURPOSE)
        await asyncio.sleep(0)
        await asyncio.wait_for(question, 5)
        return PlainTextResponse("acted")

    assert inspect.iscoroutinefunction(require_step_up) or asyncio.iscoroutinefunction(require_step_up)
    async with ada_at(tmp_path, Route("/x", gathers, methods=["POST"])) as ada:
        assert (await ada.step_up("POST", "/x", "passkey")).text == "acted"


# N06
async def test_nothing_says_that_nothing_has_run_once_something_has(tmp_path: Path) -> None:
    async def then_unknown(request: Request) -> Response:
        await require_step_up(request, PURPOSE)
        await require_step_up(request, "no_such_purpose")
        return PlainTextResponse("never")

    async with ada_at(tmp_path, Route("/x", then_unknown, methods=["POST"])) as ada:
        answer = await ada.step_up("POST", "/x", "passkey")
        assert (answer.status_code, code_of(answer)) == (409, "STEPUP_PARTLY_DONE")
        assert "not run" not in answer.text


# N05
@pytest.mark.parametrize("status", [200, 202, 302])
async def test_a_refusal_that_a_handler_caught_does_not_stick(tmp_path: Path, status: int) -> None:
    async def anyway(request: Request) -> Response:
        try:
            await require_step_up(request, PURPOSE)
        except StepUpRequired:
            return PlainTextResponse("without it", status_code=status)
        return PlainTextResponse("with it")

    async with ada_at(tmp_path, Route("/x", anyway, methods=["POST"])) as ada:
        answer = await ada.post("/x")
        assert (answer.status_code, answer.text) == (status, "without it")


async def test_a_tag_that_refused_is_answered_by_the_library_whatever_the_app_makes_of_it(tmp_path: Path) -> None:
    async def swallowed(request: Request) -> Response:
        try:
            return await requires_step_up(PURPOSE)(inner)(request)
        except StepUpRequired:
            return PlainTextResponse("fine")

    async def inner(request: Request) -> Response:
        raise AssertionError("never")

    async with ada_at(tmp_path, Route("/x", swallowed, methods=["POST"])) as ada:
        assert code_of(await ada.post("/x")) == "STEPUP_REQUIRED"


# a gate within a gate


async def counted(request: Request) -> Response:
    request.app.state.runs = getattr(request.app.state, "runs", 0) + 1
    return PlainTextResponse("ran")


# N03
async def test_the_first_gate_inside_takes_over_the_proof_of_the_same_question(tmp_path: Path) -> None:
    inner = Starlette(routes=[Route("/x", requires_step_up(PURPOSE)(counted), methods=["POST"])])
    async with ada_at(tmp_path, Mount("/in", app=RequireStepUp(inner, PURPOSE))) as ada:
        answer = await ada.step_up("POST", "/in/x", "passkey")
        assert (answer.status_code, inner.state.runs) == (200, 1)
        assert len(await ada.house.events(EventName.ACTION_AUTHORIZED)) == 1


async def test_a_rule_and_a_tag_of_the_same_words_are_one_question(tmp_path: Path) -> None:
    route = Route("/x/{id}", requires_step_up(PURPOSE)(counted), methods=["POST"])
    async with ada_at(tmp_path, route, rules=(Rule("POST", "/x/{id}", PURPOSE),)) as ada:
        assert (await ada.step_up("POST", "/x/1", "passkey")).status_code == 200


# N03
@pytest.mark.parametrize(
    "inside",
    [
        requires_step_up(OTHER),
        requires_step_up(PURPOSE, details=[("a", "b")]),
        requires_step_up(PURPOSE, bind_body=False),
        requires_step_up(PURPOSE, bind_headers=["User-Agent"]),
    ],
    ids=["purpose", "details", "body", "headers"],
)
async def test_another_question_inside_is_not_answered_by_the_proof_outside(
    tmp_path: Path, inside: Callable[[Endpoint], Endpoint]
) -> None:
    made: list[Starlette] = []

    async def made_later(scope: Scope, receive: Receive, send: Send) -> None:
        """Have an app that no start sees: that would stop the start."""
        made.append(Starlette(routes=[Route("/x", inside(counted), methods=["POST"])]))
        await made[-1](scope, receive, send)

    async with ada_at(tmp_path, Mount("/in", app=RequireStepUp(made_later, PURPOSE))) as ada:
        answer = await ada.step_up("POST", "/in/x", "passkey")
        assert (answer.status_code, code_of(answer)) == (409, "STEPUP_PARTLY_DONE")
        assert not any(hasattr(inner.state, "runs") for inner in made)


# N10
@pytest.mark.parametrize(
    ("part", "value"),
    [("raw_path", b"/in/y"), ("path", "/in/x%2F"), ("query_string", b"a=1"), ("method", "PATCH"), ("headers", ())],
)
async def test_a_proof_is_not_handed_on_to_another_request(tmp_path: Path, part: str, value: Any) -> None:
    inner = Starlette(routes=[Route("/{x}", requires_step_up(PURPOSE)(counted), methods=["POST", "PATCH"])])

    async def rewriting(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, part: value}, receive, send)

    async with ada_at(tmp_path, Mount("/in", app=RequireStepUp(rewriting, PURPOSE))) as ada:
        answer = await ada.step_up("POST", "/in/x", "passkey")
        assert (answer.status_code, code_of(answer)) == (409, "STEPUP_PARTLY_DONE")
        assert not hasattr(inner.state, "runs")


# N10
@pytest.mark.parametrize("raw", [b"", b"/in/x"])
async def test_a_raw_path_that_a_framework_adds_makes_no_other_request(tmp_path: Path, raw: bytes) -> None:
    inner = Starlette(routes=[Route("/x", requires_step_up(PURPOSE)(counted), methods=["POST"])])

    async def adding(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "raw_path": scope["raw_path"] or scope["path"].encode()}, receive, send)

    gate = RequireStepUp(adding, PURPOSE)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await gate({**scope, "raw_path": raw}, receive, send)

    async with ada_at(tmp_path, Mount("/in", app=outer)) as ada:
        assert (await ada.step_up("POST", "/in/x", "passkey")).status_code == 200


# N04 B05
async def test_a_batch_that_calls_the_app_runs_one_of_its_parts(tmp_path: Path) -> None:
    runs = Counter[str]()

    @requires_step_up(PURPOSE)
    async def delete(request: Request) -> Response:
        runs[request.path_params["id"]] += 1
        return Response(status_code=204)

    class Kept:
        """Takes the answers of the parts."""

        def __init__(self) -> None:
            self.answers: list[list[Any]] = []

        async def take(self, message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers.append([message["status"], ""])
            else:
                self.answers[-1][1] += message.get("body", b"").decode()

    async def batch(request: Request) -> Response:
        kept = Kept()
        for user in await users_in(request):
            scope = {**request.scope, "method": "DELETE", "path": f"/users/{user}", "raw_path": b""}
            await request.app.router(scope, request.receive, kept.take)
        return JSONResponse(kept.answers)

    routes = [Route("/users/{id}", delete, methods=["DELETE"]), Route("/batch", batch, methods=["POST"])]
    async with ada_at(tmp_path, *routes) as ada:
        body = {"users": ["1", "2", "3"]}
        asked = json.loads((await ada.post("/batch", json=body)).json()[0][1])
        record = (await ada.house.events(EventName.CHALLENGE_REQUESTED))[0]
        assert record.request is not None
        assert record.request.reached == Reached(method="DELETE", path="/users/1", raw_path="")
        answer = await ada.post("/batch", token=await ada.prove(asked, "passkey"), json=body)
        assert [status for status, _ in answer.json()] == [204, 409, 409]
        assert runs == {"1": 1}


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_batch_of_the_same_part_twice_runs_it_once(tmp_path: Path, at_once: bool) -> None:
    runs = Counter[str]()

    @requires_step_up(PURPOSE)
    async def pay(request: Request) -> Response:
        runs["paid"] += 1
        if at_once and runs["paid"] == 1:
            await request.scope["other_part"]()  # comes while this one is at work
        return Response(status_code=204)

    async def batch(request: Request) -> Response:
        bodies: list[str] = []

        async def take(message: Message) -> None:
            bodies.append(message.get("body", b"").decode())

        async def part() -> None:
            scope = {**request.scope, "path": "/pay", "raw_path": b"/pay", "other_part": beside}
            await request.app.router(scope, request.receive, take)

        async def beside() -> None:
            await asyncio.get_running_loop().create_task(part(), context=outside)

        outside = copy_context()
        await part()
        if not at_once:
            await part()
        return JSONResponse([body for body in bodies if body])

    routes = [Route("/pay", pay, methods=["POST"]), Route("/batch", batch, methods=["POST"])]
    async with ada_at(tmp_path, *routes) as ada:
        asked = json.loads((await ada.post("/batch")).json()[0])
        await ada.post("/batch", token=await ada.prove(asked, "passkey"))
        assert runs == {"paid": 1}


# B05
async def test_a_method_that_was_overridden_inside_the_app_is_bound(tmp_path: Path) -> None:
    runs = Counter[str]()

    async def act(request: Request) -> Response:
        runs[request.method] += 1
        return PlainTextResponse("ran")

    tagged = Starlette(routes=[Route("/x", requires_step_up(PURPOSE)(act), methods=["POST", "DELETE"])])

    async def overriding(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["method"] = dict(scope["headers"]).get(b"x-tunnel", scope["method"].encode()).decode()
        await tagged(scope, receive, send)

    async with house_in(tmp_path, wrap=lambda _: overriding) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", "/x", "passkey")
        assert code_of(await ada.post("/x", token=token, headers={"x-tunnel": "DELETE"})) == "STEPUP_REQUIRED"
        assert runs == {}
        assert (await ada.post("/x", token=token)).status_code == 200


# B04
@pytest.mark.parametrize(
    "header",
    ["host", "x-http-method-override", "x-forwarded-host", "x-original-url", "x-rewrite-url", "content-encoding"],
)
async def test_a_header_that_may_make_it_another_request_is_bound(ada: Browser, house: House, header: str) -> None:
    token = await ada.token("POST", "/webhooks/rotate", "passkey", headers={header: "one.example"})
    for value in ({header: "other.example"}, {}):
        if header == "host" and not value:
            continue
        assert (await ada.post("/webhooks/rotate", token=token, headers=value)).status_code == 401
    assert house.total == 0
    assert (await ada.post("/webhooks/rotate", token=token, headers={header: "one.example"})).status_code == 200


async def test_a_forwarded_header_is_bound_where_it_names_a_host_and_not_where_it_names_a_port(
    ada: Browser, house: House
) -> None:
    for kept, other, runs in (
        ("for=192.0.2.7;host=one.example", "for=192.0.2.7;Host=other.example", False),
        ('for="192.0.2.7:4711"', 'for="192.0.2.7:4712"', True),
    ):
        token = await ada.token("POST", "/webhooks/rotate", "passkey", headers={"forwarded": kept})
        answer = await ada.post("/webhooks/rotate", token=token, headers={"forwarded": other})
        assert (answer.status_code == 200) == runs
    assert house.total == 1


async def test_a_header_of_bind_headers_is_bound(tmp_path: Path) -> None:
    route = Route("/x", requires_step_up(PURPOSE, bind_headers=["X-Tenant"])(counted), methods=["POST"])
    async with ada_at(tmp_path, route) as ada:
        token = await ada.token("POST", "/x", "passkey", headers={"x-tenant": "a"})
        for headers in ({"x-tenant": "b"}, {}):
            assert (await ada.post("/x", token=token, headers=headers)).status_code == 401
        assert (await ada.post("/x", token=token, headers={"x-tenant": "a"})).status_code == 200


# a thread


# N07
async def test_a_sync_handler_asks_from_its_thread(tmp_path: Path) -> None:
    runs = Counter[str]()

    def pay(request: Request) -> Response:
        ask = partial(require_step_up, request, PURPOSE, details=[("To", "Payroll")])
        proof = anyio.from_thread.run(ask)
        runs[proof.subject_id] += 1
        return PlainTextResponse("paid")

    async with ada_at(tmp_path, Route("/pay", pay, methods=["POST"])) as ada:
        first = await ada.prompt("POST", "/pay")
        assert first["details"] == [["To", "Payroll"]]
        assert (await ada.post("/pay", token=await ada.prove(first, "passkey"))).text == "paid"
        assert runs == {"ada": 1}


# a WebSocket


class Conversation:
    """A WebSocket client of an ASGI app."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.outgoing: asyncio.Queue[Message] = asyncio.Queue()

    async def say(self, value: Any) -> Any:
        """Send a message and return the answer, or the code and reason of closing."""
        await self.incoming.put({"type": "websocket.receive", "text": json.dumps(value)})
        return await self.heard()

    async def heard(self) -> Any:
        message = await asyncio.wait_for(self.outgoing.get(), 10)
        if message["type"] == "websocket.send":
            return json.loads(message["text"])
        return {name: value for name, value in message.items() if name in ("type", "code", "reason")}


@asynccontextmanager
async def talking(ada: Browser, path: str, *headers: tuple[str, str]) -> AsyncIterator[Conversation]:
    """Open a WebSocket."""
    talk = Conversation()
    await talk.incoming.put({"type": "websocket.connect"})
    scope = scope_of("", path, subject=ada.subject, headers=[("user-agent", "Browser/1"), *headers], kind="websocket")
    task = asyncio.create_task(ada.house.app(scope, talk.incoming.get, talk.outgoing.put))
    try:
        yield talk
    finally:
        await talk.incoming.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10)


# N12
@pytest.mark.parametrize(
    "given", [7, 0, True, 1.5, [], ["x"], {}, {"token": "x"}, "", "\ud800", "x" * 9000, b"x"], ids=repr
)
async def test_what_is_no_token_in_a_message_is_refused_as_one_that_is_malformed(tmp_path: Path, given: Any) -> None:
    runs = Counter[str]()

    async def act(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await require_step_up(socket, PURPOSE, token=given)
        except StepUpRequired as required:
            await socket.send_json(required.problem)
        else:
            runs["x"] += 1

    async with ada_at(tmp_path, WebSocketRoute("/ws", act)) as ada, talking(ada, "/ws") as talk:
        assert await talk.heard() == {"type": "websocket.accept"}
        assert (await talk.heard())["code"] == "STEPUP_REQUIRED"
        assert [record.reason for record in await ada.house.events(EventName.BLOCKED)] == ["malformed_token"]
        assert runs == {}


def acting(runs: Counter[str], *, catches: bool) -> Any:
    """Return a WebSocket endpoint that asks for each message."""

    async def act(socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket.iter_json():
            try:
                await require_step_up(socket, PURPOSE, details=[("Do", message["do"])], token=message.get("token"))
            except StepUpRequired as required:
                if not catches:
                    raise
                await socket.send_json(required.problem)
                continue
            runs[message["do"]] += 1
            await socket.send_json({"done": message["do"]})

    return act


# N02
async def test_each_message_of_a_websocket_brings_its_own_token(tmp_path: Path) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, WebSocketRoute("/ws", acting(runs, catches=True))) as ada:
        async with talking(ada, "/ws") as talk:
            assert await talk.heard() == {"type": "websocket.accept"}
            problem = await talk.say({"do": "a"})
            assert (problem["code"], problem["details"]) == ("STEPUP_REQUIRED", [["Do", "a"]])
            token = await ada.prove(problem, "passkey")
            assert await talk.say({"do": "a", "token": token}) == {"done": "a"}
            for again in ({"do": "a"}, {"do": "b"}):
                assert (await talk.say(again))["code"] == "STEPUP_REQUIRED"
            assert (await talk.say({"do": "a", "token": token}))["code"] == "STEPUP_TOKEN_REUSED"
            other = await ada.prove(await talk.say({"do": "b"}), "passkey")
            assert await talk.say({"do": "b", "token": other}) == {"done": "b"}
        assert runs == {"a": 1, "b": 1}
        assert len(await ada.house.events(EventName.ACTION_AUTHORIZED)) == 2
        ended = await _completed(ada.house, 2)
        assert [record.data["outcome"] for record in ended] == ["went_on", "no_response"]


async def _completed(house: House, count: int) -> list[Any]:
    async with asyncio.timeout(10):
        while len(found := await house.events(EventName.ACTION_COMPLETED)) < count:
            await house.store.wait_for_audit(await house.store.last_seq(), seconds=1)
    return found


async def test_an_uncaught_question_of_a_websocket_closes_it_and_says_why(tmp_path: Path) -> None:
    runs = Counter[str]()
    route = WebSocketRoute("/ws", acting(runs, catches=False))
    async with ada_at(tmp_path, route) as ada, talking(ada, "/ws") as talk:
        await talk.heard()
        assert await talk.say({"do": "a"}) == {"type": "websocket.close", "code": 1008, "reason": "STEPUP_REQUIRED"}
    assert runs == {}


# caches inside the app


# N08
async def test_a_cache_inside_the_app_is_told_to_keep_nothing_of_an_authorized_answer(tmp_path: Path) -> None:
    seen: list[str] = []

    def watching(app: Any) -> Any:
        async def watch(scope: Any, receive: Any, send: Any) -> None:
            async def sent(message: Any) -> None:
                if message["type"] == "http.response.start":
                    seen.append(dict(message["headers"]).get(b"cache-control", b"").decode())
                await send(message)

            await app(scope, receive, sent)

        return watch

    async def cacheable(request: Request) -> Response:
        return PlainTextResponse("secret", headers={"cache-control": "public, max-age=600"})

    inner = Starlette(
        routes=[
            Route("/tag", requires_step_up(PURPOSE)(cacheable), methods=["POST"]),
            Mount("/app", app=RequireStepUp(Starlette(routes=[Route("/x", cacheable, methods=["POST"])]), PURPOSE)),
        ]
    )
    async with house_in(tmp_path, wrap=lambda _: watching(inner)) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        for path in ("/tag", "/app/x"):
            answer = await ada.step_up("POST", path, "passkey")
            assert answer.headers.get_list("cache-control") == ["no-store"]
            assert seen[-1] == "private, no-store, max-age=0"


async def test_three_gates_in_one_another_take_two_proofs(tmp_path: Path) -> None:
    runs = Counter[str]()

    @requires_step_up(PURPOSE)
    async def act(request: Request) -> Response:
        await require_step_up(request, PURPOSE)
        runs["x"] += 1
        return PlainTextResponse("ran")

    inner = Starlette(routes=[Route("/x", act, methods=["POST"])])
    async with ada_at(tmp_path, Mount("/in", app=RequireStepUp(inner, PURPOSE))) as ada:
        assert (await ada.step_up("POST", "/in/x", "passkey")).status_code == 409
        assert runs == {}


async def test_an_endpoint_that_is_handed_no_request_does_not_run_with_its_body_unbound(tmp_path: Path) -> None:
    runs: list[int] = []

    @requires_step_up(PURPOSE, bind_body=False)
    async def blind(id: int) -> None:
        runs.append(id)

    async def batch(request: Request) -> PlainTextResponse:
        for number in (1, 2):
            with suppress(ConfigurationError):
                await blind(id=number)
        return PlainTextResponse("done")

    async with ada_at(tmp_path, Route("/x", batch, methods=["POST"])) as ada:
        assert (await ada.post("/x")).text == "done"
    assert runs == []
