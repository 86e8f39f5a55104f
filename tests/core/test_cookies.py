"""The reader of one cookie: every pair stands for itself, and nothing in a header hides another."""

from __future__ import annotations

import re
import string
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.cookies import MOST_VALUES, chosen_value, cookie_values

NAME = b"__Secure-stepup-token"
# what browsers store as a name or a value: anything but control characters and ";" (RFC 6265bis §5.6)
octets = st.binary(max_size=40).map(lambda raw: re.sub(rb"[\x00-\x1f;\x7f]", b"", raw))
values = st.text(string.ascii_letters + string.digits + "-_", max_size=72).map(str.encode)


@st.composite
def others(draw: st.DrawFn) -> bytes:
    """Draw a pair that is not of our name, in any shape that a browser or a script sends."""
    key = draw(octets.filter(lambda key: key.partition(b"=")[0].strip() != NAME))
    return draw(st.sampled_from([key, key + b"=" + draw(octets), b'"' + key.replace(NAME, b"") + b'"', b"", b" "]))


@given(st.lists(others(), max_size=6), st.lists(others(), max_size=6), values)
def test_no_other_pair_whatever_it_looks_like_hides_the_value(
    before: list[bytes], after: list[bytes], value: bytes
) -> None:
    line = b"; ".join([*before, NAME + b"=" + value, *after])
    assert list(cookie_values([line], NAME)) == [value]


ours = values.map(lambda value: NAME + b"=" + value)


@given(st.lists(st.tuples(st.one_of(others(), ours), st.booleans()), max_size=20))
def test_pairs_in_one_line_and_pairs_spread_over_lines_are_the_same(pairs: list[tuple[bytes, bool]]) -> None:
    lines: list[bytes] = []
    for pair, joined in pairs:
        if lines and joined:
            lines[-1] += b"; " + pair
        else:
            lines.append(pair)
    assert list(cookie_values(lines, NAME)) == list(cookie_values([b"; ".join(pair for pair, _ in pairs)], NAME))


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_no_bytes_raise_and_every_value_stands_in_the_header(lines: list[bytes]) -> None:
    for value in cookie_values(lines, b"a"):
        assert any(value in line for line in lines)
        assert b";" not in value


@pytest.mark.parametrize(
    "line",
    [
        b'prefs={"a":1,"b":["x"]}; NAME=t',
        b"flag; NAME=t",
        b"=x; NAME=t",
        b'q="open; NAME=t',
        b'q="\\073; NAME=t',
        b"a=b=c; NAME=t; NAME2=u",
        b"NAME=t;",
        b"; ;;NAME=t",
        b"a=1;NAME=t;b=2",
        b"a=1; NAME =t",
        b"a=1;\tNAME= t ",
        b"sp ace=1; NAME=t",
        b"\xff\xfe=\x80; NAME=t",
        b"a[b]=1; a@b=2; a,b=3; NAME=t",
        b"name=other; xNAME=u; NAMEx=v; NAME=t",
    ],
    ids=str,
)
def test_headers_as_browsers_and_scripts_send_them_give_the_one_value(line: bytes) -> None:
    assert list(cookie_values([line.replace(b"NAME", NAME)], NAME)) == [b"t"]


def test_the_name_is_compared_as_exact_bytes() -> None:
    assert list(cookie_values([NAME.lower() + b"=a; " + NAME.upper() + b"=b"], NAME)) == []
    assert list(cookie_values([NAME], NAME)) == []


def test_values_come_in_the_order_of_the_header_for_the_longest_path_stands_first() -> None:
    assert list(cookie_values([b"t=1; x=0; t=2", b"t=3"], b"t")) == [b"1", b"2", b"3"]


# Z01
def test_a_bounded_number_of_values_is_looked_at_however_many_there_are() -> None:
    looked: list[bytes] = []
    line = b"; ".join([b"t=%d" % number for number in range(10_000)])
    assert chosen_value([line], b"t", lambda value: looked.append(value)) == b"0"
    assert len(looked) == MOST_VALUES


def test_the_first_value_that_is_taken_wins_and_without_one_the_first() -> None:
    assert chosen_value([b"t=; t=planted; t=ours; t=later"], b"t", lambda value: value.startswith(b"ours")) == b"ours"
    assert chosen_value([b"t=planted; t=other"], b"t", lambda value: False) == b"planted"
    assert chosen_value([b"s=1"], b"t", bool) is None


# Z01
@pytest.mark.parametrize("piece", [b'"\\', b";", b"t=;", b"a", b"t", b" ", b"=", b"\\073", b'"'], ids=str)
def test_each_pair_costs_a_fixed_number_of_steps_and_none_looks_at_another(piece: bytes) -> None:
    """A step is one search over the pair alone; what grows faster than the header would need more of them."""
    line = piece * (60_000 // len(piece)) + b"; t=found"
    steps = 0

    def note(frame: object, event: str, called: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        list(cookie_values([line], b"t"))
    finally:
        sys.setprofile(None)
    assert steps <= 10 + 4 * (line.count(b";") + 1)
