"""``stepup audit verify``: an evidence bundle, an export, or the whole log of a database."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from stepup_middleware.core.canonical import strict_json
from stepup_middleware.core.events import EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.findings import LogSummary
from stepup_middleware.evidence.report import Check, EvidenceVerdict, Report
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.evidence.verification import verify_bundle
from stepup_middleware.log.records import RowMacs
from stepup_middleware.service.assertions import assertions_checked, signature_holds
from stepup_middleware.stores.audit_log import AuditLog

from .output import line_of, progress_line, table
from .sources import opened_log
from .trusted import TwoHistories, read_trust
from .verify_export import check_is_export, manifest_of, verify_export

LARGEST_BUNDLE = 64 * 1024 * 1024  # bytes
_SETTLE_SECONDS = 1.0
_OBJECTS = 100_000  # made before the collector looks for cycles: rows have none, and are many
_SENTENCES = {
    EvidenceVerdict.VERIFIED: "verified: this person's key signed this action, and the log was not rewritten since",
    EvidenceVerdict.NOT_VERIFIABLE: "not independently verifiable: nothing is wrong, but not everything can be told",
    EvidenceVerdict.FAILED: "FAILED: the evidence does not hold",
}
_LOG_SENTENCES = {
    EvidenceVerdict.VERIFIED: "the log is whole",
    EvidenceVerdict.NOT_VERIFIABLE: "nothing is wrong, but not everything can be told",
    EvidenceVerdict.FAILED: "FAILED: the log is not what the app wrote",
}


async def verify(options: argparse.Namespace) -> int:
    """Verify a bundle or an export with nothing but it and what is trusted, or the whole log of a store."""
    with_store = options.database is not None or options.app is not None
    if (options.bundle is None) is not with_store:
        raise ConfigurationError("name either a FILE, or the log by --database or --app")
    try:
        if options.bundle is None:
            async with opened_log(options) as log:
                return await _verify_log(log, options)
        manifest = manifest_of(options)
        return _verify_bundle(options) if manifest is None else await verify_export(options, manifest)
    except TwoHistories as error:
        failed = EvidenceVerdict.FAILED
        print(json.dumps({"verdict": failed.value, "problem": str(error)}) if options.json else f"FAILED: {error}")
        return failed.exit_code


# a bundle


def _verify_bundle(options: argparse.Namespace) -> int:
    bundle = _read_bundle(options.bundle)
    report = verify_bundle(bundle, read_trust(options), signature_holds=signature_holds)
    (_bundle_json if options.json else _bundle_table)(report)
    return report.verdict.exit_code


def _read_bundle(path: Path) -> object:
    """Return the bundle as a JSON value. A text that is not JSON is returned as it is, and is no bundle."""
    if str(path) == "-":
        raw = sys.stdin.buffer.read(LARGEST_BUNDLE + 1)
    else:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BUNDLE + 1)
    if len(raw) > LARGEST_BUNDLE:
        raise ConfigurationError(f"{path} is larger than any bundle")
    check_is_export(path, raw[:1000])
    try:
        return strict_json(raw.decode("utf-8"))
    except ValueError:
        return "not JSON"


def _bundle_table(report: Report) -> None:
    rows = []
    for check in Check:
        found = [finding for finding in report.findings if finding.check is check]
        status = report.status(check).value
        rows.append((check.value, status, f"{found[0].field}: {found[0].problem}" if found else ""))
        rows += [("", "", f"{finding.field}: {finding.problem}") for finding in found[1:]]
    for name, value in _facts(report).items():
        print(f"{name + ':':<12}{visible(value)}")
    table(("CHECK", "RESULT", "WHERE AND WHY"), rows)
    print(_SENTENCES[report.verdict])


def _bundle_json(report: Report) -> None:
    answer = {
        "verdict": report.verdict.value,
        "checks": {check.name.lower(): report.status(check).value for check in Check},
        "findings": [{**asdict(finding), "check": finding.check.name.lower()} for finding in report.findings],
        "witnessed": {name: at.isoformat() for name, at in report.witnessed.items()},
        "facts": _facts(report),
    }
    print(json.dumps(answer, indent=2))


def _facts(report: Report) -> dict[str, str]:
    """Return what the bundle is about, as it says itself."""
    action = report.event(EventName.ACTION_AUTHORIZED) or report.event(EventName.CHALLENGE_REQUESTED)
    if action is None:
        return {}
    request = "" if action.request is None else f"{action.request.method} {action.request.path}"
    return {
        "prompt": action.prompt_id,
        "person": f"{action.subject_name} ({action.subject_id})",
        **({"actor": action.actor} if action.actor else {}),
        **({"client": action.client} if action.client else {}),
        "workspace": action.workspace_id,
        "purpose": action.purpose,
        "request": request,
        "details": "; ".join(f"{label}: {text}" for label, text in action.details),
        "factor": "" if action.factor_kind is None else action.factor_kind.value,
        "at": action.at.isoformat(),
        "ip": action.ip,
    }


# a log


async def _verify_log(log: AuditLog, options: argparse.Namespace) -> int:
    trust = read_trust(options)
    macs = None
    if options.secret_key is not None:
        macs = RowMacs(KeyRing(options.secret_key.read_text(encoding="utf-8").split()))
    gc.set_threshold(_OBJECTS)
    async with assertions_checked() as check:
        verifier = LogVerifier(
            log,
            trust,
            now=datetime.now(UTC),
            macs=macs,
            check_assertions=None if options.without_proofs else check,
            settle=lambda: asyncio.sleep(_SETTLE_SECONDS),
        )
        async for finding in verifier.run(told=lambda what, count: progress_line(f"{what}: {count}")):
            print(json.dumps(asdict(finding)) if options.json else visible(line_of(finding)))
    verdict = verifier.summary.verdict
    if options.json:
        print(json.dumps({"verdict": verdict.value, "summary": asdict(verifier.summary)}))
    else:
        _summary_table(verifier.summary, trust, macs is not None, proofs=not options.without_proofs)
        print(f"{verifier.summary.records} records, {verifier.summary.faults} faults: {_LOG_SENTENCES[verdict]}")
    return verdict.exit_code


def _summary_table(summary: LogSummary, trust: Trust, with_macs: bool, *, proofs: bool) -> None:
    is_known = any(trust.of_log(origin) for origin in summary.origins)
    signed = "signatures checked" if is_known else "signatures not checked: no --vkey"
    macs = "MACs checked" if with_macs else "MACs not checked: no --secret-key"
    rows = [
        ("records", summary.records, macs),
        ("leaves", summary.leaves, ", ".join(summary.origins)),
        ("bodies purged in their time", summary.purged, "entries and hashes are there"),
        ("records without a leaf yet", summary.waiting, ""),
        ("checkpoints in the database", summary.checkpoints, signed),
        ("checkpoints from outside it", summary.outside, "the tree contains them"),
        ("leaves under no checkpoint", summary.uncovered, "newer than the last that a trusted key signed"),
        ("WebAuthn proofs", summary.proofs, "checked" if proofs else "not judged: --without-proofs"),
        ("one-time passwords", summary.one_time_passwords, "not independently verifiable"),
        ("step-ups purged in part", summary.incomplete, ""),
        ("cannot be told", summary.untold, ""),
        ("faults", summary.faults, ""),
    ]
    table(("WHAT", "COUNT", "NOTE"), [(name, str(count), note if count else "") for name, count, note in rows])
