"""Addresses: whose word counts, and that two addresses are not one. The proxy is a real nginx."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from demo_app.guide_pages import FOLDER
from stepup_middleware import ConfigurationError, StepUp, StepUpMiddleware
from stepup_middleware.service.requester import Requester
from tests.e2e.test_sub_path import CASES, SERVERS
from tests.machine import free_port

from .harness import Ran, serving
from .person import Person

ROTATE = "/webhooks/orders/rotate"


def scope_from(peer: str | None, *forwarded: str, **headers: str) -> dict[str, Any]:
    """Return a scope of somebody who is signed in, as it comes from a server."""
    pairs = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    pairs += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    session = {"name": "owner@axis.example", "id": "s-1", "at": "2026-11-24T12:00:00+00:00"}
    return {"type": "http", "headers": pairs, "client": None if peer is None else (peer, 1), "session": session}


async def address(stepup: StepUp, scope: dict[str, Any]) -> str | None:
    """Return the address that the library sees, None where it refuses."""
    seen = await stepup._parts.identification.identify_request(scope)
    return seen.ip if isinstance(seen, Requester) else None


async def test_proxies_that_are_named_vouch_for_the_address_they_append(ran: Ran) -> None:
    stepup = ran.names["configured"](trusted_proxies=["127.0.0.1", "10.20.0.0/24"])
    assert await address(stepup, scope_from("127.0.0.1", "1.2.3.4, 192.0.2.7, 10.20.0.9")) == "192.0.2.7"
    assert await address(stepup, scope_from("198.51.100.1", "192.0.2.7")) == "198.51.100.1"
    assert await address(stepup, scope_from("127.0.0.1", "1.2.3.4, unknown")) is None
    assert await address(stepup, scope_from(None, "192.0.2.7")) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("192.0.2.7:5070", "192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ('"[2001:db8::7]:443"', "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::7%eth0", "fe80::7"),
        ("192.0.2.7, ", "192.0.2.7"),
        (", 192.0.2.7", "192.0.2.7"),
    ],
)
async def test_a_load_balancer_may_spell_the_address_as_it_does(ran: Ran, written: str, meant: str) -> None:
    stepup = ran.names["configured"](trusted_proxies=["::ffff:127.0.0.1"])
    assert await address(stepup, scope_from("127.0.0.1", written)) == meant
    # a server that has read the header itself hands over what stood there
    if "," not in written and '"' not in written:
        assert await address(ran.names["configured"](), scope_from(written)) == meant
    stepup = ran.names["configured"](client_address=lambda _: written.strip(", "))
    assert await address(stepup, scope_from("10.20.0.9")) == meant


async def test_one_header_counts_and_never_the_other(ran: Ran) -> None:
    both = scope_from("127.0.0.1", "192.0.2.7", forwarded='for="[2001:db8::7]:443";proto=https')
    one = ran.names["configured"](trusted_proxies=["127.0.0.1"])
    other = ran.names["configured"](trusted_proxies=["127.0.0.1"], proxy_header="forwarded")
    assert (await address(one, both), await address(other, both)) == ("192.0.2.7", "2001:db8::7")
    assert await address(one, scope_from("127.0.0.1", forwarded="for=192.0.2.7")) == "127.0.0.1"
    assert await address(other, scope_from("127.0.0.1", "192.0.2.7")) == "127.0.0.1"
    assert await address(other, scope_from("198.51.100.1", forwarded="for=192.0.2.7")) == "198.51.100.1"


@pytest.mark.parametrize("line", ["proto=https", "for=192.0.2.7;for=192.0.2.8", 'for="192.0.2.7', 'x=", for=192.0.2.7'])
async def test_what_forwarded_does_not_say_for_sure_is_refused(ran: Ran, line: str) -> None:
    stepup = ran.names["configured"](trusted_proxies=["127.0.0.1"], proxy_header="forwarded")
    assert await address(stepup, scope_from("127.0.0.1", forwarded=line)) is None


async def test_of_an_ipv6_address_the_first_bits_may_count_alone(ran: Ran) -> None:
    assert ran.names["stepup"]._parts.identification._ipv6_prefix == 64
    stepup = ran.names["configured"](ipv6_prefix=64, trusted_proxies=["127.0.0.1"])
    for peer in ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"):
        assert await address(stepup, scope_from(peer)) == "2001:db8:1:2::"
        assert await address(stepup, scope_from("127.0.0.1", f"[{peer}]:443")) == "2001:db8:1:2::"
    assert await address(stepup, scope_from("2001:db8:1:3::")) == "2001:db8:1:3::"
    assert await address(stepup, scope_from("::ffff:192.0.2.7")) == "192.0.2.7"
    assert await address(ran.names["configured"](), scope_from("2001:db8:1:2:3::")) == "2001:db8:1:2:3::"
    own = ran.names["configured"](client_address=lambda scope: "2001:db8:1:2:3::", ipv6_prefix=56)
    assert await address(own, scope_from("127.0.0.1")) == "2001:db8:1::"
    for bits in (0, 47, 129, "64", True, 64.0):
        with pytest.raises(ConfigurationError, match="ipv6_prefix is how many bits"):
            ran.names["configured"](ipv6_prefix=bits)


async def test_without_named_proxies_the_header_does_not_count(ran: Ran) -> None:
    assert await address(ran.names["configured"](), scope_from("127.0.0.1", "192.0.2.7")) == "127.0.0.1"
    assert await address(ran.names["configured"](), scope_from("::ffff:192.0.2.7")) == "192.0.2.7"


@pytest.mark.parametrize("everybody", ["*", "0.0.0.0/0", "::/0", "0.0.0.0/7", "fc00::/6"])
async def test_whoever_trusts_everybody_does_not_start(ran: Ran, everybody: str) -> None:
    with pytest.raises(ConfigurationError):
        ran.names["configured"](trusted_proxies=[everybody])


async def test_the_app_may_look_the_address_up_itself(ran: Ran) -> None:
    stepup = ran.names["configured"](client_address=ran.names["from_the_network"])
    assert await address(stepup, scope_from("10.20.0.9", cf_connecting_ip="2001:DB8::7")) == "2001:db8::7"
    assert await address(stepup, scope_from("10.20.0.9")) is None


async def test_from_another_address_the_token_is_refused_and_revoked(ran: Ran) -> None:
    person = Person(ran.main.app)
    await person.enrol_passkey()
    token = await person.prove(await person.ask("POST", ROTATE))
    person.move_to("198.51.100.9")
    moved = await person.http.post(ROTATE, headers={"stepup-token": token})
    assert (moved.json()["code"], moved.json()["title"]) == ("STEPUP_IP_MISMATCH", "Your network changed")
    person.move_to("192.0.2.10")
    assert (await person.ask("POST", ROTATE, headers={"stepup-token": token})).json()["code"] == "STEPUP_REQUIRED"
    assert (await person.act("POST", ROTATE)).status_code == 200


@asynccontextmanager
async def nginx_in_front(folder: Path, location: str, app: Any) -> AsyncIterator[str]:
    """Serve an app by uvicorn with nginx in front, and yield nginx's address."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no nginx on this machine (Debian, Ubuntu: apt install nginx-light)")
        pytest.skip("no nginx on this machine (Debian, Ubuntu: apt install nginx-light)")
    inner, outer = free_port(), free_port()
    (folder / "nginx.conf").write_text(
        f"pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"upstream app {{ server 127.0.0.1:{inner}; }}\n"
        f"server {{ listen 127.0.0.1:{outer};\n{location}}} }}\n",
        encoding="utf-8",
    )
    async with serving(app, inner, host="127.0.0.1", proxy_headers=False):
        process = await asyncio.create_subprocess_exec(
            program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"
        )
        try:
            async with asyncio.timeout(30):
                while not await _takes_connections(outer):
                    assert process.returncode is None, (folder / "nginx.log").read_text()
                    await asyncio.sleep(0.05)
            yield f"http://127.0.0.1:{outer}"
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def _takes_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.block("proxy.conf")
async def test_behind_nginx_the_library_sees_the_client_and_not_what_it_claims(
    ran: Ran, blocks: dict[str, str], tmp_path: Path
) -> None:
    stepup = ran.names["configured"](trusted_proxies=["127.0.0.1"])

    async def seen(request: Request) -> Response:
        return PlainTextResponse(str(await address(stepup, {**scope_from(None), **seen_by(request)})))

    def seen_by(request: Request) -> dict[str, Any]:
        return {"headers": request.scope["headers"], "client": request.scope["client"]}

    app = StepUpMiddleware(Starlette(routes=[Route("/", seen)]), stepup=stepup)
    folder = tmp_path / "nginx"
    folder.mkdir()
    client = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")  # a client that is no proxy of ours
    async with (
        nginx_in_front(folder, blocks["proxy.conf"], app) as url,
        httpx2.AsyncClient(base_url=url, transport=client) as http,
    ):
        assert (await http.get("/")).text == "127.0.0.2"
        claimed = await http.get("/", headers={"x-forwarded-for": "203.0.113.5, 127.0.0.1"})
        assert claimed.text == "127.0.0.2"


@pytest.mark.block("sub_path.conf")  # nginx runs with it in tests/e2e/test_sub_path.py
def test_each_server_is_told_its_root_path_as_the_browser_tests_tell_it(blocks: dict[str, str]) -> None:
    assert "http://127.0.0.1:8001/;" in blocks["sub_path.conf"]  # which they point elsewhere, and strip or not
    lines = (FOLDER / "proxies.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip().strip("`") for cell in line.split("|")] for line in lines if "/pay` |" in line]
    written = [(server, option, left == "yes") for _, server, option, left, _ in rows]
    unstripped = {server for server, way, _ in CASES if way == "not stripped"}
    told = {server: " ".join(command[command.index("/pay") - 1 :][:2]) for server, command in SERVERS.items()}
    assert sorted(written) == sorted((server, option, server in unstripped) for server, option in told.items())
