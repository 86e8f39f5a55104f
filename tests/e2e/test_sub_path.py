"""A Starlette app under /pay/ behind nginx, stripped or not, on four servers: head, htmx, cookie and repetition."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.guide.harness import blocks_of
from tests.guide.person import plug_in_passkey
from tests.machine import free_port
from tests.served.nginx import nginx
from tests.served.processes import SECONDS, answers

from .site import use_passkey
from .test_admins import answered, enrolled

APP = '''
import secrets
from datetime import UTC, datetime
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore

AT = datetime.now(UTC)
ran = 0

@requires_step_up("webhook_secret_rotation")
async def act(request):
    global ran
    ran += 1
    return PlainTextResponse(f"Done {ran}.")

async def home(request):
    return HTMLResponse(f"""<!doctype html><html lang=en><head><title>Pay</title>{stepup.head_for(request)}</head><body>
        <button id=htmx hx-post="/pay/act" hx-target="#said">By htmx</button><p id=said></p>
        <form method=post action="/pay/act" data-stepup-purpose=webhook_secret_rotation>
        <button>By a form</button></form>
        <form method=post action="/pay/act"><button name=plain value=1>By a page</button></form></body></html>""")

async def identify(scope):
    return Subject(id="ada", session_id="s-1", workspace_id="main", name="Ada Owner", signed_in_at=AT)

stepup = StepUp(
    secret_key=[secrets.token_urlsafe(48)], store=SQLiteStore("stepup.db"), identify=identify,
    relying_party=RelyingParty(id="localhost", name="Pay", origins=["ORIGIN"]),
    client_address=lambda scope: "192.0.2.1",
)
app = StepUpMiddleware(Starlette(routes=[Route("/", home), Route("/act", act, methods=["POST"])]), stepup=stepup)
'''
SITE = """
pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1; events {{}}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""
SERVERS = {
    "uvicorn": ["uvicorn", "main:app", "--host", "127.0.0.1", "--port", "PORT", "--root-path", "/pay"],
    "hypercorn": ["hypercorn", "main:app", "--bind", "127.0.0.1:PORT", "--root-path", "/pay"],
    "granian": [
        "granian",
        "--interface",
        "asgi",
        "--host",
        "127.0.0.1",
        "--port",
        "PORT",
        "--url-path-prefix",
        "/pay",
        "main:app",
    ],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "PORT", "--root-path", "/pay", "main:app"],
}
# granian and daphne take the prefix from what a proxy has left; uvicorn puts it back in front of what it gets
STRIPPED = {"stripped": "/", "not stripped": ""}


@asynccontextmanager
async def under_pay(folder: Path, server: str, target: str) -> AsyncIterator[str]:
    port, behind = free_port(), free_port()
    origin = f"http://localhost:{port}"
    (folder / "main.py").write_text(APP.replace("ORIGIN", origin), encoding="utf-8")
    (located,) = [block.text for block in blocks_of("proxies") if block.name == "sub_path.conf"]
    location = located.replace("http://127.0.0.1:8001/", f"http://127.0.0.1:{behind}{target}")
    (folder / "nginx.conf").write_text(SITE.format(folder=folder, port=port, location=location))
    name, *arguments = [part.replace("PORT", str(behind)) for part in SERVERS[server]]
    program = str(Path(sys.executable).parent / name)
    async with asyncio.timeout(SECONDS * 4):
        served = await asyncio.create_subprocess_exec(
            program, *arguments, cwd=folder, stdout=asyncio.subprocess.DEVNULL
        )
        proxy = await asyncio.create_subprocess_exec(
            nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"
        )
        try:
            await answers(behind, served)
            await answers(port, proxy)
            yield origin
        finally:
            for process in (proxy, served):
                if process.returncode is None:
                    # daphne waits for its threads
                    process.kill() if process is served and server == "daphne" else process.terminate()
                await process.wait()


CASES = [
    (server, way, kind)
    for server in SERVERS
    for way, kind in (("stripped", "passkey"), ("stripped", "totp"), ("not stripped", "passkey"))
    if (server, way) != ("uvicorn", "not stripped")
]


@pytest.mark.parametrize(("server", "way", "kind"), CASES, ids=[" ".join(case) for case in CASES])
@pytest.mark.sweep()
async def test_an_app_below_a_sub_path_steps_up_by_htmx_form_and_page(
    browser: Browser, tmp_path: Path, server: str, way: str, kind: str
) -> None:
    async with under_pay(tmp_path, server, STRIPPED[way]) as origin:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        secret = await enrolled(page, f"{origin}/pay", kind)
        await page.goto(f"{origin}/pay/")
        sent: list[str] = []
        page.on(
            "request", lambda each: sent.append(each.headers.get("stepup-token", "")) if "/act" in each.url else None
        )
        await page.get_by_role("button", name="By htmx").click()
        await answered(page, kind, secret)
        await expect(page.locator("#said")).to_have_text("Done 1.")
        token = next(filter(None, sent))
        headers = {"stepup-token": token, "origin": origin, "hx-request": "true"}
        assert (await context.request.post(f"{origin}/pay/act", headers=headers)).status == 403
        if kind == "passkey":
            await page.get_by_role("button", name="By a form").click()
            await use_passkey(page)
            await expect(page.locator("body")).to_have_text("Done 2.")
            assert await context.cookies() == []
            await page.goto(f"{origin}/pay/")
            await page.get_by_role("button", name="By a page").click()
            await page.get_by_role("button", name="Use passkey").click()
            await expect(page.locator("body")).to_have_text("Done 3.")
            assert await context.cookies() == []
        await context.close()
