"""Developers: webhook secrets, personal access tokens, and the SCIM bearer token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.accounts import SCOPES
from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database, Row
from demo_app.languages import Text, Texts, said_in, saying, texts_of
from demo_app.pages import fragment, page, say_and_show, wants_fragment
from demo_app.secrets_at_rest import Vault, new_token, token_hash
from stepup_middleware import requires_step_up

_SAMPLE = b'{"event":"test.delivery"}'
_TOKENS = (
    "SELECT access_token.id, access_token.name, prefix, scope, created_at, account.name AS owner"
    " FROM access_token JOIN account ON account.id = account_id WHERE ? IN ('', access_token.id)"
    " ORDER BY access_token.id"
)
_SCIM = (
    "SELECT scim_token.*, account.name AS revoker FROM scim_token LEFT JOIN account ON account.id = revoked_by"
    " WHERE ? IN ('', scim_token.id) ORDER BY created_at DESC, scim_token.id DESC"
)


async def rotate_secret(database: Database, vault: Vault, webhook_id: str, actor: Actor) -> tuple[Text, str]:
    """Give a webhook a new HMAC secret. Return what was done and the secret, which is shown once."""
    secret = new_token("whsec")
    async with database.write() as change:
        row = await change.one(
            "UPDATE webhook SET encrypted_secret = ?, secret_version = secret_version + 1, rotated_at = ?"
            " WHERE id = ? RETURNING url, secret_version",
            vault.encrypt(secret),
            actor.at.isoformat(),
            webhook_id,
        )
        if row is None:
            raise Conflict(saying("There is no such webhook. No secret was changed."))
        sentence = saying(
            "Secret of %(url)s rotated to version %(version)s.", url=row["url"], version=row["secret_version"]
        )
        await actor.note(change, sentence)
    return sentence, secret


async def revoke_scim_token(database: Database, token_id: str, actor: Actor) -> Text:
    """Revoke a SCIM token for good. Raises ``Conflict`` when it is not the active one."""
    async with database.write() as change:
        revoked = await change.run(
            "UPDATE scim_token SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL",
            actor.at.isoformat(),
            actor.account_id,
            token_id,
        )
        if not revoked:
            raise Conflict(saying("This token is not active any more. Nothing was changed."))
        sentence = saying(
            "SCIM token %(token)s revoked: the directory cannot provision people until it has a new one.",
            token=token_id,
        )
        await actor.note(change, sentence)
    return sentence


async def issue_scim_token(database: Database, actor: Actor) -> str:
    """Issue a SCIM token and return it. Raises ``Conflict`` while another is active."""
    token = new_token("scim")
    async with database.write() as change:
        issued = await change.one(
            "INSERT INTO scim_token (id, prefix, token_hash, created_at)"
            " SELECT 'S-' || (1 + count(*)), ?, ?, ? FROM scim_token"
            " HAVING count(*) = count(revoked_at) RETURNING id",
            token[:10],
            token_hash(token),
            actor.at.isoformat(),
        )
        if issued is None:
            raise Conflict(saying("A SCIM token is active. Revoke it before you issue another."))
        await actor.note(change, saying("SCIM token %(token)s issued.", token=issued["id"]))
    return token


async def elevate_token(database: Database, token_id: str, scope: str, actor: Actor) -> Text:
    """Raise an access token's scope. Raises ``Conflict`` when the new scope is not above the present one."""
    async with database.write() as change:
        row = await change.one("SELECT name, scope FROM access_token WHERE id = ?", token_id)
        if row is None or scope not in SCOPES:
            raise Conflict(saying("There is no such token or scope. Nothing was changed."))
        if SCOPES.index(scope) <= SCOPES.index(row["scope"]):
            raise Conflict(
                saying(
                    "%(name)s has the scope %(scope)s already. Nothing was changed.",
                    name=row["name"],
                    scope=row["scope"],
                )
            )
        await change.run("UPDATE access_token SET scope = ? WHERE id = ?", scope, token_id)
        sentence = saying(
            "Access token %(name)s raised from %(old)s to %(new)s.", name=row["name"], old=row["scope"], new=scope
        )
        await actor.note(change, sentence)
    return sentence


async def lower_token(database: Database, token_id: str, actor: Actor) -> Text:
    """Set an access token back to read-only, which needs no proof."""
    async with database.write() as change:
        row = await change.one("UPDATE access_token SET scope = 'read' WHERE id = ? RETURNING name", token_id)
        if row is None:
            raise Conflict(saying("There is no such token. Nothing was changed."))
        sentence = saying("Access token %(name)s is read-only again.", name=row["name"])
        await actor.note(change, sentence)
    return sentence


def sample_signature(secret: str) -> str:
    """Return the signature that the webhook's receiver sees on a test delivery."""
    return hmac.new(secret.encode(), _SAMPLE, hashlib.sha256).hexdigest()


async def _one(scope: Scope, query: str, row_id: str) -> Row:
    row = await axis_of(scope).database.one(query, row_id)
    if row is None:
        raise HTTPException(404, NOT_THERE)
    return row


_WEBHOOKS = "SELECT * FROM webhook WHERE ? IN ('', id) ORDER BY id"


async def webhook_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a webhook: where it delivers, which secret is replaced."""
    return webhook_shown(await _one(scope, _WEBHOOKS, scope["path_params"]["webhook"]), texts_of(scope))


async def webhook_of(database: Database, webhook_id: str) -> Row | None:
    """Return a webhook, or None where there is no such one."""
    return await database.one("SELECT * FROM webhook WHERE id = ?", webhook_id)


def webhook_shown(row: Row, _: Texts) -> list[tuple[str, str]]:
    """Return what a person is shown of a webhook whose secret is to be rotated."""
    replaced = _("version %(version)s is replaced", version=row["secret_version"])
    return [(_("Webhook"), row["url"]), (_("Events"), row["events"]), (_("Secret"), replaced)]


async def scim_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a SCIM token."""
    row = await _one(scope, _SCIM, scope["path_params"]["token"])
    _ = texts = texts_of(scope)
    return [(_("Token"), f"{row['id']}, {row['prefix']}…"), (_("Issued"), texts.day(row["created_at"]))]


async def token_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an access token: whose it is, from which scope to which."""
    row = await _one(scope, _TOKENS, scope["path_params"]["token"])
    _ = texts_of(scope)
    return [
        (_("Token"), f"{row['name']}, {row['prefix']}…"),
        (_("Owner"), row["owner"]),
        (_("Scope now"), row["scope"]),
        (_("New scope"), scope["path_params"]["scope"]),
    ]


async def overview(request: Request) -> Response:
    """Show webhooks, access tokens and the SCIM token."""
    await current(request)
    return await _overview(request)


async def _overview(
    request: Request, *, issued: str | None = None, shown: Mapping[str, Mapping[str, str | None]] = MappingProxyType({})
) -> Response:
    database = axis_of(request.scope).database
    return await page(
        request,
        "developers.html",
        webhooks=await database.all(_WEBHOOKS, ""),
        tokens=await database.all(_TOKENS, ""),
        scim_tokens=await database.all(_SCIM, ""),
        scopes=SCOPES,
        issued=issued,
        shown=shown,
    )


@requires_step_up("webhook_secret_rotation", details=webhook_details)
async def rotate(request: Request) -> Response:
    """Rotate a webhook's secret and answer with its card, which shows the new secret this once."""
    axis, webhook_id = axis_of(request.scope), request.path_params["webhook"]
    try:
        said, secret = await rotate_secret(axis.database, axis.vault, webhook_id, await actor_of(request))
    except Conflict as conflict:
        raise HTTPException(404, conflict.reason.message) from conflict
    return await _webhook(request, webhook_id, said=said_in(texts_of(request.scope), said), secret=secret)


async def test_delivery(request: Request) -> Response:
    """Sign a test delivery with the kept secret, so that the receiver can compare."""
    await current(request)
    axis, webhook_id = axis_of(request.scope), request.path_params["webhook"]
    webhook = await _one(request.scope, _WEBHOOKS, webhook_id)
    signature = sample_signature(axis.vault.decrypt(webhook["encrypted_secret"]))
    return await _webhook(request, webhook_id, signature=signature)


async def _webhook(
    request: Request,
    webhook_id: str,
    *,
    said: str | None = None,
    secret: str | None = None,
    signature: str | None = None,
) -> Response:
    """Answer with a webhook's card, or with the whole page, and what is shown this once: never after a redirect."""
    webhook = await _one(request.scope, _WEBHOOKS, webhook_id)
    if not wants_fragment(request):
        shown = {"said": said, "secret": secret, "signature": signature}
        return await _overview(request, shown={webhook_id: shown})
    return fragment(request, "developers_webhook.html", webhook=webhook, said=said, secret=secret, signature=signature)


@requires_step_up("scim_token_revocation", details=scim_details)
async def revoke(request: Request) -> Response:
    """Revoke the SCIM token; asked for by ``fetch`` and answered in JSON, or by a plain form."""
    database = axis_of(request.scope).database
    try:
        said = await revoke_scim_token(database, request.path_params["token"], await actor_of(request))
    except Conflict as conflict:
        return _changed(request, conflict)
    return _changed(request, said)


async def issue(request: Request) -> Response:
    """Issue a SCIM token and show it once, on the page that is the answer."""
    try:
        token = await issue_scim_token(axis_of(request.scope).database, await actor_of(request))
    except Conflict as conflict:
        return say_and_show(request, conflict.reason, "/developers")
    return await _overview(request, issued=token)


@requires_step_up("personal_access_token_elevation", details=token_details)
async def elevate(request: Request) -> Response:
    """Raise an access token's scope; asked for by ``fetch`` and answered in JSON, or by a plain form."""
    database, wanted = axis_of(request.scope).database, request.path_params
    try:
        said = await elevate_token(database, wanted["token"], wanted["scope"], await actor_of(request))
    except Conflict as conflict:
        return _changed(request, conflict)
    return _changed(request, said)


def _changed(request: Request, outcome: Text | Conflict) -> Response:
    """Answer a script in JSON, after which it loads the page anew, and a plain form (POST) with the page."""
    problem = isinstance(outcome, Conflict)
    said = said_in(texts_of(request.scope), outcome.reason if isinstance(outcome, Conflict) else outcome)
    if request.method == "POST":
        request.session["trouble" if problem else "said"] = said
        return RedirectResponse("/developers", status_code=303)
    if problem:
        return JSONResponse({"detail": said}, status_code=409)
    request.session["said"] = said
    return JSONResponse({"said": said})


async def lower(request: Request) -> Response:
    """Set an access token back to read-only."""
    try:
        said = await lower_token(axis_of(request.scope).database, request.path_params["token"], await actor_of(request))
    except Conflict as conflict:
        said = conflict.reason
    return say_and_show(request, said, "/developers")


routes = [
    Route("/developers", overview),
    Route("/developers/webhooks/{webhook}/rotate", rotate, methods=["POST"]),
    Route("/developers/webhooks/{webhook}/test", test_delivery, methods=["POST"]),
    Route("/developers/scim", issue, methods=["POST"]),
    Route("/developers/scim/{token}", revoke, methods=["DELETE", "POST"]),
    Route("/developers/tokens/{token}/scope/{scope}", elevate, methods=["PUT", "POST"]),
    Route("/developers/tokens/{token}/lower", lower, methods=["POST"]),
]
