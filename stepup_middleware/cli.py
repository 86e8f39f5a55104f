"""The command line: ``stepup routes | audit verify | audit export | purge | revoke-all | keygen``."""

from __future__ import annotations

import argparse
import asyncio
import csv
import importlib
import json
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.policy import StoredPolicy, effective_requirement
from stepup_middleware.errors import ConfigurationError, StepUpError
from stepup_middleware.inspection import FoundRoute, routes_of
from stepup_middleware.middleware import StepUpMiddleware
from stepup_middleware.service.audit import AuditService
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.sqlite import SQLiteStore

PROGRESS_EVERY = 10_000  # records
EXPORT_COLUMNS = (
    "seq", "at", "event", "severity", "outcome", "workspace", "subject", "subject_name", "session", "ip",
    "user_agent", "purpose", "prompt", "factor", "requirement", "request", "details", "reason", "flags",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns 0, 1 when something is wrong with what was checked, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (StepUpError, OSError, ImportError) as error:
        print(f"stepup: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stepup", description="Step-up authentication: checks and upkeep.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    routes = commands.add_parser("routes", help="list every route with its purpose and what is wrong with it")
    routes.add_argument("app", metavar="MODULE:APP")
    routes.add_argument("--workspace", help="show the requirement in effect in this workspace")
    routes.set_defaults(command=_routes)

    audit = commands.add_parser("audit", help="verify or export the audit log").add_subparsers(
        required=True, metavar="COMMAND"
    )
    verify = audit.add_parser("verify", help="follow every hash chain of the log")
    verify.set_defaults(command=lambda options: asyncio.run(_verify(options)))
    export = audit.add_parser("export", help="write the log as NDJSON or CSV")
    export.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
    export.add_argument("--output", type=Path, help="a file; without it, standard output")
    export.add_argument("--workspace", help="only this workspace")
    export.set_defaults(command=lambda options: asyncio.run(_export(options)))

    purge = commands.add_parser("purge", help="remove what is older than its retention")
    purge.add_argument("--batch", type=int, default=1000, help="rows a transaction (default: 1000)")
    purge.set_defaults(command=lambda options: asyncio.run(_purge(options)))

    revoke = commands.add_parser("revoke-all", help="make every outstanding prompt and token worthless")
    revoke.set_defaults(command=lambda options: asyncio.run(_revoke_all(options)))

    keygen = commands.add_parser("keygen", help="print a new secret key")
    keygen.set_defaults(command=_keygen)

    for command in (verify, export, purge, revoke):
        source = command.add_mutually_exclusive_group(required=True)
        source.add_argument("--database", type=Path, help="a SQLite file of the library")
        source.add_argument("--app", metavar="MODULE:APP", help="the app whose store to use")
    return parser


def load_middleware(target: str) -> StepUpMiddleware:
    """Import ``MODULE:APP`` and return the middleware on it. Raises ``ConfigurationError``."""
    module_name, separator, attribute = target.partition(":")
    if not separator:
        raise ConfigurationError("name the app as MODULE:APP, such as main:app")
    if "" not in sys.path:
        sys.path.insert(0, "")
    app: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        app = getattr(app, part, None)
        if app is None:
            raise ConfigurationError(f"{module_name} has no {attribute}")
    while app is not None and not isinstance(app, StepUpMiddleware):
        app = getattr(app, "app", None)
    if app is None:
        raise ConfigurationError(f"{target} is not wrapped in StepUpMiddleware: its tagged routes refuse to run")
    return app


@asynccontextmanager
async def _store(options: argparse.Namespace) -> AsyncIterator[Store]:
    if options.database is not None:
        if not options.database.exists():
            raise ConfigurationError(f"there is no database at {options.database}")
        store: Store = SQLiteStore(options.database)
    else:
        store = load_middleware(options.app).stepup.store
    async with store:
        yield store


def _routes(options: argparse.Namespace) -> int:
    middleware = load_middleware(options.app)
    purposes = middleware.stepup.purposes
    policy = StoredPolicy()
    if options.workspace:

        async def stored() -> StoredPolicy:
            async with middleware.stepup.store as store:
                return await store.get_policy(options.workspace)

        policy = asyncio.run(stored())
    found = [FoundRoute(path=rule.path, methods=(rule.method,), name="rule", tag=rule.tag) for rule in middleware.rules]
    found += list(routes_of(middleware))
    rows, faults = [], 0
    for route in found:
        purpose = purposes.get(route.tag.purpose) if route.tag else None
        fault = ""
        if route.tag and purpose is None:
            fault = "unknown purpose"
        elif purpose and purpose.deprecated:
            fault = f"deprecated on {purpose.deprecated.on}: {purpose.deprecated.text}"
        faults += bool(route.tag and purpose is None)
        rows.append(
            (
                ",".join(route.methods),
                route.path,
                route.tag.purpose if route.tag else "-",
                effective_requirement(purpose, policy).value if purpose else "-",
                fault,
            )
        )
    _table(("METHODS", "PATH", "PURPOSE", "REQUIREMENT", "FAULT"), rows)
    if not found:
        print("This app's routes cannot be listed (no Starlette routes); its tags are checked when they are met.")
    return 1 if faults else 0


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


async def _verify(options: argparse.Namespace) -> int:
    async with _store(options) as store:
        total, faults = await store.last_seq(), 0
        service = AuditService(store=store)
        count = 0

        def counted(_: AuditRecord) -> None:
            nonlocal count
            count += 1
            _progress("verified", count, total)

        async for fault in service.verify(seen=counted):
            faults += 1
            print(f"chain {fault.chain} link {fault.link} (seq {fault.seq}): {fault.field} {fault.problem}")
        for head in await store.chain_heads():
            print(f"chain {head.chain}: {head.link} links, head {head.hash.hex()}")
    print(f"{count} records, {faults} faults: " + ("the log has been altered" if faults else "every chain holds"))
    return 1 if faults else 0


async def _export(options: argparse.Namespace) -> int:
    async with _store(options) as store:
        service, total, count = AuditService(store=store), await store.last_seq(), 0
        out: TextIO = sys.stdout
        if options.output is not None:
            out = options.output.open("w", encoding="utf-8", newline="")
        try:
            writer = csv.writer(out) if options.format == "csv" else None
            if writer is not None:
                writer.writerow(EXPORT_COLUMNS)
            async for record in service.stream(options.workspace):
                count += 1
                if writer is not None:
                    writer.writerow(csv_row(record))
                else:
                    out.write(json.dumps(record_as_dict(record), ensure_ascii=False) + "\n")
                if options.output is not None:
                    _progress("exported", count, total)
        finally:
            if options.output is not None:
                out.close()
    print(f"{count} records", file=sys.stderr)
    return 0


def record_as_dict(record: AuditRecord) -> dict[str, Any]:
    """Return a record with its place in the log and its chain."""
    place = {"seq": record.seq, "chain": record.chain, "link": record.link, "hash": record.hash.hex()}
    return {**place, **json.loads(record.body)}


def csv_row(record: AuditRecord) -> list[str]:
    """Return a record as CSV cells, none of which a spreadsheet takes for a formula."""
    fields = record_as_dict(record)
    request = fields["request"]
    fields["request"] = f"{request['method']} {request['path']}" if request else ""
    fields["details"] = "; ".join(f"{label}: {text}" for label, text in fields["details"])
    fields["flags"] = " ".join(fields["flags"])
    return [defused("" if fields[column] is None else str(fields[column])) for column in EXPORT_COLUMNS]


def defused(cell: str) -> str:
    """Return a cell with an apostrophe before anything that a spreadsheet would run."""
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _progress(word: str, count: int, total: int) -> None:
    if count % PROGRESS_EVERY == 0 and sys.stderr.isatty():
        print(f"\r{word} {count} of {total}", end="", file=sys.stderr, flush=True)


async def _purge(options: argparse.Namespace) -> int:
    async with _store(options) as store:
        events = prompts = tokens = 0
        while True:
            done = await store.purge(now=datetime.now(UTC), limit=options.batch)
            events, prompts, tokens = events + done.events, prompts + done.prompts, tokens + done.tokens
            for anomaly in done.anomalies:
                print(f"nothing purged: {anomaly}", file=sys.stderr)
            if done.anomalies:
                return 1
            if not done.more:
                break
    print(f"purged {events} events, {prompts} prompts, {tokens} tokens")
    return 0


async def _revoke_all(options: argparse.Namespace) -> int:
    async with _store(options) as store:
        await store.revoke_all(event=None, now=datetime.now(UTC))
    print("every outstanding prompt and token is worthless now")
    return 0


def _keygen(options: argparse.Namespace) -> int:
    print(secrets.token_urlsafe(48))
    return 0
