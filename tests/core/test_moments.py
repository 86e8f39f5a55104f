"""Moments: whole microseconds in UTC, and nothing without a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.moments import from_micros, iso, iso_of_micros, span_micros, to_micros
from tests.core.support import instants

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
inner = st.datetimes(
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001 - likewise
    timezones=zones,
)


@given(instants)
def test_a_moment_survives_its_storage(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment
    assert from_micros(to_micros(moment)).tzinfo is UTC


# K09
@given(inner)
def test_the_zone_of_a_moment_makes_no_difference(moment: datetime) -> None:
    assert to_micros(moment) == to_micros(moment.astimezone(UTC))
    assert iso(moment) == iso(moment.astimezone(UTC)) == iso_of_micros(to_micros(moment))


@given(instants, instants)
def test_stored_moments_keep_their_order(one: datetime, other: datetime) -> None:
    assert (to_micros(one) < to_micros(other)) == (one < other)


@given(instants)
def test_the_text_of_a_moment_reads_back_exactly(moment: datetime) -> None:
    assert datetime.fromisoformat(iso(moment)) == moment
    assert iso(moment).endswith("Z")


def test_the_text_is_as_the_wire_format_has_it() -> None:
    assert iso(datetime(2026, 11, 24, 12, tzinfo=UTC)) == "2026-11-24T12:00:00Z"
    east = timezone(timedelta(hours=1))
    assert iso(datetime(2026, 11, 24, 13, 0, 0, 5, tzinfo=east)) == "2026-11-24T12:00:00.000005Z"


# K09
def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        to_micros(datetime(2026, 11, 24))  # noqa: DTZ001 - this is what must be refused


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_a_span_is_whole_microseconds(span: timedelta) -> None:
    assert timedelta(microseconds=span_micros(span)) == span
