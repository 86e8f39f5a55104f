"""``stepup audit export``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.service.audit_search import AuditSearch
from stepup_middleware.service.exporting import LogExport

from .output import output, progress_line
from .sources import load_middleware, opened_log

MANIFEST = ".manifest.json"  # ends the name of the manifest beside the file of an export


async def export(options: argparse.Namespace) -> int:
    """Write the log, oldest first, and beside the file its manifest."""
    manifest = options.manifest
    if manifest is None and options.output is not None:
        manifest = manifest_beside(options.output)
    async with _exporting(options) as made:
        with output(options.output) as out:
            async for part in made:
                out.write(part)
                if options.output is not None:
                    progress_line(f"exported {made.records} of {made.last_seq}")
        if manifest is not None:
            with output(manifest) as out:
                out.write(json.dumps((await made.manifest()).as_dict(), ensure_ascii=False, indent=1) + "\n")
    print(f"{made.records} records", file=sys.stderr)
    if made.refused:
        told = f"{made.refused} left out, which the app did not write: stepup audit verify says which"
        print(told, file=sys.stderr)
    return 0


def manifest_beside(path: Path) -> Path:
    """Return where the manifest of an export is, unless it is said."""
    return Path(f"{path}{MANIFEST}")


@asynccontextmanager
async def _exporting(options: argparse.Namespace) -> AsyncIterator[LogExport]:
    """Open the log; that of an app together with its log key, so that the export is signed."""
    form = ExportFormat(options.format)
    if options.app is None:
        async with opened_log(options) as log:
            yield LogExport(log, options.workspace, AuditSearch(), form, clock=lambda: datetime.now(UTC))
    else:
        async with load_middleware(options.app).stepup as stepup:
            yield stepup.audit.export(options.workspace, form=form)
