"""What all connections of one worker share: the gate, the wheel, the limits of time and size, the pools."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from .._core import Gate
from .._http import ResponseHead
from .._segment import Segment
from ..model import Config
from .admission import build_gate
from .deadlines import Wheel
from .upstream import Balancer

if TYPE_CHECKING:
    from .connection import Connection


class Plane:
    """The data plane of one worker. Nothing in it is global, so that two can live in one process."""

    def __init__(self, config: Config, segment: Segment, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        server = config.server
        self.loop = loop
        self.gate: Gate = build_gate(segment, worker, config)
        self.answer = ResponseHead()
        self.wheel = Wheel(int(time.monotonic() * 1000))
        self.clients: set[Connection] = set()
        self.draining = False
        self.url_max = server.url_max_bytes
        self.head_max = server.head_max_bytes
        self.body_max = server.body_max_bytes
        self.connections_max = server.connections_max
        self.head_ms = server.head_timeout_ms
        self.body_ms = server.body_timeout_ms
        self.idle_ms = server.idle_timeout_ms
        self.write_ms = server.write_timeout_ms
        self.first_byte_ms = server.first_byte_timeout_ms
        self.stream_ms = server.stream_timeout_ms
        self.total_ms = server.total_timeout_ms
        upstreams = {upstream.name: Balancer(self, upstream, server) for upstream in config.upstreams}
        self.by_route: list[Balancer] = [upstreams[route.upstream] for route in config.routes]
        self.upstreams: list[Balancer] = list(upstreams.values())
        self._second = 0
        self._turn()

    def _turn(self) -> None:
        """The one repeating timer of a worker."""
        now = time.monotonic()
        self.wheel.turn(int(now * 1000))
        second = int(time.time())
        if second != self._second:
            self._second = second
            self.gate.tick(b"Date: %b\r\n" % formatdate(second, usegmt=True).encode())
        self._timer = self.loop.call_later(self.wheel.tick_ms / 1000, self._turn)

    def close(self) -> None:
        """Stop the timer and close what is idle in the pools."""
        self._timer.cancel()
        for upstream in self.upstreams:
            upstream.close()
