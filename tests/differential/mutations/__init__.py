"""The ways in which a request is changed: each kind says whether the library may count the outcome as the same.

A kind that *may collide* changes what is no part of a request's reading, and for each some outcomes must be
counted as the same request. One that *must not* changes what some framework reads: counting the outcome as the
same request would be a fault by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from tests.differential.wire import Wire

from . import bodies, forms, headers, readings, targets
from .kinds import KINDS, Kind, form_of, kinds_elsewhere

__all__ = [
    "KINDS",
    "MAY",
    "NEVER",
    "Kind",
    "bodies",
    "forms",
    "headers",
    "kinds_elsewhere",
    "mutated",
    "readings",
    "targets",
]

MAY = tuple(kind for kind in KINDS.values() if kind.may_collide)
NEVER = tuple(kind for kind in KINDS.values() if not kind.may_collide)
OF_FORMS = tuple(kind for kind in KINDS.values() if kind.change.__module__ == forms.__name__)
OF_PLACES = tuple(kind for kind in NEVER if kind.name.startswith(("root path", "scope changed")))
LAYERED = ("layered", "outside")  # the stacks in which a part of the scope may be changed


def mutated(rng: Random, wire: Wire, *, without: Collection[str] = ()) -> tuple[Wire, list[Kind]]:
    """Return a request changed in up to three ways, and the kinds of the changes that were made.

    Most of them are changed only in ways that may leave it the same request. ``without``: kinds to leave out.
    """
    kinds: Sequence[Kind] = MAY
    if rng.random() < 0.4:
        kinds = OF_FORMS if form_of(wire) is not None and rng.random() < 0.6 else (*NEVER, *NEVER, *MAY)
    made: list[Kind] = []
    changed = wire.copy()
    wanted = rng.choice((0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3))
    tried = rng.sample(kinds, 4 * wanted)
    if wire.stack in LAYERED and rng.random() < 0.2:
        tried = [rng.choice(OF_PLACES), *tried]
    for kind in tried:
        trial = changed.copy()
        if len(made) < wanted and kind not in made and kind.name not in without and kind.change(rng, trial):
            changed = trial
            made.append(kind)
    return changed, made
