"""Mappings of audit records for exports and sinks: NDJSON, CSV, OCSF and CAEP."""

from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.core.exports import CSV_COLUMNS, caep_event, csv_row, ocsf_event, record_as_dict
from stepup_middleware.core.spreadsheets import csv_line

__all__ = [
    "CSV_COLUMNS",
    "ExportFormat",
    "caep_event",
    "csv_line",
    "csv_row",
    "ocsf_event",
    "record_as_dict",
]
