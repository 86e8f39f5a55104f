"""What those who asked were told, what ran, and what the log has: the three must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import httpx2

from .nodes import Nodes

ASKED_AGAIN = 5  # times that somebody asks once more, as they are told to


class Told:
    """What somebody was told of one action, under its number."""

    def __init__(self, name: str) -> None:
        self.action = name
        self.not_done: list[str] = []  # prompts of which it was said that nothing has been done
        self.done = ""  # the prompt of which it was said that it has been done, or was authorized before
        self.told = "nothing"
        self.asked = 0

    def is_told(self, prompt: str, answer: httpx2.Response, cut: bool) -> None:
        """Take the answer to the action with its token; ``cut``: an attempt before may have been carried out."""
        if answer.status_code == 200:
            self.done, self.told = prompt, "done"
        elif answer.status_code == 403 and answer.json()["code"] == "STEPUP_TOKEN_REUSED":
            assert cut, "a token was called used that was presented once"
            self.done, self.told = prompt, "authorized before"
        else:
            assert answer.status_code == 401, answer.text
            self.is_not_done(prompt, "asked anew")

    def is_not_done(self, prompt: str, told: str) -> None:
        """Note that a prompt came to nothing."""
        self.not_done.append(prompt)
        self.told = told


@dataclass(slots=True)
class Figures:
    """What became of the actions, by what was said of each in the end, and what must be zero (``faults``)."""

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


async def judged(nodes: Nodes, told: Sequence[Told], *, asked: int, began: float) -> Figures:
    """Return the figures of these actions, with what does not agree: one that ran twice, or not as was said."""
    figures = Figures(
        runs=len(told), kills=nodes.kills, requests=nodes.requests, cut_off=nodes.cut_off, seconds=monotonic() - began
    )
    figures.told = Counter(each.told for each in told)
    figures.asked_again = asked - len(told)
    ran, authorized = Counter(nodes.runs()), await nodes.authorized()
    by_action = Counter(action for action, _ in ran.elements())
    for each in told:
        times, once, in_log = by_action[each.action], ran[each.action, each.done], authorized.get(each.done, 0)
        if times > 1:
            figures.faults.append(f"{each.action} ran {times} times")
        if each.told == "taken out" and times:
            figures.faults.append(f"{each.action} was taken out and ran")
        if each.told == "done" and once != 1:
            figures.faults.append(f"{each.action} was told to be done and ran {once} times")
        if each.told not in {"done", "authorized before", "taken out"}:
            figures.faults.append(f"{each.action} came to no end: {each.told}")
        if each.done and in_log != 1:
            figures.faults.append(f"{each.action} was told: {each.told}, and the log authorized it {in_log} times")
        figures.faults += [
            f"{each.action} was told that {prompt} was not done, and it ran or was authorized"
            for prompt in each.not_done
            if ran[each.action, prompt] or prompt in authorized
        ]
    known = {each.action for each in told}
    figures.faults += [f"{action} ran, and nobody asked for it" for action in by_action if action not in known]
    figures.faults += [
        f"{action} ran without its line in the log" for action, prompt in ran if prompt not in authorized
    ]
    if not await nodes.verify_log():
        figures.faults.append("the log does not hold")
    return figures
