"""Identity: SAML providers, the MFA policy, the network allowlist, and the attestation mode."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database, Row
from demo_app.languages import Text, marked, saying, texts_of
from demo_app.pages import done, page
from stepup_middleware import requires_step_up

# WebAuthn L3 §5.4.7, attestation conveyance, loosest first; each with what it asks of a new key.
ATTESTATION_MODES = (
    ("none", marked("Any key may enrol. Its maker is not asked for.")),
    ("indirect", marked("A key names its maker, through an anonymising service where there is one.")),
    ("direct", marked("A key names its maker itself, and keys without a known maker are refused.")),
    ("enterprise", marked("Only keys that this organisation has issued may enrol.")),
)
_MODES = tuple(mode for mode, _ in ATTESTATION_MODES)
_ON_OR_OFF = {"yes": marked("On"), "on": marked("On"), "no": marked("Off"), "off": marked("Off")}


async def delete_provider(database: Database, provider_id: str, actor: Actor) -> Text:
    """Delete a SAML provider. Raises ``Conflict`` where it does not exist any more."""
    async with database.write() as change:
        row = await change.one("DELETE FROM saml_provider WHERE id = ? RETURNING name, people", provider_id)
        if row is None:
            raise Conflict(saying("This provider does not exist any more. Nothing was deleted."))
        sentence = saying(
            "SAML provider %(name)s deleted. People who sign in with a password from now on: %(number)s.",
            name=row["name"],
            number=row["people"],
        )
        await actor.note(change, sentence)
    return sentence


async def switch(database: Database, key: str, old: str, new: str, sentence: Text, actor: Actor) -> Text:
    """Set a setting from one value to another. Raises ``Conflict`` when it has not the old value."""
    async with database.write() as change:
        if not await change.run("UPDATE setting SET value = ? WHERE key = ? AND value = ?", new, key, old):
            raise Conflict(saying("This setting was changed in the meantime. Nothing was changed again."))
        await actor.note(change, sentence)
    return sentence


async def tighten_attestation(database: Database, mode: str, actor: Actor) -> Text:
    """Set a stricter attestation mode. Raises ``Conflict`` for an unknown one and for one not stricter."""
    if mode not in _MODES:
        raise Conflict(saying("There is no such attestation mode. Nothing was changed."))
    looser = _MODES[: _MODES.index(mode)]
    async with database.write() as change:
        row = await change.one("SELECT value FROM setting WHERE key = 'attestation_mode'")
        if row is None or row["value"] not in looser:
            raise Conflict(
                saying(
                    "%(mode)s is not stricter than the present mode. It can only be tightened.", mode=mode.capitalize()
                )
            )
        await change.run("UPDATE setting SET value = ? WHERE key = 'attestation_mode'", mode)
        sentence = saying(
            "Attestation mode tightened from %(old)s to %(new)s: it holds for keys enrolled from now on.",
            old=row["value"],
            new=mode,
        )
        await actor.note(change, sentence)
    return sentence


async def settings(database: Database) -> dict[str, str]:
    """Return the workspace's settings by key."""
    return {row["key"]: row["value"] for row in await database.all("SELECT key, value FROM setting")}


async def _provider(database: Database, provider_id: str) -> Row:
    row = await database.one("SELECT * FROM saml_provider WHERE id = ?", provider_id)
    if row is None:
        raise HTTPException(404, NOT_THERE)
    return row


async def provider_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a provider: which, and how many people sign in with it."""
    row = await _provider(axis_of(scope).database, scope["path_params"]["provider"])
    _ = texts = texts_of(scope)
    return [
        (_("Provider"), row["name"]),
        (_("Entity"), row["entity_id"]),
        (_("People who use it"), texts.number(row["people"])),
    ]


async def mfa_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for the MFA policy: what it is now and for how many people."""
    database = axis_of(scope).database
    people = await database.one("SELECT count(*) AS number FROM employee")
    now = (await settings(database))["mfa_required"]
    _ = texts = texts_of(scope)
    number = texts.number(people["number"] if people else 0)
    return [(_("Require MFA now"), _(_ON_OR_OFF[now])), (_("People affected"), number)]


async def network_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for the allowlist: what it is now and which networks it names."""
    database = axis_of(scope).database
    ranges = [row["cidr"] for row in await database.all("SELECT cidr FROM network_range ORDER BY cidr")]
    now = (await settings(database))["network_allowlist"]
    _ = texts_of(scope)
    return [(_("Allowlist now"), _(_ON_OR_OFF[now])), (_("Networks"), ", ".join(ranges))]


async def attestation_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for the attestation mode: from which to which."""
    now, mode = (await settings(axis_of(scope).database))["attestation_mode"], scope["path_params"]["mode"]
    if mode not in _MODES:
        raise HTTPException(404, NOT_THERE)
    _ = texts_of(scope)
    return [(_("Mode now"), now), (_("New mode"), mode)]


async def _context(request: Request) -> dict[str, Any]:
    await current(request)
    database = axis_of(request.scope).database
    values = await settings(database)
    return {
        "providers": await database.all("SELECT * FROM saml_provider ORDER BY name"),
        "ranges": await database.all("SELECT * FROM network_range ORDER BY label, cidr"),
        "settings": values,
        "modes": ATTESTATION_MODES,
        "mode_place": _MODES.index(values["attestation_mode"]),
    }


async def _panel(request: Request, name: str, outcome: Text | Conflict) -> Response:
    return done(request, name, "/identity", outcome, **await _context(request))


async def overview(request: Request) -> Response:
    """Show the four panels."""
    return await page(request, "identity.html", **await _context(request))


@requires_step_up("saml_provider_deletion", details=provider_details)
async def delete(request: Request) -> Response:
    """Delete a provider and answer with the panel of providers."""
    try:
        said = await delete_provider(
            axis_of(request.scope).database, request.path_params["provider"], await actor_of(request)
        )
    except Conflict as conflict:
        return await _panel(request, "identity_saml.html", conflict)
    return await _panel(request, "identity_saml.html", said)


async def _switch(request: Request, panel: str, key: str, old: str, new: str, sentence: Text) -> Response:
    actor = await actor_of(request)
    try:
        said = await switch(axis_of(request.scope).database, key, old, new, sentence, actor)
    except Conflict as conflict:
        return await _panel(request, panel, conflict)
    return await _panel(request, panel, said)


@requires_step_up("mfa_policy_disable", details=mfa_details)
async def disable_mfa(request: Request) -> Response:
    """Turn Require MFA off and answer with its panel."""
    sentence = saying("Require MFA turned off: people may sign in with a password alone.")
    return await _switch(request, "identity_mfa.html", "mfa_required", "yes", "no", sentence)


async def enable_mfa(request: Request) -> Response:
    """Turn Require MFA on, which needs no proof."""
    sentence = saying("Require MFA turned on.")
    return await _switch(request, "identity_mfa.html", "mfa_required", "no", "yes", sentence)


@requires_step_up("network_policy_disable", details=network_details)
async def disable_network(request: Request) -> Response:
    """Disable the network allowlist and answer with its panel."""
    sentence = saying("Network allowlist disabled: people may sign in from any network.")
    return await _switch(request, "identity_network.html", "network_allowlist", "on", "off", sentence)


async def enable_network(request: Request) -> Response:
    """Enable the network allowlist, which needs no proof."""
    sentence = saying("Network allowlist enabled.")
    return await _switch(request, "identity_network.html", "network_allowlist", "off", "on", sentence)


@requires_step_up("attestation_policy_tighten", details=attestation_details)
async def tighten(request: Request) -> Response:
    """Tighten the attestation mode and answer with its panel."""
    try:
        said = await tighten_attestation(
            axis_of(request.scope).database, request.path_params["mode"], await actor_of(request)
        )
    except Conflict as conflict:
        return await _panel(request, "identity_attestation.html", conflict)
    return await _panel(request, "identity_attestation.html", said)


routes = [
    Route("/identity", overview),
    Route("/identity/saml/{provider}", delete, methods=["DELETE", "POST"]),
    Route("/identity/mfa/disable", disable_mfa, methods=["POST"]),
    Route("/identity/mfa/enable", enable_mfa, methods=["POST"]),
    Route("/identity/network/disable", disable_network, methods=["POST"]),
    Route("/identity/network/enable", enable_network, methods=["POST"]),
    Route("/identity/attestation/{mode}", tighten, methods=["PUT", "POST"]),
]
