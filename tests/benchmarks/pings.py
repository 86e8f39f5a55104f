"""A client in a process of its own: one connection that asks for ``/ping`` again and again.

``python -m tests.benchmarks.pings PORT SECONDS`` prints the 99th percentile of the answers' times, in seconds.
"""

from __future__ import annotations

import socket
import sys
from time import perf_counter

REQUEST = b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n"
PAUSE_SECONDS = 0.002  # a bystander, not a load


def pings(port: int, seconds: float) -> list[float]:
    """Return the seconds that each answer took."""
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = perf_counter() + seconds
        while perf_counter() < end or len(times) < 100:
            began = perf_counter()
            connection.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b"pong"):
                received = connection.recv(65536)
                if not received:
                    raise AssertionError(f"the server closed the connection after {answer!r}")
                answer += received
            times.append(perf_counter() - began)
            while perf_counter() - began < times[-1] + PAUSE_SECONDS:
                pass
    return times


if __name__ == "__main__":
    measured = sorted(pings(int(sys.argv[1]), float(sys.argv[2])))
    sys.stdout.write(str(measured[int(len(measured) * 0.99)]))
