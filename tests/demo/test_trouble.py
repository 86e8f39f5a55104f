"""What is asked for that cannot be, and what breaks: each is a sentence, and nothing says more than is known."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html import unescape
from pathlib import Path

import pytest
from starlette.routing import Route

from demo_app import app as demo
from demo_app.settings import Settings
from stepup_middleware import PLATFORM_PURPOSES, Deprecation
from stepup_middleware.languages import library_languages
from stepup_middleware.testing import FixedClock

from .conftest import SignedIn
from .support import ORIGIN, PAGES, Person, running

POLICY = "/settings/step-up-policy"
ODD = (
    "9" * 5000,
    *(str(number) for number in (-1, 0, 2**63 - 1, 2**63, 2**64, 10**30)),
    *("1e400", "NaN", "%00", "%FF", "%D9%A3", "%EF%BC%99", "0001-01-01T00:00%2B23:59", "9999-12-31T23:59-23:59"),
)
NAMES = ("before", "after", "event", "purpose", "person", "outcome", "since", "until", "prompt", "severity", "factor")
STREAMS = ("/security/events", "/security/waiting")  # their answers have no end
HTML = {"accept": "text/html"}


def asked(odd: str) -> Iterator[tuple[str, str]]:
    """Yield the routes of the demo, with something odd wherever a value stands in the address."""
    for area in demo._AREAS:
        for route in area.routes:
            assert isinstance(route, Route)
            path = re.sub(r"\{[^}]*\}", odd, route.path)
            for method in sorted(route.methods or ()):
                if path != route.path:
                    yield method, path
                elif method == "GET" and path not in STREAMS:
                    yield from ((method, f"{path}?{name}={odd}") for name in (*NAMES, "format", "next"))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:30])
@pytest.mark.sweep(one_in=3)
async def test_no_value_in_an_address_breaks_a_page(odd: str, signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    for method, url in asked(odd):
        answer = await owner.http.request(method, url, headers=HTML)  # an exception of the app would come out here
        assert answer.status_code < 500, (method, url)


def broken(database: Path, statement: str) -> None:
    connection = sqlite3.connect(database)
    try:
        with connection:
            connection.execute(statement)
    finally:
        connection.close()


def bearing(person: Person) -> Person:
    """A browser is sent the answer, and the server's log has the exception: that is not what these tests look at."""
    person.http._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
    return person


async def test_a_page_that_breaks_is_a_sentence_with_a_way_on(signed_in: SignedIn, settings: Settings) -> None:
    owner = bearing(await signed_in("owner"))
    broken(settings.database, "ALTER TABLE payroll_run RENAME TO gone")
    answer = await owner.page("/payroll")
    assert answer.status_code == 500
    assert "Something went wrong on our side. Try again in a moment." in answer.text
    assert "Go to the overview" in answer.text
    part = await owner.http.get("/payroll", headers={"hx-request": "true"})
    assert (part.status_code, "<html" in part.text) == (500, False)
    assert "Something went wrong" in part.text


async def test_what_every_page_needs_may_be_what_broke(signed_in: SignedIn, settings: Settings) -> None:
    owner = bearing(await signed_in("owner"))
    broken(settings.database, "ALTER TABLE account RENAME TO gone")
    answer = await owner.http.get("/", headers={**HTML, "accept-language": "de"})
    assert answer.status_code in (500, 503)
    assert answer.text.strip()


async def test_an_action_that_breaks_says_that_it_may_have_been_done(signed_in: SignedIn, settings: Settings) -> None:
    owner = bearing(await signed_in("owner", passkey=True))
    token = await owner.prove(await owner.ask("POST", "/developers/webhooks/W-1/rotate"))
    broken(settings.database, "ALTER TABLE activity RENAME TO gone")
    answer = await owner.http.post(
        "/developers/webhooks/W-1/rotate", headers={"stepup-token": token, "accept": "application/json"}
    )
    assert answer.status_code == 500
    assert answer.json()["detail"].endswith("It may have been done: look before you try again.")


async def test_records_that_cannot_be_read_are_said_to_be_so(signed_in: SignedIn, settings: Settings) -> None:
    owner = bearing(await signed_in("owner"))
    broken(settings.step_up_database, "ALTER TABLE audit RENAME TO gone")
    answer = await owner.page("/audit")
    assert answer.status_code == 503
    assert "The step-up records cannot be read right now." in answer.text


async def test_the_policy_page_tells_when_a_purpose_ends_and_what_comes_after(
    settings: Settings, clock: FixedClock
) -> None:
    notice = Deprecation(on=date(2027, 3, 31), text="Certificates are issued by themselves from then on.")
    purposes = [*PLATFORM_PURPOSES[:-1], replace(PLATFORM_PURPOSES[-1], deprecated=notice)]
    app = demo.create_app(settings, clock=clock, purposes=purposes)
    async with running(app):
        person = Person(app, clock)
        await person.sign_in("analyst")
        html = unescape((await person.page(POLICY)).text)
        assert html.count("This purpose ends on ") == 1
        item = html[html.index('<h2 id="branding_domain_cname-title"') :].partition("</li>")[0]
        assert "This purpose ends on Mar 31, 2027. Certificates are issued by themselves from then on." in item
        await person.http.aclose()


@pytest.mark.parametrize("tag", ["de", "ar", "ja"])
async def test_why_a_policy_is_not_saved_is_said_in_the_admins_language(tag: str, signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    texts = library_languages().texts(tag)
    answer = await owner.http.post(
        POLICY, data={"payroll_ach_transmit": "any"}, headers={**HTML, "accept-language": tag, "origin": ORIGIN}
    )
    assert answer.status_code == 422
    html = unescape(answer.text)
    assert texts("Payroll ACH transmit") + ": " in html.replace("\N{FULLWIDTH COLON}", ": ")
    assert "the platform minimum is" not in html


EMPTY = {  # the page, the tables behind its lists, and what it says when they have no row
    "/": (("activity",), ["Nothing yet."]),
    "/payroll": (("payment", "payroll_run"), ["There are no payroll runs."]),
    "/equity": (("equity_grant",), ["There are no grants."]),
    "/year-end": (("year_end_slip", "year_end_form"), ["There are no forms for this year."]),
    "/privacy": (("hold", "erasure"), ["Nobody has asked for an erasure."]),
    "/developers": (
        ("webhook", "access_token", "scim_token"),
        ["No webhook is subscribed.", "Nobody has made a token.", "No SCIM token is active"],
    ),
    "/agents": (("access_token",), ["You have no access token."]),
    "/identity": (("saml_provider", "network_range"), ["There is no SAML provider.", "No network is listed."]),
    "/domains": (("domain", "branding"), ["No hostname is verified.", "No subdomain is prepared."]),
    "/exports": (("data_export",), ["No export is prepared."]),
    "/settings/security": ((), ["You have no factor yet"]),
    "/mailbox": (("message",), ["No messages."]),
    "/audit": (("audit_export",), ["The log is empty.", "No export yet."]),
    "/security": ((), ["No alert in the last thirty days.", "Nothing has happened yet."]),
    "/stepup/factors": ((), ["You have no factor yet"]),
}


@pytest.mark.parametrize("path", EMPTY)
async def test_every_list_says_that_it_is_empty(path: str, signed_in: SignedIn, settings: Settings) -> None:
    owner = await signed_in("owner")
    tables, sentences = EMPTY[path]
    for table in tables:
        broken(settings.database, f"DELETE FROM {table}")  # noqa: S608 - a name of ours
    html = unescape((await owner.page(path)).text)
    assert [sentence for sentence in sentences if sentence not in html] == []
    assert html.count("<ol></ol>") + html.count("<ul></ul>") == 0


def test_each_page_with_a_list_is_among_them() -> None:
    assert {*EMPTY} >= {*PAGES} - {"/guide", "/settings/step-up-policy"}
