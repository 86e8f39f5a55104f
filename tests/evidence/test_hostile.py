"""Whatever a bundle holds, verifying it ends with a verdict."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from stepup_middleware.core.canonical import canonical_json, strict_json
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.evidence.trust import moment_of
from stepup_middleware.log.keys import sign_checkpoint
from tests.evidence.generator import Generator, Key
from tests.evidence.tampering import at, walk, with_value
from tests.evidence.trees import LOG_KEYS, WITNESS_KEYS, Logged, SparseTree, logged, verified

ODD: list[Any] = [
    "\ud800", "x\udcffy", [["label", "\ud800"]], 1e300, 2**64, -1, True, None, "", [], {}, [None], "\0",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "9999-12-31", "https://[", "https://x:99999",
]  # fmt: skip
ENDS = ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z")


@pytest.fixture(scope="module", params=[0, 1])
def kept(request: pytest.FixtureRequest, keys: list[Key]) -> Logged:
    return logged(Generator(request.param, keys), plain=request.param == 0)


@pytest.mark.slow
def test_any_value_at_any_place_of_a_bundle_and_of_its_records_has_a_verdict(kept: Logged) -> None:
    bundle, tried = kept.bundle().as_dict(), 0
    shown = [*((("records", n), r) for n, r in enumerate(bundle["records"])), (("enrolment",), bundle["enrolment"])]
    for number, odd in enumerate(ODD):
        for path, value in list(walk(bundle))[number % 3 :: 3]:
            if value != odd:
                assert verified(with_value(bundle, path, odd)).verdict is not EvidenceVerdict.VERIFIED, (path, odd)
                tried += 1
        for where, record in shown:
            if record is None:
                continue
            body = json.loads(record["body"])
            for path, value in list(walk(body))[:: len(ODD) // 3]:
                if value == odd:
                    continue
                text = canonical_json(with_value(body, path, odd))
                digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
                changed = with_value(bundle, (*where, "body"), text)
                entry = {**json.loads(record["entry"]), "body_sha256": digest}
                at(changed, where)["entry"] = canonical_json(entry)
                assert verified(changed).verdict is not EvidenceVerdict.VERIFIED, (path, odd)
                tried += 1
    assert tried > 400


def test_times_at_the_end_of_the_calendar_have_a_verdict(kept: Logged) -> None:
    bundle = kept.bundle().as_dict()
    for place, record in enumerate(bundle["records"]):
        for end in ENDS:
            text = canonical_json({**json.loads(record["body"]), "at": end})
            entry = {**json.loads(record["entry"]), "at": end, "body_sha256": sha256(text.encode()).hexdigest()}
            changed = with_value(bundle, ("records", place, "body"), text)
            changed["records"][place]["entry"] = canonical_json(entry)
            assert verified(changed).verdict is EvidenceVerdict.FAILED
    tree = SparseTree(kept.size, {index: entry.leaf_hash for index, entry in kept.entries.items()})
    for at_seconds in (1, 253402300499, 253402300799, 253402300800, 2**63 - 1):
        note = sign_checkpoint(tree.checkpoint(), [*LOG_KEYS, *WITNESS_KEYS], at_seconds)
        report = verified({**bundle, "checkpoint": str(note)})
        expected = EvidenceVerdict.FAILED if at_seconds == 1 else verified(bundle).verdict
        assert report.verdict is expected
    assert moment_of(2**63 - 1) == moment_of(253402300799)


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'{"a": ["\udcff"]}', r'{"\ud800": 1}', '"\ud800"', r'"\ud800\ud800\udc00"']
)
def test_json_with_half_a_character_has_no_reading(text: str) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        strict_json(text)


def test_json_with_an_escaped_character_is_read() -> None:
    assert strict_json(r'"\ud83d\ude00 \u00e9"') == "\N{GRINNING FACE} é"
