"""Decides how connections come in by a listener, and whose they are: as they are, or behind a PROXY header.

In each turn of the event loop a few are accepted, so that each of the workers on one socket gets its share; more where
more are open, or newcomers would wait for many long turns; but few of them where turns take too long already.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from functools import partial
from typing import Any

from .._call import Peer
from ..model import Listener
from .backlog import Backlog
from .connection import Connection
from .deadlines import Timed
from .plane import Plane
from .proxy_protocol import HEADER_MAX, Malformed, Source, header_end, source
from .tls_transport import TlsTransport

ACCEPTS = 16  # connections taken in one turn of the event loop, at least
GROWTH = 4  # a turn may add one for so many that are open
SLOW_S = 0.05  # or, where the one before took longer,
SLOW_GROWTH = 16
PAUSE_S = 0.1  # without accepting, when there is no descriptor or memory for a connection
SAY_S = 60.0  # between two lines about connections that were turned away
SPARE = 16  # connections beyond those that may be open: whose header is awaited, or which are told so
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """One listener, in one worker."""

    def __init__(self, plane: Plane, listener: Listener) -> None:
        self.plane = plane
        self.listener = listener
        self.scheme = "https" if listener.tls else "http"
        self.said_at = -SAY_S

    def open(self, listening: socket.socket) -> Acceptor:
        """Accept on a socket, which is this object's from now on, until what is returned is closed."""
        return Acceptor(self, listening)

    def receiver(self, told: Newcomer | None = None) -> Connection | TlsTransport:
        """What the event loop talks to for a connection that has just come; `told` knows whose, by its PROXY header."""
        plane = self.plane
        connection = Connection(plane, self, told)
        if self.listener.tls:
            return TlsTransport(plane, plane.contexts.by_kind[self.listener.client_certificates], connection)
        return connection

    def peer(self, transport: Any, told: Newcomer | None) -> Peer:
        """Who is at the other end of a connection, which is among the clients from now on."""
        name = transport.get_extra_info("peername")
        if told is not None:
            self.plane.clients.discard(told)
            name = told.source or name
        address, port = name[:2] if isinstance(name, tuple) else ("", 0)
        return Peer(address, port, self.plane.proxies, self.scheme)

    async def serve(self, client: socket.socket, told: Newcomer | None) -> None:
        """Make an accepted socket a connection."""
        factory: Any = partial(self.receiver, told)
        try:
            await self.plane.loop.connect_accepted_socket(factory, client)
        except OSError:  # it is gone
            client.close()

    def turn_away(self, who: str, why: str) -> None:
        """Count a connection that is closed for its PROXY header, and say so from time to time."""
        self.plane.gate.meet(1, 0, 0)
        now = time.monotonic()
        if now - self.said_at >= SAY_S:
            self.said_at = now
            line = f"a connection of {who} to {self.listener.address} was closed: {why}"
            print(f"fastgw: error: {line}", file=sys.stderr, flush=True)


class Acceptor:
    """Accepts on one socket."""

    def __init__(self, door: Door, listening: socket.socket) -> None:
        self.door = door
        self.loop = door.plane.loop
        self.listening = listening
        self.tasks: set[asyncio.Task[None]] = set()
        self.pause: asyncio.TimerHandle | None = None
        self.backlog = Backlog(self.loop, listening)
        self.left_at = 0.0  # when a turn took as many as it may
        listening.setblocking(False)
        self.loop.add_reader(listening.fileno(), self.accept)

    def accept(self) -> None:
        plane = self.door.plane
        growth = GROWTH if self.loop.time() - self.left_at < SLOW_S else SLOW_GROWTH
        for _ in range(max(ACCEPTS, len(plane.clients) // growth)):
            if len(plane.clients) >= plane.bounds.connections_max + SPARE:
                self._rest()  # so many are just being told that there is no room
                return
            try:
                client, _ = self.listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._rest()
                    return
                continue  # the client has gone already
            self.backlog.accepted += 1
            client.setblocking(False)
            if self.door.listener.proxy_protocol:
                self._await_header(client)
            else:
                self.start(client)
        self.left_at = self.loop.time()
        self.backlog.left_some()

    def _rest(self) -> None:
        """Look again in a while: the socket stays readable, and who waits there is served when there is room."""
        self.loop.remove_reader(self.listening.fileno())
        self.pause = self.loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self.pause = None
        self.loop.add_reader(self.listening.fileno(), self.accept)

    def start(self, client: socket.socket, told: Newcomer | None = None) -> asyncio.Task[None]:
        """Make it a connection."""
        task = self.loop.create_task(self.door.serve(client, told))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def _await_header(self, client: socket.socket) -> None:
        plane = self.door.plane
        who = Peer("", 0, plane.proxies)
        if client.family != socket.AF_UNIX:
            try:
                address, port = client.getpeername()[:2]
                who = Peer(address, port, plane.proxies)
            except OSError:
                client.close()
                return
            if not who.trusted:
                self.door.turn_away(who.address, "it is none of server.trusted_proxies, whose PROXY header counts")
                client.close()
                return
        Newcomer(self, client, who.address or "a Unix socket")

    def close(self) -> None:
        """Accept no more; who has been accepted is served."""
        if self.pause is not None:
            self.pause.cancel()
        else:
            self.loop.remove_reader(self.listening.fileno())
        self.backlog.close()
        self.listening.close()


class Newcomer(Timed):
    """A client whose PROXY header is awaited; it counts among the clients until it is a connection."""

    exchange = None  # as of a client that waits

    def __init__(self, acceptor: Acceptor, client: socket.socket, who: str) -> None:
        super().__init__()
        self.acceptor = acceptor
        self.door = acceptor.door
        self.plane = acceptor.door.plane
        self.client = client
        self.who = who
        self.entered = False  # it is to be a connection, which has the socket
        self.header = b""  # as far as it has come
        self.source: Source | None = None
        self.plane.clients.add(self)
        self.plane.wheel.arm(self, self.plane.bounds.head_ms)
        self.plane.loop.add_reader(client.fileno(), self.look)

    def look(self) -> None:
        """Take from the socket what belongs to the header, and nothing of what follows."""
        try:
            seen = self.client.recv(HEADER_MAX, socket.MSG_PEEK)
            if not seen:
                self._leave()  # a look whether the port is open, which is no offence
                return
            end = header_end(self.header + seen)
            self.header += self.client.recv(len(seen) if end < 0 else end - len(self.header))
            if end >= 0:
                self._enter()
        except BlockingIOError:
            pass
        except Malformed as error:
            self._turn_away(f"it begins with {error}")
        except OSError:
            self._leave()

    def _enter(self) -> None:
        self.source = source(self.header)
        self.plane.loop.remove_reader(self.client.fileno())
        self.deadline = 0
        self.entered = True
        self.acceptor.start(self.client, self).add_done_callback(lambda _: self.plane.clients.discard(self))

    def _leave(self) -> None:
        if not self.entered:
            self.deadline = 0
            self.plane.loop.remove_reader(self.client.fileno())
            self.client.close()
            self.plane.clients.discard(self)

    def _turn_away(self, why: str) -> None:
        self.door.turn_away(self.who, why)
        self._leave()

    def on_deadline(self) -> None:
        self._turn_away("its PROXY header has not come in time")

    def drain(self) -> None:
        """Let go of one that has sent nothing."""
        if not self.header:
            self._leave()

    def broken(self) -> None:
        self._leave()
