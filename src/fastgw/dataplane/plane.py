"""What all connections of one worker share: the gate, the wheel, the limits of time and size, the pools."""

from __future__ import annotations

import asyncio
import ssl
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from .. import upstream_tls
from .._call import Proxies
from .._core import Gate
from .._http import ResponseHead
from .._idempotency import Idempotency
from .._segment import Segment
from .._targets import Targets
from ..model import Config, Route
from ..roster import Roster, completed, initial, numbered
from .admission import build_gate, reload_gate
from .balancing import Upstream
from .bounds import Bounds
from .deadlines import Wheel
from .ends import Group
from .pressure import Level, Pressure
from .prompting import published
from .providers import Sources
from .service import Service
from .tls import Contexts

if TYPE_CHECKING:
    from .connection import Connection
    from .doors import Newcomer
    from .idempotent import Nobody
    from .tls_transport import TlsTransport
    from .wishes import Wishes

NOWHERE = Group()  # the upstream of what has none of its own
QUIET_MS = 1000  # without a request, after which a connection is closed where memory is short


def services(config: Config, upstreams: dict[str, Upstream], sources: Sources) -> list[Service]:
    """What each route leads to, in the routes' order; `upstreams` by name."""
    plans = {name for plan in config.plans for name, price in plan.prices if price}
    prompts = published(config)
    made = []
    for route in config.routes:
        models = sources.of(route)
        prompt = prompts[route.prompt] if route.prompt else None
        if models is not None and prompt is not None:
            models = prompt.terms(models)
        priced = _has_price(route) or route.name in plans or (models is not None and route.auth == "key")
        made.append(Service(route, NOWHERE if models else upstreams[route.upstream], priced, models, prompt))
    return made


def _has_price(route: Route) -> bool:
    return max(route.price_nanos, route.minute_price_nanos, route.mib_price_nanos) > 0


class Plane:
    """The data plane of one worker. Nothing in it is global, so that two can live in one process.

    An upstream that is not in the newest roster has the endpoints that are known without asking anybody.
    """

    def __init__(self, config: Config, segment: Segment, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.segment = segment
        self.gate: Gate = build_gate(segment, worker, config)
        self.answer = ResponseHead()
        self.wheel = Wheel(int(time.monotonic() * 1000))
        self.bounds = Bounds(config.server)
        self.proxies = Proxies(config.server.trusted_proxies)
        self.contexts = Contexts(config)  # of TLS, for connections that come
        self.clients: set[Connection | Nobody | Newcomer | TlsTransport] = set()
        self.pressure = Pressure(f"worker {worker}")
        self.draining = False
        self.parting = False  # the next answer on a connection is the last
        self.shedding = False  # what is new is refused
        self.config = config
        self.roster = initial(config)
        self.targets = Targets(segment, worker)
        self.targets.forget()  # what was in flight here in another life of this worker is not any more
        self.upstreams: dict[str, Upstream] = {}
        self.upstreams = self._upstreams(config, self.roster, self._outgoing(config, self.roster))
        self.sources = Sources()
        self.sources.set(config, self.upstreams, self.segment)
        self.services = services(config, self.upstreams, self.sources)
        self.wishes: Wishes | None = None  # where the keeper can be asked for tags
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
            self._mind_memory()
        self._timer = self.loop.call_later(self.wheel.tick_ms / 1000, self._turn)

    def _mind_memory(self) -> None:
        """Take on less while there is too little."""
        level = self.pressure.look(self.bounds.memory_max)
        self.parting = self.draining or level >= Level.SHORT
        self.shedding = level is Level.FULL
        self.gate.strain(self.pressure.used, level, self._close_quiet() if level else 0)

    def _close_quiet(self) -> int:
        """Close the connections that have waited for a request for a while, not those that may have one on its way."""
        quiet = self.wheel.tick + (self.bounds.idle_ms - QUIET_MS) // self.wheel.tick_ms
        waiting = [client for client in self.clients if client.exchange is None and 0 < client.deadline <= quiet]
        return sum(bool(client.drain()) for client in waiting)

    def drain(self) -> None:
        """From now on every answer is the last of its connection."""
        self.draining = self.parting = True

    def _outgoing(self, config: Config, roster: Roster) -> dict[str, ssl.SSLContext | None]:
        """The TLS of each upstream, None as long as no endpoint needs it. Raises `upstream_tls.TlsFileError`."""
        contexts = {}
        for model in config.upstreams:
            former = self.upstreams.get(model.name)
            context = former.context if former is not None and former.model.tls == model.tls else None
            if context is None and any(endpoint.tls for endpoint in roster.upstreams[model.name]):
                context = upstream_tls.context(model.tls)
            contexts[model.name] = context
        return contexts

    def _upstreams(
        self, config: Config, roster: Roster, contexts: dict[str, ssl.SSLContext | None]
    ) -> dict[str, Upstream]:
        """By name, with their endpoints; those that there are already stay, and go by what is said of them now."""
        upstreams = {}
        for model in config.upstreams:
            upstream = self.upstreams.get(model.name)
            if upstream is None:
                upstream = Upstream(self, model, config.server, contexts[model.name])
            else:
                upstream.reconfigure(model, config.server, contexts[model.name])
            upstream.retarget(roster.upstreams[model.name])
            upstreams[model.name] = upstream
        return upstreams

    def _remember(self, config: Config) -> None:
        """Map the table of idempotent calls, if one of the routes needs it."""
        if self.calls is None and any(route.idempotency_window_ms for route in config.routes):
            self.calls = Idempotency(self.segment, self.gate.worker)
            self.calls.recover()  # what was in flight here in another life of this worker is not any more

    def reconfigure(self, config: Config, roster: Roster | None = None) -> None:
        """Serve by `config` from the next request on: routes, plans, refusals, limits of size and time, upstreams; and
        by the roster that comes with it, or by what is known without asking anybody.

        Calls in flight end by the terms and limits that they began with, on the connections that they have; clients
        keep theirs, whatever certificate they were shown. The slots of routes and plans must be in the segment already.
        When it raises, nothing has changed.
        """
        if roster is None:
            roster = numbered(initial(config).upstreams, self.roster)  # whose pools stay
        roster = completed(roster, config)
        contexts = Contexts(config, self.contexts)
        outgoing = self._outgoing(config, roster)
        self._remember(config)
        self.sources.prepare(config, self.segment)
        reload_gate(self.gate, self.segment, config)
        former = self.upstreams
        self.upstreams = self._upstreams(config, roster, outgoing)
        self.sources.set(config, self.upstreams, self.segment)
        self.services = services(config, self.upstreams, self.sources)
        self.contexts = contexts
        self.bounds = Bounds(config.server)
        self.proxies = Proxies(config.server.trusted_proxies)  # connections keep those that they came by
        self.config = config
        self.roster = roster
        for name, upstream in former.items():
            if name not in self.upstreams:
                upstream.leave()

    def retarget(self, roster: Roster) -> None:
        """Send calls to the endpoints of this roster from the next one on; those in flight go on where they are.

        When it raises, nothing has changed.
        """
        roster = completed(roster, self.config)
        outgoing = self._outgoing(self.config, roster)
        self.roster = roster
        for name, upstream in self.upstreams.items():
            upstream.context = outgoing[name]
            upstream.retarget(roster.upstreams[name])

    def close(self) -> None:
        """Stop the timer and close what is idle in the pools."""
        self._timer.cancel()
        self.pressure.close()
        for upstream in self.upstreams.values():
            upstream.close()
