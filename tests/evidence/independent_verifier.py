"""A second verifier of evidence bundles, written from ``guide/evidence.md``, RFC 9162 and C2SP's texts alone.

``python independent_verifier.py BUNDLE VKEY_FILE [...]`` prints its verdict and exits with 0, 3 or 1."""

import json
import re
import sys
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from jsonschema import Draft202012Validator

Object = dict[Any, Any]

ASKED, PROVED, RAN = "ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED", "ACTION_AUTHORIZED"
ENDED, REUSED, FAILED, BLOCKED = "ACTION_COMPLETED", *(f"ACCOUNT_STEPUP_{n}" for n in ("REUSED", "FAILED", "BLOCKED"))
SENT, DENIED, ENROLLED, POLICY = "APPROVAL_REQUESTED", "APPROVAL_DENIED", "FACTOR_ENROLLED", "POLICY_CHANGED"
RESETS = ("FACTORS_RESET", "FACTORS_RESET_REQUESTED", "ENROLMENT_PASS_ISSUED")
GOES = dict.fromkeys((PROVED, RAN, ENDED, ENROLLED, POLICY), "info success") | dict.fromkeys(RESETS, "warning success")
GOES |= dict.fromkeys((ASKED, SENT), "info pending") | dict.fromkeys((BLOCKED, DENIED), "warning denied")
GOES |= {RESETS[1]: "warning pending", FAILED: "warning failure", REUSED: "critical denied"}
AFTER = {RAN: PROVED, ENDED: RAN, REUSED: PROVED, DENIED: SENT, **dict.fromkeys((*RESETS, POLICY), RAN)}
STRONG, ONCE, at = ("passkey", "hardware_key"), (ASKED, PROVED, RAN, ENDED, SENT, DENIED), datetime.fromisoformat
AMR = {"passkey": ["swk", "user", "mfa"], "hardware_key": ["hwk", "user", "mfa"], "totp": ["otp", "mfa"]}
SCHEMA = json.loads((Path(__file__).parents[2] / "stepup_middleware/schemas/evidence-2.json").read_text("utf-8"))
ENTRY = r'\A\{"at":"([^"]+)","body_sha256":"([0-9a-f]{64})","keep_until":"([^"]+)","v":1\}\Z'
SIGNED = ("workspace", "subject", "actor", "client", "purpose", "prompt", "requirement", "policy_version", "details")
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Untold(Exception): ...  # nothing is wrong, but the bundle cannot tell everything


def need(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def sha(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def plain64(text: str, padding: str = "=", last: bytes = b"+/") -> bytes:
    raw = b64decode(text + "=" * (-len(text) % 4), last, validate=True)
    need(b64encode(raw, last).decode().replace("=", padding) == text, "base64")
    return raw


url64 = partial(plain64, padding="", last=b"-_")


def shaped(value: Any, of: str = "") -> Any:
    Draft202012Validator({"$ref": f"#/$defs/{of}", "$defs": SCHEMA["$defs"]} if of else SCHEMA).validate(value)
    return value


def whole(number: str) -> int:  # RFC 7493 §2.2
    need(abs(int(number)) < 2**53, "an integer that a double holds")
    return int(number)


def root_by(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:  # RFC 9162 §2.1.3.1, from its other end
    need(index < size and (size > 1 or not path), "index, or too many hashes")
    if size == 1:
        return leaf
    *below, other = path
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return sha(b"\1", root_by(index, half, leaf, below), other)
    return sha(b"\1", other, root_by(index - half, size - half, leaf, below))


def read_vkey(vkey: str) -> tuple[tuple[str, bytes], tuple[int, bytes]]:
    name, key_id, encoded = vkey.split("+", 2)
    raw = plain64(encoded)
    need(sha(name.encode(), b"\n", raw).hex()[:8] == key_id, "key id")
    return (name, bytes.fromhex(key_id)), (raw[0], raw[1:])


def read_checkpoint(note: str, vkeys: Object) -> tuple[int, bytes, Object]:
    text, _, lines = note.rpartition("\n\n")
    origin, size, encoded, *_ = text.split("\n")
    need(lines[-1:] == "\n" and re.fullmatch("0|[1-9][0-9]{,18}", size) is not None, "checkpoint")
    need(min(note.replace("\n", " ")) >= " ", "control characters")
    root, times = plain64(encoded), {}
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        raw = plain64(encoded)
        need(dash == "\N{EM DASH}" and name != "" and "+" not in name and len(raw) > 4, "signature line")
        if (name, raw[:4]) not in vkeys:
            continue
        type_, key = vkeys[name, raw[:4]]
        stamp, signature = (b"", raw[4:]) if type_ == 1 else (raw[4:12], raw[12:])
        time = int.from_bytes(stamp, "big")
        if type_ in (1, 4):
            cosigned = f"cosignature/v1\ntime {time}\n" if stamp else ""
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, f"{cosigned}{text}\n".encode())
        else:
            who, log = (bytes([len(each.encode())]) + each.encode() for each in (name, origin))
            message = b"subtree/v1\n\0" + who + stamp + log + bytes(8) + int(size).to_bytes(8, "big") + root
            mldsa.MLDSA44PublicKey.from_public_bytes(key).verify(signature, message)
        times[name, type_] = time
    return int(size), root, times


def read_record(record: Any, hashes: list[bytes], size: int, root: bytes, earliest: float) -> Object:
    event, body, entry = json.loads(record["body"], parse_int=whole, parse_float=whole), record["body"], record["entry"]
    [(when, digest, last)] = re.findall(ENTRY, entry)
    need(canonical(shaped(event, "body")) == body and sha(body.encode()).hex() == digest, "canonical, of this entry")
    need(all(type(number) is int for number in [record["index"], *record["path"]]), "1 is neither true nor 1.0")
    path = [hashes[place] for place in record["path"]]
    need(root_by(record["index"], size, sha(b"\0", entry.encode()), path) == root, "inclusion")
    goes = {GOES[event["event"]], "info cancelled" if event["event"] == FAILED else None}
    need(f"{event['severity']} {event['outcome']}" in goes, "how such an event goes")
    day = at(event["at"]).date()
    until = day.replace(year=day.year + event["retention_years"], day=1) + timedelta(days=day.day - 1)
    need((when, last) == (event["at"], until.isoformat()), "the entry of this event")
    need((at(when) - timedelta(minutes=5)).timestamp() <= earliest, "later than its checkpoint")
    return dict(event)


def signature_holds(cose: bytes, algorithm: int, signature: bytes, message: bytes) -> None:
    key = cbor2.loads(cose)
    number = {label: int.from_bytes(part, "big") for label, part in key.items() if isinstance(part, bytes)}
    need(key[3] == algorithm and key[3] in (-7, -8, -257), "algorithm")
    if key[3] == -7:
        point = ec.EllipticCurvePublicNumbers(number[-2], number[-3], ec.SECP256R1()).public_key()
        point.verify(signature, message, ec.ECDSA(SHA256()))
    elif key[3] == -8:
        ed25519.Ed25519PublicKey.from_public_bytes(key[-2]).verify(signature, message)
    else:
        modulus = rsa.RSAPublicNumbers(number[-2], number[-1]).public_key()
        modulus.verify(signature, message, padding.PKCS1v15(), SHA256())


def check_proof(proof: Object, asked: Object, action: Object, enrolled: Object | None, elsewhere: Any) -> None:
    shaped(proof, "webauthn")
    data, client_json, cose = (url64(proof[name]) for name in ("authenticator_data", "client_data_json", "public_key"))
    said, client, rp_id = json.loads(proof["description"]), json.loads(client_json), proof["rp_id"]
    need(canonical(said) == proof["description"], "canonical description")
    shown = {name: asked["data"][name] for name in ("locale", "title", "consequence")}
    did = {"v": 1, "issued_at": said["issued_at"], **shown, **{name: action[name] for name in (*SIGNED, "request")}}
    if elsewhere is not None:
        need(elsewhere["caller"] == {name: asked[name] for name in ("session", "actor", "client", "ip")}, "who asked")
        did["approval"] = elsewhere
    need({*map(type, shown.values())} == {str} and said == did, "the description is the action")
    need(at(said["issued_at"]) == at(asked["at"]), "when")
    challenge = sha(b"stepup-challenge-v1\0", nonce := url64(proof["nonce"]), text := proof["description"].encode())
    if batch := proof.get("batch"):
        salt, total, *hashes = (url64(each) for each in (batch["salt"], batch["total"], *batch["hashes"]))
        need(hashes.count(sha(b"stepup-batch-item-v1\0", salt, text)) == 1, "one of the batch")
        challenge = sha(b"stepup-batch-challenge-v1\0", nonce, total, *hashes)
    need(url64(client["challenge"]) == challenge, "the challenge commits to the description")
    need(client["type"] == "webauthn.get" and client["origin"] in proof["origins"], "origin")
    need(client.get("crossOrigin", False) is False and "topOrigin" not in client, "no frame of another site")
    ours = rf"http{'s?' if rp_id.split('.')[-1] == 'localhost' else 's'}://([a-z0-9-]+\.)*{re.escape(rp_id)}(:[0-9]+)?"
    related = r"https://([a-z0-9-]+\.)+[a-z0-9-]+(:[0-9]+)?"  # WebAuthn L3 §5.11
    need(all(re.fullmatch(f"{ours}|{related}", each) for each in proof["origins"]), "origins of the relying party")
    need(data[:32] == sha(rp_id.encode()) and data[32] & 5 == 5 and data[32] & 24 != 16, "RP ID hash, UP, UV, BS, BE")
    signature_holds(cose, proof["algorithm"], url64(proof["signature"]), data + sha(client_json))
    if enrolled is None:
        raise Untold("no enrolment")
    need(all(enrolled[name] == action[name] for name in ("workspace", "subject", "factor", "factor_id")), "owner")
    facts = {"public_key": cose.hex(), "credential_id": url64(proof["credential_id"]).hex(), "rp_id": rp_id}
    need((facts | {"algorithm": proof["algorithm"]}).items() <= enrolled["data"].items(), "the enrolled key")
    eligible, imported = (enrolled["data"].get(name) for name in ("backup_eligible", "imported"))
    need(eligible is (data[32] & 8 == 8) or (eligible is None and imported is True), "BE")
    need((at(enrolled["at"]) - at(asked["at"])).total_seconds() <= 5, "enrolled before")


def judge(bundle: Object, vkeys: list[str]) -> None:
    shaped(bundle)
    origin, keys = (note := bundle["checkpoint"]).split("\n")[0], dict(map(read_vkey, vkeys))
    logs, witnesses = ({name for (name, _), (type_, _) in keys.items() if type_ == kind} for kind in (1, 4))
    whose = logs & {origin} if logs else {name for name, _ in keys if name == origin} - witnesses
    size, root, times = read_checkpoint(note, {n: k for n, k in keys.items() if n[0] in whose or n[0] not in logs})
    ours, more = {(n, type_) for (n, _), (type_, _) in keys.items() if n in whose}, {n for n, _ in keys} - logs - whose
    signed, witnessed = ours & times.keys(), {name for (name, _), time in times.items() if time} & more
    need(bool(signed) or not (logs or ours), "signed by the log")
    untold = "not all have signed" if not ours or ours - signed or (more and not witnessed) else ""
    earliest = min([time for time in times.values() if time], default=float("inf"))
    hashes = [plain64(hash_) for hash_ in bundle["hashes"]]
    records = [*([] if bundle["enrolment"] is None else [bundle["enrolment"]]), *bundle["records"]]
    events = [read_record(record, hashes, size, root, earliest) for record in records]
    indexes, used = [record["index"] for record in records], {place for record in records for place in record["path"]}
    need(indexes == sorted(set(indexes)), "order of the leaves")
    need(used == set(range(len(set(hashes)))) == set(range(len(hashes))) and {*map(len, hashes)} <= {32}, "hashes")
    enrolled = events.pop(0) if len(events) > len(bundle["records"]) else None
    need(enrolled is None or enrolled["event"] == ENROLLED, "an enrolment apart")
    about = {(event["prompt"], event["workspace"]) for event in events}
    need(about == {(bundle["prompt_id"], bundle["workspace_id"])}, "one step-up")
    names, first = [event["event"] for event in events], {event["event"]: event for event in reversed(events)}
    need(names[0] == ASKED and ENROLLED not in names and max(map(names.count, ONCE)) == 1, "asked first, and once")
    need(all(AFTER.get(name, ASKED) in names[:place] for place, name in enumerate(names) if place), "order of events")
    asked, proved, action, ended = (first.get(name) for name in (ASKED, PROVED, RAN, ENDED))
    if asked is None or proved is None:
        raise (Untold if enrolled is None else ValueError)("no proof")
    for event in filter(None, (proved, action, ended)):
        need(all(event[name] == asked[name] for name in (*SIGNED, "session", "ip")) and not event["reason"], "agree")
        need(event is ended or (event["request"] == asked["request"] and event["flags"] == []), "one request, no flags")
        need(all(event[name] == proved[name] for name in ("factor", "factor_id")), "one factor")
    need(asked["requirement"] == "any" or proved["factor"] in STRONG, "the factor meets the requirement")
    late = timedelta(minutes=10 if "approval" in proved["data"] else 5)
    need(at(proved["at"]) - at(asked["at"]) <= late >= at((action or proved)["at"]) - at(proved["at"]), "in time")
    need(DENIED not in names, "not denied")
    said = ["phr" if proved["factor"] in STRONG else "mfa", AMR[proved["factor"]]]
    need([proved["data"]["acr"], proved["data"]["amr"]] == said, "acr and amr")
    if proved["data"]["proof"]["type"] == proved["factor"] == "totp":
        raise Untold("a one-time password")
    check_proof(proved["data"]["proof"], asked, action or proved, enrolled, proved["data"].get("approval"))
    if untold or action is None:
        raise Untold(untold or "no action")


def verdict(bundle: Any, vkeys: list[str]) -> tuple[str, str]:
    try:
        judge(bundle, vkeys)
    except Untold as why:
        return "not_verifiable", str(why)
    except Exception as why:
        return "failed", f"{type(why).__name__}: {why}"
    return "verified", ""


if __name__ == "__main__":
    given = "".join(Path(name).read_text("utf-8") + "\n" for name in sys.argv[2:]).split("\n")
    result, reason = verdict(json.loads(Path(sys.argv[1]).read_text("utf-8")), [v for v in given if v and v[0] != "#"])
    sys.stdout.write(result + "\n"), sys.stderr.write(reason)
    sys.exit(["verified", "failed", "", "not_verifiable"].index(result))
