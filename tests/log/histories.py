"""A log that can lie: checkpoints of one history and of another that forks from it, signed with the same keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, WITNESS_TYPES, SigningKey, sign_checkpoint
from stepup_middleware.log.merkle import consistency_ranges, root_of
from stepup_middleware.log.notes import Note
from stepup_middleware.log.witness.decision import AddCheckpoint
from tests.log.support import leaves

ORIGIN = "log.example.com/stepup"
AT = 1_795_000_000
LOG_KEYS = tuple(SigningKey.generate(ORIGIN, type_) for type_ in LOG_TYPES)
LOG_VERIFIERS = tuple(key.verifier for key in LOG_KEYS)
WITNESS_KEYS = tuple(SigningKey.generate("witness.example", type_) for type_ in WITNESS_TYPES)
WITNESS_VERIFIERS = tuple(key.verifier for key in WITNESS_KEYS)
STRANGER = SigningKey.generate(ORIGIN, LOG_TYPES[0])


@dataclass
class History:
    """The leaves of a log. ``fork`` returns another log that has the first leaves of this one."""

    leaf_hashes: list[bytes] = field(default_factory=lambda: leaves(200))

    def fork(self, shared: int) -> History:
        own = [sha256(b"fork" + leaf).digest() for leaf in self.leaf_hashes[shared:]]
        return History(self.leaf_hashes[:shared] + own)

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, root_of(self.leaf_hashes[:size]))

    def note(self, size: int) -> Note:
        return sign_checkpoint(self.checkpoint(size), LOG_KEYS, AT)

    def proof(self, old: int, size: int) -> tuple[bytes, ...]:
        if not 0 < old <= size:
            return ()
        return tuple(root_of(self.leaf_hashes[range_.start : range_.end]) for range_ in consistency_ranges(old, size))

    async def prove(self, old: int, size: int) -> tuple[bytes, ...]:
        return self.proof(old, size)

    def request(self, old: int, size: int) -> AddCheckpoint:
        return AddCheckpoint(old, self.proof(old, size), self.note(size))
