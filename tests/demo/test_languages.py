"""The demo in its languages: chosen by the browser or by the person, and the modal speaks the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_app.areas.payroll import payroll_total
from demo_app.languages import Cents, kept, money, said_in, saying, unpacked
from demo_app.pages import apart
from stepup_middleware.core.visible import visible
from stepup_middleware.languages import Text, library_languages

from .conftest import SignedIn

LANGUAGES = library_languages()
TRANSMIT = "/payroll/runs/2026-06/transmit"


async def test_a_page_is_in_the_language_that_the_browser_accepts(signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    owner.http.headers["accept-language"] = "ar-EG, en;q=0.3"
    html = (await owner.page("/payroll")).text
    assert '<html lang="ar" dir="rtl">' in html
    assert "<h1>الرواتب</h1>" in html


async def test_the_language_that_a_person_chooses_stands_above_the_browsers_and_outlasts_the_session(
    signed_in: SignedIn,
) -> None:
    owner = await signed_in("owner", passkey=True)
    owner.http.headers["accept-language"] = "fr"
    changed = await owner.http.post("/language", data={"language": "de", "next": "/payroll"})
    assert (changed.status_code, changed.headers["location"]) == (303, "/payroll")
    assert "<h1>Gehälter</h1>" in (await owner.page("/payroll")).text
    asked = await owner.ask("POST", TRANSMIT)
    assert asked["purpose"]["authorize_title"] == "ACH-Übermittlung der Gehaltszahlung freigeben"
    assert ["Summe", "412.908,77 USD"] in asked["details"]
    done = await owner.act("POST", TRANSMIT, headers={"hx-request": "true"})
    assert "Gehaltslauf 2026-06 übermittelt." in done.text
    await owner.http.post("/sign-out")
    assert '<html lang="de"' in (await owner.page("/sign-in")).text


async def test_what_was_done_in_one_language_is_read_in_another(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    owner.http.headers["accept-language"] = "ja"
    await owner.act("POST", TRANSMIT)
    owner.http.headers["accept-language"] = "it"
    assert "Stipendi 2026-06 trasmessi. Accrediti: 214, 412.908,77" in (await owner.page("/")).text


async def test_a_sentence_that_begins_with_a_latin_name_is_laid_out_from_right_to_left_in_arabic(
    signed_in: SignedIn,
) -> None:
    owner = await signed_in("owner", passkey=True)
    owner.http.headers["accept-language"] = "ar"
    modal = (await owner.http.post(TRANSMIT, headers={"hx-request": "true", "accept": "text/html"})).text
    assert re.search(r'<dd dir="rtl" translate="no">[A-Z][^<]*التوجيه', modal)
    assert re.search(r'<dd dir="auto" translate="no">2026-06</dd>', modal)


@pytest.mark.parametrize("wanted", ["", "xx", "../de", "d" * 4000])
async def test_a_language_that_is_not_there_changes_nothing(wanted: str, signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    changed = await owner.http.post("/language", data={"language": wanted, "next": "//elsewhere.example"})
    assert changed.headers["location"] == "/"
    assert '<html lang="en"' in (await owner.page("/")).text


@pytest.mark.parametrize("tag", LANGUAGES.tags)
def test_amounts_have_nothing_that_cannot_be_seen(tag: str) -> None:
    texts = LANGUAGES.texts(tag)
    amount = money(texts, 41_290_877)
    assert "".join(each for each in amount if each.isdigit()) == "41290877"
    assert "USD" in amount
    assert visible(amount) == amount
    assert not {char for char in amount if char.isspace()} - {" "}


_NUMBERS = st.integers(-(2**63), 2**63 - 1)  # what a table holds
_VALUES = st.one_of(st.text(), _NUMBERS, _NUMBERS.map(Cents))


@given(_VALUES, _VALUES)
def test_a_kept_sentence_is_the_same_when_it_is_read(value: str | int, inner: str | int) -> None:
    sentence = saying("%(a)s and %(b)s", a=value, b=saying("%(c)s", c=inner))
    texts = LANGUAGES.texts("en")
    again = unpacked(kept(sentence))
    assert isinstance(again, Text)
    assert said_in(texts, again) == said_in(texts, sentence)


def test_the_total_of_several_runs_is_the_sum_of_what_is_shown_in_every_language() -> None:
    assert len(LANGUAGES.tags) > 10
    for tag in LANGUAGES.tags:
        texts = LANGUAGES.texts(tag)
        shown = [[("", ""), ("", ""), ("T", money(texts, cents))] for cents in (41_290_877, 9_120_450, 7)]
        assert payroll_total(LANGUAGES, shown, tag) == ("T", money(texts, 50_411_334)), tag


def test_in_a_sentence_from_right_to_left_a_name_does_not_draw_the_time_along() -> None:
    assert apart(LANGUAGES.texts("ar"), "<Owner>") == "<bdi>&lt;Owner&gt;</bdi>"
    assert apart(LANGUAGES.texts("de"), "Owner") == "Owner"
