"""For tests of your own: authenticators with real keys, a clock that stands still, the contract of a store.

``StoreContract`` needs pytest and pytest-asyncio, and is loaded when it is first asked for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .authenticator import (
    EDDSA,
    ES256,
    RS256,
    Deviations,
    VirtualAuthenticator,
    VirtualCredential,
)
from .clock import FixedClock, totp_code

if TYPE_CHECKING:
    from .contract import StoreContract

if (pytest := sys.modules.get("pytest")) is not None:
    pytest.register_assert_rewrite("stepup_middleware.testing.contract")  # so that a failure shows its values

__all__ = [
    "EDDSA",
    "ES256",
    "RS256",
    "Deviations",
    "FixedClock",
    "StoreContract",
    "VirtualAuthenticator",
    "VirtualCredential",
    "totp_code",
]


def __getattr__(name: str) -> Any:
    if name != "StoreContract":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from .contract import StoreContract  # here, for it needs pytest

    return StoreContract
