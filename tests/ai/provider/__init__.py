"""A fake provider of language models: it speaks the real formats, keeps books of its own, and misbehaves when told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from .books import Arrival, Bill, Books
from .orders import Order, order
from .server import HEAD_MAX, MODELS, Service

__all__ = ["MODELS", "Arrival", "Bill", "Books", "Order", "Provider", "Service", "order"]


class Provider:
    """A provider on a port of its own, in a thread. `url` has no path: every base path leads to it."""

    def __init__(self) -> None:
        self.service = Service()
        self.books = self.service.books
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provider", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread.start()
        assert self._ready.wait(10), "the provider did not start"
        self.url = f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        server = await asyncio.start_server(self.service.connected, "127.0.0.1", 0, backlog=4096, limit=HEAD_MAX)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()

    def close(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def rule(self, rule: Callable[[Order, str], Order]) -> Iterator[None]:
        """Change orders as `rule(order, key)` says, for as long as the block lasts."""
        self.service.rules.append(rule)
        try:
            yield
        finally:
            self.service.rules.remove(rule)

    def idle(self, within_s: float = 5.0) -> None:
        """Wait until no call is under way, so that every bill is whole."""
        deadline = time.monotonic() + within_s
        while self.service.now:
            assert time.monotonic() < deadline, f"{self.service.now} calls are under way after {within_s} s"
            time.sleep(0.005)
