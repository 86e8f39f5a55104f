"""The hash chain: whatever is altered, removed or moved is found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepup_middleware.core.chain import (
    GENESIS,
    ChainState,
    chain_name,
    leaf_hash,
    link_hash,
    read_record,
    verify_chains,
)
from stepup_middleware.core.events import AuditEvent, AuditRecord, EventName, Outcome, Severity
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from tests.core.support import NOW, bound_requests, details_values, instants, json_values, texts

events = st.builds(
    AuditEvent,
    at=instants,
    name=st.sampled_from(EventName),
    workspace_id=texts,
    subject_id=texts,
    subject_name=texts,
    session=texts,
    ip=texts,
    user_agent=texts,
    purpose=texts,
    prompt_id=texts,
    factor_kind=st.none() | st.sampled_from(FactorKind),
    factor_id=texts,
    requirement=st.none() | st.sampled_from(FactorRequirement),
    policy_version=st.none() | st.integers(0, 1000),
    request=st.none() | bound_requests,
    details=details_values,
    reason=texts,
    flags=st.lists(texts, max_size=3).map(tuple),
    outcome=st.none() | st.sampled_from(Outcome),
    retention_years=st.integers(1, 100),
    data=st.dictionaries(st.text("abc", max_size=3), json_values, max_size=2),
)


def written(bodies: Sequence[tuple[str, str]]) -> list[AuditRecord]:
    """Write ``(chain, body)`` to a log as a store does."""
    heads: dict[str, tuple[int, bytes]] = {}
    records = []
    for seq, (chain, body) in enumerate(bodies, 1):
        link, previous = heads.get(chain, (0, GENESIS))
        hash_ = link_hash(chain, link + 1, previous, leaf_hash(body))
        heads[chain] = link + 1, hash_
        records.append(read_record(seq, chain, link + 1, previous, hash_, body))
    return records


def event(number: int, **changes: Any) -> AuditEvent:
    return replace(
        AuditEvent(
            at=NOW + timedelta(seconds=number),
            name=EventName.ACTION_AUTHORIZED,
            workspace_id="axis",
            subject_id="ada",
            reason=str(number),
        ),
        **changes,
    )


def log(chains: Sequence[str]) -> list[AuditRecord]:
    return written([(chain, event(number).body()) for number, chain in enumerate(chains)])


chain_lists = st.lists(st.sampled_from(["w/P1Y", "w/P10Y", "v/P1Y"]), min_size=2, max_size=12)


@given(chain_lists)
def test_a_log_that_nobody_touched_has_no_fault(chains: list[str]) -> None:
    assert list(verify_chains(log(chains))) == []


@given(chain_lists, st.data())
def test_a_record_with_another_text_is_found(chains: list[str], data: st.DataObject) -> None:
    records = log(chains)
    place = data.draw(st.integers(0, len(records) - 1))
    records[place] = replace(records[place], body=event(99).body())
    faults = list(verify_chains(records))
    assert [(fault.seq, fault.field) for fault in faults] == [(place + 1, "body")]


@given(chain_lists, st.data())
def test_a_single_altered_character_is_found(chains: list[str], data: st.DataObject) -> None:
    records = log(chains)
    place = data.draw(st.integers(0, len(records) - 1))
    body = records[place].body
    character = data.draw(st.integers(0, len(body) - 1))
    altered = body[:character] + ("x" if body[character] != "x" else "y") + body[character + 1 :]
    records[place] = replace(records[place], body=altered)
    assert list(verify_chains(records))


@given(chain_lists, st.data())
def test_an_altered_link_hash_or_predecessor_is_found(chains: list[str], data: st.DataObject) -> None:
    records = log(chains)
    place = data.draw(st.integers(0, len(records) - 1))
    change: dict[str, Any] = data.draw(
        st.sampled_from(
            [{"hash": bytes(31) + b"\1"}, {"previous": bytes(31) + b"\1"}, {"link": 77}, {"chain": "other/P1Y"}]
        )
    )
    records[place] = replace(records[place], **change)
    assert list(verify_chains(records))


@given(chain_lists, st.data())
def test_a_removed_record_is_found_once_anything_follows_it_in_its_chain(
    chains: list[str], data: st.DataObject
) -> None:
    records = log(chains)
    place = data.draw(st.integers(0, len(records) - 1))
    assume(records[place].chain in [record.chain for record in records[place + 1 :]])
    faults = list(verify_chains(records[:place] + records[place + 1 :]))
    assert faults
    assert faults[0].chain == records[place].chain
    assert "missing" in faults[0].problem


@given(chain_lists, st.data())
def test_two_records_that_changed_places_in_their_chain_are_found(chains: list[str], data: st.DataObject) -> None:
    records = log(chains)
    one, other = data.draw(st.lists(st.integers(0, len(records) - 1), min_size=2, max_size=2, unique=True))
    assume(records[one].chain == records[other].chain)
    records[one], records[other] = records[other], records[one]
    assert list(verify_chains(records))


@given(chain_lists, st.data())
def test_a_record_that_was_put_in_is_found(chains: list[str], data: st.DataObject) -> None:
    records = log(chains)
    place = data.draw(st.integers(0, len(records) - 1))
    assert list(verify_chains([*records[:place], records[place], *records[place:]]))


@given(chain_lists, st.data())
def test_a_record_rewritten_with_a_fitting_hash_breaks_the_link_after_it(
    chains: list[str], data: st.DataObject
) -> None:
    records = log(chains)
    place = data.draw(st.integers(0, len(records) - 1))
    old = records[place]
    assume(old.chain in [record.chain for record in records[place + 1 :]])
    body = event(99).body()
    forged = link_hash(old.chain, old.link, old.previous, leaf_hash(body))
    records[place] = replace(old, body=body, hash=forged)
    faults = list(verify_chains(records))
    assert [fault.field for fault in faults] == ["previous"]


# A16
@given(chain_lists, st.integers(1, 11))
def test_a_chain_goes_on_from_where_it_was_purged(chains: list[str], cut: int) -> None:
    records = log(chains)
    starts: dict[str, ChainState] = {}
    for record in records[:cut]:
        starts[record.chain] = ChainState(link=record.link, hash=record.hash)
    assert list(verify_chains(records[cut:], starts)) == []
    for record in records:
        assert starts[record.chain].link >= record.link


# A16
def test_a_purge_that_left_no_starting_point_is_found() -> None:
    assert list(verify_chains(log(["c"] * 4)[2:]))


def test_following_a_log_in_pieces_finds_the_same_as_following_it_whole() -> None:
    records = log(["a", "b", "a", "a", "b"])
    records[2] = replace(records[2], body=event(99).body())
    states: dict[str, ChainState] = {}
    pieces = [fault for record in records for fault in verify_chains([record], states)]
    assert pieces == list(verify_chains(records))


def test_leaf_link_and_challenge_hashes_have_domains_of_their_own() -> None:
    assert leaf_hash("") != link_hash("", 0, b"", b"")
    assert link_hash("a", 1, GENESIS, GENESIS) != link_hash("a", 2, GENESIS, GENESIS)
    assert link_hash("a", 1, GENESIS, GENESIS) != link_hash("b", 1, GENESIS, GENESIS)


def test_a_link_depends_on_its_chain_its_place_the_link_before_and_its_leaf() -> None:
    one, other = bytes(32), bytes(31) + b"1"
    links = [("w/P1Y", 1, one, one), ("w/P2Y", 1, one, one), ("w/P1Y", 2, one, one), ("w/P1Y", 1, other, one)]
    assert len({link_hash(*link) for link in [*links, ("w/P1Y", 1, one, other)]}) == 5


def test_events_of_one_retention_and_writer_share_a_chain() -> None:
    assert chain_name("w", 1) == "w/P1Y"
    assert len({chain_name("w", 1), chain_name("w", 10), chain_name("v", 1)}) == 3


@given(events)
def test_a_record_reads_back_as_the_event_that_was_written(event: AuditEvent) -> None:
    record = written([("c", event.body())])[0]
    for field in fields(AuditEvent):
        if field.name in ("name", "outcome", "data"):
            continue
        assert getattr(record, field.name) == getattr(event, field.name)
    assert record.event is event.name
    assert record.severity is event.name.severity
    assert record.outcome is (event.outcome or event.name.outcome)
    assert record.data == event.data
    assert record.at.tzinfo == UTC


@given(events)
def test_the_text_of_an_event_is_one_line_of_canonical_json(event: AuditEvent) -> None:
    body = event.body()
    assert "\n" not in body
    assert json.loads(body)["v"] == 1


def test_severity_and_outcome_are_those_of_the_contract() -> None:
    warning = {EventName.FAILED, EventName.BLOCKED}
    for name in EventName:
        wanted = Severity.WARNING if name in warning else Severity.INFO
        assert name.severity is (Severity.CRITICAL if name is EventName.REUSED else wanted)
    assert EventName.CHALLENGE_REQUESTED.outcome is Outcome.PENDING
    assert EventName.FAILED.outcome is Outcome.FAILURE
    assert EventName.BLOCKED.outcome is EventName.REUSED.outcome is Outcome.DENIED
    assert EventName.ACTION_AUTHORIZED.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", "not json", '{"v": 1}'])
def test_a_text_that_is_no_event_is_not_read(body: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_record(1, "c", 1, GENESIS, GENESIS, body)
