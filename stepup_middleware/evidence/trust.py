"""Whom an auditor trusts, and what those keys say of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stepup_middleware.core.retention import CLOCKS_DIFFER
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import SignatureType, VerifiedSignature, VerifierKey, verify_note
from stepup_middleware.log.notes import Note, NoteError

from .report import Check, Finding

_LATEST = datetime.max.replace(tzinfo=UTC) - CLOCKS_DIFFER


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What an auditor knows from elsewhere.

    ``log_keys``, ``witness_keys``: public keys; without any of the former, one of the latter may be the log's whose
    name it has. ``quorum``: how many of the witnesses must have cosigned. ``checkpoints``: some that were kept when
    they were signed. ``rp_id``: the relying party that the person used.
    """

    log_keys: Sequence[VerifierKey] = ()
    witness_keys: Sequence[VerifierKey] = ()
    quorum: int = 1
    checkpoints: Sequence[Checkpoint] = ()
    rp_id: str | None = None

    @classmethod
    def among(
        cls,
        keys: Sequence[VerifierKey],
        *,
        quorum: int = 1,
        checkpoints: Sequence[Checkpoint] = (),
        rp_id: str | None = None,
    ) -> Trust:
        """Return the trust in keys, which alone say whose they are: nothing that is to be verified has a say in it.

        A name with an Ed25519 key is a log's, every other a witness's.
        """
        logs = {key.name for key in keys if key.type is SignatureType.ED25519}
        return cls(
            log_keys=[key for key in keys if key.name in logs],
            witness_keys=[key for key in keys if key.name not in logs],
            quorum=quorum,
            checkpoints=checkpoints,
            rp_id=rp_id,
        )

    def of_log(self, origin: str | None) -> Sequence[VerifierKey]:
        """Return the keys that sign for the log of this origin: no other key does."""
        if self.log_keys:
            return [key for key in self.log_keys if key.name == origin]
        named = [key for key in self.witness_keys if key.name == origin]
        return [] if any(key.type is SignatureType.ED25519_COSIGNATURE for key in named) else named

    def of_witnesses(self, origin: str | None) -> Sequence[VerifierKey]:
        """Return the keys whose cosignatures of the log of this origin count."""
        own = self.of_log(origin)
        return [key for key in self.witness_keys if key not in own]

    def contradicts(self, checkpoint: Checkpoint) -> bool:
        """Tell whether a checkpoint of the same size and another root was kept: there are two histories."""
        return any(
            (kept.origin, kept.size) == (checkpoint.origin, checkpoint.size) and kept.root != checkpoint.root
            for kept in self.checkpoints
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTree:
    """What trusted keys say of a checkpoint.

    ``signed``: a key of the log signed it. ``log_times`` are those of its signatures that have a time; ``witnessed``
    has the earliest time of each trusted witness. ``findings`` say what does not hold, or cannot be told.
    """

    signed: bool
    log_times: tuple[datetime, ...]
    witnessed: Mapping[str, datetime]
    findings: tuple[Finding, ...]

    @property
    def times(self) -> tuple[datetime, ...]:
        """All times at which the tree was there."""
        return (*self.log_times, *self.witnessed.values())

    @property
    def holds(self) -> bool:
        """Tell whether every trusted key that should have signed did."""
        return not self.findings


def judge_checkpoint(note: Note, checkpoint: Checkpoint, trust: Trust, where: str = "checkpoint") -> SignedTree:
    """Return what the trusted keys say of a checkpoint. ``where`` is the field that findings name."""
    found: list[Finding] = []

    def wrong(check: Check, problem: str, *, unverifiable: bool = False) -> None:
        found.append(Finding(check=check, field=where, problem=problem, unverifiable=unverifiable))

    def verified(check: Check, keys: Sequence[VerifierKey]) -> list[VerifiedSignature] | None:
        try:
            return verify_note(note, keys)
        except NoteError as error:
            wrong(check, str(error))
            return None

    keys = trust.of_log(checkpoint.origin)
    by_log = verified(Check.CHECKPOINT, keys)
    if not trust.log_keys and not keys:
        wrong(Check.CHECKPOINT, "no trusted vkey of the log was given", unverifiable=True)
    elif by_log is not None:
        missing = {key.type for key in keys} - {each.key.type for each in by_log}
        if not by_log:
            wrong(Check.CHECKPOINT, "is signed by no key that you trust for this log")
        elif missing:
            problem = "lacks a signature of a type that you have a vkey of this log for"
            wrong(Check.CHECKPOINT, problem, unverifiable=True)
    witnessed: dict[str, datetime] = {}
    witness_keys = trust.of_witnesses(checkpoint.origin)
    names = {key.name for key in witness_keys}
    cosigned = verified(Check.WITNESSES, witness_keys)
    for each in cosigned or ():
        if each.at_seconds:
            at = moment_of(each.at_seconds)
            witnessed[each.key.name] = min(at, witnessed.get(each.key.name, at))
    if names and cosigned is not None and len(witnessed) < trust.quorum:
        problem = f"{len(witnessed)} of {len(names)} trusted witnesses cosigned, not {trust.quorum}"
        wrong(Check.WITNESSES, problem, unverifiable=True)
    if trust.contradicts(checkpoint):
        problem = "has another root than the checkpoint of this size that was kept: there are two histories"
        wrong(Check.CHECKPOINT, problem)
    return SignedTree(
        signed=bool(by_log),
        log_times=tuple(moment_of(each.at_seconds) for each in by_log or () if each.at_seconds),
        witnessed=witnessed,
        findings=tuple(found),
    )


def moment_of(at_seconds: int) -> datetime:
    """Return the time of a signature; one at the end of the calendar, or beyond it, is as late as others may follow."""
    try:
        return min(datetime.fromtimestamp(at_seconds, UTC), _LATEST)
    except (ValueError, OverflowError, OSError):
        return _LATEST
