"""A long log with real signatures, written by the store's own writer: for measuring how long verifying takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import count, islice

from stepup_middleware.core.events import AuditEvent, EventFields, EventName
from stepup_middleware.core.factors import EnrolledFactor, FactorKind
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Prompt, PromptRequest, ask, asking_event, prompt_event
from stepup_middleware.stores.base import Store
from stepup_middleware.testing import EDDSA, ES256
from tests.evidence.generator import Generator, Key, make_key

PEOPLE = 40
_AT_ONCE = 500  # events a transaction


async def write_long_log(store: Store, events: int, *, told: Callable[[int], None] | None = None) -> None:
    """Append so many events to a log: people enrol, and step up again and again until they are reached."""
    source, written = islice(long_log(), events), 0
    while batch := list(islice(source, _AT_ONCE)):
        await store.append(batch)
        written += len(batch)
        if told is not None:
            told(written)


def long_log() -> Iterator[AuditEvent]:
    """Yield the events of an endless log: ``PEOPLE`` enrolments, then step-ups of four events each."""
    kinds = (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY)
    keys = [make_key(kinds[n % 2], EDDSA if n % 8 == 7 else ES256, n) for n in range(PEOPLE)]
    generator = Generator(11, keys)
    people = []
    for key in keys:
        asked, _ = generator.asked()
        yield generator.enrolled(asked, key)
        people.append((asked.subject, key))
    for number in count():
        subject, key = people[number % PEOPLE]
        asked, _ = generator.asked()
        yield from _step_up(
            generator,
            PromptRequest(
                prompt_id=f"{number:032x}", subject=subject, ip=asked.ip, user_agent=asked.user_agent,
                purpose=asked.purpose, request=asked.request, details=asked.details, locale="en", now=asked.now,
                title=asked.title, consequence=asked.consequence,
            ),
            key,
        )  # fmt: skip


def _step_up(generator: Generator, asked: PromptRequest, key: Key) -> Iterator[AuditEvent]:
    prompt = ask(asked, StoredPolicy(version=3), [EnrolledFactor(key.factor_id, key.kind)])
    assert isinstance(prompt, Prompt)
    proof = {"acr": "phr", "amr": list(key.kind.amr), "factor_name": "Key", "proof": generator.proof(prompt, key)}
    ended = {"status": 200, "outcome": "returned"}
    yield asking_event(asked, prompt)
    told: dict[EventName, Mapping[str, object]] = {
        EventName.VERIFIED: proof,
        EventName.ACTION_AUTHORIZED: {},
        EventName.ACTION_COMPLETED: ended,
    }
    for name, data in told.items():
        generator.now += timedelta(milliseconds=5)
        years = asked.purpose.retention_years
        fields: EventFields = {"factor_kind": key.kind, "factor_id": key.factor_id, "data": data}
        yield prompt_event(prompt, name, now=generator.now, retention_years=years, **fields)
