"""Deploying: the units are verified and their commands run, nginx is a real one, backups are put back."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, chdir
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware.log.keys import LOG_TYPES, WITNESS_TYPES, SigningKey
from stepup_middleware.testing import VirtualAuthenticator
from tests.machine import free_port, program
from tests.served.nginx import in_front, trusting
from tests.served.processes import ROOT, Server, serving
from tests.support import TRANSMIT, Browser, code_of, house_in

from .harness import KEY, blocks_of, shell

ROTATE = "/webhooks/orders/rotate"


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    """The folder of the app: ``main.py`` with the end that the page gives it, and its keys."""
    beginning = next(block.text for block in blocks_of("start") if block.name == "main.py")
    end = next(block.text for block in blocks_of("deploy") if block.name == "end")
    before, found, _ = beginning.partition("stepup = StepUp(")
    assert found
    (tmp_path / "main.py").write_text(before + end, encoding="utf-8")
    (tmp_path / "secret.key").write_text(KEY, encoding="utf-8")
    keys = [SigningKey.generate("example.com/payday", type_) for type_ in LOG_TYPES]
    (tmp_path / "log.key").write_text("".join(f"{key.secret_text()}\n" for key in keys), encoding="utf-8")
    (tmp_path / "log.vkey").write_text("".join(f"{key.verifier}\n" for key in keys), encoding="utf-8")
    (tmp_path / "session.key").write_text("a key of the sessions of this test, " + KEY[:8], encoding="utf-8")
    return tmp_path


@asynccontextmanager
async def served(srv: Path, command: str, port: int, **environment: str) -> AsyncIterator[Server]:
    """Run the command of a unit or a container: Python's programs are those of the tests."""
    name, *arguments = shlex.split(command)
    async with serving(Path(name).name, *arguments, port=port, folder=srv, **environment) as server:
        yield server


def command_of(unit: str) -> str:
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found
    return found[1]


async def step_up(url: str, http: httpx2.AsyncClient, origin: str, name: str = "owner@axis.example") -> httpx2.Response:
    """Sign in, enrol a passkey, step up, and return the answer of the action."""
    await http.post(f"{url}/sign-in", data={"name": name})
    http.headers.update({"origin": origin, "sec-fetch-site": "same-origin", "accept": "application/json"})
    passkey = VirtualAuthenticator.passkey()
    options = await http.post(f"{url}/stepup/factors/webauthn/options", json={"kind": "passkey"})
    created = passkey.create(options.json(), origin=origin)
    assert (await http.post(f"{url}/stepup/factors/webauthn", json={"name": "k", "credential": created})).is_success
    prompt = (await http.post(url + ROTATE)).headers["stepup-prompt"]
    options = await http.post(f"{url}{prompt}/webauthn/options", json={})
    proved = await http.post(f"{url}{prompt}/webauthn", json=passkey.get(options.json(), origin=origin))
    return await http.post(url + ROTATE, headers={"stepup-token": proved.json()["token"]})


@pytest.mark.block("payday@.service", "payday-purge.service", "payday-purge.timer", "workers")
async def test_systemd_accepts_the_units(blocks: dict[str, str], tmp_path: Path) -> None:
    workers = blocks.pop("workers")
    blocks["payday@.service"] = blocks["payday@.service"].replace("[Service]\n", f"[Service]\n{workers}")
    for name in ("uvicorn", "stepup"):  # the folder of the unit's programs, wherever those of the tests are
        (tmp_path / name).symlink_to(sys.executable)
    names = [name.replace("@", "@8001") for name in blocks]
    for name, unit in zip(names, blocks.values(), strict=True):
        (tmp_path / name).write_text(unit.replace("/srv/payday/.venv/bin", str(tmp_path)), encoding="utf-8")
    said = await shell(
        f"{program('systemd-analyze')} verify --man=no {' '.join(f'./{name}' for name in names)}", tmp_path
    )
    assert "payday" not in said, said  # it says nothing of what is right
    when = re.search(r"^OnCalendar=(.*)$", blocks["payday-purge.timer"], re.MULTILINE)
    assert when
    assert "Normalized form" in await shell(f"systemd-analyze calendar {when[1]!r}", tmp_path)


@pytest.mark.slow
@pytest.mark.block("end", "payday@.service", "payday-purge.service", "nightly")
async def test_the_commands_of_the_units_serve_and_purge(blocks: dict[str, str], srv: Path) -> None:
    port, state, credentials = free_port(), srv / "state", srv / "credentials"
    state.mkdir()
    credentials.mkdir()
    for name in ("secret.key", "session.key", "log.key"):
        (srv / name).rename(credentials / name)  # the service finds none in its own folder
    systemd = {"CREDENTIALS_DIRECTORY": str(credentials), "STATE_DIRECTORY": str(state)}
    command = command_of(blocks["payday@.service"]).replace("%i", str(port))
    async with served(srv, command, port, **systemd) as server, httpx2.AsyncClient(timeout=60) as http:
        assert (await http.get(f"{server.url}/stepup/health")).json() == {"ready": True}
        assert (await step_up(server.url, http, "http://localhost:8000")).status_code == 200
        async with asyncio.timeout(60):
            page = ""
            while 'event="ACTION_COMPLETED"' not in page:
                page = (await http.get(f"{server.url}/metrics")).text
        assert 'stepup_events_total{event="ACTION_AUTHORIZED",purpose="webhook_secret_rotation",reason=""} 1.0' in page
        assert 'event="ACTION_COMPLETED",purpose="webhook_secret_rotation",reason="returned"' in page
        server.terminate()
        await server.stopped()
    name, *arguments = shlex.split(command_of(blocks["payday-purge.service"]))
    said = await shell(shlex.join([Path(name).name, *arguments]), srv, **systemd)
    assert said == "purged 0 events, 0 prompts, 0 tokens\n"
    for name in ("secret.key", "log.vkey"):
        where = credentials if name == "secret.key" else srv
        (where / name).rename(state / name)
    out = await shell(blocks["nightly"], state)  # the stop signed it
    assert "0 faults: the log is whole" in out


@pytest.mark.block("end", "payday@.service", "workers")
async def test_two_workers_with_the_folder_of_the_page_are_one_scrape(blocks: dict[str, str], srv: Path) -> None:
    unit = dict(line.split("=", 1) for line in blocks["workers"].splitlines())
    name, _, folder = unit["Environment"].partition("=")
    assert folder == f"/run/{unit['RuntimeDirectory']}"
    port, here = free_port(), srv / "run"
    here.mkdir()
    command = command_of(blocks["payday@.service"]).replace("%i", str(port)) + " --workers 2"
    async with served(srv, command, port, **{name: str(here)}) as server, httpx2.AsyncClient(timeout=60) as http:
        assert (await step_up(server.url, http, "http://localhost:8000")).status_code == 200
        page = (await http.get(f"{server.url}/metrics")).text
        assert 'stepup_events_total{event="ACTION_AUTHORIZED",purpose="webhook_secret_rotation",reason=""} 1.0' in page
        async with asyncio.timeout(60):  # each sets its gauges by itself, once it has started
            while len({file.stem.rpartition("_")[2] for file in here.glob("gauge_livemin_*.db")}) < 2:
                await http.get(f"{server.url}/metrics")
        server.terminate()
        await server.stopped()


@pytest.mark.block(
    "install", "units", "nginx", "database", "environment", "reencrypt", "image", "payday@.service", "elsewhere", "end"
)
def test_the_commands_name_what_the_page_has_and_the_units_say(blocks: dict[str, str]) -> None:
    files = {block.name for block in blocks_of("deploy")} | {"main.py"}
    installed = [name for name in ("install", "units", "nginx") for name in _copied(blocks[name])]
    assert sorted(installed) == sorted(name for name in files if name == "main.py" or name.startswith("payday"))
    settings = [
        (name, value)
        for name, found, value in (line.partition("=") for line in blocks["payday@.service"].splitlines())
        if found
    ]
    unit = dict(settings)
    keys = [value for name, value in settings if name == "LoadCredential"]
    for path in (unit["EnvironmentFile"].removeprefix("-"), *(key.partition(":")[2] for key in keys)):
        made = f"--output {path}" if path.endswith(".key") else f"install -m 600 /dev/null {path}\n"
        assert made in blocks["install"]
    assert f"useradd --system --home-dir {unit['WorkingDirectory']} " in blocks["install"]
    assert blocks["install"].splitlines()[0].split()[-1] == unit["User"]
    given = [
        (name, value)
        for name, _, value in (each.partition("=") for each in re.findall(r"--property (\S+)", blocks["reencrypt"]))
    ]
    needed = {"User", "WorkingDirectory", "EnvironmentFile", "LoadCredential", "StateDirectory"}
    assert given == [(name, value.removeprefix("-")) for name, value in settings if name in needed]
    user, name = blocks["database"].split()[-2:]
    assert f"postgresql://{user}@db.internal/{name}'" in blocks["environment"]
    assert "--format docker" in blocks["image"]  # without it podman drops the health check
    assert "--output /etc/payday/log.key > /etc/payday/log.vkey\n" in blocks["install"]
    assert "'PAYDAY_CHECKPOINT=" in blocks["elsewhere"] and '"PAYDAY_CHECKPOINT"' in blocks["end"]
    for name, key in (
        ("payday-key", "secret.key"),
        ("payday-session-key", "session.key"),
        ("payday-log-key", "log.key"),
    ):
        assert f"podman secret create {name} {key}\n" in blocks["image"]
        assert f"--secret {name},target={key} " in blocks["image"]


def _copied(commands: str) -> list[str]:
    return [name for line in re.findall(r"^install -m 644 (.*)$", commands, re.MULTILINE) for name in line.split()[:-1]]


@pytest.mark.block("collector", "end")
async def test_the_line_for_the_collector_runs_at_the_end_of_the_app(blocks: dict[str, str], srv: Path) -> None:
    main = (srv / "main.py").read_text(encoding="utf-8")
    said = "print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0])\n"
    (srv / "main.py").write_text(main + "\n" + blocks["collector"] + said, encoding="utf-8")
    assert (await shell(f"{shlex.quote(sys.executable)} -c 'import main'", srv)).split() == ["True", "20000"]


@pytest.mark.block("Containerfile")
async def test_the_container_has_what_it_copies_and_its_commands_run(blocks: dict[str, str], srv: Path) -> None:
    lines = [line.split(" ", 1) for line in blocks["Containerfile"].splitlines()]
    steps = {word: rest for word, rest in lines if word != "COPY"}
    copied = [name for word, rest in lines if word == "COPY" for name in rest.split()[:-1]]
    assert copied == ["stepup_middleware", "main.py"]
    port = free_port()
    environment = dict(pair.split("=", 1) for pair in shlex.split(steps["ENV"]))
    assert environment.keys() == {"STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"}
    command = shlex.join(json.loads(steps["CMD"])).replace("8000", str(port))
    async with served(srv, command, port, **dict.fromkeys(environment, str(srv))) as server:
        check = json.loads(steps["HEALTHCHECK"].removeprefix("CMD "))
        assert await shell(shlex.join(check).replace("8000", str(port)), srv) == ""
        server.terminate()
        await server.stopped()


@pytest.mark.slow
@pytest.mark.block("environment", "rolling", "payday@.service", "payday.conf")
async def test_three_nodes_behind_nginx_serve_one_person_and_restart_in_turn(blocks: dict[str, str], srv: Path) -> None:
    ports = [free_port() for _ in range(3)]
    numbers = dict(zip(("8001", "8002", "8003"), map(str, ports), strict=True))

    def here(text: str) -> str:
        for documented, actual in numbers.items():
            text = text.replace(documented, actual)
        return text.replace("/etc/payday", str(srv))

    systemctl = 'systemctl() { echo "systemctl $*"; }\n'  # no service manager runs here
    said = await shell(systemctl + here(blocks["environment"]), srv)
    said_of = [line.split()[1] for line in said.splitlines()]
    assert said_of == ["enable", "restart"]  # a node that runs already takes up the new settings
    environment = dict(line.split("=", 1) for line in (srv / "environment").read_text().splitlines())
    assert environment == {"PAYDAY_DATABASE": "postgresql://payday@db.internal/payday"}
    nodes: list[tuple[str, Server]] = []
    async with AsyncExitStack() as stack:
        outer = free_port()
        origin = f"https://localhost:{outer}"
        for port in ports:
            command = command_of(blocks["payday@.service"]).replace("%i", str(port))
            nodes.append((command, await stack.enter_async_context(served(srv, command, port, PAYDAY_ORIGIN=origin))))
        await stack.enter_async_context(in_front(srv, here(blocks["payday.conf"]), outer))
        async with trusting(srv) as http:
            assert (await step_up(origin, http, origin)).status_code == 200
            assert (await http.get(f"{origin}/metrics")).status_code == 404
            for port in ports:
                assert "stepup_events_total" in (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            _, hung = nodes[0]
            hung.process.send_signal(signal.SIGSTOP)
            answers = [(await http.get(f"{origin}/")).status_code for _ in range(6)]
            hung.process.send_signal(signal.SIGCONT)
            assert set(answers) == {200}, "a node that hangs keeps requests from the others"
            for port, (command, node) in zip(ports, nodes, strict=True):
                node.terminate()
                await node.stopped()
                answers = [(await http.get(f"{origin}/")).status_code for _ in range(6)]  # each node's turn, twice
                assert set(answers) == {200}, "nginx has given up nodes that are back"
                await stack.enter_async_context(served(srv, command, port, PAYDAY_ORIGIN=origin))
        said = await shell(systemctl + here(blocks["rolling"]), srv)
        away = here(blocks["rolling"]).replace(str(ports[0]), str(free_port())).replace("--retry 60", "--retry 1")
        assert (await shell(systemctl + away + "true", srv)).count("restart") == 1, (
            "it goes on past a node that is away"
        )
    assert said.count('{"live":true}') == 3
    assert [line.split()[-1] for line in said.splitlines() if "restart" in line] == [f"payday@{port}" for port in ports]


@pytest.mark.block("end", "payday@.service", "rounds", "round-2", "round-3", "forget")
@pytest.mark.slow
async def test_three_rounds_of_a_rotation_sign_nobody_out(blocks: dict[str, str], srv: Path) -> None:
    here = {"/etc/payday": str(srv), "/srv/payday/.venv/bin/stepup": "stepup"}
    (srv / "secret.key").chmod(0o600)
    port = free_port()
    command = command_of(blocks["payday@.service"]).replace("%i", str(port))
    async with httpx2.AsyncClient(timeout=60) as http:
        for typed, count in (("", 1), ("rounds", 2), ("round-2", 2), ("round-3", 1)):
            commands = blocks[typed] if typed else ""
            for written, actual in here.items():
                commands = commands.replace(written, actual)
            await shell(commands, srv)
            keys = (srv / "secret.key").read_text().split()
            assert (len(keys), KEY.strip() in keys) == (count, typed != "round-3")
            assert not typed or (keys[0] == KEY.strip()) == (typed == "rounds")
            readable = await shell("find . -name '*.key' ! -name log.key ! -name session.key -perm /077", srv)
            assert readable == "", "others may read a key"
            async with served(srv, command, port) as server:
                if not typed:
                    assert (await step_up(server.url, http, "http://localhost:8000")).status_code == 200
                assert (await http.post(server.url + ROTATE)).headers.get("stepup-prompt"), "signed out"
                if typed == "round-2":
                    await shell("stepup reencrypt main:app", srv)
                server.terminate()
                await server.stopped()
    assert (srv / "old.key").read_text() == KEY  # as long as a node may still ask for it
    await shell(blocks["forget"].replace("/etc/payday", str(srv)), srv)
    assert await shell("ls *.key", srv) == "log.key\nsecret.key\nsession.key\n"


@pytest.mark.slow
@pytest.mark.block("end", "payday@.service")
async def test_an_upgrade_and_the_way_back_are_as_the_page_says(blocks: dict[str, str], srv: Path) -> None:
    newer = srv / "newer"
    for name in ("stepup_middleware", "static"):
        await asyncio.to_thread(shutil.copytree, ROOT / name, newer / name, ignore=shutil.ignore_patterns("*.pyc"))
    schema = newer / "stepup_middleware/stores/sqlite/schema"
    origin, number = "http://localhost:8000", itertools.count()

    def node(**environment: str) -> AbstractAsyncContextManager[Server]:
        port = free_port()
        return served(srv, command_of(blocks["payday@.service"]).replace("%i", str(port)), port, **environment)

    async def runs_on(server: Server) -> int:
        async with httpx2.AsyncClient(timeout=60) as http:
            return (await step_up(server.url, http, origin, f"{next(number)}@axis.example")).status_code

    upgraded = {"PYTHONPATH": str(newer)}
    async with node() as before:
        assert await runs_on(before) == 200
        (schema / "0002.sql").write_text("CREATE TABLE later (x);\n")  # it only adds
        async with node(**upgraded) as after:
            assert [await runs_on(each) for each in (after, before)] == [200, 200]
        async with node() as back:
            assert await runs_on(back) == 200
        (schema / "0003.sql").write_text(
            "UPDATE meta SET oldest = 3;\n"
        )  # it says that the version before may not go on
        async with node(**upgraded) as after, httpx2.AsyncClient(timeout=60) as http:
            assert await runs_on(after) == 200
            await http.post(f"{before.url}/sign-in", data={"name": "0@axis.example"})
            refused = await http.post(before.url + ROTATE, headers={"accept": "application/json"})
            assert (refused.status_code, code_of(refused)) == (503, "STEPUP_UNAVAILABLE")
            assert (await http.get(f"{before.url}/")).status_code == 200
    with pytest.raises(RuntimeError, match="the server ended with 3"):
        async with node():
            pass
    refusal = await shell("! python -c 'import asyncio, main; asyncio.run(main.stepup.start())' 2>&1", srv)
    assert "was written by a newer version (schema 3)" in refusal


@pytest.mark.block("witnessed")
def test_the_witness_of_the_page_can_be_set(blocks: dict[str, str], tmp_path: Path) -> None:
    keys = [SigningKey.generate("witness.example.com", type_).verifier for type_ in WITNESS_TYPES]
    (tmp_path / "witness.vkey").write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    page: dict[str, Any] = {}
    with chdir(tmp_path):
        exec(blocks["witnessed"], page)  # noqa: S102 -- the page's own
    (witness,) = page["witnesses"]
    assert witness.name == "witness.example.com"


@pytest.mark.block("backup", "restore")
async def test_a_backup_that_is_put_back_revives_no_token(blocks: dict[str, str], tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:  # S13
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        for _ in range(2):  # tonight's, and tomorrow's
            await shell(blocks["backup"], tmp_path)
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    said = await shell(blocks["restore"], tmp_path)
    assert "every outstanding prompt and token is worthless now" in said
    async with house_in(tmp_path) as restored:
        restored.sessions = house.sessions
        again = Browser(restored, ada.subject, factors=ada.factors)
        assert code_of(await again.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"
        assert (await again.step_up("POST", TRANSMIT, "passkey")).status_code == 200
        assert restored.total == 1
