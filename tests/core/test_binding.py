"""What a proof is bound to: any change of the request or the details is another digest."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from urllib.parse import urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepup_middleware.body import body_digest
from stepup_middleware.core.binding import (
    MAX_DETAIL_LENGTH,
    MAX_DETAILS,
    RequestLine,
    check_details,
    details_digest,
    form_digest,
    raw_body_digest,
)
from stepup_middleware.service.stepup import ANTI_FORGERY_FIELDS
from tests.core.support import DETAILS, REQUEST, details_values, names, request_lines, texts

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
fields = st.lists(st.tuples(names, texts), min_size=1, max_size=5)


def multipart(parts: list[tuple[str, str, str]], boundary: str) -> tuple[bytes, bytes]:
    """Return a multipart body of ``(name, file name, value)`` and its content type."""
    lines: list[bytes] = []
    for name, file, value in parts:
        lines.append(f"--{boundary}".encode())
        disposition = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
        lines.append(disposition.encode())
        if file:
            lines.append(b"Content-Type: application/octet-stream")
        lines += [b"", value.encode()]
    body = b"\r\n".join([*lines, f"--{boundary}--".encode(), b""])
    return body, f"multipart/form-data; boundary={boundary}".encode()


# T18 T19 T21
@given(request_lines, request_lines)
def test_two_requests_share_a_digest_only_when_they_are_the_same(one: RequestLine, other: RequestLine) -> None:
    assert (one.digest() == other.digest()) == (one == other)


# T18 T19 T21
@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"method": "post"},
        {"path": REQUEST.path + "/"},
        {"path": "/hcm/payroll/8/transmit"},
        {"path": REQUEST.path.upper()},
        {"query": ""},
        {"query": "a=2"},
        {"query": "a=1&b=2"},
        {"body_digest": "00" * 32},
        {"body_digest": ""},
    ],
    ids=str,
)
def test_any_change_of_the_request_changes_its_digest(change: dict[str, str]) -> None:
    assert replace(REQUEST, **change).digest() != REQUEST.digest()


def test_what_moves_between_path_and_query_is_another_request() -> None:
    whole = RequestLine(method="GET", path="/a?b", query="", body_digest=None)
    assert whole.digest() != RequestLine(method="GET", path="/a", query="b", body_digest=None).digest()


@given(details_values, details_values)
def test_two_lists_of_details_share_a_digest_only_when_they_are_the_same(
    one: tuple[tuple[str, str], ...], other: tuple[tuple[str, str], ...]
) -> None:
    assert (details_digest(one) == details_digest(other)) == (one == other)


def test_the_order_of_details_is_bound() -> None:
    orders = list(permutations([("a", "1"), ("b", "2"), ("c", "3")]))
    assert len({details_digest(order) for order in orders}) == len(orders)


def test_label_and_value_do_not_run_into_each_other() -> None:
    assert details_digest((("ab", "c"),)) != details_digest((("a", "bc"),))
    assert details_digest((("a", "b"), ("c", "d"))) != details_digest((("a", "b"),))


def test_a_request_and_details_never_share_a_digest() -> None:
    assert details_digest(()) != RequestLine(method="", path="", query="").digest()


@pytest.mark.parametrize("value", [dict(DETAILS), list(DETAILS), [list(pair) for pair in DETAILS], iter(DETAILS)])
def test_details_may_be_pairs_or_a_mapping(value: object) -> None:
    assert check_details(value) == DETAILS


@pytest.mark.parametrize(
    "value",
    [
        "Run",
        b"Run",
        7,
        None,
        ["Run"],
        [("Run",)],
        [("Run", "1", "2")],
        [("Run", 1)],
        [(1, "Run")],
        [("Run", None)],
        [("Run", 412_908.77)],
        [("Run", b"1")],
        [{"Run": "1"}],
        [("x" * (MAX_DETAIL_LENGTH + 1), "")],
        [("", "x" * (MAX_DETAIL_LENGTH + 1))],
        [("a", "b")] * (MAX_DETAILS + 1),
        [("a", "\ud800")],
    ],
    ids=lambda value: repr(value)[:30],
)
def test_details_that_are_not_pairs_of_strings_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        check_details(value)


def test_a_string_that_is_more_than_a_string_is_no_detail() -> None:
    class Amount(str):
        """A string whose text may be anything when it is shown."""

        def __str__(self) -> str:
            return "another amount"

    with pytest.raises(TypeError):
        check_details([("Amount", Amount("1"))])


# the body


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_raw_bodies_share_a_digest_only_when_they_are_the_same(one: bytes, other: bytes) -> None:
    assert (raw_body_digest(one) == raw_body_digest(other)) == (one == other)


@given(fields, fields)
def test_forms_share_a_digest_only_when_their_fields_are_the_same(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    def digest(form: list[tuple[str, str]]) -> str:
        return form_digest(((name, "", value) for name, value in form), frozenset())

    assert (digest(one) == digest(other)) == (one == other)


def test_a_form_and_a_raw_body_never_share_a_digest() -> None:
    assert form_digest([], frozenset()) != raw_body_digest(b"")
    assert form_digest([], frozenset()) != raw_body_digest(b"[]")


# T21
@given(fields, fields)
async def test_an_urlencoded_body_is_bound_by_its_fields(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    first = await body_digest(urlencode(one).encode(), FORM, ignored=frozenset())
    second = await body_digest(urlencode(other).encode(), FORM, ignored=frozenset())
    assert (first == second) == (one == other)


# T22
async def test_a_multipart_form_with_another_boundary_is_the_same_form() -> None:
    parts = [("run", "", "2026-06"), ("file", "a.csv", "x,y"), ("run", "", "second")]
    one = await body_digest(*multipart(parts, "----first1234"), ignored=frozenset())
    other = await body_digest(*multipart(parts, "----second98765"), ignored=frozenset())
    assert one == other


# T21
@pytest.mark.parametrize(
    "altered",
    [
        [("run", "", "2026-07"), ("file", "a.csv", "x,y")],
        [("ran", "", "2026-06"), ("file", "a.csv", "x,y")],
        [("run", "", "2026-06"), ("file", "b.csv", "x,y")],
        [("run", "", "2026-06"), ("file", "a.csv", "x,z")],
        [("file", "a.csv", "x,y"), ("run", "", "2026-06")],
        [("run", "", "2026-06")],
        [("run", "", "2026-06"), ("file", "a.csv", "x,y"), ("extra", "", "1")],
    ],
)
async def test_any_change_of_a_field_or_a_file_is_another_form(altered: list[tuple[str, str, str]]) -> None:
    honest = [("run", "", "2026-06"), ("file", "a.csv", "x,y")]
    one = await body_digest(*multipart(honest, "b1"), ignored=frozenset())
    assert one != await body_digest(*multipart(altered, "b1"), ignored=frozenset())


# T22
@pytest.mark.parametrize("name", sorted(ANTI_FORGERY_FIELDS))
async def test_an_anti_forgery_field_that_was_rendered_anew_changes_nothing(name: str) -> None:
    digests = {
        await body_digest(urlencode([("amount", "1"), (name, value)]).encode(), FORM, ignored=ANTI_FORGERY_FIELDS)
        for value in ("one", "another")
    }
    digests |= {
        await body_digest(*multipart([("amount", "", "1"), (name, "", value)], "b"), ignored=ANTI_FORGERY_FIELDS)
        for value in ("one", "another")
    }
    assert len(digests) == 1


# T21
async def test_no_other_field_hides_behind_the_anti_forgery_ones() -> None:
    bodies = [
        b"amount=1&csrf_token=x",
        b"amount=2&csrf_token=x",
        b"amount=1&Csrf_Token=y&csrf_token=x",
        b"amount=1&csrf_token_2=x",
        b"amount=1&csrf_token_2=y",
        b"amount=1&_csrf.amount=2",
    ]
    digests = {await body_digest(body, FORM, ignored=ANTI_FORGERY_FIELDS) for body in bodies}
    assert len(digests) == len(bodies)


# T21
async def test_json_is_bound_byte_for_byte() -> None:
    bodies = [b'{"amount":1}', b'{"amount":1000000}', b'{"amount": 1}', b'{"amount":1,"amount":2}']
    assert len({await body_digest(body, JSON, ignored=ANTI_FORGERY_FIELDS) for body in bodies}) == len(bodies)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe=1", FORM),
        (b"a=1&b", FORM),
        (b"&".join([b"a=1"] * 1001), FORM),
        (b"no boundary in here", b"multipart/form-data"),
        (b"no boundary in here", b"multipart/form-data; boundary=x"),
    ],
    ids=["not utf-8", "no pair", "too many", "no boundary", "other boundary"],
)
async def test_a_body_that_only_claims_to_be_a_form_is_bound_by_its_bytes(body: bytes, content_type: bytes) -> None:
    one = await body_digest(body, content_type, ignored=frozenset())
    other = await body_digest(body + b"!", content_type, ignored=frozenset())
    assert one != other


@given(st.binary(max_size=300), st.sampled_from([FORM, JSON, b"multipart/form-data; boundary=b", b"", b";"]))
async def test_any_bytes_under_any_content_type_have_one_digest(body: bytes, content_type: bytes) -> None:
    one = await body_digest(body, content_type, ignored=ANTI_FORGERY_FIELDS)
    assert one == await body_digest(body, content_type, ignored=ANTI_FORGERY_FIELDS)
    assert len(bytes.fromhex(one)) == 32


@given(fields)
async def test_the_digest_of_a_form_does_not_depend_on_the_case_of_its_content_type(
    form: list[tuple[str, str]],
) -> None:
    body = urlencode(form).encode()
    assume(body)
    one = await body_digest(body, FORM, ignored=frozenset())
    assert one == await body_digest(body, b"Application/X-WWW-Form-Urlencoded; charset=UTF-8", ignored=frozenset())
