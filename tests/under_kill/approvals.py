"""Programs ask on one node, people approve on the second, the programs redeem on the third, while nodes are killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

import httpx2

from tests.served.app import ORIGIN
from tests.served.processes import PLAIN, SECONDS, Person

from .nodes import Nodes

AT_ONCE = 12
_ASKED_AGAIN = 5  # times that a program asks once more, as it is told to


@dataclass(slots=True)
class Figures:
    """What became of the runs, by what the program was told in the end, and what must be zero (``faults``)."""

    runs: int = 0
    kills: int = 0
    requests: int = 0
    cut_off: int = 0
    told: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{what} {count}" for what, count in sorted(self.told.items()))
        return (
            f"{self.runs} runs in {self.seconds:.0f} s, {self.kills} kills, {self.requests} requests of which "
            f"{self.cut_off} cut off, {self.asked_again} asked once more\ntold: {told}\n"
            + ("".join(f"fault: {fault}\n" for fault in self.faults) or "no double run, none lost unsaid\n")
        )


class Program:
    """A program of a person: it asks, waits, and runs what was approved. It knows what it was told of each prompt."""

    def __init__(self, nodes: Nodes, number: int) -> None:
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
        self.not_done: list[str] = []  # prompts of which it was told that nothing has been done
        self.done = ""  # the prompt of which it was told that it has been done, or has been authorized
        self.told = "nothing"
        self.asked = 0

    async def close(self) -> None:
        await self.http.aclose()
        await self.person.http.aclose()

    async def enrol(self) -> None:
        """Enrol the passkey of the person, while nobody is killed."""
        await self.person.enrol(self.nodes.nodes[self.number % len(self.nodes.nodes)].url)

    async def go(self) -> None:
        """Ask until it is done, or was told that it may have been done, or that it was not."""
        while self.asked < _ASKED_AGAIN and not self.done:
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
            self._is_not_done(prompt, "not approved")
            return
        token = given.json()["token"]
        ran, cut = await post(first + 2, self.http, path, headers={"stepup-token": token})
        if ran.status_code == 200:
            self.done, self.told = prompt, "done"
        elif ran.status_code == 403 and ran.json()["code"] == "STEPUP_TOKEN_REUSED":
            assert cut, "a token was called used that was presented once"
            self.done, self.told = prompt, "authorized before"
        else:
            assert ran.status_code == 401, ran.text
            self._is_not_done(prompt, "asked anew")

    def _is_not_done(self, prompt: str, told: str) -> None:
        self.not_done.append(prompt)
        self.told = told

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
    figures = Figures(
        runs=runs, kills=nodes.kills, requests=nodes.requests, cut_off=nodes.cut_off, seconds=monotonic() - began
    )
    figures.told = Counter(program.told for program in programs)
    figures.asked_again = sum(program.asked - 1 for program in programs)
    figures.faults = await _faults(nodes, programs)
    return figures


async def _faults(nodes: Nodes, programs: list[Program]) -> list[str]:
    """Return what does not agree: an action that ran twice, or not as its program and the log were told."""
    ran, authorized = Counter(nodes.runs()), await nodes.authorized()
    numbers, faults = Counter(number for number, _ in ran.elements()), []
    for program in programs:
        number, told = str(program.number), program.told
        times, once = numbers[number], ran[number, program.done]
        if times > 1:
            faults.append(f"{number} ran {times} times")
        if told == "done" and once != 1:
            faults.append(f"{number} was told to be done and ran {once} times")
        if told not in {"done", "authorized before"}:
            faults.append(f"{number} came to no end: {told}")
        if program.done and authorized.get(program.done) != 1:
            faults.append(
                f"{number} was told: {told}, and the log authorized it {authorized.get(program.done, 0)} times"
            )
        faults += [
            f"{number} was told that {prompt} was not done, and it ran or was authorized"
            for prompt in program.not_done
            if ran[number, prompt] or prompt in authorized
        ]
    faults += [f"{number} ran without its line in the log" for number, prompt in ran if prompt not in authorized]
    if not await nodes.verify_log():
        faults.append("the log does not hold")
    return faults
