"""Entries and MACs: one spelling, one meaning, and nothing without a key."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.moments import from_micros
from stepup_middleware.log.records import (
    CHANCE_BYTES,
    MAC_BYTES,
    RECORD,
    TREE_STATE,
    Entry,
    RowKind,
    RowMacs,
    Scalar,
    entry_of,
    read_entry,
    salt_body,
)

MOMENTS = st.integers(0, 2**53).map(from_micros)
ENTRIES = st.builds(Entry, MOMENTS, st.binary(min_size=32, max_size=32), st.dates(date(2000, 1, 1), date(2300, 1, 1)))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**50), 2**50)
    | st.text(max_size=9)
    | st.binary(max_size=9)
    | MOMENTS
    | st.dates()
)
KIND = RowKind("thing", ("one", "other"))
OLD, NEW = "an-0ld-k3y-0nly-f0r-the-tests-7c1d9e5b2a", "a-n3w-k3y-0nly-f0r-the-tests-4b8a6c0d1f"
MACS = RowMacs(KeyRing([NEW]))


@given(ENTRIES)
def test_an_entry_is_canonical_json_and_read_back(entry: Entry) -> None:
    text = entry.text
    assert rfc8785.dumps(json.loads(text)).decode() == text
    assert read_entry(text) == entry
    assert len(text) <= 160
    assert entry.leaf_hash == hashlib.sha256(b"\0" + text.encode()).digest()


@given(ENTRIES, st.data())
def test_an_entry_has_one_spelling(entry: Entry, data: st.DataObject) -> None:
    text = entry.text
    place = data.draw(st.integers(0, len(text)))
    added = data.draw(st.sampled_from(' 0aZz",:\n+'))
    replaced = data.draw(st.integers(0, 2))
    changed = text[:place] + added + text[place + replaced :]
    try:
        read = read_entry(changed)
    except ValueError:
        return
    assert read.text == changed  # another entry, whose leaf is another
    assert (read == entry) is (changed == text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "1" * 300,
        '{"at":"2026-11-28T03:00:00Z","body_sha256":"' + "A" * 64 + '","keep_until":"2027-11-28","v":1}',
        '{"at":"2026-11-28T03:00:00+00:00","body_sha256":"' + "a" * 64 + '","keep_until":"2027-11-28","v":1}',
        '{"at":"2026-11-28T03:00:00","body_sha256":"' + "a" * 64 + '","keep_until":"2027-11-28","v":1}',
        '{"at":"2026-11-28T03:00:00Z","body_sha256":"' + "a" * 62 + '","keep_until":"2027-11-28","v":1}',
        '{"at":"2026-11-28T03:00:00Z","body_sha256":"' + "a" * 64 + '","keep_until":"2027-11-28","v":2}',
        '{"at":"2026-11-28T03:00:00Z","at":"2026-11-28T03:00:00Z","body_sha256":"' + "a" * 64
        + '","keep_until":"2027-11-28","v":1}',
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no entry of the log"):
        read_entry(text)


def test_a_body_is_kept_through_the_day_of_its_retention_in_utc() -> None:
    at = datetime(2028, 2, 29, 23, 30, tzinfo=timezone(timedelta(hours=-5)))  # 1 March in UTC
    entry = entry_of("body", at=at, retention_years=10)
    assert entry.keep_until == date(2038, 3, 1)
    assert not entry.body_may_go(date(2038, 3, 1))
    assert entry.body_may_go(date(2038, 3, 2))
    assert entry.is_of("body")
    assert not entry.is_of("another")


@given(SCALARS, SCALARS, SCALARS, SCALARS)
def test_no_two_rows_share_a_text(one: Scalar, other: Scalar, third: Scalar, fourth: Scalar) -> None:
    first, second = {"one": one, "other": other}, {"other": fourth, "one": third}
    same = (type(one), one, type(other), other) == (type(third), third, type(fourth), fourth)
    assert (KIND.text(first) == KIND.text(second)) is same
    assert KIND.text(first) != RowKind("thin", KIND.columns).text(first)
    assert MACS.holds(KIND, first, MACS.make(KIND, first))
    assert MACS.holds(KIND, second, MACS.make(KIND, first)) is same


def test_values_of_two_types_that_are_written_alike_are_two_values() -> None:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    alike: list[tuple[Scalar, Scalar]] = [
        (b"\xab", "ab"),
        (b"", ""),
        (at, "2026-11-28T00:00:00Z"),
        (at.date(), "2026-11-28"),
        (at, at.date()),
        (1, True),
        (1, "1"),
        (None, ""),
        (None, "null"),
    ]
    for one, other in alike:
        assert KIND.text({"one": one, "other": 0}) != KIND.text({"one": other, "other": 0})
    assert KIND.text({"one": "a", "other": "b"}) != KIND.text({"one": "b", "other": "a"})


def test_a_mac_covers_exactly_the_columns_of_its_kind() -> None:
    for row in ({}, {"one": 1}, {"one": 1, "other": 2, "third": 3}):
        with pytest.raises(ValueError, match="covers exactly its columns"):
            MACS.make(KIND, row)
    record: dict[str, Scalar] = {"id": "a", "entry": "b"}
    assert not MACS.holds(RowKind("other", RECORD.columns), record, MACS.make(RECORD, record))
    assert RECORD.name != TREE_STATE.name


def test_nothing_holds_without_a_key() -> None:
    row: dict[str, Scalar] = {"one": 1, "other": "x"}
    mac = MACS.make(KIND, row)
    assert len(mac) == MAC_BYTES
    for place in range(MAC_BYTES):
        altered = bytearray(mac)
        altered[place] ^= 1
        assert not MACS.holds(KIND, row, bytes(altered))
    for other in (None, b"", mac[:-1], mac + b"\0", b"\0" * MAC_BYTES):
        assert not MACS.holds(KIND, row, other)
    assert not RowMacs(KeyRing([OLD])).holds(KIND, row, mac)


def test_a_ring_checks_with_all_keys_and_says_which_are_missing() -> None:
    row: dict[str, Scalar] = {"one": 1, "other": "x"}
    before = RowMacs(KeyRing([OLD])).make(KIND, row)
    both = RowMacs(KeyRing([NEW, OLD]))
    assert both.holds(KIND, row, before)
    assert not both.is_current(before)
    renewed = both.make(KIND, row)
    assert both.is_current(renewed)
    assert MACS.holds(KIND, row, renewed)
    in_use = [before[:4], renewed[:4]]
    assert both.missing(in_use) == []
    assert MACS.missing(in_use) == [before[:4]]
    assert NEW not in repr(both)


@given(st.text(), st.text(), st.binary(max_size=40))
def test_the_mac_of_a_record_is_that_of_its_kind(id_: str, entry: str, other: bytes) -> None:
    values = {"id": id_, "entry": entry}
    mac = MACS.make_for_record(id_, entry)
    assert mac == MACS.make(RECORD, values)
    assert mac[4:] == hmac.digest(KeyRing([NEW]).derive("row-mac")[0], RECORD.text(values).encode(), "sha256")
    assert MACS.holds_for_record(id_, entry, mac)
    for wrong in (other, mac[:-1], mac + b"\0", mac[:4] + other):
        assert MACS.holds_for_record(id_, entry, wrong) is (wrong == mac) is MACS.holds(RECORD, values, wrong)


@given(MOMENTS, st.integers(-14, 14), st.integers(1, 100), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_sealed_record_has_the_entry_of_its_body(moment: datetime, hours: int, years: int, reason: str) -> None:
    at = moment.astimezone(timezone(timedelta(hours=hours))) if moment > from_micros(2**50) else moment
    event = AuditEvent(
        at=at, name=EventName.FAILED, workspace_id="w", subject_id="s", reason=reason, retention_years=years
    )
    chance = bytes(range(CHANCE_BYTES))
    sealed = MACS.seal(event.body(chance[:16].hex()), at=at, retention_years=years, chance=chance)
    assert sealed.body == salt_body(event.body(), chance[:16])
    assert sealed.entry == entry_of(sealed.body, at=at, retention_years=years).text
    assert sealed.mac == MACS.make(RECORD, {"id": sealed.id, "entry": sealed.entry})
    assert len(sealed.id) == 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00.000Z"),
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00.000000Z"),
        ("2026-11-24T12:00:00Z", "2026-W48-2T12:00:00.000Z"),
        ("2036-11-24", "2036-W48-1"),
    ],
)
def test_another_spelling_of_a_time_or_a_date_is_no_entry(one: str, other: str) -> None:
    text = Entry(datetime(2026, 11, 24, 12, tzinfo=UTC), bytes(32), date(2036, 11, 24)).text
    assert read_entry(text).text == text
    with pytest.raises(ValueError, match="no entry"):
        read_entry(text.replace(one, other))
