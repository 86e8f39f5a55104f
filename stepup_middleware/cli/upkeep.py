"""``stepup purge | revoke-all | reencrypt | keygen``."""

from __future__ import annotations

import argparse
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.errors import ConfigurationError

from .output import progress_line
from .sources import load_middleware, opened_store
from .witness import generate_keys, write_key


async def purge(options: argparse.Namespace) -> int:
    """Remove what is older than its retention, batch after batch."""
    now = datetime.now(UTC)
    if options.today is not None and options.today != now.date():
        raise ConfigurationError(
            f"this machine's clock says {now.date()} (UTC), not {options.today}: set it right first"
        )
    async with opened_store(options) as store:
        events = prompts = tokens = 0
        while True:
            done = await store.records.purge(
                now=datetime.now(UTC), limit=options.batch, clock_confirmed=options.today is not None
            )
            events, prompts, tokens = events + done.events, prompts + done.prompts, tokens + done.tokens
            for anomaly in done.anomalies:
                print(f"nothing purged: {anomaly}", file=sys.stderr)
            if done.anomalies:
                print(f"if today really is {now.date()}, say so: --today {now.date()}", file=sys.stderr)
                return 1
            progress_line(f"purged {events} events, {prompts} prompts, {tokens} tokens")
            if not done.more:
                break
    print(f"purged {events} events, {prompts} prompts, {tokens} tokens")
    return 0


async def revoke_all(options: argparse.Namespace) -> int:
    """Make every outstanding prompt and token worthless."""
    async with opened_store(options) as store:
        now = datetime.now(UTC)
        # the log is written with the app's keys: a database alone has none
        event = AuditEvent(at=now, name=EventName.ALL_REVOKED, workspace_id="", subject_id="") if options.app else None
        await store.revoke_all(event=event, now=now)
    print("every outstanding prompt and token is worthless now")
    return 0


async def reencrypt(options: argparse.Namespace) -> int:
    """Encrypt every stored secret under the first key."""
    async with load_middleware(options.app).stepup as stepup:
        await stepup.reencrypt_secrets()
    print("every stored secret is encrypted under the first key now; the later ones can go")
    return 0


async def new_log(options: argparse.Namespace) -> int:
    """Begin a new log under the name of the app's ``log_key``."""
    kept = [_text_of(text) for text in options.checkpoint]
    stepup = load_middleware(options.app).stepup
    origin = await stepup.begin_log(kept)
    print(f"the log {origin} begins; its first leaf commits to what is known of the one before")
    print("give whoever verifies its keys, beside those of the log before; add them to the witnesses:")
    for vkey in stepup.log_vkeys:
        print(vkey)
    return 0


def _text_of(text: str) -> str:
    """Return a text of several lines, or that of the file it names."""
    return text if "\n" in text else Path(text).read_text(encoding="utf-8")


def keygen(options: argparse.Namespace) -> int:
    """Print a new secret key or write it to a file, or write the keys of a log or a witness to one."""
    name = options.witness if options.log is None else options.log
    if name is not None:
        if options.output is None:
            raise ConfigurationError("name the file of the new keys by --output FILE")
        generate_keys(name, options.output, is_witness=options.witness is not None)
        return 0
    key = secrets.token_urlsafe(48)
    if options.output is None:
        print(key)
    else:
        write_key(options.output, key)
    return 0
