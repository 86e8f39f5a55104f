"""Looks into an ASGI callable for what it wraps, whatever name it keeps it under.

A middleware may be a class, a closure, a partial or a bound method, and its inner app an attribute, a slot, a cell, a
value of a dictionary or a global of its module. All of that is looked through, nearest first, within bounds.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

INNER_ATTRIBUTE = "__stepup_inner__"  # of a class of ours: the name of the attribute that has the inner app
_OBJECTS = 3000  # that are looked at in all
_ITEMS = 300  # of one container
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type, types.ModuleType, types.CodeType)


def within(root: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield what is wanted in an object, nearest first, each with the objects on the way to it."""
    seen: set[int] = set()
    waiting: deque[tuple[Any, tuple[Any, ...]]] = deque([(root, ())])
    kept = []  # so that no id is given twice
    while waiting and len(seen) < _OBJECTS:
        value, way = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kept.append(value)
        if wanted(value):
            yield value, way
            continue
        further = (*way, value)
        waiting.extend((part, further) for part in _parts(value) if not isinstance(part, _PLAIN))


def _parts(value: Any) -> Iterable[Any]:
    """Return what an object is made of, without running anything of it."""
    if isinstance(value, Mapping):
        return list(islice(value.values(), _ITEMS)) if type(value).__module__ == "builtins" else [*_attributes(value)]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(islice(value, _ITEMS))
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, types.FunctionType):
        return [*_cells(value), *_globals(value)]
    if isinstance(value, weakref.ref):
        return [value()]
    if hasattr(type(value), INNER_ATTRIBUTE):
        return [getattr(value, getattr(type(value), INNER_ATTRIBUTE))]
    return _attributes(value)


def _attributes(value: Any) -> Iterator[Any]:
    """Yield what an instance keeps, and what its class calls."""
    yield from list(getattr(value, "__dict__", {}).values())
    for kind in type(value).__mro__[:-1]:
        for name, member in list(vars(kind).items()):
            if isinstance(member, types.MemberDescriptorType):  # a slot
                try:
                    yield member.__get__(value)
                except AttributeError:
                    continue  # empty
            elif name == "__call__" and inspect.isfunction(member):
                yield from (*_cells(member), *_globals(member))
            elif not name.startswith("__") and not callable(getattr(type(member), "__get__", None)):
                yield member


def _cells(function: types.FunctionType) -> Iterator[Any]:
    if "__wrapped__" in function.__dict__:
        yield function.__wrapped__  # type: ignore[attr-defined]
    if not _may_call_an_app(function):
        return
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # empty


def _may_call_an_app(function: types.FunctionType) -> bool:
    """Whether a function may be handed a scope, a receive and a send."""
    return function.__code__.co_argcount >= 3 or bool(function.__code__.co_flags & inspect.CO_VARARGS)


def _globals(function: types.FunctionType) -> Iterator[Any]:
    """Yield the globals that a function names."""
    codes = [function.__code__] if _may_call_an_app(function) else []
    while codes:
        code = codes.pop()
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
        for name in code.co_names:
            found = function.__globals__.get(name)
            if not isinstance(found, types.FunctionType) or inspect.iscoroutinefunction(found):
                yield found
