"""A second verifier of evidence bundles, written from the description of the format alone.

It imports nothing of the library. ``python independent_verifier.py BUNDLE PUBLIC_KEY_BASE64 [...]`` prints
``verified``, ``not_verifiable`` or ``failed``; for the last two it says why on standard error.
"""

from __future__ import annotations

import hashlib
import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

SAME = ("workspace", "subject", "session", "ip", "purpose", "prompt", "requirement", "policy_version", "details")
SIGNED = ("workspace", "subject", "purpose", "prompt", "requirement", "policy_version", "request", "details")
STRONG, PHR = ("passkey", "hardware_key"), "phishing_resistant"
ASKED, PROVED = "ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED"
RAN, ENDED, REUSED = "ACTION_AUTHORIZED", "ACTION_COMPLETED", "ACCOUNT_STEPUP_REUSED"
SEVERITY = {
    ASKED: "info", PROVED: "info", RAN: "info", ENDED: "info", "FACTOR_ENROLLED": "info", REUSED: "critical",
    "ACCOUNT_STEPUP_FAILED": "warning", "ACCOUNT_STEPUP_BLOCKED": "warning",
}  # fmt: skip
OUTCOMES = ("pending", "success", "failure", "denied")


class Untold(Exception):
    """Nothing is wrong, but this cannot be told from the bundle."""


def need(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def b64(text: str) -> bytes:
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(urlsafe_b64encode(raw).rstrip(b"=").decode() == text, "base64url")
    return raw


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def exactly(value: Any, *names: str) -> None:
    need(isinstance(value, dict) and value.keys() == set(names), f"members {names}")


def link_hash(chain: str, link: int, previous: bytes, leaf: bytes) -> bytes:
    return sha(b"stepup-audit-link-v1\0", chain.encode(), b"\0", link.to_bytes(8, "big"), previous, leaf)


def follow_chains(bundle: dict[str, Any], keys: dict[str, bytes]) -> list[str]:
    """Return what cannot be told about the heads. Raises for a chain that does not hold."""
    entries = [*bundle["events"], *([bundle["enrolment"]] if bundle["enrolment"] else [])]
    untold, used, end = [], [], ("", 0)
    by_place = {(entry["chain"], entry["link"]): entry for entry in entries}
    need(len(by_place) == len(entries), "two events at one place")
    for segment in bundle["segments"]:
        exactly(segment, "chain", "first_link", "leaves", "head")
        chain, state = segment["chain"], None
        need((chain, segment["first_link"]) > end, "segments in order")
        for link, leaf in enumerate(segment["leaves"], segment["first_link"]):
            entry = by_place.pop((chain, link), None)
            need((leaf is None) == (entry is not None), "null leaf for each event")
            if entry is not None:
                exactly(entry, "chain", "link", "previous", "hash", "body")
                need(state is None or state.hex() == entry["previous"], "previous")
                state = bytes.fromhex(entry["previous"])
                leaf = sha(b"stepup-audit-leaf-v1\0", entry["body"].encode()).hex()
            need(state is not None, "a segment begins with an event")
            state = link_hash(chain, link, state or b"", bytes.fromhex(leaf))
            need(entry is None or state.hex() == entry["hash"], "hash")
            end = (chain, link)
        head = segment["head"]
        if head is None:
            untold.append("no signed head")
            continue
        exactly(head, "chain", "link", "hash", "at", "key_id", "signature")
        need((head["chain"], head["link"], head["hash"]) == (*end, state and state.hex()), "head is of the last link")
        used.append(head["key_id"])
        if not keys:
            untold.append("no trusted key")
            continue
        need(head["key_id"] in keys, "trusted key")
        statement = canonical({name: head[name] for name in ("at", "chain", "hash", "key_id", "link")})
        ed25519.Ed25519PublicKey.from_public_bytes(keys[head["key_id"]]).verify(
            bytes.fromhex(head["signature"]), b"stepup-audit-head-v1\0" + statement.encode()
        )
    need(not by_place, "each event is in a segment")
    need(bundle["head_key_ids"] == sorted(set(used)), "head_key_ids")
    return untold


def check_signature(cose: bytes, algorithm: int, signature: bytes, message: bytes) -> None:
    key = cbor2.loads(cose)
    need(key[3] == algorithm, "algorithm")
    if algorithm == -7:
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(key[-2], "big"), int.from_bytes(key[-3], "big"), ec.SECP256R1()
        )
        numbers.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))
    elif algorithm == -8:
        ed25519.Ed25519PublicKey.from_public_bytes(key[-2]).verify(signature, message)
    else:
        need(algorithm == -257, "a known algorithm")
        public = rsa.RSAPublicNumbers(int.from_bytes(key[-2], "big"), int.from_bytes(key[-1], "big")).public_key()
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())


def check_proof(proof: dict[str, Any], asked: dict[str, Any], proved: dict[str, Any], action: dict[str, Any],
                enrolled: dict[str, Any] | None) -> None:  # fmt: skip
    description, data, client_json = proof["description"], b64(proof["authenticator_data"]), b64(
        proof["client_data_json"]
    )  # fmt: skip
    exactly(proof, "type", "nonce", "description", "authenticator_data", "client_data_json", "signature",
            "credential_id", "public_key", "algorithm", "rp_id", "origins")  # fmt: skip
    need(proof["type"] == "webauthn", "type")
    said, client = json.loads(description), json.loads(client_json)
    need(canonical(said) == description, "canonical description")
    need(said.keys() == {"v", "locale", "issued_at", *SIGNED} and said["v"] == 1, "members of the description")
    need(all(said[name] == action[name] for name in SIGNED), "description is the action")
    need(datetime.fromisoformat(said["issued_at"]) == datetime.fromisoformat(asked["at"]), "issued_at")
    challenge = sha(b"stepup-challenge-v1\0", b64(proof["nonce"]), description.encode())
    need(client["challenge"] == urlsafe_b64encode(challenge).rstrip(b"=").decode(), "challenge")
    need(client["type"] == "webauthn.get" and client["origin"] in proof["origins"], "origin")
    need(client.get("crossOrigin", False) is False and "topOrigin" not in client, "same origin")
    for origin in proof["origins"]:
        scheme, _, rest = origin.partition("://")
        host = rest.partition(":")[0]
        need(scheme == "https" or (scheme == "http" and host.split(".")[-1] == "localhost"), "a secure origin")
        need(host == proof["rp_id"] or host.endswith("." + proof["rp_id"]), "an origin of the relying party")
        need(origin == origin.lower() and not set(rest) & set("/?#@"), "scheme://host[:port]")
    need(data[:32] == sha(proof["rp_id"].encode()), "RP ID hash")
    need(data[32] & 0x05 == 0x05, "UP and UV")
    need(not data[32] & 0x10 or bool(data[32] & 0x08), "BS without BE")
    key = b64(proof["public_key"])
    check_signature(key, proof["algorithm"], b64(proof["signature"]), data + sha(client_json))
    if enrolled is None:
        raise Untold("no enrolment")
    facts = enrolled["data"]
    need(enrolled["event"] == "FACTOR_ENROLLED", "enrolment")
    need(all(enrolled[name] == proved[name] for name in ("workspace", "subject", "factor", "factor_id")), "owner")
    need(facts["public_key"] == key.hex() and facts["algorithm"] == proof["algorithm"], "enrolled key")
    need(facts["credential_id"] == b64(proof["credential_id"]).hex() and facts["rp_id"] == proof["rp_id"], "credential")
    need(facts["backup_eligible"] is bool(data[32] & 0x08), "BE")
    late = datetime.fromisoformat(enrolled["at"]) - datetime.fromisoformat(asked["at"])
    need(late.total_seconds() <= 5, "enrolled before")


def judge(bundle: dict[str, Any], keys: dict[str, bytes]) -> None:
    exactly(bundle, "format", "version", "prompt_id", "workspace_id", "events", "enrolment", "proof", "segments",
            "head_key_ids")  # fmt: skip
    need((bundle["format"], bundle["version"]) == ("stepup-evidence", 1), "format")
    untold = follow_chains(bundle, keys)
    events = [json.loads(entry["body"]) for entry in bundle["events"]]
    enrolled = json.loads(bundle["enrolment"]["body"]) if bundle["enrolment"] else None
    for entry, event in zip(bundle["events"], events, strict=True):
        need(canonical(event) == entry["body"] and event["v"] == 1, "canonical body")
        need((event["prompt"], event["workspace"]) == (bundle["prompt_id"], bundle["workspace_id"]), "one prompt")
    for one, other in zip(bundle["events"], bundle["events"][1:], strict=False):
        need(one["chain"] != other["chain"] or one["link"] < other["link"], "order")
    names = [event["event"] for event in events]
    need(names.count(ASKED) == 1 and names[0] == ASKED, "asked first")
    need(all(names.count(name) <= 1 for name in (PROVED, RAN, ENDED)), "once")
    for name, before in ((RAN, PROVED), (ENDED, RAN), (REUSED, RAN)):
        need(name not in names or before in names[: names.index(name)], f"{name} after {before}")
    by_name = {event["event"]: event for event in reversed(events)}
    asked, proved = by_name[ASKED], by_name.get(PROVED)
    action = by_name.get(RAN)
    for event in (proved, action, by_name.get(ENDED)):
        need(event is None or all(event[name] == asked[name] for name in SAME), "events agree")
        need(event is None or event["event"] == ENDED or event["request"] == asked["request"], "one request")
    need(all(not event["reason"] for event in (proved, action, by_name.get(ENDED)) if event), "no reason")
    for event in [*events, *([enrolled] if enrolled else [])]:
        need(event["severity"] == SEVERITY[event["event"]] and event["outcome"] in OUTCOMES, "known words")
        need(event["factor"] in (None, "totp", *STRONG) and event["requirement"] in (None, "any", PHR), "known words")
    need("FACTOR_ENROLLED" not in names, "events of a step-up")
    need(bundle["proof"] == (proved["data"]["proof"] if proved else None), "proof is that of the event")
    if proved is None or action is None:
        raise Untold("no proof, or no action")
    need(action["factor_id"] == proved["factor_id"] and action["factor"] == proved["factor"], "one factor")
    need(asked["requirement"] == "any" or proved["factor"] in STRONG, "factor meets the requirement")
    if bundle["proof"]["type"] == "totp" and proved["factor"] == "totp":
        raise Untold("a one-time password")
    start = bundle["events"][0]
    if enrolled is not None:
        place = bundle["enrolment"]
        need(canonical(enrolled) == place["body"], "canonical enrolment")
        need(place["chain"] != start["chain"] or place["link"] < start["link"], "enrolled before")
    check_proof(bundle["proof"], asked, proved, action, enrolled)
    if untold:
        raise Untold(untold[0])


def verdict(bundle: Any, public_keys: list[bytes]) -> tuple[str, str]:
    """Return ``verified``, ``not_verifiable`` or ``failed``, and why."""
    keys = {sha(b"stepup-head-key\0", key).hex()[:16]: key for key in public_keys}
    try:
        judge(bundle, keys)
    except Untold as why:
        return "not_verifiable", str(why)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, InvalidSignature) as why:
        return "failed", f"{type(why).__name__}: {why}"
    return "verified", ""


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result, reason = verdict(given, [b64(text) for text in sys.argv[2:]])
    sys.stdout.write(result + "\n")
    sys.stderr.write(reason + "\n" if reason else "")
    sys.exit({"verified": 0, "failed": 1, "not_verifiable": 3}[result])
