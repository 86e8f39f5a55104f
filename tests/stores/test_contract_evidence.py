"""Evidence is the same from every store: what is logged there verifies offline, and so does the whole log."""

from __future__ import annotations

from pathlib import Path

from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Verdict
from stepup_middleware.service.evidence import judge
from stepup_middleware.service.verification import LogVerifier
from stepup_middleware.stores.base import HotState
from tests.evidence import independent_verifier
from tests.evidence.support import KEY, person, signing_house, transmit

TRUST = Trust(head_keys={KEY.key_id: KEY.public_key}, rp_id="example.com")


async def test_a_real_step_up_on_any_store_verifies_offline_and_so_does_its_log(
    store: HotState, tmp_path: Path
) -> None:
    async with signing_house(tmp_path, store=store) as house:
        ada = await person(house, "ada", "passkey", "totp")
        prompt = await transmit(ada, "passkey")
        await transmit(ada, "totp", "/webhooks/rotate")
        bundle = await house.stepup.evidence("axis", prompt)
        assert bundle is not None
        report = judge(bundle, TRUST)
        assert report.verdict is Verdict.VERIFIED, report.findings
        assert independent_verifier.verdict(bundle, [KEY.public_key]) == ("verified", "")
        verifier = LogVerifier(store.records, TRUST)
        assert [fault async for fault in verifier.run()] == []
        assert (verifier.summary.proofs, verifier.summary.one_time_passwords) == (2, 1)  # one to enrol the app
        assert verifier.summary.heads >= len(await store.records.signed_chains()) >= 1
