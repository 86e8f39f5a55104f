"""What @simplewebauthn/server verified is imported, and steps up: its own code runs in Node, from npm's registry."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from stepup_middleware.core.canonical import base64url
from stepup_middleware.testing import VirtualAuthenticator
from tests.http.test_imported_systems import CHALLENGE, line, registered, steps_up
from tests.support import ORIGIN, RP, house_in

from .conftest import run

SIMPLE = """
import { verifyRegistrationResponse } from "@simplewebauthn/server";
let text = ""; for await (const part of process.stdin) text += part;
const { response, challenge, origin, rpID } = JSON.parse(text);
const { registrationInfo } = await verifyRegistrationResponse({
  response, expectedChallenge: challenge, expectedOrigin: origin, expectedRPID: rpID,
});
const { credential, credentialDeviceType, credentialBackedUp, aaguid } = registrationInfo;
console.log(JSON.stringify({
  ...credential, publicKey: Buffer.from(credential.publicKey).toString("base64url"),
  credentialDeviceType, credentialBackedUp, aaguid,
}));
"""


async def test_what_simplewebauthn_verified_steps_up(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.fail("no npm on this machine (Debian, Ubuntu: apt install npm)")
    folder = tmp_path / "simple"
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    (folder / "registered.mjs").write_text(SIMPLE, encoding="utf-8")
    await asyncio.to_thread(run, "npm", "install", "--no-audit", "--no-fund", "@simplewebauthn/server@13", cwd=folder)
    made = VirtualAuthenticator.passkey(synced=True)
    asked = {"response": registered(made), "challenge": base64url(CHALLENGE), "origin": ORIGIN, "rpID": RP.id}
    kept = await asyncio.to_thread(run, "node", "registered.mjs", cwd=folder, given=json.dumps(asked))
    async with house_in(tmp_path) as house:
        await steps_up(house, made, line("simplewebauthn", json.loads(kept)))
