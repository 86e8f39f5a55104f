"""No bundle that was altered anywhere passes, and the finding names the place."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stepup_middleware.core.findings import Check
from stepup_middleware.core.heads import HeadKey
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Report, Status, Verdict
from stepup_middleware.service.evidence import judge

from .generator import Generator, Key
from .independent_verifier import verdict as independent_verdict
from .tampering import every_alteration, named, path_text, resealed, walk, with_value

Bundle = dict[str, Any]


def bodies_of(bundle: Bundle) -> dict[str, dict[str, Any]]:
    bodies = {f"events[{index}]": json.loads(entry["body"]) for index, entry in enumerate(bundle["events"])}
    if bundle["enrolment"] is not None:
        bodies["enrolment"] = json.loads(bundle["enrolment"]["body"])
    return bodies


def place_of(bundle: Bundle, event: str) -> str:
    return next(where for where, body in bodies_of(bundle).items() if body["event"] == event)


def failed_checks(report: Report) -> set[Check]:
    return {check for check in Check if report.status(check) is Status.FAILED}


def test_a_genuine_bundle_of_every_kind_and_algorithm_verifies(
    generator: Generator, keys: list[Key], trust: Trust
) -> None:
    for key in keys:
        _, bundle = generator.step_up(key=key, plain=True)
        report = judge(bundle, trust)
        assert report.verdict is Verdict.VERIFIED, report.findings
        assert not report.findings


def test_every_single_alteration_is_detected_and_named(
    generator: Generator, keys: list[Key], trust: Trust, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: Counter[str] = Counter()
    for key in keys:
        _, bundle = generator.step_up(key=key, plain=True)
        for tampered in every_alteration(bundle):
            report = judge(tampered.bundle, trust)
            told = (tampered.how, tampered.text, report.findings)
            assert report.verdict is not Verdict.VERIFIED, told
            assert named(report.findings, tampered.text), told
            tried[tampered.how.partition(":")[0]] += 1
    with capsys.disabled():
        sys.stdout.write(f"\ntamper matrix: {tried.total()} alterations detected and named: {dict(tried)}\n")
    assert tried.total() > 3000


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=40) | st.just(1.0),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def genuine(keys: list[Key]) -> tuple[Bundle, Trust]:
    generator = Generator(13, keys)
    _, bundle = generator.step_up(plain=True)
    return bundle, Trust(head_keys={generator.head_key.key_id: generator.head_key.public_key})


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_value_in_the_place_of_any_member_is_detected_and_named(
    genuine: tuple[Bundle, Trust], data: st.DataObject
) -> None:
    bundle, trust = genuine
    path, value = data.draw(st.sampled_from(list(walk(bundle))))
    new = data.draw(JSON_VALUES)
    assume(json.dumps(new) != json.dumps(value))
    altered = with_value(bundle, path, new)
    report = judge(altered, trust)
    assert report.verdict is not Verdict.VERIFIED
    assert named(report.findings, path_text(path)), (path_text(path), new, report.findings)
    assert independent_verdict(altered, list(trust.head_keys.values()))[0] != "verified"


@pytest.mark.parametrize("like_one", [True, 1.0])
def test_what_merely_equals_a_number_is_no_number(genuine: tuple[Bundle, Trust], like_one: object) -> None:
    bundle, trust = genuine
    for path, value in walk(bundle):
        if type(value) is int:
            altered = with_value(bundle, path, like_one if value == 1 else float(value))
            assert judge(altered, trust).verdict is Verdict.FAILED, path
            assert independent_verdict(altered, list(trust.head_keys.values()))[0] == "failed", path


def test_only_an_absent_head_counts_as_untold_and_nothing_else_that_was_altered(
    generator: Generator, trust: Trust
) -> None:
    _, bundle = generator.step_up(plain=True)
    untold = {
        tampered.text
        for tampered in every_alteration(bundle)
        if judge(tampered.bundle, trust).verdict is Verdict.NOT_VERIFIABLE
    }
    assert untold == set()  # an absent head contradicts head_key_ids


def test_a_bundle_without_any_head_is_not_verifiable(generator: Generator, trust: Trust) -> None:
    _, bundle = generator.step_up(plain=True)
    for segment in bundle["segments"]:
        segment["head"] = None
    bundle["head_key_ids"] = []
    report = judge(bundle, trust)
    assert report.verdict is Verdict.NOT_VERIFIABLE
    assert report.status(Check.HEAD) is Status.NOT_VERIFIABLE


def test_without_a_trusted_key_nothing_is_verified(generator: Generator) -> None:
    _, bundle = generator.step_up(plain=True)
    assert judge(bundle, Trust()).verdict is Verdict.NOT_VERIFIABLE


def test_a_head_by_another_key_fails_and_names_the_key(generator: Generator) -> None:
    _, bundle = generator.step_up(plain=True)
    other = HeadKey(bytes(range(1, 33)))
    report = judge(bundle, Trust(head_keys={other.key_id: other.public_key}))
    assert report.verdict is Verdict.FAILED
    assert named(report.findings, "segments[0].head.key_id")


def test_an_event_reduced_to_its_leaf_cannot_hide_the_proof_or_the_action(generator: Generator, trust: Trust) -> None:
    for name in ("ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED", "ACTION_AUTHORIZED"):
        log, bundle = generator.step_up(plain=True)
        records = [record for chain in log.records.values() for record in chain]
        shown = {(entry["chain"], entry["link"]) for entry in bundle["events"]}
        events = [record for record in records if (record.chain, record.link) in shown and record.event.value != name]
        enrolment = next(record for record in records if record.event.value == "FACTOR_ENROLLED")
        hidden = log.bundle(events, enrolment)
        assert judge(hidden, trust).verdict is not Verdict.VERIFIED, name


# forks


def test_a_head_of_another_history_is_detected(generator: Generator, trust: Trust) -> None:
    _, bundle = generator.step_up(plain=True)
    _, other = generator.step_up(plain=True)
    bundle["segments"][-1]["head"] = other["segments"][-1]["head"]
    report = judge(bundle, trust)
    assert report.verdict is Verdict.FAILED
    assert named(report.findings, f"segments[{len(bundle['segments']) - 1}].head")


def test_a_second_history_signed_by_the_operator_is_detected_by_a_witnessed_head(
    generator: Generator, trust: Trust
) -> None:
    _, bundle = generator.step_up(plain=True)
    head = bundle["segments"][-1]["head"]
    witnessed = {(head["chain"], head["link"]): bytes.fromhex(head["hash"])}
    bodies = bodies_of(bundle)
    for where in bodies:
        bodies[where]["user_agent"] = "Rewritten/1"
    forged = resealed(bundle, bodies, generator.head_key)
    assert judge(forged, trust).verdict is Verdict.VERIFIED  # the user agent is the operator's word alone
    report = judge(forged, Trust(head_keys=trust.head_keys, witnessed=witnessed))
    assert report.verdict is Verdict.FAILED
    assert failed_checks(report) == {Check.HEAD}
    genuine = judge(bundle, Trust(head_keys=trust.head_keys, witnessed=witnessed))
    assert genuine.verdict is Verdict.VERIFIED


# an operator who has the head key and seals the log anew

SIGNED_MEMBERS = ("workspace", "subject", "purpose", "requirement", "policy_version", "request", "details", "prompt")
STEP_UP = (
    "ACCOUNT_STEPUP_CHALLENGE_REQUESTED",
    "ACCOUNT_STEPUP_VERIFIED",
    "ACTION_AUTHORIZED",
    "ACTION_COMPLETED",
)


def other_member(name: str, value: Any) -> Any:
    match name:
        case "request":
            return None if value is None else {**value, "@path": value["@path"] + "x"}
        case "details":
            return [*value, ["Amount", "1"]]
        case "policy_version":
            return value + 1
        case "requirement":
            return "any" if value == "phishing_resistant" else "phishing_resistant"
    return value + "x"


@pytest.mark.parametrize("member", SIGNED_MEMBERS)
def test_an_operator_who_rewrites_the_action_everywhere_meets_what_the_person_signed(
    generator: Generator, trust: Trust, member: str
) -> None:
    _, bundle = generator.step_up(plain=True)
    bodies = bodies_of(bundle)
    for where in bodies:
        if bodies[where]["event"] in STEP_UP or member in ("workspace", "subject"):
            bodies[where][member] = other_member(member, bodies[where][member])
    changed = dict(bundle)
    for name in ("workspace", "prompt"):
        if member == name:
            changed[f"{name}_id"] = bundle[f"{name}_id"] + "x"
    report = judge(resealed(changed, bodies, generator.head_key), trust)
    assert failed_checks(report) == {Check.DESCRIPTION}, report.findings
    assert named(report.findings, f"{place_of(bundle, 'ACTION_AUTHORIZED')}.body.{member}")


@pytest.mark.parametrize("member", SIGNED_MEMBERS)
@pytest.mark.parametrize("event", STEP_UP[:3])
def test_an_operator_who_rewrites_one_event_is_contradicted_by_the_others(
    generator: Generator, trust: Trust, event: str, member: str
) -> None:
    _, bundle = generator.step_up(plain=True)
    where = place_of(bundle, event)
    bodies = bodies_of(bundle)
    bodies[where][member] = other_member(member, bodies[where][member])
    report = judge(resealed(bundle, {where: bodies[where]}, generator.head_key), trust)
    assert report.verdict is Verdict.FAILED
    assert any(f".body.{member}" in finding.field or finding.field == f"{member}_id" for finding in report.findings)


def test_an_operator_who_rewrites_the_description_too_meets_the_challenge(generator: Generator, trust: Trust) -> None:
    _, bundle = generator.step_up(plain=True)
    bodies = bodies_of(bundle)
    for body in bodies.values():
        if body["event"] in STEP_UP:
            body["details"] = [["Amount", "USD 1"]]
    proof = bodies[place_of(bundle, "ACCOUNT_STEPUP_VERIFIED")]["data"]["proof"]
    said = {**json.loads(proof["description"]), "details": [["Amount", "USD 1"]]}
    proof["description"] = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    report = judge(resealed(bundle, bodies, generator.head_key), trust)
    assert failed_checks(report) == {Check.CHALLENGE}, report.findings


def test_an_operator_who_signs_it_all_with_a_key_of_their_own_meets_the_enrolment(
    generator: Generator, keys: list[Key], trust: Trust
) -> None:
    mine, theirs = keys[0], keys[1]
    _, bundle = generator.step_up(key=mine, plain=True)
    _, forged = generator.step_up(key=theirs, plain=True)
    bodies = bodies_of(forged)
    enrolled = bodies_of(bundle)["enrolment"]
    for name in ("workspace", "subject", "subject_name", "session", "factor_id"):
        enrolled[name] = bodies["enrolment"][name]
    report = judge(resealed(forged, {"enrolment": enrolled}, generator.head_key), trust)
    assert failed_checks(report) == {Check.ENROLMENT}, report.findings
    assert named(report.findings, "enrolment.body.data.public_key")


def test_every_member_of_the_proof_is_covered_by_a_check_even_for_an_operator(
    generator: Generator, keys: list[Key], trust: Trust
) -> None:
    count = 0
    for key in keys:
        _, bundle = generator.step_up(key=key, plain=True)
        where = place_of(bundle, "ACCOUNT_STEPUP_VERIFIED")
        for path, value in walk(bodies_of(bundle)[where]["data"]["proof"]):
            bodies = bodies_of(bundle)
            target: Any = bodies[where]["data"]["proof"]
            for step in path[:-1]:
                target = target[step]
            if isinstance(value, str):
                changes: list[Any] = ["A" + value[1:], value[:-4], value + "AAAA", "https://evil.example", ""]
            else:
                changes = [None, 0, [], -7 if value == -8 else -8]
            for new in changes:
                if new == value:
                    continue
                target[path[-1]] = new
                forged = resealed(bundle, {where: bodies[where]}, generator.head_key)
                report = judge(forged, trust)
                unused_origin = path[0] == "origins" and report.verdict is Verdict.VERIFIED
                assert report.verdict is Verdict.FAILED or unused_origin, (path, new)
                count += 1
    assert count > 200


@pytest.mark.parametrize(
    ("deviation", "check"),
    [
        ({"user_present": False}, Check.FLAGS),
        ({"user_verified": False}, Check.FLAGS),
        ({"backed_up": True, "backup_eligible": False}, Check.FLAGS),
        ({"rp_id": "evil.example"}, Check.ORIGIN),
        ({"client_origin": "https://evil.example"}, Check.ORIGIN),
        ({"client_type": "webauthn.create"}, Check.ORIGIN),
        ({"cross_origin": True}, Check.ORIGIN),
        ({"top_origin": "https://evil.example"}, Check.ORIGIN),
        ({"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, Check.CHALLENGE),
        ({"tamper_signature": True}, Check.SIGNATURE),
    ],
)
def test_a_proof_that_should_never_have_passed_is_found_by_the_check_for_it(
    generator: Generator, keys: list[Key], trust: Trust, deviation: dict[str, Any], check: Check
) -> None:
    hardware = keys[4]  # Ed25519: any flipped bit breaks it
    _, bundle = generator.step_up(key=hardware, plain=True, **deviation)
    report = judge(bundle, trust)
    assert failed_checks(report) == {check}, report.findings
    assert independent_verdict(bundle, [generator.head_key.public_key])[0] == "failed"


def test_the_expected_relying_party_is_compared(generator: Generator, trust: Trust) -> None:
    _, bundle = generator.step_up(plain=True)
    good = judge(bundle, Trust(head_keys=trust.head_keys, rp_id="example.com"))
    bad = judge(bundle, Trust(head_keys=trust.head_keys, rp_id="example.org"))
    assert (good.verdict, bad.verdict) == (Verdict.VERIFIED, Verdict.FAILED)


@pytest.mark.parametrize("junk", [None, 1, "", [], {}, "not JSON", {"format": "stepup-evidence"}, [[[[]]]]])
def test_what_is_no_bundle_fails_without_an_exception(trust: Trust, junk: Any) -> None:
    assert judge(junk, trust).verdict is Verdict.FAILED
