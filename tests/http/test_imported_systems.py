"""What other systems' own code makes of a registration is imported, and steps up."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
from typing import Any

import pytest
from webauthn import verify_registration_response
from webauthn.helpers import bytes_to_base64url

from stepup_middleware.core.canonical import base64url
from stepup_middleware.testing import VirtualAuthenticator
from tests.support import ORIGIN, RP, TRANSMIT, Browser, Factor, House

CHALLENGE = secrets.token_bytes(32)
USER = b"user-1"

ALLAUTH = """
import json, sys
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 50,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "allauth", "allauth.account", "allauth.mfa"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIDDLEWARE=["allauth.account.middleware.AccountMiddleware"],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
)
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth import get_user_model
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.mfa.webauthn.internal.auth import WebAuthn
user = get_user_model().objects.create(username="ada")
WebAuthn.add(user, "Key", json.load(sys.stdin))
TOTP.activate(user, generate_totp_secret())
print(json.dumps([{"type": row.type, "data": row.data} for row in Authenticator.objects.order_by("pk")]))
"""


def registered(made: VirtualAuthenticator) -> dict[str, Any]:
    """Return an authenticator's answer to a registration elsewhere."""
    options = {
        "rp": {"id": RP.id, "name": "Elsewhere"},
        "user": {"id": base64url(USER), "name": "ada", "displayName": "Ada"},
        "challenge": base64url(CHALLENGE),
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        "authenticatorSelection": {"userVerification": "required", "residentKey": "required"},
    }
    answer: dict[str, Any] = made.create(options, origin=ORIGIN)
    return answer


def line(source: str, kept: Any) -> str:
    """Return the line of a key that a system kept."""
    return json.dumps(
        {"workspace": "axis", "subject": "ada", "rp_id": RP.id, "user_handle": base64url(USER), source: kept}
    )


async def steps_up(house: House, made: VirtualAuthenticator, *lines: str) -> None:
    """Import lines, of which one has the key of an authenticator, and step up with it."""
    report = await house.stepup._parts.importing.run(lines, by="root@host", now=house.clock())
    assert report.faults == ()
    ada = Browser(house, house.sign_in("ada"))
    listed = {each["kind"]: each for each in (await ada.send("GET", "/stepup/factors")).json()["factors"]}
    assert listed["passkey"]["synced"] is True
    ada.factors["passkey"] = Factor(listed["passkey"]["id"], "passkey", authenticator=made)
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200


def missing(what: str) -> None:
    """Skip, and fail in continuous integration, which has what is needed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


async def test_what_py_webauthn_verified_steps_up(house: House) -> None:
    made = VirtualAuthenticator.passkey(synced=True)
    verified = verify_registration_response(
        credential=registered(made), expected_challenge=CHALLENGE, expected_rp_id=RP.id, expected_origin=ORIGIN
    )
    kept = {
        "credential_id": bytes_to_base64url(verified.credential_id),
        "credential_public_key": bytes_to_base64url(verified.credential_public_key),
        "sign_count": verified.sign_count,
        "aaguid": verified.aaguid,
        "credential_device_type": verified.credential_device_type.value,
        "credential_backed_up": verified.credential_backed_up,
    }
    await steps_up(house, made, line("py_webauthn", kept))


async def test_what_django_allauth_keeps_steps_up(house: House) -> None:
    python = os.environ.get("STEPUP_ALLAUTH_PYTHON") or sys.executable
    if python == sys.executable and importlib.util.find_spec("allauth") is None:
        missing("django-allauth[mfa]")
    made = VirtualAuthenticator.passkey(synced=True)
    ran = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile; our own text
        [python, "-c", ALLAUTH],
        input=json.dumps(registered(made)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    key, app = json.loads(ran.stdout)
    assert (key["type"], app["type"]) == ("webauthn", "totp")
    await steps_up(house, made, line("allauth", key), line("allauth", app))
