"""People confirm many requests at once, each step on another node, while nodes are killed."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import httpx2

from tests.served.app import ORIGIN
from tests.served.processes import Person

from .judged import ASKED_AGAIN, Figures, Told, judged
from .nodes import Nodes

TOGETHER = 50  # prompts of one question
TAKEN_OUT = 2  # of them
AT_ONCE = 3  # people


class Confirming:
    """Somebody who asks for many actions, takes some out, and confirms the others with one proof."""

    def __init__(self, nodes: Nodes, number: int, count: int) -> None:
        self.nodes, self.number = nodes, number
        self.person = Person(f"person-{number}")
        self.actions = [Told(f"{number}-{each}") for each in range(count)]

    async def _post(self, step: int, path: str, **content: Any) -> tuple[httpx2.Response, bool]:
        return await self.nodes.post(self.number + step, self.person.http, path, **content)

    async def enrol(self) -> None:
        """Enrol the passkey, while nobody is killed."""
        await self.person.enrol(self.nodes.nodes[self.number % len(self.nodes.nodes)].url)

    async def go(self) -> None:
        """Ask for all, take some out, confirm the rest; ask again for what was said not to have been done."""
        waiting = await self._ask(self.actions)
        out = self.actions[:TAKEN_OUT]
        gone = {"prompts": [waiting.pop(each) for each in out]}
        assert (await self._post(1, "/stepup/batches/cancel", json=gone))[0].status_code == 204
        for each in out:
            each.told = "taken out"
        for _ in range(ASKED_AGAIN):
            await self._confirm(waiting)
            left = [each for each in self.actions if not each.done and each.told != "taken out"]
            if not left:
                return
            waiting = await self._ask(left)

    async def _ask(self, actions: list[Told]) -> dict[Told, str]:
        """Ask for actions, and return the prompt of each."""
        prompts = {}
        for action in actions:
            action.asked += 1
            asked, _ = await self._post(0, f"/act/{action.action}")
            assert asked.status_code == 401, asked.text
            prompts[action] = str(asked.json()["prompt"]["id"])
        return prompts

    async def _confirm(self, waiting: dict[Told, str]) -> None:
        """Prove oneself once for what is open, beginning again where an answer got lost; then run each."""
        tokens: dict[str, str] = {}
        for _ in range(ASKED_AGAIN):
            ids = [prompt for prompt in waiting.values() if prompt not in tokens]
            question, _ = await self._post(1, "/stepup/batches", json={"prompts": ids})
            if question.status_code != 200:
                assert question.status_code == 404, question.text
                break  # none is open
            ids = [each["id"] for each in question.json()["prompts"]]
            begun, _ = await self._post(1, "/stepup/batches/webauthn/options", json={"prompts": ids})
            if begun.status_code == 200:
                credential = self.person.passkey.get(begun.json(), origin=ORIGIN)
                body = {"prompts": ids, "credential": credential}
                proved, _ = await self._post(2, "/stepup/batches/webauthn", json=body)
                if proved.status_code == 200:
                    tokens |= {each["prompt"]: each["token"] for each in proved.json()["tokens"]}
                    break
        for action, prompt in waiting.items():
            if prompt not in tokens:
                action.is_not_done(prompt, "not confirmed")
                continue
            answer, cut = await self._post(0, f"/act/{action.action}", headers={"stepup-token": tokens[prompt]})
            action.is_told(prompt, answer, cut)


async def confirm_under_kill(nodes: Nodes, batches: int, together: int, seed: int) -> Figures:
    """Confirm so many batches of so many prompts while nodes are killed, and compare as ``judged`` does."""
    people = [Confirming(nodes, number, together) for number in range(batches)]
    turns, began = asyncio.Semaphore(AT_ONCE), monotonic()

    async def one(person: Confirming) -> None:
        async with turns:
            await person.go()

    try:
        for person in people:
            await person.enrol()
        async with nodes.under_fire(seed), asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(one(person))
    finally:
        await asyncio.gather(*(person.person.http.aclose() for person in people))
    actions = [action for person in people for action in person.actions]
    return await judged(nodes, actions, asked=sum(action.asked for action in actions), began=began)
