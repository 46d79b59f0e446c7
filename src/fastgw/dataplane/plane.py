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
from .bounds import Bounds
from .deadlines import Wheel
from .service import Service
from .upstream import Balancer

if TYPE_CHECKING:
    from .connection import Connection


def services(config: Config, upstreams: dict[str, Balancer]) -> list[Service]:
    """What each route leads to, in the routes' order; `upstreams` by name."""
    priced = {name for plan in config.plans for name, price in plan.prices if price}
    return [
        Service(route, upstreams[route.upstream], priced=route.price_nanos > 0 or route.name in priced)
        for route in config.routes
    ]


class Plane:
    """The data plane of one worker. Nothing in it is global, so that two can live in one process."""

    def __init__(self, config: Config, segment: Segment, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.gate: Gate = build_gate(segment, worker, config)
        self.answer = ResponseHead()
        self.wheel = Wheel(int(time.monotonic() * 1000))
        self.bounds = Bounds(config.server)
        self.clients: set[Connection] = set()
        self.draining = False
        self.upstreams = {upstream.name: Balancer(self, upstream, config.server) for upstream in config.upstreams}
        self.services = services(config, self.upstreams)
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
        for upstream in self.upstreams.values():
            upstream.close()
