"""What is bound is what came: computed in process by the code of the gates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware import ConfigurationError, requires_step_up
from stepup_middleware.asgi import Scope
from stepup_middleware.core.binding import BoundRequest, Reached
from stepup_middleware.core.multipart import REPLACED
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.request.bound import (
    COUNTED,
    LONGEST_FIELDS,
    LONGEST_PATH,
    Unbindable,
    bound_request,
    header_names,
    wire_of,
)
from stepup_middleware.request.bound_headers import BOUND, UNTOLD
from tests.binding import bound_request_of
from tests.core.test_multipart import NEAR_MISSES, B, body_of, field
from tests.support import ROTATE, Browser, House, call, scope_of

TYPE = b"multipart/form-data; boundary=" + B
HEADERS = [(b"host", b"example.com"), (b"content-type", TYPE)]


def scope(**changes: Any) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/a/b",
        "raw_path": b"/a/b",
        "query_string": b"",
        "root_path": "",
        "headers": HEADERS,
        **changes,
    }


# one of each kind that has no list, too
NAMES = {*BOUND, b"x-http-method-override", b"x-rest-method", b"upload-offset", b"content-range"}


# B02 B03 B04 B14
@pytest.mark.parametrize(
    "change",
    [
        {"method": "post"},
        {"method": "DELETE"},
        {"raw_path": b"/a%2Fb"},
        {"raw_path": b"/%61/b"},
        {"raw_path": b"/a//b"},
        {"raw_path": b"/a/b/"},
        {"raw_path": b"/a/./b"},
        {"raw_path": b"/A/b"},
        {"query_string": b"a=1"},
        {"query_string": b"%61=1"},
        {"headers": [(b"host", b"other.example"), HEADERS[1]]},
        {"headers": [HEADERS[0], *HEADERS]},
        {"headers": [*HEADERS, (b"content-type", TYPE)]},
        {"headers": [(b"content-type", TYPE + b"; charset=x"), HEADERS[0]]},
        *({"headers": [*HEADERS, (name, b"x")]} for name in sorted(NAMES)),
        *({"headers": [*HEADERS, (name.replace(b"-", b"_"), b"x")]} for name in sorted(NAMES)),
    ],
    ids=str,
)
def test_anything_by_which_a_request_is_routed_or_read_makes_it_another(change: dict[str, Any]) -> None:
    body = body_of([field()])
    assert bound_request_of(scope(**change), body).digest() != bound_request_of(scope(), body).digest()


def test_the_order_of_doubled_lines_is_bound() -> None:
    one, other = (b"content-type", b"text/plain"), (b"content-type", b"application/json")
    first, second = (bound_request_of(scope(headers=list(lines)), b"") for lines in ((one, other), (other, one)))
    assert first.fields == (("content-type", "text/plain"), ("content-type", "application/json"))
    assert first.digest() != second.digest()


def test_in_which_order_different_names_come_makes_no_difference() -> None:
    lines = [(b"hx-source", b"button"), (b"hx-target", b"article"), (b"accept-language", b"en")]
    first, second = (bound_request_of(scope(headers=found), b"") for found in (lines, lines[::-1]))
    assert first == second
    spelt = [(b"x-http-method", b"PUT"), (b"x_http_method", b"DELETE")]  # WSGI makes one of them
    first, second = (bound_request_of(scope(headers=found), b"") for found in (spelt, spelt[::-1]))
    assert first.digest() != second.digest()


def test_a_strict_form_with_another_boundary_is_the_same_request() -> None:
    parts = [field(), field(b"to", b"x\r\ny")]
    one = bound_request_of(scope(), body_of(parts))
    other = bound_request_of(
        scope(headers=[HEADERS[0], (b"content-type", b"multipart/form-data; boundary=--other")]),
        body_of(parts, b"--other"),
    )
    assert one == other
    assert one.boundary_replaced
    assert one.fields == (("content-type", REPLACED.decode()),)


# B01
@pytest.mark.parametrize("body", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_any_other_multipart_body_is_bound_as_it_came(body: bytes) -> None:
    request = bound_request_of(scope(), body)
    assert not request.boundary_replaced
    assert request.fields == (("content-type", TYPE.decode()),)


def test_of_a_body_that_is_not_bound_the_boundary_makes_no_difference_and_the_type_does() -> None:
    def bound(content_type: bytes) -> object:
        return bound_request_of(scope(headers=[(b"host", b"example.com"), (b"content-type", content_type)]), None)

    assert bound(TYPE) == bound(TYPE + b"x") == bound(b"multipart/form-data; boundary=other")
    for other in (
        b"multipart/mixed; boundary=" + B,
        TYPE + b"; charset=utf-7",
        b"text/plain",
        b'multipart/form-data; boundary="b"',
    ):
        assert bound(TYPE) != bound(other)


def test_a_boundary_is_not_replaced_where_a_type_stands_twice_or_was_changed_inside_the_app() -> None:
    body = body_of([field()])
    assert not bound_request_of(scope(headers=[*HEADERS, HEADERS[1]]), body).boundary_replaced
    inside = scope(headers=[HEADERS[0], (b"content-type", TYPE + b"x")])
    assert not bound_request_of(scope(), body, reached_in=inside).boundary_replaced


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_two_bodies_are_one_only_if_they_are_the_same(one: bytes, other: bytes) -> None:
    first, second = bound_request_of(scope(), one), bound_request_of(scope(), other)
    assert (first.content_digest == second.content_digest) == (one == other)


def test_how_a_form_in_parts_is_framed_is_bound_for_django_reads_none_without_a_length() -> None:
    declared = bound_request_of(scope(headers=[*HEADERS, (b"content-length", b"3")]), b"abc")
    assert ("content-length", COUNTED.decode()) in declared.fields
    assert declared.digest() != bound_request_of(scope(), b"abc").digest()
    chunked = bound_request_of(scope(headers=[*HEADERS, (b"transfer-encoding", b"chunked")]), b"abc")
    assert len({each.digest() for each in (declared, chunked, bound_request_of(scope(), b"abc"))}) == 3


# T23
def test_how_a_body_that_is_no_form_in_parts_is_framed_makes_no_difference() -> None:
    plain = [HEADERS[0], (b"content-type", b"application/json")]
    framings: tuple[list[tuple[bytes, bytes]], ...] = (
        [],
        [(b"content-length", b"3")],
        [(b"transfer-encoding", b"chunked")],
    )
    assert len({bound_request_of(scope(headers=plain + framing), b"abc").digest() for framing in framings}) == 1


def test_a_server_that_gives_no_raw_path_is_served_by_the_path_as_browsers_write_it() -> None:
    without = {name: value for name, value in scope(path="/ä b/%2F").items() if name != "raw_path"}
    assert bound_request_of(without, b"").path == "/%C3%A4%20b/%252F"
    assert bound_request_of(scope(raw_path=None), b"").path == "/a/b"


# B05
@pytest.mark.parametrize(
    ("inside", "reached"),
    [
        ({}, None),
        ({"root_path": "/a"}, Reached(root_path="/a")),  # as Starlette mounts
        ({"root_path": "/a", "path": "/b"}, Reached(root_path="/a", path="/b")),  # as others mount
        ({"method": "DELETE"}, Reached(method="DELETE")),
        ({"path": "/a/c"}, Reached(path="/a/c")),
        ({"raw_path": b"/a%2Fb"}, Reached(raw_path="/a%2Fb")),
        ({"raw_path": None}, Reached(raw_path="")),
        ({"query_string": b"x=1"}, Reached(query="x=1")),
        ({"headers": HEADERS[1:]}, Reached(authority=())),
        ({"headers": HEADERS[:1]}, Reached(fields=())),
        ({"headers": [*HEADERS, (b"x-other", b"1")]}, None),
        ({"headers": tuple(map(list, HEADERS))}, None),
    ],
    ids=str,
)
def test_where_an_endpoint_was_reached_is_bound_where_the_app_changed_it(
    inside: dict[str, Any], reached: Reached | None
) -> None:
    assert bound_request_of(scope(), b"", reached_in=scope(**inside)).reached == reached


PATHS = ("/a/b", "/a%2Fb", "/b", "/\u00e9", "")
places = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["POST", "DELETE"]),
        "root_path": st.sampled_from(["", "/a", "/a/b"]),
        "path": st.sampled_from(PATHS),
        "raw_path": st.sampled_from([None, b"", b"/a/b", b"/a%2Fb", b"/b?x=1", b"/%C3%A9"]),
        "query_string": st.sampled_from([b"", b"x=1"]),
        "headers": st.lists(
            st.sampled_from([*HEADERS, (b"host", b"b"), (b"accept-language", b"de"), (b"x-other", b"1")]), max_size=3
        ),
    }
)


def found_at(place: Scope) -> object:
    """Return all by which what runs behind a gate can tell where it is, and how to read what came."""
    scope, raw = dict(place), place.get("raw_path") or b""
    lines = [line for line in scope.pop("headers") if line[0] != b"x-other"]
    hosts = [value for name, value in lines if name == b"host"]
    return {**scope, "raw_path": raw}, hosts, [line for line in lines if line[0] != b"host"]


# B05 B10
@given(places, places, st.data())
def test_what_is_bound_alike_is_found_alike_at_the_gate_whoever_changed_what(
    came: Scope, here: Scope, data: st.DataObject
) -> None:
    """The one property that matters: nothing that a gate finds can differ under one digest."""
    other_came, other_here = dict(came), dict(here)
    for name in data.draw(st.sets(st.sampled_from(sorted(came)), max_size=2)):
        data.draw(st.sampled_from([other_came, other_here]))[name] = data.draw(places)[name]
    form = body_of([field()])
    one = bound_request_of(scope(**came), form, reached_in=scope(**here))
    other = bound_request_of(scope(**other_came), form, reached_in=scope(**other_here))
    if one.digest() == other.digest():
        assert found_at(here) == found_at(other_here)


# B13
def test_language_time_zone_and_the_cookie_that_has_the_language_are_bound() -> None:
    def bound(cookie: bytes, reading: tuple[tuple[str, str], ...] = ()) -> BoundRequest:
        lines = [*HEADERS, (b"cookie", b"session=ada; " + cookie)]
        came = scope(headers=lines)
        return bound_request(wire_of(came), came, None, cookies=(b"django_language",), reading=reading)

    german = bound(b"django_language=de; theme=dark")
    assert german.fields[-1] == ("cookie", "django_language=de")
    assert bound(b"theme=light;  django_language=de ") == german
    others = [
        b"django_language=fr",
        b"django_language=de; django_language=fr",
        b"xdjango_language=de",
        b"django_language",
    ]
    assert len({german.digest(), *(bound(each).digest() for each in others)}) == 5
    assert bound(b"a=b").digest() == bound(b"session=bob").digest()
    assert bound(b"", (("time zone", "UTC"),)).digest() != bound(b"", (("time zone", "Asia/Tokyo"),)).digest()


# B02
@pytest.mark.parametrize("name", ["content-language", "content-disposition", "content-range", "content_range"])
def test_every_header_that_says_something_of_the_body_is_bound(name: str) -> None:
    lines = [*HEADERS, (name.encode(), b"x")]
    assert (name, "x") in bound_request_of(scope(headers=lines), b"").fields


# B02
@pytest.mark.parametrize("name", sorted(each.decode() for each in (*UNTOLD, b"hx_prompt", b"lock_token")))
def test_what_may_hold_a_secret_is_bound_and_not_told(name: str) -> None:
    one, other = (bound_request_of(scope(headers=[(name.encode(), value)]), b"") for value in (b"hunter2", b"hunter3"))
    assert one.digest() != other.digest()
    assert "hunter" not in one.text()


# B02 B04
@pytest.mark.parametrize("name", ["X-Tenant", "x_tenant", "X_TENANT"])
@pytest.mark.parametrize("line", [b"x-tenant", b"x_tenant"])
def test_a_name_in_bind_headers_is_found_in_either_spelling(name: str, line: bytes) -> None:
    request = bound_request_of(scope(headers=[(line, b"1")]), b"", bind_headers=header_names([name]))
    assert request.fields == ((line.decode(), "1"),)


# U04
@pytest.mark.parametrize(
    "names", ["X-Tenant", [""], ["X-Tenant: 1"], [" X-Tenant"], ["X-Ten\u00e4nt"], [b"X-Tenant"], [7]]
)
def test_what_is_no_name_of_a_header_is_no_tag(names: Any) -> None:
    with pytest.raises(ConfigurationError, match="bind_headers"):
        requires_step_up("webhook_secret_rotation", bind_headers=names)


# B14
@pytest.mark.parametrize(
    "name",
    [
        "Destination",
        "Overwrite",
        "Depth",
        "Slug",
        "If",
        "If-Match",
        "If-Unmodified-Since",
        "Lock-Token",
        "Label",
        "Link",
        "Position",
        "Prefer",
        "Schedule-Reply",
        "SOAPAction",
        "Upload-Length",
        "Upload-Offset",
        "X-Update-Range",
        "X-API-Version",
        "X-Time-Zone",
        "X-Forwarded-Method",
        "X-Dry-Run",
    ],
)
def test_a_header_that_decides_what_is_done_is_bound(name: str) -> None:
    line = name.lower().encode()
    with_it, other, without = (
        bound_request_of(scope(headers=[*HEADERS, *lines]), b"").digest()
        for lines in ([(line, b"/a")], [(line, b"/b")], [])
    )
    assert len({with_it, other, without}) == 3


# B14
@pytest.mark.parametrize(
    "name", ["Accept", "If-None-Match", "If-Modified-Since", "Range", "Access-Control-Request-Method", "User-Agent"]
)
def test_a_header_that_a_browser_sends_of_itself_is_not_bound(name: str) -> None:
    lines = [*HEADERS, (name.lower().encode(), b"x")]
    assert bound_request_of(scope(headers=lines), b"").digest() == bound_request_of(scope(), b"").digest()


# B11
def test_what_came_stays_as_it_came_whatever_the_server_or_the_app_do_with_the_headers() -> None:
    of_the_server = list(HEADERS)
    came = scope(headers=of_the_server)
    wire = wire_of(came)
    of_the_server.append((b"accept-language", b"de"))
    assert came["headers"] == list(HEADERS)
    came["headers"].append((b"accept-language", b"fr"))
    assert wire.headers == tuple(HEADERS)
    request = bound_request(wire, came, None)
    assert request.reached == Reached(fields=(("accept-language", "fr"), *request.fields))


# B07
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"raw_path": b"/" + b"x" * LONGEST_PATH}, RefusalCode.TARGET_TOO_LONG),
        ({"query_string": b"x" * (LONGEST_PATH + 1)}, RefusalCode.TARGET_TOO_LONG),
        ({"headers": [(b"host", b"x" * LONGEST_FIELDS)]}, RefusalCode.HEADERS_TOO_LONG),
        ({"headers": [(b"x-http-method", b"x")] * 2000}, RefusalCode.HEADERS_TOO_LONG),
    ],
    ids=["path", "query", "host", "lines"],
)
def test_what_does_not_fit_is_refused_and_never_cut(change: dict[str, Any], code: RefusalCode) -> None:
    with pytest.raises(Unbindable) as caught:
        bound_request_of(scope(**change), b"")
    assert caught.value.code is code


async def test_the_prompt_is_for_the_request_that_the_function_computes(ada: Browser, house: House) -> None:
    headers = [("content-type", TYPE), ("content-length", b"%d" % len(body_of([field()])))]
    came = scope_of("POST", ROTATE, subject=ada.subject, headers=headers, query_string=b"a=%61")
    answer = await call(house.app, dict(came), [body_of([field()])[:20], body_of([field()])[20:]])
    prompt = await house.store.get_prompt(answer.json()["prompt"]["id"], now=house.clock())
    assert prompt is not None
    assert prompt.prompt.request == bound_request_of(came, body_of([field()]))
