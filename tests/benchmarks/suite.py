"""All benchmarks: those of the README's table, in its order, and further ones that are measured by name alone."""

from __future__ import annotations

from . import (
    audit_pages,
    bundles,
    bystanders,
    ceremonies,
    growth,
    leaves,
    pages,
    peers,
    people_pages,
    redemption,
    starting,
    untagged,
    verification,
    waiting,
)
from .harness import Benchmark

TABLE: tuple[Benchmark, ...] = (
    *redemption.BENCHMARKS,
    *peers.BENCHMARKS,
    *untagged.BENCHMARKS,
    *growth.BENCHMARKS,
    *ceremonies.BENCHMARKS,
    *pages.BENCHMARKS,
    *starting.BENCHMARKS,
    *waiting.BENCHMARKS,
    *verification.BENCHMARKS,
)
FURTHER: tuple[Benchmark, ...] = (
    *audit_pages.FURTHER,
    *people_pages.FURTHER,
    *bundles.FURTHER,
    *bystanders.FURTHER,
    *leaves.FURTHER,
    *verification.FURTHER,
)
SUITE = (*TABLE, *FURTHER)
