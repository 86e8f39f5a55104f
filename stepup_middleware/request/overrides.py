"""Which methods a request may end up as: by its line, its headers, its query and its form.

A middleware inside the app may take another method for that of the request: from a header (``X-HTTP-Method-Override``),
the query or a form (``_method``). Each reads other names in another spelling, so no list of names stands here: what
counts is any name that speaks of a method, and any word of its value that is one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPMethod
from typing import Any
from urllib.parse import unquote_to_bytes

from stepup_middleware.asgi import Message, Receive, Scope, headers
from stepup_middleware.core.fields import form_values, split_pairs

from .bound_headers import hyphened, overrides_method

METHODS = frozenset(method.value for method in HTTPMethod) | {"QUERY", "PURGE"}
METHODS |= {"COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "REPORT", "ACL", "LINK"}
METHODS |= {"UNLINK", "BIND", "REBIND", "UNBIND", "CHECKIN", "CHECKOUT", "UNCHECKOUT", "MERGE", "UPDATE", "LABEL"}
METHODS |= {"MKACTIVITY", "MKCALENDAR", "MKREDIRECTREF", "MKWORKSPACE", "UPDATEREDIRECTREF", "VERSION-CONTROL"}
METHODS |= {"BASELINE-CONTROL", "ORDERPATCH"}  # the registry of methods of IANA, and the caches' PURGE
FORM_LIMIT = 64 * 1024  # bytes in which a form is searched for a method; a longer one may have one
_FORM_SECONDS = 15
_LONGEST = 1000  # bytes of a name or a value that is looked into, of those that somebody may take for a method
_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_WORDS = re.compile(rb"[A-Za-z-]+")


def asked_methods(scope: Mapping[str, Any]) -> set[str] | None:
    """Return every method that a request may end up as by its line, its headers and its query, None for any."""
    query = bytes(scope.get("query_string", b""))
    pairs = split_pairs(query) if b"method" in unquote_to_bytes(query).lower() else []
    if pairs is not None:
        for name, value in scope["headers"]:
            if b"method" in name and overrides_method(hyphened(name)):
                pairs.append((name, value))
    named = _named_in(pairs)
    if named is None:
        return None
    methods = {str(scope["method"]).upper()} | named
    if "HEAD" in methods:
        methods.add("GET")
    return methods


def may_ask_for_a_method(scope: Mapping[str, Any], methods: set[str] | None) -> bool:
    """Whether a form may say that a request is meant as another method: one that is a POST, or may end up as one.

    ``methods`` are those that it may end up as without its form.
    """
    if scope["type"] != "http" or methods is None or "POST" not in methods:
        return False
    return any(form in value.lower() for value in headers(scope, b"content-type") for form in _FORMS)


async def form_methods(scope: Scope, receive: Receive) -> tuple[set[str] | None, Receive]:
    """Return the methods that a form asks for, and a ``receive`` that begins with what was taken of it.

    None stands for any: of a form in a content coding that the app may undo (gzip), of one that is longer than
    ``FORM_LIMIT``, that does not come in time, or that somebody may read in another way.
    """
    if headers(scope, b"content-encoding"):
        return None, receive
    taken: list[Message] = []
    body = b""
    whole = False
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            while not whole and len(body) <= FORM_LIMIT:
                message = await receive()
                taken.append(message)
                body += message.get("body", b"")
                whole = message["type"] != "http.request" or not message.get("more_body", False)
    except TimeoutError:
        whole = False
    given = iter(taken)

    async def again() -> Message:
        return next(given, None) or await receive()

    if not whole or len(body) > FORM_LIMIT:
        return None, again
    return _methods_of(headers(scope, b"content-type"), body), again


def _methods_of(content_types: list[bytes], body: bytes) -> set[str] | None:
    """Return the methods that a whole form asks for, None for any."""
    return _named_in(form_values(content_types, body))


def _named_in(pairs: list[tuple[bytes, bytes | None]] | None) -> set[str] | None:
    """Return the methods that pairs of names and values ask for, None for any: also where one is long."""
    found: set[str] = set()
    for name, value in pairs or ():
        if b"%" in name:
            if len(name) > _LONGEST:
                return None
            name = unquote_to_bytes(name)
        if b"method" in name.replace(b"\\", b"").lower():
            if value is None or len(value) > _LONGEST:
                return None
            found |= {word.decode().upper() for word in _WORDS.findall(unquote_to_bytes(value.replace(b"+", b" ")))}
    return None if pairs is None else found
