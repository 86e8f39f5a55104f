"""A body that is read ahead: whatever asks for it in which order, the app receives what the server sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.asgi import Message
from stepup_middleware.core.multipart import MOST_PARTS, PIECES
from stepup_middleware.request import body as module
from stepup_middleware.request.body import RequestBody, content_digest
from tests.core.test_multipart import body_of, field
from tests.http.test_bound_request import TYPE

DIVISOR = 4096  # of the bounds, so that a few hundred bytes are a long body


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Make the bounds small, for pieces of a few bytes to cross them."""
    patch = pytest.MonkeyPatch()
    for name in ("SPOOLED_BEYOND", "REPEATED_FORM_LIMIT"):
        patch.setattr(module, name, getattr(module, name) // DIVISOR)
    patch.setattr(module, "PIECE", 64)
    yield
    patch.undo()


@given(
    pieces=st.lists(st.binary(max_size=400), min_size=1, max_size=12),
    asks=st.lists(st.sampled_from(["app", "form", "gate"]), max_size=20),
    keeps_form=st.booleans(),
)
def test_the_app_receives_every_byte_in_order_whoever_else_has_asked(
    pieces: list[bytes], asks: list[str], keeps_form: bool
) -> None:
    sent = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]
    sent.append({"type": "http.disconnect"})

    async def scenario() -> tuple[list[Message], str]:
        coming = iter(sent)

        async def receive() -> Message:
            return next(coming)

        body = RequestBody(receive, [], limit=10**6, keeps_form=keeps_form)
        received: list[Message] = []
        for ask in asks:
            if ask == "gate":
                await body.complete()
            elif ask == "form":
                await body.form()
            elif not received or received[-1]["type"] == "http.request":
                received.append(await body())
        digest = (await body.complete()).as_it_came
        while not received or received[-1]["type"] == "http.request":
            received.append(await body())
        body.close()
        return received, digest

    received, digest = asyncio.run(scenario())
    *parts, end = received
    assert b"".join(part["body"] for part in parts) == b"".join(pieces)
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert end == {"type": "http.disconnect"}
    assert digest == content_digest(sha256(b"".join(pieces)).digest())


@pytest.mark.parametrize("piece", [b"", b"x"])
async def test_a_body_in_very_many_pieces_takes_little_more_memory_than_its_bytes(piece: bytes) -> None:
    left = 5000

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": piece, "more_body": left > 0}

    body = RequestBody(receive, [], limit=10**6, keeps_form=False)
    await body.complete()
    assert len(body._ahead) <= 1 + 5000 // module.PIECE + 1
    received = [await body()]
    while received[-1]["more_body"]:
        received.append(await body())
    assert b"".join(part["body"] for part in received) == piece * 5000
    body.close()


@pytest.mark.parametrize("who", ["the app", "a gate"])
async def test_a_reader_that_gives_up_while_the_digest_is_taken_loses_nothing(who: str) -> None:
    pieces = [b"a" * 5_000_000, b"b"]

    async def receive() -> Message:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    body = RequestBody(receive, [], limit=10**7, keeps_form=False)
    reading = asyncio.ensure_future(body() if who == "the app" else body.complete())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await body.complete()).as_it_came == content_digest(sha256(b"a" * 5_000_000 + b"b").digest())
    assert [len((await body())["body"]) for _ in range(2)] == [5_000_000, 1]
    body.close()


async def test_a_gate_waits_for_the_digest_of_a_piece_that_the_app_is_reading() -> None:
    whole = b"a" * 5_000_000

    async def receive() -> Message:
        return {"type": "http.request", "body": whole, "more_body": False}

    body = RequestBody(receive, [], limit=10**7, keeps_form=False)
    reading = asyncio.ensure_future(body())
    await asyncio.sleep(0)
    assert (await body.complete()).as_it_came == content_digest(sha256(whole).digest())
    assert (await reading)["body"] == whole
    body.close()


# Z05
@pytest.mark.parametrize(
    ("whole", "turns"),
    [(b"a" * 5_000_000, 5_000_000 // module.DIGESTED), (body_of([field()] * MOST_PARTS), 2 * MOST_PARTS // PIECES)],
    ids=["large", "in parts"],
)
async def test_others_have_their_turn_while_the_digest_of_one_piece_is_taken(whole: bytes, turns: int) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": whole, "more_body": False}

    had = 0

    async def others() -> None:
        nonlocal had
        while True:
            had += 1
            await asyncio.sleep(0)

    body = RequestBody(receive, [(b"content-type", TYPE)], limit=10**7, keeps_form=False)
    task = asyncio.ensure_future(others())
    await body.complete()
    task.cancel()
    assert had >= turns
    body.close()
