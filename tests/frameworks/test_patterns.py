"""Rules take the patterns of every framework, never narrower than its router, or refuse them when they are built."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stepup_middleware import ConfigurationError, Rule, StepUpMiddleware
from stepup_middleware.asgi import Scope
from stepup_middleware.cli import main
from stepup_middleware.patterns import compiled, meet, parse
from stepup_middleware.rules import RuleTable
from tests.support import scope_of

from .apps import PURPOSE
from .rules_differential import BUILD, measured, table
from .site import Site

REFUSED = [  # what is no pattern, or one whose converter nobody knows here
    r"^x/(?P<id>\d+)$",
    r"/x/(?P<id>\d+)",
    r"/x/\d+",
    "/x/[0-9]+",
    "/x/<id:[a-z]+>",
    "/x/<regex('[a-z]+'):id>",
    "/x/<invoice:id>",
    "/x/{id:invoice}",
    "/x/{}",
    "/x/{id",
    "/x/id}",
    "/x/<id",
    "/x/{a}-{b}",
    "/x/{a:path}/{b:path}",
    "/x/{a:path}.json",
    "/x?y=1",
    "/x#y",
    "/x/*/y",
    "/x/{a}.json*",
    "/a%zz",
]
METHODS: list[Any] = ["GET,POST", "FETCH", "FETCH ", "", " POST", "POST ", "PSOT", [], ["POST", "*"], [1], ["GET,POST"]]


# J01
@pytest.mark.sweep(one_in=3)
@pytest.mark.parametrize("framework", BUILD)
async def test_whatever_the_router_of_a_framework_takes_for_a_pattern_its_rule_takes_too(
    framework: str, tmp_path: Path
) -> None:
    rows = await measured(framework, 480, tmp_path)
    assert [row for row in rows if row.ran] == [], table(rows)
    assert sum(row.routed for row in rows) > 40, table(rows)
    refused = [row for row in rows if row.refused]
    assert len(refused) <= 2, table(rows)


# J02
@pytest.mark.parametrize("path", REFUSED)
def test_a_pattern_that_is_not_understood_is_refused_when_the_rule_is_built(path: str) -> None:
    with pytest.raises(ConfigurationError):
        Rule("POST", path, purpose=PURPOSE)


# J03
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_method_is_refused_when_the_rule_is_built(method: Any) -> None:
    with pytest.raises(ConfigurationError, match="method"):
        Rule(method, "/x", purpose=PURPOSE)


# J03
def test_a_rule_takes_one_method_several_or_any() -> None:
    for method, taken, left in (
        ("post", {"POST"}, {"GET", "PUT"}),
        (["GET", "Post"], {"GET", "HEAD", "POST"}, {"PUT"}),
        ({"PUT", "DELETE"}, {"PUT", "DELETE"}, {"POST", "GET"}),
        (iter(("PUT",)), {"PUT"}, {"POST"}),
        ("*", {"GET", "POST", "QUERY", "MADE-UP"}, set()),
    ):
        rules = RuleTable([Rule(method, "/x", purpose=PURPOSE)])
        assert {each for each in taken | left if rules.match(rules.target(scope_of(each, "/x")))} == taken


# J05
@pytest.mark.parametrize("query", [b"_method=DELETE", b"a=1&_method=delete", b"%5Fmethod=DELET%45"])
def test_a_method_that_the_query_asks_for_is_asked_about(query: bytes) -> None:
    rules = RuleTable([Rule("DELETE", "/x", purpose=PURPOSE)])
    assert rules.match(rules.target(scope_of("POST", "/x", query_string=query))) is not None
    assert rules.match(rules.target(scope_of("POST", "/x", query_string=b"method=none"))) is None


async def _act(request: Request) -> PlainTextResponse:
    raise AssertionError("ran")


def _app(*paths: str, methods: tuple[str, ...] = ("POST",)) -> Starlette:
    return Starlette(routes=[Route(path, _act, methods=methods) for path in paths])


# J04
@pytest.mark.parametrize(
    ("rule", "routes", "meets"),
    [
        ("/users/{id:int}", ["/users/{id:int}"], True),
        ("/users/{id}", ["/users/{name}"], True),
        ("/users/me", ["/users/{id}"], True),
        ("/users/{id}", ["/users/me"], True),
        ("/files/*", ["/files/{rest:path}"], True),
        ("/a/{x:path}", ["/a/b/c/{d}"], True),
        ("/USERS/{id}/", ["/users/{id}"], True),
        ("/user/{id}", ["/users/{id}"], False),
        ("/users/{id}/delete", ["/users/{id}"], False),
        ("/users", ["/users/{id}"], False),
        ("/v{n}/x", ["/w{n}/x"], False),
        ("/files/{x:path}/delete", ["/files/{name}"], True),
        ("/files/{x:path}/delete", ["/files/{name}/undo"], False),
        ("/files/{x:path}/delete", ["/files/{y:path}/undo"], False),
    ],
)
def test_a_rule_that_meets_no_route_stops_the_start(rule: str, routes: list[str], meets: bool, tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    if meets:
        StepUpMiddleware(_app(*routes), stepup=stepup, rules=[Rule("POST", rule, purpose=PURPOSE)])
        return
    with pytest.raises(ConfigurationError, match="meets no route"):
        StepUpMiddleware(_app(*routes), stepup=stepup, rules=[Rule("POST", rule, purpose=PURPOSE)])
    StepUpMiddleware(_app(*routes), stepup=stepup, rules=[Rule("POST", rule, purpose=PURPOSE, optional=True)])


middles = st.lists(st.sampled_from(["a", "b", "ab", "{x}", "a{x}", "{x}b"]), max_size=2)
rests = st.sampled_from([[], ["{r:path}"], ["{r:path}"]])
ends = st.sampled_from(["", "", "/*", "*"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Return a pattern of at most four segments, with a rest in front, in the middle, at the end or nowhere."""
    parts, rest = draw(middles), draw(rests)
    place = draw(st.integers(0, len(parts)))
    may_end = not rest and (not parts or not parts[-1].endswith("}b"))
    return "/" + "/".join([*parts[:place], *rest, *parts[place:]]) + (draw(ends) if may_end else "")


PATHS = ["/" + "/".join(parts) for length in range(6) for parts in product(["a", "b", "ab", "c"], repeat=length)]


def takes(pattern: str, path: str) -> bool:
    """Tell whether a path falls under a pattern, whose parameters may be nothing beside a text (Falcon)."""
    return compiled(parse(pattern), empty=path != "/").fullmatch(path) is not None


@given(patterns(), patterns())
def test_two_patterns_meet_where_some_path_falls_under_both_and_nowhere_else(one: str, other: str) -> None:
    both = [path for path in PATHS if takes(one, path) and takes(other, path)]
    assert meet(parse(one), parse(other)) == meet(parse(other), parse(one)) == bool(both), both[:3]


def test_rules_with_different_ends_behind_any_path_may_ask_for_different_proofs(tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    rules = [
        Rule("POST", "/x/{id:path}/erase", purpose=PURPOSE),
        Rule("POST", "/x/{id:path}/hold", purpose="holds_override"),
    ]
    StepUpMiddleware(_app("/x/{id:path}/erase", "/x/{id:path}/hold"), stepup=stepup, rules=rules)


def test_a_rule_whose_method_no_route_has_stops_the_start_and_head_is_get(tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    with pytest.raises(ConfigurationError, match="meets no route"):
        StepUpMiddleware(_app("/x"), stepup=stepup, rules=[Rule("DELETE", "/x", purpose=PURPOSE)])
    for method in ("GET", "HEAD"):
        app = _app("/x", methods=("GET",))
        StepUpMiddleware(app, stepup=stepup, rules=[Rule(method, "/x", purpose=PURPOSE)])


# J06
def test_the_listing_has_each_route_once_with_what_covers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "covered.py").write_text(
        "from tests.frameworks.test_patterns import covered\napp = covered(__file__)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["routes", "covered:app"]) == 0
    shown = capsys.readouterr().out.splitlines()
    (ruled,) = [line for line in shown if "/users/{id}" in line and line.startswith("POST")]
    assert PURPOSE in ruled
    assert "rule /users/{id:int}" in ruled
    (open_route,) = [line for line in shown if "/open" in line]
    assert PURPOSE not in open_route
    (sometimes, else_always) = [line for line in shown if "/lists" in line]
    assert "rule /lists when by_day" in sometimes
    assert "rule /lists/{rest:path}" in else_always
    assert "The rule for DELETE /gone meets no route (3 listed)." in shown


def covered(file: str) -> StepUpMiddleware:
    """Return an app with a rule, and with one that meets nothing."""
    stepup = Site(str(Path(file).with_suffix(".db")), frameworks=()).stepup
    rules = [
        Rule("POST", "/users/{id:int}", purpose=PURPOSE),
        Rule("DELETE", "/gone", purpose=PURPOSE, optional=True),
        Rule("POST", "/lists", purpose=PURPOSE, when=by_day),
        Rule("POST", "/lists/{rest:path}", purpose=PURPOSE),
    ]
    return StepUpMiddleware(_app("/users/{id}", "/open", "/lists"), stepup=stepup, rules=rules)


def by_day(scope: Scope) -> bool:
    """Say that the rule always holds."""
    return True


# J04
@pytest.mark.parametrize("framework", BUILD)
def test_a_rule_that_meets_no_route_stops_the_start_in_every_framework(framework: str, tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    pattern = "/x/{id}" if framework != "litestar" else "/x/{id:str}"
    app = BUILD[framework](pattern if framework not in ("quart", "django", "sanic") else "/x/<id>", lambda: None)
    StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", "/x/{any}", purpose=PURPOSE)])
    with pytest.raises(ConfigurationError, match="meets no route"):
        StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", "/gone/{any}", purpose=PURPOSE)])
