"""Decides which connection to a target carries an exchange: a kept-alive one, a new one, or none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._wire import is_quiet
from ..refusals import Refusal
from ..roster import Endpoint
from ..settings import Server
from .connecting import Connector, refusal_of
from .ends import Lender, UpstreamEnd

if TYPE_CHECKING:
    from .exchange import Exchange
    from .plane import Plane


class UpstreamConnection(UpstreamEnd):
    """One connection to a target. It belongs to at most one exchange, which reads what comes in."""

    def __init__(self, pool: Pool, exchange: Exchange) -> None:
        super().__init__()
        self.pool = pool
        self.exchange: Exchange | None = exchange
        self.connecting: Any = None
        self.closed = False
        self.idle_since = 0  # the tick

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.attach(transport)
        self.deadline = 0
        self.pool.gate.count(0, 1, 0)
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
        self.pool.forget(self)
        if self.exchange is not None:
            self.exchange.upstream_lost()

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
        if reusable and self.descriptor >= 0 and self.writable and idle_ms and not self.closed and not pool.closed:
            if not self.reused:
                self.reused = True
                pool.connector.settled(self.transport)
            self.hold_input(False)  # the next exchange must hear its answer, and the pool the end of the connection
            self.idle_since = pool.plane.wheel.tick
            pool.idle.append(self)
            pool.plane.wheel.arm(self, idle_ms)
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


class Pool(Lender):
    """The connections of one worker to one endpoint. `open` counts those made or being made."""

    def __init__(self, plane: Plane, endpoint: Endpoint, server: Server, connector: Connector) -> None:
        super().__init__(endpoint.number, b"Host: %b\r\n" % endpoint.authority.encode())
        self.connector = connector
        self.plane = plane
        self.gate = plane.gate
        self.endpoint = endpoint
        self.idle: list[UpstreamConnection] = []
        self.open = 0
        self.bound(server)
        self.tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    def bound(self, server: Server) -> None:
        """How many connections there may be, and how long they may take and lie idle, from now on."""
        self.most = server.upstream_connections_max
        self.connect_ms = server.connect_timeout_ms
        self.idle_ms = server.upstream_idle_timeout_ms

    def take(self, exchange: Exchange, fresh: bool) -> UpstreamEnd | None:
        while self.idle and not fresh:
            connection = self.idle.pop()
            if connection.is_usable():
                connection.exchange = exchange
                return connection
            connection.close()
        if self.open >= self.most:
            exchange.unserved(Refusal.OVERLOADED)
            return None
        self.open += 1
        connection = UpstreamConnection(self, exchange)
        connection.connecting = task = self.plane.loop.create_task(self._connect(connection))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        connection.expect(exchange.within(self.connect_ms))
        return None

    async def _connect(self, connection: UpstreamConnection) -> None:
        refusal = Refusal.UPSTREAM_UNREACHABLE
        try:
            factory: Any = lambda: connection  # noqa: E731  # a protocol by its methods, not by its base
            await self.connector.connect(factory)
            return
        except asyncio.CancelledError:
            refusal = Refusal.UPSTREAM_CONNECT_TIMEOUT
        except OSError as error:
            refusal = refusal_of(error)
        connection.closed = True
        connection.deadline = 0
        self.open -= 1
        if connection.exchange is not None:
            connection.exchange.unserved(refusal)

    def forget(self, connection: UpstreamConnection) -> None:
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)

    def close(self) -> None:
        """Close what is idle, and every other connection as soon as it is; calls in flight go on."""
        self.closed = True
        for connection in list(self.idle):
            connection.close()
