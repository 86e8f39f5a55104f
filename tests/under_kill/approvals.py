"""Programs ask on one node, people approve on the second, the programs redeem on the third, while nodes are killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import httpx2

from tests.served.app import ORIGIN
from tests.served.processes import PLAIN, SECONDS, Person

from .judged import ASKED_AGAIN, Figures, Told, judged
from .nodes import Nodes

AT_ONCE = 12


class Program(Told):
    """A program of a person: it asks, waits, and runs what was approved. It knows what it was told of each prompt."""

    def __init__(self, nodes: Nodes, number: int) -> None:
        super().__init__(str(number))
        self.nodes, self.number = nodes, number
        self.name = f"person-{number}"
        self.person = Person(self.name)
        self.http = httpx2.AsyncClient(
            headers={
                "host": ORIGIN.removeprefix("http://"),
                "x-user": self.name,
                "x-session": f"program-{number}",
                "accept": "application/json",
            },
            timeout=SECONDS,
            verify=PLAIN,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        await self.http.aclose()
        await self.person.http.aclose()

    async def enrol(self) -> None:
        """Enrol the passkey of the person, while nobody is killed."""
        await self.person.enrol(self.nodes.nodes[self.number % len(self.nodes.nodes)].url)

    async def go(self) -> None:
        """Ask until it is done, or was told that it may have been done, or that it was not."""
        while self.asked < ASKED_AGAIN and not self.done:
            self.asked += 1
            await self._once()

    async def _once(self) -> None:
        post, first = self.nodes.post, self.number
        path = f"/act/{self.number}"
        asked, _ = await post(first, self.http, path)
        body = asked.json()
        assert asked.status_code == 401, asked.text
        assert "approval" in body, asked.text
        prompt = body["prompt"]["id"]
        waiting = asyncio.create_task(self._wait(body["prompt"]["url"]))
        try:
            await self._approve(body["approval"])
            given = await waiting
        finally:
            waiting.cancel()
        if given.status_code != 200:
            assert given.json()["code"] == "STEPUP_PROMPT_NOT_FOUND", given.text
            self.is_not_done(prompt, "not approved")
            return
        token = given.json()["token"]
        ran, cut = await post(first + 2, self.http, path, headers={"stepup-token": token})
        self.is_told(prompt, ran, cut)

    async def _wait(self, address: str) -> httpx2.Response:
        """Wait for the decision, at the node that was asked; at the next where that is gone."""
        while True:
            answer, _ = await self.nodes.post(
                self.number, self.http, f"{address}/token", json={}, headers={"prefer": "wait=25"}
            )
            if answer.status_code != 202:
                return answer

    async def _approve(self, approval: dict[str, str]) -> None:
        """Approve it in a browser, beginning again where an answer got lost, until it waits no more."""
        link = approval["url"].removeprefix(ORIGIN)
        while True:
            if (await self._browse(link, {"match": approval["match"]})).status_code != 200:
                return  # decided, by an attempt whose answer got lost
            options = await self._browse(f"{link}/webauthn/options", {})
            if options.status_code != 200:
                continue
            signed = self.person.passkey.get(options.json(), origin=ORIGIN)
            if (await self._browse(f"{link}/webauthn", signed)).status_code == 200:
                return

    async def _browse(self, path: str, body: object) -> httpx2.Response:
        answer, _ = await self.nodes.post(self.number + 1, self.person.http, path, json=body)
        return answer


async def approve_under_kill(nodes: Nodes, runs: int, seed: int) -> Figures:
    """Do so many runs, a few at once, while nodes are killed; compare what was told with what ran and with the log."""
    programs = [Program(nodes, number) for number in range(runs)]
    turns, began = asyncio.Semaphore(AT_ONCE), monotonic()

    async def one(do: Callable[[], Awaitable[None]]) -> None:
        async with turns:
            await do()

    try:
        await asyncio.gather(*(one(program.enrol) for program in programs))
        async with nodes.under_fire(seed), asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(one(program.go))
    finally:
        await asyncio.gather(*(program.close() for program in programs))
    return await judged(nodes, programs, asked=sum(program.asked for program in programs), began=began)
