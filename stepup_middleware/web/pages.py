"""Renders the bundled templates from plain views of prompts, refusals and factors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from stepup_middleware import roots
from stepup_middleware.assets import asset_urls, by_hashed_name
from stepup_middleware.core.moments import iso
from stepup_middleware.core.visible import visible, visible_lines

if TYPE_CHECKING:
    from jinja2 import Environment

    from stepup_middleware.core.factors import Factor, FactorKind
    from stepup_middleware.core.prompts import Prompt
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.core.refusals import Refusal
    from stepup_middleware.service.stepup import StepUp


@cache
def _environment() -> Environment:
    # loaded where an app is built, not by each module that tags a route
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("stepup_middleware.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,  # the templates ship with the package: no request asks the disk for them
    )
    environment.filters.update(visible=visible, visible_lines=visible_lines)
    return environment


def prepare() -> None:
    """Load jinja2, compile the templates and read the assets, so that no request waits for the disk."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)
    by_hashed_name()


def render(template: str, stepup: StepUp, base: str, **context: Any) -> str:
    """Render a template. ``base`` is the library's prefix after any root path."""
    return (
        _environment()
        .get_template(template)
        .render(assets=asset_urls(base), rp_name=stepup.relying_party.name, home_url=stepup.home_url, **context)
    )


def prompt_url(base: str, prompt: Prompt) -> str:
    """Return the URL of a prompt."""
    return f"{base}/prompts/{prompt.id}"


def prompt_view(
    prompt: Prompt, purpose: Purpose, base: str, *, kinds: Sequence[FactorKind] | None = None, error: str | None = None
) -> dict[str, Any]:
    """Return what the modal's template shows. ``kinds``: what the person can use now, if fewer than asked for."""
    return {
        "id": prompt.id,
        "url": prompt_url(base, prompt),
        "expires_at": iso(prompt.expires_at),
        "purpose_id": purpose.id,
        "authorize_title": purpose.authorize_title,
        "consequence": purpose.consequence,
        "details": prompt.details,
        "subject_name": prompt.subject_name or prompt.subject_id,
        "account": _account(prompt),
        "requirement": prompt.requirement.value,
        "factors": [
            {"kind": kind.value, "label": kind.label} for kind in (prompt.factor_kinds if kinds is None else kinds)
        ],
        "error": error,
    }


def _account(prompt: Prompt) -> str:
    """Return a mark by which a page knows whether two prompts are the same person's: no id, and nothing to look anybody
    up by."""
    named = json.dumps([prompt.workspace_id, prompt.subject_id], ensure_ascii=True)
    return sha256(b"stepup-account\0" + named.encode()).hexdigest()[:16]


def purpose_view(purpose: Purpose) -> dict[str, Any]:
    """Return a purpose as the wire format has it."""
    view: dict[str, Any] = {
        "id": purpose.id,
        "title": purpose.title,
        "authorize_title": purpose.authorize_title,
        "consequence": purpose.consequence,
    }
    if purpose.deprecated is not None:
        view["deprecated"] = {"on": purpose.deprecated.on.isoformat(), "text": purpose.deprecated.text}
    return view


def problem_view(refusal: Refusal, stepup: StepUp, base: str) -> dict[str, Any]:
    """Return what the templates of a problem show."""
    return {
        "code": refusal.code.value,
        "title": refusal.code.heading,
        "detail": refusal.sentence,
        "status": refusal.status,
        "enroll_url": enroll_url(stepup, base) if refusal.enroll else None,
    }


def enroll_url(stepup: StepUp, base: str) -> str:
    """Return where factors are enrolled: the bundled page, unless the app has its own."""
    bundled = f"{stepup.prefix}/factors"
    return f"{base}/factors" if stepup.enroll_url == bundled else stepup.enroll_url


def factor_view(factor: Factor) -> dict[str, Any]:
    """Return a factor as the wire format and the page have it."""
    return {
        "id": factor.id,
        "kind": factor.kind.value,
        "kind_label": factor.kind.label,
        "name": factor.name,
        "created_at": iso(factor.created_at),
        "last_used_at": None if factor.last_used_at is None else iso(factor.last_used_at),
    }


def base_of(scope: Mapping[str, Any], stepup: StepUp) -> str:
    """Return the library's prefix as a browser must write it: after the app's root path."""
    return roots.base_of(scope, stepup.prefix)


def qr_svg(text: str, *, scale: int = 4) -> str:
    """Return a QR code as SVG without style attributes, so that it shows under a strict policy.

    ``scale`` is the size of a module in pixels.
    """
    import segno  # takes 60 ms to load, and few requests draw a code

    svg: str = segno.make(text, error="m").svg_inline(
        scale=scale, border=4, dark="#000", light="#fff", svgclass="stepup-qr", omitsize=True
    )
    return svg
