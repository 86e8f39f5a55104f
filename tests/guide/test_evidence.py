"""Evidence: what the page says of records and leaves is what the code does, and its example follows the log."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import stepup_middleware
from stepup_middleware.core import batches, challenge
from stepup_middleware.core.approvals import EndReason
from stepup_middleware.core.audit import read_record
from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.core.decisions import Flag
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.findings import LocatedRecord
from stepup_middleware.core.proofs import StoredAssertion
from stepup_middleware.core.recovery import PassRefused
from stepup_middleware.core.sequence import check_events
from stepup_middleware.errors import FailureReason
from stepup_middleware.evidence.manifest import export_schema
from stepup_middleware.evidence.verification import evidence_schema
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.merkle import hash_leaf
from stepup_middleware.log.records import read_entry
from stepup_middleware.service.notices import BROWSER_LOCALE, LOCALE
from tests.attackers.tables import SEALED
from tests.evidence import independent_verifier, page

from .harness import Ran, shell
from .person import Person

ROTATE = "/webhooks/orders/rotate"
SOURCE = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted(Path(stepup_middleware.__path__[0]).rglob("*.py"))
    if "testing" not in path.parts
)


async def stepped_up(ran: Ran) -> str:
    """Step up in the page's app, and return the prompt's id."""
    person = Person(ran.names["app"])
    await person.enrol_passkey()
    asked = await person.ask("POST", ROTATE)
    token = await person.prove(asked)
    answer = await person.http.post(ROTATE, headers={"stepup-token": token})
    assert answer.text.startswith("Rotated.")
    return asked.headers["stepup-prompt"].rpartition("/")[2]


@pytest.mark.slow
@pytest.mark.block("export")
@pytest.mark.block("several")
async def test_the_commands_export_the_log_and_the_function_of_the_page_gives_its_root(
    ran: Ran, blocks: dict[str, str]
) -> None:
    await stepped_up(ran)
    await ran.names["stepup"].close()
    out = await shell(blocks["export"], ran.folder)
    assert "0 faults: verified: its records are in the log, which claims that there are no others" in out
    manifest = json.loads((ran.folder / "audit.ndjson.manifest.json").read_text(encoding="utf-8"))
    page: dict[str, Any] = {}
    exec(blocks["several"], page)  # noqa: S102 -- the page's own
    (tree,), claim = manifest["trees"], json.loads(manifest["claim"])
    leaves = {}
    for line in (ran.folder / "audit.ndjson").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        leaves[record["index"]] = hash_leaf(record["entry"].encode())
    hashes = iter([b64decode(text) for text in tree["hashes"]])
    size = claim["trees"][0]["size"]
    assert b64encode(page["root"](leaves, hashes, 0, size)).decode() == claim["trees"][0]["root"]
    assert next(hashes, None) is None
    assert len(leaves) == claim["records"] == size  # one workspace


@pytest.mark.slow
@pytest.mark.block("verify")
async def test_the_commands_verify_what_a_person_signed(ran: Ran, blocks: dict[str, str]) -> None:
    prompt = await stepped_up(ran)
    await ran.names["stepup"].close()  # a last checkpoint is signed
    out = await shell(blocks["verify"].replace("PROMPT_ID", prompt), ran.folder)
    assert "verified: this person's key signed this action" in out
    assert "0 faults: the log is whole" in out
    bundle = json.loads((ran.folder / "bundle.json").read_text(encoding="utf-8"))
    vkeys = [line for line in (ran.folder / "log.vkey").read_text().splitlines() if line and line[0] != "#"]
    assert independent_verifier.verdict(bundle, vkeys) == ("verified", "")


def test_the_page_names_every_member_of_the_files() -> None:
    schema = evidence_schema()
    names = [*schema["required"], *schema["$defs"]["record"]["required"], *StoredAssertion.__dataclass_fields__]
    names += [*export_schema()["required"], *export_schema()["$defs"]["claim"]["required"]]
    assert [name for name in names if f"`{name}`" not in page.page()] == []


def test_the_tables_of_the_body_have_its_members_and_no_others() -> None:
    event = AuditEvent(at=datetime.now(UTC), name=EventName.VERIFIED, workspace_id="main", subject_id="ada")
    assert sorted(page.types("Member | JSON | What")) == sorted([*event.as_dict(), "salt"])
    request = BoundRequest(method="GET", path="/").as_dict()
    assert sorted(page.types("Member | JSON | What", 1)) == sorted(request)


def test_the_table_of_events_has_each_with_its_severity_and_its_outcome() -> None:
    said = {name: (row.severity, row.outcome) for name, row in page.events().items()}
    assert said == {name.value: (name.severity.value, name.outcome.value) for name in EventName}


def test_the_members_of_data_are_those_that_the_code_writes() -> None:
    """What each event has is looked at in every record that a test of ``tests/http`` leaves (``assert_described``)."""
    named = {word for row in page.events().values() for word in row.data} | page.ANYWHERE
    assert sorted(page.types("Member | JSON").keys() - named) == []
    written = {word for pair in re.findall(r'"(\w+)"[]:]|\b(\w+)=', SOURCE) for word in pair} | {LOCALE, BROWSER_LOCALE}
    assert sorted(page.types("Member | JSON").keys() - written) == []


def follows_the_page(names: Sequence[EventName]) -> bool:
    """Tell whether events of one step-up come as the page's table says."""
    order = page.order()
    for place, name in enumerate(names):
        if name.value not in order:
            return False
        after, once = order[name.value]
        before = [each.value for each in names[:place]]
        if (after is None) is not (place == 0) or (after is not None and after not in before):
            return False
        if once and name.value in before:
            return False
    return not {EventName.VERIFIED, EventName.APPROVAL_DENIED} <= set(names)  # as it says below its table


@given(names=st.lists(st.sampled_from(EventName), min_size=1, max_size=6))
@example(names=[EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.ACTION_AUTHORIZED, EventName.VERIFIED])
@example(names=[EventName.APPROVAL_REQUESTED, EventName.APPROVAL_DENIED])
@settings(max_examples=500)
def test_which_events_come_after_which_and_how_often_is_what_the_page_says(names: list[EventName]) -> None:
    usual = [EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.ACTION_AUTHORIZED]
    for tried in ([*usual[: len(usual) - cut], *names] for cut in range(4)):
        events = [AuditEvent(at=datetime.now(UTC), name=name, workspace_id="w", subject_id="s") for name in tried]
        records = [LocatedRecord(where=str(event.name), record=read_record(event.body("0" * 32))) for event in events]
        found = [finding for finding in check_events(records) if not finding.unverifiable]
        assert follows_the_page(tried) is not any(finding.field.endswith(".event") for finding in found), tried


def test_the_reasons_are_those_of_the_code() -> None:
    found = page.reasons()
    passes = {reason.value for reason in PassRefused} | {"recovery_code_unknown", "recovery_code_used"}
    failed = {reason.value for reason in FailureReason} - {"wrong_holder"}
    assert found["ACCOUNT_STEPUP_FAILED"] == failed | passes | {"cancelled"}
    assert found["APPROVAL_DENIED"] == {EndReason.DENIED.value, EndReason.WRONG_DIGITS.value}
    assert found["ACCOUNT_STEPUP_REUSED"] == {Flag.REDEEMED_BEFORE.value}
    asked = {"ambiguous_token", "malformed_token", "no_factor", "rate_limited", "wrong_holder", "approval_flood"}
    admins = {"not_an_admin", "oneself", "policy_write_refused"}
    assert found["ACCOUNT_STEPUP_BLOCKED"] == {flag.value for flag in Flag} - {"redeemed_before"} | asked | admins
    tree = {fault.name.lower() for fault in Fault} | {"checkpoint", "mac_key"}
    assert found["DATABASE_ALTERED"] == tree | SEALED.keys() | {"audit"}
    literal = set(re.findall(r'reason(?:=| = |: str = )"(\w+)"', SOURCE))
    assert literal - set().union(*found.values()) == set()


async def test_a_passed_step_up_reaches_the_transmitter_as_a_caep_event(ran: Ran) -> None:
    sent: asyncio.Queue[Any] = asyncio.Queue()
    await ran.names["stepup"].start()
    following = asyncio.create_task(ran.names["follow_verified"](sent.put))
    await asyncio.sleep(0)
    prompt = await stepped_up(ran)
    async with asyncio.timeout(30):
        claims = await sent.get()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert claims["txn"] == prompt
    assert claims["iss"] == "https://payday.example"


async def test_a_record_is_what_the_page_says(ran: Ran) -> None:
    prompt = await stepped_up(ran)
    stepup = ran.names["stepup"]
    records = await stepup.audit.of_prompt("main", prompt)
    action = next(record for record in records if record.event is EventName.ACTION_AUTHORIZED)
    members = json.loads(action.entry)
    assert sorted(members) == ["at", "body_sha256", "keep_until", "v"]
    assert members["body_sha256"] == sha256(action.body.encode()).hexdigest()
    assert (members["v"], members["at"]) == (1, json.loads(action.body)["at"])
    assert len(json.loads(action.body)["salt"]) == 32
    assert list(action.data) == ["token"]
    assert read_entry(action.entry).leaf_hash == hash_leaf(action.entry.encode())
    assert hash_leaf(b"x") == sha256(b"\0x").digest()


@pytest.mark.block("formulas")
def test_the_formula_of_the_challenge_uses_the_word_of_the_code(blocks: dict[str, str]) -> None:
    (word,) = re.findall(r'"(stepup-[\w-]+)"', blocks["formulas"])
    assert word in inspect.getsource(challenge)


@pytest.mark.block("batch")
def test_the_formulas_of_several_prompts_use_the_words_of_the_code(blocks: dict[str, str]) -> None:
    words = re.findall(r'"(stepup-[\w-]+)"', blocks["batch"])
    assert len(words) == 4
    assert all(f'b"{word}\\0"' in inspect.getsource(batches) for word in words)
