"""What an auditor brings along to judge evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What an auditor knows from elsewhere.

    ``head_keys``: public keys by key id. ``rp_id``: the relying party that the person used. ``witnessed``:
    hashes of heads by chain and link, as somebody kept them when they were signed.
    """

    head_keys: Mapping[str, bytes] = field(default_factory=dict)
    rp_id: str | None = None
    witnessed: Mapping[tuple[str, int], bytes] = field(default_factory=dict)
