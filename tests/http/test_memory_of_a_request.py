"""What is left of a request when it has ended: nothing that only the garbage collector could find."""

from __future__ import annotations

import gc
from weakref import ref

import pytest

from stepup_middleware.asgi import Message, Scope
from tests.support import TRANSMIT, Browser, House, scope_of


class Cycle:
    """A request as servers keep it: an object that has the scope, and whose method the app is given as ``send``."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.status: int | None = None

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]


@pytest.mark.parametrize(
    ("method", "path", "proved", "status"),
    [
        ("GET", "/open", False, 200),
        ("POST", "/open", False, 200),
        ("POST", TRANSMIT, False, 401),
        ("POST", TRANSMIT, True, 200),
        ("POST", "/inside", False, 401),
    ],
)
async def test_a_request_leaves_no_ring_of_references_for_the_garbage_collector(
    ada: Browser, house: House, method: str, path: str, proved: bool, status: int
) -> None:
    headers = []
    if proved:
        token = await ada.prove(await ada.prompt(method, path), "passkey")
        headers = [("stepup-token", token), *([("content-length", "0")] if method == "POST" else [])]
    gc.collect()
    gc.disable()
    try:
        cycle = Cycle(scope_of(method, path, subject=ada.subject, headers=headers, ip=ada.ip))
        await house.app(cycle.scope, cycle.receive, cycle.send)
        assert cycle.status == status
        left = ref(cycle)
        del cycle
        assert left() is None
    finally:
        gc.enable()
