"""The check of a token before any store is asked."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

from stepup_middleware.core.tokens import TokenCodec, TokenReference

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, per_call


@asynccontextmanager
async def _checking(scale: Scale) -> AsyncIterator[Sides]:
    key, message = secrets.token_bytes(32), secrets.token_bytes(48)
    codec = TokenCodec([key])
    token = codec.write(TokenReference(1234, secrets.token_bytes(16))).encode()
    assert codec.read(token) is not None

    async def ours() -> Sample:
        return per_call(lambda: codec.read(token), scale.of(50_000))

    async def one_hmac() -> Sample:
        return per_call(lambda: hmac.new(key, message, sha256).digest(), scale.of(50_000))

    yield {"ours": ours, "HMAC": one_hmac}


BENCHMARKS = (
    Benchmark(
        name="token",
        sides=_checking,
        figures=(
            Figure(
                "token check before the store", "one HMAC-SHA256 of 48 bytes", at_most(4), "seconds", "ours", "HMAC"
            ),
        ),
        rounds=9,
    ),
)
