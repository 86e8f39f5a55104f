"""Evidence: the page's app signs heads, its examples keep them, and its commands verify a real step-up."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from demo_app.guide_pages import FOLDER
from stepup_middleware import SignedHead
from stepup_middleware.cli.audit import read_witnessed
from stepup_middleware.core import chain, challenge, heads
from stepup_middleware.core.heads import head_holds, read_public_keys
from stepup_middleware.service.evidence import evidence_schema
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


@pytest.mark.block("verify")
async def test_the_commands_verify_what_a_person_signed(ran: Ran, blocks: dict[str, str]) -> None:
    prompt = await stepped_up(ran)
    await ran.names["stepup"].close()  # a last head is signed
    out = await shell(blocks["verify"].replace("PROMPT_ID", prompt), ran.folder)
    assert "verified: this person's key signed this action" in out
    assert "every chain holds" in out
    assert re.search(r"under no head yet +0\n", out)
    bundle = json.loads((ran.folder / "bundle.json").read_text(encoding="utf-8"))
    (key,) = read_public_keys((ran.folder / "head-key.txt").read_text(encoding="utf-8")).values()
    assert independent_verifier.verdict(bundle, [key]) == ("verified", "")
    kept = read_witnessed(ran.folder / "heads.ndjson")
    shown = {(each["chain"], first["link"]) for each in bundle["segments"] if (first := each["head"])}
    assert shown <= kept.keys()


class Receiver(BaseHTTPRequestHandler):
    """Somebody else's server that keeps what it is sent."""

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        assert self.headers["content-type"] == "application/json"
        self.server.kept.append(json.loads(self.rfile.read(length)))  # type: ignore[attr-defined]
        self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def receiving() -> Iterator[tuple[str, list[Any]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    kept: list[Any] = []
    server.kept = kept  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/heads", kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def signed_heads(ran: Ran) -> tuple[SignedHead, ...]:
    await stepped_up(ran)
    signed: tuple[SignedHead, ...] = await ran.names["stepup"]._parts.keeper.sign()
    assert signed
    return signed


async def test_the_webhook_takes_each_head_as_a_line_to_verify_against(ran: Ran, tmp_path: Path) -> None:
    signed = await signed_heads(ran)
    with receiving() as (url, kept):
        ran.names["WITNESS"] = url
        for head in signed:
            await ran.names["to_webhook"](head)
    assert kept == [head.as_dict() for head in signed]
    (tmp_path / "kept").write_text("".join(json.dumps(head) + "\n" for head in kept), encoding="utf-8")
    assert read_witnessed(tmp_path / "kept") == {(head.chain, head.link): head.hash for head in signed}


async def test_the_transparency_log_gets_a_statement_that_its_signature_and_key_fit(ran: Ran) -> None:
    signed = await signed_heads(ran)
    with receiving() as (url, kept):
        ran.names["REKOR"] = url
        for head in signed:
            await ran.names["to_transparency_log"](head)
    assert len(kept) == len(signed)
    for entry, head in zip(kept, signed, strict=True):
        assert (entry["kind"], entry["apiVersion"]) == ("rekord", "0.0.1")
        proof = entry["spec"]["signature"]
        key = load_pem_public_key(b64decode(proof["publicKey"]["content"]))
        assert isinstance(key, Ed25519PublicKey)
        statement = b64decode(entry["spec"]["data"]["content"])
        key.verify(b64decode(proof["content"]), statement)
        assert head.hash.hex().encode() in statement
        assert head_holds(
            key.public_bytes_raw(), chain=head.chain, link=head.link, hash_=head.hash, at=head.as_dict()["at"],
            key_id=head.key_id, signature=head.signature,
        )  # fmt: skip


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


@pytest.mark.block("formulas")
def test_the_formulas_use_the_words_of_the_code(blocks: dict[str, str]) -> None:
    code = "".join(inspect.getsource(module) for module in (chain, challenge, heads))
    words = re.findall(r'"(stepup-[\w-]+)"', blocks["formulas"])
    assert len(words) == 4
    for word in words:
        assert word in code


def test_the_members_of_the_bundle_are_those_of_the_schema() -> None:
    page = (FOLDER / "evidence.md").read_text(encoding="utf-8")
    table = page.partition("## The bundle")[2].partition("Other people's")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert re.findall(r"`(\w+)`", "".join(rows)) == list(evidence_schema()["properties"])
