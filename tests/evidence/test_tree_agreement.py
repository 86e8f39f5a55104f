"""The library and the independent verifier give one verdict on bundles of every sort, whole and altered."""

from __future__ import annotations

import ast
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.canonical import strict_json
from stepup_middleware.core.moments import iso
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.keys import LOG_TYPES, SigningKey
from tests.evidence.generator import Generator, Key
from tests.evidence.independent_verifier import verdict
from tests.evidence.tampering import altered_members, restructured
from tests.evidence.trees import TRUST, Logged, logged, verified

BUNDLES = int(os.environ.get("STEPUP_AGREEMENT_BUNDLES", "200"))
ANOTHER_LOG = [SigningKey.generate("log.example.com/another", type_).verifier for type_ in LOG_TYPES]
KEYS_OF_ANYBODY = [*TRUST.log_keys, *TRUST.witness_keys, *ANOTHER_LOG]
LOG_VKEYS, WITNESS_VKEYS = ([str(key) for key in keys] for keys in (TRUST.log_keys, TRUST.witness_keys))


def rewritten(kept: Logged, chance: random.Random) -> Logged:
    """Return the log whose keys' owner rewrote a record of it, anywhere and in any way, or as it is."""
    roll = chance.random()
    if roll < 0.5:
        return kept
    index = chance.choice(sorted(kept.bodies))
    event = strict_json(kept.bodies[index])
    if roll < 0.7:
        old, new = chance.choice(CHANGES)
        return kept.altered(index, old, new) if old in kept.bodies[index] else kept
    if roll < 0.8:
        moment = datetime.fromisoformat(event["at"]) + timedelta(seconds=chance.randint(-900, 900))
        return kept.written_anew(index, {**event, "at": iso(moment)})
    return kept.written_anew(index, chance.choice([*altered_members(event), *restructured(event)]).bundle)


CHANGES = [  # what looks alike
    ('"requirement":"any"', '"requirement":"phishing_resistant"'),
    ('"factor":"passkey"', '"factor":"totp"'),
    ('"ip":"192.0.2.7"', '"ip":"192.0.2.8"'),
    ('"outcome":"success"', '"outcome":"failure"'),
    ('"v":1', '"v":2'),
    ('"v":1', '"v":1.0'),
    ('"severity":"info"', '"severity":"warning"'),
    ('"rp_id":"example.com"', '"rp_id":"example.org"'),
    ('"algorithm":-7', '"algorithm":-8'),
    ('"backup_eligible":', '"backup_eligible":null,"imported":true,"was":'),
    ('"backup_eligible":', '"backup_eligible":null,"was":'),
    ('"data":{', '"data":{"a":0.5,'),
    ('"data":{', '"data":{"a":9007199254740992,'),
    ('"flags":[]', '"flags":["new_ip"]'),
    ('"flags":[]', '"flags":[1]'),
    ('"fields":[', '"fields":[["x",1],'),
    ('"reached":null', '"reached":{"method":"GET"}'),
    ('"reached":null', '"reached":{"way":"GET"}'),
    ('"salt":"', '"salt":"0'),
    ('"purpose":"', '"purpose":"x'),
    ('"ip":"198.51.100.9"', '"ip":"198.51.100.8"'),
    ('"approval":{', '"approved":{'),
    ('"approver":{', '"caller2":{},"approver":{'),
]


def bundles(keys: list[Key]) -> Iterator[tuple[dict[str, Any], list[str], Any]]:
    """Yield bundles with the vkeys that an auditor trusts, as texts and as the library takes them."""
    generator, chance = Generator(2026, keys), random.Random(28)  # noqa: S311 - which cases are tried
    for _ in range(BUNDLES):
        kept = rewritten(logged(generator, plain=chance.random() < 0.6), chance)
        bundle = strict_json(json.dumps(kept.bundle().as_dict()))
        if chance.random() < 0.3:
            changes = list(chance.choice((altered_members, restructured))(bundle))
            bundle = chance.choice(changes).bundle
        roll = chance.random()
        if roll < 0.1:
            yield bundle, WITNESS_VKEYS, replace(TRUST, log_keys=(), rp_id=None)
        elif roll < 0.2:
            yield bundle, LOG_VKEYS, replace(TRUST, witness_keys=(), rp_id=None)
        elif roll < 0.5:
            given = chance.sample(KEYS_OF_ANYBODY, chance.randrange(len(KEYS_OF_ANYBODY)))
            yield bundle, list(map(str, given)), Trust.among(given)
        else:
            yield bundle, [*LOG_VKEYS, *WITNESS_VKEYS], replace(TRUST, rp_id=None)


def test_both_verifiers_give_one_verdict_on_every_bundle(keys: list[Key]) -> None:
    seen: Counter[str] = Counter()
    for bundle, vkeys, trust in bundles(keys):
        report = verified(bundle, trust)
        other, why = verdict(bundle, vkeys)
        assert report.verdict.value == other, (why, report.findings, json.dumps(bundle)[:2000])
        seen[other] += 1
    assert min(seen.values()) > BUNDLES / 50
    assert len(seen) == 3


def test_the_independent_verifier_imports_nothing_of_the_library() -> None:
    text = (Path(__file__).parent / "independent_verifier.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
    assert not [module for module in modules if module.startswith(("stepup", "tests"))]
    assert len([line for line in text.split("\n") if line.strip()]) <= 200


@pytest.mark.parametrize(("keep", "code"), [("all", 0), ("witness", 3), ("other", 1)])
def test_it_runs_by_itself(keys: list[Key], tmp_path: Path, keep: str, code: int) -> None:
    bundle = logged(Generator(5, keys), plain=True).bundle().as_dict()
    if keep == "other":
        bundle["prompt_id"] = "other"
    (tmp_path / "bundle").write_text(json.dumps(bundle))
    (tmp_path / "vkeys").write_text("\n".join(["# trusted", *(LOG_VKEYS if keep != "witness" else []), *WITNESS_VKEYS]))
    done = subprocess.run(
        [sys.executable, "-m", "tests.evidence.independent_verifier", tmp_path / "bundle", tmp_path / "vkeys"],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == code
