"""The schema that the library made, held against the one that is there: a trigger or a view may lie, or drop rows."""

from __future__ import annotations

from collections.abc import Mapping


def differences(made: Mapping[str, str], found: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what is missing, another, or not the library's, each with what is wrong with it.

    Both have the definitions of tables, indexes, triggers and functions by their kind and name. ``found`` leaves out
    what may stand beside those of the library and harms nobody.
    """
    missing = [(what, "is missing") for what in made if what not in found]
    other = [
        (what, "is not as this version of the library made it")
        for what in made
        if found.get(what, made[what]) != made[what]
    ]
    more = [(what, "was not made by the library") for what in found if what not in made]
    return (*missing, *other, *more)
