"""The store for several nodes: one PostgreSQL database, every commit a group of callers."""

from __future__ import annotations

from .store import PostgresStore

__all__ = ["PostgresStore"]
