"""Rules for an app that one cannot edit: whatever spelling some router takes for the path is asked about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route, Router

from stepup_middleware import ConfigurationError, RequireStepUp, Rule, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.mounts import Mount, Piece, Places
from stepup_middleware.patterns import TooMuchWork
from stepup_middleware.rules import PATH_LENGTH, WORK, PathTooLong, RuleTable, checked_rules
from tests.support import Browser, House, call, house_in, scope_of

from .test_configuration import configured

RULES = [
    Rule("DELETE", "/admin/users/{id}", purpose="account_erasure_finalize"),
    Rule("POST", "/admin/delete", purpose="scim_token_revocation", details=[("What", "everything")]),
    Rule("GET", "/export/{rest:path}", purpose="data_export_download"),
    Rule("*", "/danger", purpose="webhook_secret_rotation", bind_body=True),
]


class Legacy:
    """An app with a router of its own that takes any path; it counts what reached it."""

    def __init__(self) -> None:
        self.reached: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"") if scope["type"] == "http" else b""
        self.reached.append((scope["path"], scope.get("path_params"), body))
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ran"})


class Legacies:
    """The app behind the rules, and a person with a passkey."""

    def __init__(self, house: House, app: Legacy, ada: Browser) -> None:
        self.house, self.app, self.ada = house, app, ada

    async def call(self, method: str, path: str, **more: Any) -> int:
        """Send a request and return its status."""
        return (await call(self.house.app, scope_of(method, path, subject=self.ada.subject, **more))).status


@pytest.fixture
async def legacy(tmp_path: Path) -> AsyncIterator[Legacies]:
    async with house_in(tmp_path) as house:
        app = Legacy()
        house.app = StepUpMiddleware(app, stepup=house.stepup, rules=RULES)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        yield Legacies(house, app, ada)


# H01 H02 H04
@pytest.mark.parametrize(
    "path",
    [
        "/admin/delete",
        "/admin/delete/",
        "/admin/delete//",
        "/admin/delete\n",
        "/admin/delete\r\n",
        "/admin/delete%0A",
        "/admin/delete%0a/",
        "//admin/delete",
        "/admin//delete",
        "/./admin/delete",
        "/admin/./delete",
        "/x/../admin/delete",
        "/admin/x/../delete",
        "/../admin/delete",
        "/admin/x/%2e%2e/delete",
        "/admin;a=1/delete",
        "/admin/delete;jsessionid=1",
        "/ADMIN/Delete",
        "/admin\\delete",
        "\\admin\\delete",
        "/admin%2Fdelete",
        "/admin%252Fdelete",
        "/%61dmin/delete",
        "/%2561dmin/delete",
        "/admin/delete\0",
        "/admin/delete%00",
        "/admin/delete?x=1",
        "/admin/delete%3Fx=1",
        "/admin/delete#frag",
        "/admin/delete%23frag",
        "/admin/delete ",
        "/admin/delete%20",
        "/admin /delete",
        "/admin/de\u200blete",
        "http://evil.test/admin/delete",
        "HTTPS://example.com:443/admin/delete",
        "http:/admin/delete",
        "http:admin/delete",
        "admin/delete",
    ],
)
async def test_no_spelling_of_a_ruled_path_gets_past_the_rule(legacy: Legacies, path: str) -> None:
    assert await legacy.call("POST", path) == 401
    assert legacy.app.reached == []


# H04
@pytest.mark.parametrize("given", [";x", ";", ".", "..", "\n", " ", "a\\b", "\u200b", "a;b=1", "?", "#", "%2e", "%2F"])
@pytest.mark.parametrize("tail", ["", "/", "//"])
async def test_a_parameter_of_a_rule_may_be_anything_between_two_slashes(given: str, tail: str) -> None:
    table = RuleTable([Rule("POST", "/x/{id}", purpose="audit_log_export")])
    for prefix in ("/x/", "//x//", "/X/", "http:/x/"):
        assert table.match(table.target(scope_of("POST", prefix + given + tail))) is not None


# H04
@pytest.mark.parametrize("path", ["/f", "/f/", "/f//", "/f/a", "/f/a/b/", "/f/\n", "/F/;", "/f/./"])
async def test_what_a_parameter_of_any_length_stands_for_may_be_nothing(path: str) -> None:
    table = RuleTable([Rule("POST", "/f/{rest:path}", purpose="audit_log_export")])
    found = table.match(table.target(scope_of("POST", path)))
    assert found is not None
    assert set(found[1]) == {"rest"}
    assert table.match(table.target(scope_of("POST", "/fa"))) is None


# H02
async def test_a_rule_reads_the_raw_path_as_well_as_the_decoded_one() -> None:
    table = RuleTable([Rule("POST", "/x/{id}/act", purpose="audit_log_export")])
    scope = scope_of("POST", "/x/a/b/act", raw_path=b"/x/a%2Fb/act")
    assert table.match(table.target(scope)) is not None


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/deleted", "/admin/delete/x", "/x/admin/delete", "/open"])
async def test_what_no_rule_means_passes_untouched(legacy: Legacies, path: str) -> None:
    assert await legacy.call("POST", path) == 200
    assert legacy.app.reached == [(path, None, b"")]


# H11 H12
# J05
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", []),
        ("post", []),
        ("PoSt", []),
        ("GET", [("x-http-method-override", "POST")]),
        ("GET", [("x-http-method-override", " post ")]),
        ("PUT", [("x-http-method", "POST")]),
        ("GET", [("x-method-override", "POST")]),
        ("GET", [("x-http-method-override", "PUT"), ("x-http-method-override", "POST")]),
    ],
)
async def test_every_method_that_a_request_may_end_up_as_is_asked_about(
    legacy: Legacies, method: str, headers: list[tuple[str, str]]
) -> None:
    assert await legacy.call(method, "/admin/delete", headers=headers) == 401
    assert legacy.app.reached == []


async def test_another_method_passes(legacy: Legacies) -> None:
    assert await legacy.call("GET", "/admin/delete") == 200


async def test_head_is_asked_about_where_get_is(legacy: Legacies) -> None:
    assert await legacy.call("HEAD", "/export/2026/all.zip") == 401
    assert legacy.app.reached == []


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PROPFIND", "x"])
async def test_a_star_means_every_method(legacy: Legacies, method: str) -> None:
    assert await legacy.call(method, "/danger") == 401


# H07
async def test_under_a_root_path_both_spellings_are_asked_about(legacy: Legacies) -> None:
    for path in ("/api/admin/delete", "/admin/delete", "/api//admin/delete", "/api/admin%2Fdelete"):
        assert await legacy.call("POST", path, root_path="/api") == 401
    assert legacy.app.reached == []


# H14
async def test_a_websocket_on_a_ruled_path_is_refused_before_it_is_accepted(legacy: Legacies) -> None:
    for path in ("/admin/delete", "/admin/users/7", "/danger"):
        scope = scope_of("GET", path, subject=legacy.ada.subject, kind="websocket")
        answer = await call(legacy.house.app, scope)
        assert [message["type"] for message in answer.messages] == ["websocket.close"]
    assert legacy.app.reached == []


async def test_a_ruled_request_runs_once_with_a_token_and_its_parameters(legacy: Legacies) -> None:
    answer = await legacy.ada.step_up("DELETE", "/admin/users/Seven", "passkey")
    assert (answer.status_code, answer.text) == (200, "ran")
    assert legacy.app.reached == [("/admin/users/Seven", {"id": "Seven"}, b"")]


async def test_a_rule_shows_its_details_and_binds_the_body_where_it_says_so(legacy: Legacies) -> None:
    prompt = await legacy.ada.prompt("POST", "/admin/delete")
    assert prompt["details"] == [["What", "everything"]]
    token = await legacy.ada.token("POST", "/danger", "passkey", json={"a": 1})
    assert (await legacy.ada.post("/danger", json={"a": 2}, token=token)).status_code == 401
    assert (await legacy.ada.post("/danger", json={"a": 1}, token=token)).status_code == 200
    assert legacy.app.reached == [("/danger", {}, b'{"a":1}')]


async def test_a_token_for_one_spelling_is_for_that_spelling_alone(legacy: Legacies) -> None:
    token = await legacy.ada.token("POST", "/admin/delete", "passkey")
    assert (await legacy.ada.post("/admin/delete/", token=token)).status_code == 401
    assert (await legacy.ada.post("/admin/delete", token=token)).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [("POST", "x", "audit_log_export"), ("POST", "", "audit_log_export"), ("POST", "/x", "")],
)
def test_a_rule_without_a_path_or_a_purpose_stops_the_start(arguments: tuple[str, str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Rule(arguments[0], arguments[1], purpose=arguments[2])


# D03
@pytest.mark.parametrize("path", ["/a/{one:path}/b/{two:path}", "/{a}-{b}", "/x/{a:path}{b}"])
def test_a_rule_that_takes_time_beyond_the_length_of_the_path_stops_the_start(path: str) -> None:
    with pytest.raises(ConfigurationError, match="one parameter"):
        Rule("POST", path, purpose="audit_log_export")


segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="()[]{}<>|^$\\?#*%/"), min_size=1, max_size=8
)


@example(["\0", "\0"])
@given(st.lists(segments, min_size=1, max_size=4))
def test_every_rule_matches_its_own_path(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    table = RuleTable([Rule("POST", path, purpose="audit_log_export")])
    assert table.match(table.target(scope_of("POST", path))) is not None


plain_segments = st.text("abcXYZ019-_~", min_size=1, max_size=8)


@given(st.lists(plain_segments, min_size=1, max_size=4), st.data())
def test_a_disguised_path_is_still_the_path(parts: list[str], data: st.DataObject) -> None:
    table = RuleTable([Rule("POST", "/" + "/".join(parts), purpose="audit_log_export")])
    disguised = ""
    for part in parts:
        slash = data.draw(st.sampled_from(["/", "//", "/./", "\\", "/x/../", "%2f"]))
        letters = "".join(
            data.draw(st.sampled_from([letter, letter.upper(), f"%{ord(letter):02x}", f"%25{ord(letter):02X}"]))
            for letter in part
        )
        disguised += slash + letters + data.draw(st.sampled_from(["", ";x=1", "\n", "%00"]))
    assert (
        table.match(table.target(scope_of("POST", disguised + data.draw(st.sampled_from(["", "/", "?a", "#b"])))))
        is not None
    )


# D03
# Z02
@pytest.mark.parametrize("piece", ["/", "/b", "%2f", "../", ";", "a", "%25"])
def test_the_longest_path_is_judged_by_forty_rules_within_the_work_and_a_longer_one_is_not_judged(piece: str) -> None:
    more = [Rule("POST", f"/{place}/{{one:path}}/b/{{other}}/c", purpose="audit_log_export") for place in range(38)]
    table = RuleTable([*RULES, Rule("POST", "/a/{one:path}/b/{other}/c", purpose="audit_log_export"), *more])
    path = "/a/" + (piece * PATH_LENGTH)[: PATH_LENGTH - 3]
    with suppress(PathTooLong):
        assert sum(len(each) for each, _ in table.target(scope_of("POST", path)).readings) < WORK
    with pytest.raises(PathTooLong):
        table.target(scope_of("POST", path * 8))


# Z09
@pytest.mark.parametrize(
    "unit", ["/own/a%2f%2fb\\app;p/./", "%252fapp%252fown/x;/..", "/app/own/api/v1/in", "/;/..%2f/app"]
)
def test_the_spellings_of_a_path_below_mounts_are_never_longer_than_the_work(unit: str) -> None:
    mounts = ["/api", "/api /v1", "/api /v1 /in", "/{tenant}", "/{tenant} /{app}"]
    found = [Mount(tuple(Piece(piece, False) for piece in mount.split())) for mount in mounts]
    places = Places((*found, Mount((Piece("/x", True),))), ("/app", "/own"))
    table = RuleTable([Rule("POST", f"/api/v1/{n}/{{id}}", "audit_log_export") for n in range(40)], places=places)
    made = 0
    scope = scope_of("POST", (unquote(unit) * 900)[:PATH_LENGTH], root_path="/app", raw_path=unit.encode() * 900)
    with pytest.raises(TooMuchWork):
        for path, _ in table.readings(scope):
            made += len(path)
    assert made < WORK
    with pytest.raises(PathTooLong):
        table.match(table.target({**scope, "raw_path": scope["raw_path"][: 3 * PATH_LENGTH]}))


# Z09
async def test_a_path_whose_spellings_take_too_much_work_runs_nothing_and_says_so(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        inner = Starlette(
            routes=[
                StarletteMount("/{a}", Router([StarletteMount("/{b}", Router([StarletteMount("/{c}", Legacy())]))]))
            ]
        )
        rules = [Rule("POST", "/{rest:path}", "audit_log_export")]
        house.app = StepUpMiddleware(inner, stepup=house.stepup, rules=rules)
        answer = await call(house.app, scope_of("POST", "/a/a//a" * 700, root_path="/a", raw_path=b"/a/a%2f%2fa" * 700))
        assert (answer.status, answer.headers("stepup-error")) == (414, ["STEPUP_TARGET_TOO_LONG"])
        assert (await call(house.app, scope_of("POST", "/a/x/y/z", root_path="/a"))).status == 401


async def test_the_rules_of_a_middleware_inside_another_count(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        app = Legacy()
        inner = StepUpMiddleware(app, stepup=house.stepup, rules=RULES)
        house.app = StepUpMiddleware(inner, stepup=house.stepup)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert (await call(house.app, scope_of("POST", "/admin/delete", subject=ada.subject))).status == 401
        assert app.reached == []


# H04
async def test_a_path_that_falls_under_different_rules_by_its_spellings_runs_under_none(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        app = Legacy()
        rules = [
            Rule("POST", "/hooks/rotate", "webhook_secret_rotation"),
            Rule("POST", "/files/{rest:path}", "account_erasure_finalize"),
        ]
        house.app = StepUpMiddleware(app, stepup=house.stepup, rules=rules)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        for path in ("/files/../hooks/rotate", "/files/%2e%2e/hooks/rotate"):
            assert (await call(house.app, scope_of("POST", path, subject=ada.subject))).status == 503
        assert (await call(house.app, scope_of("POST", "/files/a", subject=ada.subject))).status == 401
        assert app.reached == []


PARTS = "multipart/form-data; boundary=XB"


def part(head: bytes, content: bytes) -> bytes:
    return b"--XB\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n--XB--\r\n"


# H12
# J05 J15
@pytest.mark.parametrize(
    ("content_type", "body", "asked"),
    [
        ("application/x-www-form-urlencoded", b"a=1&_method=DELETE", True),
        ("application/x-www-form-urlencoded", b"%5f%4Dethod=delete", True),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="_method"\r\n\r\nPUT', True),
        ("Application/X-WWW-Form-Urlencoded; charset=x", b"a=" + b"x" * 70_000, True),
        ("application/x-www-form-urlencoded", b"a=1&method=DELETE", True),
        ("application/x-www-form-urlencoded", b"a=1;__METHOD_OVERRIDE__=+delete%20", True),
        ("application/x-www-form-urlencoded", b"_method=PUT&_method=DELETE", True),
        ("application/x-www-form-urlencoded", b"_method=DELETE&_method=PUT", True),
        ("application/x-www-form-urlencoded", b"X-HTTP-Method-Override=DELETE,PUT", True),
        ("application/x-www-form-urlencoded", b"_method=PUT&payment_method=card", False),
        ("application/x-www-form-urlencoded", b"note=the+_method+DELETE", False),
        ("application/x-www-form-urlencoded; charset=utf-7", b"+AF8-method=DELETE", True),
        (PARTS, part(b'name="_method"', b"DELETE"), True),
        (PARTS, part(b'name="%5Fm\\ethod"', b"delete"), True),
        (PARTS, part(b'name="_method"', b"PUT"), False),
        (PARTS, part(b'name="_method"; filename=""\r\nContent-Type: text/plain;charset=utf-7', b"+AEQ-ELETE"), True),
        (PARTS, part(b'name="_method"\r\nContent-Type: application/json', rb'"\u0044ELETE"'), True),
        (PARTS, part(b'name="x"\r\nContent-Type: multipart/mixed; boundary=y', b"--y"), True),
        (PARTS, part(b'name="x"\r\nContent-Transfer-Encoding: base64', b"eA=="), True),
        (PARTS + "; charset=utf-7", part(b'name="+AF8-+AG0-ethod"', b"DELETE"), True),
        (PARTS, part(b'name="file"; filename="a.png"\r\nContent-Type: image/png', b"\xff&;_method"), False),
        (PARTS, b"", False),
        ("application/json", b'{"_method": "DELETE"}', False),
    ],
)
async def test_a_method_that_a_form_asks_for_is_asked_about_and_the_form_arrives_whole(
    legacy: Legacies, content_type: str, body: bytes, asked: bool
) -> None:
    arrived = b""

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal arrived
        more = True
        while more:
            message = await receive()
            arrived += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ran"})

    rules = [Rule("DELETE", "/form", purpose="audit_log_export")]
    app = StepUpMiddleware(reading, stepup=legacy.house.stepup, rules=rules)
    scope = scope_of("POST", "/form", headers=[("content-type", content_type)])
    answer = await call(app, scope, [body[:5], body[5:]])
    assert (answer.status, arrived) == ((401, b"") if asked else (200, body))


FORM = ("content-type", "application/x-www-form-urlencoded")


# D03 J05
@pytest.mark.parametrize(
    ("more", "body"),
    [
        ({"headers": [("x-http-method", "%" * 60_000)]}, b""),
        ({"headers": [("x-http-method", "a," * 30_000)]}, b""),
        ({"query_string": b"_method" + b"&" * 60_000}, b""),
        ({"query_string": b"_method=" + b"%" * 60_000}, b""),
        ({"query_string": b"a;method=" * 6_000}, b""),
        ({"headers": [FORM]}, b"&" * 60_000),
        ({"headers": [FORM]}, b";" * 60_000),
        ({"headers": [FORM]}, b"%" * 60_000),
        ({"headers": [FORM]}, b"_method=" + b"a+" * 30_000),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_takes_long_to_search_for_a_method_counts_as_asking_for_any_and_is_not_searched(
    legacy: Legacies, more: dict[str, Any], body: bytes
) -> None:
    rules = [Rule("DELETE", "/form", purpose="audit_log_export")]
    app = StepUpMiddleware(legacy.app, stepup=legacy.house.stepup, rules=rules)
    await call(app, scope_of("POST", "/form"))
    assert legacy.app.reached
    legacy.app.reached.clear()
    answer = await call(app, scope_of("POST", "/form", **more), [body])
    assert (answer.status, legacy.app.reached) == (401, [])


# D03
async def test_a_path_too_long_to_be_compared_with_rules_runs_nothing_and_says_so(legacy: Legacies) -> None:
    answer = await call(legacy.house.app, scope_of("POST", "/open/" + "x" * PATH_LENGTH))
    assert answer.headers("stepup-error") == ["STEPUP_TARGET_TOO_LONG"]
    assert legacy.app.reached == []


@pytest.mark.parametrize(
    "more",
    [
        {"headers": [("x_http_method_override", "DELETE")]},
        {"headers": [("X-HTTP_Method-Override".lower(), " delete ")]},
        {"query_string": b"_METHOD=DELETE"},
        {"query_string": b"a=1;_method=delete"},
        {"query_string": b"_method=+DELETE"},
        {"query_string": b"X-HTTP-Method-Override=DELETE"},
        {"query_string": b"__METHOD_OVERRIDE__=DELETE"},
        {"query_string": b"_method%5B%5D=DELETE"},
        {"query_string": b"_%6d%65thod=GET&_method=%44ELETE"},
        {"headers": [("x-http-method-override", "DELETE, PUT")]},
        {"headers": [("x-forwarded-method", "DELETE")]},
        {"headers": [("x-original-method", "DELETE")]},
        {"headers": [("x_rest_method", "DELETE")]},
        {"headers": [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip")]},
    ],
    ids=str,
)
# J15
async def test_whatever_an_app_may_take_for_another_method_falls_under_the_rule_of_it(
    legacy: Legacies, more: dict[str, Any]
) -> None:
    assert await legacy.call("POST", "/admin/users/1", **more) == 401
    assert legacy.app.reached == []


# J16
@pytest.mark.parametrize("name", ["x-forwarded-prefix", "x_script_name", "script-name"])
@pytest.mark.parametrize(
    ("prefix", "path", "asked"),
    [
        (b"/own", "/own/admin/delete", True),
        (b"/own/", "/own/admin/delete", True),
        (b"/o%77n, /x", "/o%77n/admin/delete", True),
        (b"/own", "/own/open", False),
        (b"/other", "/own/admin/delete", False),
        (b"/own", "/admin/delete", True),
    ],
)
def test_a_prefix_that_an_app_may_take_from_a_header_is_a_root_path(
    name: str, prefix: bytes, path: str, asked: bool
) -> None:
    table = RuleTable([Rule("POST", "/admin/delete", "audit_log_export")])
    scope = scope_of("POST", path, headers=[(name, prefix.decode())])
    assert (table.match(table.target(scope)) is not None) == asked


@pytest.mark.parametrize("name", ["x-original-url", "x-rewrite-url", "x_original_url", "x-forwarded-uri"])
@pytest.mark.parametrize("target", ["/admin/delete", "/admin//delete?x=1", "https://example.com/admin/delete"])
async def test_a_header_that_an_app_may_take_for_the_path_falls_under_the_rule_of_it(
    legacy: Legacies, name: str, target: str
) -> None:
    assert await legacy.call("POST", "/public", headers=[(name, target)]) == 401
    assert await legacy.call("POST", "/public", headers=[(name, "/" + "x" * PATH_LENGTH)]) == 414
    assert legacy.app.reached == []


async def test_a_mount_whose_routes_cannot_be_listed_excuses_only_rules_that_may_lie_below_it(tmp_path: Path) -> None:
    async def files(scope: Any, receive: Any, send: Any) -> None: ...

    stepup = configured(tmp_path)
    app = Starlette(
        routes=[StarletteMount("/static", app=files), Route("/act", lambda request: Response(), methods=["POST"])]
    )
    for path in ("/act", "/static/x", "/{any}/x", "/{rest:path}"):
        StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", path, purpose="webhook_secret_rotation")])
    for path in ("/acts", "/other/x", "/statics/x"):
        with pytest.raises(ConfigurationError, match="meets no route"):
            StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", path, purpose="webhook_secret_rotation")])


_PATHS = (
    "/",
    "/a",
    "/a/",
    "/A",
    "/a/b",
    "/{x}",
    "/a/{x}",
    "/{x}/b",
    "/a/{rest:path}",
    "/{rest:path}",
    "/a-{x}",
    "/a-b",
)
_METHODS = ("POST", ["POST", "PUT"], ["PUT", "DELETE"], "GET", "*")
_ruled = st.builds(
    Rule,
    st.sampled_from(_METHODS),
    st.sampled_from(_PATHS),
    st.sampled_from(["account_erasure_finalize", "scim_token_revocation"]),
)


# J09
@given(st.lists(_ruled, min_size=2, max_size=3))
def test_rules_that_start_ask_for_the_same_in_whatever_order_they_stand_among_equals(rules: list[Rule]) -> None:
    """A request falls under the narrowest rule for its path, and no rule that starts is hidden by a wider one."""
    try:
        table = RuleTable(checked_rules(rules))
    except ConfigurationError as error:
        assert "take the same requests" in str(error)
        return
    requests = [
        (method, path)
        for method in ("GET", "POST", "PUT", "DELETE")
        for path in ("/", "/a", "/a/b", "/c", "/c/b", "/a/c", "/a-b", "/a-c", "/a/b/c")
    ]
    alone = [RuleTable([rule]) for rule in rules]
    took: list[set[tuple[str, str]]] = [set() for _ in rules]
    for method, path in requests:
        found = table.match(table.target(scope_of(method, path)))
        fitting = [
            place for place, each in enumerate(alone) if each.match(each.target(scope_of(method, path))) is not None
        ]
        assert (found is None) == (not fitting)
        for place in fitting:
            took[place].add((method, path))
        if found is not None:
            # what the others that fit would ask for instead is wider: each takes a path or a method more
            mine = rules.index(found[0])
            for place in fitting:
                if rules[place].tag != found[0].tag:
                    assert mine < place
    for place, rule in enumerate(rules):
        hiding = set().union(*(took[each] for each in range(place) if rules[each].tag != rule.tag))
        assert not took[place] or not took[place] <= hiding


# J09
@pytest.mark.parametrize(
    "rules",
    [
        [("*", "/{rest:path}"), ("POST", "/x")],
        [("POST", "/x"), ("POST", "/x/")],
        [("POST", "/{a}"), ("POST", "/x")],
        [(["POST", "GET"], "/x"), ("POST", "/x")],
        [(["POST", "PUT"], "/x"), (["PUT", "DELETE"], "/x")],
        [("POST", "/a/{x}"), ("POST", "/{x}/b")],
        [("POST", "/a/{x}"), ("*", "/{x}/b")],
        [("POST", "/{rest:path}"), ("*", "/x")],
    ],
    ids=str,
)
def test_a_rule_that_another_one_hides_stops_the_start(rules: list[tuple[Any, Any]], tmp_path: Path) -> None:
    made = [Rule(*rules[0], "scim_token_revocation"), Rule(*rules[1], "account_erasure_finalize")]
    with pytest.raises(ConfigurationError, match="take the same requests and ask for different proofs"):
        StepUpMiddleware(Legacy(), stepup=configured(tmp_path), rules=made)
    same = [Rule(*each, "scim_token_revocation") for each in rules]
    StepUpMiddleware(Legacy(), stepup=configured(tmp_path), rules=same)


# J09
@pytest.mark.parametrize(
    "rules",
    [
        [("POST", "/x"), ("*", "/{rest:path}")],
        [("*", "/x"), ("POST", "/{rest:path}")],
        [("POST", "/x"), (["POST", "PUT"], "/x")],
        [("POST", "/x"), ("*", "/x")],
        [("POST", "/x"), ("DELETE", "/x")],
        [("POST", "/x/a"), ("POST", "/x/{a}"), ("POST", "/{rest:path}")],
    ],
    ids=str,
)
def test_a_narrower_rule_may_stand_before_a_wider_one(rules: list[tuple[Any, Any]], tmp_path: Path) -> None:
    purposes = ("scim_token_revocation", "account_erasure_finalize", "audit_log_export")
    made = [Rule(*each, purpose) for each, purpose in zip(rules, purposes, strict=False)]
    StepUpMiddleware(Legacy(), stepup=configured(tmp_path), rules=made)


# J10
@pytest.mark.parametrize(
    ("more", "body", "status"),
    [
        ({}, b"a=1", 401),
        ({}, b"_method=PUT", 503),
        ({"headers": [("x-http-method-override", "PUT")]}, b"a=1", 503),
        ({"query_string": b"_method=PUT"}, b"a=1", 503),
        ({"headers": [("x-http-method-override", "POST")]}, b"a=1", 401),
    ],
    ids=str,
)
async def test_a_request_that_may_end_up_under_a_stronger_rule_runs_under_none(
    legacy: Legacies, more: dict[str, Any], body: bytes, status: int
) -> None:
    rules = [Rule("POST", "/form", "scim_token_revocation"), Rule("PUT", "/form", "account_erasure_finalize")]
    app = StepUpMiddleware(legacy.app, stepup=legacy.house.stepup, rules=rules)
    given = [("content-type", "application/x-www-form-urlencoded"), *more.get("headers", ())]
    scope = scope_of("POST", "/form", subject=legacy.ada.subject, **{**more, "headers": given})
    assert (await call(app, scope, [body])).status == status
    assert legacy.app.reached == []


# J10
async def test_a_websocket_falls_under_the_rule_for_get_in_whatever_order_the_rules_stand() -> None:
    rules = [Rule("POST", "/live", "scim_token_revocation"), Rule("GET", "/live", "account_erasure_finalize")]
    for order in (rules, rules[::-1]):
        table = RuleTable(checked_rules(order))
        found = table.match(table.target({**scope_of("GET", "/live"), "type": "websocket"}))
        assert found is not None
        assert found[0] is rules[1]


async def _ran(request: Request) -> Response:
    raise AssertionError("ran")


def _changing(request: Any) -> Any:
    return [("What", "all")]


# J11
@pytest.mark.parametrize(
    ("tag", "rule"),
    [
        ({"purpose": "scim_token_revocation"}, {"purpose": "account_erasure_finalize"}),
        ({"purpose": "scim_token_revocation", "details": _changing}, {"purpose": "scim_token_revocation"}),
        ({"purpose": "scim_token_revocation"}, {"purpose": "scim_token_revocation", "details": [("What", "all")]}),
        ({"purpose": "scim_token_revocation", "bind_body": False}, {"purpose": "scim_token_revocation"}),
    ],
    ids=["purpose", "details of the tag", "details of the rule", "body"],
)
@pytest.mark.parametrize("place", ["rule", "mount", "route", "decorator", "class"])
def test_two_gates_that_one_proof_cannot_answer_stop_the_start(
    tag: dict[str, Any], rule: dict[str, Any], place: str, tmp_path: Path
) -> None:
    class View(HTTPEndpoint):
        post = requires_step_up(**tag)(_copied(_ran))

    def build() -> None:
        endpoint: Any = requires_step_up(**tag)(_copied(_ran))
        rules = []
        match place:
            case "rule":
                rules = [Rule("*", "/{rest:path}", **rule)]
            case "decorator":
                endpoint = requires_step_up(**rule)(endpoint)
            case "class":
                endpoint = requires_step_up(**rule)(View)
        around = [Middleware(RequireStepUp, **rule)] if place == "route" else []
        routes: Any = [Route("/x", endpoint, methods=["POST"], middleware=around)]
        if place == "mount":
            routes = [StarletteMount("/m", app=RequireStepUp(Starlette(routes=routes), **rule))]
        StepUpMiddleware(Starlette(routes=routes), stepup=configured(tmp_path), rules=rules)

    with pytest.raises(ConfigurationError, match="two gates that ask for different proofs"):
        build()


def _copied(function: Any) -> Any:
    async def copied(*values: Any) -> Any:
        return await function(*values)

    return copied


# J11
def test_a_rule_that_asks_what_the_tag_asks_and_one_behind_a_narrower_rule_start(tmp_path: Path) -> None:
    tagged = Route("/x", requires_step_up("scim_token_revocation")(_copied(_ran)), methods=["POST"])
    rules = [
        Rule("POST", "/x", "scim_token_revocation"),
        Rule("*", "/{rest:path}", "account_erasure_finalize"),
    ]
    StepUpMiddleware(Starlette(routes=[tagged]), stepup=configured(tmp_path), rules=rules)
    with pytest.raises(ConfigurationError, match="two gates"):
        StepUpMiddleware(Starlette(routes=[tagged]), stepup=configured(tmp_path), rules=rules[1:])
