"""XMLHttpRequest steps up within itself: listeners hear one request with one answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from .site import requester, small_site, until, use_passkey

RECORDER = """
async ([url, shape]) => {
    const heard = [];
    const xhr = new XMLHttpRequest();
    const state = () => `${xhr.readyState} ${xhr.status} ${xhr.statusText} ${xhr.getResponseHeader("X-Answer")}`;
    const hear = (where) => (event) => {
        const size = "loaded" in event && event.type !== "progress" ? ` ${event.loaded}/${event.total}` : "";
        heard.push(`${where}${event.type}${size} ${state()}`);
    };
    const types = ["loadstart", "progress", "load", "error", "abort", "timeout", "loadend"];
    for (const type of ["readystatechange", ...types]) {
        if (shape.handlers) xhr[`on${type}`] = hear("");
        else xhr.addEventListener(type, hear(""), shape.capture ?? false);
    }
    if (shape.upload) for (const type of types) xhr.upload.addEventListener(type, hear("upload "));
    const ended = new Promise((resolve) => xhr.addEventListener("loadend", resolve));
    xhr.open(shape.method ?? "POST", url);
    if (shape.responseType) xhr.responseType = shape.responseType;
    if (shape.mime) xhr.overrideMimeType(shape.mime);
    if (shape.credentials) xhr.withCredentials = true;
    if (shape.timeout) xhr.timeout = shape.timeout;
    for (const [name, value] of shape.headers ?? []) xhr.setRequestHeader(name, value);
    const bodies = {
        text: () => "a=1&b=2",
        json: () => '{"a": 1}',
        params: () => new URLSearchParams({ a: "1", b: "é" }),
        form: () => {
            const form = new FormData();
            form.append("a", "1");
            form.append("f", new Blob(["file"]), "f.txt");
            return form;
        },
        blob: () => new Blob(["blob"], { type: "text/x-blob" }),
        buffer: () => new Uint8Array([1, 2, 3]).buffer,
        view: () => new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4),
        document: () => new DOMParser().parseFromString("<p>é</p>", "text/html"),
        large: () => "x".repeat(300000),
        none: () => undefined,
    };
    const body = bodies[shape.body ?? "none"]();
    xhr.send(body);
    heard.push(`sent ${state()}`);
    if (body instanceof FormData) body.append("later", "1");
    if (body instanceof Document) body.body.append("later");
    if (body instanceof ArrayBuffer) new Uint8Array(body)[0] = 7;
    await ended;
    const value = xhr.response instanceof Blob ? await xhr.response.text()
        : xhr.response instanceof ArrayBuffer ? [...new Uint8Array(xhr.response)]
        : xhr.response instanceof Document ? xhr.response.documentElement?.outerHTML ?? "" : xhr.response;
    // how often a large answer tells its progress depends on the network alone
    const often = /^(upload )?progress|^readystatechange 3/;
    const kind = (each) => each.match(often)?.[0];
    const isFirst = (each, at) => heard.findIndex((other) => kind(other) === kind(each)) === at;
    const once = heard.filter((each, at) => !kind(each) || isFirst(each, at));
    return { heard: once, value, url: new URL(xhr.responseURL).pathname, type: xhr.responseType, at: xhr.readyState };
}
"""
SHAPES: dict[str, dict[str, Any]] = {
    "listeners": {},
    "handlers": {"handlers": True},
    "capturing listeners": {"capture": True},
    "GET": {"method": "GET"},
    "PUT": {"method": "PUT", "body": "text"},
    "DELETE": {"method": "DELETE"},
    "text": {"body": "text"},
    "text with a type": {"body": "text", "headers": [["Content-Type", "application/x-www-form-urlencoded"]]},
    "json": {"body": "json", "headers": [["Content-Type", "application/json"], ["Accept", "application/json"]]},
    "parameters": {"body": "params"},
    "form": {"body": "form"},
    "form with upload": {"body": "form", "upload": True},
    "blob": {"body": "blob"},
    "blob with upload": {"body": "blob", "upload": True},
    "buffer": {"body": "buffer"},
    "view": {"body": "view"},
    "document": {"body": "document"},
    "large with upload": {"body": "large", "upload": True},
    "large": {"body": "large"},
    "responseType text": {"responseType": "text"},
    "responseType json": {"responseType": "json"},
    "responseType blob": {"responseType": "blob"},
    "responseType arraybuffer": {"responseType": "arraybuffer"},
    "responseType document": {"responseType": "document", "mime": "text/html"},
    "another mime type": {"mime": "text/plain; charset=x-user-defined"},
    "with credentials": {"credentials": True},
    "with a timeout": {"timeout": 30_000},
    "doubled headers": {"headers": [["X-One", "a"], ["X-One", "b"], ["X-Two", "c"]]},
    "handlers with upload and json": {"handlers": True, "upload": True, "body": "json", "responseType": "json"},
    "accepting HTML": {"headers": [["Accept", "text/html"]]},
    "as htmx asks": {"headers": [["HX-Request", "true"]]},
}


async def record(page: Page, path: str, shape: dict[str, Any], *, prove: bool) -> Any:
    """Run the recorder; the person proves where they are asked."""
    await page.evaluate(f"(input) => {{ window.recorded = ({RECORDER})(input); }}", [path, shape])
    if prove:
        await use_passkey(page)
    return await page.evaluate("window.recorded")


async def test_its_events_and_their_order_are_those_of_a_plain_request(browser: Browser, tmp_path: Path) -> None:
    assert len(SHAPES) >= 30
    different = {}
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        for name, shape in SHAPES.items():
            plain = await record(page, "/plain?type=application/json", {**shape}, prove=False)
            before = len(site.ran)
            asked = await record(page, "/stepped", shape, prove=True)
            assert len(site.ran) == before + 1, name
            plain_run, asked_run = site.ran[before - 1], site.ran[before]
            assert (asked_run[0], len(asked_run[3])) == (plain_run[0], len(plain_run[3])), name
            if shape.get("body") != "form":  # each has a boundary of its own
                assert asked_run[2:] == plain_run[2:], name
            asked["url"] = plain["url"]
            if shape.get("body") == "form":
                asked["value"] = plain["value"]
            if asked != plain:
                different[name] = (plain, asked)
    assert different == {}, json.dumps(different)[:4000]


async def test_the_persons_time_does_not_count_against_a_timeout(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.evaluate(
            """() => { window.ended = new Promise((resolve) => {
                const xhr = new XMLHttpRequest();
                xhr.open("POST", "/act");
                xhr.timeout = 4000;
                const types = ["load", "timeout", "error", "abort"];
                for (const type of types) xhr.addEventListener(type, () => resolve(type));
                xhr.send();
            }); }"""
        )
        await expect(page.locator("dialog[open]")).to_be_visible()
        await page.wait_for_timeout(4500)
        await use_passkey(page)
        assert await page.evaluate("window.ended") == "load"


@pytest.mark.parametrize("how", ["the person cancels", "the app aborts"])
async def test_a_cancelled_step_up_ends_as_an_aborted_request_and_not_as_a_401(
    browser: Browser, tmp_path: Path, how: str
) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.evaluate(
            """() => { window.heard = []; const xhr = (window.xhr = new XMLHttpRequest());
                const hear = (event) => window.heard.push(`${event.type} ${xhr.readyState} ${xhr.status}`);
                for (const type of ["readystatechange", "load", "timeout", "error", "abort", "loadend"]) {
                    xhr.addEventListener(type, hear);
                }
                xhr.open("POST", "/act"); xhr.send(); }"""
        )
        await expect(page.locator("dialog[open]")).to_be_visible()
        assert await page.evaluate("[xhr.readyState, xhr.status, xhr.responseText]") == [1, 0, ""]
        if how == "the app aborts":
            await page.evaluate("xhr.abort()")
        else:
            await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await until(page, "window.heard.length >= 4")
        heard = await page.evaluate("window.heard")
        assert heard == ["readystatechange 1 0", "readystatechange 4 0", "abort 4 0", "loadend 4 0"]
        assert await page.evaluate("xhr.readyState") == 0
        # the object serves again
        await page.evaluate("xhr.open('POST', '/act'); xhr.send()")
        await use_passkey(page)
        await until(page, "xhr.readyState === 4")
        assert await page.evaluate("[xhr.status, xhr.responseText]") == [200, "Done."]
    assert len(site.ran) == 1


async def test_synchronous_requests_other_401s_and_lost_connections_are_as_they_were(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        status = await page.evaluate(
            "() => { const xhr = new XMLHttpRequest(); xhr.open('POST', '/act', false); xhr.send(); return xhr.status }"
        )
        assert status == 401
        assert (await record(page, "/refused", {}, prove=False))["value"] == "no"
        await page.context.set_offline(True)
        heard = await page.evaluate(
            """() => new Promise((resolve) => { const heard = []; const xhr = new XMLHttpRequest();
                for (const type of ["load", "error", "loadend"]) xhr.addEventListener(type, () => heard.push(type));
                xhr.addEventListener("loadend", () => resolve(heard)); xhr.open("POST", "/act"); xhr.send(); })"""
        )
        assert heard == ["error", "loadend"]
        await expect(page.locator("dialog[open]")).to_have_count(0)
        assert await page.evaluate("new XMLHttpRequest() instanceof XMLHttpRequest && XMLHttpRequest.DONE") == 4
    assert site.ran == []


USES = {
    "a second send, which throws": ("""xhr.open("POST", "/act"); xhr.send("a=1");
        try { xhr.send("a=2"); } catch (error) { window.threw.push(error.name); }""", ["InvalidStateError"]),
    "a second send while the person is asked": ("""xhr.open("POST", "/act"); xhr.send("a=1"); window.later = () => {
        try { xhr.send("a=2"); } catch (error) { window.threw.push(error.name); } };""", ["InvalidStateError"]),
    "an open that throws while the person is asked": ("""xhr.open("POST", "/act"); xhr.send("a=1");
        window.later = () => {
        try { xhr.open("TRACE", "/x"); } catch (error) { window.threw.push(error.name); }
        try { xhr.open("POST", "http://[/"); } catch (error) { window.threw.push(error.name); } };""",
        ["SecurityError", "SyntaxError"]),
    "a body that a listener changes": ("""const body = new Uint8Array([97, 61, 49]);
        xhr.onloadstart = () => (body[2] = 50);
        xhr.open("POST", "/act"); xhr.send(body);""", []),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
async def test_an_object_that_is_used_otherwise_repeats_what_the_browser_sent(
    browser: Browser, tmp_path: Path, use: str
) -> None:
    script, threw = USES[use]
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.evaluate(f"() => {{ window.threw = []; const xhr = (window.xhr = new XMLHttpRequest()); {script} }}")
        await expect(page.locator("dialog[open]")).to_be_visible()
        await page.evaluate("window.later?.()")
        assert await page.evaluate("xhr.readyState") == 1  # on its way, as far as anybody hears
        await use_passkey(page)
        await until(page, "xhr.readyState === 4")
        assert await page.evaluate("[xhr.status, window.threw]") == [200, threw]
    assert [(method, path, body) for method, path, _, body in site.ran] == [("POST", "/act", b"a=1")]


async def test_an_object_that_was_led_elsewhere_repeats_its_next_request_where_that_was_sent(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.route("**/lead", lambda route: route.fulfill(status=307, headers={"location": "/stepped"}))
        await page.evaluate("() => { window.xhr = new XMLHttpRequest(); }")
        for path in ("/lead", "/act"):
            await page.evaluate(f"() => {{ xhr.open('POST', '{path}'); xhr.send('to={path}'); }}")
            await use_passkey(page)
            await until(page, "xhr.readyState === 4")
            assert await page.evaluate("xhr.status") == 200
    assert [(path, body) for _, path, _, body in site.ran] == [("/stepped", b"to=/lead"), ("/act", b"to=/act")]


# each tells what it finds of a class: of the browser's own, which ours is derived from, and of ours
LOOKS = {
    "the names that a loop over an object finds": """(XHR) => {
        const names = []; for (const name in new XHR()) names.push(name); return names.sort().join(); }""",
    "open without its arguments": "(XHR) => { try { return new XHR().open(); } catch (error) { return error.name; } }",
    "open without an address": """(XHR) => {
        try { return new XHR().open("GET"); } catch (error) { return error.name; } }""",
    "open with undefined, which is synchronous": """(XHR) => {
        const xhr = new XHR(); xhr.open("POST", "/plain", undefined); xhr.send("a"); return xhr.responseText; }""",
    "a header of no name": """(XHR) => {
        try { return new XHR().getResponseHeader(); } catch (error) { return error.name; } }""",
    "a header without a value": """(XHR) => { const xhr = new XHR(); xhr.open("GET", "/plain");
        try { return xhr.setRequestHeader("X-A"); } catch (error) { return error.name; } }""",
}


async def test_it_looks_and_takes_arguments_as_the_browsers_own_does(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        for name, look in LOOKS.items():
            own, ours = await page.evaluate(
                f"[Object.getPrototypeOf(XMLHttpRequest), XMLHttpRequest].map((XHR) => ({look})(XHR))"
            )
            assert own and ours == own, name


async def test_while_the_person_is_asked_nothing_can_be_read_and_what_must_throw_throws(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.evaluate(
            """() => { const xhr = (window.xhr = new XMLHttpRequest()); xhr.responseType = "json";
                xhr.open("POST", "/act"); xhr.send(); }"""
        )
        await expect(page.locator("dialog[open]")).to_be_visible()
        read = """["readyState", "status", "statusText", "responseURL", "response", "responseText", "responseXML"]
            .map((name) => { try { return xhr[name]; } catch (error) { return error.name; } })"""
        assert await page.evaluate(read) == [1, 0, "", "", None, "InvalidStateError", "InvalidStateError"]
        assert await page.evaluate("[xhr.getAllResponseHeaders(), xhr.getResponseHeader('Content-Type')]") == ["", None]


DERIVED = """class Derived extends XMLHttpRequest {
    #listeners = [];
    addEventListener(...all) { this.#listeners.push(all); super.addEventListener(...all); }
    get status() { return `${super.status}!`; }
    get responseURL() { return "elsewhere:"; }
    get responseType() { return "text!"; }
    getAllResponseHeaders() { return "none"; }
    dispatchEvent() { throw new Error("mine"); }
}"""


@pytest.mark.parametrize("cancelled", [False, True], ids=["proved", "cancelled"])
async def test_what_the_app_derives_from_it_is_the_apps_own(browser: Browser, tmp_path: Path, cancelled: bool) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.evaluate(
            f"""() => {{ {DERIVED}
                const xhr = new Derived();
                window.ended = new Promise((resolve) => {{ for (const type of ["load", "abort", "error"]) {{
                    xhr.addEventListener(type, () => resolve([type, xhr.status]));
                }} }});
                xhr.open("POST", "/act"); xhr.send("a=1"); }}"""
        )
        await expect(page.locator("dialog[open]")).to_be_visible()
        if cancelled:
            await page.keyboard.press("Escape")
        else:
            await use_passkey(page)
        assert await page.evaluate("window.ended") == (["abort", "0!"] if cancelled else ["load", "200!"])
        assert [body for *_, body in site.ran] == ([] if cancelled else [b"a=1"])


async def test_a_refusal_whose_rest_is_lost_is_a_failed_request_and_no_unknown_one(
    browser: Browser, tmp_path: Path
) -> None:
    came: list[bytes] = []

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 401 Unauthorized\r\nstepup-prompt: /stepup/prompts/p\r\ncontent-length: 100\r\n"
            b"access-control-allow-origin: *\r\naccess-control-expose-headers: *\r\n\r\n{"
        )
        await writer.drain()
        writer.close()

    async with (
        small_site(tmp_path, "<h1>Site</h1>") as site,
        await asyncio.start_server(breaking, "127.0.0.1", 0) as server,
    ):
        site.policy = ""
        api = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with requester(browser, site) as page:
            heard = await page.evaluate(
                """(api) => new Promise((resolve) => { stepup.configure({ api });
                    const heard = []; const xhr = new XMLHttpRequest();
                    const hear = (event) => heard.push(`${event.type} ${xhr.readyState} ${xhr.status}`);
                    for (const type of ["readystatechange", "load", "error", "abort"]) xhr.addEventListener(type, hear);
                    xhr.addEventListener("loadend", () => resolve(heard));
                    xhr.open("POST", `${api}/act`); xhr.send("a=1"); })""",
                api,
            )
            assert heard == ["readystatechange 1 0", "readystatechange 4 0", "error 4 0"]
            assert len(came) == 1
            await expect(page.locator("dialog[open]")).to_have_count(0)


FACADE = """const Native = XMLHttpRequest;
window.XMLHttpRequest = function XMLHttpRequest() {
    const inner = new Native();
    for (const name of ["open", "send", "addEventListener"]) this[name] = (...all) => inner[name](...all);
    Object.defineProperty(this, "status", { get: () => inner.status });
};
XMLHttpRequest.prototype = Native.prototype;"""


async def test_objects_that_somebody_else_put_in_its_place_before_are_left_alone(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>", facade=FACADE) as site:
        site.head = "<script src=/file/facade></script>"  # before the library's, which is deferred
        async with requester(browser, site) as page:
            status = await page.evaluate(
                """() => new Promise((resolve) => { const xhr = new XMLHttpRequest(); xhr.open("POST", "/act");
                    xhr.addEventListener("loadend", () => resolve(xhr.status)); xhr.send(); })"""
            )
            assert status == 401
            await page.evaluate("() => { window.asked = fetch('/act', { method: 'POST' }); }")  # this steps up still
            await use_passkey(page)
            assert await page.evaluate("asked.then((answer) => answer.status)") == 200


SENDS = """async (count) => { for (let at = 0; at < count; at += 1) await new Promise((resolve) => {
    const xhr = new XMLHttpRequest();
    xhr.addEventListener("loadend", resolve);
    xhr.upload.addEventListener("progress", () => {});
    xhr.open("POST", `/plain?type=application/json&${at}`);
    xhr.responseType = "json";
    xhr.send("x".repeat(4096));
}); }"""
KEPT = 300_000  # bytes: of a thousand requests that were kept, the bodies alone are 4,096,000


async def test_after_a_thousand_requests_the_memory_is_level(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        session = await page.context.new_cdp_session(page)

        async def used() -> int:
            for _ in range(3):
                await session.send("HeapProfiler.collectGarbage")
            return int((await session.send("Runtime.getHeapUsage"))["usedSize"])

        await record(page, "/stepped", {}, prove=True)
        await page.evaluate(SENDS, 200)
        before = await used()
        await page.evaluate(SENDS, 1000)
        assert await used() - before < KEPT
        assert len(site.ran) == 1201
