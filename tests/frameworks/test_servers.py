"""The same suite over real sockets: uvicorn (h11, httptools), hypercorn (HTTP/1.1, HTTP/2), granian, daphne."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stepup_middleware import EventName
from stepup_middleware.service.audit import AuditService
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS

from .apps import FRAMEWORKS
from .matrix import published
from .serving import COMMANDS, HTTP2, Served, outcome, serving

BODY_OF_A_GIGABYTE = 1024**3
SPELLINGS = [  # of a request target, of which some server or router makes the tagged path
    "/function",
    "/function%0A",
    "/function%0a%0d",
    "/%66unction",
    "/%2566unction",
    "/function/",
    "//function",
    "/./function",
    "/open/../function",
    "/function;a=1",
    "/FUNCTION",
    "/\\function",
    "/function%00",
    "/function%3F",
    "/function%23",
    "/function#open",
    "/function?x=1",
    "/function%20",
    "http://evil.test/function",
    "http://evil.test//function",
]


@pytest.fixture(scope="module", params=COMMANDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with all apps."""
    with serving(request.param, tmp_path_factory.mktemp("served")) as served:
        yield served


# T01 T02 T03 H14
@pytest.mark.sweep()
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_guide_says_of_every_framework_what_was_measured_and_all_of_it_is_well(
    served: Served, framework: str
) -> None:
    columns = [served.name, HTTP2] if served.name == "hypercorn" else [served.name]
    for column in columns:
        found = await outcome(served, framework, http2=column == HTTP2)
        assert found.green, (framework, str(found), served.log.read_text(errors="replace")[-3000:])
        assert str(found) == published()[framework, column]


# H01 H02 H03 H04 H12 H13 H23
@pytest.mark.slow
async def test_no_spelling_of_a_request_runs_a_tagged_endpoint_without_a_proof(served: Served) -> None:
    before = await served.runs()
    for framework in FRAMEWORKS:
        for action in ("/function", "/ruled/x"):
            for spelling in SPELLINGS:
                target = spelling.replace("function", action[1:]).replace("FUNCTION", action[1:].upper())
                await served.raw(_request("POST", target, framework))
        for method in ("post", "Post", "GET", "HEAD", "OPTIONS", "PUT"):
            await served.raw(_request(method, "/function", framework))
        await served.raw(_request("POST", "/function", framework, "Host: open.test"))
        await served.raw(_request("GET", "/function", framework, "X-HTTP-Method-Override: POST"))
    assert await served.runs() == before
    async with served.client("starlette") as http:
        assert (await http.get("/open")).status_code == 200


def _request(method: str, target: str, framework: str, *headers: str) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {framework}.localhost:8000",
        "Cookie: session=mallory",
        "Content-Length: 0",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# T12
async def test_two_token_headers_are_ambiguous_and_spend_neither(served: Served) -> None:
    person = served.person("starlette", "two")
    async with person.http:
        await person.enrol_passkey()
        before = await served.runs()
        token = await person.prove(await person.ask("POST", "/function"))
        headers = (f"StepUp-Token: {token}", f"StepUp-Token: {token}", "Sec-Fetch-Site: same-origin")
        request = _request("POST", "/function", "starlette", *headers).replace(b"mallory", b"two")
        assert b" 401 " in (await served.raw(request)).partition(b"\r\n")[0]
        assert await served.runs() == before
        assert (await person.http.post("/function", headers={"stepup-token": token})).status_code == 200


# H22
async def test_a_token_in_a_header_with_an_underscore_is_none(served: Served) -> None:
    person = served.person("starlette", "underscore")
    async with person.http:
        await person.enrol_passkey()
        before = await served.runs()
        token = await person.prove(await person.ask("POST", "/function"))
        request = _request("POST", "/function", "starlette", f"StepUp_Token: {token}").replace(
            b"mallory", b"underscore"
        )
        assert b" 200 " not in (await served.raw(request)).partition(b"\r\n")[0]
        assert await served.runs() == before


# X03
@pytest.mark.slow
async def test_a_client_that_leaves_within_its_body_runs_nothing_and_harms_nobody(served: Served) -> None:
    before = await served.runs()
    for framework in FRAMEWORKS:
        request = _request("POST", "/bound", framework).replace(b"Content-Length: 0", b"Content-Length: 1000")
        await served.raw(request + b"half", leave=True)
    async with served.client("starlette") as http:
        assert (await http.get("/open")).status_code == 200
    assert await served.runs() == before


# T24 H26
@pytest.mark.parametrize("served", [name for name in COMMANDS if name != "daphne"], indirect=True)  # see the guide
@pytest.mark.parametrize(
    ("framework", "path"),
    [
        *((framework, "/upload") for framework in FRAMEWORKS),  # a rule's
        ("starlette", "/function"),
        ("quart", "/function"),
        ("falcon", "/function"),
        ("litestar", "/class"),
    ],
)
@pytest.mark.sweep()
async def test_a_body_of_a_gigabyte_is_refused_unread_where_the_guide_says_so(
    served: Served, framework: str, path: str
) -> None:
    for _ in range(10):
        with suppress(ConnectionError):  # closing over unread bytes can take an answer back: RFC 9112 §9.6
            sent, answer = await _upload(served, framework, path)
            break
    else:
        raise AssertionError("no answer arrived before the connection was reset, ten times")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent < 64 * 1024 * 1024  # what sockets and servers hold, of the gigabyte that was declared


async def _upload(served: Served, framework: str, path: str) -> tuple[int, bytes]:
    """Send a gigabyte until an answer comes; return how many bytes went out before it, and the answer.

    Raises ``ConnectionError`` when the connection was reset before an answer arrived.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = _request("POST", path, framework).replace(b"Content-Length: 0", b"Content-Length: %d" % BODY_OF_A_GIGABYTE)
    writer.write(head.replace(b"mallory", b"uploader"))
    answering = asyncio.create_task(reader.read(1000))
    sent, piece = 0, bytes(256 * 1024)
    try:
        while not answering.done() and sent < BODY_OF_A_GIGABYTE:
            writer.write(piece)
            sent += len(piece)
            draining = asyncio.create_task(writer.drain())
            await asyncio.wait([draining, answering], timeout=60, return_when=asyncio.FIRST_COMPLETED)
            if draining.done() and draining.exception() is not None:
                break
        answer = await asyncio.wait_for(answering, 60)
        if not answer:
            raise ConnectionResetError
        return sent, answer
    finally:
        writer.transport.abort()


# I06 I09
@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "trusted", "address"),
    [
        (["--no-proxy-headers"], "", "127.0.0.1"),
        (["--no-proxy-headers"], "127.0.0.1", "7.7.7.7"),
        (["--proxy-headers", "--forwarded-allow-ips", "127.0.0.1"], "127.0.0.1", "7.7.7.7"),
        (["--proxy-headers", "--forwarded-allow-ips", "*"], "", "6.6.6.6"),
    ],
)
async def test_whose_word_about_the_clients_address_counts_is_said_by_name(
    tmp_path: Path, options: list[str], trusted: str, address: str
) -> None:
    with serving(
        "uvicorn (h11)", tmp_path, *options, STEPUP_TEST_TRUSTED=trusted, STEPUP_TEST_FRAMEWORKS="starlette"
    ) as served:
        async with served.client("starlette", "ada") as http:
            answer = await http.post("/function", headers={"x-forwarded-for": "6.6.6.6, 7.7.7.7"})
            assert answer.json()["code"] == "STEPUP_FACTOR_INSUFFICIENT"
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        events = [record async for record in AuditService(store=store, clock=lambda: datetime.now(UTC)).stream(None)]
    assert [(record.event, record.ip) for record in events] == [(EventName.BLOCKED, address)]
    warned = "believes the first entry of X-Forwarded-For" in served.log.read_text()
    assert warned == ("*" in options)


# I08
@pytest.mark.slow
async def test_on_a_unix_socket_nobody_has_an_address_and_nothing_tagged_runs(tmp_path: Path) -> None:
    with serving("uvicorn (h11)", tmp_path, uds=True, STEPUP_TEST_FRAMEWORKS="starlette") as served:
        async with served.client("starlette", "ada") as http:
            for headers in ({}, {"x-forwarded-for": "6.6.6.6"}):
                answer = await http.post("/function", headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (503, "STEPUP_UNAVAILABLE")
            assert (await http.get("/open")).status_code == 200
        assert await served.runs() == {}
