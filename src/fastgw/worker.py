"""A worker: one event loop that serves one listening socket until it is told to drain.

Started by the supervisor as `python -m fastgw.worker INDEX SEGMENT LISTEN_FD CONFIG_FD LIFELINE_FD`; never by hand.
"""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from typing import Any

import msgspec
import uvloop

from . import published
from ._segment import Segment
from .dataplane.connection import Connection
from .dataplane.plane import Plane
from .instance import BACKLOG
from .model import Config
from .states import WorkerState

LAST_CALL_S = 0.05  # in which connections that are already queued are still accepted
SPARE_DESCRIPTORS = 32  # of the process itself


def within_descriptors(config: Config) -> Config:
    """Raise the limit of open files as far as it goes, and take no more connections than it has descriptors for.

    A client beyond that gets an answer that says so; without a descriptor it could only be dropped.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = config.server
    upstreams = server.upstream_connections_max * sum(len(upstream.targets) for upstream in config.upstreams)
    free = max(2, most - SPARE_DESCRIPTORS) if most != resource.RLIM_INFINITY else sys.maxsize
    clients = max(1, free - min(upstreams, free // 2))
    if clients >= server.connections_max:
        return config
    return msgspec.structs.replace(config, server=msgspec.structs.replace(server, connections_max=clients))


class Worker:
    """Serves on an inherited socket; `drain` ends it."""

    def __init__(self, index: int, segment: Segment, listener: socket.socket, config_fd: int, lifeline: int) -> None:
        self.index = index
        self.segment = segment
        self.listener = listener
        self.config = within_descriptors(published.read(config_fd))
        self.lifeline = lifeline
        self.done = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.plane = plane = Plane(self.config, self.segment, self.index, loop)
        factory: Any = lambda: Connection(plane)  # noqa: E731  # a protocol by its methods, not by its base
        self.server = await loop.create_server(factory, sock=self.listener, backlog=BACKLOG)
        loop.add_signal_handler(signal.SIGTERM, self.drain)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what came before waited, and is heeded now
        loop.add_reader(self.lifeline, self.drain)  # readable means closed: the supervisor is gone
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self.segment.worker_set(self.index, os.getpid(), WorkerState.READY)
        await self.done.wait()
        plane.close()

    def drain(self) -> None:
        """Stop accepting; finish what is in flight, within the drain timeout."""
        if self.plane.draining:
            return
        self.loop.remove_reader(self.lifeline)
        self.plane.draining = True
        self.segment.worker_set(self.index, os.getpid(), WorkerState.DRAINING)
        self.loop.call_later(LAST_CALL_S, self._close_listener)
        self.loop.call_later(self.config.server.drain_timeout_ms / 1000, self._give_up)

    def _close_listener(self) -> None:
        self.server.close()
        self._close_idle()

    def _close_idle(self) -> None:
        for client in list(self.plane.clients):
            client.drain()
        if self.plane.clients:
            self.loop.call_later(LAST_CALL_S, self._close_idle)
        else:
            self.done.set()

    def _give_up(self) -> None:
        """Time is up: who still waits for an answer is told so, an answer that has begun is cut, nothing is charged."""
        for client in list(self.plane.clients):
            exchange = client.exchange
            if exchange is None:
                client.broken()
            else:
                exchange.upstream_late()
        self.loop.call_later(LAST_CALL_S, self.done.set)


def main(argv: list[str]) -> int:
    index, segment, listen_fd, config_fd, lifeline = int(argv[0]), argv[1], int(argv[2]), int(argv[3]), int(argv[4])
    # Ctrl-C reaches the whole group; only the supervisor acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(index, Segment.open(segment), socket.socket(fileno=listen_fd), config_fd, lifeline)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(worker.run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
