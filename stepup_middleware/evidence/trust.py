"""Whom an auditor trusts, and what those keys say of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stepup_middleware.core.retention import CLOCKS_DIFFER
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import VerifiedSignature, VerifierKey, verify_note
from stepup_middleware.log.notes import Note, NoteError

from .report import Check, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What an auditor knows from elsewhere.

    ``log_keys``, ``witness_keys``: public keys. ``quorum``: how many of the witnesses must have cosigned.
    ``checkpoints``: some that were kept when they were signed. ``rp_id``: the relying party that the person used.
    """

    log_keys: Sequence[VerifierKey] = ()
    witness_keys: Sequence[VerifierKey] = ()
    quorum: int = 1
    checkpoints: Sequence[Checkpoint] = ()
    rp_id: str | None = None

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

    keys = [key for key in trust.log_keys if key.name == checkpoint.origin]
    by_log = verified(Check.CHECKPOINT, keys) if trust.log_keys else []
    if not trust.log_keys:
        wrong(Check.CHECKPOINT, "no trusted vkey of the log was given", unverifiable=True)
    elif by_log is not None:
        missing = {key.type for key in keys} - {each.key.type for each in by_log}
        if not by_log:
            wrong(Check.CHECKPOINT, "is signed by no key that you trust for this log")
        elif missing:
            problem = "lacks a signature of a type that you have a vkey of this log for"
            wrong(Check.CHECKPOINT, problem, unverifiable=True)
    witnessed: dict[str, datetime] = {}
    names = {key.name for key in trust.witness_keys}
    cosigned = verified(Check.WITNESSES, trust.witness_keys) if names else []
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
    """Return the time of a signature; one that no calendar has is as late as can be."""
    try:
        return datetime.fromtimestamp(at_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC) - CLOCKS_DIFFER
