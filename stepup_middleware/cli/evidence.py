"""``stepup audit evidence``: write the evidence of one step-up."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.evidence.bundle import Bundle
from stepup_middleware.service.evidence import EvidenceService

from .output import output
from .sources import load_middleware, opened_log


async def evidence(options: argparse.Namespace) -> int:
    """Write the bundle of one step-up, and with ``--tlog-proof`` a file of the standard for each of its records."""
    async with _bundles(options) as service:
        bundle = await service.make(options.workspace, options.prompt)
    if bundle is None:
        raise ConfigurationError(f"the log has no step-up {options.prompt}")
    with output(options.output) as out:
        out.write(json.dumps(bundle.as_dict(), ensure_ascii=False, indent=1) + "\n")
    if options.tlog_proof is not None:
        write_proofs(bundle, options.tlog_proof)
    return 0


def write_proofs(bundle: Bundle, folder: Path) -> None:
    """Write a C2SP tlog-proof for each record, named after its index; its extra is the entry."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in [*bundle.records, *([] if bundle.enrolment is None else [bundle.enrolment])]:
        with output(folder / f"{record.index}.tlog-proof") as out:
            out.write(str(record.tlog_proof(bundle.note)))


@asynccontextmanager
async def _bundles(options: argparse.Namespace) -> AsyncIterator[EvidenceService]:
    """Open the store; that of an app together with its log key, so that a fresh checkpoint is signed."""
    if options.app is None:
        async with opened_log(options) as log:
            yield EvidenceService(store=log)
    else:
        async with load_middleware(options.app).stepup as stepup:
            yield stepup._parts.evidence
