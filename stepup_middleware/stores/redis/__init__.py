"""Prompts and tokens in Redis or Valkey, in front of a store that keeps everything else and the log."""

from __future__ import annotations

from .store import RedisHotStore

__all__ = ["RedisHotStore"]
