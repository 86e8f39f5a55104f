"""Start the demo: ``python -m demo_app [--host localhost] [--port 8000] [--database axis.db]``."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress

import uvicorn

from demo_app.app import create_app
from demo_app.settings import from_arguments

_SHUTDOWN_SECONDS = 5  # for requests that are running
_COLLECT_AFTER = 20_000  # objects more than were freed


class Server(uvicorn.Server):
    """A server that tells the app when it stops, so that event streams end and do not hold it."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then shut down as ever."""
        self._stopping.set()
        await super().shutdown(sockets)


def main() -> None:
    """Print the address and serve until interrupted."""
    settings = from_arguments()
    print(f"AxisSynapse is at {settings.origin}", flush=True)
    stopping = asyncio.Event()
    config = uvicorn.Config(
        create_app(settings, stopping=stopping),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        proxy_headers=False,  # the client's address is the connection's, not a header's word
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    gc.collect()
    gc.freeze()  # what is loaded by now stays: the collector need not look at it again
    gc.set_threshold(_COLLECT_AFTER)
    with suppress(KeyboardInterrupt):
        Server(config, stopping).run()


if __name__ == "__main__":
    main()
