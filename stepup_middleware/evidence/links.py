"""From one log to the next: the first leaf of a new log commits to what was known of the one before.

A new log is begun where the old one cannot be signed any more: a restored backup, a failover that lost its end. Leaves
that were signed in the old one and are not there are a gap, which is named; a contradiction is a fork.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.merkle import EMPTY_ROOT
from stepup_middleware.log.notes import NoteError, encode_base64, read_note
from stepup_middleware.log.stored import StoredRecord
from stepup_middleware.log.tiles import TileError, TileReader, read_root

from .findings import LogFinding
from .record import MISSHAPEN
from .tree_walk import Walked
from .trust import Trust, judge_checkpoint

BEGUN = "LOG_BEGUN"


async def links(
    walks: Mapping[int, Walked], firsts: Mapping[int, StoredRecord], tiles: Mapping[int, TileReader], trust: Trust
) -> AsyncIterator[LogFinding]:
    """Yield what does not hold between each log and the next, and what of a log was cut off.

    ``firsts`` are the records of the first leaves, ``tiles`` lead to those of each log; both by number.
    """
    numbers = sorted(walks)
    for old, new in zip(numbers, [*numbers[1:], None], strict=False):  # without a log, None has nothing before it
        signed: Checkpoint | None = None
        if new is not None:
            where = f"log {new} leaf 0"
            said = _said(firsts.get(new))
            if said is None:
                yield LogFinding(where=where, field="body", problem="does not say which log it goes on from")
            else:
                for field, problem in _old_tree(said, walks[old]):
                    yield LogFinding(where=where, field=f"body.data.previous.{field}", problem=problem)
                signed, problems = _signed(said, walks[old], trust)
                for problem in problems:
                    yield LogFinding(where=where, field="body.data.previous.checkpoint", problem=problem)
                if signed is not None and signed.size > walks[old].size:
                    lost = signed.size - walks[old].size
                    problem = f"{lost} records of {signed.origin} were signed, and are lost: from {walks[old].size} on"
                    yield LogFinding(where=where, field="gap", problem=problem, unverifiable=True)
                elif signed is not None and await _root(tiles[old], signed.size) != signed.root:
                    problem = "signs another root than the old log has: there are two histories"
                    yield LogFinding(where=where, field="body.data.previous.checkpoint", problem=problem)
        for size, stop in walks[old].beyond:
            if signed is None or size > signed.size:
                prefix = "" if old == 1 else f"log {old} "
                problem = f"is of {size} leaves, and there are {walks[old].size}: the end of the log was cut off"
                yield LogFinding(where=f"{prefix}{stop}", field="size", problem=problem)


def _said(row: StoredRecord | None) -> Mapping[str, Any] | None:
    """Return what the first record of a log says of the one before, None where it is none."""
    if row is None:
        return None
    try:
        body = json.loads(row.body)
        previous = body["data"]["previous"]
        texts = all(isinstance(previous[name], str) for name in ("origin", "root", "checkpoint"))
        return previous if body["event"] == BEGUN and texts and type(previous["size"]) is int else None
    except MISSHAPEN:
        return None


def _old_tree(said: Mapping[str, Any], old: Walked) -> list[tuple[str, str]]:
    found = []
    if said["origin"] != old.origin:
        found.append(("origin", f"is not that of the log before, {old.origin}"))
    if said["size"] != old.size:
        found.append(("size", f"the log before had {said['size']} leaves when this one began, and has {old.size}"))
    elif said["root"] != (encode_base64(old.root) if old.size or said["root"] else ""):
        found.append(("root", "is not that of the log before"))
    return found


def _signed(said: Mapping[str, Any], old: Walked, trust: Trust) -> tuple[Checkpoint | None, list[str]]:
    if not said["checkpoint"]:
        return None, []
    try:
        note = read_note(said["checkpoint"])
        checkpoint = read_checkpoint(note.text)
    except NoteError as error:
        return None, [str(error)]
    if checkpoint.origin != old.origin:
        return None, ["is of another log than the one before"]
    judged = judge_checkpoint(note, checkpoint, trust)
    problems = [finding.problem for finding in judged.findings if not finding.unverifiable]
    return (None if problems else checkpoint), problems


async def _root(tiles: TileReader, size: int) -> bytes:
    try:
        return await read_root(tiles, size) if size else EMPTY_ROOT
    except TileError:
        return b""
