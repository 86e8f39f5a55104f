"""Writes the tags into an OpenAPI document: FastAPI's, or any other that one has as a dictionary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from stepup_middleware.inspection import routes_of
from stepup_middleware.request.context import Tag
from stepup_middleware.rules import Rule

__all__ = ["Documented", "describe", "document_step_up"]

_CONVERTER = re.compile(r"\{([^}:]+):[^}]*\}")
_ANSWERS = {
    "401": "A proof is missing or expired: `STEPUP_REQUIRED`, `STEPUP_TOKEN_EXPIRED`, `STEPUP_NOT_SIGNED_IN`.",
    "403": "The proof does not count: `STEPUP_FACTOR_INSUFFICIENT`, `STEPUP_TOKEN_REUSED`, `STEPUP_IP_MISMATCH`.",
    "503": "Nothing could be decided, and nothing has run: `STEPUP_UNAVAILABLE`.",
}
_PROBLEM = {
    "title": "StepUpProblem",
    "description": "A refusal, as problem details (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "requirement": {"type": "string", "enum": ["any", "phishing_resistant"]},
        "prompt": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "url": {"type": "string"},
                "expires_at": {"type": "string", "format": "date-time"},
            },
        },
        "enroll_url": {"type": "string"},
    },
}


class Documented(Protocol):
    """An app that makes its OpenAPI document: FastAPI."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""


def document_step_up(app: Documented, *, rules: Iterable[Rule] = ()) -> None:
    """Let a FastAPI app's document show its tags, and those of ``rules``.

    Each tagged operation gets ``x-stepup-purpose``, the header ``StepUp-Token`` and the answers 401, 403 and 503.
    """
    plain = app.openapi
    given = tuple(rules)

    def openapi() -> dict[str, Any]:
        document = plain()
        describe(document, app, rules=given)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI says to


def describe(document: dict[str, Any], app: Any, *, rules: Iterable[Rule] = ()) -> None:
    """Write the tags of an app into an OpenAPI document in place. Safe to repeat."""
    tags = [(route.path, route.methods, route.tag) for route in routes_of(app)]
    tags += [(rule.path, rule.methods, rule.tag) for rule in rules]
    for path, methods, tag in tags:
        item = document.get("paths", {}).get(_CONVERTER.sub(r"{\1}", path), {})
        for method, operation in item.items():
            if tag is not None and (method.upper() in methods or "*" in methods):
                _describe(operation, tag)
                document.setdefault("components", {}).setdefault("schemas", {})["StepUpProblem"] = _PROBLEM


def _describe(operation: dict[str, Any], tag: Tag) -> None:
    operation["x-stepup-purpose"] = tag.purpose
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/StepUpProblem"}}}
    for status, description in _ANSWERS.items():
        operation.setdefault("responses", {}).setdefault(status, {"description": description, "content": problem})
    parameters = operation.setdefault("parameters", [])
    if not any(each.get("name") == "StepUp-Token" for each in parameters):
        parameters.append(
            {
                "name": "StepUp-Token",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "The token of a passed step-up. It authorizes this one request, once.",
            }
        )
