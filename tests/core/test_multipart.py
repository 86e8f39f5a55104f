"""A form with another boundary is the same form only where nobody can split it in another way."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from stepup_middleware.core.multipart import LONGEST_HEAD, MOST_PARTS, OURS, PIECES, StrictForm, boundary_of

B = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"
OTHER = b"----geckoformboundary5f0c"

Part = tuple[bytes, bytes]  # the headers of a part, and its content


def body_of(parts: list[Part], boundary: bytes = B) -> bytes:
    """Return a form as browsers write it."""
    written = b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts)
    return written + b"--" + boundary + b"--\r\n"


def field(name: bytes = b"amount", content: bytes = b"1") -> Part:
    return b'Content-Disposition: form-data; name="' + name + b'"', content


def digest_of(body: bytes, boundary: bytes = B, cuts: tuple[int, ...] = ()) -> bytes | None:
    """Return the digest of a body that comes in pieces."""
    form = StrictForm(boundary)
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    for first, last in zip([0, *ends], ends, strict=False):
        form.feed(body[first:last])
    return form.digest()


words = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters='"'), max_size=12).map(
    lambda text: text.encode("latin-1")
)
heads = st.builds(
    lambda name, file, kind: (
        b'Content-Disposition: form-data; name="'
        + name
        + b'"'
        + (b"" if file is None else b'; filename="' + file + b'"')
        + (b"" if kind is None else b"\r\nContent-Type: " + kind)
    ),
    words,
    st.none() | words,
    st.none() | words.filter(bool),
)
pieces = st.sampled_from([b"\r\n", b"--", b"\r\n--", b"-", b"\r", b"\n", b"\0", B[:-1], B[5:], OURS[:-1], b"name="])
contents = st.lists(pieces | st.binary(max_size=20), max_size=6).map(b"".join)
forms = st.lists(st.tuples(heads, contents), max_size=4)
boundaries = st.from_regex(r"-{0,4}[A-Za-z0-9_]{1,20}", fullmatch=True).map(str.encode)
cut_points = st.lists(st.integers(0, 400), max_size=8).map(tuple)


def clean(parts: list[Part], *boundaries_used: bytes) -> bool:
    """Whether no boundary's text stands in the parts."""
    return not any(used.lstrip(b"-") in text for used in (*boundaries_used, OURS) for part in parts for text in part)


@given(forms, boundaries, boundaries, cut_points)
def test_a_form_has_one_digest_whatever_its_boundary_and_however_it_is_cut(
    parts: list[Part], one: bytes, other: bytes, cuts: tuple[int, ...]
) -> None:
    assume(clean(parts, one, other))
    expected = sha256(body_of(parts, OURS)).digest()
    assert digest_of(body_of(parts, one), one, cuts) == expected
    assert digest_of(body_of(parts, other), other) == expected


def reference(body: bytes, boundary: bytes) -> list[Part] | None:
    """Split a body by an independent reading of the strict form: all of it at once."""
    core = boundary.lstrip(b"-")
    opening, between, closing = b"--" + boundary, b"\r\n--" + boundary, b"\r\n--" + boundary + b"--\r\n"
    if body == opening + b"--\r\n":
        return []
    if not body.startswith(opening + b"\r\n") or not body.endswith(closing):
        return None
    parts = []
    for each in body[len(opening) : -len(closing)].split(between):
        head, empty, content = each.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        shape = rb'Content-Disposition: form-data; name="[^"\r\n\0]*"(; filename="[^"\r\n\0]*")?'
        if not each.startswith(b"\r\n") or not empty or core in each or OURS in each or len(head) + 4 > LONGEST_HEAD:
            return None
        if re.fullmatch(shape + rb"(\r\nContent-Type: [^\r\n\0]+)?", head) is None:
            return None
        parts.append((head, content))
    return parts


mutations = st.lists(
    st.tuples(
        st.integers(0, 500), st.integers(0, 3), pieces | st.just(b"\r\n--" + B) | st.just(B) | st.binary(max_size=3)
    ),
    min_size=1,
    max_size=3,
)


@given(forms, mutations, cut_points)
@example([field()], [(0, 0, b"\r\n")], ())
def test_a_form_that_was_tampered_with_is_strict_only_as_an_independent_reader_finds(
    parts: list[Part], changes: list[tuple[int, int, bytes]], cuts: tuple[int, ...]
) -> None:
    body = body_of(parts)
    for at, dropped, put in changes:
        body = body[:at] + put + body[at + dropped :]
    read = reference(body, B)
    assert digest_of(body, B, cuts) == (None if read is None else sha256(body_of(read, OURS)).digest())


NEAR_MISSES = {
    "text before": b"x" + body_of([field()]),
    "a line before": b"\r\n" + body_of([field()]),
    "text after": body_of([field()]) + b"x",
    "a line after": body_of([field()]) + b"\r\n",
    "no line at the end": body_of([field()])[:-2],
    "bare line feeds": body_of([field()]).replace(b"\r\n", b"\n"),
    "a bare line feed before a delimiter": body_of([field()]).replace(b"1\r\n", b"1\n"),
    "blanks after a delimiter": body_of([field()]).replace(B + b"\r\n", B + b" \r\n", 1),
    "a delimiter inside a line of a part": body_of([field(content=b"abc--" + B + b"\r\n" + field()[0])]),
    "the boundary without dashes in a part": body_of([field(content=B.lstrip(b"-"))]),
    "the boundary in a name": body_of([field(name=B)]),
    "a delimiter after a bare line feed": body_of([field(content=b"x\n--" + B + b"\r\n" + field()[0] + b"\r\n\r\n2")]),
    "our own boundary in a part": body_of([field(content=b"1\r\n--" + OURS + b"\r\n" + field()[0] + b"\r\n\r\n2")]),
    "the end twice": body_of([field()]) + body_of([field()]),
    "a folded header": body_of([(b'Content-Disposition: form-data;\r\n name="a"', b"1")]),
    "a name without quotes": body_of([(b"Content-Disposition: form-data; name=a", b"1")]),
    "a name twice": body_of([(b'Content-Disposition: form-data; name="a"; name="b"', b"1")]),
    "an extended file name": body_of([(b"Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''b", b"1")]),
    "another header": body_of([(field()[0] + b"\r\nContent-Transfer-Encoding: base64", b"MQ==")]),
    "a header twice": body_of([(field()[0] + b"\r\n" + field(b"b")[0], b"1")]),
    "a header in lower case": body_of([(b'content-disposition: form-data; name="a"', b"1")]),
    "headers in another order": body_of([(b"Content-Type: text/plain\r\n" + field()[0], b"1")]),
    "no headers": body_of([(b"", b"1")]),
    "a null in a name": body_of([field(name=b"a\0b")]),
    "headers without an end": b"--" + B + b"\r\n" + field()[0],
    "endless headers": body_of([(field(b"x" * LONGEST_HEAD)[0], b"1")]),
    "nothing": b"",
    "a delimiter alone": b"--" + B,
    "half an end": b"--" + B + b"--",
}


# B01
@pytest.mark.parametrize("body", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_what_is_almost_a_strict_form_is_bound_as_it_came(body: bytes) -> None:
    assert digest_of(body) is None
    assert digest_of(body, cuts=tuple(range(len(body)))) is None


def test_an_empty_form_is_a_form() -> None:
    assert digest_of(body_of([])) == digest_of(body_of([], OTHER), OTHER) is not None


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=" + B, B),
        (b"multipart/form-data; boundary=x", b"x"),
        (b"multipart/form-data; boundary=" + b"x" * 70, b"x" * 70),
        (b"multipart/form-data; boundary=" + b"x" * 71, None),
        (b"multipart/form-data; boundary=----", None),
        (b"multipart/form-data; boundary=", None),
        (b'multipart/form-data; boundary="x"', None),
        (b"multipart/form-data;boundary=x", None),
        (b"multipart/form-data; boundary=x; boundary=y", None),
        (b"multipart/form-data; boundary=x; charset=utf-8", None),
        (b"multipart/form-data; charset=utf-8; boundary=x", None),
        (b"multipart/form-data; boundary=x ", None),
        (b"Multipart/Form-Data; boundary=x", None),
        (b"multipart/form-data; BOUNDARY=x", None),
        (b"multipart/mixed; boundary=x", None),
        (b"multipart/form-data; boundary=x\n", None),
        (b"", None),
    ],
)
def test_only_a_content_type_as_browsers_write_it_has_a_boundary_that_is_replaced(
    content_type: bytes, boundary: bytes | None
) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(("parts", "is_strict"), [(MOST_PARTS, True), (MOST_PARTS + 1, False)])
def test_a_form_of_more_parts_than_a_person_fills_in_is_bound_as_it_came(parts: int, is_strict: bool) -> None:
    assert (digest_of(body_of([field()] * parts)) is not None) == is_strict


def counted_steps(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows by each piece that is read."""
    steps: list[None] = []
    step = StrictForm._step

    def counted(form: StrictForm) -> bool:
        steps.append(None)
        return step(form)

    monkeypatch.setattr(StrictForm, "_step", counted)
    return steps


# Z05
def test_beyond_the_most_parts_nothing_of_a_form_is_read_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted_steps(monkeypatch)
    assert digest_of(body_of([field()] * 20_000)) is None
    assert len(steps) <= 2 * (MOST_PARTS + 2)


# Z05
@pytest.mark.parametrize("body", [body_of([field()] * 900), b"x" * 100_000, body_of([field(content=b"x" * 100_000)])])
def test_no_more_than_some_pieces_of_a_form_are_read_at_a_time(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted_steps(monkeypatch)
    form = StrictForm(B)
    more = form.take(body)
    while more:
        assert len(steps) <= PIECES
        steps.clear()
        more = form.take(b"")
    assert len(steps) <= PIECES
