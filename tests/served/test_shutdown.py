"""SIGTERM, with a real server: what was authorized ends, the log is complete and signed, the deadline holds."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path

import httpx2

from stepup_middleware import EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, all_records, assert_records_hold

from .app import lines_of
from .processes import Person, appears, uvicorn

KEYS = (secrets.token_urlsafe(48),)


async def assert_whole(folder: Path) -> None:
    """Fail unless every record is as it was sealed."""
    async with SQLiteStore(folder / "stepup.db").use(MACS) as store:
        await assert_records_hold(store, RowMacs(KeyRing(KEYS[0])))


async def test_a_request_that_was_authorized_ends_before_the_server_does(tmp_path: Path) -> None:
    async with Person("ada") as person, uvicorn(tmp_path, KEYS) as server:  # X02
        await person.enrol(server.url)
        token = await person.token(server.url, "/slow")
        under_way = asyncio.create_task(person.present(server.url, token, "/slow"))
        await appears(tmp_path / "entered")
        server.terminate()
        async with Person("ada") as late:
            with suppress(httpx2.TransportError):  # soon it takes no new connections
                while (await late.http.post(f"{server.url}/act")).status_code in (401, 503):
                    pass
        assert not under_way.done()
        (tmp_path / "go").touch()
        assert (await under_way).text == "ran"
        await server.stopped()
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        records = [record for record in await all_records(store) if record.event is EventName.ACTION_COMPLETED]
    assert [record.data for record in records] == [{"status": 200, "outcome": "returned"}]
    assert lines_of(tmp_path / "runs") == [records[0].prompt_id]
    assert lines_of(tmp_path / "events")[-1] == EventName.ACTION_COMPLETED  # the sinks have had all
    await assert_whole(tmp_path)


async def test_a_request_that_does_not_end_is_cut_off_at_the_deadline_and_logged_as_aborted(tmp_path: Path) -> None:
    async with Person("ada") as person, uvicorn(tmp_path, KEYS, graceful=1) as server:  # X02
        await person.enrol(server.url)
        token = await person.token(server.url, "/slow")
        under_way = asyncio.create_task(person.present(server.url, token, "/slow"))
        await appears(tmp_path / "entered")
        server.terminate()
        await server.stopped()
        await asyncio.gather(under_way, return_exceptions=True)
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        events = [(record.event, record.data.get("outcome")) for record in await all_records(store)]
    assert (EventName.ACTION_AUTHORIZED, None) in events
    assert (EventName.ACTION_COMPLETED, "aborted") in events
    await assert_whole(tmp_path)


async def test_tokens_and_prompts_outlive_the_restart(tmp_path: Path) -> None:
    async with Person("ada") as person, uvicorn(tmp_path, KEYS) as server:
        await person.enrol(server.url)
        token, prompt = await person.token(server.url), await person.ask(server.url)
        server.terminate()
        await server.stopped()
        async with uvicorn(tmp_path, KEYS) as again:
            assert (await person.present(again.url, token)).text == "ran"
            assert (await person.present(again.url, await person.prove(again.url, prompt))).text == "ran"
            assert (await person.present(again.url, token)).json()["code"] == "STEPUP_TOKEN_REUSED"
