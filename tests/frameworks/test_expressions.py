"""Routes that are regular expressions, begin a path, or have a path for each language: what rules say of them holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import falcon.asgi
import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.test import override_settings
from django.urls import clear_url_caches, include, path, re_path
from django.utils.functional import lazy
from django.utils.translation import get_language
from starlette.applications import Starlette
from starlette.routing import Route

from stepup_middleware import ConfigurationError, Rule, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import AnyASGIApp, ASGIApp
from stepup_middleware.cli.routes import _asking
from stepup_middleware.inspection import routes_of
from stepup_middleware.patterns import is_understood, meet, parse, parse_route
from tests.support import scope_of

from .apps import PURPOSE
from .shapes import django as shapes
from .site import Site

EXPRESSIONS = [  # a route, a path that it may take, one that it cannot
    (r"/admin/(?P<url>.*)$", "/admin/users", "/payroll"),
    (r"/erase/(?P<id>\d+)", "/erase/7/now", "/other"),
    (r"/ab?/c", "/a/c", "/x"),
    (r"/v\.1/x", "/v.1/x", "/w"),
    (r"/x/(a|b)/c", "/x/a/c", "/y/a"),
    ("/d/{a}-{b}", "/d/1-2", "/e/1-2"),
    ("/f/{x:of_mine}", "/f/a/b", "/g/a"),
]
EVERY = [r"/a$|^b", r"/(?i)^h", "/.*a", "^/x"]  # of which no beginning is sure


@pytest.mark.parametrize(("route", "taken", "not_taken"), EXPRESSIONS)
def test_an_expression_meets_what_begins_as_it_does_alone(route: str, taken: str, not_taken: str) -> None:
    assert not is_understood(route)
    assert meet(parse(taken), parse_route(route))
    assert not meet(parse(not_taken), parse_route(route))


@pytest.mark.parametrize("route", EVERY)
def test_an_expression_that_may_begin_in_several_ways_meets_everything(route: str) -> None:
    assert meet(parse("/whatever/{x}"), parse_route(route))


async def test_a_sink_and_a_folder_of_falcon_are_listed_as_what_they_take(tmp_path: Path) -> None:
    ran: list[str] = []

    async def sink(req: Any, resp: Any, **kwargs: Any) -> None:
        ran.append(req.path)

    app = falcon.asgi.App()
    app.add_sink(sink, "/legacy")
    app.add_static_route("/exports", str(tmp_path))
    (tmp_path / "all.csv").write_text("secret", encoding="utf-8")
    found = [route.path for route in routes_of(app)]
    assert found == ["/legacy*", "/exports/*"]
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    rules = [Rule("*", each, purpose=PURPOSE) for each in found]
    async with site.stepup:
        guarded = StepUpMiddleware(app, stepup=site.stepup, rules=rules)
        for each in ("/legacy", "/legacy/users/7", "/legacyX", "/exports/all.csv"):
            assert await status(app, each) == 200
            ran.clear()
            assert await status(guarded, each) == 401
            assert ran == []


async def status(app: AnyASGIApp, target: str) -> int:
    """Send a request of nobody, and return its status."""
    messages: list[Any] = []

    given = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if not given:
            await asyncio.Event().wait()  # the client waits for its answer
        return given.pop()

    async def send(message: Any) -> None:
        messages.append(message)

    scope = scope_of("GET", target)
    await app(scope, receive, send)
    return int(messages[0]["status"])


async def act(request: Any, *args: Any, **named: Any) -> HttpResponse:
    return HttpResponse("ran")


@contextmanager
def django_app(*patterns: Any) -> Iterator[ASGIApp]:
    """Return an app of Django in English, German and Portuguese, whose default is English."""
    shapes.app(act)  # so that there are settings
    urls = ModuleType("urls")
    urls.urlpatterns = patterns  # type: ignore[attr-defined]
    languages = [("en", "English"), ("de", "Deutsch"), ("pt-br", "Português")]
    with override_settings(
        ROOT_URLCONF=urls,
        USE_I18N=True,
        LANGUAGE_CODE="en",
        LANGUAGES=languages,
        MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"],
    ):
        clear_url_caches()
        yield get_asgi_application()
    clear_url_caches()


def test_an_expression_of_django_is_listed_as_what_it_takes() -> None:
    with django_app(
        re_path(r"^whole/act$", act),
        re_path(r"^begins/act", act),
        re_path(r"anywhere/act", act),
        re_path(r"^v1.0/", include([path("x", act)])),
        re_path(r"^n/(?P<id>\d+)$", act),
        re_path(r"^in/", include([re_path(r"^act$", act)])),
    ) as app:
        assert [(route.path, is_understood(route.path)) for route in routes_of(app)] == [
            ("/whole/act", True),
            ("/begins/act*", True),
            ("/.*anywhere/act*", False),
            ("/v1(?:.)0/x", False),
            (r"/n/(?P<id>\d+)$", False),
            ("/in/act", True),
        ]


@pytest.mark.parametrize("begins", ["", "/{language}"])
def test_a_misspelt_rule_stops_the_start_beside_expressions_too(begins: str, tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    admin = re_path(r"^admin/(?P<url>.*)$", act)
    with django_app(path("payroll/<int:id>", act), *((admin,) if begins == "" else i18n_patterns(admin))) as app:
        StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", f"{begins}/admin/users", purpose=PURPOSE)])
        with pytest.raises(ConfigurationError, match="meets no route"):
            StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", "/pyaroll/<int:id>", purpose=PURPOSE)])


word = lazy(lambda: "lohn/<int:id>" if get_language() == "de" else "payroll/<int:id>", str)


@pytest.mark.parametrize(
    ("default", "translated", "paths"),
    [
        (True, False, ["/<language>/payroll/<int:id>"]),
        (False, False, ["/payroll/<int:id>", "/<language>/payroll/<int:id>"]),
        (True, True, ["/<language>/payroll/<int:id>", "/<language>/lohn/<int:id>"]),
    ],
)
async def test_a_rule_for_a_route_of_django_holds_in_every_language(
    default: bool, translated: bool, paths: list[str], tmp_path: Path
) -> None:
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    route = path(word() if translated else "payroll/<int:id>", act)
    async with site.stepup:
        with django_app(*i18n_patterns(route, prefix_default_language=default)) as app:
            assert [each.path for each in routes_of(app)] == paths
            rules = [Rule("*", each, purpose=PURPOSE) for each in paths]
            guarded = StepUpMiddleware(app, stepup=site.stepup, rules=rules)
            answers = (
                "/en/payroll/7" if default else "/payroll/7",
                "/de/lohn/7" if translated else "/de/payroll/7",
                "/pt-br/payroll/7",
            )
            for each in answers:
                assert await status(app, each) == 200, each
                assert await status(guarded, each) == 401, each


@pytest.mark.parametrize("rules", [["/en/payroll/{id}"], ["/en/payroll/{id}", "/de/payroll/{id}"], ["/de/{rest:path}"]])
def test_a_rule_for_a_route_in_some_of_its_languages_stops_the_start(rules: list[str], tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    given = [Rule("POST", each, purpose=PURPOSE) for each in rules]
    with django_app(*i18n_patterns(path("payroll/<int:id>", act))) as app:
        with pytest.raises(ConfigurationError, match="in some languages"):
            StepUpMiddleware(app, stepup=stepup, rules=given)
        all_of_them = [Rule("POST", f"/{each}/payroll/{{id}}", purpose=PURPOSE) for each in ("en", "de", "pt-br")]
        StepUpMiddleware(app, stepup=stepup, rules=all_of_them)


def test_the_listing_says_by_which_methods_and_that_some_paths_are_open() -> None:
    async def page(request: Any) -> Any:
        raise AssertionError("ran")

    app = Starlette(
        routes=[
            Route("/both", page, methods=["GET", "POST"]),
            Route("/files/{rest:path}", page, methods=["GET"]),
            Route("/d/{a}-{b}", page, methods=["GET"]),
            Route("/all", page, methods=["GET"]),
        ]
    )
    rules = [
        Rule("POST", "/both", purpose=PURPOSE),
        Rule("GET", "/files/{name}", purpose=PURPOSE),
        Rule("GET", "/d/one-{x}", purpose=PURPOSE),
        Rule("GET", "/all", purpose=PURPOSE),
    ]
    listed = [
        (route.path, ",".join(methods), tag is not None, by)
        for route in routes_of(app)
        for methods, tag, by in _asking(route, rules)
    ]
    assert listed == [
        ("/both", "GET,HEAD,POST", True, "rule /both"),
        ("/both", "GET,HEAD", False, "-"),
        ("/files/{rest:path}", "GET,HEAD", True, "rule /files/{name}"),
        ("/files/{rest:path}", "GET,HEAD", False, "-"),
        ("/d/{a}-{b}", "GET,HEAD", True, "rule /d/one-{x}"),
        ("/d/{a}-{b}", "GET,HEAD", False, "-"),
        ("/all", "GET,HEAD", True, "rule /all"),
    ]


def test_a_rule_beside_a_tagged_route_of_all_languages_is_no_second_gate_of_it(tmp_path: Path) -> None:
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup

    @requires_step_up(PURPOSE)
    async def tagged(request: Any, id: int) -> HttpResponse:
        raise AssertionError("ran")

    with django_app(*i18n_patterns(path("act/<int:id>", tagged)), path("legacy/act/<int:id>", act)) as app:
        rule = Rule("POST", "/legacy/act/{id}", purpose="holds_override")
        StepUpMiddleware(app, stepup=stepup, rules=[rule])
        with pytest.raises(ConfigurationError, match="two gates"):
            StepUpMiddleware(app, stepup=stepup, rules=[Rule("POST", "/de/act/{id}", purpose="holds_override")])
