"""What a person reads when something cannot be shown or done: what is known of it, what to do, in their language."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import httpx2
import pytest

from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import ORIGIN, ROTATE, TRANSMIT, Browser, House, house_in

from .test_failures import locked

HTMX = {"hx-request": "true", "accept": "text/html"}
SIGN_IN = "/sign-in"


def text_of(answer: httpx2.Response) -> str:
    """Return what a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text.partition("<body")[2] or answer.text)).split())


def links(answer: httpx2.Response) -> list[str]:
    return [unescape(link) for link in re.findall(r'<a [^>]*href="([^"]*)"', answer.text)]


@asynccontextmanager
async def away(folder: Path) -> AsyncIterator[Browser]:
    """Serve an app whose store cannot be opened, to somebody who reads German and whose browser wants French."""
    house = House(folder / "missing", sign_in_url=SIGN_IN)
    subject = replace(house.sign_in("ada"), locale="de")
    house.sessions[subject.session_id] = subject
    yield Browser(house, subject)


# a factor is wanted


@pytest.mark.parametrize(
    ("url", "named"),
    [(ROTATE, "a passkey, a hardware key or an authenticator app"), (TRANSMIT, "a passkey or hardware key")],
)
async def test_who_has_no_factor_is_named_and_told_what_to_add_and_where(house: House, url: str, named: str) -> None:
    nobody = Browser(house, house.sign_in("nora"))
    told = f"Nora, you have no factor yet. Enrol {named} on the page of your factors, then click the action again."
    body = (await nobody.post(url)).json()
    assert (body["title"], body["detail"]) == ("A factor is needed", told)
    for answer in (await nobody.post(url, headers=HTMX), await nobody.navigate("POST", url)):
        assert answer.status_code == 403
        assert told in text_of(answer)
        assert any(link.startswith("/stepup/factors") for link in links(answer))
        assert "data-stepup-kind" not in answer.text and "stepup-code" not in answer.text  # nothing is offered
    assert house.total == 0


async def test_who_has_an_authenticator_app_alone_is_told_that_it_is_not_enough(tim: Browser) -> None:
    body = (await tim.post(TRANSMIT)).json()
    assert body["title"] == "A stronger factor is needed"
    assert body["detail"].startswith("Tim, your authenticator app is not enough for this action. Enrol a passkey")


async def test_a_way_to_confirm_that_the_person_does_not_have_is_not_said_to_be_no_factor_at_all(tim: Browser) -> None:
    prompt = await tim.prompt("POST", ROTATE)
    body = (await tim.options(prompt)).json()  # a key, where an authenticator app would do
    assert body["detail"].startswith("Tim, none of your factors can confirm this in that way.")
    assert "no factor" not in body["detail"]


async def test_a_name_is_shown_as_it_is(house: House) -> None:
    subject = replace(house.sign_in("nora"), name="Nora\N{RIGHT-TO-LEFT OVERRIDE}<b>")
    house.sessions[subject.session_id] = subject
    answer = await Browser(house, subject).post(TRANSMIT, headers=HTMX)
    assert "Nora\u2039U+202E\u203a&lt;b&gt;, you have no factor yet." in answer.text


async def test_who_is_asked_is_not_told_of_methods_that_do_not_count(tim: Browser) -> None:
    assert "passkey" not in (await tim.prompt("POST", ROTATE))["detail"]


# a page cannot be shown


async def test_a_page_that_cannot_be_shown_says_so_in_the_persons_language_and_offers_it_again(tmp_path: Path) -> None:
    async with away(tmp_path) as ada:
        for path in ("/stepup/factors?next=/payroll", "/stepup/people", "/stepup/approvals", "/stepup/receipts/x"):
            answer = await ada.navigate("GET", path, headers={"accept-language": "fr"})
            assert answer.status_code == 503
            assert "Diese Seite kann gerade nicht angezeigt werden" in text_of(answer)
            assert "nichts wurde geändert" in text_of(answer)
            assert path in links(answer)


async def test_an_action_is_refused_in_the_persons_language_while_the_store_is_away(tmp_path: Path) -> None:
    async with away(tmp_path) as ada:
        answer = await ada.navigate("GET", "/export", headers={"accept-language": "fr"})
        assert answer.status_code == 503
        assert "Die Aktion wurde nicht ausgeführt." in text_of(answer)
        assert "/export" in links(answer)


async def test_a_change_that_never_began_is_told_apart_from_one_of_which_nothing_is_known(tmp_path: Path) -> None:
    async with away(tmp_path) as ada:
        body = (await ada.send("PATCH", "/stepup/factors/x", json={"name": "x"})).json()
        assert body["detail"].startswith("Nichts wurde geändert.")
    store = SQLiteStore(tmp_path / "stepup.db", timeout=timedelta(seconds=0.3))
    async with house_in(tmp_path, store=store) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        [factor] = await house.stepup.factors.list(ada.subject)  # type: ignore[arg-type]
        with locked(house.path):
            renamed = await ada.send("PATCH", f"/stepup/factors/{factor.id}", json={"name": "x"})
            asked = await ada.post(ROTATE)
        assert (renamed.status_code, asked.status_code) == (503, 503)
        assert renamed.json()["title"] == "It is not known whether this was done"
        assert "it may have been done" in renamed.json()["detail"]
        assert "has not run" in asked.json()["detail"]


async def test_a_form_that_fails_leads_back_to_its_page(tmp_path: Path) -> None:
    async with away(tmp_path) as ada:
        referer = {"referer": f"{ORIGIN}/stepup/approve/KVTR-BCDM"}
        answer = await ada.navigate("POST", "/stepup/approve/KVTR-BCDM/deny", headers=referer)
        assert answer.status_code == 503
        assert "/stepup/approve/KVTR-BCDM" in links(answer)


@pytest.mark.parametrize(("path", "status"), [("/stepup/nothing", 404), ("/stepup/factors/totp/x/confirm", 405)])
async def test_an_address_without_a_page_says_so_to_a_person_and_little_to_a_program(
    house: House, path: str, status: int
) -> None:
    subject = replace(house.sign_in("ada"), locale="de")
    house.sessions[subject.session_id] = subject
    ada = Browser(house, subject)
    answer = await ada.navigate("GET", path)
    assert answer.status_code == status
    assert "Unter dieser Adresse gibt es keine Seite" in text_of(answer)
    assert (status == 405) == ("allow" in answer.headers)
    plain = await ada.send("GET", path)
    assert (plain.status_code, plain.text) == (status, "")


# a session has ended


@pytest.mark.parametrize(
    "path", ["/stepup/factors?next=%2Fpayroll", "/stepup/people?q=ada", "/stepup/approvals", "/stepup/receipts/x"]
)
async def test_a_session_that_has_ended_leads_to_the_sign_in_and_back_to_the_very_page(
    tmp_path: Path, path: str
) -> None:
    async with house_in(tmp_path, sign_in_url=SIGN_IN) as house:
        answer = await Browser(house, None).navigate("GET", path)
        assert answer.status_code == 401
        [link] = [link for link in links(answer) if link.startswith(SIGN_IN)]
        assert dict(httpx2.URL(link).params)["next"] == path


# the page of factors, after a reset


async def test_after_a_reset_the_page_of_factors_says_only_what_is_true_then(tmp_path: Path) -> None:
    async with house_in(tmp_path, sign_in_url=SIGN_IN) as house:
        ada = Browser(house, house.sign_in("ada"))
        page = text_of(await ada.navigate("GET", "/stepup/factors"))
        assert "Add a passkey: it takes half a minute and it is enough for all of them." in page
        await ada.enrol("passkey")
        await house.stepup.factors.reset("axis", "ada", by="test", reason="lost")
        until = house.stepup.languages.texts("en").moment(house.clock() + timedelta(hours=24))
        fresh = Browser(house, house.sign_in("ada"))
        page = text_of(await fresh.navigate("GET", "/stepup/factors"))
        assert f"are closed to you until {until}, whatever you add" in page
        assert f"and a passkey or hardware key those that matter most from {until} on" in page
        assert "it takes half a minute" not in page
        old = Browser(house, house.sign_in("ada", ago=3600))
        answer = await old.navigate("GET", "/stepup/factors")
        assert "needs a sign-in from the last ten minutes" in text_of(answer)
        assert "opens the other actions" not in text_of(answer)
        assert f"{SIGN_IN}?next=%2Fstepup%2Ffactors" in links(answer)
