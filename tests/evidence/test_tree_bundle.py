"""Bundles over the transparency log: what verifies, what does not, what cannot be told, and how large they are."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.core.canonical import canonical_json, strict_json
from stepup_middleware.core.events import EventName
from stepup_middleware.core.proofs import SignatureHolds
from stepup_middleware.evidence.report import Check, EvidenceVerdict, Report, Status
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.evidence.verification import evidence_schema, verify_bundle
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, WITNESS_TYPES, SigningKey
from stepup_middleware.log.merkle import EMPTY_ROOT
from stepup_middleware.log.notes import Note
from tests.evidence.generator import Generator, Key, make_keys
from tests.evidence.tampering import altered_members as altered
from tests.evidence.tampering import at, path_text, restructured, walk, with_value
from tests.evidence.trees import LOG_KEYS, ORIGIN, TRUST, WITNESS_KEYS, Logged, logged, verified

MANY = 150
OPTIONAL = {EventName.FAILED, EventName.REUSED, EventName.ACTION_COMPLETED}


@pytest.fixture(scope="module")
def keys() -> list[Key]:
    return make_keys()


@pytest.fixture(scope="module")
def plain(keys: list[Key]) -> Logged:
    """A step-up of which everything can be verified."""
    return logged(Generator(7, keys), plain=True)


def report_of(logged: Logged, trust: Trust = TRUST, **how: Any) -> Report:
    return verified(strict_json(json.dumps(logged.bundle(**how).as_dict())), trust)


def problems(report: Report) -> list[str]:
    return [f"{finding.check.name} {finding.field}: {finding.problem}" for finding in report.findings]


def test_a_bundle_of_every_sort_is_verified_or_says_what_cannot_be_told(keys: list[Key]) -> None:
    generator = Generator(11, keys)
    verdicts = []
    for number in range(MANY):
        report = report_of(logged(generator, plain=number % 3 == 0))
        assert report.verdict is not EvidenceVerdict.FAILED, problems(report)
        assert report.status(Check.INCLUSION) is report.status(Check.CHECKPOINT) is Status.OK
        assert report.status(Check.WITNESSES) is Status.OK
        assert number % 3 or report.verdict is EvidenceVerdict.VERIFIED
        verdicts.append(report.verdict)
    assert set(verdicts) == {EvidenceVerdict.VERIFIED, EvidenceVerdict.NOT_VERIFIABLE}
    assert [verdict.exit_code for verdict in EvidenceVerdict] == [0, 3, 1]


def test_a_bundle_is_what_the_published_schema_describes(keys: list[Key]) -> None:
    generator = Generator(12, keys)
    validator = jsonschema.Draft202012Validator(dict(evidence_schema()))
    jsonschema.Draft202012Validator.check_schema(evidence_schema())
    for _ in range(20):
        validator.validate(logged(generator).bundle().as_dict())


@pytest.mark.parametrize(
    ("trust", "check", "status"),
    [
        (replace(TRUST, log_keys=()), Check.CHECKPOINT, Status.NOT_VERIFIABLE),
        (replace(TRUST, witness_keys=()), Check.WITNESSES, Status.NOT_CHECKED),
        (replace(TRUST, quorum=2), Check.WITNESSES, Status.NOT_VERIFIABLE),
        (replace(TRUST, log_keys=TRUST.log_keys[:1]), Check.CHECKPOINT, Status.OK),
        (replace(TRUST, log_keys=TRUST.witness_keys), Check.CHECKPOINT, Status.FAILED),
        (
            replace(TRUST, log_keys=[SigningKey.generate(ORIGIN, LOG_TYPES[0]).verifier]),
            Check.CHECKPOINT,
            Status.FAILED,
        ),
        (
            replace(TRUST, witness_keys=[SigningKey.generate("w.example", WITNESS_TYPES[1]).verifier]),
            Check.WITNESSES,
            Status.NOT_VERIFIABLE,
        ),
        (replace(TRUST, rp_id="other.example"), Check.ORIGIN, Status.FAILED),
    ],
)
def test_the_verdict_is_that_of_whom_the_auditor_trusts(
    plain: Logged, trust: Trust, check: Check, status: Status
) -> None:
    report = report_of(plain, trust)
    assert report.status(check) is status
    verdict = {
        Status.FAILED: EvidenceVerdict.FAILED,
        Status.NOT_VERIFIABLE: EvidenceVerdict.NOT_VERIFIABLE,
    }.get(status, EvidenceVerdict.VERIFIED)
    assert report.verdict is verdict


def test_the_time_of_the_earliest_cosignature_is_told(plain: Logged) -> None:
    assert report_of(plain).witnessed == {"witness.example": plain.signed_at}


def test_a_signature_that_was_taken_away_is_missed_where_its_key_is_known(plain: Logged) -> None:
    for missing in range(4):
        bundle = plain.bundle()
        lines = bundle.note.signatures
        report = verified(
            replace(bundle, note=Note(bundle.note.text, lines[:missing] + lines[missing + 1 :])).as_dict()
        )
        signer = Check.CHECKPOINT if missing < 2 else Check.WITNESSES
        one_is_enough = signer is Check.WITNESSES  # the witness cosigned in two ways
        assert report.status(signer) is (Status.OK if one_is_enough else Status.NOT_VERIFIABLE)
    only_witness = plain.bundle(log_keys=())
    assert verified(only_witness.as_dict()).status(Check.CHECKPOINT) is Status.FAILED


def test_a_record_rewritten_without_the_key_of_the_log_fails(plain: Logged) -> None:
    stranger = [SigningKey.generate(ORIGIN, type_) for type_ in LOG_TYPES]
    for index in plain.bodies:
        rewritten = plain.altered(index, '"workspace":"axis"', '"workspace":"axes"')
        assert report_of(rewritten, log_keys=stranger).status(Check.CHECKPOINT) is Status.FAILED
        genuine, forged = plain.bundle(), rewritten.bundle(log_keys=stranger)
        kept_checkpoint = verified(replace(forged, note=genuine.note).as_dict())
        assert kept_checkpoint.status(Check.INCLUSION) is Status.FAILED
        kept_signatures = Note(forged.note.text, genuine.note.signatures)
        assert verified(replace(forged, note=kept_signatures).as_dict()).status(Check.CHECKPOINT) is Status.FAILED


def test_what_was_witnessed_cannot_be_rewritten_with_the_keys_of_the_log(plain: Logged) -> None:
    """Who has the log's key signs anything; the witness's cosignature is of the tree that it saw."""
    genuine = plain.bundle()
    index = max(plain.bodies)
    rewritten = plain.altered(index, '"ip":"192.0.2.7"', '"ip":"192.0.2.8"').bundle(witness_keys=())
    kept = replace(rewritten, note=rewritten.note.signed_also(genuine.note.signatures[2:]))
    assert verified(kept.as_dict()).status(Check.WITNESSES) is Status.FAILED
    assert verified(rewritten.as_dict()).verdict is EvidenceVerdict.FAILED  # the events disagree
    without_witness = verified(rewritten.as_dict(), replace(TRUST, witness_keys=()))
    assert without_witness.status(Check.CHECKPOINT) is Status.OK
    assert verified(rewritten.as_dict()).status(Check.WITNESSES) is Status.NOT_VERIFIABLE


def test_a_checkpoint_that_was_kept_shows_a_second_history(plain: Logged) -> None:
    same = Checkpoint(ORIGIN, plain.size, EMPTY_ROOT)
    for kept, verdict in (
        (same, EvidenceVerdict.FAILED),
        (replace(same, size=plain.size + 1), EvidenceVerdict.VERIFIED),
        (replace(same, origin="other.example"), EvidenceVerdict.VERIFIED),
    ):
        assert report_of(plain, replace(TRUST, checkpoints=[kept])).verdict is verdict


def test_no_record_is_later_than_the_checkpoint_it_is_under(plain: Logged) -> None:
    early = replace(plain, signed_at=plain.signed_at - timedelta(minutes=10))
    report = report_of(early)
    assert report.verdict is EvidenceVerdict.FAILED
    assert "INCLUSION records[0].entry: says that it was written after the checkpoint was signed" in problems(report)


def test_records_come_in_the_order_of_the_log(keys: list[Key]) -> None:
    """Whether a failure came before the proof or after it, nothing but the indexes can tell."""
    generator = Generator(21, keys)
    exchanged = 0
    while exchanged < 3:
        bundle = logged(generator, plain=True).bundle()
        asked, second, third, *rest = bundle.records
        if json.loads(second.body)["event"] == EventName.FAILED:
            changed = replace(bundle, records=[asked, third, second, *rest])
            assert problems(verified(changed.as_dict())) == ["EVENTS records[2].index: does not come after records[1]"]
            twice = replace(bundle, records=[asked, second, second, third, *rest])
            assert verified(twice.as_dict()).verdict is EvidenceVerdict.FAILED
            exchanged += 1


def test_an_entry_says_what_its_body_says(plain: Logged) -> None:
    index = min(plain.bodies)
    for changes in (
        {"at": plain.entries[index].at + timedelta(microseconds=1)},
        {"keep_until": plain.entries[index].keep_until + timedelta(days=1)},
    ):
        entry = replace(plain.entries[index], **changes)
        report = report_of(replace(plain, entries={**plain.entries, index: entry}))
        assert report.status(Check.EVENTS) is Status.FAILED, changes


def is_still_a_step_up(original: Any, changed: Any) -> bool:
    """Tell whether all that was done is to leave out records that a step-up may have or not."""
    left = changed.get("records")
    if not isinstance(left, list) or {**changed, "records": None} != {**original, "records": None}:
        return False
    gone = [record for record in original["records"] if record not in left]
    names = {EventName(json.loads(record["body"])["event"]) for record in gone}
    return [each for each in original["records"] if each not in gone] == left and names <= OPTIONAL


def inside_bodies(bundle: Any) -> list[tuple[str, Any]]:
    changed = []
    for place in [("records", number, "body") for number in range(len(bundle["records"]))] + [("enrolment", "body")]:
        event = json.loads(at(bundle, place))
        for path, value in walk(event):
            new = with_value(event, path, None if value is not None else "x")
            changed.append((path_text((*place, *path)), with_value(bundle, place, canonical_json(new))))
    return changed


def test_no_alteration_of_any_member_verifies(plain: Logged) -> None:
    bundle = strict_json(json.dumps(plain.bundle().as_dict()))
    assert verified(bundle).verdict is EvidenceVerdict.VERIFIED
    tried = 0
    changes = [(each.how + " " + each.text, each.bundle) for make in (altered, restructured) for each in make(bundle)]
    for what, changed in [*changes, *inside_bodies(bundle)]:
        if changed == bundle or is_still_a_step_up(bundle, changed):
            continue
        tried += 1
        assert verified(copy.deepcopy(changed)).verdict is not EvidenceVerdict.VERIFIED, what
    assert tried > 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.data())
@settings(max_examples=200, deadline=None)
def test_verification_never_raises(value: Any, data: st.DataObject) -> None:
    nothing: SignatureHolds = lambda *_: False  # noqa: E731
    assert verify_bundle(value, Trust(), signature_holds=nothing).verdict is EvidenceVerdict.FAILED
    places = [path for path, _ in walk(PLAIN)]
    changed = with_value(PLAIN, data.draw(st.sampled_from(places)), value)
    verify_bundle(changed, TRUST, signature_holds=nothing)
    body = ("records", 0, "body")
    event = json.loads(at(PLAIN, body))
    inside = with_value(event, data.draw(st.sampled_from([path for path, _ in walk(event)])), value)
    verify_bundle(with_value(PLAIN, body, canonical_json(inside)), TRUST, signature_holds=nothing)


def test_a_bundle_grows_with_the_logarithm_of_the_log(keys: list[Key]) -> None:
    """Under 24 kB with one witness, and from a thousand to ten million leaves at most 6 kB more."""
    kept = logged(Generator(13, keys), plain=True)
    small, large = max(kept.bodies) + 1, 10_000_000
    sizes = []
    for size in (max(small, 1000), 100_000, large):
        bundle = kept.bundle(size=size).as_dict()
        assert verified(bundle).verdict is EvidenceVerdict.VERIFIED
        sizes.append(len(json.dumps(bundle, ensure_ascii=False).encode()))
    assert sizes[-1] < 24_000
    assert sizes[-1] - sizes[0] <= 6_000


PLAIN = logged(Generator(7, make_keys()), plain=True).bundle(LOG_KEYS, WITNESS_KEYS).as_dict()
