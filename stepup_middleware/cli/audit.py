"""``stepup audit export``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.exports import CSV_COLUMNS, csv_row, ocsf_event, record_as_dict
from stepup_middleware.core.spreadsheets import csv_line
from stepup_middleware.service.audit import batches

from .output import progress
from .sources import opened_log


async def export(options: argparse.Namespace) -> int:
    """Write the log, oldest first."""
    async with opened_log(options) as log:
        total, count = await log.last_seq(), 0
        with _output(options.output) as out:
            if options.format == "csv":
                out.write(csv_line(CSV_COLUMNS))
            async for batch in batches(log, options.workspace):
                for record in batch:
                    out.write(_export_line(record, options.format))
                count += len(batch)
                if options.output is not None:
                    progress("exported", count, total)
    print(f"{count} records", file=sys.stderr)
    return 0


def _export_line(record: AuditRecord, form: str) -> str:
    if form == "csv":
        return csv_line(csv_row(record))
    line = ocsf_event(record) if form == "ocsf" else record_as_dict(record)
    return json.dumps(line, ensure_ascii=False) + "\n"


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    # a new file is its owner's alone (names, addresses); one that is there keeps its mode
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8", newline="") as out:
        yield out
