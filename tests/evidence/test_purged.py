"""What a purge leaves: chains that hold, and evidence that says what is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Verdict
from stepup_middleware.service.evidence import judge
from tests.support import TRANSMIT

from .independent_verifier import verdict as independent_verdict
from .support import KEY, head_key_file, lines, person, run, signing_house

OVERRIDE = "/bound-mount/x"


async def play(folder: Path) -> str:
    """Enrol, override a hold fifteen years on, and purge what is over six years later. Return the prompt."""
    async with signing_house(folder) as house:
        ada = await person(house, "ada", "passkey")
        await house.stepup._parts.evidence._keeper.sign()  # type: ignore[union-attr]  # as the interval would
        house.clock.advance(timedelta(days=15 * 366))
        answer = await ada.step_up("POST", OVERRIDE, "passkey")
        assert answer.status_code == 200
        await house.soon(EventName.ACTION_COMPLETED)
        house.clock.advance(timedelta(days=6 * 366))  # an enrolment stays for twenty years, the proof for ten
        purged = await house.store.records.purge(now=house.clock(), limit=1000, clock_confirmed=True)
        assert purged.events > 0
        assert not await house.events(EventName.FACTOR_ENROLLED)
        await person(house, "bob", "passkey")  # the purged chain grows on
        return (await house.events(EventName.ACTION_AUTHORIZED))[0].prompt_id


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("purged")
    return folder, asyncio.run(play(folder))


def test_a_purged_log_still_verifies_and_tells_what_it_cannot_tell(
    scene: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:  # A16
    folder, _ = scene
    code, out, _ = run(
        capsys, "audit", "verify", "--database", folder / "stepup.db", "--head-key", head_key_file(folder), "--json"
    )
    summary = lines(out)[-1]["summary"]
    assert code == 0, out
    assert (summary["faults"], summary["proofs"], summary["unverifiable"]) == (0, 1, 1)


def test_evidence_whose_enrolment_was_purged_is_not_fully_verifiable(
    scene: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, prompt = scene
    path = folder / "bundle.json"
    assert run(capsys, "audit", "evidence", prompt, "--database", folder / "stepup.db", "--output", path)[0] == 0
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", head_key_file(folder))
    assert code == 3, out
    assert "FACTOR_ENROLLED is not there" in out
    assert out.count(" ok") == 9


def test_a_chain_that_was_purged_and_grew_again_is_signed_again(
    scene: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = scene
    code, out, _ = run(capsys, "audit", "verify", "--database", folder / "stepup.db", "--json")
    assert code == 0
    assert lines(out)[-1]["summary"]["heads"] >= 2


async def test_a_proof_of_ten_years_is_fully_verifiable_after_the_rest_was_purged(
    tmp_path: Path,
) -> None:
    async with signing_house(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        await ada.step_up("POST", TRANSMIT, "passkey")
        house.clock.advance(timedelta(days=9 * 365))
        answer = await ada.step_up("POST", OVERRIDE, "passkey")
        assert answer.status_code == 200
        await house.soon(EventName.ACTION_COMPLETED)
        house.clock.advance(timedelta(days=9 * 365))
        purged = await house.store.records.purge(now=house.clock(), limit=1000, clock_confirmed=True)
        assert purged.events >= 4  # the transmission of eighteen years ago
        override = (await house.events(EventName.ACTION_AUTHORIZED))[-1].prompt_id
        bundle = await house.stepup.evidence("axis", override)
    report = judge(bundle, Trust(head_keys={KEY.key_id: KEY.public_key}))
    assert report.verdict is Verdict.VERIFIED, report.findings
    assert independent_verdict(bundle, [KEY.public_key]) == ("verified", "")
