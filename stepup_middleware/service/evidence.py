"""Evidence: what judges the bundle of one step-up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Report, verify_bundle

from .assertions import signature_holds


@cache
def evidence_schema() -> Mapping[str, Any]:
    """Return the published schema of the bundle, ``schemas/evidence-1.json``."""
    text = files("stepup_middleware").joinpath("schemas", "evidence-1.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def judge(bundle: object, trust: Trust) -> Report:
    """Judge an evidence bundle: see ``core.verification``."""
    return verify_bundle(bundle, trust, schema=evidence_schema(), signature_holds=signature_holds)
