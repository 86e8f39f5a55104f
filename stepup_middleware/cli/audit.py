"""``stepup audit export``."""

from __future__ import annotations

import argparse
import json
import sys

from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.exports import CSV_COLUMNS, csv_row, ocsf_event, record_as_dict
from stepup_middleware.core.spreadsheets import csv_line
from stepup_middleware.service.audit import batches

from .output import output, progress
from .sources import opened_log


async def export(options: argparse.Namespace) -> int:
    """Write the log, oldest first."""
    async with opened_log(options) as log:
        total, count = await log.last_seq(), 0
        with output(options.output) as out:
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
