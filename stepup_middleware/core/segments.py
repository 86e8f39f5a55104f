"""Judge the chain segments of an evidence bundle: that its events were logged, and the log not rewritten since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .chain import leaf_hash, link_hash
from .findings import Check, Finding
from .heads import head_holds
from .trust import Trust


class SegmentJudge:
    """One judgement. ``entries`` are the bundle's events by place, of the shape that the schema gives them."""

    def __init__(self, entries: Mapping[str, dict[str, Any]], segments: Sequence[dict[str, Any]], trust: Trust) -> None:
        self.entries = entries
        self.segments = segments
        self.trust = trust
        self.findings: list[Finding] = []

    def _note(self, check: Check, where: str, problem: str, *, unverifiable: bool = False) -> None:
        self.findings.append(Finding(check=check, field=where, problem=problem, unverifiable=unverifiable))

    def judge(self) -> list[Finding]:
        """Return what does not hold, or cannot be told without a head or a trusted key."""
        places = {(entry["chain"], entry["link"]): where for where, entry in self.entries.items()}
        sharing = Counter((entry["chain"], entry["link"]) for entry in self.entries.values())
        for where, entry in self.entries.items():
            if sharing[entry["chain"], entry["link"]] > 1:
                self._note(Check.CHAIN, f"{where}.link", "another event claims this place in the chain")
        covered: set[str] = set()
        before: tuple[str, int] | None = None
        for index, segment in enumerate(self.segments):
            where = f"segments[{index}]"
            start = (segment["chain"], segment["first_link"])
            if before is not None and start <= before:
                self._note(Check.CHAIN, f"{where}.first_link", "segments are in order and do not overlap")
            before = (segment["chain"], segment["first_link"] + len(segment["leaves"]) - 1)
            covered |= self._segment(where, segment, places)
        for where, entry in self.entries.items():
            if where not in covered:
                chains = {segment["chain"] for segment in self.segments}
                name = "link" if entry["chain"] in chains else "chain"
                self._note(Check.CHAIN, f"{where}.{name}", "no segment shows this place")
                self._note(Check.CHAIN, "segments", f"do not show {where}")
        return self.findings

    def _segment(self, where: str, segment: dict[str, Any], places: Mapping[tuple[str, int], str]) -> set[str]:
        """Follow one segment from its first event to its head. Returns the events that it shows."""
        chain, first, leaves = segment["chain"], segment["first_link"], segment["leaves"]
        shown: dict[int, str] = {}
        whole = True
        for offset, leaf in enumerate(leaves):
            event = places.get((chain, first + offset))
            if leaf is None and event is None:
                self._note(Check.CHAIN, f"{where}.leaves[{offset}]", "is left to an event that is not there")
                self._note(Check.CHAIN, "events", f"have none at link {first + offset} of chain {chain}")
                whole = False
            if leaf is not None and event is not None:
                self._note(Check.CHAIN, f"{where}.leaves[{offset}]", f"stands where {event} is")
                self._note(Check.CHAIN, f"{event}.link", "is a place where the segment has another record's leaf")
            if event is not None:
                shown[first + offset] = event
        if first not in shown:
            self._note(Check.CHAIN, f"{where}.first_link", "a segment begins with an event")
            whole = False
        if not whole:
            self._broken(where, segment)
            return set(shown.values())
        reached = self._follow(where, segment, shown)
        self._head(where, segment, reached)
        for link, hash_ in enumerate(reached, first):
            witnessed = self.trust.witnessed.get((chain, link))
            if witnessed is not None and witnessed != hash_:
                problem = f"link {link} has another hash than the witnessed head: there are two histories"
                self._note(Check.HEAD, f"{where}.leaves[{link - first}]", problem)
        return set(shown.values())

    def _broken(self, where: str, segment: dict[str, Any]) -> None:
        """Say what of a segment does not go with its events, by the head at its end."""
        head = segment["head"]
        if head is not None:
            if head["chain"] != segment["chain"]:
                self._note(Check.CHAIN, f"{where}.chain", "is not the chain of its head")
            if head["link"] != segment["first_link"] + len(segment["leaves"]) - 1:
                self._note(Check.CHAIN, f"{where}.leaves", "do not end at the head's link")
                self._note(Check.CHAIN, f"{where}.first_link", "or this: it does not lead to the head's link")
        self._note(Check.HEAD, f"{where}.head", "cannot be reached through a broken segment", unverifiable=True)

    def _follow(self, where: str, segment: dict[str, Any], shown: Mapping[int, str]) -> list[bytes]:
        """Return the hash of every link, and note which member breaks the chain.

        After each event the walk goes on from the hash that the event states, so that one altered member
        makes one finding, at its own place. The links between two events can only be named together.
        """
        chain, first = segment["chain"], segment["first_link"]
        head = segment["head"]
        reached: list[bytes] = []
        for offset, leaf in enumerate(segment["leaves"]):
            link = first + offset
            if link not in shown:
                reached.append(link_hash(chain, link, reached[-1], bytes.fromhex(leaf)))
                continue
            event = shown[link]
            entry = self.entries[event]
            previous, stated = bytes.fromhex(entry["previous"]), bytes.fromhex(entry["hash"])
            leaf_here = leaf_hash(entry["body"])
            fits = link_hash(chain, link, previous, leaf_here) == stated
            if reached and previous != reached[-1]:
                arrived = link_hash(chain, link, reached[-1], leaf_here)
                if fits and arrived != stated:
                    self._note(Check.CHAIN, f"{where}.leaves", f"do not lead to the hash before {event}")
                else:
                    self._note(Check.CHAIN, f"{event}.previous", "is not the hash of the link before")
                    fits = fits or arrived == stated
            if not fits:
                self._unfit(event, entry, segment, link, link_hash(chain, link, previous, leaf_here), head)
            reached.append(stated)
        return reached

    def _unfit(
        self,
        event: str,
        entry: dict[str, Any],
        segment: dict[str, Any],
        link: int,
        computed: bytes,
        head: dict[str, Any] | None,
    ) -> None:
        """Tell an altered text from an altered hash: whichever leads on to what follows is the true one."""
        rest = segment["leaves"][link - segment["first_link"] + 1 :]
        state = computed
        for offset, leaf in enumerate(rest, 1):
            if leaf is None:
                break
            state = link_hash(segment["chain"], link + offset, state, bytes.fromhex(leaf))
        else:
            if head is not None and state.hex() == head["hash"]:
                self._note(Check.CHAIN, f"{event}.hash", "is not the hash of this link, which the head confirms")
                return
        following = [other for other in self.entries.values() if other["chain"] == entry["chain"]]
        if any(state.hex() == other["previous"] for other in following if other["link"] > link):
            self._note(Check.CHAIN, f"{event}.hash", "is not the hash of this link, which the next event confirms")
            return
        name = "previous" if link == segment["first_link"] else "body"
        self._note(Check.CHAIN, f"{event}.body", "was altered after it was written: the hash is another")
        if name == "previous":
            # nothing before the first link says which of the two it was
            self._note(Check.CHAIN, f"{event}.previous", "or this: nothing before it is there to tell")

    def _head(self, where: str, segment: dict[str, Any], reached: Sequence[bytes]) -> None:
        head = segment["head"]
        if head is None:
            self._note(
                Check.HEAD, f"{where}.head", "no signed head: the log may have been rewritten", unverifiable=True
            )
            return
        last = segment["first_link"] + len(segment["leaves"]) - 1
        stated = {
            "chain": (segment["chain"], "is not the segment's chain"),
            "link": (last, "is not the last link of the segment: links are missing or too many"),
            "hash": (reached[-1].hex(), "is not the hash that the segment leads to"),
        }
        key = self.trust.head_keys.get(head["key_id"])
        if not self.trust.head_keys:
            self._note(Check.HEAD, f"{where}.head.key_id", "no trusted head key was given", unverifiable=True)
        elif key is None:
            self._note(Check.HEAD, f"{where}.head.key_id", "is no key that you trust")
        holds = key is not None and head_holds(
            key,
            chain=head["chain"],
            link=head["link"],
            hash_=bytes.fromhex(head["hash"]),
            at=head["at"],
            key_id=head["key_id"],
            signature=bytes.fromhex(head["signature"]),
        )
        differing = [name for name, (value, _) in stated.items() if head[name] != value]
        for name in differing:
            self._note(Check.HEAD, self._culprit(where, name, holds), stated[name][1])
        if differing and holds:
            self._note(Check.HEAD, f"{where}.head", "or this: it is genuine, but of another place or another history")
        if key is not None and not holds:
            problem = "its signature does not cover chain, link, hash, at and key_id as they are here"
            self._note(Check.HEAD, f"{where}.head", problem)

    @staticmethod
    def _culprit(where: str, name: str, head_holds_: bool) -> str:
        """Name the segment's member when the head is genuine, the head's when it is not."""
        if not head_holds_:
            return f"{where}.head.{name}"
        return {"chain": f"{where}.chain", "link": f"{where}.leaves", "hash": f"{where}.leaves"}[name]
