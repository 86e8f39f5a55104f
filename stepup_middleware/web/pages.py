"""Renders the bundled templates from plain views of prompts, refusals and factors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stepup_middleware.asgi import header
from stepup_middleware.assets import asset_urls, by_hashed_name
from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.moments import iso
from stepup_middleware.core.providers import provider_of
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.core.visible import direction, visible, visible_lines
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.languages import SOURCE
from stepup_middleware.roots import quote_path

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context

    from stepup_middleware.core.factors import Factor, FactorKind
    from stepup_middleware.core.prompts import Prompt
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.core.refusals import Refusal
    from stepup_middleware.languages import Texts
    from stepup_middleware.service.stepup import StepUp


_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # nothing that a browser could read as another host


@cache
def _environment(folder: str | None) -> Environment:
    # loaded where an app is built, not by each module that tags a route
    from jinja2 import (
        ChoiceLoader,
        Environment,
        FileSystemLoader,
        PackageLoader,
        PrefixLoader,
        StrictUndefined,
        TemplateError,
        pass_context,
    )

    @pass_context
    def one(context: Context, text: str) -> str:
        return str(context["texts"].gettext(text))

    @pass_context
    def several(context: Context, singular: str, plural: str, number: int) -> str:
        return str(context["texts"].ngettext(singular, plural, number))

    bundled = PackageLoader("stepup_middleware.web")
    own = [] if folder is None else [FileSystemLoader(folder)]
    environment = Environment(
        loader=ChoiceLoader([*own, bundled, PrefixLoader({"stepup": bundled})]),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,  # the templates ship with the package: no request asks the disk for them
    )
    environment.filters.update(visible=visible, visible_lines=visible_lines, direction=direction)
    environment.install_gettext_callables(one, several, newstyle=True)  # type: ignore[attr-defined]
    names = set(bundled.list_templates())
    for name in own[0].list_templates() if own else ():
        if name not in names:
            raise ConfigurationError(f"templates: {name} is none of the library's: {', '.join(sorted(names))}")
    for name in names:
        try:
            environment.get_template(name)
        except TemplateError as error:
            raise ConfigurationError(f"templates: {name} cannot be read: {error}") from error
    return environment


def prepare(stepup: StepUp) -> None:
    """Load jinja2, compile the templates and read the assets, so that no request waits for the disk.

    A language's catalogue is read with its first request, beside the loop; English is ready.

    Raises ``ConfigurationError`` for a template of the app's that is none of ours, or that cannot be read.
    """
    _environment(stepup._templates)
    by_hashed_name()
    stepup.languages.texts(SOURCE)


def render(template: str, stepup: StepUp, base: str, texts: Texts, **context: Any) -> str:
    """Render a template in a language. ``base`` is the library's prefix after any root path."""
    return (
        _environment(stepup._templates)
        .get_template(template)
        .render(
            assets=asset_urls(base),
            rp_name=stepup.relying_party.name,
            home_url=stepup.home_url,
            help_url=stepup.help_url,
            texts=texts,
            texts_url=f"{base}/texts/{texts.tag}",
            **context,
        )
    )


def locale_of(scope: MutableMapping[str, Any], stepup: StepUp) -> str:
    """Return the language of a request, as a tag that a catalogue has."""
    return stepup._parts.identification.locale_of(scope)


def texts_of(scope: MutableMapping[str, Any], stepup: StepUp) -> Texts:
    """Return the texts of the language of a request."""
    return stepup.languages.texts(locale_of(scope, stepup))


def prompt_url(base: str, prompt: Prompt) -> str:
    """Return the URL of a prompt."""
    return f"{base}/prompts/{prompt.id}"


def prompt_view(
    prompt: Prompt,
    purpose: Purpose,
    base: str,
    texts: Texts,
    *,
    kinds: Sequence[FactorKind] | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """Return what the modal's template shows. ``kinds``: what the person can use now, if fewer than asked for."""
    return {
        "id": prompt.id,
        "url": prompt_url(base, prompt),
        "expires_at": iso(prompt.expires_at),
        "purpose_id": purpose.id,
        "authorize_title": prompt.title,
        "consequence": prompt.consequence,
        "details": prompt.details,
        "actor": prompt.actor,
        "client": prompt.client,
        "subject_name": prompt.subject_name or prompt.subject_id,
        "account": _account(prompt),
        "requirement": prompt.requirement.value,
        "factors": [{"kind": kind.value} for kind in (prompt.factor_kinds if kinds is None else kinds)],
        "error": error,
    }


def _account(prompt: Prompt) -> str:
    """Return a mark by which a page knows whether two prompts are the same person's: no id, and nothing to look anybody
    up by."""
    named = json.dumps([prompt.workspace_id, prompt.subject_id], ensure_ascii=True)
    return sha256(b"stepup-account\0" + named.encode()).hexdigest()[:16]


def problem_view(refusal: Refusal, stepup: StepUp, base: str, texts: Texts, back: str | None = None) -> dict[str, Any]:
    """Return what the templates of a problem show."""
    return {
        "code": refusal.code.value,
        "title": texts(refusal.heading),
        "detail": texts(refusal.wording),
        "status": refusal.status,
        "enroll_url": with_way_back(enroll_url(stepup, base), back) if refusal.enroll else None,
        "sign_in_url": sign_in_url(refusal, stepup, back),
        "help_url": stepup.help_url if refusal.enroll else None,
    }


def sign_in_url(refusal: Refusal, stepup: StepUp, back: str | None = None) -> str | None:
    """Return where a person without a session, or with one too old, signs in and comes back from."""
    if refusal.code is not RefusalCode.NOT_SIGNED_IN or stepup.sign_in_url is None:
        return None
    return with_way_back(stepup.sign_in_url, back)


def with_way_back(url: str, back: str | None) -> str:
    """Return a URL that is told, as ``next``, which path of the app to lead back to."""
    if back is None:
        return url
    return url + ("&" if "?" in url else "?") + urlencode({"next": back})


def own_path(path: str | None) -> str | None:
    """Return a path of the app to lead back to; None for all else, for a link must not lead anywhere else."""
    return path if path and _OWN_PATH.fullmatch(path) else None


def page_before(scope: Mapping[str, Any], stepup: StepUp) -> str | None:
    """Return the path of the page from which an action was asked for: the one in hand, or the one before a form."""
    if scope.get("method") in ("GET", "HEAD"):
        query = scope.get("query_string", b"").decode("latin-1")
        return own_path(quote_path(str(scope["path"])) + (f"?{query}" if query else ""))
    referer = (header(scope, b"referer") or b"").decode("latin-1")
    for origin in stepup.relying_party.origins:
        if referer.startswith(origin + "/"):
            return own_path(referer.removeprefix(origin))
    return None


def enroll_url(stepup: StepUp, base: str) -> str:
    """Return where factors are enrolled: the bundled page, unless the app has its own."""
    bundled = f"{stepup.prefix}/factors"
    return f"{base}/factors" if stepup.enroll_url == bundled else stepup.enroll_url


def factor_view(factor: Factor, texts: Texts) -> dict[str, Any]:
    """Return a factor as the wire format and the page have it."""
    return {
        "id": factor.id,
        "kind": factor.kind.value,
        "kind_label": texts(factor.kind.label),
        "name": factor.name,
        "created_at": iso(factor.created_at),
        "last_used_at": None if factor.last_used_at is None else iso(factor.last_used_at),
        "provider": None,
        "synced": None,
        **_webauthn_view(factor),
    }


def _webauthn_view(factor: Factor) -> dict[str, Any]:
    """Return who made a credential, None where the list has no name for it, and whether copies of it are kept.

    ``synced`` is True where it may be on several devices (WebAuthn L3 §6.1.3, backup eligibility), None if not known.
    """
    if not isinstance(factor, WebAuthnFactor):
        return {}
    return {"provider": provider_of(factor.aaguid) or None, "synced": factor.backup_eligible}


def qr_svg(text: str, *, scale: int = 4) -> str:
    """Return a QR code as SVG without style attributes, so that it shows under a strict policy.

    ``scale`` is the size of a module in pixels.
    """
    import segno  # takes 60 ms to load, and few requests draw a code

    svg: str = segno.make(text, error="m").svg_inline(
        scale=scale, border=4, dark="#000", light="#fff", svgclass="stepup-qr", omitsize=True
    )
    return svg
