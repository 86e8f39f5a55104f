"""Somebody writes to every table of a log and has some of the keys, each alone or two together: what verifying finds.

All that a key lets them make anew they make anew: MACs with the secret key, signatures with the log's, cosignatures
with a witness's.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, islice

import asyncpg

from stepup_middleware.core.keys import KeyRing
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import SigningKey, sign_checkpoint
from stepup_middleware.log.merkle import EMPTY_ROOT
from stepup_middleware.log.records import TREE_STATE, RowMacs
from stepup_middleware.testing.contract.values import MACS, ORIGIN
from tests.log.histories import WITNESS_KEYS

from .alterations import ORDER, Alteration, Row, Tables, at_the_end, every
from .attacked import LOG_KEYS, Attacked, Base, Tally, granted

KEY = "the key of the rows of a store under test, 32 bytes"  # that of MACS
FORMER = "a former key of this store, which still verifies, 32 bytes"
WITH_FORMER = RowMacs(KeyRing([KEY, FORMER]))
OF_FORMER = RowMacs(KeyRing([FORMER]))


@dataclass(frozen=True)
class Held:
    """The keys that somebody has. ``macs`` makes MACs; ``ring`` is the one of whoever verifies."""

    macs: RowMacs | None = None
    signs: Sequence[SigningKey] = ()
    cosigns: Sequence[SigningKey] = ()
    ring: RowMacs = MACS

    @property
    def holds_ring(self) -> bool:
        """Whether the MACs that they make are MACs to whoever verifies."""
        return self.macs is not None and set(self.macs.key_ids) <= set(self.ring.key_ids)


HELD: Mapping[str, Held] = {
    "the log key": Held(signs=LOG_KEYS),
    "a witness's key": Held(cosigns=WITNESS_KEYS),
    "the log key and a witness's": Held(signs=LOG_KEYS, cosigns=WITNESS_KEYS),
    "the secret key": Held(macs=MACS),
    "a former secret key of the ring": Held(macs=OF_FORMER, ring=WITH_FORMER),
    "a former secret key that was taken out": Held(macs=OF_FORMER),
    "the secret key and a witness's": Held(macs=MACS, cosigns=WITNESS_KEYS),
    "the secret key and the log key": Held(macs=MACS, signs=LOG_KEYS),
    "all": Held(macs=MACS, signs=LOG_KEYS, cosigns=WITNESS_KEYS),
}


def with_keys(alteration: Alteration, base: Base, held: Held) -> Iterator[Alteration]:
    """Yield altered tables with all that these keys make anew; the checkpoints that were there stay, or go."""
    tables = {name: [*(alteration.tables.get(name) or ([] if name in alteration.tables else base.tables[name]))]
              for name in ORDER}  # fmt: skip
    if held.macs is not None:
        tables["audit"] = [_sealed(row, base, held.macs) for row in tables["audit"]]
        tables["trees"] = [_sealed_state(row, held.macs) for row in tables["trees"]]
    yield replace(alteration, what=f"{alteration.what}, checkpoints left", tables=tables)
    state = tables["trees"][0] if tables["trees"] else {"origin": ORIGIN, "size": 0, "root": EMPTY_ROOT}
    if not (isinstance(state["size"], int) and state["size"] >= 0 and isinstance(state["root"], bytes)):
        return
    signers = (*held.signs, *held.cosigns)
    covered = [row for row in tables["checkpoints"] if row["size"] <= base.kept[1].size]
    if signers:
        checkpoint = Checkpoint(ORIGIN, state["size"], state["root"])
        note = str(sign_checkpoint(checkpoint, signers, int(base.now.timestamp())))
        new: Row = {"log": 1, "size": state["size"], "note": note}
        others = [row for row in covered if row["size"] != new["size"]]
        yield replace(
            alteration, what=f"{alteration.what}, signed anew", tables={**tables, "checkpoints": [*others, new]}
        )
        yield replace(alteration, what=f"{alteration.what}, one checkpoint", tables={**tables, "checkpoints": [new]})
    yield replace(alteration, what=f"{alteration.what}, late ones gone", tables={**tables, "checkpoints": covered})


def _sealed(row: Row, base: Base, macs: RowMacs) -> Row:
    """Return a record with its MAC, where it is not as it was."""
    if row in base.tables["audit"] or not (isinstance(row["id"], str) and isinstance(row["entry"], str)):
        return row
    return {**row, "mac": macs.make_for_record(row["id"], row["entry"])}


def _sealed_state(row: Row, macs: RowMacs) -> Row:
    try:
        return {**row, "mac": macs.make(TREE_STATE, {name: row[name] for name in ("origin", "size", "root")})}
    except (TypeError, ValueError, AttributeError):
        return row


def is_young(tables: Tables, base: Base) -> bool:
    """Tell whether all is as it was of what the checkpoint covers that somebody kept elsewhere."""
    size = base.kept[1].size
    if tables["leaves"][:size] != base.tables["leaves"][:size]:
        return False
    ids = {leaf["record_id"] for leaf in base.tables["leaves"][:size]}
    bare = {"mac": None, "seq": None, "refused": None, "high": None}
    then, now = ([{**row, **bare} for row in each["audit"] if row["id"] in ids] for each in (base.tables, tables))
    return then == now


def is_beginning(tables: Tables, base: Base) -> bool:
    """Tell whether nothing but what is younger than that checkpoint is gone: an older copy, or one that is cut off."""
    leaves, records = tables["leaves"], base.tables["audit"]
    is_first = len(leaves) >= base.kept[1].size and leaves == base.tables["leaves"][: len(leaves)]
    return is_first and is_young(tables, base) and all(row in records for row in tables["audit"])


def allowed(alteration: Alteration, base: Base, held: Held, *, with_key: bool) -> bool:
    """Tell whether the guide grants it to who has these keys that verifying finds nothing."""
    if granted(alteration, base, with_key=with_key) or is_beginning(alteration.tables, base):
        return True
    can_seal = held.holds_ring or not with_key
    return can_seal and is_young(alteration.tables, base)


async def attack(
    database: Attacked, base: Base, names: Sequence[str] = tuple(HELD), *, every_nth: int, first: int = 0
) -> dict[str, Tally]:
    """Try each nth alteration as somebody who has each of these keys, against one who kept an earlier checkpoint.

    That one verifies with the secret key and without it, and trusts log and witness.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    before: Tables = {}
    late = [base.now, base.now - timedelta(seconds=20)]
    for number, name in enumerate(names):
        held = HELD[name]
        chance = random.Random(number)  # noqa: S311 - what is forged, no secret
        at_end = Alteration("records added at the end", "two", at_the_end(base.tables, late[::-1], chance))
        plain = at_the_end(base.tables, late[:1], chance, leaves=False)
        waiting = Alteration("records added at the end", "one that waits", plain)
        tried = chain([at_end, waiting], islice(every(base.tables, base.earlier), first, None, every_nth))
        for alteration in chain.from_iterable(with_keys(each, base, held) for each in tried):
            try:
                await database.write({**{table: base.tables[table] for table in before}, **alteration.tables})
            except asyncpg.DataError:  # a column of the database cannot hold it
                continue
            before, tally = alteration.tables, tallies[name]
            for with_key in (True, False):
                trust = base.trust(kept=base.kept[1:2], witnesses=WITNESS_KEYS)
                verdict, _ = await database.found(trust, base.now, with_key=with_key, macs=held.ring, proofs=False)
                tally.tried += 1
                if verdict is not EvidenceVerdict.VERIFIED:
                    tally.found += 1
                elif allowed(alteration, base, held, with_key=with_key):
                    tally.granted += 1
                else:
                    how = "with" if with_key else "without"
                    tally.undetected.append(f"{name}: {alteration.kind}: {alteration.what}, {how} the secret key")
    return tallies
