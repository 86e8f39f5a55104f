"""Every framework, one guard: a function, a class, a handler that asks itself, a stream, a task, a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from stepup_middleware import ConfigurationError, EventName
from stepup_middleware.asgi import Message, Scope
from tests.support import scope_of

from .apps import FRAMEWORKS, LACKING, PIECES, PURPOSE
from .conftest import Here
from .site import MOST_BOUND

PATHS = ("/function", "/class", "/inside", "/sync", "/bound", "/stream", "/background", "/ruled/x")
CASES = [(framework, path) for framework in FRAMEWORKS for path in PATHS if path not in LACKING.get(framework, ())]
FORMS = [(framework, path) for framework, path in CASES if path in ("/function", "/class", "/inside", "/ruled/x")]
every = pytest.mark.parametrize("framework", FRAMEWORKS)
WITH_SOCKETS = [framework for framework in FRAMEWORKS if "/socket" not in LACKING.get(framework, ())]
with_sockets = pytest.mark.parametrize("framework", WITH_SOCKETS)


# H08 H24 H26
@pytest.mark.parametrize(("framework", "path"), CASES)
async def test_a_tagged_endpoint_runs_with_a_proof_alone_and_the_log_has_no_fault(
    here: Here, framework: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    person = await here.enrolled(framework)
    name = f"{framework}/{path.split('/')[1]}"
    with caplog.at_level(logging.INFO):
        asked = await person.ask("POST", path, content=b"the body")
        assert asked.headers["content-type"] == "application/problem+json"
        assert asked.json()["code"] == "STEPUP_REQUIRED"
        assert here.site.runs.total() == 0
        token = await person.prove(asked)
        done = await person.http.post(path, content=b"the body", headers={"stepup-token": token})
        assert (done.status_code, done.headers["cache-control"]) == (200, "no-store")
        again = await person.http.post(path, content=b"the body", headers={"stepup-token": token})
        assert (again.status_code, again.json()["code"]) == (403, "STEPUP_TOKEN_REUSED")
        async with asyncio.timeout(10):
            while not here.site.runs:  # noqa: ASYNC110 - a task that is left behind runs after the answer
                await asyncio.sleep(0)
    assert dict(here.site.runs) == {name: 1}
    if path == "/bound":
        assert done.content == b"the body"
    if path == "/stream":
        assert done.content == b"".join(PIECES)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert " 500 " not in caplog.text


# N07
@pytest.mark.parametrize("framework", ["django", "fastapi"])
async def test_a_sync_handler_asks_from_its_thread_and_runs_once_with_the_proof(
    here: Here, framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    person = await here.enrolled(framework)
    name = f"{framework}/asking"
    asked = await person.ask("POST", "/asking", json={"amount": 1})
    assert asked.json()["details"] == [["Amount", "1"]]
    token = await person.prove(asked)
    other = await person.http.post("/asking", json={"amount": 1000}, headers={"stepup-token": token})
    assert (other.status_code, other.json()["code"]) == (401, "STEPUP_REQUIRED")
    assert here.site.runs.total() == 0
    done = await person.http.post("/asking", json={"amount": 1}, headers={"stepup-token": token})
    assert (done.status_code, done.json()) == (200, {"ran": "asking", "factor": "passkey"})
    again = await person.http.post("/asking", json={"amount": 1}, headers={"stepup-token": token})
    assert (again.status_code, again.json()["code"]) == (403, "STEPUP_TOKEN_REUSED")
    assert dict(here.site.runs) == {name: 1}
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@every
async def test_an_untagged_endpoint_is_let_be(here: Here, framework: str) -> None:
    answer = await here.person(framework).http.get("/open")
    assert (answer.status_code, answer.json()) == (200, {"open": True})
    assert "cache-control" not in answer.headers


# T18 T21
@every
async def test_a_proof_for_one_body_serves_no_other(here: Here, framework: str) -> None:
    person = await here.enrolled(framework)
    token = await person.prove(await person.ask("POST", "/bound", content=b"one"))
    other = await person.http.post("/bound", content=b"two", headers={"stepup-token": token})
    assert (other.status_code, other.json()["code"]) == (401, "STEPUP_REQUIRED")
    done = await person.http.post("/bound", content=b"one", headers={"stepup-token": token})
    assert done.content == b"one"
    assert dict(here.site.runs) == {f"{framework}/bound": 1}


# T24
@every
async def test_a_body_beyond_the_bound_is_refused(here: Here, framework: str) -> None:
    person = await here.enrolled(framework)
    answer = await person.http.post("/bound", content=b"x" * (MOST_BOUND + 1))
    assert answer.status_code == 413
    assert here.site.runs.total() == 0


# B09
# T23
@every
@pytest.mark.parametrize("size", [0, 1, 70_000, MOST_BOUND])
@pytest.mark.sweep()
async def test_an_endpoint_is_handed_the_very_body_that_was_bound(here: Here, framework: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    person = await here.enrolled(framework)
    token = await person.prove(await person.ask("POST", "/bound", content=body))
    done = await person.http.post("/bound", content=body, headers={"stepup-token": token})
    assert (done.status_code, done.content == body) == (200, True)


@every
async def test_the_log_has_how_the_action_ended(here: Here, framework: str) -> None:
    person = await here.enrolled(framework)
    assert (await person.act("POST", "/function")).status_code == 200
    await here.site.stepup.close()  # which writes what nobody waits for
    await here.site.stepup.start()
    found = [record async for record in here.site.stepup.audit.stream(None)]
    ended = [record for record in found if record.event is EventName.ACTION_COMPLETED]
    assert [(record.purpose, record.data) for record in ended] == [(PURPOSE, {"status": 200, "outcome": "returned"})]


# H14
@with_sockets
@pytest.mark.parametrize("extended", [True, False])
async def test_a_websocket_is_refused_before_it_is_accepted(here: Here, framework: str, extended: bool) -> None:
    sent = await handshake(here, framework, extensions={"websocket.http.response": {}} if extended else {})
    assert sent[0]["type"] == ("websocket.http.response.start" if extended else "websocket.close")
    if extended:
        assert sent[0]["status"] == 403  # nobody has a factor
    assert here.site.runs.total() == 0


@with_sockets
async def test_a_websocket_is_accepted_once_with_a_token_in_its_handshake(here: Here, framework: str) -> None:
    person = await here.enrolled(framework)
    refused = await handshake(here, framework, extensions={"websocket.http.response": {}})
    (url,) = [value.decode() for name, value in refused[0]["headers"] if name == b"stepup-prompt"]
    asked = await person.http.get(url)
    asked.headers["stepup-prompt"] = url
    token = await person.prove(asked)
    for accepted in (True, False):
        sent = await handshake(here, framework, ("stepup-token", token), extensions={"websocket.http.response": {}})
        assert (sent[0]["type"] == "websocket.accept") == accepted
    assert dict(here.site.runs) == {f"{framework}/socket": 1}


async def handshake(here: Here, framework: str, *headers: tuple[str, str], **more: Any) -> list[Message]:
    """Open a WebSocket and leave once it is answered; return what the app sent."""
    scope: Scope = scope_of(
        "GET", "/socket", kind="websocket", subprotocols=[], headers=[("cookie", "session=ada"), *headers], **more
    )
    scope.update(scheme="ws", client=("192.0.2.1", 5000))
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"host"]
    scope["headers"].append((b"host", f"{framework}.localhost:8000".encode()))
    sent: list[Message] = []
    coming: asyncio.Queue[Message] = asyncio.Queue()
    await coming.put({"type": "websocket.connect"})

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] != "websocket.accept":
            await coming.put({"type": "websocket.disconnect", "code": 1000})

    async with asyncio.timeout(20):
        await here.site(scope, coming.get, send)
    assert sent, f"the app of {framework} has answered nothing to the handshake"
    return sent


# H19
@every
async def test_without_the_middleware_nothing_that_is_tagged_runs(
    here: Here, framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    bare = here.site.apps[framework].app
    for path in (path for name, path in CASES if name == framework and path not in ("/ruled/x", "/bound")):
        await _swallowed(bare, scope_of("POST", path, headers=[("cookie", "session=ada")]))
    assert here.site.runs.total() == 0


async def _swallowed(app: Any, scope: Scope) -> None:
    """Call an app that may raise, or answer with its own page, but runs nothing."""
    asked = [{"type": "http.request", "body": b"", "more_body": False}]
    answered = asyncio.Event()
    statuses: list[int] = []

    async def receive() -> Message:
        if asked:
            return asked.pop()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        elif not message.get("more_body"):
            answered.set()

    try:
        async with asyncio.timeout(20):
            await app(scope, receive, send)
    except (ConfigurationError, BaseExceptionGroup):
        return
    assert statuses == [500]


@pytest.mark.parametrize(("framework", "path"), FORMS)
@pytest.mark.sweep()
async def test_a_native_form_keeps_its_fields_on_the_page_that_repeats_it(
    here: Here, framework: str, path: str
) -> None:
    person = await here.enrolled(framework)
    form = {"note": "for <Ada> & Grace", "amount": "12"}
    page = await person.http.post(path, data=form, headers={"accept": "text/html", "sec-fetch-mode": "navigate"})
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    assert 'name="note" value="for &lt;Ada&gt; &amp; Grace"' in page.text
    assert 'name="amount" value="12"' in page.text
    assert here.site.runs.total() == 0


@every
async def test_a_form_that_no_page_can_carry_is_said_to_be_lost(here: Here, framework: str) -> None:
    person = await here.enrolled(framework)
    headers = {"accept": "text/html", "sec-fetch-mode": "navigate"}
    page = await person.http.post("/function", data={"note": "x" * 300_000}, headers=headers)
    assert page.status_code == 401
    assert 'name="note"' not in page.text
