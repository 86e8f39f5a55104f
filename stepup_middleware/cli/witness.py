"""``stepup audit witness``: a witness for the logs of other people, and the keys of logs and witnesses."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.keys import (
    LOG_TYPES,
    WITNESS_TYPES,
    SigningKey,
    VerifierKey,
    read_signing_keys,
    read_verifier_keys,
)
from stepup_middleware.log.notes import NoteError
from stepup_middleware.log.witness.app import READ_SECONDS, WitnessApp
from stepup_middleware.log.witness.state import WitnessState

MOST_CONNECTIONS = 100


def witness(options: argparse.Namespace) -> int:
    """Serve a witness until it is stopped."""
    try:
        import uvicorn  # optional: only this command serves
    except ImportError:
        raise ConfigurationError('a witness needs uvicorn: pip install "stepup-middleware[witness]"') from None
    host, port = _address(options.listen)
    keys = read_signing_keys(options.key.read_text(encoding="utf-8"), WITNESS_TYPES)
    logs = [key for vkey in options.log for key in trusted_keys(vkey)]
    path: Path = options.state or options.key.with_name(f"{options.key.name}.state")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    state = WitnessState(path, keys)
    app = WitnessApp(state, logs)
    if state.is_new:
        print(f"{path} is new: this witness remembers nothing yet; never delete or restore this file", file=sys.stderr)
    for key in keys:
        print(f"witness: {key.verifier}", flush=True)
    for origin in app.logs:
        print(f"log: {origin}", flush=True)
    try:
        uvicorn.run(
            app,
            host=host,
            port=port,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=int(READ_SECONDS),
            timeout_graceful_shutdown=int(READ_SECONDS),
            access_log=False,
            log_config=None,
            ws="none",
            proxy_headers=False,
            server_header=False,
        )
    except SystemExit as ended:
        if ended.code:  # with codes of its own
            raise ConfigurationError(
                f"the witness could not be served at {options.listen}: the lines above say why"
            ) from None
    return 0


def trusted_keys(text: str) -> tuple[VerifierKey, ...]:
    """Return the keys of a vkey, or of a file of them, one a line."""
    path = Path(text)
    try:
        return read_verifier_keys(path.read_text(encoding="utf-8") if "+" not in text or path.is_file() else text)
    except (NoteError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{text[:80]}: {error}") from None


def generate_keys(name: str, output: Path, *, is_witness: bool) -> None:
    """Write new keys of a log or a witness to a file that only its owner can read, and print their vkeys.

    A file that exists is left as it is.
    """
    keys = [SigningKey.generate(name, type_) for type_ in (WITNESS_TYPES if is_witness else LOG_TYPES)]
    whose = "witness" if is_witness else "log"
    lines = [f"# secret: the keys with which the {whose} {name} signs", *(key.secret_text() for key in keys)]
    write_key(output, "\n".join(lines))
    print(f"# public: for whoever verifies what the {whose} {name} signs")
    for key in keys:
        print(key.verifier)


def write_key(output: Path, text: str) -> None:
    """Write a key to a file that only its owner can read, durably. A file that exists is left as it is."""
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{output} exists: a key is never overwritten") from None
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text + "\n")
        opened.flush()
        os.fsync(opened.fileno())


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"--listen takes HOST:PORT, like 127.0.0.1:7080, not {listen!r}")
    return host, int(port)
