"""Everything that somebody who can write to the tables of a log, and has no key, may do to them.

An alteration takes the tables as lists of rows and returns those that it changed. It may drop every trigger,
constraint and index first. Where a hash without a key stands in the way, it is made anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.moments import iso, time_ordered_id, to_micros
from stepup_middleware.log.merkle import hash_leaf
from stepup_middleware.log.records import entry_of, read_entry
from stepup_middleware.log.tiles import TiledTree

Row = dict[str, Any]
Tables = Mapping[str, list[Row]]
NEAR = 10_000_000  # microseconds within which transactions may commit in another order than they took their numbers
ORDER = ("audit", "leaves", "tiles", "trees", "checkpoints")


@dataclass(frozen=True)
class Alteration:
    """What was done, in words; ``kind`` is the line of the table that it counts for."""

    kind: str
    what: str
    tables: Tables


def copied(tables: Tables) -> dict[str, list[Row]]:
    return {name: [dict(row) for row in rows] for name, rows in tables.items()}


def other_values(value: Any, column: list[Any], chance: random.Random) -> Iterator[Any]:
    """Yield values unlike one, of its type: near, far, those of other rows, and none at all."""
    others = [each for each in column if each != value]
    if others:
        yield chance.choice(others)
    if isinstance(value, int):
        yield from (value + 1, value - 1, -value - 7, 2**40)
    elif isinstance(value, bytes):
        yield from (b"", value[:-1], bytes([value[0] ^ 1]) + value[1:] if value else b"\1")
    elif isinstance(value, str):
        at = chance.randrange(len(value)) if value else 0
        yield value[:at] + ("x" if value[at : at + 1] != "x" else "y") + value[at + 1 :]
        yield value + " "
    if value is None:
        yield "RECORD_MAC"


def single_columns(tables: Tables, chance: random.Random) -> Iterator[Alteration]:
    """Yield each column of each row with other values."""
    for table in ORDER:
        for number, row in enumerate(tables[table]):
            for column, value in row.items():
                for new in other_values(value, [each[column] for each in tables[table]], chance):
                    if value is None and column != "refused":
                        new = 7
                    changed = copied({table: tables[table]})
                    changed[table][number][column] = new
                    yield Alteration("one column", f"{table}.{column} of row {number}: {value!r} to {new!r}", changed)


def single_rows(tables: Tables) -> Iterator[Alteration]:
    """Yield each row deleted, each row in twice under another key, and each pair of neighbours exchanged."""
    keys = {"audit": ("seq", "id"), "leaves": ("idx", "record_id"), "tiles": ("number",), "trees": ("log", "origin"),
            "checkpoints": ("size",)}  # fmt: skip
    for table in ORDER:
        rows = tables[table]
        for number, row in enumerate(rows):
            yield Alteration("a row removed", f"{table} row {number}", {table: rows[:number] + rows[number + 1 :]})
            for far in (1, 2**33):
                twin = {**row, **{key: _another(row[key], far) for key in keys[table]}}
                yield Alteration("a row added", f"{table} row {number} again, {far} on", {table: [*rows, twin]})
            twin = {**row, **{key: _another(row[key], -(2**33)) for key in keys[table]}}
            yield Alteration("a row added", f"{table} row {number} again, before all", {table: [twin, *rows]})
            if number and table in ("audit", "leaves", "tiles"):
                key = keys[table][0]
                changed = copied({table: rows})
                changed[table][number][key], changed[table][number - 1][key] = rows[number - 1][key], row[key]
                near = table == "audit" and abs(rows[number]["at"] - rows[number - 1]["at"]) <= NEAR
                kind = "neighbours in time exchanged" if near else "rows exchanged"
                yield Alteration(kind, f"{table} rows {number - 1} and {number}", changed)


def _another(value: Any, by: int) -> Any:
    return value + by if isinstance(value, int) else f"{value}{by}"


def rewritten(tables: Tables) -> Iterator[Alteration]:
    """Yield records rewritten, backdated, moved, taken out and put in, with every hash made anew, from there on."""
    members: dict[str, Callable[[Any], Any]] = {
        "workspace": lambda _: "elsewhere",
        "subject": lambda _: "somebody",
        "ip": lambda _: "203.0.113.9",
        "details": lambda _: [["Amount", "USD 1.00"]],
        "outcome": lambda _: "success",
        "reason": lambda _: "cancelled",
        "purpose": lambda _: "mfa_toggle",
        "retention_years": lambda _: 1,
        "session": lambda _: "another",
    }
    leaves = {leaf["record_id"]: leaf for leaf in tables["leaves"]}
    for number, record in enumerate(tables["audit"]):
        for member, change in members.items():
            body = json.loads(record["body"])
            if body[member] == change(body[member]):
                continue
            body[member] = change(body[member])
            yield with_body(tables, number, body, "a record rewritten, with all hashes", f"{member} of record {number}")
        for days in (1, 400, 4000):
            body = json.loads(record["body"])
            body["at"] = _earlier(body["at"], days)
            yield with_body(tables, number, body, "a record backdated, with all hashes", f"record {number} by {days} d")
        yield rebuilt(
            {
                **tables,
                "audit": tables["audit"][:number] + tables["audit"][number + 1 :],
                "leaves": [leaf for leaf in tables["leaves"] if leaf["record_id"] != record["id"]],
            },
            "a record taken out, with all hashes",
            f"record {number}",
        )
        twin = {**record, "seq": record["seq"] + 10**6, "id": "f" * len(record["id"]), "token": None}
        leaf = {**leaves[record["id"]], "record_id": twin["id"]} if record["id"] in leaves else None
        if leaf is not None:
            yield rebuilt(
                {**tables, "audit": [*tables["audit"], twin], "leaves": [*tables["leaves"], leaf]},
                "a record put in, with all hashes",
                f"record {number} again",
            )
        past = {**tables, "audit": [dict(row) for row in tables["audit"] if row is not record]}
        past["leaves"] = [dict(leaf) for leaf in tables["leaves"]]
        for leaf in past["leaves"]:
            if leaf["record_id"] == record["id"]:
                leaf["entry"] = leaf["entry"].replace('"keep_until":"20', '"keep_until":"19')
        yield rebuilt(past, "an invented purge", f"of record {number}, whose leaf says that its time was over")
        yield Alteration(
            "an invented purge", f"of record {number} alone", {"audit": [r for r in tables["audit"] if r is not record]}
        )


def _earlier(at: str, days: int) -> str:
    return iso(datetime.fromisoformat(at) - timedelta(days=days))


def with_body(tables: Tables, number: int, body: Any, kind: str, what: str) -> Alteration:
    """Return the tables with another body of a record: with entry, leaf, columns and tree as the app makes them."""
    record = dict(tables["audit"][number])
    text = canonical_json(body)
    at = datetime.fromisoformat(body["at"])
    entry = entry_of(text, at=at, retention_years=body["retention_years"]).text
    record |= {"body": text, "entry": entry, "at": to_micros(at), "workspace": body["workspace"],
               "subject": body["subject"], "outcome": body["outcome"], "purpose": body["purpose"]}  # fmt: skip
    audit = [*tables["audit"][:number], record, *tables["audit"][number + 1 :]]
    leaves = [{**leaf, "entry": entry} if leaf["record_id"] == record["id"] else leaf for leaf in tables["leaves"]]
    return rebuilt({**tables, "audit": audit, "leaves": leaves}, kind, what)


def rebuilt(tables: Tables, kind: str, what: str) -> Alteration:
    """Return the tables with dense indexes, tiles and root made anew. Its MAC stays as it is: nobody makes one."""
    leaves = [
        {**leaf, "idx": index} for index, leaf in enumerate(sorted(tables["leaves"], key=lambda leaf: leaf["idx"]))
    ]
    tree, tiles = TiledTree().append([hash_leaf(leaf["entry"].encode()) for leaf in leaves])
    rows = [{"log": 1, "level": tile.level, "number": tile.number, "hashes": hashes} for tile, hashes in tiles.items()]
    trees = [{**tables["trees"][0], "size": tree.size, "root": tree.root()}]
    return Alteration(kind, what, {"audit": tables["audit"], "leaves": leaves, "tiles": rows, "trees": trees})


def of_the_whole(tables: Tables, earlier: Mapping[int, Tables]) -> Iterator[Alteration]:
    """Yield counters reset, the end cut off, and older copies put back."""
    for size in (0, 1, len(tables["leaves"]) - 1):
        state = [{**tables["trees"][0], "size": size}]
        yield Alteration("a counter reset", f"trees.size to {size}", {"trees": state})
    for keep in range(len(tables["leaves"])):
        ids = {leaf["record_id"] for leaf in tables["leaves"][:keep]}
        shorter = {
            **tables,
            "audit": [record for record in tables["audit"] if record["id"] in ids],
            "leaves": tables["leaves"][:keep],
        }
        cut = rebuilt(shorter, "the end cut off, with all hashes", f"after {keep}")
        checkpoints = [kept for kept in tables["checkpoints"] if kept["size"] <= keep]
        yield Alteration(cut.kind, cut.what, {**cut.tables, "checkpoints": checkpoints})
        yield Alteration(cut.kind, f"{cut.what}, checkpoints left", cut.tables)
    for size, older in earlier.items():
        yield Alteration("an older copy put back", f"of {size} leaves", older)
    yield Alteration("all removed", "every row", {name: [] for name in ORDER})
    for name in ORDER[1:]:
        yield Alteration("all removed", name, {name: []})


def forged(tables: Tables, chance: random.Random) -> Iterator[Alteration]:
    """Yield records that the app did not write: an enrolment of one's own key among them."""
    for number, record in enumerate(tables["audit"]):
        body = json.loads(record["body"])
        if body["event"] not in ("FACTOR_ENROLLED", "ACTION_AUTHORIZED", "ACCOUNT_STEPUP_VERIFIED"):
            continue
        body |= {"subject": "mallory", "factor_id": "forged", "salt": chance.randbytes(16).hex()}
        text = canonical_json(body)
        kept = read_entry(record["entry"])
        entry = entry_of(text, at=kept.at, retention_years=body["retention_years"]).text
        id_ = record["id"][:12] + chance.randbytes(16).hex()
        twin = {**record, "id": id_, "body": text, "entry": entry, "subject": "mallory", "token": None}
        twin["seq"] = max(row["seq"] for row in tables["audit"]) + 1
        yield Alteration("a record forged", f"like {number}, without a leaf", {"audit": [*tables["audit"], twin]})
        leaf = {"log": 1, "idx": len(tables["leaves"]), "record_id": id_, "entry": entry}
        yield rebuilt(
            {**tables, "audit": [*tables["audit"], twin], "leaves": [*tables["leaves"], leaf]},
            "a record forged, with all hashes",
            f"like {number}, at the end",
        )


def at_the_end(tables: Tables, moments: Sequence[datetime], chance: random.Random, *, leaves: bool = True) -> Tables:
    """Return the tables with records at the end that the app did not write, of these moments in this order."""
    (like,) = [row for row in tables["audit"] if json.loads(row["body"])["event"] == "FACTOR_ENROLLED"][:1]
    audit, tree = list(tables["audit"]), list(tables["leaves"])
    for at in moments:
        body = json.loads(like["body"])
        body |= {"at": iso(at), "subject": "mallory", "factor_id": chance.randbytes(4).hex()}
        body["salt"] = chance.randbytes(16).hex()
        text = canonical_json(body)
        entry = entry_of(text, at=at, retention_years=body["retention_years"]).text
        id_ = time_ordered_id(at, chance.randbytes(10))
        audit.append(
            {**like, "seq": audit[-1]["seq"] + 1, "id": id_, "at": to_micros(at), "body": text, "entry": entry,
             "subject": "mallory", "person": "mallory", "factor": body["factor_id"]}
        )  # fmt: skip
        tree.append({"log": 1, "idx": len(tree), "record_id": id_, "entry": entry})
    if not leaves:
        return {**tables, "audit": audit}
    return {**tables, **rebuilt({**tables, "audit": audit, "leaves": tree}, "", "").tables}


def every(tables: Tables, earlier: Mapping[int, Tables], seed: int = 1) -> Iterator[Alteration]:
    """Yield all of it."""
    chance = random.Random(seed)  # noqa: S311 - which values are tried, not keys
    yield from single_columns(tables, chance)
    yield from single_rows(tables)
    yield from rewritten(tables)
    yield from of_the_whole(tables, earlier)
    yield from forged(tables, chance)
