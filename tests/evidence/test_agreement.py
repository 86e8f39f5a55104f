"""Two verifiers that share no code come to the same verdict on thousands of bundles."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stepup_middleware.core.heads import public_text
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Verdict
from stepup_middleware.service.evidence import judge

from . import independent_verifier
from .counting import count
from .generator import Generator, Key
from .tampering import every_alteration


def test_both_verifiers_agree_and_believe_nobody_without_the_head_key(
    generator: Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten thousand of them by ``python -m tests.evidence.counting``."""
    summary = count(generator, 400)
    with capsys.disabled():
        sys.stdout.write(f"\n{summary.text()}\n")
    assert summary.disagreed == []
    assert summary.genuine.keys() == {"verified", "not_verifiable"}
    assert summary.without_key["verified"] == 0
    assert summary.without_key["failed"] > 300


def test_with_the_head_key_nothing_that_the_person_signed_can_be_changed(generator: Generator) -> None:
    summary = count(generator, 400)
    assert summary.signed_passed == []
    assert summary.with_key["failed"] > summary.with_key["verified"] > 0  # the rest is the operator's word


def test_both_verifiers_agree_on_every_single_alteration(generator: Generator, keys: list[Key], trust: Trust) -> None:
    head_keys = list(trust.head_keys.values())
    for key in keys[:3]:
        _, bundle = generator.step_up(key=key, plain=True)
        assert independent_verifier.verdict(bundle, head_keys) == ("verified", "")
        for tampered in every_alteration(bundle):
            other, why = independent_verifier.verdict(tampered.bundle, head_keys)
            assert other != "verified", (tampered.how, tampered.text, why)


def test_a_replay_that_was_logged_before_the_redemption_takes_nothing_from_the_proof(
    generator: Generator, trust: Trust
) -> None:
    _, bundle = generator.step_up(plain=True, overtaken=True)
    assert independent_verifier.verdict(bundle, list(trust.head_keys.values())) == ("verified", "")
    assert judge(bundle, trust).verdict is Verdict.VERIFIED


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
