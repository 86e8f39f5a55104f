"""Authority, method, overrides; and the headers that must not matter."""

from __future__ import annotations

from random import Random

from tests.differential.wire import Wire

from .kinds import double, layered, may, never


@never("host in another spelling")
def _(rng: Random, wire: Wire) -> bool:
    host = wire.header(b"host") or b""
    new = rng.choice(
        (host.upper(), host + b".", host + b":80", b"admin.example", b"", b"x@" + host, b"[::1]", host + b"/x")
    )
    wire.put(b"host", new)
    return new != host


@never("host doubled or missing")
def _(rng: Random, wire: Wire) -> bool:
    if rng.random() < 0.3:
        wire.put(b"host", None)
    else:
        other = rng.choice((b"admin.example", b"localhost:8000", wire.header(b"host") or b"x"))
        double(wire, b"host", other, before=rng.random() < 0.5)
    return True


@never("forwarded host, prefix or path")
def _(rng: Random, wire: Wire) -> bool:
    name, values = rng.choice(
        (
            (b"x-forwarded-host", (b"admin.example", b"localhost:8000", b"a, b")),
            (b"x-forwarded-prefix", (b"/open", b"/app", b"")),
            (b"x-script-name", (b"/app", b"/form", b"")),
            (b"x-forwarded-port", (b"8443", b"80")),
            (b"x-original-url", (b"/body/x/2", b"/t", b"/open/body/x/1", b"")),
            (b"forwarded", (b"host=admin.example", b'for=203.0.113.7;Host="localhost:8000"')),
            (b"x-rewrite-url", (b"/body/x/2", b"/media/x/2", b"/form/t?q=1")),
        )
    )
    double(wire, name, rng.choice(values), before=rng.random() < 0.5)
    return not layered(wire)


@never("method")
def _(rng: Random, wire: Wire) -> bool:
    if layered(wire):
        return False
    new = rng.choice((b"POST", b"PUT", b"PATCH", b"DELETE", b"GET", wire.method.lower(), wire.method.title()))
    old, wire.method = wire.method, new
    return new != old


@never("method override")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-forwarded-method"))
    value = rng.choice((b"DELETE", b"PUT", b"PATCH", b"POST", b"delete", b" DELETE", b"", b"PUT,DELETE"))
    if rng.random() < 0.3 or value == wire.header(name):
        double(wire, name, value, before=rng.random() < 0.5)
    else:
        wire.put(name, value)
    return True


@never("where to, how much or over what")
def _(rng: Random, wire: Wire) -> bool:
    name, values = rng.choice(
        (
            (b"destination", (b"/x/2", b"https://other.example/x/2", b"")),
            (b"overwrite", (b"T", b"F")),
            (b"depth", (b"0", b"1", b"infinity")),
            (b"slug", (b"a", b"%C3%A9")),
            (b"if-match", (b'"1"', b"*")),
            (b"lock_token", (b"<urn:uuid:1>", b"")),
            (b"prefer", (b"handling=strict", b"return=minimal")),
            (b"soapaction", (b'"urn:pay"', b'"urn:show"')),
            (b"x-api-version", (b"1", b"2")),
            (b"upload-offset", (b"0", b"10")),
        )
    )
    double(wire, name, rng.choice(values), before=rng.random() < 0.5)
    return True


@never("name of a header with underscores")
def _(rng: Random, wire: Wire) -> bool:
    name, value = rng.choice(
        (
            (b"x_http_method_override", b"DELETE"),
            (b"x_forwarded_host", b"admin.example"),
            (b"x_original_url", b"/t"),
            (b"content_type", b"application/json"),
            (b"content_encoding", b"gzip"),
        )
    )
    double(wire, name, value, before=False)
    return True


@may("user agent")
def _(rng: Random, wire: Wire) -> bool:
    wire.put(b"user-agent", rng.choice((b"other/1.0", b"", b"Mozilla/5.0 (X11)", None)))
    return True


@may("what is accepted")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"accept", b"accept-encoding", b"accept-charset"))
    wire.put(name, rng.choice((b"*/*;q=0.5", b"text/html", b"gzip, br", b"utf-8")))
    return True


@may("cookies")
def _(rng: Random, wire: Wire) -> bool:
    wire.put(b"cookie", rng.choice((None, b"a=b", b"theme=light; session=ada", b"csrftoken=x; _method=DELETE")))
    return True


@may("address and protocol before a proxy")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip", b"via", b"forwarded"))
    value = rng.choice((b"203.0.113.9", b"https", b"1.1 proxy", b'for="[2001:db8::1]:47011";proto=https'))
    double(wire, name, value, before=False)
    return True


@may("trace and request ids")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"traceparent", b"x-request-id", b"baggage", b"x-correlation-id"))
    wire.put(name, b"%032x" % rng.getrandbits(128))
    return True


@may("conditions and ranges")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"if-none-match", b"if-modified-since", b"range", b"cache-control", b"pragma"))
    wire.put(name, rng.choice((b'"x"', b"bytes=0-1", b"no-cache", b"Wed, 21 Oct 2015 07:28:00 GMT")))
    return True


@may("headers of the connection")
def _(rng: Random, wire: Wire) -> bool:
    name, value = rng.choice(
        ((b"connection", b"keep-alive"), (b"te", b"trailers"), (b"priority", b"u=1"), (b"keep-alive", b"timeout=5"))
    )
    wire.put(name, value)
    return True


@may("header that nobody knows")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"x-other", b"dnt", b"mime-version", b"x-requested-with", b"referrer", b"contents"))
    for _ in range(rng.randint(1, 3)):
        double(wire, name, rng.choice((b"1", b"", b"en", b"XMLHttpRequest")), before=False)
    return True


@may("headers in another order")
def _(rng: Random, wire: Wire) -> bool:
    before = list(wire.headers)
    names = list(dict.fromkeys(name for name, _ in before))
    rng.shuffle(names)
    wire.headers.sort(key=lambda line: names.index(line[0]))  # those of one name stay in their order
    return wire.headers != before


@may("names of headers in another case")
def _(rng: Random, wire: Wire) -> bool:
    spelled = rng.choice((bytes.title, bytes.upper))
    before = wire.headers
    wire.headers = [(spelled(name), value) for name, value in before]
    return "h2" not in wire.server and wire.headers != before


@may("body in other pieces")
def _(rng: Random, wire: Wire) -> bool:
    length = len(wire.body)
    if length < 2:
        return False
    wire.cuts = tuple(sorted(rng.sample(range(1, length), min(length - 1, rng.randint(1, 4)))))
    return True


@may("another server")
def _(rng: Random, wire: Wire) -> bool:
    if wire.framing == b"bare" or b"http" in wire.target[:4]:
        return False
    old, wire.server = wire.server, rng.choice(("h11", "httptools", "hypercorn"))
    return old != wire.server
