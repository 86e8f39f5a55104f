"""Domains: where the workspace's own domain points, and certificates for branded subdomains."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.certificates import issue_certificate
from demo_app.db import Database, Row
from demo_app.languages import Text, marked, said_in, saying, texts_of
from demo_app.pages import done, download, page, say_and_show
from stepup_middleware import requires_step_up

EDGE = "edge.axis.example"  # where branded subdomains point
_BRANDINGS = (
    "SELECT branding.*, account.name AS issuer FROM branding LEFT JOIN account ON account.id = issued_by"
    " WHERE ? IN ('', branding.id) ORDER BY subdomain"
)


async def change_domain(database: Database, hostname: str, actor: Actor) -> Text:
    """Point the workspace's custom domain at another verified hostname.

    Raises ``Conflict`` for a hostname that is not verified or in use already.
    """
    async with database.write() as change:
        verified = await change.one(
            "SELECT hostname FROM domain WHERE hostname = ? AND verified_at IS NOT NULL", hostname
        )
        if verified is None:
            raise Conflict(saying("%(domain)s is not verified. The domain was left as it was.", domain=hostname))
        if not await change.run(
            "UPDATE setting SET value = ? WHERE key = 'custom_domain' AND value <> ?", hostname, hostname
        ):
            raise Conflict(saying("The workspace uses %(domain)s already. Nothing was changed.", domain=hostname))
        sentence = saying("Custom domain changed: the workspace now answers at %(domain)s.", domain=hostname)
        await actor.note(change, sentence)
    return sentence


async def issue_branding(database: Database, branding_id: str, actor: Actor) -> Text:
    """Issue the CNAME record and the certificate of a branded subdomain.

    Raises ``Conflict`` when it has a certificate already.
    """
    async with database.write() as change:
        row = await change.one("SELECT subdomain FROM branding WHERE id = ? AND certificate IS NULL", branding_id)
        if row is None:
            raise Conflict(saying("This subdomain has a certificate already. No other was issued."))
        issued = issue_certificate(row["subdomain"], now=actor.at)
        await change.run(
            "UPDATE branding SET issued_at = ?, issued_by = ?, serial = ?, expires_at = ?, fingerprint = ?,"
            " certificate = ? WHERE id = ?",
            actor.at.isoformat(),
            actor.account_id,
            issued.serial,
            issued.expires_at.isoformat(),
            issued.fingerprint,
            issued.pem,
            branding_id,
        )
        sentence = saying("Certificate issued for %(domain)s, CNAME %(edge)s.", domain=row["subdomain"], edge=EDGE)
        await actor.note(change, sentence)
    return sentence


async def _custom_domain(database: Database) -> str:
    row = await database.one("SELECT value FROM setting WHERE key = 'custom_domain'")
    return str(row["value"]) if row is not None else ""


async def _branding(database: Database, branding_id: str) -> Row:
    row = await database.one(_BRANDINGS, branding_id)
    if row is None:
        raise HTTPException(404, NOT_THERE)
    return row


async def domain_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for the custom domain: from which hostname to which."""
    database, hostname = axis_of(scope).database, scope["path_params"]["hostname"]
    if await database.one("SELECT hostname FROM domain WHERE hostname = ?", hostname) is None:
        raise HTTPException(404, NOT_THERE)
    _ = texts_of(scope)
    return [(_("Domain now"), await _custom_domain(database)), (_("New domain"), hostname)]


async def branding_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a branded subdomain."""
    row = await _branding(axis_of(scope).database, scope["path_params"]["branding"])
    _ = texts_of(scope)
    return [(_("Subdomain"), row["subdomain"]), (_("Site"), row["site"]), ("CNAME", EDGE)]


async def overview(request: Request) -> Response:
    """Show the custom domain and the branded subdomains."""
    return await _overview(request)


async def _overview(request: Request, conflict: Conflict | None = None) -> Response:
    await current(request)
    database = axis_of(request.scope).database
    return await page(
        request,
        "domains.html",
        status=409 if conflict else 200,
        problem=None if conflict is None else said_in(texts_of(request.scope), conflict.reason),
        custom_domain=await _custom_domain(database),
        domains=await database.all("SELECT * FROM domain ORDER BY hostname"),
        brandings=await database.all(_BRANDINGS, ""),
        edge=EDGE,
    )


@requires_step_up("custom_domain_change", details=domain_details)
async def point(request: Request) -> Response:
    """Change the custom domain; a plain form that ends in a redirect."""
    actor = await actor_of(request)
    try:
        said = await change_domain(axis_of(request.scope).database, request.path_params["hostname"], actor)
    except Conflict as conflict:
        return await _overview(request, conflict)
    return say_and_show(request, said, "/domains")


@requires_step_up("branding_domain_cname", details=branding_details)
async def issue(request: Request) -> Response:
    """Issue a subdomain's certificate and answer with its card."""
    database, branding_id = axis_of(request.scope).database, request.path_params["branding"]
    outcome: Text | Conflict
    try:
        outcome = await issue_branding(database, branding_id, await actor_of(request))
    except Conflict as conflict:
        outcome = conflict
    branding = await _branding(database, branding_id)
    return done(request, "domains_branding.html", "/domains", outcome, branding=branding, edge=EDGE)


async def certificate(request: Request) -> Response:
    """Download the certificate of a branded subdomain."""
    await current(request)
    branding = await _branding(axis_of(request.scope).database, request.path_params["branding"])
    if branding["certificate"] is None:
        raise HTTPException(404, marked("No certificate has been issued for this subdomain."))
    return download(branding["certificate"].encode(), f"{branding['subdomain']}.pem", "application/x-pem-file")


routes = [
    Route("/domains", overview),
    Route("/domains/custom/{hostname}", point, methods=["POST"]),
    Route("/domains/branding/{branding}/certificate", issue, methods=["POST"]),
    Route("/domains/branding/{branding}/certificate.pem", certificate),
]
