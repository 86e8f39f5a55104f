"""Factors of other systems are imported, all of a file or nothing, and each steps up with the key of its owner."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stepup_middleware import EventName, FactorKind, StoreError
from stepup_middleware.ceremonies.imported import ImportedCredential, read_line
from stepup_middleware.ceremonies.totp import ALGORITHMS
from stepup_middleware.core.canonical import base64url
from stepup_middleware.core.topics import Topic
from stepup_middleware.service.importing import ImportReport, import_schema
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import VirtualAuthenticator
from tests.support import ORIGIN, PATIENT, ROTATE, RP, TRANSMIT, Browser, Factor, House, house_in

SCHEMA = import_schema()


def registered(made: VirtualAuthenticator, rp_id: str = RP.id, handle: bytes = b"user-1") -> dict[str, Any]:
    """Return the answer of an authenticator to a registration elsewhere."""
    options = {
        "rp": {"id": rp_id, "name": "Elsewhere"},
        "user": {"id": base64url(handle), "name": "ada", "displayName": "Ada"},
        "challenge": base64url(secrets.token_bytes(32)),
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        "authenticatorSelection": {"userVerification": "required", "residentKey": "required"},
    }
    origin = ORIGIN if rp_id == RP.id else f"https://{rp_id}"
    answer: dict[str, Any] = made.create(options, origin=origin)
    return answer


def allauth_row(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what django-allauth keeps of a key: the browser's whole answer."""
    return {"type": "webauthn", "data": {"name": "Key", "credential": answer}}


def line(subject: str, **fields: Any) -> str:
    """Return a line about somebody in the workspace of the house."""
    return json.dumps({"workspace": "axis", "subject": subject, **fields})


def key_line(subject: str = "ada", made: VirtualAuthenticator | None = None, **fields: Any) -> str:
    """Return a line with a new key."""
    row = allauth_row(registered(made or VirtualAuthenticator.passkey(synced=True)))
    return line(subject, **{"rp_id": RP.id, "user_handle": base64url(b"user-1"), "allauth": row, **fields})


def totp_line(subject: str = "ada", secret: str = "", **fields: Any) -> str:
    """Return a line with a new secret."""
    return line(subject, totp={"secret": secret or pyotp.random_base32(32), **fields})


async def imported(house: House, *lines: str, **options: Any) -> ImportReport:
    """Import lines."""
    return await house.stepup._parts.importing.run(lines, by="root@host", now=house.clock(), **options)


def problems(report: ImportReport) -> list[tuple[int, str]]:
    """Return the faults of a report."""
    return [(fault.line, fault.problem) for fault in report.faults]


async def test_an_imported_passkey_steps_up_and_its_flags_are_those_that_were_signed(house: House) -> None:
    made = VirtualAuthenticator.passkey(synced=True)
    report = await imported(house, key_line(made=made, name="Old laptop"))
    assert report.faults == ()
    assert report.imported == {FactorKind.PASSKEY: 1}
    ada = Browser(house, house.sign_in("ada", ago=9_999))
    (listed,) = (await ada.send("GET", "/stepup/factors")).json()["factors"]
    assert (listed["kind"], listed["name"], listed["synced"]) == ("passkey", "Old laptop", True)
    ada.factors["passkey"] = Factor(listed["id"], "passkey", authenticator=made)
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    (event,) = await house.events(EventName.FACTOR_ENROLLED)
    assert (event.data["imported"], event.data["source"], event.data["by"]) == (True, "allauth", "root@host")
    assert event.subject_id == "ada"
    assert event.topics == ()


# E23
async def test_an_imported_key_without_flags_and_handle_steps_up_and_stays_unknown(house: House) -> None:
    made = VirtualAuthenticator.hardware_key()
    answer = registered(made)
    (listed,) = [json.loads(key_line(made=made))]
    kept = read_line(key_line(made=VirtualAuthenticator.passkey()), SCHEMA, RP.id)
    assert kept.factor is not None
    full = read_line(line("ada", rp_id=RP.id, allauth=allauth_row(answer)), SCHEMA, RP.id).factor
    assert isinstance(full, ImportedCredential)
    assert full.kind is FactorKind.HARDWARE_KEY
    own = {
        "credential_id": base64url(full.credential_id),
        "public_key": base64url(full.public_key),
        "transports": ["usb"],
    }
    assert (await imported(house, line("ada", rp_id=RP.id, webauthn=own))).faults == ()
    assert listed
    ada = Browser(house, house.sign_in("ada"))
    (shown,) = (await ada.send("GET", "/stepup/factors")).json()["factors"]
    assert (shown["kind"], shown["synced"]) == ("passkey", None), (
        "what is not known not to be synced is no hardware key"
    )
    ada.factors["passkey"] = Factor(shown["id"], "passkey", authenticator=made)
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    (shown,) = (await ada.send("GET", "/stepup/factors")).json()["factors"]
    assert shown["synced"] is None


# E25
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("digits", [6, 8])
@pytest.mark.parametrize("period", [30, 60])
async def test_an_imported_secret_steps_up_by_its_own_hash_digits_and_period_once_a_step(
    house: House, algorithm: str, digits: int, period: int
) -> None:
    secret = pyotp.random_base32(64)
    done = await imported(house, totp_line(secret=secret, algorithm=algorithm, digits=digits, period=period))
    assert done.faults == ()
    app = pyotp.TOTP(secret, digits=digits, digest=ALGORITHMS[algorithm], interval=period)
    ada = Browser(house, house.sign_in("ada"))
    first, second = await ada.prompt("POST", ROTATE), await ada.prompt("POST", ROTATE)
    short = await ada.post(f"{first['prompt']['url']}/totp", json={"code": "1234567"})
    assert "did not count as an attempt" in short.json()["detail"]
    code = app.at(house.clock())
    assert (await ada.post(f"{first['prompt']['url']}/totp", json={"code": code})).status_code == 200
    assert (await ada.post(f"{second['prompt']['url']}/totp", json={"code": code})).status_code == 400
    house.clock.advance(period)
    code = app.at(house.clock())
    assert (await ada.post(f"{second['prompt']['url']}/totp", json={"code": code})).status_code == 200


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[House]:
    """The app, started."""
    async with house_in(tmp_path) as house:
        yield house


@pytest.fixture
async def impatient(plain: House, tmp_path: Path) -> AsyncIterator[House]:
    """The same app once more, with a store whose calls have the time that they have in a set-up that names none."""
    async with house_in(tmp_path, store=SQLiteStore(plain.path)) as other:
        yield other


# E22
@pytest.mark.slow
async def test_ten_thousand_lines_of_which_three_are_wrong_import_nothing_and_name_the_three(
    plain: House, impatient: House
) -> None:
    kept = json.loads(key_line())
    base = read_line(json.dumps(kept), SCHEMA, RP.id).factor
    assert isinstance(base, ImportedCredential)

    def own(number: int) -> str:
        key = {"credential_id": base64url(number.to_bytes(16, "big")), "public_key": base64url(base.public_key)}
        return line(f"p-{number}", rp_id=RP.id, webauthn=key)

    lines = [own(number) for number in range(10_000)]
    good = list(lines)
    lines[16] = lines[16].replace(RP.id, "other.example")
    lines[4_999] = lines[4_999][:-1]
    lines[9_999] = own(7)
    counts: list[int] = []
    report = await imported(plain, *lines, progress=counts.append)
    assert [fault.line for fault in report.faults] == [17, 5_000, 10_000]
    assert counts[-1] == 10_000
    assert await plain.events(EventName.FACTOR_ENROLLED) == []
    dry = await imported(plain, *good, dry_run=True)
    assert (dry.faults, dry.imported.total()) == ((), 10_000)
    assert await plain.events(EventName.FACTOR_ENROLLED) == []
    done = await imported(impatient, *good)
    assert (done.faults, done.imported.total()) == ((), 10_000)
    assert len(await plain.events(EventName.FACTOR_ENROLLED)) == 10_000
    again = await imported(plain, good[0], totp_line("p-0"))
    assert problems(again) == [(1, "this credential is registered here already, by this person or another")]
    assert len(await plain.events(EventName.FACTOR_ENROLLED)) == 10_000


# E22
@pytest.mark.parametrize("people", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_an_import_into_postgresql_takes_as_long_as_it_needs_and_others_write_beside_it(
    tmp_path: Path, postgres_dsn: str, people: int
) -> None:
    key = json.loads(key_line())
    base = read_line(json.dumps(key), SCHEMA, RP.id).factor
    assert isinstance(base, ImportedCredential)
    keys = [
        {"credential_id": base64url(number.to_bytes(16, "big")), "public_key": base64url(base.public_key)}
        for number in range(people)
    ]
    lines = [line(f"p-{number}", rp_id=RP.id, webauthn=key) for number, key in enumerate(keys)]
    async with house_in(tmp_path, store=PostgresStore(postgres_dsn)) as house:
        importing = asyncio.create_task(imported(house, *lines))
        steps = 0
        while not importing.done():
            steps += await house.store.records.advance_time_step("axis", "tim", 59_000_000 + steps)
            await asyncio.sleep(0)
        done = await importing
        assert (done.faults, done.imported.total(), steps > 0) == ((), people, True)
    async with house_in(tmp_path, store=PostgresStore(postgres_dsn, timeout=PATIENT)) as house:
        assert len(await house.events(EventName.FACTOR_ENROLLED)) == people


# E24
async def test_a_credential_of_another_person_is_not_taken_over(house: House, ada: Browser) -> None:
    (mine,) = [each for each in await house.stepup.factors.list(ada.subject) if each.kind is FactorKind.PASSKEY]  # type: ignore[arg-type]
    stolen = key_line("mallory")
    good = read_line(stolen, SCHEMA, RP.id).factor
    key = {"credential_id": base64url(mine.credential_id), "public_key": base64url(good.public_key)}  # type: ignore[union-attr]
    report = await imported(house, line("mallory", rp_id=RP.id, webauthn=key), totp_line("mallory"))
    assert [fault.line for fault in report.faults] == [1]
    assert await house.stepup.factors.list(house.sign_in("mallory")) == ()


FAULTS: dict[str, Callable[[], str]] = {
    "rp_id must be there and be example.com": lambda: key_line(rp_id="evil.example"),
    "registered for another relying party": lambda: key_line(
        allauth=allauth_row(registered(VirtualAuthenticator.passkey(), "evil.example"))
    ),
    "workspace is missing": lambda: json.dumps({"subject": "ada", "totp": {"secret": pyotp.random_base32()}}),
    "kind is not a member": lambda: key_line(kind="hardware_key"),
    "exactly one of": lambda: line("ada", rp_id=RP.id),
    "no JSON of one reading": lambda: '{"workspace": "a", "workspace": "b"}',
    "is nested too deeply": lambda: "[" * 10_000,
    "far too short": lambda: totp_line(secret="AAAAAAAA"),
    "a secret has 16 to 128 bytes": lambda: totp_line(secret="A" * 24),
    "not base32": lambda: totp_line(secret="not base32 at all, sorry 189!"),
    "totp.digits is none of": lambda: totp_line(digits=7),
    "totp.period is none of": lambda: totp_line(period=15),
    "the key cannot be used here": lambda: line(
        "ada", rp_id=RP.id, webauthn={"credential_id": "AAAA", "public_key": base64url(b"\xa1\x01\x02")}
    ),
    "not to be eligible": lambda: line(
        "ada",
        rp_id=RP.id,
        webauthn={
            "credential_id": "AAAA",
            "public_key": json.loads(own_key())["webauthn"]["public_key"],
            "backup_eligible": False,
            "backed_up": True,
        },
    ),
    "created_at is a time with its offset": lambda: key_line(created_at="2026-11-24T12:00:00"),
    "is longer than": lambda: key_line(name="x" * 70_000),
    "at most 512 characters": lambda: key_line(subject="x" * 513),
    "credentialData and secretData are JSON objects": lambda: line(
        "ada", rp_id=RP.id, keycloak={"type": "webauthn", "credentialData": "[]", "secretData": "{}"}
    ),
    "keycloak: ": lambda: line("ada", keycloak={"type": "password", "credentialData": "{}", "secretData": "{}"}),
    "attestationObject has no authData": lambda: line(  # as many zeros as the number says fit into no memory
        "ada",
        rp_id=RP.id,
        allauth={
            "type": "webauthn",
            "data": {
                "credential": {"response": {"attestationObject": base64url(b"\xa1\x68authData\x1b" + b"\x01" * 8)}}
            },
        },
    ),
    "nothing but zeros": lambda: totp_line(secret="A" * 32),
    "allauth: a member is missing": lambda: line("ada", rp_id=RP.id, allauth={"type": "webauthn", "data": {}}),
}


def own_key() -> str:
    """Return a line in our own words."""
    key = read_line(key_line(), SCHEMA, RP.id).factor
    own = {"credential_id": base64url(key.credential_id), "public_key": base64url(key.public_key)}  # type: ignore[union-attr]
    return line("ada", rp_id=RP.id, webauthn=own)


@pytest.mark.parametrize("said", FAULTS)
async def test_a_line_that_is_wrong_is_named_and_nothing_is_written(house: House, said: str) -> None:
    report = await imported(house, totp_line("bob"), "", FAULTS[said]())
    assert [fault.line for fault in report.faults] == [3]
    assert said in report.faults[0].problem
    assert await house.events(EventName.FACTOR_ENROLLED) == []


# E24
async def test_a_persons_secret_is_imported_once_and_twenty_factors_are_the_most(house: House) -> None:
    secret = pyotp.random_base32()
    assert problems(await imported(house, totp_line(secret=secret), totp_line("bob", secret=secret.lower()))) == [
        (2, "line 1 has the same credential or secret")
    ]
    assert (await imported(house, totp_line(secret=secret))).faults == ()
    assert problems(await imported(house, totp_line(secret=secret))) == [(1, "the person has this secret already")]
    # HMAC pads a key with zeros and hashes one that is longer than a block (RFC 2104 §2): other text, the same codes
    assert problems(await imported(house, totp_line(secret=secret + "A" * 16))) == [
        (1, "the person has this secret already")
    ]
    raw = secrets.token_bytes(100)
    long, short = (base64.b32encode(each).decode().rstrip("=") for each in (raw, hashlib.sha1(raw).digest()))  # noqa: S324
    assert pyotp.TOTP(long).at(0) == pyotp.TOTP(short).at(0)
    assert problems(await imported(house, totp_line("bob", secret=long), totp_line("bob", secret=short))) == [
        (2, "line 1 has the same credential or secret")
    ]
    many = await imported(house, *(totp_line() for _ in range(20)))
    assert problems(many) == [(20, "the person would have more than 20 factors")]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[House]]:
    """Two processes' worth of an app on one database."""
    async with (
        house_in(tmp_path) as one,
        house_in(tmp_path, store=SQLiteStore(tmp_path / "stepup.db", timeout=PATIENT)) as other,
    ):
        yield [one, other]


async def test_of_two_imports_at_once_that_bring_one_secret_one_is_done(nodes: list[House]) -> None:
    for number in range(5):
        bob, secret = f"bob-{number}", pyotp.random_base32()
        done = await asyncio.gather(*(imported(each, totp_line(bob, secret)) for each in nodes), return_exceptions=True)
        assert len(await nodes[0].stepup.factors.list(nodes[0].sign_in(bob))) == 1
        (lost,) = [each for each in done if not isinstance(each, ImportReport) or each.faults]
        assert (isinstance(lost, StoreError) and "run it again" in str(lost)) or (
            isinstance(lost, ImportReport) and problems(lost) == [(1, "the person has this secret already")]
        )


async def test_people_are_told_of_imported_factors_only_where_that_is_asked_for(house: House) -> None:
    await imported(house, key_line("ada"))
    await imported(house, key_line("bob"), notify=True)
    silent, told = await house.events(EventName.FACTOR_ENROLLED)
    assert (silent.topics, told.topics) == ((), (Topic.NOTICE,))


@pytest.mark.slow
@given(st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_whatever_stands_in_a_line_it_is_a_fault_or_a_factor_and_quotes_no_secret(noise: object) -> None:
    marker = "SECRETMARKER"
    texts = [
        noise.decode("latin-1") if isinstance(noise, bytes) else json.dumps(noise),
        json.dumps({"workspace": "w", "subject": "s", "totp": {"secret": marker, "digits": str(noise)}}),
        json.dumps({"workspace": "w", "subject": "s", "keycloak": {"type": "otp", "secretData": marker + str(noise)}}),
    ]
    for text in texts:
        with pytest.raises(ValueError) as fault:
            read_line(text, SCHEMA, RP.id)
        assert marker not in str(fault.value)


def test_the_published_schema_is_one_and_takes_what_is_imported() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for text in (key_line(), totp_line(), own_key()):
        assert list(Draft202012Validator(SCHEMA).iter_errors(json.loads(text))) == []


async def test_keycloaks_key_and_secret_step_up(house: House, tmp_path: Path) -> None:
    made = VirtualAuthenticator.passkey(synced=True)
    key = read_line(key_line(made=made), SCHEMA, RP.id).factor
    data = {
        "aaguid": "00000000-0000-0000-0000-000000000000",
        "credentialId": base64.b64encode(key.credential_id).decode(),  # type: ignore[union-attr]
        "counter": 0,
        "credentialPublicKey": base64url(key.public_key),  # type: ignore[union-attr]
        "attestationStatementFormat": "none",
        "transports": ["INTERNAL"],
    }
    passkey = {"type": "webauthn", "credentialData": json.dumps(data), "secretData": "{}"}
    otp = {
        "type": "otp",
        "credentialData": json.dumps({"subType": "totp", "digits": 8, "period": 60, "algorithm": "HmacSHA512"}),
        "secretData": json.dumps({"value": "a secret that is text itself"}),
    }
    report = await imported(house, line("ada", rp_id=RP.id, keycloak=passkey), line("ada", keycloak=otp))
    assert report.faults == ()
    ada = Browser(house, house.sign_in("ada"))
    listed = {each["kind"]: each for each in (await ada.send("GET", "/stepup/factors")).json()["factors"]}
    assert listed["passkey"]["synced"] is None
    ada.factors["passkey"] = Factor(listed["passkey"]["id"], "passkey", authenticator=made)
    assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
    app = pyotp.TOTP(
        base64.b32encode(b"a secret that is text itself").decode(),
        digits=8,
        interval=60,
        digest=ALGORITHMS["SHA512"],
    )
    prompt = await ada.prompt("POST", ROTATE)
    code = app.at(house.clock())
    assert (await ada.post(f"{prompt['prompt']['url']}/totp", json={"code": code})).status_code == 200
