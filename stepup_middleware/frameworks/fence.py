"""A fence in a tagged function: wherever a framework keeps the function itself, it runs behind its tag alone.

A tag returns a guard that runs the function. A framework that was given the function before (a tag above the decorator
that registers it, a hook, a signal, a route that is added later) keeps the function without the guard, and nothing that
is looked through at the start finds every such place. So the body of the function moves to a copy, and what stands in
its place runs the copy inside of a gate, and refuses anybody else.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

Refuse = Callable[[types.FunctionType, tuple[Any, ...]], Exception]

_let_through: ContextVar[bool] = ContextVar("stepup_middleware_let_through", default=False)
_PLACE = "the fence"  # of the constant in the code below that the fence takes
_LAZY = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Fence:
    """The fence in one function."""

    def __init__(self, function: types.FunctionType, refuse: Refuse) -> None:
        self._body = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        self._body.__kwdefaults__ = function.__kwdefaults__
        self._body.__qualname__ = function.__qualname__
        self._refuse = refuse
        function.__code__ = _code_with(function, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not _let_through.get():
            raise self._refuse(self._body, (*args, *kwargs.values()))
        return self._body(*args, **kwargs)


@contextmanager
def let_through() -> Iterator[None]:
    """Let tagged functions run: a gate has let the request through, that of the function or another one around it."""
    token = _let_through.set(True)
    try:
        yield
    finally:
        _let_through.reset(token)


_fences: WeakKeyDictionary[types.FunctionType, Fence] = WeakKeyDictionary()


def fence(function: Any, refuse: Refuse) -> None:
    """Put a fence into a plain function of Python, where there is none.

    The method of an object, and an object that can be called, share their code with others, and get none.
    """
    if not isinstance(function, types.FunctionType) or function.__code__.co_flags & _LAZY:
        return
    if function not in _fences:
        _fences[function] = Fence(function, refuse)


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
