"""The command line: ``stepup routes | audit … | factors … | call | purge | revoke-all | reencrypt | keygen``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import Any

from stepup_middleware import __version__
from stepup_middleware.errors import StepUpError

from .assets import assets
from .audit import export
from .call import add_call
from .evidence import evidence
from .factors import add_pass, add_reset, issue_pass, reset_factors
from .import_factors import add_import, import_factors
from .routes import routes
from .sources import add_source, load_middleware
from .trusted import add_trust
from .upkeep import keygen, new_log, purge, reencrypt, revoke_all
from .verify import verify
from .witness import witness

__all__ = ["load_middleware", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns 0; 1 when something is wrong with what was checked; 2 for a wrong call; 3 when nothing is wrong
    but not everything could be verified; 130 when it was interrupted.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except KeyboardInterrupt:
        print("stepup: stopped before it was done", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has seen enough, of what is still to be written as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (StepUpError, OSError, ImportError, ValueError) as error:
        print(f"stepup: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stepup", description="Step-up authentication: checks and upkeep.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("routes", help="list every route with its purpose and what is wrong with it")
    listing.add_argument("app", metavar="MODULE:APP")
    listing.add_argument("--workspace", help="show the requirement in effect in this workspace")
    listing.set_defaults(command=routes)

    audit = commands.add_parser("audit", help="verify or export the audit log, and make evidence").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _add_verify(audit.add_parser("verify", help="verify an evidence bundle or an export offline, or the whole log"))

    bundle = audit.add_parser("evidence", help="write the evidence of one step-up")
    bundle.add_argument("prompt", metavar="PROMPT_ID")
    bundle.add_argument("--workspace", help="only if the prompt is of this workspace")
    bundle.add_argument("--output", type=Path, help="a file; without it, standard output")
    bundle.add_argument(
        "--tlog-proof", type=Path, metavar="FOLDER", help="write a C2SP tlog-proof of each record there, too"
    )
    add_source(bundle)
    bundle.set_defaults(command=_running(evidence))

    _add_witness(audit.add_parser("witness", help="serve a witness, which cosigns the checkpoints of logs"))

    beginning = audit.add_parser("new-log", help="begin a new log where the one before must not be signed any more")
    beginning.add_argument("app", metavar="MODULE:APP")
    beginning.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE_OR_TEXT",
        help="a checkpoint of the log before that was kept; can be repeated",
    )
    beginning.set_defaults(command=_running(new_log))

    exporting = audit.add_parser("export", help="write the log as NDJSON, CSV or OCSF")
    exporting.add_argument("--format", choices=("ndjson", "csv", "ocsf"), default="ndjson")
    exporting.add_argument("--output", type=Path, help="a file; without it, standard output")
    exporting.add_argument("--workspace", help="only this workspace")
    exporting.add_argument(
        "--manifest", type=Path, metavar="FILE", help="where the manifest goes (default: beside the output)"
    )
    add_source(exporting)
    exporting.set_defaults(command=_running(export))

    purging = commands.add_parser("purge", help="remove what is older than its retention")
    purging.add_argument("--batch", type=_number, default=1000, help="rows a transaction (default: 1000)")
    purging.add_argument(
        "--today",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="vouch for the clock: the day it is (UTC), where the last purge is long ago",
    )
    add_source(purging)
    purging.set_defaults(command=_running(purge))

    revoking = commands.add_parser("revoke-all", help="make every outstanding prompt and token worthless")
    add_source(revoking)
    revoking.set_defaults(command=_running(revoke_all))

    reencrypting = commands.add_parser("reencrypt", help="encrypt every stored secret under the first key")
    reencrypting.add_argument("app", metavar="MODULE:APP")
    reencrypting.set_defaults(command=_running(reencrypt))

    factors = commands.add_parser("factors", help="take over factors, and let people in who have none").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add_import(factors).set_defaults(command=_running(import_factors))
    add_pass(factors).set_defaults(command=_running(issue_pass))
    add_reset(factors).set_defaults(command=_running(reset_factors))

    add_call(commands.add_parser("call", help="send a request, and ask its person where a proof is wanted"))

    listing = commands.add_parser("assets", help="print the tags of a page's head with their integrity")
    listing.add_argument("--base", default="/stepup", metavar="URL", help="where the library is (default: /stepup)")
    listing.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write the files there too, to serve them elsewhere"
    )
    listing.set_defaults(command=assets)

    generating = commands.add_parser("keygen", help="print a new secret key, or make the keys of a log or a witness")
    what = generating.add_mutually_exclusive_group()
    what.add_argument("--log", metavar="NAME", help="the keys of a transparency log, like example.com/stepup")
    what.add_argument("--witness", metavar="NAME", help="the keys of a witness, like witness.example.com")
    generating.add_argument("--output", type=Path, metavar="FILE", help="the new file, which its owner alone can read")
    generating.set_defaults(command=keygen)
    return parser


def _number(text: str) -> int:
    """Return a number of at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of at least 1")
    return int(text)


def _add_verify(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "bundle", nargs="?", type=Path, metavar="FILE", help="an evidence bundle, - reads it; or an export"
    )
    command.add_argument(
        "--manifest", type=Path, metavar="FILE", help="the manifest of an export, where it is not beside it"
    )
    add_trust(command)
    command.add_argument(
        "--secret-key", type=Path, metavar="FILE", help="the app's secret keys, one a line: MACs are checked, too"
    )
    command.add_argument(
        "--without-proofs",
        action="store_true",
        help="of a log or an export: no events and no signatures of people; faster",
    )
    command.add_argument("--json", action="store_true", help="for machines")
    add_source(command, required=False)
    command.set_defaults(command=_running(verify))


def _add_witness(command: argparse.ArgumentParser) -> None:
    command.add_argument("--listen", required=True, metavar="HOST:PORT")
    command.add_argument("--key", required=True, type=Path, metavar="FILE", help="as `stepup keygen --witness` made it")
    command.add_argument(
        "--log", required=True, action="append", metavar="VKEY", help="a log's vkey, or a file of them; can be repeated"
    )
    command.add_argument(
        "--state", type=Path, metavar="FILE", help="what the witness remembers (default: beside the key, FILE.state)"
    )
    command.set_defaults(command=witness)


def _running(command: Callable[[argparse.Namespace], Coroutine[Any, Any, int]]) -> Callable[[argparse.Namespace], int]:
    return lambda options: asyncio.run(command(options))
