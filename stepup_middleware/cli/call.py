"""``stepup call``: curl for routes that want a proof."""

from __future__ import annotations

import argparse
from pathlib import Path

from stepup_middleware.errors import ConfigurationError


def add_call(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("method", metavar="METHOD", help="such as POST")
    command.add_argument("url", metavar="URL")
    command.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="can be repeated")
    command.add_argument("-d", "--data", metavar="TEXT", help="the body: a text, @FILE, or @- for standard input")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="without it, standard output")
    command.set_defaults(command=_call)


def _call(options: argparse.Namespace) -> int:
    try:
        from stepup_middleware.client.command import call  # optional: only this command calls
    except ModuleNotFoundError as error:
        raise ConfigurationError("stepup call needs httpx: install stepup-middleware[client]") from error
    return call(options)
