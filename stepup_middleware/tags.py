"""What a tag is made of: its purpose, its details and the headers that it binds, checked where it is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from stepup_middleware.core.binding import check_details
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks.base import TWO_GATES, tag_of
from stepup_middleware.request.bound import header_names
from stepup_middleware.request.context import DetailsSource, Tag

NOTHING: Mapping[str, Any] = MappingProxyType({})


def tagged_with(purpose: str, details: DetailsSource, bind_body: bool, bind_headers: Iterable[str]) -> Tag:
    """Return a tag. Raises ``ConfigurationError`` for anything but a purpose, details and a list of header names."""
    if callable(purpose):
        raise ConfigurationError(
            f'a tag names its purpose: write @requires_step_up("the_purpose") above {name_of(purpose)}, with the '
            "purpose in parentheses"
        )
    if not isinstance(purpose, str) or not purpose:
        raise ConfigurationError(
            f'a purpose is named by its id, a string such as "payroll_ach_transmit", and not {purpose!r}'
        )
    return Tag(purpose, details, bind_body, header_names(bind_headers))


def always(details: DetailsSource) -> DetailsSource:
    """Return details that are asked about again and again. Raises ``ConfigurationError`` for what are none."""
    if details is None:
        return None
    if callable(details):
        with suppress(ValueError):  # compiled code may have no signature that can be read
            try:
                inspect.signature(details).bind(NOTHING)
            except TypeError:
                raise ConfigurationError(
                    f"details are called with the ASGI scope alone: write `def {name_of(details)}(scope)`"
                ) from None
        return details
    try:
        return check_details(details)
    except TypeError as error:
        raise ConfigurationError(str(error)) from None


def check_inside(endpoint: Any, tag: Tag) -> None:
    """Raise ``ConfigurationError`` where a tag inside of this one asks for another proof."""
    members = [member for name in dir(endpoint) if (member := inspect.getattr_static(endpoint, name, None)) is not None]
    for each in members if inspect.isclass(endpoint) else [endpoint]:
        if (inside := tag_of(each)) is not None and inside != tag:
            raise ConfigurationError(f"{name_of(each)} {TWO_GATES}")


def name_of(endpoint: Any) -> str:
    return str(getattr(endpoint, "__qualname__", type(endpoint).__qualname__))


def parameters_of(endpoint: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of an endpoint's parameters that are handed by their places."""
    try:
        return tuple(inspect.signature(endpoint).parameters)
    except (TypeError, ValueError):  # compiled code may have none that can be read
        return ()
