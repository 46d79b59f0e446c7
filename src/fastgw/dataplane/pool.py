"""Decides which connection to an endpoint carries an exchange: a kept-alive one, a new one, or none."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from .._wire import is_quiet
from ..refusals import Refusal
from ..roster import Endpoint
from .connecting import Connector, refusal_of
from .ends import UpstreamEnd
from .health import TRIAL, Health
from .policies import Candidate

if TYPE_CHECKING:
    from .._targets import Tally
    from .balancing import Upstream
    from .exchange import Exchange

# Connections that are being made at once. What has been down must not be buried under connections when it comes back;
# what has only not been spoken to yet gets as many as it has calls.
FEW = 4  # when one has failed, until one comes about; the calls beyond wait
MANY = 1 << 30
SHARED = 8  # of so many connections given back while own calls wait and others' too, one goes to the others


class UpstreamConnection(UpstreamEnd):
    """One connection to an endpoint. It belongs to at most one exchange, which reads what comes in."""

    def __init__(self, pool: Pool, exchange: Exchange) -> None:
        super().__init__()
        self.pool = pool
        self.exchange: Exchange | None = exchange
        self.connecting: Any = None
        self.closed = False
        self.epoch = pool.epoch
        self.idle_since = 0  # the tick

    def itself(self) -> UpstreamConnection:
        """For the event loop, which asks for a protocol; a closure in a coroutine would be a cycle."""
        return self

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.attach(transport)
        self.deadline = 0
        self.pool.gate.count(0, 1, 0)
        self.pool.connected()
        if self.exchange is None:
            self.give_back(True)
        else:
            self.exchange.connected(self)

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.answer_data(data)
        else:
            self.close()  # nobody asked: whatever it is, it must not become somebody's answer

    def eof_received(self) -> bool:
        if self.exchange is not None:
            self.exchange.answer_ended()
        return False  # whatever it still wants to read, the exchange has no use for it

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and self.secured:
            self.pool.connector.lost(error)
        self.pool.gate.count(0, -1, 0)
        self.descriptor = -1
        self.closed = True
        self.deadline = 0
        exchange = self.exchange
        self.pool.forget(self)
        if exchange is not None:
            exchange.upstream_lost()

    def pause_writing(self) -> None:
        self.writable = False
        if self.exchange is not None:
            self.exchange.request_input(True)

    def resume_writing(self) -> None:
        self.writable = True
        if self.exchange is not None:
            self.exchange.request_input(False)

    # UpstreamEnd

    def unsendable(self) -> None:
        self.descriptor = -1  # an answer may have come before the end; reading will tell

    def hold_input(self, held: bool) -> None:
        if self.closed or held == self.held:
            return
        self.held = held
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def expect(self, within_ms: int) -> None:
        self.pool.plane.wheel.arm(self, within_ms)

    def on_deadline(self) -> None:
        if self.exchange is None:
            self.close()
        elif self.transport is None:
            self.connecting.cancel()
        else:
            self.exchange.upstream_late()

    def give_back(self, reusable: bool) -> None:
        pool = self.pool
        self.exchange = None
        idle_ms = pool.idle_ms if self.idle_ms < 0 else min(self.idle_ms, pool.idle_ms)
        # What is not all written is not all read, and the next request would wait behind it.
        if reusable and self.descriptor >= 0 and self.writable and idle_ms and not self.closed and pool.keeps(self):
            if not self.reused:
                self.reused = True
                pool.connector.settled(self.transport)
            self.hold_input(False)  # the next exchange must hear its answer, and the pool the end of the connection
            self.idle_since = pool.plane.wheel.tick
            pool.idle.append(self)
            pool.plane.wheel.arm(self, idle_ms)
            if pool.waited_for:
                pool.room()
        else:
            self.close()

    def is_usable(self) -> bool:
        """Whether it has neither ended nor said anything while it was idle, as far as this machine has heard."""
        if self.closed or self.transport.is_closing():
            return False
        # Where it has just been used the event loop would know. It takes requests and ends in the order of its own.
        return self.idle_since == self.pool.plane.wheel.tick or is_quiet(self.descriptor)

    def close(self) -> None:
        """Cut it: what is still to be written or read is of no use to anybody."""
        self.exchange = None
        self.deadline = 0
        if self.closed:
            return
        if self.transport is not None:
            self.transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()


class Pool(Candidate):
    """The connections of one worker to one endpoint. `open` counts those made or being made, `connecting` the latter.

    `most` is the worker's own limit of connections; `requests_max` and `connections_max` are those of all workers.
    """

    def __init__(self, owner: Upstream, endpoint: Endpoint, tally: Tally, connector: Connector) -> None:
        super().__init__(endpoint.number, b"Host: %b\r\n" % endpoint.authority.encode(), endpoint.name, endpoint.weight)
        self.owner = owner
        self.connector = connector
        self.epoch = 0  # grows when connections are made to another place, or in another way
        self.plane = owner.plane
        self.gate = owner.plane.gate
        self.endpoint = endpoint
        self.tally = tally
        self.health = Health(owner, self)
        self.idle: list[UpstreamConnection] = []
        self.open = 0
        self.connecting = 0
        self.connecting_max = MANY
        self.trying = False  # the one call of a trial is here
        self.waited_for = False  # calls wait for room at the owner's endpoints
        self.tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        self.rested = False  # it has been closed, and nothing of it is left
        self.bound()

    def bound(self) -> None:
        """Take over the limits that the owner has now."""
        model, server = self.owner.model, self.owner.server
        self.timed = model.balance == "latency"
        self.requests_max = model.requests_max
        self.connections_max = model.connections_max
        self.most = server.upstream_connections_max
        self.connect_ms = server.connect_timeout_ms
        self.idle_ms = server.upstream_idle_timeout_ms

    def reweigh(self) -> None:
        """Its share is its weight, as far as it has started."""
        self.share = self.weight * self.health.percent

    # A call comes and goes

    def take(self, exchange: Exchange, fresh: bool) -> bool:
        call = exchange
        connection = None if fresh or not self.idle else self._idle_one()
        if connection is None and (self.open >= self.most or self.connecting >= self.connecting_max):
            return False
        if not self.tally.enter(self.requests_max):
            if connection is not None:
                self.idle.append(connection)
            return False
        if connection is None and not self._may_connect():
            self.tally.back_out()
            return False
        self.outstanding += 1
        if call.tries:
            self.tally.retried()
        if self.health.state == TRIAL:
            self.trying = True
            self.owner.sort()
        call.assign(self)
        if connection is not None:
            connection.exchange = call
            call.connected(connection)
        else:
            self._connect_for(call)
        return True

    def renew(self, exchange: Exchange) -> bool:
        if self.open >= self.most or self.connecting >= self.connecting_max or not self._may_connect():
            return False
        self._connect_for(exchange)
        return True

    def answered(self, status: int, us: int) -> None:
        self.tally.heard(us)
        if self.timed:
            self.observe(us, self.plane.wheel.tick, self.plane.wheel.tick_ms)
        if 502 <= status <= 504:
            self.failed()
        elif self.health.troubled:
            self.health.succeeded()

    def failed(self) -> None:
        self.tally.failed()
        self.health.failed()

    def left(self) -> None:
        self.tally.leave()
        self.outstanding -= 1
        if self.trying:
            self.trying = False
            self.owner.sort()
        if self.waited_for:
            self.room()
        elif self.closed:
            self._rest()

    def room(self) -> None:
        """There may be room for a call that waits."""
        self.owner.let_in(self)

    # Connections

    def _idle_one(self) -> UpstreamConnection | None:
        """One that has been kept, the last that was used."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    def _may_connect(self) -> bool:
        """Count one more in; false where there are as many as there may be."""
        if self.rested or not self.tally.connect(self.connections_max):
            return False
        self.open += 1
        self.connecting += 1
        return True

    def _connect_for(self, exchange: Exchange) -> None:
        connection = UpstreamConnection(self, exchange)
        connection.connecting = task = self.plane.loop.create_task(self._connect(connection))
        self.tasks.add(task)
        task.add_done_callback(partial(self._tried, connection))
        connection.expect(exchange.within(self.connect_ms))

    async def _connect(self, connection: UpstreamConnection) -> None:
        refusal = Refusal.UPSTREAM_UNREACHABLE
        try:
            await self.connector.connect(connection.itself)
            return
        except asyncio.CancelledError:
            refusal = Refusal.UPSTREAM_CONNECT_TIMEOUT
        except OSError as error:
            refusal = refusal_of(error)
        self.not_connected(connection, refusal)

    def _tried(self, connection: UpstreamConnection, task: asyncio.Task[None]) -> None:
        """The task is over. One that was cancelled before its first step has not said so: the loop had had no turn."""
        self.tasks.discard(task)
        if task.cancelled():
            self.not_connected(connection, Refusal.UPSTREAM_CONNECT_TIMEOUT)

    def connected(self) -> None:
        """A connection has come about."""
        self.connecting -= 1
        self.connecting_max = MANY
        if self.waited_for:
            self.room()

    def not_connected(self, connection: UpstreamConnection, refusal: Refusal) -> None:
        """One has not; who waited for it is told."""
        connection.closed = True
        connection.deadline = 0
        self.open -= 1
        self.connecting -= 1
        self.tally.disconnect()
        exchange = connection.exchange
        if exchange is not None:
            self.connecting_max = FEW
            self.failed()
            exchange.unreached(refusal)
        if self.waited_for:
            self.room()
        elif self.closed:
            self._rest()

    def forget(self, connection: UpstreamConnection) -> None:
        """It has ended."""
        self.open -= 1
        self.tally.disconnect()
        if connection in self.idle:
            self.idle.remove(connection)
        if self.waited_for:
            self.room()
        elif self.closed:
            self._rest()

    def keeps(self, connection: UpstreamConnection) -> bool:
        """Whether a connection is kept that is not needed just now: not if other workers wait for it, or for another
        call it would be made in another way."""
        if self.closed or connection.epoch != self.epoch:
            return False
        if not self.connections_max or not self.tally.is_wanted():
            return True
        return self.waited_for and random.randrange(SHARED) > 0

    def move(self, endpoint: Endpoint, connector: Connector) -> None:
        """The endpoint is elsewhere now, or spoken to in another way: connections go as soon as they are idle."""
        self.endpoint = endpoint
        self.connector = connector
        self.host_line = b"Host: %b\r\n" % endpoint.authority.encode()
        self.epoch += 1
        for connection in list(self.idle):
            connection.close()

    def close(self) -> None:
        """Close what is idle, and every other connection as soon as it is; calls in flight go on."""
        self.closed = True
        self.health.deadline = 0
        for connection in list(self.idle):
            connection.close()
        self._rest()

    def _rest(self) -> None:
        """Nothing of it is left, once it is closed."""
        if self.open == 0 and self.outstanding == 0 and not self.rested:
            self.rested = True
            self.tally.release()
