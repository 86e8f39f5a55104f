"""Step-up authentication for any ASGI app.

A tagged route runs only with a fresh, single-use proof that is bound to its purpose, the person, the
session, the address and the very request. See the README for the first five minutes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import PLATFORM_PURPOSES, Deprecation, Purpose
from stepup_middleware.core.refusals import StepUpRequired
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.core.subject import EndedSession, Subject
from stepup_middleware.errors import (
    CeremonyError,
    ConfigurationError,
    NotPermitted,
    PolicyError,
    StepUpError,
    StoreError,
    StoreTimeoutError,
    TooManyFollowers,
)
from stepup_middleware.gate import RequireStepUp, require_step_up, requires_step_up
from stepup_middleware.middleware import StepUpMiddleware
from stepup_middleware.service.stepup import StepUp

if TYPE_CHECKING:
    from stepup_middleware.core.approvals import approvable
    from stepup_middleware.core.attempts import AttemptLimit
    from stepup_middleware.core.audit import AuditFilter, AuditPage, EventCounts
    from stepup_middleware.core.audit_record import AuditRecord
    from stepup_middleware.core.clusters import FAILURE_CLUSTER, ClusterRule, FailureCluster
    from stepup_middleware.core.events import AuditEvent, EventName, Outcome, Severity
    from stepup_middleware.core.fields import Fields
    from stepup_middleware.core.notices import Notice, NoticeKind
    from stepup_middleware.core.policy import PurposePolicy
    from stepup_middleware.core.visible import visible
    from stepup_middleware.log.witness.client import Witness
    from stepup_middleware.rules import Rule
    from stepup_middleware.service.alerts import SecurityAlert
    from stepup_middleware.service.audit_search import AuditSearch, AuditTotals
    from stepup_middleware.service.exporting import LogExport
    from stepup_middleware.service.handover import CheckpointFile
    from stepup_middleware.service.log_settings import new_log_key
    from stepup_middleware.service.policy import ShutOut
    from stepup_middleware.service.signing import LogStatus

__version__ = "0.1.0"
"""The version of the library, as PEP 440 has it."""

__all__ = [
    "FAILURE_CLUSTER",
    "PLATFORM_PURPOSES",
    "AttemptLimit",
    "AuditEvent",
    "AuditFilter",
    "AuditPage",
    "AuditRecord",
    "AuditSearch",
    "AuditTotals",
    "CeremonyError",
    "CheckpointFile",
    "ClusterRule",
    "ConfigurationError",
    "Deprecation",
    "EndedSession",
    "EventCounts",
    "EventName",
    "FactorKind",
    "FactorRequirement",
    "FailureCluster",
    "Fields",
    "LogExport",
    "LogStatus",
    "NotPermitted",
    "Notice",
    "NoticeKind",
    "Outcome",
    "PolicyError",
    "Proof",
    "Purpose",
    "PurposePolicy",
    "RelyingParty",
    "RequireStepUp",
    "Rule",
    "SecurityAlert",
    "Severity",
    "ShutOut",
    "StepUp",
    "StepUpError",
    "StepUpMiddleware",
    "StepUpRequired",
    "StoreError",
    "StoreTimeoutError",
    "Subject",
    "TooManyFollowers",
    "Witness",
    "__version__",
    "approvable",
    "new_log_key",
    "require_step_up",
    "requires_step_up",
    "visible",
]

# names of settings, of rules and of the log, each loaded with its first use: tagging routes needs none of them
_HOMES = {
    "FAILURE_CLUSTER": "core.clusters",
    "AttemptLimit": "core.attempts",
    "AuditEvent": "core.events",
    "AuditFilter": "core.audit",
    "AuditPage": "core.audit",
    "AuditRecord": "core.audit_record",
    "AuditSearch": "service.audit_search",
    "AuditTotals": "service.audit_search",
    "CheckpointFile": "service.handover",
    "ClusterRule": "core.clusters",
    "EventCounts": "core.audit",
    "EventName": "core.events",
    "FailureCluster": "core.clusters",
    "Fields": "core.fields",
    "LogExport": "service.exporting",
    "LogStatus": "service.signing",
    "Notice": "core.notices",
    "NoticeKind": "core.notices",
    "Outcome": "core.events",
    "PurposePolicy": "core.policy",
    "SecurityAlert": "service.alerts",
    "Rule": "rules",
    "Severity": "core.events",
    "ShutOut": "service.policy",
    "Witness": "log.witness.client",
    "new_log_key": "service.log_settings",
    "approvable": "core.approvals",
    "visible": "core.visible",
}


def __getattr__(name: str) -> Any:
    """Load a public name with its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
