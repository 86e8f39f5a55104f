"""The templates and assets as text: escaping, structure, what works without JavaScript, and the promises of the CSS."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware import assets
from stepup_middleware.languages import library_languages
from stepup_middleware.web.pages import _environment as environment
from stepup_middleware.web.repetition import Field, Reason, Repetition

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
TEMPLATES = ROOT / "stepup_middleware" / "web" / "templates"
ASSETS = {name: f"/stepup/static/{name}" for name in assets.NAMES}
LABELS = {"passkey": "Passkey", "hardware_key": "Hardware key", "totp": "Authenticator app"}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }} é \N{GRINNING FACE}"
VOID = {"meta", "link", "input", "img", "br", "hr"}


class Element:
    """One start tag with its attributes, the names of the tags around it, and the text inside it."""

    def __init__(self, tag: str, attributes: dict[str, str | None], around: tuple[Element, ...]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.around = around
        self.text = ""

    @property
    def hidden(self) -> bool:
        """Whether it or an element around it is hidden until a script shows it."""
        return any("hidden" in element.attributes or element.tag == "dialog" for element in (self, *self.around))


class Document(HTMLParser):
    """The elements of a rendered template in document order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert [element.tag for element in self._open] == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute stands twice in <{tag}>"
        element = Element(tag, dict(attrs), tuple(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Return the elements of a tag with these attribute values; underscores stand for hyphens."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if tag in (None, element.tag) and wanted.items() <= element.attributes.items()
        ]

    def having(self, attribute: str) -> list[Element]:
        return [element for element in self.elements if attribute in element.attributes]


def render(name: str, **context: Any) -> Document:
    given: dict[str, Any] = {"rp_name": "AxisSynapse", "home_url": None, "help_url": "/help", "back_url": "/payroll"}
    given |= {"right_until": None, "takes_pass": False, "codes": False, "codes_left": None, "error": "", "failed": ""}
    given["holds"] = True
    given |= {"confirming": None, "may_begin": False, "held_until": None}
    given |= {"closed": None, "sign_in": None, "again_url": None}
    given |= context
    given |= {"texts": library_languages().texts("en"), "texts_url": "/stepup/texts/en"}
    return Document(environment(None).get_template(name).render(assets=ASSETS, **given))


def prompt(*kinds: str, text: str = "", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "p1",
        "actor": "",
        "client": "",
        "url": "/stepup/prompts/p1",
        "expires_at": "2026-11-24T12:00:00+00:00",
        "purpose_id": "payroll_ach_transmit",
        "authorize_title": text or "Authorize payroll ACH transmit",
        "consequence": text or "Real money moves.",
        "details": [(text or "Run", text or "2026-06"), ("Employees", "214")],
        "subject_name": text or "Ada Owner",
        "account": "0123456789abcdef",
        "requirement": "any" if "totp" in kinds else "phishing_resistant",
        "factors": [{"kind": kind, "label": LABELS[kind]} for kind in kinds],
        "error": text or None,
    }
    return values | changes


def repeat(method: str = "POST", text: str = "", *, reason: str | None = None) -> dict[str, Any]:
    pairs = [("a", "1"), ("a", "2&3"), (text or "action", text or "x y")] if method == "POST" else []
    fields = tuple(Field(*pair) for pair in pairs)
    return {
        "method": method,
        "url": "/payroll/2026-06/transmit?draft=1&x=2",
        "fields": fields,
        "enctype": "application/x-www-form-urlencoded",
        "original": Repetition(fields=fields).original,
        "reason": reason,
    }


def problem(text: str = "", *, enroll_url: str | None = "/stepup/factors") -> dict[str, Any]:
    return {
        "code": "STEPUP_FACTOR_INSUFFICIENT",
        "title": text or "A stronger factor is needed",
        "detail": text or "Enrol a passkey or hardware key.",
        "enroll_url": enroll_url,
        "sign_in_url": None,
        "help_url": None,
        "status": 403,
    }


def factor(
    identifier: str, text: str = "", *, used: bool = True, provider: str | None = None, synced: bool | None = True
) -> dict[str, Any]:
    return {
        "provider": provider,
        "synced": synced,
        "id": identifier,
        "kind": "passkey",
        "kind_label": "Passkey",
        "name": text or "Laptop",
        "created_at": "2026-11-01T08:00:00+00:00",
        "last_used_at": "2026-11-20T08:00:00+00:00" if used else None,
    }


def every(text: str = "") -> Iterator[tuple[str, Document]]:
    """Yield each template in each of its states, with ``text`` wherever someone else's words may stand."""
    name = {"rp_name": text} if text else {}
    kinds = ("passkey", "hardware_key", "totp")
    yield "modal", render("modal.html", prompt=prompt(*kinds, text=text), **name)
    yield "modal phr", render("modal.html", prompt=prompt("passkey", text=text), **name)
    long = [("Reason", (text or "Because. ") * 60)]
    yield "modal long", render("modal.html", prompt=prompt(*kinds, text=text, details=long), **name)
    yield "modal totp", render("modal.html", prompt=prompt("totp", text=text), **name)
    for left_out, total in ((0, ("Total", text or "USD 7")), (2, None)):
        requests = [{"id": each, "details": [*long, ("Run", text or each)]} for each in ("a", "b")]
        batch = {"requests": requests, "left_out": left_out, "total": total}
        yield "modal of several", render("modal.html", prompt=prompt(*kinds, text=text), batch=batch, **name)
    for method in ("GET", "POST"):
        for reason in (None, text or Reason.FILE.value):
            again = repeat(method, text, reason=reason)
            yield "page", render("page.html", prompt=prompt(*kinds, text=text), repeat=again, **name)
            yield "continue", render("continue.html", prompt=prompt("totp", text=text), repeat=again, **name)
    yield "problem", render("problem.html", problem=problem(text), **name)
    yield "problem page", render("problem_page.html", problem=problem(text), **name)
    again = {"again_url": "/stepup/factors", "back_url": None}
    yield "problem page that passes", render("problem_page.html", problem=problem(text), **again, **name)
    signals = {"rp_id": "example.com", "user": "AA", "account": text, "person": text, "credentials": {"f1": "BB"}}
    subject = {"subject_name": text or "Ada", "factors_url": "/stepup/factors", "signals": signals}
    listed = [factor("f1", text), factor("f2", text, used=False, provider=text or "1Password", synced=None)]
    yield "factors", render("factors.html", factors=listed, **subject, **name)
    yield "no factors", render("factors.html", factors=[], **subject, **name)
    error = text or "This pass opens nothing."
    opening = {"takes_pass": True, "failed": "pass", "error": error}
    yield "a hold", render("factors.html", factors=[], held_until=text or "12:10 UTC", **subject, **name)
    old = {"closed": text or "Your first factor needs a sign-in from the last ten minutes.", "sign_in": "/sign-in"}
    yield "an old sign-in", render("factors.html", factors=[], **old, **subject, **name)
    yield "a pass", render("factors.html", factors=[], **opening, **subject, **name)
    recovery: dict[str, Any] = {"codes": True, "codes_left": 7, "failed": "code", "error": error}
    yield "codes", render("factors.html", factors=listed, **recovery, **subject, **name)
    yield "no codes", render("factors.html", factors=listed, codes=True, **subject, **name)
    right = {"right_until": text or "12:10 UTC", "may_begin": True}
    yield "a right", render("factors.html", factors=[], **right, **subject, **name)
    plain = {"id": "e1", "name": text or "Phone"}
    begun = {**plain, "secret": "ABCD", "qr_svg": "<svg></svg>"}
    yield "an app begun", render("factors.html", factors=[], confirming=begun, **subject, **name)
    refused = {"confirming": plain, "failed": "confirm", "error": error}
    yield "an app not confirmed", render("factors.html", factors=[], **refused, **subject, **name)
    for people, reset in ((people_of(text), [request_of(text)]), ([], []), ([], [request_of(text, yours=True)])):
        for wanted in (text or "Ada", ""):
            listing = {**PEOPLE, "people": people, "requests": reset, "text": wanted}
            yield "people", render("people.html", **listing, **name)
    for state in ("waiting", "approved", "denied", "ended"):
        view = asked(state, text)
        for shown, can_end in ((None, True), (prompt(*kinds, text=text), False)):
            page = {"asked": view, "prompt": shown, "error": text or None, "can_end": can_end, "refused": None}
            yield "approve", render("approve.html", **page, **name)
        page = {"asked": view, "prompt": None, "error": None, "can_end": True, "refused": text or "Enrol a passkey."}
        yield "approve refused", render("approve.html", **page, **name)
        yield "approvals", render("approvals.html", approvals=[view], tag='"a"', **name)
    yield "no approvals", render("approvals.html", approvals=[], tag='"a"', **name)


def asked(state: str, text: str) -> dict[str, Any]:
    """Return what a program asks."""
    return {
        "url": "/stepup/approve/KVTR-BCDM",
        "state": state,
        "authorize_title": text or "Authorize webhook secret rotation",
        "consequence": text or "Receivers reject deliveries.",
        "details": [(text or "Webhook", text or "W-1")],
        "actor": text,
        "client": text,
        "agent": text or "deploy/1.2",
        "ip": "203.0.113.77",
        "known_network": False,
        "asked_at": "2026-11-24T12:00:00Z",
        "when": "Nov 24, 2026, 12:00 PM UTC",
        "age": 125,
        "ago": text or "2 minutes ago",
    }


PEOPLE: dict[str, Any] = {
    "admin_id": "u-1",
    "purpose": "",
    "purposes": [("payroll_ach_transmit", "Payroll ACH transmit")],
    "after": '["b", "u-2"]',
    "is_first": False,
    "people_url": "/stepup/people",
    "takes_pass": True,
    "needs_two": True,
    "longest_reason": 200,
}


def people_of(text: str = "") -> list[dict[str, Any]]:
    """Return an admin, somebody with two factors under a hold, and somebody without any."""
    factors = [{**factor("f1", text), "synced": True}, {**factor("f2", text, used=False), "synced": None}]
    somebody = {"login": text or "ada@axis.example", "factors": factors, "closed_titles": [], "held_until": None}
    closed = [text or "Payroll ACH transmit"]
    return [
        {**somebody, "id": "u-1", "name": text or "Ada"},
        {**somebody, "id": text or "u-2", "name": text or "Bob", "held_until": "2026-11-24T12:00:00+00:00"},
        {**somebody, "id": "u-3", "name": "", "login": "", "factors": [], "closed_titles": closed},
    ]


def request_of(text: str = "", *, yours: bool = False) -> dict[str, Any]:
    """Return a reset that waits for a second admin."""
    return {
        "id": "r1",
        "person": "u-3",
        "name": text or "Tim",
        "reason": text or "lost phone",
        "requested_by": "u-2",
        "requested_by_name": text or "Bob",
        "requested_at": "2026-11-24T12:00:00+00:00",
        "expires_at": "2026-11-25T12:00:00+00:00",
        "yours": yours,
        "about_you": False,
    }


def test_no_template_has_anything_that_a_strict_content_security_policy_blocks() -> None:
    for name, document in every():
        for element in document.elements:
            assert element.tag not in {"style", "base", "iframe", "object"}, name
            assert "style" not in element.attributes, name
            assert not [attribute for attribute in element.attributes if attribute.startswith("on")], name
            if element.tag == "script":
                assert element.attributes["src"] in ASSETS.values(), name
                assert element.text == "", name
            for attribute in ("href", "src", "action"):
                assert (element.attributes.get(attribute) or "/").startswith("/"), name


def test_words_of_others_are_shown_as_text_and_never_as_markup() -> None:  # C11
    for (name, document), (_, plain) in zip(every(HOSTILE), every(), strict=True):
        assert [element.tag for element in document.elements] == [element.tag for element in plain.elements], name
        assert "<script>alert" not in document.html, name
        assert "49" not in document.html, name
        assert any(HOSTILE in element.text for element in document.elements), name


def test_every_reference_between_elements_resolves_and_every_id_is_unique() -> None:
    references = ("for", "aria-labelledby", "aria-describedby", "aria-controls")
    for name, document in every():
        ids = [element.attributes["id"] for element in document.having("id")]
        assert len(ids) == len(set(ids)), name
        for reference in references:
            for element in document.having(reference):
                assert set((element.attributes[reference] or "").split()) <= set(ids), name


def test_every_field_that_a_person_fills_has_a_label() -> None:
    for name, document in every():
        labelled = {label.attributes["for"] for label in document.all("label")}
        for field in document.all("input"):
            assert field.attributes["type"] == "hidden" or field.attributes["id"] in labelled, name


def test_every_page_has_a_language_a_title_and_one_first_heading() -> None:
    for name, document in every():
        if not document.all("html"):
            continue
        assert document.all("html", lang="en"), name
        assert document.all("title")[0].text.endswith("· AxisSynapse"), name
        assert len(document.all("h1")) == 1, name
        assert len(document.all("main")) == 1, name


@pytest.mark.parametrize(
    "kinds", [("passkey",), ("hardware_key",), ("totp",), ("passkey", "totp"), ("passkey", "hardware_key", "totp")]
)
def test_the_modal_offers_exactly_the_factors_that_count(kinds: tuple[str, ...]) -> None:
    modal = render("modal.html", prompt=prompt(*kinds))
    offered = [element.attributes["data-stepup-kind"] for element in modal.having("data-stepup-kind")]
    assert offered == [kind for kind in kinds if kind != "totp"]
    assert bool(modal.having("data-stepup-totp")) == ("totp" in kinds)
    assert bool(modal.having("data-stepup-or")) == ("totp" in kinds and len(kinds) > 1)
    assert len([e for e in modal.all("button") if "stepup-primary" in (e.attributes["class"] or "")]) == 2  # with renew


def test_the_modal_names_the_action_and_shows_its_consequence_and_details_in_order() -> None:
    modal = render("modal.html", prompt=prompt("passkey", details=[("Run", "2026-06"), ("Total", "USD 412,908.77")]))
    assert modal.all(id="stepup-title")[0].text == "Authorize payroll ACH transmit"
    assert "Real money moves." in modal.all(id="stepup-description")[0].text
    assert [term.text for term in modal.all("dt")] == ["Run", "Total"]
    assert [value.text for value in modal.all("dd")] == ["2026-06", "USD 412,908.77"]


def test_the_modal_says_who_authorizes() -> None:
    modal = render("modal.html", prompt=prompt("passkey"))
    assert "as Ada Owner" in modal.all(id="stepup-description")[0].text


def test_only_where_the_policy_wants_more_a_code_is_called_not_enough() -> None:
    strict = render("modal.html", prompt=prompt("passkey", requirement="phishing_resistant"))
    assert "a code from an app is not enough" in strict.html
    without_an_app = render("modal.html", prompt=prompt("passkey", requirement="any"))
    assert "not enough" not in without_an_app.html


@pytest.mark.parametrize(("value", "long"), [("x" * 240, False), ("x" * 241, True), ("a\n" * 6, True), ("a\nb", False)])
def test_a_long_value_has_a_box_of_its_own_that_the_keyboard_reaches(value: str, long: bool) -> None:
    modal = render("modal.html", prompt=prompt("passkey", details=[("Text", value), ("After", "it")]))
    first, *_, last = modal.all("dd")
    assert first.text == value
    assert ("stepup-long" in (first.attributes.get("class") or "")) == long == (first.attributes.get("tabindex") == "0")
    assert last.text == "it"


def test_a_modal_without_details_has_no_empty_list() -> None:
    assert render("modal.html", prompt=prompt("passkey", details=[])).all("dl") == []


def test_the_modal_has_live_regions_for_progress_and_for_errors() -> None:
    modal = render("modal.html", prompt=prompt("totp", error="That code did not match."))
    assert modal.all(role="alert")[0].text == "That code did not match."
    assert modal.all(role="status")[0].text == ""
    assert render("modal.html", prompt=prompt("totp")).all(role="alert")[0].text == ""


def test_codes_passes_and_keys_run_from_left_to_right_on_every_page() -> None:
    seen = 0
    for name, document in every():
        for element in document.having("class"):
            names = set((element.attributes["class"] or "").split())
            if names & {"stepup-code", "stepup-typed", "stepup-secret", "stepup-codes"}:
                assert element.attributes.get("dir") == "ltr", (name, element.attributes)
                seen += 1
    assert seen > 20


def test_the_code_field_can_be_pasted_into_and_filled_in_by_the_browser() -> None:  # WCAG 2.2 3.3.8
    field = render("modal.html", prompt=prompt("totp")).all("input", name="code")[0].attributes
    assert field["autocomplete"] == "one-time-code"
    assert field["inputmode"] == "numeric"
    assert "maxlength" not in field  # would cut a pasted "123 456"


def test_the_page_parks_every_field_in_order_and_repeats_the_request_to_its_own_address() -> None:
    page = render("page.html", prompt=prompt("passkey"), repeat=repeat())
    form = page.having("data-stepup-repeat")[0]
    assert form.attributes["method"] == "post"
    assert form.attributes["action"] == "/payroll/2026-06/transmit?draft=1&x=2"
    parked = [e.attributes for e in page.all("input") if form in e.around]
    assert [(e["name"], e["value"]) for e in parked] == [("a", "1"), ("a", "2&3"), ("action", "x y")]


def test_the_page_asks_for_a_code_without_javascript_and_carries_the_request_along() -> None:
    page = render("page.html", prompt=prompt("passkey", "totp"), repeat=repeat())
    form = page.having("data-stepup-totp")[0]
    assert (form.attributes["method"], form.attributes["action"]) == ("post", "/stepup/prompts/p1/totp")
    original = page.all("input", name="original")[0]
    assert form in original.around
    assert json.loads(original.attributes["value"] or "") == [
        False,
        [["a", "1", False], ["a", "2&3", False], ["action", "x y", False]],
    ]
    assert not page.all("input", name="code")[0].hidden


def test_the_fragment_in_a_dialog_carries_no_copy_of_the_request() -> None:
    assert render("modal.html", prompt=prompt("totp")).all("input", name="original") == []


def test_only_controls_that_work_without_javascript_are_visible_before_it_runs() -> None:
    for name, document in every():
        for button in document.all("button"):
            works_alone = button.attributes["type"] == "submit" and any(
                "action" in element.attributes for element in button.around if element.tag == "form"
            )
            assert works_alone != button.hidden, name


@pytest.mark.parametrize("kinds", [("passkey",), ("passkey", "totp")])
def test_the_page_says_that_passkeys_need_javascript(kinds: tuple[str, ...]) -> None:
    notice = render("page.html", prompt=prompt(*kinds), repeat=repeat()).all("noscript")[0].text
    assert "need JavaScript" in notice
    assert ("type a code" in notice) == ("totp" in kinds)


@pytest.mark.parametrize("reason", list(Reason))
def test_why_a_form_is_not_repeated_is_told_and_it_is_not(reason: Reason) -> None:
    page = render("page.html", prompt=prompt("totp"), repeat=repeat(reason=reason.value))
    assert page.having("data-stepup-repeat") == []
    assert f"go back and send it again: {reason.value}." in page.all("main")[0].text
    done = render("continue.html", prompt=prompt("totp"), repeat=repeat(reason=reason.value))
    assert done.all("form") == []
    assert f"{reason.value}." in done.all("main")[0].text


def test_an_input_for_a_file_that_was_left_empty_is_repeated_as_one() -> None:
    again = repeat() | {"fields": (Field("a", "1"), Field("f", "", True)), "enctype": "multipart/form-data"}
    for name in ("page.html", "continue.html"):
        page = render(name, prompt=prompt("passkey"), repeat=again)
        assert page.all("form", enctype="multipart/form-data", action=again["url"])
        (field,) = page.all("input", name="f")
        assert (field.attributes["type"], "value" in field.attributes) == ("file", False)


def test_continue_repeats_a_post_by_form_and_a_get_by_link() -> None:
    post = render("continue.html", prompt=prompt("totp"), repeat=repeat("POST"))
    fields = [(e.attributes["name"], e.attributes["value"]) for e in post.all("input")]
    assert fields == [("a", "1"), ("a", "2&3"), ("action", "x y")]
    assert post.all("form", method="post", action="/payroll/2026-06/transmit?draft=1&x=2")
    assert "autofocus" in post.all("button", type="submit")[0].attributes
    # A form sent by GET would drop the query of its action.
    get = render("continue.html", prompt=prompt("totp"), repeat=repeat("GET"))
    assert get.all("form") == []
    assert "autofocus" in get.all("a", href="/payroll/2026-06/transmit?draft=1&x=2")[0].attributes


def test_a_problem_leads_to_enrolment_only_where_enrolment_helps() -> None:
    assert render("problem.html", problem=problem()).all("a", href="/stepup/factors")
    assert render("problem.html", problem=problem(enroll_url=None)).all("a") == []
    assert render("problem.html", problem=problem()).having("data-stepup-problem")


def test_the_factors_page_lists_each_factor_with_its_use() -> None:
    context = {"subject_name": "Ada", "factors_url": "/stepup/factors"}
    page = render("factors.html", signals=None, factors=[factor("f1"), factor("f2", used=False)], **context)
    items = page.having("data-stepup-factor")
    assert [item.attributes["data-stepup-factor"] for item in items] == ["f1", "f2"]
    assert "last used Nov 20, 2026" in items[0].text
    assert "not used yet" in items[1].text


def test_the_factors_page_tells_someone_without_a_factor_what_to_do() -> None:
    page = render("factors.html", signals=None, factors=[], subject_name="Ada", factors_url="/stepup/factors")
    assert "Add a passkey" in page.having("data-stepup-list")[0].text
    assert page.having("data-stepup-factor") == []


def script_of(name: str) -> str:
    return assets.bundled()[name].content.decode()


@pytest.mark.parametrize("script", assets.SCRIPTS)
def test_every_hook_that_a_script_looks_for_exists_in_a_template(script: str) -> None:
    source = script_of(script)
    hooks = set(re.findall(r"\b(?:one|part|find|inside|dialogOf|formOf)\(\"([a-z-]+)\"", source))
    hooks |= set(re.findall(r"\[data-stepup-([a-z-]+)\]", source)) - {"purpose"}  # the one that apps write
    hooks |= {re.sub("([A-Z])", r"-\1", name).lower() for name in re.findall(r"dataset\.stepup(\w+)", source)}
    hooks = {hook.removeprefix("-") for hook in hooks}
    assert len(hooks) > (1 if script == "batch.js" else 8)
    html = "\n".join(document.html for _, document in every())
    assert [hook for hook in sorted(hooks) if f"data-stepup-{hook}" not in html] == []


@pytest.mark.parametrize("script", assets.SCRIPTS)
def test_the_scripts_make_no_markup_of_strings_run_no_strings_and_store_nothing(script: str) -> None:  # C14
    source = script_of(script)
    stored = re.findall(r"Storage\.setItem\([^)]*\)", source)  # the mark that something was sent, and nothing of it
    assert set(stored) <= {'Storage.setItem(MARK,"1")'}
    source = re.sub(r"sessionStorage\.(?:setItem\(MARK,\"1\"\)|(?:get|remove)Item\(MARK\))", "", source)
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
        r"|Storage\b|document\.cookie|https?:"
    )
    assert re.findall(forbidden, source) == []


def test_htmx_is_the_pinned_release() -> None:
    content = (STATIC / "htmx.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"
    assert b"4.0.1" in content


def test_what_the_modal_loads_with_htmx_is_at_most_2_2_times_htmx_alone() -> None:
    fragment = render("modal.html", prompt=prompt("passkey", "hardware_key", "totp")).html.encode()
    parts = [assets.bundled()["stepup.js"].content, assets.bundled()["stepup.css"].content, fragment]
    htmx = len(gzip.compress((STATIC / "htmx.min.js").read_bytes(), 9))
    assert sum(len(gzip.compress(part, 9)) for part in parts) + htmx <= 2.2 * htmx


@pytest.mark.parametrize("name", ["stepup.css", "pages.css", "receipt.css"])
def test_a_stylesheet_is_served_as_it_is_written_but_for_comments_blanks_and_zeros(name: str) -> None:
    def essence(css: str) -> str:
        css = re.sub(r"\s*([{};,:>])\s*", r"\1", re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", css, flags=re.S))).strip()
        return re.sub(r"(?<![\d.])0\.", ".", css)

    served = assets.bundled()[name].content.decode()
    assert essence(served) == essence((STATIC / name).read_text())
    assert "/*" not in served and "  " not in served


def stylesheet(*names: str) -> str:
    texts = [(STATIC / name).read_text() for name in names or ("stepup.css", "pages.css")]
    return re.sub(r"/\*.*?\*/", "", "".join(texts), flags=re.S)


def test_no_rule_of_the_stylesheet_can_touch_a_host_page() -> None:
    css = stylesheet()
    selectors = [one.strip() for group in re.findall(r"([^{};]+)\{", css) for one in group.split(",")]
    keyframes = {"from", "to"}
    rules = [one for one in selectors if not one.startswith("@") and one not in keyframes]
    assert len(rules) > 40
    assert [one for one in rules if not one.startswith(".stepup-")] == []
    assert re.findall(r"url\(|@import|@font-face", css) == []
    assert [name for name in re.findall(r"--([a-z-]+)\s*:", css) if not name.startswith("stepup-")] == []


def test_the_stylesheet_and_the_templates_use_the_same_classes() -> None:
    used = {
        name
        for _, document in every()
        for element in document.having("class")
        for name in (element.attributes["class"] or "").split()
    }
    scripts = "".join(map(script_of, assets.SCRIPTS))
    used |= {name for names in re.findall(r'"(stepup-[a-z -]+)"', scripts) for name in names.split()}
    styled = set(re.findall(r"\.(stepup-[a-z-]+)", stylesheet()))
    assert {name for name in used if not name.startswith("stepup-")} == set()
    flat = {name for names in used for name in names.split()}
    assert styled - flat == set()


def luminance(colour: str) -> float:
    """Compute the relative luminance of ``#rrggbb`` (WCAG 2.2, relative luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_meet_the_contrast_of_wcag_aa_in_both_schemes(scheme: str) -> None:  # WCAG 2.2 1.4.3, 1.4.11
    colours: dict[str, str] = {}
    for name in ("stepup.css", "pages.css"):
        light, dark = stylesheet(name).split("@media (prefers-color-scheme: dark)", 1)
        colours |= re.findall(r"--stepup-([a-z-]+):\s*(#[0-9a-f]{6})", light if scheme == "light" else dark)
    assert len(colours) == 14
    grounds = ["surface", "sunken", "ground", "danger-ground", "note-ground"]
    text = [("text", ground) for ground in grounds]
    text += [("muted", "surface"), ("muted", "sunken"), ("danger", "surface"), ("primary", "danger-ground")]
    text += [("on-primary", "primary"), ("on-primary", "primary-hover"), ("danger", "sunken")]
    controls = [
        ("control", "surface"),
        ("primary", "surface"),
        ("danger", "danger-ground"),
        ("note-line", "note-ground"),
    ]
    assert [pair for pair in text if contrast(colours[pair[0]], colours[pair[1]]) < 4.5] == []
    assert [pair for pair in controls if contrast(colours[pair[0]], colours[pair[1]]) < 3] == []
