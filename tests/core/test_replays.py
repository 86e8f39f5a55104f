"""Replays of a spent token: each presenter is told at once, a flood is counted, and nothing grows without bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.replays import (
    DIGEST_BYTES,
    MOST_REMEMBERED,
    NONE,
    Replay,
    Replays,
    presenter_digest,
    worth_logging,
)

DIGESTS = [bytes([number]) * DIGEST_BYTES for number in range(40)]
PRESENTERS = st.lists(st.sampled_from(DIGESTS), max_size=300)
PARTS = st.tuples(*[st.text(max_size=4)] * 4)


def presented(presenters: list[bytes]) -> list[Replay]:
    """Present a token once more for each of the presenters."""
    row, told = NONE, []
    for presenter in presenters:
        replay = row.and_of(presenter)
        told.append(replay)
        row = replay.after
    return told


@given(PRESENTERS)
def test_the_first_replay_of_each_of_the_first_presenters_is_told_at_once(presenters: list[bytes]) -> None:
    seen: list[bytes] = []
    for presenter, replay in zip(presenters, presented(presenters), strict=True):
        first = presenter not in seen and len(seen) < MOST_REMEMBERED
        assert replay.new_presenter is first
        if first:
            seen.append(presenter)
            assert replay.told


@given(PRESENTERS)
def test_a_presenter_who_comes_again_is_told_at_powers_of_ten_alone(presenters: list[bytes]) -> None:
    for count, replay in enumerate(presented(presenters), 1):
        assert replay.after.count == count
        if not replay.new_presenter:
            assert replay.told is (count in (1, 10, 100))


@given(PRESENTERS)
def test_no_number_of_replays_and_presenters_makes_more_records_than_the_bound(presenters: list[bytes]) -> None:
    replays = presented(presenters)
    assert sum(replay.told for replay in replays) <= MOST_REMEMBERED + 3
    assert all(len(replay.after.presenters) <= MOST_REMEMBERED * DIGEST_BYTES for replay in replays)


def test_sixteen_presenters_are_remembered_and_no_more() -> None:
    replays = presented(DIGESTS)
    assert [replay.new_presenter for replay in replays] == [True] * MOST_REMEMBERED + [False] * (40 - MOST_REMEMBERED)
    assert len(replays[-1].after.presenters) == MOST_REMEMBERED * DIGEST_BYTES


def test_the_owners_retry_does_not_hide_the_thief_a_moment_later() -> None:
    owner, thief = DIGESTS[:2]
    told = [replay.told for replay in presented([owner, owner, thief, owner, thief])]
    assert told == [True, False, True, False, False]


@given(PARTS, PARTS)
def test_another_person_session_or_address_is_another_presenter(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    assert (presenter_digest(*one) == presenter_digest(*other)) is (one == other)
    assert len(presenter_digest(*one)) == DIGEST_BYTES


def test_a_digest_that_lies_across_two_others_is_not_known() -> None:
    one, other = DIGESTS[:2]
    across = one[8:] + other[:8]
    assert not Replays(2, one + other).known(across)


def test_a_flood_with_one_spent_token_is_told_at_each_power_of_ten() -> None:
    assert [count for count in range(100_001) if worth_logging(count)] == [1, 10, 100, 1000, 10_000, 100_000]  # D09
