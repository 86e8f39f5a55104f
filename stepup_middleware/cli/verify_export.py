"""``stepup audit verify`` of an export, with its manifest."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from stepup_middleware.core.canonical import strict_json
from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.evidence.exported import ExportVerifier
from stepup_middleware.evidence.findings import LogFinding, LogSummary
from stepup_middleware.evidence.manifest import Manifest, ManifestError, read_manifest
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.service.assertions import assertions_checked
from stepup_middleware.service.exported_file import NDJSONFile

from .audit import manifest_beside
from .output import line_of, progress_line, table
from .trusted import read_trust

_SENTENCES = {
    EvidenceVerdict.VERIFIED: "verified: its records are in the log, which claims that there are no others",
    EvidenceVerdict.NOT_VERIFIABLE: "nothing is wrong, but not everything can be told",
    EvidenceVerdict.FAILED: "FAILED: this is not what was exported, or not what the log has",
}


def manifest_of(options: argparse.Namespace) -> Path | None:
    """Return the manifest of the file that is to be verified: the one that is named, or the one beside it."""
    if options.manifest is not None:
        return Path(options.manifest)
    beside = manifest_beside(options.bundle)
    return beside if beside.exists() else None


async def verify_export(options: argparse.Namespace, path: Path) -> int:
    """Verify the file of an export with its manifest."""
    try:
        manifest = read_manifest(_json(path))
    except ManifestError as error:
        return _misshapen(options, error)
    claim = manifest.claim
    trust = read_trust(options)
    with NDJSONFile(options.bundle) as file:
        async with assertions_checked() as check:
            verifier = ExportVerifier(file, manifest, trust, check_assertions=None if options.without_proofs else check)
            async for finding in verifier.run(told=lambda what, count: progress_line(f"{what}: {count}")):
                _told(options, finding)
    verdict = verifier.summary.verdict
    if options.json:
        facts = json.loads(claim.text)
        print(json.dumps({"verdict": verdict.value, "summary": asdict(verifier.summary), "claim": facts}))
    else:
        _summary(manifest, verifier.summary, proofs=not options.without_proofs and not claim.wanted)
        print(f"{verifier.summary.faults} faults: {_SENTENCES[verdict]}")
    return verdict.exit_code


def _json(path: Path) -> object:
    try:
        return strict_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ManifestError("manifest", "is not text in UTF-8") from error
    except ValueError as error:
        raise ManifestError("manifest", f"is not JSON: {error}") from error


def _misshapen(options: argparse.Namespace, error: ManifestError) -> int:
    failed = EvidenceVerdict.FAILED
    _told(options, LogFinding(where="manifest", field=error.field, problem=str(error)))
    print(json.dumps({"verdict": failed.value}) if options.json else f"1 fault: {_SENTENCES[failed]}")
    return failed.exit_code


def _told(options: argparse.Namespace, finding: LogFinding) -> None:
    print(json.dumps(asdict(finding)) if options.json else visible(line_of(finding)))


def _summary(manifest: Manifest, summary: LogSummary, *, proofs: bool) -> None:
    claim = manifest.claim
    asked = ", ".join(f"{name} {value}" for name, value in claim.wanted) or "all records"
    of = "all workspaces" if claim.workspace is None else f"the workspace {claim.workspace}"
    rows = [
        ("made at", claim.made_at.isoformat(), "as the manifest says"),
        ("claimed to have", asked, f"of {of}"),
        *(("up to leaf", str(tree.checkpoint.size), f"of {tree.checkpoint.origin}") for tree in claim.trees),
        ("records", str(claim.records), "each proved by the tree" if claim.form is ExportFormat.NDJSON else ""),
        ("WebAuthn proofs", str(summary.proofs), "checked" if proofs else "not judged"),
        ("one-time passwords", str(summary.one_time_passwords), "not independently verifiable"),
        ("cannot be told", str(summary.untold), ""),
        ("faults", str(summary.faults), ""),
    ]
    table(("WHAT", "VALUE", "NOTE"), rows)


def check_is_export(path: Path, start: bytes) -> None:
    """Raise ``ConfigurationError`` for a file that looks like the export or the manifest of one."""
    if b'"stepup-export-1"' in start:
        raise ConfigurationError(f"{path} is a manifest: name the file of the export, and --manifest {path}")
    if start.startswith((b'{"seq":', b"seq,at,event")) or b'"class_uid":3002' in start:
        raise ConfigurationError(f"{path} is an export: its manifest is not beside it, name it by --manifest FILE")
