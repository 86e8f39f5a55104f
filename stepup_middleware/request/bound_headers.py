"""Which headers a proof is bound to, each with what somebody does by it. The names are in lower case, with hyphens.

A header stands here where a server, a framework or an app makes another action of a request by it, and where no
browser or proxy changes it between the first sending of a request and its repetition. Any other a tag names itself
(``bind_headers``).
"""

from __future__ import annotations

from functools import lru_cache

# what a server, a middleware or an app takes for the root path of the app, and for the path of the request
PREFIXES = (b"x-forwarded-prefix", b"x-script-name", b"script-name", b"daphne-root-path")
TARGETS = (
    b"x-original-url",
    b"x-rewrite-url",
    b"x-original-uri",
    b"x-forwarded-uri",
    b"x-forwarded-path",
    b"x-envoy-original-path",
)
# by which one of them takes another host, root path, path, operation or version for that of the request
ROUTED_BY = (
    *PREFIXES,
    *TARGETS,
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-original-host",
    b"x-host",
    b"soapaction",  # SOAP 1.1 §6.1.1: the operation
    b"x-amz-target",  # likewise, where JSON is posted to one path
    b"api-version",  # another version of an endpoint, which may read the same body in another unit
    b"x-api-version",
    b"accept-version",
)
# by which values are read, or what a person wrote: a number by its language, the answer to hx-prompt
VALUES_BY = (
    b"accept-language",
    b"time-zone",
    b"timezone",
    b"x-time-zone",
    b"x-timezone",
    b"sec-websocket-protocol",
    b"hx-prompt",
    b"hx-source",
    b"hx-target",
    b"hx-trigger",
    b"hx-trigger-name",
)
# by which an app decides where to, how much, in which place, over what, or whether for real
DONE_BY = (
    b"destination",  # RFC 4918 §10.3 and Microsoft's WebDAV: COPY and MOVE
    b"overwrite",
    b"depth",
    b"allow-rename",
    b"translate",
    b"if",  # RFC 4918 §10.4, RFC 9110 §13.1.1 and §13.1.4: only the state that somebody has seen
    b"if-match",
    b"if-unmodified-since",
    b"if-schedule-tag-match",
    b"lock-token",  # RFC 4918 §10.5, §10.7
    b"timeout",
    b"label",  # RFC 3253 §8.3
    b"position",  # RFC 3648 §6.1 and RFC 4437 §12
    b"ordering-type",
    b"redirect-ref",
    b"apply-to-redirect-ref",
    b"schedule-reply",  # RFC 6638 §8.1
    b"slug",  # RFC 5023 §9.7
    b"link",  # RFC 8288 §3; of the Linked Data Platform: the kind of what is made
    b"prefer",  # RFC 7240: how strictly, and with PostgREST also whether it stays and what it replaces
    b"x-update-range",  # SabreDAV: which bytes a PATCH replaces
    b"dry-run",
    b"x-dry-run",
)
BOUND = frozenset((*ROUTED_BY, *VALUES_BY, *DONE_BY))

# by how their names begin: what is said of the body (RFC 9110 §8), and of an upload in several requests (tus 1.0)
BEGINNINGS = (b"content-", b"upload-")

# the log has the digest of these: they may hold a secret
UNTOLD = frozenset({b"hx-prompt", b"if", b"lock-token", b"sec-websocket-protocol"})

FORWARDED = b"forwarded"  # RFC 7239: bound where it names a host; without one it says who sent, and from which port
FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # bound with a multipart body: Django reads none


@lru_cache(maxsize=128)  # clients send the same names with each request
def is_bound(name: bytes) -> bool:
    """Whether a header is bound whatever the tag, the body and its value say."""
    name = hyphened(name)
    return name in BOUND or (name.startswith(BEGINNINGS) and name not in FRAMING) or overrides_method(name)


def hyphened(name: bytes) -> bytes:
    """Return the name of a header as WSGI and CGI have it, where ``_`` and ``-`` are one."""
    return name.replace(b"_", b"-") if b"_" in name else name


def overrides_method(name: bytes) -> bool:
    """Whether a header may make another method of a request: it speaks of one.

    There is no list of these: ``X-HTTP-Method-Override``, ``X-HTTP-Method``, ``X-Method-Override``,
    ``X-Forwarded-Method``, and whatever name an app gives one. A browser's question before a request of another
    origin names one, too (Fetch §3.3.2), and makes none.
    """
    return b"method" in name and not name.startswith(b"access-control-")
