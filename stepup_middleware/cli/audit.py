"""``stepup audit verify | evidence | export``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from stepup_middleware.core.canonical import strict_json
from stepup_middleware.core.events import AuditRecord, EventName
from stepup_middleware.core.exports import CSV_COLUMNS, csv_row, ocsf_event, record_as_dict
from stepup_middleware.core.findings import Check
from stepup_middleware.core.heads import read_public_keys
from stepup_middleware.core.spreadsheets import csv_line
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Report, Verdict
from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.service.audit import batches
from stepup_middleware.service.evidence import EvidenceService, judge
from stepup_middleware.service.verification import LogFault, LogVerifier, VerificationSummary
from stepup_middleware.stores.records import AuditLog

from .output import progress, table
from .sources import load_middleware, opened_log

LARGEST_BUNDLE = 64 * 1024 * 1024  # bytes
_CODES = {Verdict.VERIFIED: 0, Verdict.FAILED: 1, Verdict.NOT_VERIFIABLE: 3}
_SENTENCES = {
    Verdict.VERIFIED: "verified: this person's key signed this action, and the log was not rewritten since",
    Verdict.NOT_VERIFIABLE: "not independently verifiable: nothing is wrong, but not everything can be told",
    Verdict.FAILED: "FAILED: the evidence does not hold",
}


class TwoHistories(Exception):
    """The kept heads contradict each other: whoever signed them has shown two logs."""


async def verify(options: argparse.Namespace) -> int:
    """Verify a bundle with nothing but it and the trusted keys, or the whole log of a store."""
    try:
        trust = _trust(options)
    except TwoHistories as error:
        print(
            json.dumps({"verdict": Verdict.FAILED.value, "problem": str(error)}) if options.json else f"FAILED: {error}"
        )
        return _CODES[Verdict.FAILED]
    with_store = options.database is not None or options.app is not None
    if (options.bundle is None) is not with_store or (options.all and not with_store):
        raise ConfigurationError("name either a BUNDLE, or the log by --database or --app")
    if options.bundle is None:
        async with opened_log(options) as log:
            return await _verify_log(log, trust, as_json=options.json, proofs=not options.chains_only)
    report = judge(_read_bundle(options.bundle), trust)
    (_bundle_json if options.json else _bundle_table)(report)
    return _CODES[report.verdict]


def _trust(options: argparse.Namespace) -> Trust:
    keys = {} if options.head_key is None else read_public_keys(options.head_key.read_text(encoding="utf-8"))
    witnessed = {} if options.heads is None else read_witnessed(options.heads)
    return Trust(head_keys=keys, rp_id=options.rp_id, witnessed=witnessed)


def read_witnessed(path: Path) -> dict[tuple[str, int], bytes]:
    """Return the hashes of witnessed heads by chain and link: JSON, one a line.

    Raises ``ConfigurationError`` for what is no head, ``TwoHistories`` for two that cannot both be true.
    """
    witnessed: dict[tuple[str, int], bytes] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                head = strict_json(line)
                place, hash_ = (str(head["chain"]), int(head["link"])), bytes.fromhex(head["hash"])
            except (ValueError, KeyError, TypeError):
                raise ConfigurationError(f"{path}, line {number}: not a head") from None
            if witnessed.setdefault(place, hash_) != hash_:
                raise TwoHistories(
                    f"{path}, line {number}: another head was kept for this link: there are two histories"
                )
    return witnessed


def _read_bundle(path: Path) -> object:
    """Return the bundle as a JSON value. A file that is not JSON comes out as text, which no bundle is."""
    if str(path) == "-":
        raw = sys.stdin.buffer.read(LARGEST_BUNDLE + 1)
    else:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BUNDLE + 1)
    if len(raw) > LARGEST_BUNDLE:
        raise ConfigurationError(f"{path} is larger than any bundle")
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
        "facts": _facts(report),
    }
    print(json.dumps(answer, ensure_ascii=False, indent=2))


def _facts(report: Report) -> dict[str, str]:
    """Return what the bundle is about, as it says itself."""
    action = report.event(EventName.ACTION_AUTHORIZED) or report.event(EventName.CHALLENGE_REQUESTED)
    if action is None:
        return {}
    request = "" if action.request is None else f"{action.request.method} {action.request.path}"
    return {
        "prompt": action.prompt_id,
        "person": f"{action.subject_name} ({action.subject_id})",
        "workspace": action.workspace_id,
        "purpose": action.purpose,
        "request": request,
        "details": "; ".join(f"{label}: {text}" for label, text in action.details),
        "factor": "" if action.factor_kind is None else action.factor_kind.value,
        "at": action.at.isoformat(),
        "ip": action.ip,
    }


async def _verify_log(log: AuditLog, trust: Trust, *, as_json: bool, proofs: bool) -> int:
    total = await log.last_seq()
    verifier = LogVerifier(log, trust, proofs=proofs)
    async for fault in verifier.run(told=lambda count: progress("verified", count, total)):
        print(json.dumps(_fault_as_dict(fault), ensure_ascii=False) if as_json else visible(_fault_text(fault)))
    heads = await log.chain_heads()
    if as_json:
        chains = [{"chain": head.chain, "link": head.link, "hash": head.hash.hex()} for head in heads]
        print(json.dumps({"summary": asdict(verifier.summary), "chains": chains}))
    else:
        for head in heads:
            print(f"chain {visible(head.chain)}: {head.link} links, head {head.hash.hex()}")
        _summary_table(verifier.summary, trust, proofs=proofs)
    return 1 if verifier.summary.faults else 0


def _summary_table(summary: VerificationSummary, trust: Trust, *, proofs: bool) -> None:
    heads = "signature not checked: no --head-key" if not trust.head_keys else "signature checked"
    skipped, covered = "not judged: --chains-only", summary.beyond_heads > 0
    table(
        ("WHAT", "COUNT", "NOTE"),
        [
            ("records", str(summary.records), ""),
            (
                "WebAuthn proofs",
                str(summary.proofs),
                "signature, challenge, origin and key checked" if proofs else skipped,
            ),
            ("one-time passwords", str(summary.one_time_passwords), "not independently verifiable"),
            ("signed heads", str(summary.heads), heads),
            ("under no head yet", str(summary.beyond_heads), "newer than the last head: the operator's word" * covered),
            ("cannot be told", str(summary.unverifiable), "the records needed were purged"),
            ("faults", str(summary.faults), ""),
        ],
    )
    end = "the log has been altered" if summary.faults else "every chain holds"
    print(f"{summary.records} records, {summary.faults} faults: {end}")


def _fault_text(fault: LogFault) -> str:
    return f"chain {fault.chain} link {fault.link} (seq {fault.seq}): {fault.field} {fault.problem}"


def _fault_as_dict(fault: LogFault) -> dict[str, Any]:
    return {**asdict(fault), "check": fault.check.name.lower()}


async def evidence(options: argparse.Namespace) -> int:
    """Write the bundle of one step-up."""
    async with _bundles(options) as service:
        bundle = await service.bundle(options.workspace, options.prompt)
    if bundle is None:
        raise ConfigurationError(f"the log has no step-up {options.prompt}")
    with _output(options.output) as out:
        out.write(json.dumps(bundle, ensure_ascii=False, indent=1) + "\n")
    if not bundle["head_key_ids"]:
        print("stepup: no signed head covers this step-up: the evidence shows no unaltered log", file=sys.stderr)
    return 0


@asynccontextmanager
async def _bundles(options: argparse.Namespace) -> AsyncIterator[EvidenceService]:
    """Open the store; that of an app together with its head key, so that a fresh head is signed."""
    if options.app is None:
        async with opened_log(options) as log:
            yield EvidenceService(store=log)
    else:
        async with load_middleware(options.app).stepup as stepup:
            yield stepup._parts.evidence


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
