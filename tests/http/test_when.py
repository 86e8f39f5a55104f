"""A rule with a condition asks where the condition says so, and wherever nobody can be sure what the app will read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import ConfigurationError, Fields, Rule, StepUpMiddleware
from stepup_middleware.asgi import Scope
from stepup_middleware.core.fields import strict_fields
from tests.support import Browser, House, call, house_in, scope_of

URLENCODED = "application/x-www-form-urlencoded"
BULK = "/admin/users"


def deletes(scope: Scope, fields: Fields) -> bool:
    return fields.has("action", "delete")


def from_elsewhere(scope: Scope) -> bool:
    return bool(scope["query_string"] != b"quiet")


async def later(scope: Scope, fields: Fields) -> bool:
    return fields.has("q")


def fails(scope: Scope, fields: Fields) -> bool:
    raise KeyError("action")


def forgets(scope: Scope, fields: Fields) -> Any:
    fields.has("action", "delete")


RULES = [
    Rule("POST", BULK, purpose="account_erasure_finalize", when=deletes),
    Rule("POST", "/scoped", purpose="account_erasure_finalize", when=from_elsewhere, bind_body=False),
    Rule("*", "/later", purpose="webhook_secret_rotation", when=later),
    Rule("POST", "/fails", purpose="webhook_secret_rotation", when=fails),
    Rule("POST", "/forgets", purpose="webhook_secret_rotation", when=forgets),
    Rule("POST", "/both", purpose="account_erasure_finalize", when=deletes),
    Rule("POST", "/both", purpose="webhook_secret_rotation"),
]


def admin() -> Starlette:
    """An app that one cannot edit: it answers with the form that it read."""

    async def reads(request: Request) -> Response:
        async with request.form() as form:
            return JSONResponse([[name, str(value)] for name, value in form.multi_items()])

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    paths = sorted({rule.path for rule in RULES})
    routes = [Route(path, reads, methods=["GET", "POST", "DELETE"]) for path in paths]
    return Starlette(routes=[*routes, WebSocketRoute("/live", socket)])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path) as house:
        house.app = StepUpMiddleware(admin(), stepup=house.stepup, rules=RULES)
        yield house


@pytest.fixture
async def ada(house: House) -> Browser:
    browser = Browser(house, house.sign_in("ada"))
    await browser.enrol("passkey")
    return browser


async def sent(ada: Browser, body: bytes, kind: str | None = URLENCODED, url: str = BULK, **more: Any) -> int:
    headers = {} if kind is None else {"content-type": kind}
    answer = await ada.send("POST", url, content=body, headers={**headers, **more})
    return answer.status_code


# J07
async def test_an_admin_ui_is_asked_at_the_deletion_and_not_at_the_page_that_selects(ada: Browser) -> None:
    assert await sent(ada, b"action=select&ids=1&ids=2") == 200
    assert await sent(ada, b"") == 200
    prompt = await ada.prompt("POST", BULK, data={"action": "delete", "ids": ["1", "2"]})
    assert prompt["purpose"]["id"] == "account_erasure_finalize"
    token = await ada.prove(prompt, "passkey")
    done = await ada.send("POST", BULK, data={"action": "delete", "ids": ["1", "2"]}, token=token)
    assert done.json() == [["action", "delete"], ["ids", "1"], ["ids", "2"]]


# J07
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"action=delete", URLENCODED),
        (b"action=select&action=delete", URLENCODED),
        (b"action=delete&action=select", URLENCODED),
        (b"a%63tion=del%65te", URLENCODED),
        (b"action=select;action=delete", URLENCODED),
        (b"action=select&", URLENCODED),
        (b"action=select&&x=1", URLENCODED),
        (b"action=a=delete", URLENCODED),
        (b"action=a,delete", URLENCODED),
        (b"action=%zz", URLENCODED),
        (b"action=%", URLENCODED),
        (b"action=caf%E9", URLENCODED),
        (b"action=caf\xc3\xa9", URLENCODED),
        (b"action=%00delete", URLENCODED),
        (b"%20action=delete", URLENCODED),
        (b"_charset_=utf-16&action=select", URLENCODED),
        (b"action=select\r\n", URLENCODED),
        (b"action=select", URLENCODED + "; charset=latin-1"),
        (b"action=select", URLENCODED + "; charset=utf-8; charset=utf-7"),
        (b"action=select", "text/plain"),
        (b'{"action": "select"}', "application/json"),
        (b"action=select", "multipart/form-data"),
        (b"action=select", None),
        (b"&".join(b"a%d=1" % n for n in range(1002)), URLENCODED),
        (b"action=select&text=" + b"x" * 300_000, URLENCODED),
    ],
)
async def test_whatever_is_a_deletion_or_may_be_read_as_one_is_asked_about(
    ada: Browser, body: bytes, kind: str | None
) -> None:
    assert await sent(ada, body, kind) == 401


# J07
@pytest.mark.parametrize("kind", [URLENCODED, URLENCODED + "; charset=UTF-8", URLENCODED.upper() + ";charset=utf-8"])
async def test_what_browsers_and_scripts_send_is_read(ada: Browser, kind: str) -> None:
    assert await sent(ada, b"action=select&note=caf%C3%A9+%26+more&empty=&flag", kind) == 200


def parts(*parts: tuple[str, bytes], boundary: bytes = b"XB") -> bytes:
    made = b"".join(
        b"--" + boundary + b"\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return made + b"--" + boundary + b"--\r\n"


# J07
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (parts(('name="action"', b"select")), 200),
        (parts(('name="action"', b"select"), ('name="file"; filename=""', b"")), 200),
        (parts(('name="action"', b"select"), ('name="f"; filename="a"\r\nContent-Type: text/plain', b"text")), 200),
        (parts(('name="action"', b"delete")), 401),
        (parts(('name="action"', b"select"), ('name="action"', b"delete")), 401),
        (parts(('name="action"; filename=""', b"delete")), 401),
        (parts(("name=action", b"select")), 401),
        (parts(('name="action"\r\nContent-Type: text/plain; charset=utf-16', b"select")), 401),
        (parts(('name="f"; filename="a; name=action"', b"delete")), 401),
        (parts(('name="f"; filename="a.bin"', b"\xff\xfe")), 401),
        (parts(('name="x"', b"1&action=delete&y=2")), 401),
        (parts(('name="x"', b'--XB\nContent-Disposition: form-data; name="action"\n\ndelete')), 401),
        (parts(('name="action"', b"select")) + b"epilogue", 401),
        (parts(('name="action"', b"select"), boundary=b"YB"), 401),
    ],
)
async def test_a_form_in_parts_is_read_as_browsers_write_it_and_asked_about_otherwise(
    ada: Browser, body: bytes, status: int
) -> None:
    assert await sent(ada, body, "multipart/form-data; boundary=XB") == status


# J14
@pytest.mark.parametrize("file", ["", "a.txt"])
@pytest.mark.parametrize(
    ("kind", "content", "read"),
    [
        ("text/plain; charset=utf-7", b"+AGQ-elete", False),  # Litestar and Falcon read `delete`
        ("text/plain;charset=utf-16", "delete".encode("utf-16"), False),
        ("text/plain; charset=UTF-8; charset=utf-7", b"+AGQ-elete", False),
        ('text/plain; charset="utf-7"', b"+AGQ-elete", False),
        ("text/plain; charset=iso-8859-1", b"select", False),
        ("text/html; charset=utf-7", b"+AGQ-elete", False),
        ("application/json", b'"d\\u0065lete"', False),  # Falcon reads `delete`
        (URLENCODED, b"action=delete", False),
        ("text/plain", b"select", True),
        ("text/plain;charset=UTF-8", b"select", True),
        ("text/csv", b"a;b", True),
        ("application/octet-stream", b"", True),
    ],
)
def test_a_part_that_names_another_coding_is_not_read(file: str, kind: str, content: bytes, read: bool) -> None:
    body = parts((f'name="action"; filename="{file}"\r\nContent-Type: {kind}', content))
    fields = strict_fields(b"", [b"multipart/form-data; boundary=XB"], body)
    assert (fields is not None) == read


# J14
@pytest.mark.parametrize(
    "body",
    [
        parts(('name="action"; filename=""\r\nContent-Type: text/plain; charset=utf-7', b"+AGQ-elete")),
        parts(('name="_charset_"', b"utf-7"), ('name="action"', b"+AGQ-elete")),
        parts(('name="action"\r\nContent-Transfer-Encoding: base64', b"ZGVsZXRl")),
        parts(('name="action"\r\ncontent-transfer-encoding: quoted-printable', b"d=65lete")),
        parts(("name*=utf-7''+AGE-ction", b"delete")),
    ],
)
async def test_a_form_in_parts_that_says_how_it_is_coded_is_asked_about(ada: Browser, body: bytes) -> None:
    assert await sent(ada, body, "multipart/form-data; boundary=XB") == 401


# J07
async def test_the_query_counts_as_the_form_does(ada: Browser) -> None:
    assert await sent(ada, b"action=select", url=BULK + "?action=list&x=1") == 200
    assert await sent(ada, b"action=select", url=BULK + "?action=delete") == 401
    assert await sent(ada, b"", url=BULK + "?x;action=delete") == 401
    assert (await ada.send("POST", BULK)).status_code == 200


# J07
async def test_a_coded_body_and_one_that_is_not_as_long_as_it_says_are_asked_about(ada: Browser) -> None:
    assert await sent(ada, b"action=select", **{"content-encoding": "identity"}) == 401
    assert await sent(ada, b"action=select&x=1", **{"content-length": "13"}) in (400, 401)


# J07
async def test_a_condition_on_the_scope_alone_leaves_the_body_unread(ada: Browser) -> None:
    assert await sent(ada, b"x", "text/plain", url="/scoped") == 401
    assert await sent(ada, b"x", "text/plain", url="/scoped?quiet") == 200


# J07
async def test_a_condition_may_be_async_and_is_for_any_method(ada: Browser) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert (await ada.send(method, "/later")).status_code == 200
        assert (await ada.send(method, "/later?q=1")).status_code == 401


# J07
@pytest.mark.parametrize("path", ["/fails", "/forgets"])
async def test_a_condition_that_fails_or_says_nothing_refuses_the_request(
    ada: Browser, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ada.send("POST", path, data={"action": "select"})
    assert (answer.status_code, answer.json()["code"]) == (503, "STEPUP_UNAVAILABLE")
    assert f"{path[1:]}, the `when` of a rule," in caplog.text


# J07
async def test_where_a_condition_does_not_hold_the_next_rule_counts(ada: Browser) -> None:
    wanted = {"delete": "account_erasure_finalize", "select": "webhook_secret_rotation"}
    for action, purpose in wanted.items():
        prompt = await ada.prompt("POST", "/both", data={"action": action})
        assert prompt["purpose"]["id"] == purpose


# J07
async def test_a_method_that_a_form_asks_for_is_judged_by_the_condition_of_its_rule(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        rules = [Rule("DELETE", BULK, purpose="account_erasure_finalize", when=deletes)]
        house.app = StepUpMiddleware(admin(), stepup=house.stepup, rules=rules)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        for action, method, status in (
            ("delete", "DELETE", 401),
            ("select", "DELETE", 200),
        ):
            answer = await ada.send("POST", BULK, data={"_method": method, "action": action})
            assert answer.status_code == status, (action, method)
        assert (await ada.send("POST", BULK, data={"action": "delete"})).status_code == 200  # no rule is for it


# J07
async def test_a_body_that_something_between_rewrites_is_asked_about(tmp_path: Path) -> None:
    async def rewrites(request: Request, call_next: Callable[[Request], Any]) -> Any:
        return await call_next(request)

    async with house_in(tmp_path) as house:
        inner = StepUpMiddleware(admin(), stepup=house.stepup, rules=RULES)
        between = Starlette(middleware=[Middleware(BaseHTTPMiddleware, dispatch=rewrites)])
        between.mount("/", inner)
        house.app = StepUpMiddleware(between, stepup=house.stepup)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert await sent(ada, b"action=select") == 401


# J07
async def test_a_websocket_is_judged_by_its_query(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        rules = [Rule("*", "/live", purpose="audit_log_export", when=deletes)]
        house.app = StepUpMiddleware(admin(), stepup=house.stepup, rules=rules)
        ada = house.sign_in("ada")
        for query, accepted in ((b"action=delete", False), (b"action=list", True), (b"a;b", False)):
            scope = scope_of("GET", "/live", subject=ada, kind="websocket")
            scope["query_string"] = query
            begun = (await call(house.app, scope)).messages[0]["type"]
            assert (begun == "websocket.accept") == accepted, query


# J08
@pytest.mark.parametrize(
    ("more", "advice"),
    [
        ({"when": lambda: True}, "when is called with the scope"),
        ({"when": lambda scope, fields, more: True}, "when is called with the scope"),
        ({"when": "action=delete"}, "is a function of the scope"),
        ({"when": deletes, "bind_body": False}, "leaves the body unread"),
    ],
)
def test_a_condition_that_can_be_none_is_refused_with_what_to_write(more: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Rule("POST", "/x", purpose="audit_log_export", **more)


names = st.text(st.characters(codec="utf-8"), max_size=8)


# J07
@given(st.lists(st.tuples(names, names), max_size=6), st.lists(st.tuples(names, names), max_size=3))
def test_every_value_of_every_field_that_is_read_is_seen(
    form: list[tuple[str, str]], query: list[tuple[str, str]]
) -> None:
    body = urlencode(form).encode()
    fields = strict_fields(urlencode(query).encode(), [URLENCODED.encode()], body)
    if fields is not None:
        assert all(fields.has(name, value) and value in fields.values(name) for name, value in form + query)
        assert set(fields.names()) == {name for name, _ in form + query}


# J07
@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([URLENCODED, "multipart/form-data; boundary=X"]))
def test_no_bytes_raise(query: bytes, body: bytes, kind: str) -> None:
    strict_fields(query, [kind.encode()], body)


def test_fields_are_asked_by_name_and_value_and_in_no_way_that_is_quietly_false() -> None:
    fields = Fields([("action", "a"), ("action", "b")])
    assert fields.has("action", "b", "c")
    assert not fields.has("action", "c")
    assert not fields.has("other")
    for misuse in (lambda: fields["action"], lambda: "action" in fields, lambda: fields.get("action")):  # type: ignore[index,operator,attr-defined]
        with pytest.raises((TypeError, AttributeError)):
            misuse()
