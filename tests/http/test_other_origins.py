"""Pages of other listed origins may call the library, and nobody else; what each may read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware import ConfigurationError, RelyingParty, StepUp, StepUpMiddleware
from stepup_middleware.asgi import KEY as CONTEXT
from stepup_middleware.roots import base_of
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.web.cors import cors_headers
from tests.support import KEY, ROTATE, Browser, House

LISTED, STRANGER = "https://example.com", "https://evil.test"


async def nobody(scope: Any) -> None:
    return None


def client_of(folder: Path, **party: Any) -> httpx2.AsyncClient:
    settings: dict[str, Any] = {"id": "example.com", "name": "Payday", "origins": [LISTED], **party}
    stepup = StepUp(
        secret_key=KEY, store=SQLiteStore(folder / "x.db"), relying_party=RelyingParty(**settings), identify=nobody
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"the app's"})

    transport = httpx2.ASGITransport(app=StepUpMiddleware(app, stepup=stepup))
    return httpx2.AsyncClient(transport=transport, base_url="https://example.com")


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}


async def test_a_preflight_of_a_listed_origin_is_answered_and_of_no_other(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        listed = await client.options("/stepup/prompts/x/totp", headers={**PREFLIGHT, "origin": LISTED})
        assert listed.status_code == 204
        assert listed.headers["access-control-allow-origin"] == LISTED
        assert listed.headers["access-control-allow-credentials"] == "true"
        assert listed.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
        assert "DELETE" in listed.headers["access-control-allow-methods"]
        assert listed.headers["vary"] == "Origin"
        for origin in (STRANGER, "null", "https://EXAMPLE.com", "https://example.com.evil.test", "*"):
            answer = await client.options("/stepup/prompts/x/totp", headers={**PREFLIGHT, "origin": origin})
            assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (405, False)


async def test_header_names_that_are_none_are_not_allowed(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        odd = {**PREFLIGHT, "origin": LISTED, "access-control-request-headers": "a: b"}
        answer = await client.options("/stepup/prompts/x/totp", headers=odd)
        assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize("path", [ROTATE, "/stepup/purposes", "/stepup/prompts/x"])
async def test_what_the_library_answers_can_be_read_by_pages_of_listed_origins_alone(ada: Browser, path: str) -> None:
    for origin, readable in ((LISTED, True), (STRANGER, False)):
        headers = {"origin": origin, "sec-fetch-site": "same-site"}
        answer = await ada.send("POST" if path == ROTATE else "GET", path, headers=headers)
        assert answer.headers.get("access-control-allow-origin") == (origin if readable else None)
        assert answer.headers.get_list("access-control-allow-origin") in ([], [origin])
        assert "Origin" in ", ".join(answer.headers.get_list("vary"))
        if readable:
            assert "StepUp-Prompt" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({"sec-fetch-site": "same-site", "origin": LISTED, "content-type": "application/json"}, True),
        ({"sec-fetch-site": "cross-site", "origin": LISTED, "content-type": "application/json"}, True),
        ({"sec-fetch-site": "cross-site", "origin": LISTED, "authorization": "Bearer x"}, True),
        ({"sec-fetch-site": "cross-site", "origin": LISTED, "authorization": "Basic x"}, False),
        ({"sec-fetch-site": "cross-site", "origin": LISTED}, False),
        ({"sec-fetch-site": "same-site", "content-type": "application/json"}, False),
        ({"sec-fetch-site": "cross-site", "origin": STRANGER, "authorization": "Bearer x"}, False),
    ],
    ids=str,
)
async def test_a_call_that_changes_something_comes_from_a_listed_origin_and_not_unasked(
    ada: Browser, house: House, headers: dict[str, str], served: bool
) -> None:
    prompt = await ada.prompt("POST", ROTATE)
    answer = await ada.send("POST", f"{prompt['prompt']['url']}/webauthn/options", headers=headers, content=b"{}")
    assert answer.status_code == (200 if served else 403)


@given(origin=st.text(max_size=40), listed=st.lists(st.text(max_size=40), max_size=3))
def test_an_origin_is_listed_as_exact_text_or_told_nothing(origin: str, listed: list[str]) -> None:
    raw = origin.encode("latin-1", "ignore")
    names = dict(cors_headers({"headers": [(b"origin", raw)]}, listed))
    assert (names.get(b"access-control-allow-origin") == raw) == (raw.decode("latin-1") in listed)


async def test_related_origins_are_served_at_the_relying_partys_host_alone(tmp_path: Path) -> None:
    async with client_of(tmp_path, related_origins=["https://example.co.uk"]) as client:
        answer = await client.get("/.well-known/webauthn")
        assert (answer.status_code, answer.json()) == (200, {"origins": ["https://example.co.uk"]})
        assert answer.headers["content-type"] == "application/json"
        other = await client.get("/.well-known/webauthn", headers={"host": "api.example.com"})
        below = await client.get("/x/.well-known/webauthn")
        assert (other.status_code, below.status_code) == (204, 204)
    async with client_of(tmp_path) as client:
        assert (await client.get("/.well-known/webauthn")).status_code == 204


@pytest.mark.parametrize(
    ("related", "said"),
    [
        (["http://example.co.uk"], "must be https"),
        (["https://app.example.com"], "list it in origins"),
        (["https://example.co.uk/"], "write 'https://example.co.uk'"),
        (["https://co.uk"], "no domain of its own"),
        (["https://192.0.2.1"], "no domain of its own"),
        (["https://*.example.org"], "wildcard"),
        (["https://a.org", "https://a.org"], "listed twice"),
        ([f"https://{name}.org" for name in "abcdef"], "at most"),
        ("https://example.co.uk", "is a list"),
    ],
)
def test_a_related_origin_that_no_browser_would_take_stops_the_start(related: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        RelyingParty(id="example.com", name="Payday", origins=[LISTED], related_origins=related)


def test_many_related_origins_of_few_names_are_taken() -> None:
    hosts = [f"https://{place}.shop.{suffix}" for place in ("a", "b") for suffix in ("co.uk", "de", "fr", "com.au")]
    made = RelyingParty(id="example.com", name="Payday", origins=[LISTED], related_origins=hosts)
    assert made.origins == (LISTED, *hosts)
    assert RelyingParty(id=made.id, name=made.name, origins=made.origins, related_origins=hosts) == made


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(tmp_path) as made:
        yield made


@pytest.mark.parametrize("name", ["stepup.js", "stepup.css"])
async def test_a_stable_name_is_revalidated_and_can_be_loaded_by_any_page(
    client: httpx2.AsyncClient, name: str
) -> None:
    answer = await client.get(f"/stepup/{name}")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert answer.headers["access-control-allow-origin"] == "*"
    again = await client.get(f"/stepup/{name}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get(f"/stepup/{name}", headers={"if-none-match": 'W/"old"'})
    assert other.content == answer.content != b""
    assert (await client.get("/stepup/page.js")).status_code == 404


@pytest.mark.parametrize(
    ("scope", "base"),
    [
        ({}, "/stepup"),
        ({"root_path": "/pay"}, "/pay/stepup"),
        ({"root_path": "/pay/"}, "/pay/stepup"),
        ({"root_path": "/pay/mounted", "app_root_path": "/pay"}, "/pay/stepup"),
        ({"root_path": "/a b"}, "/a%20b/stepup"),
    ],
)
def test_the_head_is_for_the_root_path_of_the_app(tmp_path: Path, scope: dict[str, Any], base: str) -> None:
    stepup = StepUp(
        secret_key=KEY,
        store=SQLiteStore(tmp_path / "x.db"),
        relying_party=RelyingParty(id="example.com", name="Payday", origins=[LISTED]),
        identify=nobody,
    )

    class Request:
        pass

    request = Request()
    request.scope = scope  # type: ignore[attr-defined]
    assert stepup.head_for(scope) == stepup.head_for(request) == stepup.head.replace('"/stepup', f'"{base}')
    assert stepup.head_for(scope).__html__() == stepup.head_for(scope)


async def test_the_library_is_where_the_middleware_is_also_in_a_mounted_app(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Mount, Route

    async def page(request: Request) -> Response:
        assert CONTEXT in request.scope
        return PlainTextResponse(base_of(request.scope, "/stepup"))

    stepup = StepUp(
        secret_key=KEY,
        store=SQLiteStore(tmp_path / "x.db"),
        relying_party=RelyingParty(id="example.com", name="Payday", origins=[LISTED]),
        identify=nobody,
    )
    inner = Starlette(routes=[Mount("/deep", routes=[Route("/page", page)])])
    app = Starlette(routes=[Mount("/pay", app=StepUpMiddleware(inner, stepup=stepup))])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=LISTED) as asking:
        assert (await asking.get("/pay/deep/page")).text == "/pay/stepup"
        assert (await asking.get("/pay/stepup/stepup.js")).status_code == 200
