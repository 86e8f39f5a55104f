"""Keys: a rotation as the page types it, with an authenticator app that goes on working."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepup_middleware import ConfigurationError
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.purposes import MAX_TTL

from .harness import KEY, blocks_of, running, shell
from .person import Person

ROTATE = "/webhooks/orders/rotate"


def commands(words: str) -> str:
    """Return the block of the page that has these words."""
    (text,) = [block.text for block in blocks_of("keys") if words in block.text]
    return text


@pytest.mark.slow
async def test_an_authenticator_app_works_before_and_after_the_rotation(tmp_path: Path) -> None:
    async with running("start", tmp_path) as page:
        person = Person(page.names["app"])
        await person.enrol_totp()
    await shell(commands("both.key"), tmp_path)
    keys = (tmp_path / "secret.key").read_text().split()
    assert len(keys) == 1
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0, "others may read it"
    assert keys != KEY.split()
    assert await shell("ls *.key", tmp_path) == "secret.key\n"
    async with running("start", tmp_path) as page:  # started again, with the new key alone
        again = person.in_front_of(page.names["app"])
        assert (await again.act("POST", ROTATE, "totp")).text.startswith("Rotated.")


async def test_revoke_all_takes_what_was_proved(tmp_path: Path) -> None:
    async with running("start", tmp_path) as page:
        person = Person(page.names["app"])
        await person.enrol_passkey()
        token = await person.prove(await person.ask("POST", ROTATE))
        await shell(commands("revoke-all"), tmp_path)
        again = await person.ask("POST", ROTATE, headers={"stepup-token": token})
        assert again.json()["code"] == "STEPUP_REQUIRED"


def test_keys_that_are_too_weak_stop_the_start() -> None:
    for weak in ("short", "changeme" * 8, "a" * 40):
        with pytest.raises(ConfigurationError):
            KeyRing([weak])
    with pytest.raises(ConfigurationError):
        KeyRing([KEY, KEY])
    assert MAX_TTL.total_seconds() == 300
