"""Runs the provider as a process: prints its port, serves until it is killed; its books are at `/-/books`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provider.server import HEAD_MAX, Service


async def main() -> None:
    service = Service()
    service.books.keep_arrivals = False
    server = await asyncio.start_server(service.connected, "127.0.0.1", 0, backlog=4096, limit=HEAD_MAX)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
