"""The signed-in person: exact text, and never the id that opens the session."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.subject import Subject, in_session, session_hash
from tests.core.support import names


def subject(**changes: Any) -> Subject:
    return Subject(**{"id": "ada", "session_id": "s-1", "workspace_id": "axis", "name": "Ada", **changes})


# T41
@pytest.mark.parametrize("field", ["id", "session_id", "workspace_id", "name"])
@pytest.mark.parametrize("value", [1, 1.0, None, b"ada", True, ["ada"], ("ada",)])
def test_an_id_that_is_no_text_is_refused(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=field):
        subject(**{field: value})


# T41
def test_a_subclass_of_text_is_refused_for_it_may_equal_anything() -> None:
    class Equal(str):
        """Text that claims to be equal to every other."""

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    with pytest.raises(TypeError):
        subject(id=Equal("ada"))


# T41
@pytest.mark.parametrize("field", ["id", "session_id", "workspace_id"])
@pytest.mark.parametrize("value", ["", "x" * 513, "\ud800"])
def test_an_empty_endless_or_unwritable_id_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError):
        subject(**{field: value})


# T41
def test_case_and_unicode_form_make_different_people() -> None:
    composed = unicodedata.normalize("NFC", "zoë")
    decomposed = unicodedata.normalize("NFD", "zoë")
    people = [subject(id=value) for value in ("ada", "Ada", "ada ", composed, decomposed)]
    assert len({person.id for person in people}) == 5


@pytest.mark.parametrize(
    ("name", "login", "account"), [("Ada", "ada@axis.example", "ada@axis.example"), ("Ada", "", "Ada"), ("", "", "u-1")]
)
def test_the_account_is_listed_under_the_login_and_without_one_under_the_name(
    name: str, login: str, account: str
) -> None:
    assert subject(id="u-1", name=name, login=login).account == account


@pytest.mark.parametrize("value", [1, "yes", None])
def test_is_admin_is_a_bool_and_nothing_truthy(value: object) -> None:
    with pytest.raises(TypeError, match="is_admin"):
        subject(is_admin=value)


@pytest.mark.parametrize("value", [1_795_000_000, "2026-11-24T12:00:00Z"])
def test_a_sign_in_that_is_no_moment_is_refused_with_what_to_write(value: object) -> None:
    with pytest.raises(TypeError, match=r"datetime\.fromtimestamp"):
        subject(signed_in_at=value)


def test_a_sign_in_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        subject(signed_in_at=datetime(2026, 11, 24))  # noqa: DTZ001 - this is what must be refused
    assert subject(signed_in_at=datetime(2026, 11, 24, tzinfo=UTC)).signed_in_at is not None


@given(names, names)
def test_sessions_are_kept_as_hashes_that_differ_as_the_ids_do(one: str, other: str) -> None:
    assert (session_hash(one) == session_hash(other)) == (one == other)
    assert subject(session_id=one).session == session_hash(one)


@given(st.lists(st.tuples(names, st.just("") | names, st.just("") | names), min_size=2, max_size=2))
def test_each_actor_and_client_has_a_session_of_its_own_within_that_of_the_person(
    callers: list[tuple[str, str, str]],
) -> None:
    one, other = (subject(session_id=id_, actor=actor, client=client) for id_, actor, client in callers)
    assert (one.session == other.session) == (callers[0] == callers[1])
    whole = session_hash(one.session_id)
    assert in_session(one.session, whole)
    assert in_session(other.session, whole) == (one.session_id == other.session_id)
    assert in_session(whole, one.session) == (one.session == whole)


@given(st.text("0123456789abcdef", min_size=33, max_size=64))
def test_the_hash_of_a_session_tells_nothing_of_its_id(session_id: str) -> None:
    assert session_id not in session_hash(session_id)
    assert len(session_hash(session_id)) == 32
