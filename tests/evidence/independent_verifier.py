"""A second verifier of evidence bundles, written from ``guide/evidence.md`` alone: it imports nothing of the library.

``python independent_verifier.py BUNDLE PUBLIC_KEY_BASE64 [...]`` prints ``verified``, ``not_verifiable`` or ``failed``
and exits with 0, 3 or 1; on standard error it says why.
"""

import hashlib
import json
import re
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

SEVERITY = {
    "ACCOUNT_STEPUP_CHALLENGE_REQUESTED": "info", "ACCOUNT_STEPUP_VERIFIED": "info", "ACTION_AUTHORIZED": "info",
    "ACTION_COMPLETED": "info", "ACCOUNT_STEPUP_REUSED": "critical", "FACTOR_ENROLLED": "info",
    "ACCOUNT_STEPUP_FAILED": "warning", "ACCOUNT_STEPUP_BLOCKED": "warning",
}  # fmt: skip
ASKED, PROVED, RAN, ENDED, REUSED, ENROLLED, *_ = SEVERITY
STRONG = ("passkey", "hardware_key")
WORDS = {
    "outcome": ("pending", "success", "failure", "denied"), "factor": (None, "totp", *STRONG),
    "requirement": (None, "any", "phishing_resistant"),
}  # fmt: skip
SIGNED = ("workspace", "subject", "purpose", "prompt", "requirement", "policy_version", "request", "details")
AGREEING = ("session", "ip", *(name for name in SIGNED if name != "request"))
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
at = datetime.fromisoformat


class Untold(Exception):
    """Nothing is wrong, but the bundle cannot tell everything."""


def need(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def b64(text: str) -> bytes:
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(urlsafe_b64encode(raw).rstrip(b"=").decode() == text, "base64url")
    return raw


def exactly(value: Any, names: str) -> None:
    need(isinstance(value, dict) and value.keys() == set(names.split()), f"members: {names}")
    need(not any(isinstance(member, bool | float) for member in value.values()), "1 is neither true nor 1.0")


def follow_chains(bundle: dict[str, Any], keys: dict[str, bytes]) -> str:
    """Follow each segment link by link to its head. Return what cannot be told about the heads."""
    entries = [*bundle["events"], *([bundle["enrolment"]] if bundle["enrolment"] else [])]
    here, untold, used, end = {(entry["chain"], entry["link"]): entry for entry in entries}, "", set(), ("", 0)
    need(len(here) == len(entries), "two events at one place")
    for segment in bundle["segments"]:
        exactly(segment, "chain first_link leaves head")
        chain, state = segment["chain"], b""
        need((chain, segment["first_link"]) > end, "segments in order")
        for link, leaf in enumerate(segment["leaves"], segment["first_link"]):
            entry = here.pop((chain, link), None)
            need((leaf is None) == (entry is not None), "null for each event, and for nothing else")
            if entry is not None:
                exactly(entry, "chain link previous hash body")
                need(not state or state.hex() == entry["previous"], "previous")
                state = bytes.fromhex(entry["previous"])
                leaf = sha(b"stepup-audit-leaf-v1\0", entry["body"].encode()).hex()
            need(len(state) == 32, "a segment begins with an event")
            place = chain.encode() + b"\0" + link.to_bytes(8, "big")
            state, end = sha(b"stepup-audit-link-v1\0", place, state, bytes.fromhex(leaf)), (chain, link)
            need(entry is None or state.hex() == entry["hash"], "hash")
        if (head := segment["head"]) is None:
            untold = "no signed head"
            continue
        exactly(head, "chain link hash at key_id signature")
        need((head["chain"], head["link"], head["hash"]) == (*end, state.hex()), "the head is of the last link")
        used.add(head["key_id"])
        untold = untold if keys else "no trusted key"
        need(not keys or head["key_id"] in keys, "a trusted key")
        if keys:
            statement = canonical({name: head[name] for name in ("at", "chain", "hash", "key_id", "link")}).encode()
            trusted = ed25519.Ed25519PublicKey.from_public_bytes(keys[head["key_id"]])
            trusted.verify(bytes.fromhex(head["signature"]), b"stepup-audit-head-v1\0" + statement)
    need(not here and bundle["head_key_ids"] == sorted(used), "each event in a segment, each signer named")
    return untold


def check_signature(cose: bytes, algorithm: int, signature: bytes, message: bytes) -> None:
    key = cbor2.loads(cose)
    number = {label: int.from_bytes(part, "big") for label, part in key.items() if isinstance(part, bytes)}
    need(key[3] == algorithm and algorithm in (-7, -8, -257), "algorithm")
    if algorithm == -7:
        point = ec.EllipticCurvePublicNumbers(number[-2], number[-3], ec.SECP256R1()).public_key()
        point.verify(signature, message, ec.ECDSA(SHA256()))
    elif algorithm == -8:
        ed25519.Ed25519PublicKey.from_public_bytes(key[-2]).verify(signature, message)
    else:
        modulus = rsa.RSAPublicNumbers(number[-2], number[-1]).public_key()
        modulus.verify(signature, message, padding.PKCS1v15(), SHA256())


def check_proof(proof: dict[str, Any], asked: dict[str, Any], action: dict[str, Any], enrolled: Any) -> None:
    exactly(proof, "type nonce description authenticator_data client_data_json signature credential_id public_key "
            "algorithm rp_id origins")  # fmt: skip
    data, client_json, key = (b64(proof[name]) for name in ("authenticator_data", "client_data_json", "public_key"))
    said, client, rp_id = json.loads(proof["description"]), json.loads(client_json), proof["rp_id"]
    need(proof["type"] == "webauthn" and canonical(said) == proof["description"], "canonical description")
    did = {"v": 1, "locale": said["locale"], "issued_at": said["issued_at"], **{name: action[name] for name in SIGNED}}
    need(said == did and at(said["issued_at"]) == at(asked["at"]), "the description is the action")
    challenge = sha(b"stepup-challenge-v1\0", b64(proof["nonce"]), proof["description"].encode())
    need(b64(client["challenge"]) == challenge, "the challenge commits to the description")
    need(client["type"] == "webauthn.get" and client["origin"] in proof["origins"], "origin")
    need(client.get("crossOrigin", False) is False and "topOrigin" not in client, "no frame of another site")
    ours = rf"http{'s?' if rp_id.split('.')[-1] == 'localhost' else 's'}://([a-z0-9-]+\.)*{re.escape(rp_id)}(:[0-9]+)?"
    need(all(re.fullmatch(ours, origin) for origin in proof["origins"]), "origins of the relying party")
    need(data[:32] == sha(rp_id.encode()), "RP ID hash")
    need(data[32] & 0x05 == 0x05 and data[32] & 0x18 != 0x10, "UP, UV, and BS only with BE")
    check_signature(key, proof["algorithm"], b64(proof["signature"]), data + sha(client_json))
    if enrolled is None:
        raise Untold("no enrolment")
    need(all(enrolled[name] == action[name] for name in ("workspace", "subject", "factor", "factor_id")), "owner")
    facts = {"public_key": key.hex(), "credential_id": b64(proof["credential_id"]).hex(), "rp_id": rp_id,
             "algorithm": proof["algorithm"], "backup_eligible": bool(data[32] & 0x08)}  # fmt: skip
    need(all(enrolled["data"][name] == fact for name, fact in facts.items()), "the enrolled key")
    need((at(enrolled["at"]) - at(asked["at"])).total_seconds() <= 5, "enrolled before")


def judge(bundle: dict[str, Any], keys: dict[str, bytes]) -> None:
    exactly(bundle, "format version prompt_id workspace_id events enrolment proof segments head_key_ids")
    need((bundle["format"], bundle["version"]) == ("stepup-evidence", 1), "format")
    untold, entries, place = follow_chains(bundle, keys), bundle["events"], bundle["enrolment"]
    for entry in filter(None, [*entries, place]):
        event = json.loads(entry["body"])
        need(canonical(event) == entry["body"] and event["v"] == 1, "canonical text")
        need(SEVERITY[event["event"]] == event["severity"], "severity")
        need(all(event[name] in words for name, words in WORDS.items()), "known words")
        ours = (event["prompt"], event["workspace"]) == (bundle["prompt_id"], bundle["workspace_id"])
        need(ours or entry is place, "one prompt")
    for one, other in pairwise(entries):
        need(one["chain"] != other["chain"] or one["link"] < other["link"], "order")
    events, enrolled = [json.loads(entry["body"]) for entry in entries], json.loads(place["body"]) if place else None
    names, first = [event["event"] for event in events], {event["event"]: event for event in reversed(events)}
    need(names[0] == ASKED and all(names.count(name) <= 1 for name in (ASKED, PROVED, RAN, ENDED)), "asked first, once")
    for name, before in ((RAN, PROVED), (ENDED, RAN), (REUSED, PROVED)):
        need(name not in names or before in names[: names.index(name)], f"{name} after {before}")
    asked, proved, action = first[ASKED], first.get(PROVED), first.get(RAN)
    for event in filter(None, (proved, action, first.get(ENDED))):
        need(all(event[name] == asked[name] for name in AGREEING) and not event["reason"], "events agree")
        need(event["event"] == ENDED or event["request"] == asked["request"], "one request")
    need(bundle["proof"] == (proved["data"]["proof"] if proved else None), "the proof is that of the event")
    need(ENROLLED not in names and (enrolled is None or enrolled["event"] == ENROLLED), "an enrolment apart")
    if proved is None or action is None:
        raise Untold("no proof, or no action")
    for event in (action, first.get(ENDED, action)):
        need(all(event[name] == proved[name] for name in ("factor", "factor_id")), "one factor")
    need(asked["requirement"] == "any" or proved["factor"] in STRONG, "the factor meets the requirement")
    amr = {"passkey": ["swk", "user", "mfa"], "hardware_key": ["hwk", "user", "mfa"], "totp": ["otp", "mfa"]}
    need(proved["data"]["acr"] == ("phr" if proved["factor"] in STRONG else "mfa"), "acr")
    need(proved["data"]["amr"] == amr[proved["factor"]], "amr")
    if bundle["proof"]["type"] == proved["factor"] == "totp":
        raise Untold("a one-time password")
    if place is not None:
        need(place["chain"] != entries[0]["chain"] or place["link"] < entries[0]["link"], "enrolled before")
    check_proof(bundle["proof"], asked, action, enrolled)
    if untold:
        raise Untold(untold)


def verdict(bundle: Any, public_keys: list[bytes]) -> tuple[str, str]:
    """Return ``verified``, ``not_verifiable`` or ``failed``, and why."""
    try:
        judge(bundle, {sha(b"stepup-head-key\0", key).hex()[:16]: key for key in public_keys})
    except Untold as why:
        return "not_verifiable", str(why)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, InvalidSignature) as why:
        return "failed", f"{type(why).__name__}: {why}"
    return "verified", ""


if __name__ == "__main__":
    result, reason = verdict(json.loads(Path(sys.argv[1]).read_text("utf-8")), [b64(text) for text in sys.argv[2:]])
    sys.stdout.write(result + "\n")
    sys.stderr.write(reason)
    sys.exit({"verified": 0, "failed": 1, "not_verifiable": 3}[result])
