"""Clusters of failures, against the definition in its own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware import AuditEvent, AuditRecord, ClusterRule, ConfigurationError, EventName
from stepup_middleware.core.audit import read_record
from stepup_middleware.core.clusters import ClusterFinder

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
RULE = ClusterRule(failures=3, within=timedelta(minutes=10))


def record(
    seq: int,
    minutes: float,
    *,
    purpose: str = "holds_override",
    name: EventName = EventName.FAILED,
    reason: str = "totp_mismatch",
    workspace: str = "axis",
) -> AuditRecord:
    event = AuditEvent(
        at=START + timedelta(minutes=minutes),
        name=name,
        workspace_id=workspace,
        subject_id="ada",
        purpose=purpose,
        reason=reason,
    )
    return read_record(event.body(), seq=seq)


def found(records: list[AuditRecord], rule: ClusterRule = RULE) -> list[tuple[str, str, int, int]]:
    finder = ClusterFinder(rule)
    for each in records:
        finder.add(each)
    return [(each.workspace_id, each.purpose, each.failures, each.last_seq) for each in finder.found()]


def test_enough_failures_on_one_purpose_within_the_time_are_a_cluster_and_fewer_are_none() -> None:
    near = [record(1, 0), record(2, 5), record(3, 10)]
    assert found(near[:2]) == []
    assert found(near) == [("axis", "holds_override", 3, 3)]
    assert found([*near[:2], record(3, 10.001)]) == []


def test_a_cluster_grows_while_failures_follow_closely_and_a_later_one_is_another() -> None:
    minutes = [0, 1, 2, 9, 11, 50, 51, 52]
    failures = [record(seq, at) for seq, at in enumerate(minutes, start=1)]
    assert found(failures) == [("axis", "holds_override", 3, 8), ("axis", "holds_override", 5, 5)]


def test_failures_of_other_purposes_and_workspaces_do_not_add_up() -> None:
    mixed = [record(1, 0), record(2, 0, purpose="scim_token_revocation"), record(3, 0, workspace="other")]
    assert found([*mixed, record(4, 1), record(5, 1, purpose="scim_token_revocation")]) == []


def test_a_refusal_counts_and_what_the_person_cancelled_or_passed_does_not() -> None:
    blocked = [record(seq, 0, name=EventName.BLOCKED, reason="wrong_holder") for seq in (1, 2, 3)]
    assert found(blocked) == [("axis", "holds_override", 3, 3)]
    denied = [record(seq, 0, name=EventName.APPROVAL_DENIED, reason="denied") for seq in (1, 2, 3)]
    assert found(denied) == [("axis", "holds_override", 3, 3)]
    assert found([record(seq, 0, reason="cancelled") for seq in range(9)]) == []
    assert found([record(seq, 0, name=EventName.VERIFIED, reason="") for seq in range(9)]) == []
    assert found([record(seq, 0, purpose="") for seq in range(9)]) == []


@given(st.lists(st.integers(0, 40), max_size=40).map(sorted), st.integers(2, 5), st.integers(1, 12))
def test_a_failure_is_in_a_cluster_exactly_when_enough_lie_together(
    minutes: list[int], failures: int, within: int
) -> None:
    windows = [
        set(range(first, first + failures))
        for first in range(len(minutes) - failures + 1)
        if minutes[first + failures - 1] - minutes[first] <= within
    ]
    clusters: list[set[int]] = []
    for window in windows:
        if clusters and clusters[-1] & window:
            clusters[-1] |= window
        else:
            clusters.append(window)
    rule = ClusterRule(failures=failures, within=timedelta(minutes=within))
    records = [record(seq, at) for seq, at in enumerate(minutes)]
    expected = [("axis", "holds_override", len(each), max(each)) for each in reversed(clusters)]
    assert found(records, rule) == expected


@pytest.mark.parametrize("wrong", [{"failures": 1}, {"within": timedelta(0)}, {"within": timedelta(seconds=-1)}])
def test_a_rule_that_flags_everything_or_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ClusterRule(**wrong)  # type: ignore[arg-type]
