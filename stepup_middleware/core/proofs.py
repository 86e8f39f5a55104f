"""Judge a kept WebAuthn proof again, years later: what was signed, by which key, and for which action.

Nothing here trusts the log's own verdicts. Each check yields a ``Finding`` that names the member; no
finding means that the check held.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from stepup_middleware.errors import ConfigurationError

from .batches import HASH_BYTES, MOST_PROMPTS, SALT_BYTES, BatchItem, commit_to_all
from .canonical import base64url, canonical_json, read_base64url, strict_json
from .challenge import NONCE_BYTES, commit
from .decisions import CLOCK_SKEW
from .events import EventName
from .factors import FactorKind
from .findings import Check, Finding, LocatedRecord
from .prompts import SHOWN
from .relying_party import check_domain, check_origins, check_related_origins, is_within

_UP, _UV, _BE, _BS = 0x01, 0x04, 0x08, 0x10  # WebAuthn L3 §6.1
_FLAGS_AT = 32
_SHORTEST = 37  # bytes of authenticator data: RP ID hash, flags, sign count

SignatureHolds = Callable[[int, bytes, bytes, bytes, bytes], bool]
"""(COSE algorithm, COSE_Key, authenticator data, client data, signature) -> whether the assertion verifies."""


def check_proof(
    challenge: LocatedRecord,
    verified: LocatedRecord,
    authorized: LocatedRecord | None,
    enrolment: LocatedRecord | None,
    *,
    signature_holds: SignatureHolds,
    rp_id: str | None = None,
) -> Iterator[Finding]:
    """Judge the proof that ``verified`` keeps, against the action and the enrolment.

    ``rp_id`` is the relying-party id that the reader expects, where they know it. A one-time password cannot
    be judged: one unverifiable finding says so.
    """
    field = verified.field("data.proof")
    proof = verified.record.data.get("proof")
    if isinstance(proof, dict) and proof.get("type") == "totp" and verified.record.factor_kind is FactorKind.TOTP:
        problem = "a one-time password is not independently verifiable"
        yield Finding(check=Check.SIGNATURE, field=field, problem=problem, unverifiable=True)
        return
    kept = StoredAssertion.read(proof)
    if kept is None:
        yield Finding(check=Check.SIGNATURE, field=field, problem="is not a complete WebAuthn proof")
        return
    yield from _check_description(kept, challenge, verified, authorized or verified, field)
    client = _client_data(kept)
    yield from _check_challenge(kept, client, field)
    yield from _check_relying_party(kept, client, field, rp_id)
    yield from _check_flags(kept, field)
    yield from _check_enrolment(kept, challenge, verified, enrolment, field)
    held = signature_holds(
        kept.algorithm, kept.public_key, kept.authenticator_data, kept.client_data_json, kept.signature
    )
    if held is not True:
        problem = "does not verify under public_key over authenticator_data and client_data_json"
        yield Finding(check=Check.SIGNATURE, field=f"{field}.signature", problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAssertion:
    """A WebAuthn proof as the log keeps it, decoded. ``batch``: one answer to several prompts."""

    nonce: bytes
    description: str
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes
    credential_id: bytes
    public_key: bytes
    algorithm: int
    rp_id: str
    origins: tuple[str, ...]
    batch: BatchItem | None

    @classmethod
    def read(cls, proof: object) -> StoredAssertion | None:
        """Return the decoded proof; None for anything that is not exactly one."""
        if not isinstance(proof, dict) or proof.get("type") != "webauthn":
            return None
        members: dict[str, Any] = {name: value for name, value in proof.items() if name != "type"}
        members["batch"] = batch = _read_batch(proof["batch"]) if "batch" in proof else None
        if batch is None and "batch" in proof:
            return None
        if members.keys() != cls.__dataclass_fields__.keys():
            return None
        for name in _RAW:
            members[name] = _unb64(members[name])
        origins = members["origins"]
        typed = (
            all(members[name] is not None for name in _RAW)
            and len(members["nonce"]) == NONCE_BYTES
            and type(members["algorithm"]) is int
            and all(isinstance(members[name], str) for name in ("description", "rp_id"))
            and isinstance(origins, list)
            and all(isinstance(origin, str) for origin in origins)
        )
        return cls(**{**members, "origins": tuple(origins)}) if typed else None


def _read_batch(kept: object) -> BatchItem | None:
    if not isinstance(kept, dict) or kept.keys() != {"salt", "hashes", "total"} or not isinstance(kept["hashes"], list):
        return None
    salt, total, *hashes = map(_unb64, (kept["salt"], kept["total"], *kept["hashes"]))
    if salt is None or len(salt) != SALT_BYTES or total is None or len(total) != HASH_BYTES:
        return None
    known = tuple(each for each in hashes if each is not None and len(each) == HASH_BYTES)
    whole = len(known) == len(hashes) and 0 < len(known) <= MOST_PROMPTS
    return BatchItem(salt=salt, hashes=known, total=total) if whole else None


_RAW = ("nonce", "authenticator_data", "client_data_json", "signature", "credential_id", "public_key")


def _check_description(
    kept: StoredAssertion, challenge: LocatedRecord, verified: LocatedRecord, action: LocatedRecord, field: str
) -> Iterator[Finding]:
    """The description that was signed tells the very action that ran, and where it was approved, if elsewhere."""
    field = f"{field}.description"
    try:
        said = json.loads(kept.description)
        if not isinstance(said, dict) or canonical_json(said) != kept.description:
            raise ValueError("not canonical")
    except (ValueError, RecursionError):
        yield Finding(check=Check.DESCRIPTION, field=field, problem="is not canonical JSON")
        return
    record = action.record
    ran = {
        "v": 1,
        "prompt": record.prompt_id,
        "workspace": record.workspace_id,
        "subject": record.subject_id,
        "actor": record.actor,
        "client": record.client,
        "purpose": record.purpose,
        "requirement": None if record.requirement is None else record.requirement.value,
        "policy_version": record.policy_version,
        "request": None if record.request is None else record.request.as_dict(),
        "details": [list(pair) for pair in record.details],
    }
    asked, elsewhere = challenge.record, verified.record.data.get("approval")
    if elsewhere is not None:
        ran["approval"] = elsewhere
        caller = {"session": asked.session, "actor": asked.actor, "client": asked.client, "ip": asked.ip}
        if not isinstance(elsewhere, dict) or elsewhere.get("caller") != caller:
            problem = f"is not who asked, by {challenge.where}"
            yield Finding(check=Check.DESCRIPTION, field=verified.field("data.approval.caller"), problem=problem)
    if said.keys() != {*ran, *SHOWN, "issued_at"}:
        yield Finding(check=Check.DESCRIPTION, field=field, problem="has not the members of a description")
        return
    for name, value in ran.items():
        if said[name] != value or type(said[name]) is not type(value):
            problem = "is not what the person signed"
            yield Finding(check=Check.DESCRIPTION, field=action.field(name), problem=problem)
    for name in SHOWN:
        if said[name] != challenge.record.data.get(name) or type(said[name]) is not str:
            problem = "is not what the person was shown, by what they signed"
            yield Finding(check=Check.DESCRIPTION, field=challenge.field(f"data.{name}"), problem=problem)
    if said["issued_at"] != challenge.record.at.isoformat():
        problem = "is not when the person was asked, by what they signed"
        yield Finding(check=Check.DESCRIPTION, field=challenge.field("at"), problem=problem)


def _check_challenge(kept: StoredAssertion, client: Mapping[str, Any], field: str) -> Iterator[Finding]:
    """The challenge that was signed is the commitment to nonce and description, or to those of several prompts."""
    description, batch = kept.description.encode(), kept.batch
    if batch is not None and not batch.commits_to(description):
        problem = "does not have the description, with its salt, in one place"
        yield Finding(check=Check.CHALLENGE, field=f"{field}.batch", problem=problem)
    expected = base64url(
        commit(kept.nonce, description) if batch is None else commit_to_all(kept.nonce, batch.hashes, batch.total)
    )
    if client.get("challenge") != expected:
        problem = "the challenge in client_data_json is not the one of nonce and description"
        yield Finding(check=Check.CHALLENGE, field=f"{field}.client_data_json", problem=problem)


def _check_relying_party(
    kept: StoredAssertion, client: Mapping[str, Any], field: str, rp_id: str | None
) -> Iterator[Finding]:
    """WebAuthn L3 §7.2 steps 10 and 12 to 15, with the origins and the RP ID that the log names."""

    def wrong(name: str, problem: str) -> Finding:
        return Finding(check=Check.ORIGIN, field=f"{field}.{name}", problem=problem)

    if client.get("type") != "webauthn.get":
        yield wrong("client_data_json", "is not of the type webauthn.get")
    origin = client.get("origin")
    if not isinstance(origin, str) or origin not in kept.origins:
        yield wrong("client_data_json", "its origin is none of the relying party's")
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        yield wrong("client_data_json", "the ceremony was framed by another origin")
    if not _within(kept.rp_id, kept.origins):
        yield wrong("origins", "are not all of rp_id")
    if rp_id is not None and kept.rp_id != rp_id:
        yield wrong("rp_id", "is not the relying party that you expect")
    if kept.authenticator_data[:_FLAGS_AT] != sha256(kept.rp_id.encode()).digest():
        yield wrong("authenticator_data", "was not made for rp_id")


@lru_cache(maxsize=64)
def _within(rp_id: str, origins: tuple[str, ...]) -> bool:
    try:
        check_domain(rp_id)
        for origin in origins:
            (check_origins if is_within(rp_id, origin) else check_related_origins)(rp_id, [origin])
    except ConfigurationError:
        return False
    return True


def _check_flags(kept: StoredAssertion, field: str) -> Iterator[Finding]:
    """WebAuthn L3 §7.2 steps 16 to 18."""

    def wrong(problem: str) -> Finding:
        return Finding(check=Check.FLAGS, field=f"{field}.authenticator_data", problem=problem)

    if len(kept.authenticator_data) < _SHORTEST:
        yield wrong("is cut off")
        return
    flags = kept.authenticator_data[_FLAGS_AT]
    if not flags & _UP:
        yield wrong("the person was not present (UP)")
    if not flags & _UV:
        yield wrong("the person was not verified (UV)")
    if flags & _BS and not flags & _BE:
        yield wrong("is backed up but not eligible for it (BS without BE)")


def _check_enrolment(
    kept: StoredAssertion,
    challenge: LocatedRecord,
    verified: LocatedRecord,
    enrolment: LocatedRecord | None,
    field: str,
) -> Iterator[Finding]:
    """The key is the one that this person enrolled before they were asked."""
    if enrolment is None:
        problem = "FACTOR_ENROLLED is not there: nothing but this proof says whose key it is"
        yield Finding(check=Check.ENROLMENT, field="enrolment", problem=problem, unverifiable=True)
        return
    record, proved = enrolment.record, verified.record
    data = record.data
    pairs = (
        ("event", record.event, EventName.FACTOR_ENROLLED),
        ("workspace", record.workspace_id, proved.workspace_id),
        ("subject", record.subject_id, proved.subject_id),
        ("factor_id", record.factor_id, proved.factor_id),
        ("factor", record.factor_kind, proved.factor_kind),
        ("data.credential_id", data.get("credential_id"), kept.credential_id.hex()),
        ("data.public_key", data.get("public_key"), kept.public_key.hex()),
        ("data.algorithm", data.get("algorithm"), kept.algorithm),
        ("data.rp_id", data.get("rp_id"), kept.rp_id),
    )
    for name, enrolled, used in pairs:
        if enrolled != used:
            problem = f"is not that of {verified.where}"
            yield Finding(check=Check.ENROLMENT, field=enrolment.field(name), problem=problem)
    if record.at - challenge.record.at > CLOCK_SKEW:
        problem = "is later than the prompt: such a factor serves no prompt"
        yield Finding(check=Check.ENROLMENT, field=enrolment.field("at"), problem=problem)
    eligible = len(kept.authenticator_data) >= _SHORTEST and bool(kept.authenticator_data[_FLAGS_AT] & _BE)
    enrolled_as = data.get("backup_eligible")
    unknown = data.get("imported") is True and enrolled_as is None  # the system that it came from did not keep it
    if enrolled_as is not eligible and not unknown:
        problem = "is not the enrolled credential's backup eligibility (BE)"
        yield Finding(check=Check.ENROLMENT, field=f"{field}.authenticator_data", problem=problem)


def _client_data(kept: StoredAssertion) -> Mapping[str, Any]:
    """Return the members of the client data; none where it is no JSON object of one reading."""
    try:
        parsed = strict_json(kept.client_data_json.decode("utf-8-sig"))
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _unb64(value: object) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:
        return read_base64url(value)
    except ValueError:
        return None
