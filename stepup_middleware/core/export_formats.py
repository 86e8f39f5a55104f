"""The formats of an export of the log: which there are, and how each writes a record."""

from __future__ import annotations

import json
from enum import StrEnum

from .audit_record import AuditRecord
from .exports import CSV_COLUMNS, csv_row, ocsf_event, record_as_dict
from .spreadsheets import csv_line


class ExportFormat(StrEnum):
    """A format of an export. NDJSON alone has the whole record, so that a verifier can find it in the log's tree."""

    NDJSON = "ndjson"
    CSV = "csv"
    OCSF = "ocsf"

    @property
    def head(self) -> str:
        """What the file begins with."""
        return csv_line(CSV_COLUMNS) if self is ExportFormat.CSV else ""

    @property
    def ending(self) -> str:
        """How the name of such a file ends."""
        return "ocsf.ndjson" if self is ExportFormat.OCSF else self.value

    @property
    def media_type(self) -> str:
        """The type of such a file (RFC 4180, NDJSON)."""
        return "text/csv; charset=utf-8" if self is ExportFormat.CSV else "application/x-ndjson"

    def line(self, record: AuditRecord, *, product: str = "stepup-middleware") -> str:
        """Return the line of a record. ``product`` names the app that the log is of, in OCSF."""
        if self is ExportFormat.CSV:
            return csv_line(csv_row(record))
        value = record_as_dict(record) if self is ExportFormat.NDJSON else ocsf_event(record, product=product)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
