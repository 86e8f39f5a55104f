"""What a proof is bound to: any change of the request or the details is another digest."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given

from stepup_middleware.core.binding import (
    MAX_DETAIL_LENGTH,
    MAX_DETAILS,
    BoundRequest,
    Reached,
    bound_request_from,
    check_details,
    details_digest,
)
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.request.body import content_digest
from tests.core.support import DETAILS, REQUEST, bound_requests, details_values


# T18 T19 T21
@given(bound_requests, bound_requests)
def test_two_requests_share_a_digest_only_when_they_are_the_same(one: BoundRequest, other: BoundRequest) -> None:
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
        {"authority": ("example.com",)},
        {"authority": ("example.com", "example.com")},
        {"fields": (("content-type", "text/plain"),)},
        {"fields": (("content-type", "text/plain"), ("content-type", "text/plain"))},
        {"fields": (("content-type: text", "/plain"),)},
        {"content_digest": content_digest(bytes(32))},
        {"content_digest": ""},
        {"boundary_replaced": True},
        {"root_path": "/app"},
        {"reached": Reached()},
        {"reached": Reached(method="DELETE")},
        {"reached": Reached(root_path="DELETE")},
        {"reached": Reached(path="DELETE")},
        {"reached": Reached(raw_path="DELETE")},
        {"reached": Reached(query="DELETE")},
        {"reached": Reached(raw_path="")},
        {"reached": Reached(authority=())},
        {"reached": Reached(fields=())},
        {"reached": Reached(reading=())},
        {"reached": Reached(fields=(("a", "b"),))},
        {"reached": Reached(reading=(("a", "b"),))},
        {"reached": Reached(framework=("a", "b"))},
    ],
    ids=str,
)
def test_any_change_of_the_request_changes_its_digest(change: dict[str, Any]) -> None:
    assert replace(REQUEST, **change).digest() != REQUEST.digest()


def test_what_moves_between_path_and_query_is_another_request() -> None:
    whole = BoundRequest(method="GET", path="/a?b", query="")
    assert whole.digest() != BoundRequest(method="GET", path="/a", query="b").digest()


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
    assert details_digest(()) != BoundRequest(method="", path="", query="").digest()


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


# its form


@given(bound_requests)
def test_the_text_of_a_request_is_the_canonical_text_of_its_components(request: BoundRequest) -> None:
    assert request.text() == canonical_json(request.as_dict())


@given(bound_requests)
def test_a_request_is_read_back_from_its_components_as_it_was(request: BoundRequest) -> None:
    assert bound_request_from(json.loads(request.text())) == request


def test_the_components_have_the_names_of_rfc_9421() -> None:
    request = BoundRequest(
        method="POST",
        path="/x%2Fy",
        query="a=1",
        authority=("example.com",),
        fields=(("content-type", "application/json"),),
        content_digest=content_digest(sha256(b"{}").digest()),
        root_path="/app",
        reached=Reached(method="DELETE", path="/x", authority=("a", "b"), reading=(("language", "de"),)),
    )
    assert request.as_dict() == {
        "@method": "POST",
        "@authority": ["example.com"],
        "@path": "/x%2Fy",
        "@query": "?a=1",
        "content-digest": "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
        "fields": [["content-type", "application/json"]],
        "boundary_replaced": False,
        "reached": {"method": "DELETE", "path": "/x", "authority": ("a", "b"), "reading": (("language", "de"),)},
        "root_path": "/app",
    }


@pytest.mark.parametrize(
    ("reached", "same"),
    [
        (Reached(root_path="/a", path="/a/x"), True),  # as Starlette mounts
        (Reached(root_path="/a", path="/x"), True),  # as others mount
        (Reached(raw_path=""), True),
        (Reached(raw_path="/a%2Fx"), False),
        (Reached(reading=(("language", "de"),)), True),
        (Reached(root_path="/b"), False),
        (Reached(path="/x"), False),
        (Reached(method="DELETE"), False),
        (Reached(query="a=1"), False),
        (Reached(authority=("b",)), False),
        (Reached(fields=(("content-type", "b"),)), False),
        (Reached(framework=("POST", "/x")), False),
    ],
    ids=str,
)
def test_an_app_that_is_mounted_is_at_the_same_place_and_nothing_else_is(reached: Reached, same: bool) -> None:
    request = BoundRequest(method="POST", path="/a/x")
    assert (replace(request, reached=reached).place() == request.place()) is same
    assert replace(request, reached=reached).digest() != request.digest()
