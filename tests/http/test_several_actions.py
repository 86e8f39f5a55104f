"""Several actions in one request, each on a proof of its own; and caches inside the app, which keep none of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from stepup_middleware import EventName, RequireStepUp, StepUpRequired, require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from tests.support import Browser, code_of, house_in

PURPOSE = "webhook_secret_rotation"
QUERY = "/graphql"
BULK = "/bulk"


@asynccontextmanager
async def ada_at(folder: Path, *routes: Any) -> AsyncIterator[Browser]:
    """Ada, with a passkey, at an app of these routes."""
    app = Starlette(routes=list(routes))
    async with house_in(folder, wrap=lambda _: app) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        yield ada


def graphql(runs: Counter[str], written: list[Any], *, binds_item: bool = True) -> Route:
    """Return an endpoint that runs the mutations of a request one after the other, as GraphQL does."""

    async def answer(request: Request) -> Response:
        data: dict[str, str | None] = {}
        errors = []
        for mutation in (await request.json())["mutations"]:
            name = mutation["endpoint"]
            body = name.encode() if binds_item else None
            try:
                await require_step_up(
                    request, PURPOSE, details=[("Endpoint", name)], body=body, token=mutation.get("token")
                )
            except StepUpRequired as required:
                data[name] = None
                errors.append({"path": [name], "message": "refused", "extensions": required.problem})
                continue
            runs[name] += 1
            data[name] = f"rotated {name}"
        written.append({"data": data, "errors": errors})
        return JSONResponse(written[-1])

    return Route(QUERY, answer, methods=["POST"])


async def mutate(ada: Browser, names: str, tokens: dict[str, str] | None = None, **headers: Any) -> httpx2.Response:
    """Send a mutation for each letter of the names, with the tokens as their arguments."""
    tokens = tokens or {}
    mutations = [{"endpoint": name, **({"token": tokens[name]} if name in tokens else {})} for name in names]
    return await ada.post(QUERY, json={"mutations": mutations}, **headers)


def prompts_of(answer: httpx2.Response) -> dict[str, Any]:
    return {error["path"][0]: error["extensions"] for error in answer.json()["errors"]}


# N01 N05
async def test_of_several_mutations_each_takes_its_own_token_and_one_that_is_refused_stops_no_other(
    tmp_path: Path,
) -> None:
    runs, written = Counter[str](), list[Any]()
    async with ada_at(tmp_path, graphql(runs, written)) as ada:
        asked = await mutate(ada, "abc")
        prompts = prompts_of(asked)
        assert [prompts[name]["details"] for name in "abc"] == [[["Endpoint", name]] for name in "abc"]
        assert len({prompt["prompt"]["id"] for prompt in prompts.values()}) == 3
        assert runs == {}
        tokens = {name: await ada.prove(prompts[name], "passkey") for name in "ac"}
        done = await mutate(ada, "abc", tokens)
        assert runs == {"a": 1, "c": 1}
        assert done.json()["data"] == {"a": "rotated a", "b": None, "c": "rotated c"}
        assert prompts_of(done)["b"]["code"] == "STEPUP_REQUIRED"
        rest = await mutate(ada, "b", {"b": await ada.prove(prompts_of(done)["b"], "passkey")})
        assert rest.json() == {"data": {"b": "rotated b"}, "errors": []}
        assert runs == {"a": 1, "b": 1, "c": 1}
        assert len(await ada.house.events(EventName.ACTION_AUTHORIZED)) == 3


# N05 N06
async def test_an_answer_with_errors_goes_out_as_the_app_wrote_it(tmp_path: Path) -> None:
    written: list[Any] = []
    async with ada_at(tmp_path, graphql(Counter(), written)) as ada:
        asked = await mutate(ada, "ab")
        tokens = {"a": await ada.prove(prompts_of(asked)["a"], "passkey")}
        for answer, kept in ((asked, None), (await mutate(ada, "ab", tokens), "no-store")):
            assert (answer.status_code, answer.json()) == (200, written.pop(0))
            assert not {"stepup-prompt", "stepup-error", "www-authenticate"} & set(answer.headers)
            assert answer.headers.get("cache-control") == kept


async def test_the_problem_of_a_refusal_can_be_looked_at_when_its_request_is_over(tmp_path: Path) -> None:
    refused: list[StepUpRequired] = []

    async def act(request: Request) -> Response:
        try:
            await require_step_up(request, PURPOSE)
        except StepUpRequired as required:
            refused.append(required)
            raise
        raise AssertionError("nobody confirmed")

    async with ada_at(tmp_path, Route("/act", act, methods=["POST"])) as ada:
        below = replace(ada, root_path="/pay")
        answer = await below.post("/act")
        assert answer.json()["prompt"]["url"].startswith("/pay/stepup/prompts/")
        assert refused[0].problem == answer.json()


# N01
async def test_a_token_of_one_mutation_serves_no_other_and_none_twice(tmp_path: Path) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, graphql(runs, [])) as ada:
        token = await ada.prove(prompts_of(await mutate(ada, "a"))["a"], "passkey")
        assert prompts_of(await mutate(ada, "b", {"b": token}))["b"]["code"] == "STEPUP_REQUIRED"
        assert runs == {}
        done = await mutate(ada, "aba", {"a": token, "b": token})
        assert done.json()["errors"][-1]["extensions"]["code"] == "STEPUP_TOKEN_REUSED"
        assert runs == {"a": 1}


async def test_the_token_of_the_header_answers_the_first_mutation_alone(tmp_path: Path) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, graphql(runs, [], binds_item=False)) as ada:
        token = await ada.prove(prompts_of(await mutate(ada, "aab"))["a"], "passkey")
        done = await mutate(ada, "aab", token=token)
        assert [error["path"] for error in done.json()["errors"]] == [["a"], ["b"]]
        assert runs == {"a": 1}


async def test_a_token_inside_the_body_that_is_bound_as_a_whole_never_fits(tmp_path: Path) -> None:
    runs = Counter[str]()
    async with ada_at(tmp_path, graphql(runs, [], binds_item=False)) as ada:
        token = await ada.prove(prompts_of(await mutate(ada, "a"))["a"], "passkey")
        assert prompts_of(await mutate(ada, "a", {"a": token}))["a"]["code"] == "STEPUP_REQUIRED"
        assert runs == {}


# N01
async def test_a_bulk_endpoint_runs_the_items_that_bring_a_token_and_says_of_each_what_became_of_it(
    tmp_path: Path,
) -> None:
    runs = Counter[str]()

    async def bulk(request: Request) -> Response:
        results = []
        for item in (await request.json())["items"]:
            try:
                await require_step_up(
                    request,
                    PURPOSE,
                    details=[("Delete", item["id"])],
                    body=item["id"].encode(),
                    token=item.get("token"),
                )
            except StepUpRequired as required:
                results.append(required.problem)
                continue
            runs[item["id"]] += 1
            results.append({"status": 204})
        return JSONResponse(results, status_code=207)

    async with ada_at(tmp_path, Route(BULK, bulk, methods=["POST"])) as ada:
        ids = [str(number) for number in range(5)]
        asked = await ada.post(BULK, json={"items": [{"id": id_} for id_ in ids]})
        assert (asked.status_code, [each["status"] for each in asked.json()]) == (207, [401] * 5)
        tokens = [await ada.prove(problem, "passkey") for problem in asked.json()]
        tokens[1], tokens[2] = tokens[2], tokens[1]  # each for the other
        items = [{"id": id_, "token": token} for id_, token in zip(ids, tokens, strict=True)]
        done = await ada.post(BULK, json={"items": items})
        assert [each["status"] for each in done.json()] == [204, 401, 401, 204, 204]
        again = await ada.post(BULK, json={"items": items[:1]})
        assert again.json()[0]["code"] == "STEPUP_TOKEN_REUSED"
        assert runs == {"0": 1, "3": 1, "4": 1}


# caches inside the app


class Cache:
    """A shared cache (RFC 9111): keeps the 200 of a GET by its path, unless the answer says otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.kept: dict[str, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path in self.kept:
            for message in self.kept[path]:
                await send(message)
            return
        messages: list[Message] = []

        async def keeping(message: Message) -> None:
            messages.append(message)
            await send(message)

        await self.app(scope, receive, keeping)
        control = b",".join(value for name, value in messages[0]["headers"] if name == b"cache-control")
        if messages[0]["status"] == 200 and b"no-store" not in control and b"private" not in control:
            self.kept[path] = messages


async def secret(request: Request) -> Response:
    return PlainTextResponse("secret", headers={"cache-control": "public, max-age=600"})


async def open_page(request: Request) -> Response:
    return PlainTextResponse("secret", headers={"cache-control": "public, max-age=600"})


async def asking(request: Request) -> Response:
    await require_step_up(request, PURPOSE)
    return PlainTextResponse("secret", headers={"cache-control": "no-store"})


ENDPOINTS: dict[str, Callable[[Request], Awaitable[Response]] | ASGIApp] = {
    "a tagged function": requires_step_up(PURPOSE)(secret),
    "an app behind a gate": RequireStepUp(PlainTextResponse("secret", headers={"cache-control": "public"}), PURPOSE),
    "a handler that asks and says no-store": asking,
}


# N08
@pytest.mark.parametrize("kind", ENDPOINTS)
async def test_a_cache_inside_the_app_hands_an_authorized_answer_to_nobody(kind: str, tmp_path: Path) -> None:
    endpoint: Any = ENDPOINTS[kind]
    tagged = Mount("/secret", app=endpoint) if kind == "an app behind a gate" else Route("/secret/", endpoint)
    cache = Cache(Starlette(routes=[Route("/open", open_page), tagged]))
    async with house_in(tmp_path, wrap=lambda _: cache) as house:
        ada, bob = (Browser(house, house.sign_in(name)) for name in ("ada", "bob"))
        for each in (ada, bob):
            await each.enrol("passkey")
            assert (await each.send("GET", "/open")).text == "secret"
        assert list(cache.kept) == ["/open"]
        answer = await ada.step_up("GET", "/secret/", "passkey")
        assert (answer.text, answer.headers.get_list("cache-control")) == ("secret", ["no-store"])
        for each in (ada, bob):
            asked = await each.send("GET", "/secret/")
            assert (asked.status_code, code_of(asked)) == (401, "STEPUP_REQUIRED")
        assert list(cache.kept) == ["/open"]
