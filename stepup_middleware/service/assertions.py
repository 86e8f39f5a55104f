"""Verify assertions, many at once on all cores: for evidence, and for whole logs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context

from stepup_middleware.evidence.assertions import Assertion, CheckAssertions

_FEW = 64  # assertions that are not worth another process


def signature_holds(
    algorithm: int, public_key: bytes, authenticator_data: bytes, client_data_json: bytes, signature: bytes
) -> bool:
    """Tell whether an assertion verifies under a COSE_Key of this very algorithm. Never raises."""
    # loads webauthn, which takes 100 ms, and few commands verify
    from stepup_middleware.ceremonies.cose import load_key, verify_assertion_signature

    try:
        if load_key(public_key)[1] != algorithm:
            return False
    except Exception:  # of the decoder or of the key: either way, nothing holds under it
        return False
    return verify_assertion_signature(public_key, authenticator_data, client_data_json, signature)


def hold(assertions: Sequence[Assertion]) -> list[bool]:
    """Tell of each assertion whether it verifies."""
    return [signature_holds(*assertion) for assertion in assertions]


@asynccontextmanager
async def assertions_checked(processes: int | None = None) -> AsyncIterator[CheckAssertions]:
    """Give what verifies assertions in as many processes as there are cores, this one among them."""
    others = (os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count() or 1) or 1
    others = (processes or others) - 1
    pool: ProcessPoolExecutor | None = None

    async def check(assertions: Sequence[Assertion]) -> Sequence[bool]:
        nonlocal pool
        if others < 1 or len(assertions) < _FEW:
            return hold(assertions)
        pool = pool or ProcessPoolExecutor(others, mp_context=get_context("spawn"))
        share = -(-len(assertions) // (others + 1))
        parts = [assertions[at : at + share] for at in range(0, len(assertions), share)]
        loop = asyncio.get_running_loop()
        elsewhere = [loop.run_in_executor(pool, hold, part) for part in parts[1:]]
        held = hold(parts[0])
        for part in elsewhere:
            held += await part
        return held

    try:
        yield check
    finally:
        if pool is not None:
            pool.shutdown()
