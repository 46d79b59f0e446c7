"""What all connections of one worker share: the gate, the wheel, the limits of time and size, the pools."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from .._core import Gate
from .._http import ResponseHead
from .._idempotency import Idempotency
from .._segment import Segment
from ..model import Config, Route
from .admission import build_gate, reload_gate
from .balancing import Upstream
from .bounds import Bounds
from .deadlines import Wheel
from .service import Service

if TYPE_CHECKING:
    from .connection import Connection
    from .idempotent import Nobody


def services(config: Config, upstreams: dict[str, Upstream]) -> list[Service]:
    """What each route leads to, in the routes' order; `upstreams` by name."""
    priced = {name for plan in config.plans for name, price in plan.prices if price}
    return [
        Service(route, upstreams[route.upstream], priced=_has_price(route) or route.name in priced)
        for route in config.routes
    ]


def _has_price(route: Route) -> bool:
    return max(route.price_nanos, route.minute_price_nanos, route.mib_price_nanos) > 0


class Plane:
    """The data plane of one worker. Nothing in it is global, so that two can live in one process."""

    def __init__(self, config: Config, segment: Segment, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.segment = segment
        self.gate: Gate = build_gate(segment, worker, config)
        self.answer = ResponseHead()
        self.wheel = Wheel(int(time.monotonic() * 1000))
        self.bounds = Bounds(config.server)
        self.clients: set[Connection | Nobody] = set()
        self.draining = False
        self.upstreams: dict[str, Upstream] = {}
        self.upstreams = self._upstreams(config)
        self.services = services(config, self.upstreams)
        self.calls: Idempotency | None = None  # those with an Idempotency-Key, once a route heeds it
        self._remember(config)
        self._second = 0
        self._turn()

    def _turn(self) -> None:
        """The one repeating timer of a worker."""
        now = time.monotonic()
        self.gate.beat()
        self.wheel.turn(int(now * 1000))
        second = int(time.time())
        if second != self._second:
            self._second = second
            self.gate.tick(b"Date: %b\r\n" % formatdate(second, usegmt=True).encode())
        self._timer = self.loop.call_later(self.wheel.tick_ms / 1000, self._turn)

    def _upstreams(self, config: Config) -> dict[str, Upstream]:
        """By name; the pools of targets that there are already stay."""
        return {
            upstream.name: Upstream(self, upstream, config.server, self.upstreams.get(upstream.name))
            for upstream in config.upstreams
        }

    def _remember(self, config: Config) -> None:
        """Map the table of idempotent calls, if one of the routes needs it."""
        if self.calls is None and any(route.idempotency_window_ms for route in config.routes):
            self.calls = Idempotency(self.segment, self.gate.worker)
            self.calls.recover()  # what was in flight here in another life of this worker is not any more

    def reconfigure(self, config: Config) -> None:
        """Serve by `config` from the next request on: routes, plans, refusals, limits of size and time, upstreams.

        Calls in flight end by the terms and limits that they began with, on the connections that they have; clients
        keep theirs. The slots of routes and plans must be in the segment already. When it raises, nothing has changed.
        """
        former = self.upstreams
        upstreams = self._upstreams(config)
        self._remember(config)
        reload_gate(self.gate, self.segment, config)
        self.services = services(config, upstreams)
        self.bounds = Bounds(config.server)
        self.upstreams = upstreams
        for name, upstream in former.items():
            upstream.leave(upstreams.get(name))
        for upstream in upstreams.values():
            for pool in upstream.pools:
                pool.bound(config.server)

    def close(self) -> None:
        """Stop the timer and close what is idle in the pools."""
        self._timer.cancel()
        for upstream in self.upstreams.values():
            upstream.leave(None)
