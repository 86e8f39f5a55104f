"""Guards a class at the entries through which its framework must come, so that what it does inside cannot matter.

Each framework has few entries into a class: what is called (``as_view``, ``as_router``), what is built (a class that
is an ASGI app), what is fetched (``on_post``), what is called on an instance. They are replaced in place, because a
framework may have registered the class as soon as it was there, and in every class that is derived from it. An entry
that is taken away again, later or by a metaclass, is found missing at the start, where the routes are read.
"""

from __future__ import annotations

import inspect
from typing import Any

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.request.context import Tag

from .base import FoundRoute, Framework, tag_of
from .entries import GUARD_ATTRIBUTE, TAG_ATTRIBUTE, Guard, mark_async
from .fence import lost_tags


def guard_class(kind: type[Any], guard: Guard, framework: Framework) -> None:
    """Guard a class and whatever will be derived from it. Raises ``ConfigurationError`` where it cannot be."""
    _check_metaclass(kind)
    if not framework.entries(kind):
        raise ConfigurationError(
            f"{kind.__qualname__} is no endpoint class that can be guarded as a whole: tag its methods, below the "
            "framework's own decorator, or wrap the app in RequireStepUp"
        )
    own = vars(kind).get("__init_subclass__")

    def derived(cls: type[Any], /, **settings: Any) -> None:
        if own is None:
            super(kind, cls).__init_subclass__(**settings)
        else:
            own.__func__(cls, **settings)
        _check_metaclass(cls)
        _guard_entries(cls, guard, framework)

    _guard_entries(kind, guard, framework)
    setattr(kind, "__init_subclass__", classmethod(derived))  # noqa: B010 - mypy takes the attribute for a method
    setattr(kind, TAG_ATTRIBUTE, guard.tag)
    setattr(kind, GUARD_ATTRIBUTE, guard)


def open_entry(kind: type[Any], framework: Framework) -> str | None:
    """Return the name of an entry of a tagged class that is not behind its guard, None if there is none."""
    guard = getattr(kind, GUARD_ATTRIBUTE, None)
    for name in framework.entries(kind):
        if not _is_behind(inspect.getattr_static(kind, name, None), guard):
            return name
    return None


def _check_metaclass(kind: type[Any]) -> None:
    meta = type(kind)
    for name in ("__call__", "__getattribute__"):
        if getattr(meta, name) is not getattr(type, name):
            raise ConfigurationError(
                f"{kind.__qualname__} has the metaclass {meta.__qualname__} with a {name} of its own, past which no "
                "class can be guarded: tag its methods, or wrap the app in RequireStepUp"
            )


def _guard_entries(kind: type[Any], guard: Guard, framework: Framework) -> None:
    for name, entry in framework.entries(kind).items():
        present = inspect.getattr_static(kind, name, None)
        if _is_behind(present, guard):
            continue
        made = entry(kind, name, present, guard)
        inside = made.__func__ if isinstance(made, classmethod | staticmethod) else made
        setattr(inside, GUARD_ATTRIBUTE, guard)
        setattr(kind, name, made)
        if name == "__call__":
            mark_async(kind)


def _is_behind(present: Any, guard: Any) -> bool:
    inside = present.__func__ if isinstance(present, classmethod | staticmethod) else present
    return guard is not None and getattr(inside, GUARD_ATTRIBUTE, None) is guard


def belongs_to(endpoint: Any) -> type[Any] | None:
    """Return the tagged class that an endpoint is, is made of or is a part of."""
    owner = getattr(endpoint, "__self__", None)
    for kind in (endpoint, getattr(endpoint, "view_class", None), owner, type(owner), type(endpoint)):
        if isinstance(kind, type) and isinstance(getattr(kind, TAG_ATTRIBUTE, None), Tag):
            return kind
    return None


def _in_place_of_a_tagged_one(endpoint: Any) -> str:
    """Return the name of a method without a tag that a class has in the place of a tagged one of its bases."""
    owner = getattr(endpoint, "__self__", None)
    found = (endpoint, getattr(endpoint, "view_class", None), type(owner))
    for kind in (each for each in found if isinstance(each, type)):
        for base in kind.__mro__[1:-1]:
            for name, member in vars(base).items():
                if inspect.isroutine(member) and tag_of(member) is not None:
                    present = inspect.getattr_static(kind, name)
                    if present is not None and tag_of(present) is None:
                        return f"{kind.__qualname__}.{name}"
    return ""


def judged(route: FoundRoute, framework: Framework) -> FoundRoute:
    """Return a route with the tag that really stands before its endpoint, and with its fault if one was lost."""
    kind = belongs_to(route.endpoint)
    if kind is None:
        if (lost := lost_tags(route.endpoint)) and route.tag not in lost:
            return route._replace(
                fault="has its function without the tag: put requires_step_up below the decorator that registers it"
            )
        if name := _in_place_of_a_tagged_one(route.endpoint):
            return route._replace(fault=f"has {name} in the place of a tagged one, without a tag: put one on it, too")
        return route
    entry = open_entry(kind, framework)
    is_view = getattr(route.endpoint, "view_class", None) is kind
    if route.tag is None and entry is None and is_view and framework.guards_inside(kind):
        return route._replace(tag=getattr(kind, TAG_ATTRIBUTE))
    is_made = inspect.isroutine(route.endpoint)
    if route.tag is None or (entry is not None and not is_made):
        way = f"its {entry} is not" if entry else "this route is not"
        return route._replace(
            fault=f"leads to the tagged class {kind.__qualname__} past its tag ({way} guarded): tag the class where it "
            "is written and before it is registered, and leave its entries as they are"
        )
    return route
