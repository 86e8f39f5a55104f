"""Signed heads: when they are made, by which key, and when they are refused."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware import ConfigurationError, SignedHead
from stepup_middleware.core.events import EventName
from stepup_middleware.core.heads import HeadKey, head_holds, public_text, read_public_keys
from stepup_middleware.core.moments import from_micros, iso
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS
from tests.support import house_in

from .support import KEY, SEED, Witness, person, signing_house, transmit

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def holds(head: SignedHead) -> bool:
    return head_holds(
        KEY.public_key,
        chain=head.chain,
        link=head.link,
        hash_=head.hash,
        at=iso(head.at),
        key_id=head.key_id,
        signature=head.signature,
    )


@given(
    chain=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    link=st.integers(1, 2**53 - 1),
    hash_=st.binary(min_size=32, max_size=32),
    at=st.integers(0, 2**52).map(from_micros),
    other=st.sampled_from(["chain", "link", "hash_", "at", "key_id", "signature"]),
)
def test_a_head_holds_as_it_was_signed_and_in_no_other_form(
    chain: str, link: int, hash_: bytes, at: datetime, other: str
) -> None:
    signature = KEY.sign(chain=chain, link=link, hash_=hash_, at=at)
    signed = {
        "chain": chain,
        "link": link,
        "hash_": hash_,
        "at": iso(at),
        "key_id": KEY.key_id,
        "signature": signature,
    }
    assert head_holds(KEY.public_key, **signed)  # type: ignore[arg-type]
    changed = {
        "chain": chain + "x",
        "link": link + 1,
        "hash_": hash_[:-1] + bytes([hash_[-1] ^ 1]),
        "at": iso(AT) if at != AT else "2000-01-01T00:00:00Z",
        "key_id": "0" * 16,
        "signature": signature[:-1] + bytes([signature[-1] ^ 1]),
    }
    assert not head_holds(KEY.public_key, **{**signed, other: changed[other]})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [b"", b"x" * 32, bytes(31), bytes(range(33)), "short", "!!!", "é" * 43, 7, None])
def test_a_head_key_that_is_not_32_random_bytes_stops_the_start(seed: object) -> None:
    with pytest.raises(ConfigurationError, match="head_key"):
        HeadKey(seed)  # type: ignore[arg-type]


def test_a_head_key_is_read_raw_and_in_either_base64() -> None:
    texts = [b64encode(SEED).decode(), urlsafe_b64encode(SEED).decode(), urlsafe_b64encode(SEED).rstrip(b"=").decode()]
    seeds: list[str | bytes] = [SEED, *texts]
    assert {HeadKey(seed).public_key for seed in seeds} == {KEY.public_key}
    assert SEED.hex() not in repr(KEY)


def test_public_keys_are_read_one_a_line_with_comments() -> None:
    other = HeadKey(bytes(range(1, 33)))
    text = f"# ours\n{public_text(KEY.public_key)}\n\npublic_key={public_text(other.public_key)}  # theirs\n"
    assert read_public_keys(text) == {KEY.key_id: KEY.public_key, other.key_id: other.public_key}
    for wrong in ("", "# nothing", "nonsense", "head_key=" + public_text(SEED)):
        with pytest.raises(ValueError, match="key"):
            read_public_keys(wrong)


async def test_closing_signs_one_head_for_every_chain_after_the_last_event(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "heads")
    async with signing_house(tmp_path, on_head=[witness]) as house:
        ada = await person(house, "ada", "passkey")
        await transmit(ada, "passkey")
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        for record in await store.chain_heads():
            heads = await store.heads(record.chain)
            assert (heads[-1].link, heads[-1].hash) == (record.link, record.hash)
            assert all(holds(head) for head in heads)
            assert list(heads) == [head for head in witness.heads if head.chain == record.chain]


async def test_a_chain_that_did_not_grow_gets_no_second_head_even_after_a_restart(tmp_path: Path) -> None:
    async with signing_house(tmp_path) as house:
        await person(house, "ada", "passkey")
    for _ in range(2):
        async with signing_house(tmp_path) as house:
            assert await house.stepup._parts.evidence._keeper.sign() == ()  # type: ignore[union-attr]
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        for record in await store.chain_heads():
            links = [head.link for head in await store.heads(record.chain)]
            assert links == sorted(set(links))


async def test_heads_are_signed_at_the_interval_while_the_app_runs(tmp_path: Path) -> None:
    arrived = asyncio.Event()
    links: list[int] = []

    async def keep(head: SignedHead) -> None:
        links.append(head.link)
        arrived.set()

    async with signing_house(tmp_path, on_head=[keep], head_interval=timedelta(seconds=1)) as house:
        await person(house, "ada", "passkey")
        async with asyncio.timeout(20):
            await arrived.wait()
        assert links


async def test_a_failing_or_hanging_sink_keeps_neither_requests_nor_other_sinks_nor_the_end_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepup_middleware.service.heads.SINK_TIMEOUT_SECONDS", 0.2)

    async def failing(head: SignedHead) -> None:
        raise ZeroDivisionError

    async def hanging(head: SignedHead) -> None:
        await asyncio.Event().wait()

    witness = Witness(tmp_path / "heads")
    async with asyncio.timeout(20):
        async with signing_house(tmp_path, on_head=[failing, hanging, witness]) as house:
            await person(house, "ada", "passkey")
    assert witness.heads
    assert "a head sink failed" in caplog.text


async def test_a_rewritten_log_gets_no_new_signature(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with signing_house(tmp_path) as house:
        await person(house, "ada", "passkey")
    with sqlite3.connect(tmp_path / "stepup.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit SET hash = zeroblob(32) WHERE seq = (SELECT max(seq) FROM audit)")
    connection.close()
    with caplog.at_level(logging.CRITICAL):
        async with signing_house(tmp_path) as house:
            await person(house, "bob", "passkey")
            assert await house.stepup._parts.evidence._keeper.sign() == ()  # type: ignore[union-attr]
    assert "the log was rewritten" in caplog.text


async def test_without_a_head_key_no_head_is_signed_and_evidence_says_so(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        prompt = await transmit(ada, "passkey")
        bundle = await house.stepup.evidence("axis", prompt)
        assert bundle is not None
        assert bundle["head_key_ids"] == []
        assert {segment["head"] for segment in bundle["segments"]} == {None}
        for record in await house.store.records.chain_heads():
            assert await house.store.records.heads(record.chain) == ()


async def test_sinks_without_a_key_and_an_interval_below_a_second_stop_the_start(tmp_path: Path) -> None:
    async def keep(head: SignedHead) -> None: ...

    with pytest.raises(ConfigurationError, match="on_head needs a head_key"):
        async with house_in(tmp_path, on_head=[keep]):
            pass
    with pytest.raises(ConfigurationError, match="head_interval"):
        async with signing_house(tmp_path, head_interval=timedelta(0)):
            pass


async def test_evidence_of_a_step_up_that_just_ended_is_under_a_fresh_head(tmp_path: Path) -> None:
    async with signing_house(tmp_path, head_interval=timedelta(hours=1)) as house:
        ada = await person(house, "ada", "passkey")
        prompt = await transmit(ada, "passkey")
        bundle = await house.stepup.evidence("axis", prompt)
        assert bundle is not None
        assert all(segment["head"] is not None for segment in bundle["segments"])
        assert await house.stepup.evidence("elsewhere", prompt) is None
        assert await house.stepup.evidence("axis", "unknown") is None
        assert await house.stepup.evidence("axis", "") is None
        assert len(await house.events(EventName.ACTION_AUTHORIZED)) == 1
