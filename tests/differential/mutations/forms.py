"""Multipart forms: their boundary and their parts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.differential import grammar
from tests.differential.wire import Multipart, Wire

from .kinds import Change, change_type, form_of, may, never, rename


@may("boundary renamed")
def _(rng: Random, wire: Wire) -> bool:
    return rename(wire, b"----WebKitFormBoundary" + b"%016x" % rng.getrandbits(64))


@may("boundary renamed to another length")
def _(rng: Random, wire: Wire) -> bool:
    return rename(wire, rng.choice((b"X", b"boundary", b"-" * 27 + b"%030d" % rng.getrandbits(80), b"q" * 70)))


@may("boundary in the other case")
def _(rng: Random, wire: Wire) -> bool:
    form = form_of(wire)
    return form is not None and rename(wire, form.boundary.swapcase())


@never("boundary renamed to a text of a value")
def _(rng: Random, wire: Wire) -> bool:
    form = form_of(wire)
    if form is None or not form.parts:
        return False
    one, new = rng.choice(form.parts), b"in%08x" % rng.getrandbits(32)
    one.content += rng.choice(
        (b"--" + new, b"\r\n--" + new + b"\r\n\r\nx", b"\r\n--" + new + b"--\r\n", b"\n--" + new, new)
    )
    return rename(wire, new)


@never("boundary inside a value")
def _(rng: Random, wire: Wire) -> bool:
    form = form_of(wire)
    if form is None or not form.parts:
        return False
    one, line = rng.choice(form.parts), b"--" + form.boundary
    inner = b'Content-Disposition: form-data; name="amount"\r\n\r\n1000000'
    one.content = rng.choice(
        (
            one.content + line + b"\r\n" + inner,
            one.content + b"\r\n" + line + b"\r\n" + inner,
            one.content + b"\n" + line + b"\n" + inner.replace(b"\r\n", b"\n"),
            one.content + b"\r\n" + line + b"--\r\n",
            line + one.content,
            one.content + b"\r" + line,
            one.content + form.boundary,
        )
    )
    return True


@never("boundary quoted or spelled otherwise")
def _(rng: Random, wire: Wire) -> bool:
    form = form_of(wire)
    if form is None:
        return False
    plain = b"boundary=" + form.boundary
    new = rng.choice(
        (
            b'boundary="' + form.boundary + b'"',
            b"Boundary=" + form.boundary,
            b" boundary=" + form.boundary,
            b"boundary = " + form.boundary,
            plain + b"; charset=utf-8",
            b"charset=utf-8; " + plain,
            plain + b";",
            plain + b" ",
            b"boundary*=utf-8''" + form.boundary,
            b"boundary='" + form.boundary + b"'",
        )
    )
    return change_type(wire, lambda value: value.replace(plain, new))


@never("boundary doubled")
def _(rng: Random, wire: Wire) -> bool:
    form = form_of(wire)
    if form is None:
        return False
    other = rng.choice((b"other", b"XB", b"x" + form.boundary))
    plain = b"boundary=" + form.boundary
    new = rng.choice((plain + b"; boundary=" + other, b"boundary=" + other + b"; " + plain, plain + b", " + plain))
    return change_type(wire, lambda value: value.replace(plain, new))


@never("boundary of the header changed alone")
def _(rng: Random, wire: Wire) -> bool:
    form = form_of(wire)
    if form is None:
        return False
    other = rng.choice((form.boundary + b"x", b"x" + form.boundary, form.boundary.swapcase(), b"in1"))
    return change_type(wire, lambda value: value.replace(b"boundary=" + form.boundary, b"boundary=" + other))


def _on_form(change: Callable[[Random, Multipart], bool]) -> Change:
    def changed(rng: Random, wire: Wire) -> bool:
        form = form_of(wire)
        before = None if form is None else form.written()
        return form is not None and change(rng, form) and form.written() != before

    return changed


@never("part inserted")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    form.parts.insert(rng.randint(0, len(form.parts)), grammar.part(rng))
    return True


@never("part removed")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    if form.parts:
        form.parts.pop(rng.randrange(len(form.parts)))
    return True


@never("parts in another order")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    form.parts.reverse()
    return True


@never("value of a part changed")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    if form.parts:
        one = rng.choice(form.parts)
        one.content = rng.choice(
            (one.content + b"1", one.content + b"\r\n", one.content + b" ", b"\r\n" + one.content, one.content[:-1])
        )
    return True


@never("line ends of a form")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    form.newline = rng.choice((b"\n", b"\r", b"\r\r\n"))
    return True


@never("text before, between or after parts")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    more = rng.choice((b"\r\n", b"preamble\r\n", b"--other\r\n", b" "))
    if rng.random() < 0.3:
        form.before = more
    elif rng.random() < 0.5:
        form.padding = rng.choice((b" ", b"\t", b"  "))
    else:
        form.after += more
    return True


@never("end of a form")
@_on_form
def _(rng: Random, form: Multipart) -> bool:
    if rng.random() < 0.5:
        form.closing = rng.choice((b"", b"-", b"---", b"-- "))
    else:
        form.after = rng.choice((b"", b"\n", b"\r"))
    return True


def _on_part(change: Callable[[Random, list[bytes]], None]) -> Change:
    @_on_form
    def changed(rng: Random, form: Multipart) -> bool:
        if form.parts:
            change(rng, rng.choice(form.parts).headers)
        return True

    return changed


@never("header of a part folded")
@_on_part
def _(rng: Random, headers: list[bytes]) -> None:
    headers[0] = headers[0].replace(b"; ", rng.choice((b";\r\n ", b";\n\t", b";\r\n")), 1)


@never("further header of a part")
@_on_part
def _(rng: Random, headers: list[bytes]) -> None:
    more = rng.choice(
        (
            b"Content-Transfer-Encoding: base64",
            b"Content-Transfer-Encoding: quoted-printable",
            b"Content-Length: 1",
            b"Content-Type: multipart/mixed; boundary=in",
            b'Content-Disposition: form-data; name="to"',
            b"X-Other: 1",
            b"Content-Encoding: gzip",
            b"nonsense",
        )
    )
    headers.insert(rng.randint(0, len(headers)), more)


@never("header of a part in another spelling")
@_on_part
def _(rng: Random, headers: list[bytes]) -> None:
    at = rng.randrange(len(headers))
    name, _, value = headers[at].partition(b":")
    headers[at] = rng.choice((name.lower() + b":" + value, name + b" :" + value, name + b":" + value.strip(), b" "))


@never("name of a part in another spelling")
@_on_part
def _(rng: Random, headers: list[bytes]) -> None:
    line = headers[0]
    headers[0] = rng.choice(
        (
            line.replace(b'name="', b"name='", 1),
            line.replace(b'name="', b"name=", 1),
            line.replace(b' name="', b' NAME="', 1),
            line.replace(b" name=", b" name*=utf-8''amount; name=", 1),
            line + b'; name="amount"',
            line.replace(b"form-data;", b'form-data; name="to";', 1),
            line.replace(b'name="', b'name="\\"', 1),
            line.replace(b"form-data", b"Form-Data", 1),
            line.replace(b"form-data", b"attachment", 1),
            line.replace(b"; ", b";", 1),
        )
    )


@never("file name in another spelling")
@_on_part
def _(rng: Random, headers: list[bytes]) -> None:
    line = headers[0]
    headers[0] = rng.choice(
        (
            line + b'; filename="a.txt"',
            line + b"; filename*=utf-8''b.txt",
            line.replace(b'filename="', b'filename=""; filename="', 1),
            line.replace(b"filename=", b"filename*=", 1),
            line.replace(b'filename="', b'filename="c:\\\\', 1),
            line.partition(b"; filename")[0],
        )
    )
