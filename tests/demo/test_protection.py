"""What every request to the demo passes: cookies that others set, and what stands in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_app.protection import PlainCookies

from .conftest import SignedIn


async def passed_on(*cookies: bytes) -> list[bytes]:
    """Return the lines of cookies that the app behind ``PlainCookies`` meets."""
    met: list[bytes] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        met.extend(value for name, value in scope["headers"] if name == b"cookie")

    scope = {"type": "http", "headers": [(b"cookie", cookie) for cookie in cookies]}
    await PlainCookies(inner)(scope, None, None)  # type: ignore[arg-type] # neither is called
    return met


@given(st.lists(st.binary(max_size=80), max_size=4))
async def test_nothing_that_a_reader_would_have_to_unquote_reaches_one(cookies: list[bytes]) -> None:
    for line in await passed_on(*cookies):
        assert b'"' not in line and b"\\" not in line


async def test_the_apps_own_cookies_reach_it_whatever_stands_beside_them() -> None:
    session, token = b"axis=eyJpZCI6.ab-_c.Z9=", b"__Secure-stepup-token=" + b"aZ09-_" * 12
    others = b'prefs={"a":[1]}; flag; "; q="\\073"'
    assert await passed_on(others + b"; " + session + b"; " + token) == [session + b"; " + token]


@pytest.mark.parametrize("other", ['p={"a":1}', "flag", 'long="' + "\\\\" * 30_000 + '"'], ids=lambda text: text[:8])
async def test_a_cookie_of_somebody_elses_signs_nobody_out(signed_in: SignedIn, other: str) -> None:
    owner = await signed_in("owner")
    cookies = f"{other}; axis={owner.http.cookies['axis']}"
    answer = await owner.http.get("/", headers={"cookie": cookies, "accept": "text/html"})
    assert answer.status_code == 200
    assert "Sign out" in answer.text
