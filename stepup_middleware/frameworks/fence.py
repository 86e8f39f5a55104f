"""A fence in a tagged function: wherever a framework keeps the function itself, it runs behind its tag alone.

A tag returns a guard that runs the function. A framework that was given the function before (a tag above the decorator
that registers it, a hook, a signal, a route that is added later) keeps the function without the guard, and nothing that
is looked through at the start finds every such place. So the body of the function moves to a copy, and what stands in
its place runs the copy where a gate has let this very function through, and refuses anybody else. The method of an
object shares its function with other objects, and so does the ``__call__`` of one: there the fence is for that object
alone. A partial is given a function of its own, for another partial of the same one may be served without a tag. Code
that was compiled cannot have a fence.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

Refuse = Callable[[types.FunctionType, tuple[Any, ...]], Exception]

# What gates have let through in this context: places that are fenced, and the tags of gates around whole apps.
_open: ContextVar[tuple[object, ...]] = ContextVar("stepup_middleware_open", default=())
_guards: WeakSet[Any] = WeakSet()  # what tags have made of endpoints
_PLACE = "the fence"  # of the constant in the code below that the fence takes
_LAZY = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_DEPTH = 20  # decorators, partials and methods that are looked through


class Place:
    """Where a tagged function stands: by itself (``owner`` returns None), or as the method of one object."""

    __slots__ = ("owner", "tags")

    def __init__(self, owner: Callable[[], Any]) -> None:
        self.owner = owner
        self.tags: list[object] = []

    def is_open(self) -> bool:
        """Whether a gate has let this place through, or one around the app that asks the same as its tag."""
        found = _open.get()
        return self in found or any(each in self.tags for each in found)


class Fence:
    """The fence in one function."""

    def __init__(self, function: types.FunctionType, refuse: Refuse) -> None:
        self._body = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        self._body.__kwdefaults__ = function.__kwdefaults__
        self._body.__qualname__ = function.__qualname__
        self._refuse = refuse
        self._places: dict[int | None, Place] = {}  # by the identity of the object whose method it is
        function.__code__ = _code_with(function, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for place in self.places(args):
            if not place.is_open():
                raise self._refuse(self._body, (*args, *kwargs.values()))
        return self._body(*args, **kwargs)

    def places(self, args: tuple[Any, ...]) -> Iterator[Place]:
        """Yield the places at which the function stands when it is called with these arguments."""
        if None in self._places:
            yield self._places[None]
        if args and (place := self._places.get(id(args[0]))) is not None and place.owner() is args[0]:
            yield place

    def put(self, owner: Any, tag: object) -> Place:
        """Put the fence up for an object, or for anybody (None), and return the place."""
        key = None if owner is None else id(owner)
        place = self._places.get(key)
        if place is None or place.owner() is not owner:
            place = self._places[key] = Place(self._reference(owner, key))
        place.tags.append(tag)
        return place

    def _reference(self, owner: Any, key: int | None) -> Callable[[], Any]:
        places = self._places

        def gone(reference: object) -> None:
            if key in places and places[key].owner is reference:
                del places[key]

        with suppress(TypeError):  # of some objects there are no weak references
            return weakref.ref(owner, gone) if owner is not None else lambda: None
        return lambda: owner


@contextmanager
def let_through(*what: object) -> Iterator[None]:
    """Let run what a gate has let through: the places of its function, or whatever else has the same tag."""
    token = _open.set((*_open.get(), *what))
    try:
        yield
    finally:
        _open.reset(token)


_fences: WeakKeyDictionary[types.FunctionType, Fence] = WeakKeyDictionary()
_compiled: WeakKeyDictionary[Any, list[object]] = WeakKeyDictionary()  # the tags of what has no fence


def fence(endpoint: Any, tag: object, refuse: Refuse) -> tuple[Place, ...]:
    """Put a fence into every function of Python that an endpoint runs, and return the places that its gate opens."""
    if isinstance(endpoint, functools.partial):
        _give_its_own(endpoint)
    places = []
    for function, owner in _functions(endpoint):
        found = _fences.get(function)
        if found is None:
            found = _fences[function] = Fence(function, refuse)
        places.append(found.put(owner, tag))
    if not places:
        with suppress(TypeError):
            _compiled.setdefault(endpoint, []).append(tag)
    return tuple(places)


def _give_its_own(partial: functools.partial[Any]) -> None:
    """Put a copy of its function into a partial, in place."""
    function = partial.func
    if not isinstance(function, types.FunctionType) or function in _guards or function in _fences:
        return
    own = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    own.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(own, function)
    partial.__setstate__((own, partial.args, partial.keywords, vars(partial)))  # type: ignore[attr-defined]


def is_guard(guarded: Any) -> None:
    """Note what a tag has made of an endpoint: what it runs is behind it."""
    _guards.add(guarded)


def lost_tags(endpoint: Any) -> list[object]:
    """Return the tags that an endpoint was given and does not have: it is the function itself, or runs it."""
    with suppress(TypeError):  # what cannot be hashed was not kept
        if endpoint in _compiled:
            return _compiled[endpoint]
    return [
        tag
        for function, owner in _functions(endpoint)
        if function in _fences
        for place in _fences[function].places(() if owner is None else (owner,))
        for tag in place.tags
    ]


def _functions(endpoint: Any) -> Iterator[tuple[types.FunctionType, Any]]:
    """Yield the functions that run where an endpoint is called, each with the object whose method it is, or None.

    Through partials, methods, objects that can be called and what decorators have wrapped, up to the next guard.
    """
    owner, of_partial = None, False
    for _ in range(_DEPTH):
        if endpoint is None or inspect.isclass(endpoint) or _is_made(endpoint):
            return
        if isinstance(endpoint, functools.partial | staticmethod):
            of_partial = of_partial or isinstance(endpoint, functools.partial)
            endpoint = endpoint.func if isinstance(endpoint, functools.partial) else endpoint.__func__
            continue
        if isinstance(endpoint, types.MethodType):
            endpoint, owner = endpoint.__func__, endpoint.__self__
            continue
        if isinstance(endpoint, types.FunctionType):
            if not endpoint.__code__.co_flags & _LAZY:
                yield endpoint, owner
            if of_partial:  # what is below is not its own
                return
        elif isinstance(called := getattr(type(endpoint), "__call__", None), types.FunctionType):  # noqa: B004
            yield from ((function, endpoint) for function, _ in _functions(called))
        wrapped = None
        with suppress(Exception):  # a proxy of something that is not there
            wrapped = getattr(endpoint, "__wrapped__", None)
        endpoint = wrapped


def _is_made(endpoint: Any) -> bool:
    with suppress(TypeError):
        return endpoint in _guards
    return False


def _code_with(function: types.FunctionType, inner: Fence) -> types.CodeType:
    """Return code of the same signature that hands its arguments to the fence."""
    code = function.__code__
    names = list(code.co_varnames)
    plain, names = names[: code.co_argcount], names[code.co_argcount :]
    named, names = names[: code.co_kwonlyargcount], names[code.co_kwonlyargcount :]
    taken, handed = list(plain), list(plain)
    if code.co_posonlyargcount:
        taken.insert(code.co_posonlyargcount, "/")
    if code.co_flags & inspect.CO_VARARGS:
        rest = f"*{names.pop(0)}"
        taken.append(rest)
        handed.append(rest)
    elif named:
        taken.append("*")
    taken += named
    handed += [f"{name}={name}" for name in named]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        taken.append(f"**{names[0]}")
        handed.append(f"**{names[0]}")
    is_async = bool(code.co_flags & inspect.CO_COROUTINE)
    source = (
        f"def around({', '.join(code.co_freevars)}):\n"
        f" {'async ' if is_async else ''}def inside({', '.join(taken)}):\n"
        f"  if False: ({', '.join([*code.co_freevars, '0'])})\n"  # as many free variables as there are cells
        f"  __stepup_fence = {_PLACE!r}\n"
        f"  return {'await ' if is_async else ''}__stepup_fence({', '.join(handed)})\n"
    )
    module = compile(source, code.co_filename, "exec", dont_inherit=True)
    around = next(each for each in module.co_consts if isinstance(each, types.CodeType))
    inside = next(each for each in around.co_consts if isinstance(each, types.CodeType))
    return inside.replace(
        co_consts=tuple(inner if each == _PLACE else each for each in inside.co_consts),
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_firstlineno=code.co_firstlineno,
    )
