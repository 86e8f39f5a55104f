"""The entry that the tree has of a record, and the MAC without which no row of the database counts.

An *entry* is all that stays of a record after a purge: when it was written, the hash of its body, and how long the
body is to be kept. It names no person and no workspace, so proofs over it can be shown to anybody. The body has a
random salt, so that nobody can guess a purged body and confirm the guess by its hash.

A *MAC* covers every field of a row that decides something. Nobody can make one by writing to the database alone.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.core.canonical import canonical_json, canonical_string, strict_json, strict_json_of_integers
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.moments import iso, time_ordered_id
from stepup_middleware.core.retention import later_by_years

from .merkle import hash_leaf

SALT_BYTES = 16
ENTRY_VERSION = 1
MAC_BYTES = 36  # 4 of the key's id, 32 of HMAC-SHA-256
KEY_ID_BYTES = 4  # with which a MAC begins
# Random bytes that a record takes: its salt, and what makes its id its own. Those of ``ssl.RAND_bytes`` ask the kernel
# nothing: a system call lets another thread in, in the middle of a redemption.
CHANCE_BYTES = SALT_BYTES + 10
_SALT = re.compile(r"[0-9a-f]{32}", re.ASCII)
ENTRY = re.compile(
    r'\{"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z)","body_sha256":"([0-9a-f]{64})",'
    r'"keep_until":"(\d{4}-\d\d-\d\d)","v":1\}',
    re.ASCII,
)
"""The one spelling of an entry, with its time, the hash of its body and its last day."""

if TYPE_CHECKING:
    from hashlib import _Hash

Scalar = str | int | bool | bytes | datetime | date | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A leaf of the tree. ``at`` is aware, ``body_sha256`` has 32 bytes, the body is kept through ``keep_until``."""

    at: datetime
    body_sha256: bytes
    keep_until: date

    @property
    def text(self) -> str:
        """The entry as RFC 8785 JSON: the bytes that the leaf hash covers, about 150 of them."""
        return entry_text(iso(self.at), self.body_sha256.hex(), self.keep_until.isoformat())

    @property
    def leaf_hash(self) -> bytes:
        """The hash of the leaf: SHA-256 of a zero byte and the text (RFC 9162 §2.1)."""
        return hash_leaf(self.text.encode())

    def is_of(self, body: str) -> bool:
        """Tell whether this is the entry of a body."""
        return sha256(body.encode("utf-8", "surrogatepass")).digest() == self.body_sha256

    def body_may_go(self, today: date) -> bool:
        """Tell whether the time of the body is over on this day (UTC)."""
        return self.keep_until < today


def entry_of(body: str, *, at: datetime, retention_years: int) -> Entry:
    """Return the entry of a body that was written at this time."""
    until = later_by_years(at.astimezone(UTC), retention_years).date()
    return Entry(at, sha256(body.encode()).digest(), until)


def read_entry(text: str) -> Entry:
    """Parse an entry. Raises ``ValueError`` for everything but its one spelling."""
    found = ENTRY.fullmatch(text)
    if found is not None:
        at, body_sha256, keep_until = found.groups()
        try:
            entry = Entry(datetime.fromisoformat(at), bytes.fromhex(body_sha256), date.fromisoformat(keep_until))
        except ValueError:
            entry = None
        if entry is not None and entry.text == text:
            return entry
    raise ValueError("no entry of the log: RFC 8785 JSON of at, body_sha256, keep_until and v")


def names_body(entry: str, body: str) -> bool:
    """Tell whether a text has the form of an entry, and the hash of this body. Its dates are not read."""
    found = ENTRY.fullmatch(entry)
    return found is not None and found[2] == sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class RowKind:
    """A kind of row that has a MAC over these ``columns``: all that decide something, in the order of statements.

    ``name`` sets its MACs apart from those of all others; ``table`` is where its rows are.
    """

    name: str
    columns: tuple[str, ...]
    table: str = ""

    def sealed(self, macs: RowMacs, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return a row with its MAC."""
        return (*row, macs.make(self, dict(zip(self.columns, row, strict=True))))

    def holds(self, macs: RowMacs, row: Sequence[Any]) -> bool:
        """Tell whether a row, its MAC last, is as this installation wrote it."""
        *values, mac = row
        try:
            return macs.holds(self, dict(zip(self.columns, values, strict=True)), mac)
        except (TypeError, ValueError, AttributeError):  # a value of a type that no honest writer gave it
            return False

    def text(self, values: Mapping[str, Scalar]) -> str:
        """Return the one text of a row. Raises ``ValueError`` unless it has exactly the columns of its kind."""
        if values.keys() != set(self.columns):
            differing = ", ".join(sorted(values.keys() ^ set(self.columns)))
            raise ValueError(f"the MAC of {self.name} covers exactly its columns; missing or too many: {differing}")
        return canonical_json({"kind": self.name, "row": {name: _typed(value) for name, value in values.items()}})


RECORD = RowKind("record", ("id", "entry"))
TREE_STATE = RowKind("tree_state", ("origin", "size", "root"))


class SealedRecord(NamedTuple):
    """A record as the log keeps it: its id, its salted body, its entry, and the MAC over id and entry."""

    id: str
    body: str
    entry: str
    mac: bytes


class RowMacs:
    """Makes and checks the MACs of rows, under keys that are derived from the secret keys.

    The first key makes them, all check them. A MAC begins with 4 bytes that name its key, so a database can be asked
    which keys are still in use.
    """

    __slots__ = ("_first", "_keys")

    def __init__(self, ring: KeyRing) -> None:
        self._keys = {
            sha256(b"stepup-row-mac\0" + key).digest()[:KEY_ID_BYTES]: _hmac_states(key)
            for key in ring.derive("row-mac")
        }
        self._first = next(iter(self._keys))

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """The ids of the keys, the first key first."""
        return tuple(self._keys)

    def has_key_of(self, mac: bytes | None) -> bool:
        """Whether the key is here that a MAC says it is made by; whether it is its MAC, ``holds`` tells."""
        return mac is not None and mac[:KEY_ID_BYTES] in self._keys

    def make(self, kind: RowKind, values: Mapping[str, Scalar]) -> bytes:
        """Return the 36 bytes for a row, under the first key."""
        return self.make_for_text(kind.text(values))

    def make_for_text(self, text: str) -> bytes:
        """Return the 36 bytes for the one text of a row, put together by hand where many are made."""
        return self._made(self._first, text)

    def holds_for_text(self, text: str, mac: bytes) -> bool:
        """Tell what ``holds`` tells of a row with this text."""
        key_id = mac[:KEY_ID_BYTES]
        return key_id in self._keys and hmac.compare_digest(mac, self._made(key_id, text))

    def make_for_record(self, id_: str, entry: str) -> bytes:
        """Return the MAC of a record: what ``make`` returns for ``RECORD``, for every record that is written."""
        return self.make_for_text(_record_text(id_, entry))

    def seal(self, body: str, *, at: datetime, retention_years: int, chance: bytes) -> SealedRecord:
        """Return the record of a body. ``chance`` are ``CHANCE_BYTES`` random bytes; the first are the body's salt."""
        id_ = time_ordered_id(at, chance[SALT_BYTES:])
        keep_until = last_day(at.date() if at.tzinfo is UTC else at.astimezone(UTC).date(), retention_years)
        entry = entry_text(iso(at), sha256(body.encode()).hexdigest(), keep_until)
        return SealedRecord(id_, body, entry, self.make_for_record(id_, entry))

    def holds_for_record(self, id_: str, entry: str, mac: bytes) -> bool:
        """Tell what ``holds`` tells of a ``RECORD``."""
        return self.holds_for_text(_record_text(id_, entry), mac)

    def holds(self, kind: RowKind, values: Mapping[str, Scalar], mac: bytes | None) -> bool:
        """Tell whether a row is as it was written by somebody who had one of the keys."""
        if mac is None or len(mac) != MAC_BYTES or mac[:KEY_ID_BYTES] not in self._keys:
            return False
        return hmac.compare_digest(mac, self._made(mac[:KEY_ID_BYTES], kind.text(values)))

    def is_current(self, mac: bytes) -> bool:
        """Tell whether a MAC was made under the first key."""
        return mac[:KEY_ID_BYTES] == self._first

    def missing(self, in_use: Sequence[bytes]) -> list[bytes]:
        """Return those of the key ids in use in a database that no key of the ring has: a reason not to start."""
        return [key_id for key_id in in_use if key_id not in self._keys]

    def _made(self, key_id: bytes, text: str) -> bytes:
        state, last = self._keys[key_id]
        inner, outer = state.copy(), last.copy()
        inner.update(text.encode("utf-8", "surrogatepass"))  # a hot store holds whatever an app puts in a name
        outer.update(inner.digest())
        return key_id + outer.digest()

    def __repr__(self) -> str:
        return f"<RowMacs of {len(self._keys)}>"


def entry_text(at: str, body_sha256: str, keep_until: str) -> str:
    """Return the one text of an entry, whose three values are texts already."""
    return f'{{"at":"{at}","body_sha256":"{body_sha256}","keep_until":"{keep_until}","v":{ENTRY_VERSION}}}'


@lru_cache(maxsize=64)
def last_day(day: date, years: int) -> str:
    """Return the last day, in text, on which something is kept that was written on a day (UTC)."""
    return later_by_years(datetime.combine(day, time.min), years).date().isoformat()


def _record_text(id_: str, entry: str) -> str:
    """Return the text that the MAC of a record covers: that of ``RECORD``, put together by hand."""
    return f'{{"kind":"record","row":{{"entry":{canonical_string(entry)},"id":{canonical_string(id_)}}}}}'


def _hmac_states(key: bytes) -> tuple[_Hash, _Hash]:
    """Return SHA-256 after the two blocks that a key makes of it (RFC 2104 §4), to be copied for each message."""
    block = key.ljust(64, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in block)), sha256(bytes(byte ^ 0x5C for byte in block))


def _typed(value: Scalar) -> object:
    """Return a JSON value such that no two values of different types share one."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, datetime):
        return {"at": iso(value)}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    return value


def salt_body(text: str, salt: bytes) -> str:
    """Return the body of a record: the RFC 8785 text of its event with the 16 bytes of salt as a member."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return canonical_json({**strict_json(text), "salt": salt.hex()})


def read_body(body: str) -> str:
    """Return the text of the event in a body. Raises ``ValueError`` for one that is not in its one spelling."""
    members = strict_json_of_integers(body)
    if not isinstance(members, dict) or canonical_json(members) != body:
        raise ValueError("a body is RFC 8785 JSON")
    salt = members.pop("salt", None)
    if not isinstance(salt, str) or _SALT.fullmatch(salt) is None:
        raise ValueError("a body has a salt of 16 bytes in hexadecimal")
    return canonical_json(members)
