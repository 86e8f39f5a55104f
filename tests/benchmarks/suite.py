"""All benchmarks: those of the README's table, in its order, and further ones that are measured by name alone."""

from __future__ import annotations

from . import (
    audit_pages,
    bundles,
    ceremonies,
    growth,
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
<<<<<<< HEAD
    *audit_pages.BENCHMARKS,
    *people_pages.BENCHMARKS,
    *memory.BENCHMARKS,
    *waiting.BENCHMARKS,
=======
    *starting.BENCHMARKS,
>>>>>>> 60ee77a (benchmarks: the table is fourteen rows at most, each beside a peer)
    *verification.BENCHMARKS,
)
FURTHER: tuple[Benchmark, ...] = (
    *audit_pages.FURTHER,
    *people_pages.FURTHER,
    *bundles.FURTHER,
    *verification.FURTHER,
)
SUITE = (*TABLE, *FURTHER)
