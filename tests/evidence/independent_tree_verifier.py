"""A second verifier of bundles over the transparency log, from RFC 9162 and C2SP's texts, with nothing of the library.

``python -m tests.evidence.independent_tree_verifier BUNDLE VKEY_FILE [...]`` prints ``verified``, ``not_verifiable`` or
``failed`` and exits with 0, 3 or 1; on standard error it says why. A vkey named like the checkpoint's origin is the
log's, every other one a witness's.
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from tests.evidence.independent_verifier import (
    AGREEING,
    ASKED,
    ENDED,
    ENROLLED,
    PROVED,
    RAN,
    REUSED,
    SEVERITY,
    STRONG,
    WORDS,
    Untold,
    at,
    canonical,
    check_proof,
    exactly,
    need,
    sha,
)


def plain64(text: str) -> bytes:
    raw = b64decode(text, validate=True)
    need(b64encode(raw).decode() == text, "base64")
    return raw


def root_by(index: int, size: int, reached: bytes, path: Sequence[bytes]) -> bytes:
    """RFC 9162 §2.1.3.2, step by step."""
    need(index < size, "index")
    fn, sn = index, size - 1
    for hash_ in path:
        need(sn != 0, "too many hashes")
        if fn & 1 or fn == sn:
            reached = sha(b"\1", hash_, reached)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            reached = sha(b"\1", reached, hash_)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "too few hashes")
    return reached


def signers(note: str, vkeys: Sequence[str]) -> tuple[str, int, bytes, dict[tuple[str, int], int]]:
    """Return origin, size and root of a checkpoint, and the time of each signature by (name, type) of its key."""
    text, _, lines = note.rpartition("\n\n")
    origin, size, root = text.split("\n")[:3]
    need(lines.endswith("\n") and re.fullmatch("0|[1-9][0-9]*", size) is not None, "checkpoint")
    need(all(character >= " " or character == "\n" for character in note), "control characters")
    head = (origin, int(size), plain64(root))
    known, times = {}, {}
    for vkey in vkeys:
        name, key_id, encoded = vkey.split("+", 2)
        raw = plain64(encoded)
        need(sha(name.encode(), b"\n", raw).hex()[:8] == key_id, "key id")
        known[name, bytes.fromhex(key_id)] = (raw[0], raw[1:])
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        raw = plain64(encoded)
        need(dash == "\N{EM DASH}" and name != "" and "+" not in name and len(raw) > 4, "signature line")
        if (name, raw[:4]) not in known:
            continue
        type_, key = known[name, raw[:4]]
        time, signature = int.from_bytes(raw[4:12], "big"), raw[12:]
        if type_ == 1:
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], f"{text}\n".encode())
            time = 0
        elif type_ == 4:
            message = f"cosignature/v1\ntime {time}\n{text}\n".encode()
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        else:
            parts = [b"subtree/v1\n\0", bytes([len(name.encode())]), name.encode(), raw[4:12]]
            parts += [bytes([len(origin.encode())]), origin.encode(), bytes(8), int(size).to_bytes(8, "big"), head[2]]
            mldsa.MLDSA44PublicKey.from_public_bytes(key).verify(signature, b"".join(parts))
        times[name, type_] = time
    return *head, times


def keep_until(event: dict[str, Any]) -> str:
    moment, year = at(event["at"]), at(event["at"]).year + event["retention_years"]
    leap = (moment.month, moment.day) == (2, 29) and not (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    return f"{year:04}-03-01" if leap else f"{year:04}-{moment:%m-%d}"


def read_record(record: Any, hashes: list[bytes], size: int, root: bytes, earliest: float) -> dict[str, Any]:
    """Return the event of a record that is in the tree."""
    exactly(record, "index entry path body")
    event: dict[str, Any] = json.loads(record["body"])
    entry = json.loads(record["entry"])
    exactly(entry, "at body_sha256 keep_until v")
    need(canonical(entry) == record["entry"] and entry["v"] == 1, "canonical entry")
    need(sha(record["body"].encode()).hex() == entry["body_sha256"], "body_sha256")
    need(all(type(number) is int and number >= 0 for number in [record["index"], *record["path"]]), "numbers")
    path = [hashes[place] for place in record["path"]]
    need(root_by(record["index"], size, sha(b"\0", record["entry"].encode()), path) == root, "inclusion")
    need(canonical(event) == record["body"] and re.fullmatch("[0-9a-f]{32}", event.pop("salt")) is not None, "salt")
    need(event["v"] == 1 and SEVERITY[event["event"]] == event["severity"], "event")
    need(all(event[name] in words for name, words in WORDS.items()), "known words")
    need(entry["at"] == event["at"] and entry["keep_until"] == keep_until(event), "the entry of this event")
    need((at(entry["at"]) - timedelta(minutes=5)).timestamp() <= earliest, "later than its checkpoint")
    return event


def judge(bundle: dict[str, Any], vkeys: Sequence[str]) -> None:
    exactly(bundle, "format prompt_id workspace_id records enrolment hashes checkpoint")
    need(bundle["format"] == "stepup-evidence-2", "format")
    origin, size, root, times = signers(bundle["checkpoint"], vkeys)
    wanted = {(vkey.split("+")[0], plain64(vkey.split("+", 2)[2])[0]) for vkey in vkeys}
    ours = {each for each in wanted if each[0] == origin}
    signed, witnessed = ours & times.keys(), {name for name, _ in times.keys() - ours if times[name, _]}
    need(not ours or bool(signed), "signed by the log")
    untold = "not all keys that are trusted have signed" if not ours or ours - signed else ""
    untold = untold or ("no witness" if wanted - ours and not witnessed else "")
    earliest = min([time for time in times.values() if time], default=float("inf"))
    place, indexes = bundle["enrolment"], [record["index"] for record in bundle["records"]]
    hashes = [plain64(hash_) for hash_ in bundle["hashes"]]
    used = {number for record in filter(None, [*bundle["records"], place]) for number in record["path"]}
    need(all(len(hash_) == 32 for hash_ in hashes) and len(set(hashes)) == len(hashes), "hashes")
    need(used == set(range(len(hashes))), "each hash is used")
    events = [read_record(record, hashes, size, root, earliest) for record in bundle["records"]]
    enrolled = read_record(place, hashes, size, root, earliest) if place else None
    need(all(one < other for one, other in pairwise(indexes)), "order")
    for event in events:
        need((event["prompt"], event["workspace"]) == (bundle["prompt_id"], bundle["workspace_id"]), "one prompt")
    names, first = [event["event"] for event in events], {event["event"]: event for event in reversed(events)}
    need(names[0] == ASKED and all(names.count(name) <= 1 for name in (ASKED, PROVED, RAN, ENDED)), "asked first, once")
    for name, before in ((RAN, PROVED), (ENDED, RAN), (REUSED, PROVED)):
        need(name not in names or before in names[: names.index(name)], f"{name} after {before}")
    need(ENROLLED not in names and (enrolled is None or enrolled["event"] == ENROLLED), "an enrolment apart")
    need(place is None or place["index"] < indexes[0], "enrolled before")
    asked, proved, action = first[ASKED], first.get(PROVED), first.get(RAN)
    for event in filter(None, (proved, action, first.get(ENDED))):
        need(all(event[name] == asked[name] for name in AGREEING) and not event["reason"], "events agree")
        need(event["event"] == ENDED or event["request"] == asked["request"], "one request")
    need(proved is not None or enrolled is None, "an enrolment of nobody's proof")
    if proved is None:
        raise Untold("no proof")
    for event in filter(None, (action, first.get(ENDED))):
        need(all(event[name] == proved[name] for name in ("factor", "factor_id")), "one factor")
    need(asked["requirement"] == "any" or proved["factor"] in STRONG, "the factor meets the requirement")
    if proved["data"]["proof"]["type"] == proved["factor"] == "totp":
        raise Untold("a one-time password")
    check_proof(proved["data"]["proof"], asked, action or proved, enrolled)
    if untold or action is None:
        raise Untold(untold or "no action")


def verdict(bundle: Any, vkeys: Sequence[str]) -> tuple[str, str]:
    """Return ``verified``, ``not_verifiable`` or ``failed``, and why."""
    try:
        judge(bundle, vkeys)
    except Untold as why:
        return "not_verifiable", str(why)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, InvalidSignature) as why:
        return "failed", f"{type(why).__name__}: {why}"
    return "verified", ""


if __name__ == "__main__":
    given = [line for name in sys.argv[2:] for line in Path(name).read_text("utf-8").split("\n")]
    result, reason = verdict(
        json.loads(Path(sys.argv[1]).read_text("utf-8")), [line for line in given if line and line[0] != "#"]
    )
    sys.stdout.write(result + "\n")
    sys.stderr.write(reason)
    sys.exit({"verified": 0, "failed": 1, "not_verifiable": 3}[result])
