"""A client in a process of its own: keeps connections busy with requests that were written before.

Reads ``port``, ``connections``, ``seconds`` and the requests from a pickle on standard input; prints how many were
answered in how many seconds, how many with each status, and the 99th percentile of how long an answer took.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last one is whole."""

    def __init__(self, requests: Iterator[bytes], counts: Counter[bytes], took: list[float], end: float) -> None:
        self._requests = requests
        self._counts = counts
        self._took = took
        self._sent = 0.0
        self._end = end
        self._received = b""
        self._wanted = -1  # bytes of the answer that is being read, once its head is there
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None or perf_counter() >= self._end:
            self._transport.close()
            return
        self._sent = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        if self._wanted < 0:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return
            place = received.lower().find(b"content-length: ", 0, head) + 16
            self._wanted = head + 4 + int(received[place : received.find(b"\r\n", place)])
        if len(received) >= self._wanted:
            self._counts[received[9:12]] += 1
            self._took.append(perf_counter() - self._sent)
            self._received = b""
            self._wanted = -1
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run(port: int, connections: int, seconds: float, requests: list[bytes], repeat: bool) -> dict[str, object]:
    """Send the requests over so many connections; ``repeat`` them until the time is over."""

    def endless() -> Iterator[bytes]:
        while True:
            yield from requests

    loop = asyncio.get_running_loop()
    counts: Counter[bytes] = Counter()
    took: list[float] = []
    source = endless() if repeat else iter(requests)
    began = perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(source, counts, took, began + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    elapsed = perf_counter() - began
    took.sort()
    return {
        "seconds": elapsed,
        "statuses": {status.decode(): count for status, count in counts.items()},
        "p99 ms": took[int(len(took) * 0.99)] * 1e3,
    }


if __name__ == "__main__":
    given = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the benchmark that started this process
    sys.stdout.write(json.dumps(uvloop.run(run(**given))))
