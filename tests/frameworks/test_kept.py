"""No cache of a framework keeps the answer of a handler that has asked inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import clear_url_caches, path
from django.views.decorators.cache import cache_page
from litestar import Litestar, Request, get

from stepup_middleware import StepUpMiddleware, require_step_up
from tests.guide.person import Person

from .apps import PURPOSE
from .apps import django as django_app
from .site import Site, life


# N08
async def test_a_handler_of_litestar_that_keeps_its_answers_and_asks_inside_does_not_run(tmp_path: Path) -> None:
    runs: list[int] = []

    @get("/x", cache=60)
    async def act(request: Request[Any, Any, Any]) -> str:
        await require_step_up(request, PURPOSE)
        runs.append(1)
        return "secret"

    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    app = StepUpMiddleware(Litestar([act]), stepup=site.stepup)
    async with site.stepup, life(app):
        ada = Person(app, None)
        ada.http.cookies.set("session", "ada")
        await ada.enrol_passkey()
        assert (await ada.http.get("/x")).status_code == 500
    assert runs == []


# N08
async def test_a_view_of_django_that_asks_inside_is_kept_by_no_cache(tmp_path: Path) -> None:
    runs: list[str] = []
    app = django_app.build(lambda place: None)

    @cache_page(60)  # type: ignore[untyped-decorator]
    def act(request: HttpRequest, name: str) -> HttpResponse:
        if "ask" in request.GET:
            async_to_sync(require_step_up)(request, PURPOSE)
        runs.append(request.path)
        return HttpResponse("secret")

    settings.ROOT_URLCONF.urlpatterns[:] = [path("<str:name>", act)]
    clear_url_caches()
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    whole = StepUpMiddleware(app, stepup=site.stepup)
    async with site.stepup:
        ada, thief = Person(whole, None), Person(whole, None)
        ada.http.cookies.set("session", "ada")
        await ada.enrol_passkey()
        assert (await ada.act("GET", "/asks?ask=1")).text == "secret"
        assert (await thief.http.get("/asks?ask=1")).status_code == 401
        for _ in range(2):  # it is a cache
            assert (await thief.http.get("/open")).text == "secret"
    assert runs == ["/asks", "/open"]
