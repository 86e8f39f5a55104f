"""How large the evidence of one step-up is, in logs of a thousand and of ten million leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from stepup_middleware.core.events import AuditEvent, EventFields, EventName
from stepup_middleware.core.factors import EnrolledFactor
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Prompt, ask, asking_event, prompt_event
from stepup_middleware.core.purposes import PLATFORM_PURPOSES
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.integrator import SeenTree
from stepup_middleware.log.keys import sign_checkpoint
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.service.evidence import EvidenceService
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS
from tests.evidence.generator import Generator, make_keys
from tests.evidence.trees import LOG_KEYS, ORIGIN, WITNESS_KEYS, verified

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch
from .verification import mint_leaves

_DETAILS = tuple((f"Detail {number}", "x" * 90) for number in range(10))  # 1 kB


def _step_up() -> tuple[str, list[AuditEvent]]:
    """Return the prompt of a step-up with a passkey, and its events with the enrolment first."""
    key = make_keys()[0]
    generator = Generator(3, [key])
    made, _ = generator.asked()
    purpose = next(purpose for purpose in PLATFORM_PURPOSES if purpose.id == "payroll_ach_transmit")
    asked = replace(made, purpose=purpose, details=_DETAILS)
    prompt = ask(asked, StoredPolicy(version=3), [EnrolledFactor(key.factor_id, key.kind)])
    assert isinstance(prompt, Prompt)
    proof = {"acr": "phr", "amr": list(key.kind.amr), "factor_name": "Key", "proof": generator.proof(prompt, key)}
    events = [generator.enrolled(asked, key), asking_event(asked, prompt)]
    for name, data in (
        (EventName.VERIFIED, proof),
        (EventName.ACTION_AUTHORIZED, {"token": "1"}),
        (EventName.ACTION_COMPLETED, {"status": 200, "outcome": "returned"}),
    ):
        told: EventFields = {"factor_kind": key.kind, "factor_id": key.factor_id, "data": data}
        events.append(prompt_event(prompt, name, now=asked.now, retention_years=1, **told))
    return prompt.id, events


async def bundle_in(path: Path, leaves: int) -> int:
    """Mint a log of so many leaves, step up in it, and return the bytes of the bundle, under one witness."""
    await mint_leaves(path, leaves, origin=ORIGIN)
    prompt_id, events = _step_up()
    async with SQLiteStore(path).use(MACS) as store:
        await store.append(events)
        step, _ = await store.records.integrate(origin=ORIGIN, seen=SeenTree())
        assert step.alarm is None
        (tree,) = await store.records.trees()
        note = sign_checkpoint(
            Checkpoint(ORIGIN, tree.size, tree.root), [*LOG_KEYS, *WITNESS_KEYS], int(datetime.now(UTC).timestamp())
        )
        await store.records.add_checkpoint(StoredCheckpoint(log=1, size=tree.size, note=str(note)))
        made = await EvidenceService(store=store.records).make(None, prompt_id)
        assert made is not None
    assert verified(made.as_dict()).verdict is EvidenceVerdict.VERIFIED
    return len(json.dumps(made.as_dict(), ensure_ascii=False).encode())


@asynccontextmanager
async def _bundles(scale: Scale) -> AsyncIterator[Sides]:
    async def bundle(leaves: int) -> Sample:
        with scratch() as folder:
            return {"kB": await bundle_in(folder / "log.db", leaves) / 1000}

    yield {
        "in a thousand": lambda: bundle(1000),
        "in a hundred thousand": lambda: bundle(scale.of(100_000)),
        "in ten million": lambda: bundle(scale.of(10_000_000)),
    }


FURTHER = (
    Benchmark(
        name="bundles",
        sides=_bundles,
        figures=(
            Figure(
                "evidence of a step-up among 10,000,000 leaves, with details of 1 kB", "one witness", at_most(24),
                "kB", "in ten million", None, "kB",
            ),
            Figure(
                "evidence among 100,000 leaves", "among 1,000", at_most(6), "kB", "in a hundred thousand",
                "in a thousand", "kB",
            ),
            Figure(
                "evidence among 10,000,000 leaves", "among 1,000", at_most(6), "kB", "in ten million", "in a thousand",
                "kB",
            ),
        ),
        rounds=1,
    ),
)  # fmt: skip
