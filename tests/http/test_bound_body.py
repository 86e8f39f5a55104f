"""A tag that binds the body: the repetition must carry what the person agreed to, however it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepup_middleware import EventName
from stepup_middleware.request import body as body_module
from tests.support import Browser, House, call, code_of, house_in, scope_of

BOUND = "/bound"


# T21
@pytest.mark.parametrize(
    ("agreed", "sent"),
    [
        ({"json": {"amount": 1}}, {"json": {"amount": 1_000_000}}),
        ({"json": {"amount": 1}}, {"content": b""}),
        ({"data": {"amount": "1"}}, {"data": {"amount": "1000000"}}),
        ({"data": {"amount": "1"}}, {"data": {"amount": "1", "to": "mallory"}}),
        ({"data": {"amount": "1"}}, {"json": {"amount": "1"}}),
        ({"data": {"a": "1"}, "files": {"f": ("a.csv", b"x")}}, {"data": {"a": "1"}, "files": {"f": ("a.csv", b"y")}}),
        ({"data": {"a": "1"}, "files": {"f": ("a.csv", b"x")}}, {"data": {"a": "1"}, "files": {"f": ("b.csv", b"x")}}),
        ({"content": b""}, {"content": b"x"}),
    ],
)
async def test_a_token_for_one_body_does_not_run_with_another(
    ada: Browser, house: House, agreed: dict[str, object], sent: dict[str, object]
) -> None:
    token = await ada.token("POST", BOUND, "passkey", **agreed)
    answer = await ada.post(BOUND, token=token, **sent)
    assert code_of(answer) == "STEPUP_REQUIRED"
    assert (await house.events(EventName.BLOCKED))[-1].flags == ("wrong_request",)
    assert house.runs[BOUND] == 0
    assert (await ada.post(BOUND, token=token, **agreed)).status_code == 200  # it stays good for what was agreed


# T22
async def test_a_multipart_form_that_a_browser_writes_with_a_new_boundary_runs(ada: Browser, house: House) -> None:
    def form(boundary: str) -> dict[str, object]:
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n',
            f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n'
            "Content-Type: text/csv\r\n\r\nx,y\r\n",
            f"--{boundary}--\r\n",
        ]
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        return {"content": "".join(parts).encode(), "headers": headers}

    token = await ada.token("POST", BOUND, "passkey", **form("----first"))
    assert (await ada.post(BOUND, token=token, **form("----second"))).status_code == 200
    assert house.bodies == [[("a", "1"), ("f", "a.csv")]]


# T22
async def test_a_form_is_bound_with_its_anti_forgery_field(ada: Browser, house: House) -> None:
    token = await ada.token("POST", BOUND, "passkey", data={"a": "1", "csrf_token": "old"})
    assert (await ada.post(BOUND, token=token, data={"a": "1", "csrf_token": "new"})).status_code == 401
    assert (await ada.post(BOUND, token=token, data={"a": "1", "csrf_token": "old"})).status_code == 200
    assert house.bodies == [[("a", "1"), ("csrf_token", "old")]]


# T23
async def test_a_body_in_pieces_is_the_same_body_and_the_app_sees_it_whole(ada: Browser, house: House) -> None:
    token = await ada.token("POST", BOUND, "passkey", content=b'{"amount":1}')
    headers = [("stepup-token", token), ("transfer-encoding", "chunked")]
    scope = scope_of("POST", BOUND, subject=ada.subject, headers=headers)
    answer = await call(house.app, scope, [b'{"am', b"", b'ount":', b"1}"])
    assert answer.status == 200
    assert house.bodies == [b'{"amount":1}']


async def test_a_mounted_app_sees_the_bound_body_whole(ada: Browser, house: House) -> None:
    token = await ada.token("POST", "/bound-mount/x", "passkey", json={"hold": 7})
    assert (await ada.post("/bound-mount/x", token=token, json={"hold": 8})).status_code == 401
    assert (await ada.post("/bound-mount/x", token=token, json={"hold": 7})).status_code == 200
    assert house.bodies == [b'{"hold":7}']


# T24
@pytest.mark.parametrize("url", [BOUND, "/bound-mount/x"])
@pytest.mark.parametrize("declared", [True, False])
async def test_one_byte_more_than_may_be_bound_is_too_large_and_consumes_nothing(
    tmp_path: Path, url: str, declared: bool
) -> None:
    async with house_in(tmp_path, max_bound_body=100) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", url, "passkey", content=b"x" * 100)
        length = [("content-length", "101")] if declared else []
        scope = scope_of("POST", url, subject=ada.subject, headers=[("stepup-token", token), *length])
        answer = await call(house.app, scope, [b"x" * 50, b"x" * 51])
        assert answer.status == 413
        assert answer.headers("cache-control") == ["no-store"]
        assert b"STEPUP_BODY_TOO_LARGE" in answer.body
        assert house.total == 0
        assert (await ada.post(url, token=token, content=b"x" * 100)).status_code == 200


# T24
@pytest.mark.parametrize("url", [BOUND, "/bound-mount/x"])
async def test_a_body_that_drips_is_too_slow_and_consumes_nothing(
    ada: Browser, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ada.token("POST", url, "passkey", content=b"x")
    monkeypatch.setattr(body_module, "BODY_SECONDS", 0.05)
    scope = scope_of("POST", url, subject=ada.subject, headers=[("stepup-token", token)])
    async with asyncio.timeout(30):  # an endpoint that got to run would wait for the rest
        answer = await call(house.app, scope, [b"x"], hang=True)
    assert answer.status == 408
    assert b"STEPUP_BODY_TIMEOUT" in answer.body
    assert house.total == 0
    monkeypatch.undo()
    assert (await ada.post(url, token=token, content=b"x")).status_code == 200


# T24 D04
async def test_a_request_without_a_token_is_asked_before_its_unbound_body_is_read(ada: Browser, house: House) -> None:
    scope = scope_of("POST", "/stream", subject=ada.subject, headers=[("content-length", "1000000000")])
    async with asyncio.timeout(5):
        answer = await call(house.app, scope, [b"x"], hang=True)
    assert (answer.status, answer.json()["code"]) == (401, "STEPUP_REQUIRED")


# B08
# T24 D04
@pytest.mark.parametrize("url", [BOUND, "/bound-mount/x"])
async def test_nobody_unknown_is_waited_for(house: House, url: str) -> None:
    async with asyncio.timeout(5):
        answer = await call(
            house.app, scope_of("POST", url, headers=[("content-length", "1000000")]), [b"x"], hang=True
        )
    assert (answer.status, answer.json()["code"]) == (401, "STEPUP_NOT_SIGNED_IN")


# B06
@pytest.mark.parametrize("declared", ["11", "13", "012", "12,12", "-12", "12 12"])
async def test_a_content_length_that_is_not_that_of_the_body_is_refused(
    ada: Browser, house: House, declared: str
) -> None:
    token = await ada.token("POST", BOUND, "passkey", content=b'{"amount":1}')
    headers = [("stepup-token", token), *(("content-length", line) for line in declared.split(" "))]
    answer = await call(house.app, scope_of("POST", BOUND, subject=ada.subject, headers=headers), [b'{"amount":1}'])
    assert (answer.status, answer.json()["code"]) == (400, "STEPUP_BAD_REQUEST")
    assert house.runs[BOUND] == 0
    assert (await ada.post(BOUND, token=token, content=b'{"amount":1}')).status_code == 200


# D04
async def test_the_body_of_a_ceremony_is_bounded_and_no_bomb_gets_through(ada: Browser, house: House) -> None:
    url = (await ada.prompt("POST", "/webhooks/rotate"))["prompt"]["url"]
    headers = {"content-type": "application/json"}

    async def undeclared() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    large = await ada.post(f"{url}/webauthn", content=b" " * 65_537, headers=headers)
    undeclared_large = await ada.post(f"{url}/webauthn", content=undeclared(), headers=headers)
    deep = await ada.post(f"{url}/webauthn", content=b"[" * 60_000, headers=headers)
    listed = await ada.post(f"{url}/totp", content=b"[]", headers=headers)
    binary = await ada.post(f"{url}/totp", content=b"\xff\xfe", headers=headers)
    assert [answer.status_code for answer in (large, undeclared_large)] == [413, 413]
    half = await ada.post(f"{url}/totp", content=b'{"code":"\\ud800"}', headers=headers)  # of a character (RFC 7493)
    assert [code_of(answer) for answer in (deep, listed, binary, half)] == ["STEPUP_BAD_REQUEST"] * 4


# O08
@pytest.mark.parametrize(
    "value",
    [
        123456,
        1.5,
        None,
        [],
        {},
        True,
        "",
        "12345",
        "1234567",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        " 123456",
        "x" * 60_000,
    ],
)
async def test_a_code_that_is_no_six_digits_is_a_failure_and_no_fault(
    ada: Browser, house: House, value: object
) -> None:
    url = (await ada.prompt("POST", "/webhooks/rotate"))["prompt"]["url"]
    answer = await ada.post(f"{url}/totp", json={"code": value})
    assert (answer.status_code, code_of(answer)) == (400, "STEPUP_VERIFICATION_FAILED")
