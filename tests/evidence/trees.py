"""Step-ups in a transparency log of any size: its other leaves are all alike, so ten million of them cost nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from stepup_middleware.evidence.bundle import Bundle, ProvedRecord
from stepup_middleware.evidence.report import Report
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.evidence.verification import verify_bundle
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, WITNESS_TYPES, SigningKey, sign_checkpoint
from stepup_middleware.log.merkle import Range, Subtree, hash_children, hash_leaf, hash_range, inclusion_ranges
from stepup_middleware.log.records import Entry, entry_of, salt_body
from stepup_middleware.service.assertions import signature_holds
from tests.evidence.generator import RP_ID, Generator

ORIGIN = "log.example.com/stepup"
LOG_KEYS = tuple(SigningKey.generate(ORIGIN, type_) for type_ in LOG_TYPES)
WITNESS_KEYS = tuple(SigningKey.generate("witness.example", type_) for type_ in WITNESS_TYPES)
TRUST = Trust(
    log_keys=tuple(key.verifier for key in LOG_KEYS),
    witness_keys=tuple(key.verifier for key in WITNESS_KEYS),
    rp_id=RP_ID,
)
ALIKE = hash_leaf(b"another")


class SparseTree:
    """A tree of a size, with these leaves by index and all others alike."""

    def __init__(self, size: int, leaf_hashes: Mapping[int, bytes]) -> None:
        self.size = size
        self.leaf_hashes = leaf_hashes

    def hash_of(self, subtree: Subtree) -> bytes:
        level, number = subtree
        if not any(index >> level == number for index in self.leaf_hashes):
            return alike(level)
        if level == 0:
            return self.leaf_hashes[number]
        left, right = Subtree(level - 1, 2 * number), Subtree(level - 1, 2 * number + 1)
        return hash_children(self.hash_of(left), self.hash_of(right))

    def path(self, index: int) -> tuple[bytes, ...]:
        return tuple(hash_range(range_, self.hash_of) for range_ in inclusion_ranges(index, self.size))

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.size, hash_range(Range(0, self.size), self.hash_of))


@lru_cache
def alike(level: int) -> bytes:
    """Return the hash of a perfect subtree whose leaves are all alike."""
    return ALIKE if level == 0 else hash_children(alike(level - 1), alike(level - 1))


@dataclass
class Logged:
    """The records of a step-up as the log has them: bodies and entries by index, and which is the enrolment."""

    size: int
    bodies: dict[int, str]
    entries: dict[int, Entry]
    enrolment: int | None
    signed_at: datetime
    prompt_id: str
    workspace_id: str

    def bundle(
        self,
        log_keys: Sequence[SigningKey] = LOG_KEYS,
        witness_keys: Sequence[SigningKey] = WITNESS_KEYS,
        *,
        size: int | None = None,
    ) -> Bundle:
        """Return the bundle, under a checkpoint that these keys signed."""
        tree = SparseTree(size or self.size, {index: entry.leaf_hash for index, entry in self.entries.items()})
        at_seconds = int(self.signed_at.timestamp())
        shown = {
            index: ProvedRecord(index=index, entry=entry.text, path=tree.path(index), body=self.bodies[index])
            for index, entry in sorted(self.entries.items())
        }
        enrolment = None if self.enrolment is None else shown.pop(self.enrolment)
        return Bundle(
            prompt_id=self.prompt_id,
            workspace_id=self.workspace_id,
            records=list(shown.values()),
            enrolment=enrolment,
            note=sign_checkpoint(tree.checkpoint(), [*log_keys, *witness_keys], at_seconds),
        )

    def altered(self, index: int, old: str, new: str) -> Logged:
        """Return the log as somebody would have rewritten it: another body with an entry of its own."""
        assert old in self.bodies[index]
        return self._with(index, self.bodies[index].replace(old, new), self.entries[index])

    def written_anew(self, index: int, event: Any) -> Logged:
        """Return the log with another event in the place of one, whose entry says what it says as far as it can."""
        body, entry = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False), self.entries[index]
        try:
            at = datetime.fromisoformat(event["at"])
            entry = entry_of(body, at=at, retention_years=event["retention_years"])
        except (ValueError, TypeError, KeyError, OverflowError):
            pass
        return self._with(index, body, entry)

    def _with(self, index: int, body: str, entry: Entry) -> Logged:
        entry = replace(entry, body_sha256=sha256(body.encode()).digest())
        return replace(self, bodies={**self.bodies, index: body}, entries={**self.entries, index: entry})


def logged(generator: Generator, *, plain: bool = False) -> Logged:
    """Return a step-up of the generator in a tree, with all sorts of leaves before, between and after."""
    _, events, enrolment = generator.step_up(plain=plain)
    chance: random.Random = generator.random
    records = [*([] if enrolment is None else [enrolment]), *events]
    bodies, entries = {}, {}
    index = chance.randrange(200)
    for record in records:
        index += chance.choice((1, 1, 2, 300))
        bodies[index] = salt_body(record.body, chance.randbytes(16))
        entries[index] = entry_of(bodies[index], at=record.at, retention_years=record.retention_years)
    signed_at = max(generator.now, records[-1].at).replace(microsecond=0)
    return Logged(
        size=index + chance.choice((1, 1, 2, 5, 1000)),
        bodies=bodies,
        entries=entries,
        enrolment=None if enrolment is None else min(bodies),
        signed_at=signed_at.astimezone(UTC),
        prompt_id=events[0].prompt_id,
        workspace_id=events[0].workspace_id,
    )


def verified(bundle: object, trust: Trust = TRUST) -> Report:
    return verify_bundle(bundle, trust, signature_holds=signature_holds)
