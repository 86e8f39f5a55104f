"""Canaries: what must stay secret is looked for in every place where it could have leaked."""

from __future__ import annotations

import base64
import logging
import re
from pathlib import Path

import pytest

from stepup_middleware.core.proof import ActionRequest
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.service.grants import IssuedToken
from stepup_middleware.testing import totp_code
from tests.support import ELSEWHERE, KEY, ROTATE, TRANSMIT, Browser, House, house_in


class Canaries:
    """Secrets that were used, by name, and the search for them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {"key in hex": KEY.hex(), "key in base64": base64.b64encode(KEY).decode()[:-1]}
        self.codes: list[str] = []

    def found_in(self, text: str) -> list[str]:
        found = [name for name, secret in self.texts.items() if secret in text]
        # six digits occur by chance inside numbers and hashes; a leaked code stands by itself
        return found + [code for code in self.codes if re.search(rf"(?<![0-9A-Za-z_=-]){code}(?![0-9A-Za-z_=-])", text)]


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in the files of a folder, by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def lived(house: House, canaries: Canaries) -> Browser:
    """Do everything that a person does, and everything that goes wrong, with secrets that are remembered."""
    ada = Browser(house, house.sign_in("ada"))
    assert ada.subject is not None
    canaries.texts["session id"] = ada.subject.session_id
    await ada.enrol("passkey")
    app = await ada.enrol("totp", by="passkey")
    canaries.texts["secret of the app"] = app.secret
    for url, kind in ((TRANSMIT, "passkey"), (ROTATE, "totp"), ("/bound", "passkey")):
        if kind == "totp":
            canaries.codes.append(totp_code(app.secret, house.clock()))
        token = await ada.token("POST", url, kind)
        canaries.texts[f"token for {url}"] = token
        canaries.texts[f"signature of the token for {url}"] = token[32:]
        await ada.at(ELSEWHERE).post(url, token=token + "=")
        await ada.post("/alias/x", token=token)
        await ada.post(url, token=token)
        await ada.post(url, token=token)
        await ada.client.post(url, headers=[("stepup-token", token), ("stepup-token", token)])
    await ada.navigate("POST", TRANSMIT, headers={"cookie": f"session={ada.subject.session_id}; x={token}"})
    prompt = await ada.prompt("POST", ROTATE)
    wrong = "".join(str((int(digit) + 1) % 10) for digit in totp_code(app.secret, house.clock()))
    canaries.codes.append(wrong)
    await ada.answer(prompt, app, code=wrong)
    await ada.answer(prompt, ada.factors["passkey"], tamper_signature=True)
    await ada.post(f"{prompt['prompt']['url']}/totp", json={"code": canaries.texts["secret of the app"]})
    with pytest.raises(ZeroDivisionError):
        await ada.step_up("POST", "/raising", "passkey")
    token = await ada.token("POST", TRANSMIT, "passkey")
    canaries.texts["token in the cookie"] = token
    await ada.navigate("POST", TRANSMIT, headers={"cookie": f"session=x; __Secure-stepup-token={token}"})
    return ada


# A09 O26 Y09
async def test_no_secret_is_in_a_log_record_the_audit_log_or_the_files_of_the_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = Canaries()
    async with house_in(tmp_path) as house:
        ada = await lived(house, canaries)
        assert ada.factors
        bodies = "\n".join([record.body for record in await house.events()])
        assert canaries.found_in(bodies) == []
        assert all(KEY not in content for content in contents(tmp_path).values())
    records = [
        f"{record.getMessage()} {record.exc_text or ''} {record.__dict__}"
        for record in caplog.records
        if not record.name.startswith("http")  # the client of the test logs its own requests
    ]
    assert canaries.found_in("\n".join(records)) == []
    for name, content in contents(tmp_path).items():
        assert canaries.found_in(content.decode("latin-1")) == [], name


# A09
async def test_the_search_would_find_a_leak(tmp_path: Path) -> None:
    canaries = Canaries()
    async with house_in(tmp_path) as house:
        await lived(house, canaries)
    for name, secret in canaries.texts.items():
        assert canaries.found_in(f'{{"x":"{secret}"}}') != [], name
    assert canaries.found_in(f'"code": "{canaries.codes[0]}"') == [canaries.codes[0]]


# A09 Y09
async def test_no_secret_is_in_a_repr(ada: Browser, house: House) -> None:
    assert ada.subject is not None
    token = await ada.token("POST", TRANSMIT, "passkey")
    prompt = (await ada.prompt("POST", TRANSMIT))["prompt"]["id"]
    stored = await house.store.get_prompt(prompt, now=house.clock())
    assert stored is not None
    issued = IssuedToken(token=token, expires_at=house.clock(), prompt=stored.prompt)
    application = ActionRequest(
        purpose=house.stepup.purposes["holds_override"],
        request=stored.prompt.request,
        details=(),
        tokens=[token.encode()],
    )
    values = [
        ada.subject,
        issued,
        application,
        house.stepup,
        house.store,
        house.stepup._parts.ceremonies,
        house.stepup._parts.redemption,
        house.stepup.factors,
        house.stepup._parts.secret_box,
        house.stepup._parts.redemption._codec,
        await house.stepup.factors.list(ada.subject),
        TokenReference(1, bytes(16)),
    ]
    for value in values:
        text = repr(value)
        for secret in (token, ada.subject.session_id, ada.factors["totp"].secret, KEY.hex(), repr(KEY)[2:-1]):
            assert secret not in text, type(value).__name__


# A09
async def test_no_secret_is_in_any_answer_but_the_one_that_hands_it_over(ada: Browser, house: House) -> None:
    assert ada.subject is not None
    token = await ada.token("POST", TRANSMIT, "passkey")
    answers = [
        await ada.post(TRANSMIT),
        await ada.navigate("POST", TRANSMIT),
        await ada.post(TRANSMIT, token=token + "x"),
        await ada.post(TRANSMIT, token=token),
        await ada.post(TRANSMIT, token=token),
        await ada.send("GET", "/stepup/factors"),
        await ada.navigate("GET", "/stepup/factors"),
        await ada.send("GET", "/stepup/purposes"),
    ]
    for answer in answers:
        text = answer.text + str(answer.headers)
        for secret in (token, ada.subject.session_id, ada.factors["totp"].secret):
            assert secret not in text


# C14
async def test_a_token_is_never_part_of_an_address(ada: Browser) -> None:
    prompt = await ada.prompt("POST", TRANSMIT)
    token = await ada.prove(prompt, "passkey")
    page = await ada.navigate("POST", TRANSMIT)
    addresses = re.findall(r'(?:href|src|action|data-stepup-[a-z]+)="([^"]*)"', page.text)
    assert addresses
    assert not any(token in address or "token=" in address for address in addresses)
