"""Where prompts, tokens, factors, policies and the audit log live: one contract, several stores."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .audit_log import AuditLog
from .base import HotState, Store
from .epoch_store import EpochStore
from .records import Records

if TYPE_CHECKING:
    from .opening import open_store

__all__ = ["AuditLog", "EpochStore", "HotState", "Records", "Store", "open_store"]


def __getattr__(name: str) -> Any:
    """Load ``open_store``, and with it every store, with its first use (PEP 562)."""
    if name != "open_store":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = import_module(f"{__name__}.opening").open_store
    return value
