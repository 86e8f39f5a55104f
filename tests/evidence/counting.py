"""What both verifiers say of bundles by the thousand: ``python -m tests.evidence.counting [--bundles 10000]``.

Two attackers are told apart. One has the bundle, and the database, but no head key: nothing that they alter may
pass. The other has the head key, as the operator of the log does, and seals the bundle anew: what the person
signed still holds against them, the rest is the operator's word.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Verdict
from stepup_middleware.service.evidence import judge

from .generator import Generator, make_keys
from .independent_verifier import verdict
from .tampering import at, flipped, path_text, resealed, walk, with_value

WORD_OF_THE_OPERATOR = frozenset(
    {"session", "ip", "user_agent", "subject_name", "outcome", "reason", "flags", "retention_years"}
)
"""Members of the three events of a proof that the person's signature does not cover, apart from ``data``."""

SIGNED_EVENTS = frozenset({"ACCOUNT_STEPUP_CHALLENGE_REQUESTED", "ACCOUNT_STEPUP_VERIFIED", "ACTION_AUTHORIZED"})


@dataclass
class Count:
    """What was tried, and what came of it. ``disagreed`` and ``signed_passed`` must stay empty."""

    genuine: Counter[str] = field(default_factory=Counter)
    without_key: Counter[str] = field(default_factory=Counter)
    with_key: Counter[str] = field(default_factory=Counter)
    believed: Counter[str] = field(default_factory=Counter)
    disagreed: list[object] = field(default_factory=list)
    signed_passed: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the count for people."""
        bundles, altered, sealed = (each.total() for each in (self.genuine, self.without_key, self.with_key))
        return "\n".join(
            [
                f"both verifiers judged {bundles} genuine bundles: {told(self.genuine)}",
                f"altered by somebody without the head key: {altered}, undetected {self.without_key['verified']}",
                f"altered and sealed anew with the head key: {sealed}, undetected {self.with_key['verified']}",
                f"  of these, where the person's signature reaches: {len(self.signed_passed)}",
                f"  the operator's word: {told(self.believed)}",
                f"the verifiers disagreed on {len(self.disagreed)}",
            ]
        )


def told(counter: Counter[str]) -> str:
    return ", ".join(f"{word} {number}" for word, number in counter.most_common()) or "none"


def texts_of(value: Any) -> list[tuple[str | int, ...]]:
    return [path for path, text in walk(value) if isinstance(text, str) and text]


def count(generator: Generator, bundles: int) -> Count:
    """Make step-ups of all sorts, and alter each of them once as either attacker would."""
    summary, head_keys = Count(), [generator.head_key.public_key]
    trust = Trust(head_keys={generator.head_key.key_id: generator.head_key.public_key})

    def judged(bundle: Any, *, genuine: bool) -> str:
        report = judge(bundle, trust)
        ours, (theirs, why) = report.verdict.value, verdict(bundle, head_keys)
        # of what is not genuine, one may say that it is wrong and the other that it cannot be told
        agreed = ours == theirs if genuine else (ours == Verdict.VERIFIED) is (theirs == Verdict.VERIFIED)
        if not agreed:
            summary.disagreed.append((ours, report.findings, theirs, why))
        return ours

    for _ in range(bundles):
        _, bundle = generator.step_up()
        summary.genuine[judged(bundle, genuine=True)] += 1
        path = generator.random.choice(texts_of(bundle))
        forged = with_value(bundle, path, generator.random.choice(flipped(at(bundle, path))))
        summary.without_key[judged(forged, genuine=False)] += 1
        if any(segment["head"] is None for segment in bundle["segments"]):
            continue  # there is nothing to seal
        forged, member = sealed_anew(generator, bundle)
        outcome = judged(forged, genuine=False)
        summary.with_key[outcome] += 1
        if outcome == Verdict.VERIFIED:
            event, _, name = member.partition(".")
            summary.believed[member.partition("[")[0]] += 1
            if event in SIGNED_EVENTS and name not in WORD_OF_THE_OPERATOR and not operators_data(name):
                summary.signed_passed.append(member)
    return summary


def operators_data(name: str) -> bool:
    """Whether a member of ``data`` is not signed: all but the proof, and the proof's list of further origins."""
    return name.startswith("data.") and (not name.startswith("data.proof") or name.startswith("data.proof.origins"))


def sealed_anew(generator: Generator, bundle: Any) -> tuple[Any, str]:
    """Return a bundle with one text inside one event changed and all hashes and heads made anew, and which member."""
    choose = generator.random.choice
    where = choose(range(len(bundle["events"])))
    body = json.loads(bundle["events"][where]["body"])
    path = choose([path for path in texts_of(body) if path[0] != "at"])  # a microsecond is nobody's lie
    body = with_value(body, path, choose(flipped(at(body, path))))
    return resealed(bundle, {f"events[{where}]": body}, generator.head_key), f"{body['event']}.{path_text(path)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    summary = count(Generator(options.seed, make_keys()), options.bundles)
    sys.stdout.write(summary.text() + "\n")
    return 1 if summary.disagreed or summary.signed_passed or summary.without_key["verified"] else 0


if __name__ == "__main__":
    sys.exit(main())
