"""The rules of the business: what the state of a row allows, whoever has proved whatever."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sqlite3
import zipfile
from collections.abc import Callable
from io import BytesIO

import pytest
from cryptography import x509

from demo_app.areas import developers, domains, equity, exports, identity, payroll, privacy
from demo_app.axis import Actor, Conflict
from demo_app.db import Database, Row
from demo_app.languages import Text
from demo_app.secrets_at_rest import Vault, token_hash
from demo_app.tables import csv_table
from stepup_middleware.testing import FixedClock

from .conftest import KEYS

Acting = Callable[[str], Actor]


async def one(database: Database, sql: str, *values: object) -> Row:
    row = await database.one(sql, *values)
    assert row is not None
    return row


async def test_a_run_is_transmitted_once_however_many_try_at_the_same_moment(
    database: Database, acting: Acting
) -> None:
    tries = [payroll.transmit_run(database, "2026-06", acting("owner")) for _ in range(8)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Text) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7


async def test_the_first_signer_cannot_cosign_their_own_grant(database: Database, acting: Acting) -> None:
    with pytest.raises(Conflict, match="You signed first"):
        await equity.cosign_grant(database, "G-1041", acting("owner"))
    assert (await one(database, "SELECT second_signer FROM equity_grant WHERE id = 'G-1041'"))[0] is None


async def test_a_grant_that_nobody_signed_first_cannot_be_cosigned(database: Database, acting: Acting) -> None:
    with pytest.raises(Conflict, match="Nobody has signed first"):
        await equity.cosign_grant(database, "G-1045", acting("owner"))


async def test_a_different_person_cosigns_once_and_the_document_is_kept(database: Database, acting: Acting) -> None:
    await equity.cosign_grant(database, "G-1041", acting("cosigner"), ("grant.pdf", b"%PDF-1.7 signed"))
    with pytest.raises(Conflict, match="Both signatures"):
        await equity.cosign_grant(database, "G-1041", acting("analyst"))
    row = await one(database, "SELECT second_signer, document_sha256 FROM equity_grant WHERE id = 'G-1041'")
    assert tuple(row) == ("cosigner", hashlib.sha256(b"%PDF-1.7 signed").hexdigest())


async def test_the_database_itself_refuses_the_same_signer_twice(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        async with database.write() as change:
            await change.run("UPDATE equity_grant SET second_signer = first_signer WHERE id = 'G-1041'")


async def test_an_erasure_needs_the_approval_of_a_second_person(database: Database, acting: Acting) -> None:
    with pytest.raises(Conflict, match="A second person must approve"):
        await privacy.finalize_erasure(database, "E-303", acting("owner"))
    with pytest.raises(Conflict, match="a person other than the one who requested it"):
        await privacy.approve_erasure(database, "E-303", acting("analyst"))
    await privacy.approve_erasure(database, "E-303", acting("cosigner"))
    await privacy.finalize_erasure(database, "E-303", acting("owner"))
    row = await one(database, "SELECT approved_by, finalized_by FROM erasure WHERE id = 'E-303'")
    assert tuple(row) == ("cosigner", "owner")


async def test_an_erasure_waits_for_the_end_of_cooling_off(
    database: Database, acting: Acting, clock: FixedClock
) -> None:
    with pytest.raises(Conflict, match="cooling-off"):
        await privacy.finalize_erasure(database, "E-304", acting("analyst"))
    clock.advance(24 * 86_400)
    await privacy.finalize_erasure(database, "E-304", acting("analyst"))


async def test_a_final_erasure_leaves_no_personal_data(database: Database, acting: Acting) -> None:
    await privacy.finalize_erasure(database, "E-301", acting("owner"))
    member = await one(
        database,
        "SELECT email, phone, address, birth_date,"
        " (SELECT count(*) FROM member_document WHERE member_id = member.id) FROM member WHERE id = 'member-0017'",
    )
    assert tuple(member) == (None, None, None, None, 0)
    with pytest.raises(Conflict, match="has been erased"):
        await privacy.finalize_erasure(database, "E-301", acting("cosigner"))


async def test_a_hold_stands_against_an_erasure_until_somebody_answers_for_overriding_it(
    database: Database, acting: Acting
) -> None:
    with pytest.raises(Conflict, match="hold stands"):
        await privacy.finalize_erasure(database, "E-302", acting("owner"))
    await privacy.override_hold(database, "H-1", "court-order", acting("owner"))
    await privacy.finalize_erasure(database, "E-302", acting("owner"))


async def test_a_hold_is_overridden_only_where_one_exists_and_only_for_a_known_reason(
    database: Database, acting: Acting
) -> None:
    with pytest.raises(Conflict, match="no hold to override"):
        await privacy.override_hold(database, "H-9", "released", acting("owner"))
    with pytest.raises(Conflict, match="Choose one of the reasons"):
        await privacy.override_hold(database, "H-1", "because", acting("owner"))
    await privacy.override_hold(database, "H-1", "released", acting("owner"))
    with pytest.raises(Conflict, match="no hold to override"):
        await privacy.override_hold(database, "H-1", "released", acting("owner"))


async def test_a_rotated_secret_signs_from_now_on_and_is_kept_as_ciphertext(database: Database, acting: Acting) -> None:
    vault = Vault(KEYS)
    _, secret = await developers.rotate_secret(database, vault, "W-1", acting("owner"))
    row = await one(database, "SELECT encrypted_secret, secret_version FROM webhook WHERE id = 'W-1'")
    assert row["secret_version"] == 2
    assert secret.encode() not in row["encrypted_secret"]
    assert vault.decrypt(row["encrypted_secret"]) == secret
    expected = hmac.new(secret.encode(), b'{"event":"test.delivery"}', hashlib.sha256).hexdigest()
    assert developers.sample_signature(secret) == expected


async def test_secrets_survive_a_new_first_key(database: Database, acting: Acting) -> None:
    _, secret = await developers.rotate_secret(database, Vault(KEYS), "W-1", acting("owner"))
    row = await one(database, "SELECT encrypted_secret FROM webhook WHERE id = 'W-1'")
    assert Vault(("n" * 48, *KEYS)).decrypt(row["encrypted_secret"]) == secret


async def test_a_scim_token_is_revoked_once_and_replaced_only_then(database: Database, acting: Acting) -> None:
    with pytest.raises(Conflict, match="is active"):
        await developers.issue_scim_token(database, acting("owner"))
    await developers.revoke_scim_token(database, "S-1", acting("owner"))
    with pytest.raises(Conflict, match="not active"):
        await developers.revoke_scim_token(database, "S-1", acting("owner"))
    token = await developers.issue_scim_token(database, acting("owner"))
    row = await one(database, "SELECT id, token_hash FROM scim_token WHERE revoked_at IS NULL")
    assert tuple(row) == ("S-2", token_hash(token))


@pytest.mark.parametrize("scope", ["read", "root"])
async def test_an_access_token_is_only_raised(scope: str, database: Database, acting: Acting) -> None:
    with pytest.raises(Conflict):
        await developers.elevate_token(database, "T-1", scope, acting("owner"))
    await developers.elevate_token(database, "T-1", "admin", acting("owner"))
    with pytest.raises(Conflict, match="already"):
        await developers.elevate_token(database, "T-1", "write", acting("owner"))


async def test_the_attestation_mode_is_only_tightened(database: Database, acting: Acting) -> None:
    await identity.tighten_attestation(database, "direct", acting("owner"))
    for mode in ("none", "indirect", "direct", "lenient"):
        with pytest.raises(Conflict):
            await identity.tighten_attestation(database, mode, acting("owner"))
    assert (await identity.settings(database))["attestation_mode"] == "direct"


async def test_a_deleted_provider_is_gone(database: Database, acting: Acting) -> None:
    await identity.delete_provider(database, "saml-staff", acting("owner"))
    assert await database.one("SELECT 1 FROM saml_provider WHERE id = 'saml-staff'") is None
    with pytest.raises(Conflict, match="does not exist"):
        await identity.delete_provider(database, "saml-staff", acting("owner"))


async def test_the_custom_domain_points_only_at_a_verified_hostname(database: Database, acting: Acting) -> None:
    for hostname in ("unknown.axis.example", "people.axis.example"):
        with pytest.raises(Conflict):
            await domains.change_domain(database, hostname, acting("owner"))
    await domains.change_domain(database, "work.axis.example", acting("owner"))
    assert (await identity.settings(database))["custom_domain"] == "work.axis.example"


async def test_an_issued_certificate_is_for_the_subdomain_and_is_issued_once(
    database: Database, acting: Acting, clock: FixedClock
) -> None:
    await domains.issue_branding(database, "careers", acting("owner"))
    row = await one(database, "SELECT certificate, serial FROM branding WHERE id = 'careers'")
    certificate = x509.load_pem_x509_certificate(row["certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["careers.axis.example"]
    assert certificate.not_valid_before_utc <= clock() < certificate.not_valid_after_utc
    assert f"{certificate.serial_number:x}" == row["serial"]
    with pytest.raises(Conflict, match="already"):
        await domains.issue_branding(database, "careers", acting("owner"))


async def test_a_bundle_has_every_row_and_counts_its_downloads(database: Database, acting: Acting) -> None:
    content = await exports.bundle(database, "X-2", acting("owner"))
    await exports.bundle(database, "X-2", acting("analyst"))
    with zipfile.ZipFile(BytesIO(content)) as archive:
        lines = archive.read("payments.csv").decode().splitlines()
    assert lines[0] == "run,employee,cents"
    assert len(lines) == 1 + 214 + 38 + 216
    row = await one(database, "SELECT downloads, downloaded_by FROM data_export WHERE id = 'X-2'")
    assert tuple(row) == (2, "analyst")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_table_is_run_as_a_formula(start: str) -> None:
    assert f"'{start}1+1" in csv_table(["a"], [[f"{start}1+1"]])


async def test_a_change_that_fails_leaves_nothing_behind(database: Database, acting: Acting) -> None:
    with pytest.raises(RuntimeError):
        async with database.write() as change:
            await change.run("UPDATE setting SET value = 'no' WHERE key = 'mfa_required'")
            raise RuntimeError
    assert (await identity.settings(database))["mfa_required"] == "yes"
    assert await database.all("SELECT * FROM activity") == []
