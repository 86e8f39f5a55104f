"""Where the demo's configuration comes from: arguments, environment, and keys kept beside the database."""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from stepup_middleware import new_log_key

_KEY_BYTES = 48
_LOG = "axis.example/stepup"  # the name of the audit log
SECURITY_CONTACT = "security@axis.example"
_POSTGRES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the app needs to know to start.

    ``origin`` is scheme, host and port as the browser shows them; passkeys are bound to its host, which
    must be a name: browsers refuse an IP address. ``secret_keys`` are newest first: the first signs and
    encrypts, all verify and decrypt. ``database`` is the SQLite file of the demo's own tables. The step-up store is
    a file beside it, unless ``postgres`` is the DSN of a PostgreSQL database. ``log_key`` signs the audit log:
    the text of a key file, as `stepup keygen --log` makes it.
    ``trusted_proxies`` are the addresses of the proxies in front of it, if there are any. ``security_contact`` is whom
    an admin is told to call when a token was presented again.
    """

    database: Path
    origin: str
    secret_keys: tuple[str, ...] = field(repr=False)
    log_key: str | None = field(default=None, repr=False)
    postgres: str | None = field(default=None, repr=False)
    host: str = "localhost"
    port: int = 8000
    trusted_proxies: tuple[str, ...] = ()
    security_contact: str = SECURITY_CONTACT

    @property
    def step_up_database(self) -> Path:
        """The file of the step-up store, beside the demo's own."""
        return self.database.with_name(f"{self.database.stem}-stepup{self.database.suffix}")

    @property
    def domain(self) -> str:
        """The origin's host, without the port."""
        return urlsplit(self.origin).hostname or "localhost"

    @property
    def secure(self) -> bool:
        """Whether pages come over https, so that cookies may carry ``Secure``."""
        return self.origin.startswith("https://")


def from_arguments(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line; what it leaves out comes from the environment.

    ``AXIS_HOST``, ``AXIS_PORT``, ``AXIS_DATABASE``, ``AXIS_TABLES``, ``AXIS_ORIGIN``, ``AXIS_LOG_KEY`` (a file),
    ``AXIS_SECURITY_CONTACT``,
    ``AXIS_SECRET_KEYS`` (separated by commas, newest first) and ``AXIS_TRUSTED_PROXIES`` (likewise).
    """
    parser = argparse.ArgumentParser(prog="python -m demo_app", description="AxisSynapse, a demo of step-up.")
    parser.add_argument("--host", default=os.environ.get("AXIS_HOST", "localhost"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("AXIS_PORT", "8000")))
    parser.add_argument(
        "--database",
        default=os.environ.get("AXIS_DATABASE", "axis.db"),
        help="a SQLite file, or the postgresql:// DSN of the step-up store",
    )
    parser.add_argument(
        "--tables",
        type=Path,
        default=Path(os.environ.get("AXIS_TABLES", "axis.db")),
        help="the SQLite file of the demo's own tables, where --database is a DSN",
    )
    chosen = parser.parse_args(arguments)
    postgres = chosen.database if urlsplit(chosen.database).scheme in _POSTGRES else None
    database = Path(chosen.database) if postgres is None else chosen.tables
    keys = _listed("AXIS_SECRET_KEYS")
    log_key = Path(os.environ.get("AXIS_LOG_KEY") or database.with_suffix(".log.key"))
    return Settings(
        host=chosen.host,
        port=chosen.port,
        database=database,
        postgres=postgres,
        origin=os.environ.get("AXIS_ORIGIN", f"http://localhost:{chosen.port}"),
        secret_keys=keys or (_kept(database.with_suffix(".key"), lambda: secrets.token_urlsafe(_KEY_BYTES)),),
        trusted_proxies=_listed("AXIS_TRUSTED_PROXIES"),
        security_contact=os.environ.get("AXIS_SECURITY_CONTACT", SECURITY_CONTACT),
        log_key=_kept(log_key, lambda: new_log_key(_LOG)),
    )


def _listed(variable: str) -> tuple[str, ...]:
    return tuple(value for value in os.environ.get(variable, "").split(",") if value)


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return the key in a file, made at the first start; only its owner may read it.

    Linking a finished file into place is atomic: workers that start together end up with one key.
    """
    if not path.exists():
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mkstemp gives mode 0600
        with os.fdopen(descriptor, "w", encoding="ascii") as made:
            made.write(make())
        try:
            os.link(name, path)
        except FileExistsError:
            pass
        finally:
            Path(name).unlink()
    return path.read_text(encoding="ascii").strip()
