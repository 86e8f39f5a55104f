"""Assertions that are judged where they are met and verified later, many together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

W = TypeVar("W")

Assertion = tuple[int, bytes, bytes, bytes, bytes]
CheckAssertions = Callable[[Sequence[Assertion]], Awaitable[Sequence[bool]]]
"""Verify many assertions, each as ``core.proofs.SignatureHolds`` does: on all cores, where there are several."""


class HeldAssertions(Generic[W]):
    """Keeps assertions with what they are of: ``hold`` is a ``SignatureHolds`` that says yes for now."""

    def __init__(self, check: CheckAssertions | None) -> None:
        self._check = check
        self._kept: list[tuple[W, Assertion]] = []
        self.judged: W

    def hold(
        self, algorithm: int, public_key: bytes, authenticator_data: bytes, client_data_json: bytes, signature: bytes
    ) -> bool:
        """Keep an assertion, of what is ``judged`` now."""
        self._kept.append((self.judged, (algorithm, public_key, authenticator_data, client_data_json, signature)))
        return True

    async def wrong(self) -> list[W]:
        """Verify those that were kept. Returns whose do not hold."""
        kept, self._kept = self._kept, []
        if self._check is None or not kept:
            return []
        held = await self._check([assertion for _, assertion in kept])
        return [of for (of, _), holds in zip(kept, held, strict=True) if not holds]
