"""Evidence: what the page says of records and leaves is what the code does, and its example follows the log."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware.core import batches, challenge
from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.proofs import StoredAssertion
from stepup_middleware.evidence.manifest import export_schema
from stepup_middleware.evidence.verification import evidence_schema
from stepup_middleware.log.merkle import hash_leaf
from stepup_middleware.log.records import read_entry
from tests.evidence import independent_verifier

from .harness import Ran, shell
from .person import Person

ROTATE = "/webhooks/orders/rotate"


async def stepped_up(ran: Ran) -> str:
    """Step up in the page's app, and return the prompt's id."""
    person = Person(ran.names["app"])
    await person.enrol_passkey()
    asked = await person.ask("POST", ROTATE)
    token = await person.prove(asked)
    answer = await person.http.post(ROTATE, headers={"stepup-token": token})
    assert answer.text.startswith("Rotated.")
    return asked.headers["stepup-prompt"].rpartition("/")[2]


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


def test_the_page_names_every_member_and_event() -> None:
    text = FOLDER.joinpath("evidence.md").read_text(encoding="utf-8")
    event = AuditEvent(at=datetime.now(UTC), name=EventName.VERIFIED, workspace_id="main", subject_id="ada")
    schema = evidence_schema()
    names = [*event.as_dict(), "salt", *schema["required"], *schema["$defs"]["record"]["required"]]
    names += [*(name.value for name in EventName), *StoredAssertion.__dataclass_fields__]
    names += [*export_schema()["required"], *export_schema()["$defs"]["claim"]["required"]]
    names += BoundRequest(method="GET", path="/").as_dict()
    assert [name for name in names if f"`{name}`" not in text] == []


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
