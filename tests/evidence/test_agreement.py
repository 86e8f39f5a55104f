"""Two verifiers that share no code come to the same verdict on thousands of bundles."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.heads import public_text
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Verdict
from stepup_middleware.service.evidence import judge

from . import independent_verifier
from .generator import Generator, Key
from .tampering import every_alteration, flipped, path_text, resealed, walk

BUNDLES = 10_000


OPERATORS_WORD = frozenset(
    {"session", "ip", "user_agent", "subject_name", "outcome", "reason", "flags", "retention_years"}
)
"""Members of an event that no signature of the person covers: whoever has the head key can write what they like."""


def altered(generator: Generator, bundle: Any) -> tuple[Any, str]:
    """Return a bundle with one text changed somewhere, and which member of an event that was.

    The member is empty where the bundle was left as it came out; otherwise it was sealed anew with the head key.
    """
    choose = generator.random.choice
    if generator.random.random() < 0.5:
        where = choose(range(len(bundle["events"])))
        body = json.loads(bundle["events"][where]["body"])
        texts = [path for path, value in walk(body) if isinstance(value, str) and value and path[0] != "at"]
        target = body
        path = choose(texts)
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = choose(flipped(target[path[-1]]))
        if all(segment["head"] is not None for segment in bundle["segments"]):
            return resealed(
                bundle, {f"events[{where}]": body}, generator.head_key
            ), f"{body['event']}.{path_text(path)}"
    changed = json.loads(json.dumps(bundle))
    texts = [path for path, value in walk(changed) if isinstance(value, str) and value]
    path = choose(texts)
    target = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = choose(flipped(target[path[-1]]))
    return changed, ""


@pytest.mark.slow
def test_both_verifiers_agree_on_ten_thousand_bundles(
    generator: Generator, trust: Trust, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts: Counter[str] = Counter()
    believed: Counter[str] = Counter()
    head_keys = list(trust.head_keys.values())
    for number in range(BUNDLES):
        _, bundle = generator.step_up()
        genuine = judge(bundle, trust).verdict
        assert genuine is not Verdict.FAILED
        assert (genuine.value, independent_verifier.verdict(bundle, head_keys)[0]) == (genuine.value, genuine.value)
        verdicts[genuine.value] += 1
        if number % 4 == 0:
            forged, member = altered(generator, bundle)
            report = judge(forged, trust)
            other, why = independent_verifier.verdict(forged, head_keys)
            agreed = (report.verdict is Verdict.VERIFIED) is (other == "verified")
            assert agreed, (report.findings, other, why)
            if report.verdict is Verdict.VERIFIED:
                believed[member] += 1
            verdicts[f"altered: {report.verdict.value}"] += 1
    with capsys.disabled():
        sys.stdout.write(
            f"\nboth verifiers agree: {dict(verdicts)}\nbelieved on the operator's word: {dict(believed)}\n"
        )
    assert "" not in believed  # nothing passes that was not sealed anew
    proved = {"ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED", "ACTION_AUTHORIZED"}
    for member in believed:
        event, _, name = member.partition(".")
        assert event not in proved or name in OPERATORS_WORD or name.startswith("data."), member
        assert not name.startswith("data.proof"), member
    assert verdicts["verified"] > BUNDLES / 2
    assert verdicts["not_verifiable"] > BUNDLES / 20
    assert verdicts["altered: failed"] > BUNDLES / 8


def test_both_verifiers_agree_on_every_single_alteration(generator: Generator, keys: list[Key], trust: Trust) -> None:
    head_keys = list(trust.head_keys.values())
    for key in keys[:3]:
        _, bundle = generator.step_up(key=key, plain=True)
        assert independent_verifier.verdict(bundle, head_keys) == ("verified", "")
        for tampered in every_alteration(bundle):
            other, why = independent_verifier.verdict(tampered.bundle, head_keys)
            assert other != "verified", (tampered.how, tampered.text, why)


def test_the_independent_verifier_runs_alone(generator: Generator, tmp_path: Path) -> None:
    script = Path(independent_verifier.__file__)
    assert "stepup_middleware" not in script.read_text(encoding="utf-8")
    _, bundle = generator.step_up(plain=True)
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle), encoding="utf-8")
    key = public_text(generator.head_key.public_key)
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(path), key], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "verified"), done.stderr
