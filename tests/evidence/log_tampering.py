"""Every deletion, exchange, truncation, insertion and fork of a log, as somebody with the database could make them."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.chain import GENESIS, leaf_hash, link_hash

_COLUMNS = (
    "seq, chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, at, high, entry, mac, "
    "token, body"
)


@dataclass(frozen=True)
class LogRow:
    """A stored record: what the chain is made of, and the columns that only index it."""

    seq: int
    chain: str
    link: int
    previous: bytes
    hash: bytes
    index: tuple[object, ...]
    body: str


@dataclass(frozen=True)
class Altered:
    """An altered log, and the place at which it was altered."""

    how: str
    rows: Sequence[LogRow]
    chain: str
    link: int


def read_log(database: Path) -> list[LogRow]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq").fetchall()  # noqa: S608 - a constant
    return [LogRow(row[0], row[1], row[2], row[3], row[4], row[5:16], row[16]) for row in rows]


def write_log(source: Path, target: Path, rows: Sequence[LogRow], *, heads: bool) -> None:
    """Write a copy of a database that has these records, and its signed heads or none."""
    with closing(sqlite3.connect(target)) as connection, connection:
        with closing(sqlite3.connect(source)) as original:
            original.backup(connection)
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM audit")
        if not heads:
            connection.execute("DELETE FROM heads")
        places = ", ".join("?" * 18)
        connection.executemany(
            f"INSERT INTO audit ({_COLUMNS}, id) VALUES ({places})",  # noqa: S608 - a constant
            [
                (row.seq, row.chain, row.link, row.previous, row.hash, *row.index[:-1], None, row.body, str(number))
                for number, row in enumerate(rows)
            ],
        )


def sealed(rows: Sequence[LogRow]) -> list[LogRow]:
    """Return the records with places and hashes made anew, so that every chain holds in itself."""
    ends: dict[str, tuple[int, bytes]] = defaultdict(lambda: (0, GENESIS))
    anew = []
    for seq, row in enumerate(rows, 1):
        link, previous = ends[row.chain]
        hash_ = link_hash(row.chain, link + 1, previous, leaf_hash(row.body))
        ends[row.chain] = (link + 1, hash_)
        anew.append(replace(row, seq=seq, link=link + 1, previous=previous, hash=hash_))
    return anew


def every_alteration_of_a_log(rows: Sequence[LogRow]) -> Iterator[Altered]:
    """Yield each alteration at each record, with the hashes left as they were and with hashes made anew."""
    for at, row in enumerate(rows):
        without = [*rows[:at], *rows[at + 1 :]]
        yield Altered("deleted", without, row.chain, row.link)
        yield Altered("deleted, sealed anew", sealed(without), row.chain, row.link)
        yield Altered("cut off from here", rows[:at], row.chain, row.link)
        fields = json.loads(row.body)
        lie = replace(row, body=canonical_json({**fields, "subject_name": fields["subject_name"] + "x"}))
        yield Altered("altered", [*rows[:at], lie, *rows[at + 1 :]], row.chain, row.link)
        yield Altered("forked from here", sealed([*rows[:at], lie, *rows[at + 1 :]]), row.chain, row.link)
        for name in ("previous", "hash"):
            flipped = replace(row, **{name: bytes([getattr(row, name)[0] ^ 1]) + getattr(row, name)[1:]})
            yield Altered(f"altered {name}", [*rows[:at], flipped, *rows[at + 1 :]], row.chain, row.link)
        after = next((other for other in rows[at + 1 :] if other.chain == row.chain), None)
        if after is not None:
            # after the last one it would be no insertion: until the next head, what is appended is the operator's word
            inserted = sealed([*rows[: at + 1], row, *rows[at + 1 :]])
            yield Altered("inserted, sealed anew", inserted, row.chain, row.link)
            place = rows.index(after)
            exchanged = list(rows)
            exchanged[at] = replace(after, seq=row.seq, link=row.link)
            exchanged[place] = replace(row, seq=after.seq, link=after.link)
            yield Altered("exchanged", exchanged, row.chain, row.link)
            yield Altered("exchanged, sealed anew", sealed(exchanged), row.chain, row.link)
