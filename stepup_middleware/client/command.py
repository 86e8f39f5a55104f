"""What ``stepup call`` does."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import httpx

from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError

from .auth import StepUpAuth
from .questions import StepUpNotProved


def call(options: argparse.Namespace) -> int:
    """Send one request; ask the person where a proof is wanted, and send it again. Write the answer's body.

    Returns 0 for a status below 400 and 1 for any other, which is said on standard error, or where nobody proved.
    """
    try:
        url = httpx.URL(options.url)
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError(
                f"the URL is a whole one, such as https://api.example.com/webhooks/7, and not {options.url!r}"
            )
        server = str(url.copy_with(path="/", query=None, fragment=None, userinfo=b""))
        headers = [_header(line) for line in options.header]
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    body = None if options.data is None else _body(options.data)
    asked = False  # whether the action has surely not run: its refusal is here, and no token has left

    def sending(request: httpx.Request) -> None:
        nonlocal asked
        asked = asked and "stepup-token" not in request.headers

    def answered(response: httpx.Response) -> None:
        nonlocal asked
        asked = "stepup-prompt" in response.headers

    with httpx.Client(auth=StepUpAuth(server), timeout=60) as client:
        client.event_hooks = {"request": [sending], "response": [answered]}
        try:
            answer = client.request(options.method, url, headers=headers, content=body)
        except StepUpNotProved as error:
            _say(str(error))
            return 1
        except KeyboardInterrupt:
            said = "taken back, nothing was done" if asked else "stopped; look whether it was done before you try again"
            _say(said)
            return 130
        except httpx.HTTPError as error:
            unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            said = "Nothing was done." if asked or unsent else "Look whether it was done before you try again."
            _say(f"{type(error).__name__}: {error}. {said}")
            return 1
    if options.output is None:
        sys.stdout.buffer.write(answer.content)
        sys.stdout.flush()
    else:
        _write(options.output, answer.content)
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        _say(f"the server answered {answer.status_code} {answer.reason_phrase}")
        return 1
    return 0


def _write(path: Path, content: bytes) -> None:
    """Write what a proof was asked for: a new file is its owner's alone, one that is there keeps its mode."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)


def _say(sentence: str) -> None:
    sys.stderr.write(f"stepup: {visible(sentence)}\n")


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip() or not line.isascii():
        raise ValueError(f"a header is written as 'Name: value', in ASCII: {line!r}")
    return name.strip(), value.strip()


def _body(given: str) -> bytes:
    """Return what ``-d`` gives: text, a file for ``@FILE``, standard input for ``@-``."""
    if not given.startswith("@"):
        return given.encode()
    return sys.stdin.buffer.read() if given == "@-" else Path(given[1:]).read_bytes()
