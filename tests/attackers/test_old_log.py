"""The rows of a log in whose place a new one began: who alters them, while the app writes the new one, is found."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest

from stepup_middleware import StepUp
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint, checkpoint_of
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.keys import LOG_TYPES, SigningKey
from stepup_middleware.log.records import TREE_STATE, RowMacs
from tests.log.histories import LOG_KEYS
from tests.log.signing import SECRET_KEY, app, fault_of, key_text, sign, write

from .alterations import ORDER, Alteration, Tables, forged, rewritten, single_columns, single_rows
from .attacked import Base, granted
from .raw import Raw
from .test_live import same
from .test_state import raw

__all__ = ["raw"]

NEW_KEYS = tuple(SigningKey.generate("log.example.com/heir", type_) for type_ in LOG_TYPES)
OF_APP = RowMacs(KeyRing(SECRET_KEY))
VERIFIED = EvidenceVerdict.VERIFIED
WHOLE = pytest.param(1, id="all", marks=pytest.mark.exhaustive)


@asynccontextmanager
async def second_log(raw: Raw) -> AsyncIterator[tuple[StepUp, Checkpoint]]:
    """Run an app on its second log. Yields it with a checkpoint of that, which somebody keeps elsewhere."""
    async with app(Path(), store=raw.store(), log_key=key_text(LOG_KEYS)) as stepup:
        await write(stepup, 4)
        old = await sign(stepup)
        assert old is not None
    heir = app(Path(), store=raw.store(), log_key=key_text(NEW_KEYS))
    await heir.begin_log([old.note])
    await heir.close()
    async with app(Path(), store=raw.store(), log_key=key_text(NEW_KEYS)) as stepup:
        await write(stepup, 2)
        new = await sign(stepup)
        assert new is not None
        assert new.log == 2
        yield stepup, checkpoint_of(new.note)


async def verdict(raw: Raw, kept: Sequence[Checkpoint], *, with_key: bool) -> EvidenceVerdict:
    trust = Trust(log_keys=[key.verifier for key in (*LOG_KEYS, *NEW_KEYS)], checkpoints=kept, rp_id="example.com")
    found, _ = await same(raw).found(trust, datetime.now(UTC), with_key=with_key, macs=OF_APP)
    return found


async def tables_of(raw: Raw) -> tuple[Tables, Tables]:
    """Return the rows of the old log, and all others of the tables of the log."""
    rows = {table: await raw.rows(table) for table in ORDER}
    ids = {leaf["record_id"] for leaf in rows["leaves"] if leaf["log"] == 1}
    of_old = {name: [row for row in kept if row.get("log") == 1 or row.get("id") in ids] for name, kept in rows.items()}
    return of_old, {name: [row for row in kept if row not in of_old[name]] for name, kept in rows.items()}


def with_macs(alteration: Alteration, old: Tables) -> Alteration:
    """Return it with every MAC of a record and of the tree made anew: who does it has the secret key."""
    tables = {**old, **alteration.tables}
    audit = [{**row, "mac": OF_APP.make_for_record(row["id"], row["entry"])} for row in tables["audit"]]
    trees = [
        {**row, "mac": OF_APP.make(TREE_STATE, {name: row[name] for name in ("origin", "size", "root")})}
        for row in tables["trees"]
    ]
    return Alteration(
        alteration.kind, f"{alteration.what}, with the secret key", {**tables, "audit": audit, "trees": trees}
    )


# A20
@pytest.mark.parametrize("every_nth", [pytest.param(29, id="part"), WHOLE])
async def test_nothing_of_an_old_log_is_altered_undetected_while_the_new_one_grows(raw: Raw, every_nth: int) -> None:
    chance, found = random.Random(20), 0  # noqa: S311 - which values are tried, no secret
    async with second_log(raw) as (_, kept):
        old, others = await tables_of(raw)
        assert len(old["leaves"]) >= 4
        assert len(others["leaves"]) >= 3
        base = Base(tables=old, earlier={}, kept=[kept], now=datetime.now(UTC))
        assert await verdict(raw, [kept], with_key=True) is VERIFIED
        by_row = [*single_columns(old, chance), *single_rows(old)]
        anew = [*rewritten(old), *forged(old, chance)]
        for alteration in chain(
            by_row[::every_nth], anew[::every_nth], (with_macs(each, old) for each in anew[::every_nth])
        ):
            for name, rows in alteration.tables.items():
                await raw.put(name, [*rows, *others[name]])  # what the database has no place for stays as it is
            changed = await tables_of(raw) != (old, others)
            for with_key in (True, False) if changed else ():
                if await verdict(raw, [kept], with_key=with_key) is not VERIFIED:
                    found += 1
                else:
                    assert granted(alteration, base, with_key=with_key), (alteration.kind, alteration.what, with_key)
            for name in ORDER:
                assert await raw.put(name, [*old[name], *others[name]])
        assert await verdict(raw, [kept], with_key=True) is VERIFIED
    assert found > 10


# A22
@pytest.mark.parametrize("fault", [Fault.LEAVES_AHEAD, Fault.STATE_TILES], ids=["of its tree", "of no tree"])
async def test_a_leaf_that_is_put_into_an_old_log_is_an_alarm(raw: Raw, fault: Fault) -> None:
    async with second_log(raw) as (stepup, _):
        leaves, trees = await raw.rows("leaves"), await raw.rows("trees")
        if fault is Fault.STATE_TILES:  # the trees of the two logs are told apart by their order
            assert await raw.put("trees", [row for row in trees if row["log"] == 2])
            leaves = [leaf for leaf in leaves if leaf["log"] == 2]
        foreign = {**leaves[0], "log": 1, "idx": 9, "record_id": "f" * 32}
        assert await raw.put("leaves", [*leaves, foreign])
        await write(stepup, 1)
        assert await sign(stepup) is None
        assert fault_of(stepup) is fault
