"""What an adopter writes by mistake is refused at once, with what to write instead."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import APIRouter, Depends, FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from stepup_middleware import (
    ConfigurationError,
    RequireStepUp,
    Rule,
    StepUpMiddleware,
    Subject,
    require_step_up,
    requires_step_up,
)
from tests.support import TRANSMIT, Browser, House, code_of, house_in

from .test_configuration import configured

PURPOSE = "payroll_ach_transmit"
Mistake = Callable[[Any], object]  # given a StepUp


async def act(request: Request) -> Response:
    raise AssertionError("ran")


async def plain(request: Request) -> Response:
    return PlainTextResponse("plain")


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def around(*routes: Any, rules: Any = (), **settings: Any) -> Mistake:
    """Return what puts the middleware around an app of Starlette with these routes."""
    return lambda stepup: StepUpMiddleware(Starlette(routes=list(routes), **settings), stepup=stepup, rules=rules)


def _depending(where: str) -> Mistake:
    tag: Any = requires_step_up(PURPOSE) if where != "the class" else RequireStepUp
    depends: Any = Depends(tag)
    site = FastAPI(dependencies=[depends] if where == "the app" else [])
    router = APIRouter(dependencies=[depends] if where == "the router" else [])

    if where == "a parameter":

        @router.post("/x")
        async def depending(proof: Any = depends) -> None: ...
    else:
        router.post("/x", dependencies=[depends] if where in ("the route", "the class") else [])(plain)
    site.include_router(router, dependencies=[depends] if where == "the inclusion" else [])
    return lambda stepup: StepUpMiddleware(site, stepup=stepup)


def _kept(stepup: Any) -> object:
    @get("/kept", cache=60)
    async def kept() -> str:
        raise AssertionError("ran")

    rules = [Rule("GET", "/kept", purpose=PURPOSE)]
    return StepUpMiddleware(Litestar([kept]), stepup=stepup, rules=rules)


def _lost(registered: Callable[[Any], Any]) -> Mistake:
    async def lost(request: Request) -> Response:
        raise AssertionError("ran")

    route = Route("/x", registered(lost))
    requires_step_up(PURPOSE)(lost)
    return around(route)


def _lost_on_an_error(stepup: Any) -> object:
    async def lost(request: Request, error: Exception) -> Response:
        raise AssertionError("ran")

    requires_step_up(PURPOSE)(lost)
    return around(exception_handlers={404: lost})(stepup)


WRONG: Any = requires_step_up
MISTAKES: dict[str, tuple[Mistake, str]] = {
    "no parentheses": (lambda _: WRONG(act), 'write @requires_step_up("the_purpose") above act'),
    "no parentheses at a class": (lambda _: WRONG(House), "above House"),
    "no purpose": (lambda _: WRONG(""), "a string such as"),
    "a purpose of bytes": (lambda _: WRONG(b"x"), "a string such as"),
    "no purpose at all": (lambda _: WRONG(None), "a string such as"),
    "a list of purposes": (lambda _: WRONG([PURPOSE]), "a string such as"),
    "no purpose around an app": (lambda _: RequireStepUp(app, None), "a string such as"),  # type: ignore[arg-type]
    "an app for a purpose": (lambda _: RequireStepUp(PURPOSE, app), "above app"),  # type: ignore[arg-type]
    "a purpose mistyped": (around(Route("/x", WRONG("payroll_ach_transmitt")(act))), f"did you mean {PURPOSE!r}?"),
    "a purpose by its title": (around(Route("/x", WRONG("Run payroll")(act))), "StepUp(purposes="),
    "a rule's purpose mistyped": (
        around(Route("/x", plain), rules=[Rule("GET", "/x", purpose="payrol_ach_transmit")]),
        f"did you mean {PURPOSE!r}?",
    ),
    "a number among the details": (lambda _: WRONG(PURPOSE, details=[("Employees", 214)]), "214 is int"),
    "a label alone": (lambda _: WRONG(PURPOSE, details=["Employees"]), "is a pair of label and value"),
    "details as a text": (lambda _: WRONG(PURPOSE, details="Employees: 214"), "pairs of label and value"),
    "details as a number": (lambda _: WRONG(PURPOSE, details=7), "pairs of label and value"),
    "a number among a rule's details": (lambda _: Rule("GET", "/x", PURPOSE, details={"n": 3}), "3 is int"),  # type: ignore[dict-item]
    "details of nothing": (lambda _: WRONG(PURPOSE, details=lambda: []), "`def "),
    "details of two": (lambda _: WRONG(PURPOSE, details=lambda request, x: []), "with the ASGI scope alone"),
    "bound headers as one": (lambda _: WRONG(PURPOSE, bind_headers="x-a"), "a list of header names"),
    "a tuple for a rule": (
        around(Route("/x", plain), rules=[("GET", "/x", PURPOSE)]),
        "is no rule: write rules=[Rule(",
    ),
    "one rule": (around(Route("/x", plain), rules=Rule("GET", "/x", PURPOSE)), "rules is a list: write rules=[Rule("),
    "a rule as text": (around(Route("/x", plain), rules="POST /x"), "rules is a list"),
    "rules as a dictionary": (around(Route("/x", plain), rules={"/x": PURPOSE}), "rules is a list"),
    "no rules": (around(Route("/x", plain), rules=None), "rules is a list"),
    "a rule without a purpose": (lambda _: Rule("GET", "/x"), "the rule for /x needs a purpose: Rule("),
    "a rule with a function": (lambda _: Rule("GET", "/x", purpose=act), "a tag names its purpose"),  # type: ignore[arg-type]
    "a path without a slash": (
        lambda _: Rule("GET", "x", PURPOSE),
        "begins with a slash, such as /x/{id}: 'x' is none",
    ),
    "a path as an address": (lambda _: Rule("GET", "http://localhost/x", PURPOSE), "begins with a slash"),
    "a path as an expression": (lambda _: Rule("GET", r"^/x/\d+$", PURPOSE), "begins with a slash"),
    "a path and a method swapped": (lambda _: Rule("/x", "GET", PURPOSE), "begins with a slash"),
    "a rule of another method": (
        around(Route("/x", plain, methods=["POST"]), rules=[Rule("PUT", "/x", PURPOSE)]),
        "meets no route of the app, whose methods for this path are POST",
    ),
    "a rule of another path": (
        around(Route("/x", plain), rules=[Rule("GET", "/y", PURPOSE)]),
        "meets no route of the app:",
    ),
    "a rule before kept answers": (_kept, "covered by the rule for /kept and its handler has cache="),
    "a route under the prefix": (around(Route("/stepup/mine", plain)), "/stepup/mine is never reached"),
    "a mount under the prefix": (around(Mount("/stepup", routes=[Route("/a", plain)])), "/stepup/a is never reached"),
    "an unlisted mount under the prefix": (around(Mount("/stepup", app=app)), "/stepup/* is never reached"),
    **{
        f"a tag as a dependency of {where}": (_depending(where), "has a tag as a dependency")
        for where in ("the route", "a parameter", "the router", "the inclusion", "the app", "the class")
    },
    "a tag lost below a partial": (_lost(partial), "below the decorator that registers it"),
    "a tag lost below partials": (_lost(lambda lost: partial(partial(lost))), "below the decorator that registers it"),
    "a tag lost on a handler of errors": (_lost_on_an_error, "below the decorator that registers it"),
    "a middleware in the place of a decorator": (
        lambda stepup: StepUpMiddleware(stepup, stepup=stepup),
        "StepUpMiddleware(app, stepup=stepup)",
    ),
    "no request": (
        lambda _: require_step_up(None, PURPOSE).send(None),
        'write require_step_up(request, "the_purpose")',
    ),
    "request and purpose swapped": (
        lambda _: require_step_up(PURPOSE, {}).send(None),  # type: ignore[arg-type]
        'write require_step_up(request, "the_purpose")',
    ),
}


# U04
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_what_to_write(tmp_path: Path, mistake: str) -> None:
    make, advice = MISTAKES[mistake]
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        make(configured(tmp_path))


def test_a_tagged_partial_beside_an_untagged_one_of_the_same_function_is_served(tmp_path: Path) -> None:
    async def export(request: Request, *, whole: bool) -> Response:
        return PlainTextResponse("")

    tagged = requires_step_up(PURPOSE)(partial(export, whole=True))
    around(Route("/whole", tagged), Route("/part", partial(export, whole=False)))(configured(tmp_path))


def test_a_wide_route_does_not_collide_with_the_prefix(tmp_path: Path) -> None:
    around(Route("/{rest:path}", plain), Route("/stepups", plain), Route("/stepup", plain))(configured(tmp_path))


async def _logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, failing: Callable[[Any], Any]) -> str:
    """Return what the log has about a request whose person is found by ``failing``."""

    async def identify(scope: Any) -> Subject | None:
        return cast(Subject, failing(scope))

    async with house_in(tmp_path, identify=identify) as house:
        answer = await Browser(house, house.sign_in("ada")).post(TRANSMIT)
        assert (answer.status_code, code_of(answer)) == (503, "STEPUP_UNAVAILABLE")
    return "".join(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


@pytest.mark.parametrize(
    ("failing", "advice"),
    [
        (lambda scope: scope["session"], "SessionMiddleware(StepUpMiddleware(app, ...), ...)"),
        (lambda scope: Request(scope).session, "SessionMiddleware(StepUpMiddleware(app, ...), ...)"),
        (lambda scope: scope["user"], "AuthenticationMiddleware(StepUpMiddleware(app, ...), ...)"),
        (lambda scope: Request(scope).user, "AuthenticationMiddleware(StepUpMiddleware(app, ...), ...)"),
    ],
)
async def test_a_session_that_is_not_there_yet_is_told_by_the_middleware_that_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failing: Callable[[Any], Any], advice: str
) -> None:
    assert advice in await _logged(tmp_path, caplog, failing)


async def test_any_other_failure_of_identify_is_told_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = await _logged(tmp_path, caplog, lambda scope: dict[str, str]()["row"])
    assert said == "identify failed; the request is refused"


@pytest.mark.parametrize("is_async", [False, True])
async def test_details_that_want_a_request_are_told_what_they_get(ada: Browser, house: House, is_async: bool) -> None:
    def at_once(request: Any) -> Any:
        return request.path_params["run"]

    async def awaited(request: Any) -> Any:
        return request.path_params["run"]

    tag = requires_step_up(PURPOSE, details=awaited if is_async else at_once)

    async def wanting(request: Request) -> Response:
        raise AssertionError("ran")

    house.starlette.router.routes.append(Route("/wanting", tag(wanting), methods=["POST"]))
    with pytest.raises(
        ConfigurationError, match=re.escape("write scope['path_params'], or Request(scope).path_params")
    ):
        await ada.post("/wanting")


@pytest.mark.parametrize("lines", [["1"], ["0"], ["0", "1"], ["1", "1"], [""]])
async def test_every_line_that_says_early_data_counts(ada: Browser, house: House, lines: list[str]) -> None:
    token = await ada.token("POST", TRANSMIT, "passkey")
    headers = [("stepup-token", token), *(("early-data", line) for line in lines)]
    assert (await ada.client.post(TRANSMIT, headers=headers)).status_code == 425
    assert house.runs[TRANSMIT] == 0
