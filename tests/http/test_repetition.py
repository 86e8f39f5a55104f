"""A page repeats exactly the form that was sent, or says honestly why it does not."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.request.body import REPEATED_FORM_LIMIT
from stepup_middleware.testing import totp_code
from stepup_middleware.web.repetition import (
    LONGEST_ORIGINAL,
    MAX_FIELDS,
    Field,
    Reason,
    Repetition,
    handed_on,
    repetition_of,
)
from tests.binding import bound_request_of
from tests.core.test_multipart import B, Part, body_of, field
from tests.support import HTML, ORIGIN, ROTATE, Browser, House, scope_of

FORM = "application/x-www-form-urlencoded"
TYPE = "multipart/form-data; boundary=" + B.decode()
NAVIGATION = {**HTML, "origin": ORIGIN}


class Repeated(HTMLParser):
    """The form that a page repeats, as an HTML parser reads it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.form: dict[str, str | None] | None = None
        self.fields: list[tuple[str, str, str]] = []
        self._inside = False
        self.feed(page.replace("\r\n", "\n").replace("\r", "\n"))  # as an HTML parser reads its input

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form" and "data-stepup-repeat" in attributes:
            self.form, self._inside = attributes, True
        elif tag == "input" and self._inside:
            kind = "file" if "file" in (attributes["type"] or "") else "text"
            self.fields.append((kind, attributes["name"] or "", attributes.get("value") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def sent_by_a_browser(page: str, boundary: bytes = b"----another") -> tuple[str, bytes]:
    """Return the content type and body that a browser sends for the form of a page: an independent writer of both."""
    repeated = Repeated(page)
    assert repeated.form is not None, "the page repeats nothing"
    entries = [(kind, *(text.replace("\n", "\r\n") for text in pair)) for kind, *pair in repeated.fields]
    if repeated.form["enctype"] == FORM:
        body = "&".join(
            "=".join(quote_plus(text, safe="*").replace("~", "%7E") for text in (name, value))
            for _, name, value in entries
        )
        return FORM, body.encode()
    parts: list[Part] = []
    for kind, name, value in entries:
        name = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        head = f'Content-Disposition: form-data; name="{name}"'
        head += '; filename=""\r\nContent-Type: application/octet-stream' if kind == "file" else ""
        parts.append((head.encode(), value.encode()))
    return f"multipart/form-data; boundary={boundary.decode()}", body_of(parts, boundary)


async def runs_again(browser: Browser, house: House, content_type: str, body: bytes, kind: str = "passkey") -> None:
    """Send a form, prove, send what the page repeats, and check that it ran."""
    headers = {**NAVIGATION, "content-type": content_type}
    page = await browser.send("POST", ROTATE, headers=headers, content=body)
    assert page.status_code == 401
    again, repeated = sent_by_a_browser(page.text)
    asked = await browser.send("POST", ROTATE, headers={"content-type": content_type}, content=body)
    token = await browser.prove(asked.json(), kind)
    answer = await browser.send(
        "POST", ROTATE, headers={**NAVIGATION, "content-type": again}, content=repeated, token=token
    )
    assert answer.status_code == 200, answer.text
    assert house.runs[ROTATE] == 1


# Q05
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a=1",
        b"a=1&a=2&b=",
        b"a=%26%3D%2B%25+%7E*-._",
        b"text=one%0D%0Atwo%0D%0A",
        "a=" + quote_plus("ünï 李小龍 \N{GRINNING FACE}"),
        b"_charset_=UTF-8&a=1",
        b"submit=Go&csrf_token=x%3D",
        "a=" + quote_plus("\u202e\u200b<script>\"'&amp;"),
    ],
    ids=repr,
)
async def test_a_form_as_browsers_write_it_is_repeated_exactly(ada: Browser, house: House, body: bytes | str) -> None:
    await runs_again(ada, house, FORM, body.encode() if isinstance(body, str) else body)


EMPTY_FILE = (b'Content-Disposition: form-data; name="f"; filename=""\r\nContent-Type: application/octet-stream', b"")


# Q05
@pytest.mark.parametrize(
    "parts",
    [
        [],
        [field()],
        [field(), EMPTY_FILE, field(b"b", "ünï\r\n".encode())],
        [EMPTY_FILE, EMPTY_FILE],
        [field(b"quoted %22 name"), field(b"a%0D%0Ab")],
    ],
    ids=repr,
)
async def test_a_multipart_form_is_repeated_exactly_with_its_empty_inputs_for_files(
    ada: Browser, house: House, parts: list[Part]
) -> None:
    await runs_again(ada, house, TYPE, body_of(parts))


NOT_REPEATED: dict[str, tuple[str, bytes, Reason]] = {
    "a file": (TYPE, body_of([(b'Content-Disposition: form-data; name="f"; filename="a.csv"', b"x")]), Reason.FILE),
    "an empty file with a name": (
        TYPE,
        body_of([(EMPTY_FILE[0].replace(b'""', b'"a"'), b"")]),
        Reason.FILE,
    ),
    "windows-1252": (FORM, b"name=caf%E9", Reason.CHARSET),
    "Shift_JIS": (FORM, b"name=%93%FA%96%7B", Reason.CHARSET),
    "windows-1252 in multipart": (TYPE, body_of([field(content=b"caf\xe9")]), Reason.CHARSET),
    "text/plain": ("text/plain", b"a=1\r\n", Reason.ENCODING),
    "a type with a charset": (FORM + "; charset=UTF-8", b"a=1", Reason.ENCODING),
    "a multipart that is not strict": (TYPE, b"x" + body_of([field()]), Reason.ENCODING),
    "too large": (FORM, b"a=" + b"x" * REPEATED_FORM_LIMIT, Reason.TOO_LARGE),
    "too many fields": (FORM, b"&".join([b"a=1"] * (MAX_FIELDS + 1)), Reason.TOO_MANY),
    "too many parts": (TYPE, body_of([field()] * (MAX_FIELDS + 1)), Reason.TOO_MANY),
    "blanks that are no plus": (FORM, b"a=b%20c", Reason.CHANGED),
    "a bare line feed": (FORM, b"a=b%0Ac", Reason.CHANGED),
    "a null": (FORM, b"a=b%00c", Reason.CHANGED),
    "no equals sign": (FORM, b"a", Reason.CHANGED),
    "no name": (FORM, b"=1", Reason.CHANGED),
    "an empty pair": (FORM, b"a=1&&b=2", Reason.CHANGED),
    "hexadecimal in lower case": (FORM, b"a=%c3%a9", Reason.CHANGED),
    "another charset field": (FORM, b"_charset_=windows-1252", Reason.CHANGED),
    "a bare line feed in multipart": (TYPE, body_of([field(content=b"a\nb")]), Reason.CHANGED),
}


# Q06
@pytest.mark.parametrize(("content_type", "body", "reason"), NOT_REPEATED.values(), ids=NOT_REPEATED.keys())
async def test_what_the_page_cannot_repeat_exactly_it_does_not_and_says_why(
    ada: Browser, house: House, content_type: str, body: bytes, reason: Reason
) -> None:
    headers = {**NAVIGATION, "content-type": content_type}
    page = await ada.send("POST", ROTATE, headers=headers, content=body)
    assert page.status_code == 401
    assert Repeated(page.text).form is None
    assert f"go back and send it again: {reason.value}." in page.text
    asked = await ada.send("POST", ROTATE, headers={"content-type": content_type}, content=body)
    token = await ada.prove(asked.json(), "passkey")
    assert (await ada.send("POST", ROTATE, headers=headers, content=body, token=token)).status_code == 200


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
line_ends = st.sampled_from(["\r", "\n", "\r\n", "\0", "~", " ", "+", "%22", '"'])
values = st.lists(texts | line_ends, max_size=4).map("".join)


@given(st.lists(st.tuples(values, values), max_size=5))
async def test_what_is_repeated_is_what_was_sent_or_nothing(pairs: list[tuple[str, str]]) -> None:
    body = urlencode(pairs).encode()
    repetition = await repetition_of(body, [FORM.encode()])
    if repetition.reason is None:
        assert [(name, value) for name, value, _ in repetition.fields] == parse_qsl(
            body.decode(), keep_blank_values=True
        )
        assert not any("\n" in value.replace("\r\n", "") or "\0" in value for pair in pairs for value in pair)


@given(st.binary(max_size=60))
async def test_no_body_is_a_fault(body: bytes) -> None:
    for content_type in (FORM.encode(), TYPE.encode(), b"", b"text/plain"):
        await repetition_of(body, [content_type])
        await repetition_of(body_of([(body[:20], body[20:])]), [content_type])


@pytest.mark.parametrize(
    "original",
    ["", "[]", "{}", "null", "[1,2,3]", '["NO"]', '[false,[["a"]]]', "[" * 5000, '[false,[["a",1,2,3]]]', '"x"'],
)
def test_what_a_page_did_not_write_is_not_repeated(original: str) -> None:
    assert handed_on(original, bound_request_of(scope_of("POST", "/x"), b"")).reason is Reason.TOO_LARGE


def test_a_form_that_was_changed_on_its_way_is_not_repeated() -> None:
    scope = scope_of("POST", "/x", headers=[("content-type", FORM)])
    sent = Repetition(fields=(Field("amount", "1"),))
    assert handed_on(sent.original, bound_request_of(scope, b"amount=1")) == sent
    changed = Repetition(fields=(Field("amount", "1000000"),))
    assert handed_on(changed.original, bound_request_of(scope, b"amount=1")).reason is Reason.CHANGED
    assert handed_on(sent.original, bound_request_of(scope_of("POST", "/x"), b"amount=1")).reason is Reason.CHANGED


def test_the_reason_is_handed_on_and_so_is_that_a_form_is_too_long_for_it() -> None:
    request = bound_request_of(scope_of("POST", "/x"), b"")
    assert handed_on(Repetition(reason=Reason.FILE).original, request).reason is Reason.FILE
    long = Repetition(fields=(Field("a", "x" * LONGEST_ORIGINAL),))
    assert handed_on(long.original, request).reason is Reason.TOO_LARGE


async def test_without_a_script_a_multipart_form_is_carried_along_exactly(tim: Browser, house: House) -> None:
    body = body_of([field(), EMPTY_FILE])
    headers = {**NAVIGATION, "content-type": TYPE}
    first = await tim.send("POST", ROTATE, headers=headers, content=body)
    (action,) = re.findall(r'action="([^"]+/totp)"', first.text)
    (original,) = re.findall(r'name="original" value="([^"]*)"', first.text)
    code = totp_code(tim.factors["totp"].secret, house.clock())
    proved = await tim.navigate("POST", action, data={"code": code, "original": unescape(original)})
    content_type, again = sent_by_a_browser(proved.text.replace('<form method="post"', "<form data-stepup-repeat"))
    done = await tim.send("POST", ROTATE, headers={**NAVIGATION, "content-type": content_type}, content=again)
    assert done.status_code == 200, done.text
    assert house.runs[ROTATE] == 1


async def test_without_a_script_a_file_is_to_be_chosen_again_and_the_cookie_admits_that_request(
    tim: Browser, house: House
) -> None:
    part = (b'Content-Disposition: form-data; name="f"; filename="a.csv"\r\nContent-Type: text/csv', b"x,y")
    headers = {**NAVIGATION, "content-type": TYPE}
    first = await tim.send("POST", ROTATE, headers=headers, content=body_of([part]))
    (action,) = re.findall(r'action="([^"]+/totp)"', first.text)
    (original,) = re.findall(r'name="original" value="([^"]*)"', first.text)
    code = totp_code(tim.factors["totp"].secret, house.clock())
    proved = await tim.navigate("POST", action, data={"code": code, "original": unescape(original)})
    assert Reason.FILE.value in proved.text
    again = {**NAVIGATION, "content-type": "multipart/form-data; boundary=----new"}
    other = body_of([(part[0], b"x,z")], b"----new")
    assert (await tim.send("POST", ROTATE, headers=again, content=other)).status_code == 401


# Q07
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
async def test_below_a_root_path_the_page_and_its_cookie_have_the_path_of_the_browser(
    ada: Browser, server: str
) -> None:
    root = (
        "/api" if server == "uvicorn" else ""
    )  # behind a proxy that strips it, others give the rest of the path alone
    below = Browser(ada.house, ada.subject, factors=ada.factors, root_path="/api")
    page = await below.navigate("POST", root + ROTATE, data={"a": "1"})
    form = Repeated(page.text).form
    assert form is not None
    assert form["action"] == "/api" + ROTATE
    asked = await below.prompt("POST", root + ROTATE, data={"a": "1"})
    factor = below.factors["passkey"]
    assert factor.authenticator is not None
    url = asked["prompt"]["url"]
    options = await below.post(f"{url}/webauthn/options", json={})
    assertion = factor.authenticator.get(options.json(), origin=ORIGIN)
    proved = await below.send("POST", f"{url}/webauthn", json=assertion, headers={"stepup-deliver": "cookie"})
    (cookie,) = proved.headers.get_list("set-cookie")
    assert f"; Path=/api{ROTATE};" in cookie
