"""Run the comparison of fields in one framework: the exit status is 1 where one was read that a condition never saw."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httptools

from stepup_middleware import RelyingParty, Rule, StepUp, StepUpMiddleware
from stepup_middleware.asgi import Scope
from stepup_middleware.core.fields import Fields
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.differential.stack import KEY, ORIGIN, _nowhere, _receiving
from tests.differential.wire import Wire, scope_of
from tests.frameworks.site import life

from .readers import PATH, PATHS, READERS, read
from .spellings import spelling

ENOUGH = 10  # faults, after which the rest is not looked for


class Seen:
    """The condition of the rule: it never asks, and keeps what it saw."""

    def __init__(self) -> None:
        self.fields: Fields | None = None

    def __call__(self, scope: Scope, fields: Fields) -> bool:
        self.fields = fields
        return False


async def nobody(scope: Scope) -> None:
    """Nobody is signed in: what is asked about gets no further."""


def missed(pairs: list[tuple[str, Any]], fields: Fields | None) -> list[tuple[str, Any]]:
    """Return the fields that a framework read and the condition never saw."""
    if fields is None:
        return pairs
    # a whole form in parts taken for one pair (Litestar) has a name that no browser gives a field
    return [pair for pair in pairs if not pair[0].startswith("--") and not fields.has(pair[0], *_texts(pair[1]))]


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, bytes | bytearray | memoryview):
        return (bytes(value).decode(errors="replace"),)
    return (str(value), "") if value is None else (str(value), str(value).lower())  # Litestar reads true and null


async def compared(framework: str, *, count: int, seed: int) -> tuple[list[str], Mapping[str, int]]:
    """Send so many spellings; return what was read and not seen, and how many spellings came how far."""
    seen, faults, counts = Seen(), [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        stepup = StepUp(
            secret_key=KEY,
            store=SQLiteStore(Path(folder) / "stepup.db"),
            relying_party=RelyingParty(id="localhost", name="Test", origins=[ORIGIN]),
            identify=nobody,
        )
        rule = Rule("*", f"{PATH}/{{rest:path}}", purpose="account_erasure_finalize", when=seen)
        app = StepUpMiddleware(READERS[framework](), stepup=stepup, rules=[rule])
        async with life(app):
            for number in range(count):
                rng = Random(f"{seed} {framework} {number}")  # noqa: S311 - the same spellings again
                wire = spelling(rng, rng.choice(PATHS.get(framework, (PATH,))))
                pairs: list[tuple[str, Any]] = []
                read.set(pairs)
                seen.fields = None
                try:
                    scope = scope_of(wire)
                except (httptools.HttpParserError, UnicodeError):
                    continue  # no server hands it out
                with suppress(Exception):  # what an app fails with is no reading
                    async with asyncio.timeout(10):
                        await app(scope, _receiving(list(wire.chunks())), _nowhere)
                counts["sent"] += 1
                counts["seen"] += seen.fields is not None
                counts["read"] += bool(pairs)
                if unseen := missed(pairs, seen.fields):
                    faults.append(f"{number}: {_shown(wire)} read {pairs!r}, unseen {unseen!r}")
                    if len(faults) >= ENOUGH:
                        break
    return faults, counts


def _shown(wire: Wire) -> str:
    return repr((wire.method, wire.target, wire.headers, wire.body))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=READERS)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    faults, counts = asyncio.run(compared(options.framework, count=options.count, seed=options.seed))
    print("\n".join(faults))  # noqa: T201 - what the command is for
    print(  # noqa: T201
        f"{options.framework}: {counts['sent']} sent, {counts['seen']} seen, {counts['read']} read, "
        f"{len(faults)} faults"
    )
    return bool(faults) or counts["read"] < counts["sent"] // 20


if __name__ == "__main__":
    sys.exit(main())
