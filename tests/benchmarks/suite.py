"""All benchmarks, in the order of the table."""

from __future__ import annotations

from . import (
    audit_pages,
    bundles,
    bystanders,
    ceremonies,
    growth,
    memory,
    pages,
    passthrough,
    people_pages,
    postgres,
    processes,
    redis,
    served,
    sqlite,
    starting,
    tokens,
    verification,
    waiting,
)
from .harness import Benchmark

SUITE: tuple[Benchmark, ...] = (
    *passthrough.BENCHMARKS,
    *served.BENCHMARKS,
    *bystanders.BENCHMARKS,
    *sqlite.BENCHMARKS,
    *processes.BENCHMARKS,
    *postgres.BENCHMARKS,
    *redis.BENCHMARKS,
    *growth.BENCHMARKS,
    *ceremonies.BENCHMARKS,
    *tokens.BENCHMARKS,
    *starting.BENCHMARKS,
    *pages.BENCHMARKS,
    *audit_pages.BENCHMARKS,
    *people_pages.BENCHMARKS,
    *memory.BENCHMARKS,
    *waiting.BENCHMARKS,
    *verification.BENCHMARKS,
    *bundles.BENCHMARKS,
)
