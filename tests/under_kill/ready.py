"""What the process has done from which nodes are forked: it has built an app, so that everything is imported."""

from __future__ import annotations

import secrets

import uvicorn

from .app import Settings, made

_nowhere = Settings("postgresql://localhost/nowhere", "redis://localhost", "", secrets.token_hex(32))
uvicorn.Config(made(_nowhere), ws="none").load()
