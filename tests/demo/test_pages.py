"""The pages as each account meets them: policy, audit log, console, guide, and what every answer carries."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from html import unescape
from itertools import pairwise

import pytest
from starlette.types import ASGIApp, Message

from demo_app.accounts import WORKSPACE
from demo_app.app import create_app
from demo_app.areas import console
from demo_app.axis import ADMINS_ONLY
from demo_app.event_counters import FAILURES
from demo_app.guide_pages import guide
from demo_app.protection import CONTENT_SECURITY_POLICY
from demo_app.settings import Settings
from stepup_middleware import PLATFORM_PURPOSES, AuditEvent, EventName
from stepup_middleware.service.following import Follower
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import FixedClock
from stepup_middleware.testing.contract.values import MACS

from .conftest import SignedIn
from .support import PAGES, Person, running

FOR_ADMINS = {"/audit", "/security"}
END = "(the answer has ended)"
POLICY = "/settings/step-up-policy"
ROTATE = "/developers/webhooks/W-1/rotate"
STRICT = {purpose.id: "phishing_resistant" for purpose in PLATFORM_PURPOSES}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("account", ["owner", "cosigner", "analyst"])
@pytest.mark.sweep()
async def test_a_page_is_drawn_for_each_account(path: str, account: str, signed_in: SignedIn) -> None:
    person = await signed_in(account)
    answer = await person.page(path)
    assert answer.status_code == (403 if path in FOR_ADMINS and account != "owner" else 200)
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("<h1") == 1
    assert "{{" not in answer.text
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\bsrc=)", answer.text), "nothing inline"
    assert "/stepup/static/" in answer.text
    if path != "/" and answer.status_code == 200:
        assert f'<a href="{path}" aria-current="page"' in answer.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_asks_a_stranger_to_sign_in(path: str, app: ASGIApp, clock: FixedClock) -> None:
    stranger = Person(app, clock)
    answer = await stranger.page(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")
    await stranger.http.aclose()


async def test_an_unknown_page_is_explained_and_carries_the_headers(signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    answer = await owner.page("/no-such-page")
    assert answer.status_code == 404
    assert "Go to the overview" in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


async def test_the_icon_is_found_where_browsers_look_for_it(signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    assert (await owner.page("/favicon.ico")).headers["content-type"] == "image/svg+xml"


# the step-up policy


async def test_the_policy_page_lists_the_purposes_in_order_with_what_each_is_for(signed_in: SignedIn) -> None:
    html = (await (await signed_in("owner")).page(POLICY)).text
    assert re.findall(r'<select id="(\w+)" name="\1"(?! translate)', html) == [
        purpose.id for purpose in PLATFORM_PURPOSES
    ]
    for purpose in PLATFORM_PURPOSES:
        item = html[html.index(f'<h2 id="{purpose.id}-title"') :].partition("</li>")[0]
        item = unescape(item)
        assert purpose.title in item
        assert purpose.description in item
        assert f"token lives {int(purpose.ttl.total_seconds())} s" in item
        weaker = re.search(r'<option value="any"([^>]*)>', item)
        assert weaker
        assert ("disabled" in weaker.group(1)) == (purpose.minimum == "phishing_resistant")
    assert html.count("IP-bound · single use · replay protected") == 16
    assert html.count(">Save</button>") == 1


async def test_an_admin_tightens_and_loosens_and_the_next_prompt_follows(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    assert (await owner.ask("POST", ROTATE))["requirement"] == "any"
    saved = await owner.http.post(POLICY, data=STRICT)
    assert saved.status_code == 303
    assert "Saved. Purposes changed: 8." in (await owner.page(POLICY)).text
    assert (await owner.ask("POST", ROTATE))["requirement"] == "phishing_resistant"
    asked = await owner.ask("POST", POLICY, data={"webhook_secret_rotation": "any"})
    assert asked["details"] == [["Webhook secret rotation", "from phishing-resistant only to any factor"]]
    assert (await owner.ask("POST", ROTATE))["requirement"] == "phishing_resistant"
    assert (await owner.act("POST", POLICY, data={"webhook_secret_rotation": "any"})).status_code == 303
    assert (await owner.ask("POST", ROTATE))["requirement"] == "any"
    assert "POLICY_CHANGED" in (await owner.page("/audit")).text


@pytest.mark.parametrize("account", ["cosigner", "analyst"])
async def test_others_read_the_policy_and_cannot_write_it(account: str, signed_in: SignedIn) -> None:
    person = await signed_in(account)
    html = (await person.page(POLICY)).text
    assert ">Save</button>" not in html
    assert len(re.findall(r"<select [^>]*disabled", html)) == 16
    forged = await person.http.post(POLICY, data=STRICT)
    assert forged.status_code == 403
    assert "Only an admin" in forged.text
    assert (await person.http.post(POLICY)).status_code == 403
    owner = await signed_in("owner", passkey=True)
    assert "not_an_admin" in (await owner.page("/audit?event=ACCOUNT_STEPUP_BLOCKED")).text
    assert (await owner.ask("POST", ROTATE))["requirement"] == "any"


@pytest.mark.parametrize(
    ("forged", "says"),
    [
        ({"payroll_ach_transmit": "any"}, "the platform minimum is a phishing-resistant factor"),
        ({"payroll_ach_transmit": "none"}, "choose &#39;any&#39; or &#39;phishing_resistant&#39;"),
        ({"time_travel": "any"}, "There is no such purpose"),
    ],
)
async def test_a_forged_write_is_refused_with_its_reason_and_nothing_of_it_is_saved(
    forged: dict[str, str], says: str, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    answer = await owner.http.post(POLICY, data={**STRICT, **forged})
    assert answer.status_code == 422
    assert says in answer.text
    assert "Nothing was saved" in answer.text
    assert (await owner.ask("POST", ROTATE))["requirement"] == "any"
    assert "policy_write_refused" in (await owner.page("/audit?event=ACCOUNT_STEPUP_BLOCKED")).text


# the audit log


async def test_the_log_shows_the_newest_first_and_filters(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    await owner.act("POST", ROTATE)
    await owner.act("PUT", "/identity/attestation/direct")
    html = (await owner.page("/audit")).text
    assert html.index("Attestation policy tighten</td>") < html.index("Webhook secret rotation</td>")
    filtered = (await owner.page("/audit?event=ACTION_AUTHORIZED&purpose=webhook_secret_rotation&person=owner")).text
    assert re.findall(r'<span class="event" translate="no">(\w+)<', filtered) == ["ACTION_AUTHORIZED"]
    for nothing in ("person=analyst", "since=2027-01-01T00:00", "until=2026-01-01T00:00", "outcome=failure"):
        assert "No event meets these filters." in (await owner.page(f"/audit?{nothing}")).text


async def test_older_events_are_pages_away_and_none_is_missed_or_shown_twice(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    for _ in range(14):
        await owner.act("POST", ROTATE)
    seen: list[str] = []
    path = "/audit"
    while path:
        html = (await owner.page(path)).text
        seen += re.findall(r'class="unseen"> \((\d+)\)', html)
        older = re.search(r'href="(/audit\?[^"]*before=\d+)">Older', html)
        path = older.group(1).replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) > 50
    assert seen == sorted(seen, key=int, reverse=True)


@pytest.mark.parametrize("query", ["since=soon", "event=NOTHING", "outcome=maybe", "before=x"])
async def test_a_filter_that_means_nothing_is_explained(query: str, signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    answer = await owner.page(f"/audit?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


async def test_a_step_up_is_shown_from_the_prompt_to_the_end_of_the_action(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    prompt = await owner.ask("POST", "/payroll/runs/2026-06/transmit")
    token = await owner.prove(prompt)
    await owner.http.post("/payroll/runs/2026-06/transmit", headers={"stepup-token": token})
    path = f"/audit/prompts/{prompt['prompt']['id']}"
    html = await owner.page_with(path, "ACTION_COMPLETED")  # it is written after the answer
    assert re.findall(r'<h3 translate="no">([A-Z_]+)</h3>', html.replace("<wbr>", "")) == [
        "ACCOUNT_STEPUP_CHALLENGE_REQUESTED",
        "ACCOUNT_STEPUP_VERIFIED",
        "ACTION_AUTHORIZED",
        "ACTION_COMPLETED",
    ]
    signed = ("Authorize payroll ACH transmit", "Real money moves", "The words that were shown and signed")
    for fact in ("POST /payroll/runs/2026-06/transmit", "USD 412,908.77", "192.0.2.10", "Passkey", "Evidence", *signed):
        assert fact in html
    assert "Acting for them" not in html  # nobody is


async def test_a_step_up_that_the_log_does_not_have_is_not_found(signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    assert (await owner.page("/audit/prompts/unknown")).status_code == 404


async def test_what_a_browser_calls_itself_is_text_on_every_page(signed_in: SignedIn) -> None:
    owner = await signed_in("owner", passkey=True)
    owner.http.headers["user-agent"] = '<img src=x onerror="alert(1)">'
    prompt = await owner.ask("POST", ROTATE)
    html = (await owner.page(f"/audit/prompts/{prompt['prompt']['id']}")).text
    assert "&lt;img src=x" in html
    assert "<img src=x" not in html


# the security console


@asynccontextmanager
async def event_stream(person: Person, app: ASGIApp, path: str) -> AsyncIterator[asyncio.Queue[str]]:
    """Open an event stream against the app itself and collect what it sends."""
    parts: asyncio.Queue[str] = asyncio.Queue()
    request = person.http.build_request("GET", path)
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await parts.put(message.get("body", b"").decode())
            if not message.get("more_body"):
                await parts.put(END)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "root_path": "",
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("192.0.2.10", 40000),
        "server": ("localhost", 8000),
        "state": {},
    }
    task = asyncio.ensure_future(app(scope, receive, send))
    try:
        yield parts
    finally:
        gone.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(parts: asyncio.Queue[str], wanted: str) -> str:
    async with asyncio.timeout(10):
        while wanted not in (part := await parts.get()):
            pass
    return part


async def replay(person: Person) -> None:
    token = await person.prove(await person.ask("POST", ROTATE))
    assert (await person.http.post(ROTATE, headers={"stepup-token": token})).status_code == 200
    again = {"stepup-token": token, "user-agent": "Stolen browser"}
    assert (await person.http.post(ROTATE, headers=again)).status_code == 403


async def test_the_console_hears_of_a_replay_without_a_reload(signed_in: SignedIn, app: ASGIApp) -> None:
    owner = await signed_in("owner", passkey=True)
    async with event_stream(owner, app, "/security/events") as parts:
        await until(parts, ": open")
        await replay(owner)
        part = await until(parts, "ACCOUNT_STEPUP_REUSED")
    assert re.match(r"id: \d+\nevent: critical\ndata: ", part)
    assert part.endswith("\n\n")


async def test_the_stream_goes_on_after_the_last_event_that_was_heard(signed_in: SignedIn, app: ASGIApp) -> None:
    owner = await signed_in("owner", passkey=True)
    await owner.act("POST", ROTATE)
    async with event_stream(owner, app, "/security/events?after=0") as parts:
        first = await until(parts, "id: ")
    assert first.startswith("id: 1\n")


async def test_the_stream_ends_when_the_server_is_about_to_stop(settings: Settings, clock: FixedClock) -> None:
    stopping = asyncio.Event()
    app = create_app(settings, clock=clock, stopping=stopping)
    async with running(app):
        owner = Person(app, clock)
        await owner.sign_in("owner")
        async with event_stream(owner, app, "/security/events") as parts:
            await until(parts, ": open")
            stopping.set()
            await until(parts, END)
        await owner.http.aclose()


async def test_both_presentations_of_a_replayed_token_stand_side_by_side_and_a_person_acknowledges(
    signed_in: SignedIn,
) -> None:
    owner = await signed_in("owner", passkey=True)
    await replay(owner)
    html = (await owner.page("/security")).text
    pair = html[html.index("First presentation") : html.index("The whole step-up")]
    assert pair.index("Test browser") < pair.index("Second presentation") < pair.index("Stolen browser")
    assert "Critical" in html
    seq = re.search(r"hx-post=\"/security/alerts/(\d+)/acknowledge", html)
    assert seq
    answer = await owner.http.post(f"/security/alerts/{seq.group(1)}/acknowledge", headers={"hx-request": "true"})
    assert "Acknowledged Nov 24, 2026, 12:00 PM UTC by Owner" in answer.text
    assert "by Owner" in (await owner.page("/security")).text


@pytest.mark.parametrize("account", ["cosigner", "analyst"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/audit"),
        ("GET", "/audit?event=ACTION_AUTHORIZED&before=nothing"),
        ("GET", "/audit/prompts/{prompt}"),
        ("GET", "/audit/prompts/unknown"),
        ("GET", "/audit/exports"),
        ("GET", "/audit/export?format=csv"),
        ("GET", "/audit/export?format=pdf"),
        ("GET", "/security"),
        ("GET", "/security/panel"),
        ("GET", "/security/events?after=0"),
        ("POST", "/security/alerts/{seq}/acknowledge"),
        ("POST", "/security/alerts/999/acknowledge"),
        ("GET", "/security/waiting"),
        ("POST", "/security/revoke-all"),
        ("POST", "/security/people/owner/end-sessions"),
    ],
)
@pytest.mark.sweep()
async def test_what_is_for_admins_tells_others_one_sentence_and_nothing_else(
    signed_in: SignedIn, method: str, path: str, account: str
) -> None:
    owner = await signed_in("owner", passkey=True)
    await replay(owner)
    html = (await owner.page("/security")).text
    (seq,) = re.findall(r"hx-post=\"/security/alerts/(\d+)/acknowledge", html)
    prompt = re.findall(r"/audit/prompts/([\w-]+)", html)[0]
    url = path.format(seq=seq, prompt=prompt)
    other = await signed_in(account, ip="192.0.2.11")
    await other.enrol_passkey()
    kinds = (
        {"accept": "text/html", "sec-fetch-mode": "navigate"},
        {"accept": "application/json"},
        {"hx-request": "true"},
    )
    for headers in kinds:
        answer = await other.http.request(method, url, headers=headers)
        assert answer.status_code == 403, answer.text
        assert ADMINS_ONLY in answer.text
        assert "stepup-prompt" not in answer.headers
        assert prompt not in answer.text and "Stolen browser" not in answer.text
    assert f"/security/alerts/{seq}/acknowledge" in (await owner.page("/security")).text, "nobody has acknowledged it"


@pytest.mark.parametrize("account", ["cosigner", "analyst"])
async def test_others_are_shown_no_way_to_what_is_for_admins_but_to_their_own_receipts(
    signed_in: SignedIn, account: str
) -> None:
    owner = await signed_in("owner", passkey=True)
    await owner.act("POST", ROTATE)
    other = await signed_in(account, ip="192.0.2.11")
    await other.enrol_passkey()
    before = (await other.page("/")).text
    assert not re.findall(r'href="(/audit|/security|/stepup/receipts)', before)
    await other.act("POST", ROTATE)
    (receipt,) = set(re.findall(r'href="(/stepup/receipts/[\w-]+)"', (await other.page("/")).text))
    assert (await other.page(receipt)).status_code == 200
    assert re.findall(r'href="/audit"', (await owner.page("/")).text)


async def test_one_person_has_the_console_open_in_a_bounded_number_of_places(signed_in: SignedIn, app: ASGIApp) -> None:
    owner = await signed_in("owner")
    async with AsyncExitStack() as stack:
        for _ in range(8):
            parts = await stack.enter_async_context(event_stream(owner, app, "/security/events"))
            await until(parts, ": open")
        refused = await owner.http.get("/security/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert "Close one of them" in refused.json()["detail"]
    async with event_stream(owner, app, "/security/events") as parts:
        await until(parts, ": open")


async def test_who_clicks_from_page_to_page_leaves_no_place_taken(signed_in: SignedIn, app: ASGIApp) -> None:
    def followers() -> list[Follower]:
        return [each for each in gc.get_objects() if type(each) is Follower]  # isinstance wakes lazy objects of others

    owner, others, kept = await signed_in("owner"), followers(), []
    for _ in range(12):  # more pages than one person may have open at once, one after another
        async with event_stream(owner, app, "/security/waiting") as parts:
            await until(parts, ": open")
            kept += followers()  # as a traceback does
    assert len({id(each) for each in kept} - {id(each) for each in others}) == 12


async def test_a_client_that_takes_no_events_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_SLOW_SECONDS", 0.05)
    ended = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        try:
            yield "data: x\n\n"
        finally:
            ended.set()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # the buffers are full, and nobody empties them

    async def receive() -> Message:
        await asyncio.Event().wait()  # and it stays
        raise AssertionError

    left = asyncio.Event()

    async def leave() -> None:
        left.set()

    async with asyncio.timeout(10):
        await console.EventStream(parts(), leave)({"type": "http"}, receive, send)
    assert ended.is_set() and left.is_set()


async def test_who_has_gone_before_the_first_event_leaves_the_place_free() -> None:
    left = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "data: x\n\n"

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        await asyncio.sleep(0)

    async def leave() -> None:
        left.set()

    await console.EventStream(parts(), leave)({"type": "http"}, receive, send)
    assert left.is_set()


async def test_only_an_alert_that_exists_is_acknowledged(signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    assert (await owner.http.post("/security/alerts/999/acknowledge")).status_code == 404


async def test_the_console_counts_the_last_day_and_forgets_the_day_before(
    signed_in: SignedIn, clock: FixedClock
) -> None:
    owner = await signed_in("owner", passkey=True)
    await owner.act("POST", ROTATE)
    assert '<li class="authorized"><strong>1</strong>' in (await owner.page("/security")).text
    clock.advance(25 * 3600)
    await owner.sign_in("owner")
    assert '<li class="authorized"><strong>0</strong>' in (await owner.page("/security")).text


async def test_many_failures_on_one_purpose_are_flagged(signed_in: SignedIn, clock: FixedClock) -> None:
    owner = await signed_in("owner", passkey=True)
    for _ in range(5):
        prompt = await owner.ask("POST", ROTATE)
        options = (await owner.http.post(f"{prompt['prompt']['url']}/webauthn/options", json={})).json()
        forged = owner.passkey.get(options, origin="http://localhost:8000", tamper_signature=True)
        assert (await owner.http.post(f"{prompt['prompt']['url']}/webauthn", json=forged)).status_code == 400
        clock.advance(60)
    html = re.sub(r"\s+", " ", (await owner.page("/security")).text)
    assert "A cluster of failures (5) on Webhook secret rotation, from" in html
    await owner.page("/security")
    assert '<li class="failed"><strong>5</strong>' in (await owner.page("/security")).text, "each is counted once"


async def test_more_failures_than_clusters_are_looked_for_among_are_counted_and_the_console_says_so(
    signed_in: SignedIn, settings: Settings, clock: FixedClock
) -> None:
    owner = await signed_in("owner")
    failure = AuditEvent(
        at=clock(), name=EventName.FAILED, workspace_id=WORKSPACE, subject_id="owner", purpose="holds_override"
    )
    limit = "Clusters are looked for among the newest failures only."
    async with SQLiteStore(settings.step_up_database, timeout=timedelta(seconds=30)).use(MACS) as store:
        await store.append([failure] * FAILURES)
        html = (await owner.page("/security")).text
        assert '<li class="failed"><strong>500</strong>' in html
        assert limit not in html
        await store.append([failure])
        html = (await owner.page("/security")).text
        assert '<li class="failed"><strong>501</strong>' in html
        assert limit in html


# the guide


async def test_the_first_page_of_the_guide_leads_to_every_other(signed_in: SignedIn) -> None:
    first = (await (await signed_in("analyst")).page("/guide")).text
    for page in guide().pages[1:]:
        assert first.count(f'href="{page.url}"') >= 2, "in the text and in the list beside it"


async def test_each_page_of_the_guide_leads_to_its_neighbours(signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    for before, after in pairwise(guide().pages):
        assert f'<a href="{after.url}" rel="next">' in (await owner.page(before.url)).text
        assert f'<a href="{before.url}" rel="prev">' in (await owner.page(after.url)).text
    assert (await owner.page("/guide/..%2Fschema")).status_code == 404
    assert (await owner.page("/guide/no-such-page")).status_code == 404


def test_html_in_a_page_of_the_guide_is_text() -> None:
    for page in guide().pages:
        assert "<script" not in page.body
    start = next(page for page in guide().pages if page.name == "start")
    assert "&lt;form" in start.body
