"""From record to leaf: every record gets one, once, in a tree that only grows and that its tiles prove."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.errors import StoreError
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.integrator import Fault, SeenTree, TreeState
from stepup_middleware.log.merkle import EMPTY_ROOT, includes, is_consistent
from stepup_middleware.log.notes import Note, NoteSignature
from stepup_middleware.log.records import RECORD, RowMacs, entry_of, read_entry
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.log.tiles import TileId, prove_consistency, prove_inclusion, read_root
from stepup_middleware.stores.base import HotState

from .values import MACS, MINUTE, NOW, ORIGIN, Opener, all_records, event, hold, hold_many


async def integrate(store: HotState, seen: SeenTree | None = None, limit: int = 4096) -> SeenTree:
    """Take steps until there is nothing to do; every record must be fit for a leaf."""
    seen = seen or SeenTree()
    while True:
        step, seen = await store.records.integrate(origin=ORIGIN, seen=seen, limit=limit)
        assert step.alarm is None
        assert not step.refused
        if len(step.indexes) < limit:
            return seen


async def assert_tree_holds(store: HotState, seen: SeenTree | None = None) -> None:
    """Fail unless leaves, tiles and state are one tree, and each record that is there is its leaf, word for word.

    ``seen`` is the tree that is expected; None: whatever is kept.
    """
    (state,) = await store.records.trees()
    assert await store.records.leaf_ahead() is None
    seen = seen or SeenTree(state.size, state.root)
    assert (state.origin, state.size, state.root) == (ORIGIN, seen.size, seen.root)
    leaves = await store.records.leaves(first=0, limit=seen.size + 1)
    assert [leaf.index for leaf in leaves] == list(range(seen.size))
    hashes = [read_entry(leaf.entry).leaf_hash for leaf in leaves]
    assert await read_root(store.records, seen.size) == seen.root
    by_id = {leaf.record_id: leaf for leaf in leaves}
    assert len(by_id) == len(leaves)
    stored = await store.records.stored_records(after=0, limit=seen.size + 1000)
    for record in stored:
        assert record.leaf == by_id.get(record.id)
        assert record.leaf is None or record.leaf.entry == record.entry
        assert sha256(record.body.encode()).digest() == read_entry(record.entry).body_sha256
        assert MACS.holds(RECORD, {"id": record.id, "entry": record.entry}, record.mac)
    for index in {0, seen.size // 2, seen.size - 1} if leaves else ():
        proof = await prove_inclusion(store.records, index, seen.size)
        assert includes(root=seen.root, size=seen.size, index=index, leaf_hash=hashes[index], proof=proof)


class TreeContract:
    """From record to leaf."""

    async def test_a_record_has_its_id_and_entry_at_once_and_its_leaf_with_the_next_step(self, store: HotState) -> None:
        await store.records.append([event(retention_years=3)])
        (record,) = await all_records(store)
        assert (record.index, record.log, record.refused) == (None, None, None)
        assert record.entry == entry_of(record.body, at=NOW, retention_years=3).text
        assert [one.id for one in await store.records.records_without_leaf(after=0, until=record.seq)] == [record.id]
        assert await store.records.trees() == ()
        seen = await integrate(store)
        (record,) = await all_records(store)
        assert (record.index, record.log) == (0, 1)
        assert (await store.records.leaves_of([record.id, "unknown"])).keys() == {record.id}
        assert await store.records.records_without_leaf(after=0, until=record.seq) == ()
        await assert_tree_holds(store, seen)

    async def test_what_waits_for_its_leaf_is_counted_up_to_a_limit_and_told_since_when(self, store: HotState) -> None:
        found = await store.records.backlog(now=NOW, limit=10)
        assert (found.leafless, found.since, dict(found.undelivered)) == (0, None, {})
        for minute in range(3):
            await store.records.append([event(at=NOW + minute * MINUTE)])
        later = NOW + 3 * MINUTE
        found = await store.records.backlog(now=later, limit=10)
        assert (found.leafless, found.since) == (3, NOW)
        assert (await store.records.backlog(now=later, limit=2)).leafless == 2
        await integrate(store)
        found = await store.records.backlog(now=later, limit=10)
        assert (found.leafless, found.since) == (0, None)

    async def test_a_probe_is_written_and_changes_nothing(self, store: HotState, open_node: Opener) -> None:
        held = await hold(store)
        before = await all_records(store)
        await store.probe()
        await store.records.probe()
        assert await all_records(store) == before
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
        with pytest.raises(StoreError):
            await open_node().probe()  # it was not started

    async def test_steps_of_any_length_make_one_tree_that_each_step_before_is_the_beginning_of(
        self, store: HotState
    ) -> None:
        seen, total = SeenTree(), 0
        for count in (1, 255, 1, 256, 300, 0, 7):
            await store.records.append([event(reason=str(number)) for number in range(count)])
            before, seen = seen, await integrate(store, seen, limit=100)
            total += count
            assert seen.size == total
            proof = await prove_consistency(store.records, before.size, seen.size)
            assert before.size == 0 or is_consistent(
                old=before.size, old_root=before.root, size=seen.size, root=seen.root, proof=proof
            )
        await assert_tree_holds(store, seen)
        assert [record.index for record in await all_records(store)] == list(range(total))
        tiles = await store.records.read_tiles({TileId(0, 0), TileId(0, 3), TileId(1, 0), TileId(1, 1)})
        assert {tile: len(hashes) for tile, hashes in tiles.items()} == {
            TileId(0, 0): 256 * 32,
            TileId(0, 3): total % 256 * 32,
            TileId(1, 0): total // 256 * 32,
        }
        shown = await store.records.tile_ids(log=1, after=TileId(-1, 0), limit=3)
        assert shown == (TileId(0, 0), TileId(0, 1), TileId(0, 2))
        assert await store.records.tile_ids(log=1, after=shown[-1], limit=9) == (TileId(0, 3), TileId(1, 0))
        assert (await store.records.next_log(0), await store.records.next_log(1)) == (1, None)

    async def test_an_empty_log_has_an_empty_tree(self, store: HotState) -> None:
        step, seen = await store.records.integrate(origin=ORIGIN, seen=SeenTree())
        assert (step.is_empty, seen) == (True, SeenTree(0, EMPTY_ROOT))
        assert await store.records.leaves(first=0, limit=10) == ()
        assert await store.records.last_checkpoint() is None

    async def test_several_nodes_integrate_what_all_of_them_write_and_no_record_has_two_leaves(
        self, store: HotState, open_node: Opener
    ) -> None:
        async with open_node() as other:
            seen = {id(node): SeenTree() for node in (store, other)}

            async def work(node: HotState) -> None:
                for number in range(8):
                    await asyncio.gather(*(node.records.append([event(reason=str(number))]) for _ in range(5)))
                    step, seen[id(node)] = await node.records.integrate(origin=ORIGIN, seen=seen[id(node)], limit=12)
                    assert step.alarm is None

            await asyncio.gather(work(store), work(other), work(store))
            last = await integrate(other, seen[id(other)])
        assert last.size == 120
        await assert_tree_holds(store, last)

    async def test_a_new_log_begins_with_a_leaf_about_the_one_before_and_that_stays_as_it_is(
        self, store: HotState, open_node: Opener
    ) -> None:
        await store.records.append([event(reason=str(number)) for number in range(5)])
        old = await integrate(store)
        assert await store.records.add_checkpoint(StoredCheckpoint(log=1, size=5, note="old"))
        await store.records.append([event(reason="waits for its leaf")])
        before: list[TreeState | None] = []

        def make(tree: TreeState | None) -> AuditEvent:
            before.append(tree)
            return event(EventName.LOG_BEGUN, reason="new")

        assert not await store.records.begin_log(ORIGIN, make)
        assert before == []
        assert await store.records.begin_log("example.com/new", make)
        assert not await store.records.begin_log("example.com/new", make)
        assert [(tree.origin, tree.size, tree.root) for tree in before if tree] == [(ORIGIN, 5, old.root)]
        first, second = await store.records.trees()
        assert (first.size, first.root, second.origin, second.size) == (5, old.root, "example.com/new", 1)
        assert await store.records.last_checkpoint() is None
        assert await store.records.last_checkpoint(log=1) == StoredCheckpoint(log=1, size=5, note="old")

        step, _ = await store.records.integrate(origin=ORIGIN, seen=old)
        assert step.alarm is Fault.TREE_OF_ANOTHER_LOG
        async with open_node() as other:  # the new name comes with a start
            step, seen = await other.records.integrate(origin="example.com/new", seen=SeenTree())
            assert (step.alarm, seen.size) == (None, 2)
        begun, waited = await store.records.leaves(first=0, limit=10)
        assert [(leaf.log, leaf.index) for leaf in (begun, waited)] == [(2, 0), (2, 1)]
        *_, late, new = await all_records(store)
        assert (late.reason, late.id, new.event, new.id) == (
            "waits for its leaf",
            waited.record_id,
            EventName.LOG_BEGUN,
            begun.record_id,
        )
        assert len(await store.records.leaves(first=0, limit=10, log=1)) == 5
        assert await read_root(store.records, 2) == seen.root

    async def test_a_store_that_is_opened_again_goes_on_where_another_stopped(self, open_node: Opener) -> None:
        async with open_node() as store:
            await store.records.append([event() for _ in range(10)])
            seen = await integrate(store, limit=7)
            await store.records.append([event() for _ in range(3)])
        async with open_node() as store:
            seen = await integrate(store, seen)
            assert seen.size == 13
            await assert_tree_holds(store, seen)

    async def test_a_tree_that_is_not_the_one_seen_before_is_an_alarm_and_nothing_is_written(
        self, store: HotState
    ) -> None:
        await store.records.append([event() for _ in range(5)])
        seen = await integrate(store)
        await store.records.append([event()])
        wrong = {
            Fault.TREE_SHRANK: (ORIGIN, SeenTree(9, bytes(32))),
            Fault.TREE_DIFFERS: (ORIGIN, SeenTree(5, bytes(32))),
            Fault.TREE_OF_ANOTHER_LOG: ("another.example", seen),
        }
        for fault, (origin, claimed) in wrong.items():
            step, after = await store.records.integrate(origin=origin, seen=claimed)
            assert (step.alarm, after) == (fault, claimed)
        assert [tree.size for tree in await store.records.trees()] == [5]
        assert (await integrate(store, seen)).size == 6

    async def test_a_record_that_somebody_without_the_keys_wrote_gets_no_leaf_and_holds_up_no_other(
        self, open_node: Opener
    ) -> None:
        others = RowMacs(KeyRing("keys that this installation does not have, 32 b"))
        async with open_node() as store:
            await store.records.append([event(reason="before")])
        foreign = open_node()
        foreign.records.use(others)
        async with foreign:
            await foreign.records.append([event(reason="foreign")])
        async with open_node() as store:
            await store.records.append([event(reason="after")])
            step, seen = await store.records.integrate(origin=ORIGIN, seen=SeenTree())
            records = {record.reason: record for record in await all_records(store)}
            assert step.refused == {records["foreign"].id: Fault.RECORD_MAC}
            assert (records["before"].index, records["foreign"].index, records["after"].index) == (0, None, 1)
            assert records["foreign"].refused == "RECORD_MAC"
            step, _ = await store.records.integrate(origin=ORIGIN, seen=seen)
            assert step.is_empty  # it is told once
            assert [one.refused for one in await store.records.records_without_leaf(after=0, until=9)] == ["RECORD_MAC"]

    async def test_a_store_without_keys_reads_and_writes_nothing(self, store: HotState, open_node: Opener) -> None:
        await store.records.append([event()])
        bare = open_node()
        bare.records.use(None)
        async with bare:
            with pytest.raises(StoreError, match=r"use\(macs\)"):
                await bare.records.append([event()])
            page = await bare.records.audit_page(None, AuditFilter(), before=None, limit=10)
            assert len(page.events) == 1

    async def test_checkpoints_are_kept_one_of_a_size_and_read_smallest_first(self, store: HotState) -> None:
        await store.records.append([event() for _ in range(9)])
        await integrate(store)
        kept = [StoredCheckpoint(log=1, size=size, note=f"note {size}") for size in (5, 1, 9)]
        for checkpoint in kept:
            assert await store.records.add_checkpoint(checkpoint)
        assert not await store.records.add_checkpoint(StoredCheckpoint(log=1, size=5, note="another"))
        assert [one.size for one in await store.records.checkpoints()] == [1, 5, 9]
        assert await store.records.checkpoints(after_size=1, limit=1) == (kept[0],)
        assert await store.records.last_checkpoint() == kept[2]

    async def test_a_checkpoint_gains_the_signatures_that_come_later_and_loses_none(self, store: HotState) -> None:
        await store.records.append([event()])
        seen = await integrate(store)
        text = Checkpoint(ORIGIN, seen.size, seen.root).text
        log, one, other = (NoteSignature(name, name[:4].encode(), b"signature") for name in (ORIGIN, "wit-1", "two-2"))
        again = NoteSignature(log.name, log.key_id, b"at another time")
        for signatures, changes in (((log,), True), ((again, one), True), ((other,), True), ((log, other), False)):
            note = str(Note(text, signatures))
            assert await store.records.add_checkpoint(StoredCheckpoint(log=1, size=1, note=note)) is changes
        forked = str(Note(Checkpoint(ORIGIN, 1, bytes(32)).text, (one,)))
        assert not await store.records.add_checkpoint(StoredCheckpoint(log=1, size=1, note=forked))
        kept = await store.records.last_checkpoint()
        assert kept is not None
        assert kept.note == str(Note(text, (log, one, other)))

    async def test_each_of_many_redemptions_has_its_leaf_after_those_before_it_of_its_prompt(
        self, store: HotState
    ) -> None:
        held = await hold_many(store, 30)
        answers = await asyncio.gather(*(store.redeem(one.shown()) for one in held for _ in range(2)))
        assert sum(answer.decision.verdict is Verdict.REDEEMED for answer in answers) == 30
        seen = await integrate(store, limit=17)
        await assert_tree_holds(store, seen)
        asked: dict[str, int] = {}
        for record in await all_records(store):
            assert record.index is not None
            if record.event is EventName.CHALLENGE_REQUESTED:
                asked[record.prompt_id] = record.index
            elif record.event is EventName.ACTION_AUTHORIZED:
                assert record.index > asked[record.prompt_id]

    async def test_a_token_that_authorized_an_action_authorizes_no_other(self, store: HotState) -> None:
        held = await hold(store)
        authorized = event(EventName.ACTION_AUTHORIZED, data={"token": str(held.reference.id)})
        await store.records.append([authorized])
        answer = await store.redeem(held.shown())  # as if the row of a redeemed token had been set back
        assert (answer.decision.verdict, answer.decision.flags[0]) == (Verdict.REUSED, Flag.REDEEMED_BEFORE)
        with pytest.raises(StoreError):
            await store.records.append([authorized])
        names = [record.event for record in await all_records(store)]
        assert (names.count(EventName.ACTION_AUTHORIZED), names.count(EventName.REUSED)) == (1, 1)
