"""A worker: one event loop that serves the listening sockets it is handed until it is told to end.

Started by the supervisor as `python -m fastgw.worker SLOT SEGMENT CONFIG_FD LIFELINE_FD LOCK_FD CHANNEL_FD`; never by
hand.
"""

import asyncio
import faulthandler
import gc
import os
import signal
import socket
import sys

import uvloop

from . import published, roster
from ._segment import Segment
from .channel import (
    Channel,
    ChannelError,
    Closed,
    Configure,
    Configured,
    Listen,
    Listening,
    Message,
    Retire,
    TagAnswer,
    Targets,
    Unlisten,
    WantTag,
)
from .dataplane.connection import Connection
from .dataplane.doors import Acceptor, Door, Newcomer
from .dataplane.idempotent import Nobody
from .dataplane.plane import Plane
from .dataplane.tls_transport import TlsTransport
from .dataplane.wishes import Wishes
from .descriptors import raise_limit, within_descriptors
from .model import Config
from .states import WorkerState

Client = Connection | Nobody | Newcomer | TlsTransport

LAST_CALL_S = 0.05  # in which connections that are already queued are still accepted
QUIET_S = 1.0  # without a request, after which a retiring worker closes a connection


class Worker:
    """Accepts on the sockets that the supervisor hands it; `drain` and `retire` end it."""

    def __init__(self, slot: int, segment: Segment, config: Config, channel: Channel, lifeline: int, lock: int) -> None:
        self.slot = slot
        self.segment = segment
        raise_limit()
        self.config = within_descriptors(config)
        self.channel = channel
        self.lifeline = lifeline
        self.lock = lock
        self.servers: dict[int, Acceptor] = {}  # by the number of the socket
        self.quiet: dict[Client, tuple[int, float]] = {}  # the deadline of one that waits, and since when
        self.retired = False
        self.alone = False  # nobody was left at the last look
        self.done = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.plane = Plane(self.config, self.segment, self.slot, loop)
        self.plane.wishes = Wishes(self._want)
        self.doors = [Door(self.plane, listener) for listener in self.config.listeners]
        loop.add_signal_handler(signal.SIGTERM, self.drain)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what came before waited, and is heeded now
        loop.add_reader(self.lifeline, self._orphaned)  # readable means closed: the supervisor is gone
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        heeding = loop.create_task(self._heed_all())
        await self.done.wait()
        heeding.cancel()
        self.plane.close()

    # What the supervisor says

    async def _heed_all(self) -> None:
        """One message after the other, in their order."""
        come = asyncio.Event()
        self.loop.add_reader(self.channel.fileno(), come.set)
        while True:
            try:
                received = self.channel.receive()
                if received is not None:
                    self._heed(*received)
                    continue
            except ChannelError as error:
                print(f"fastgw: worker {self.slot}: not understood: {error}", file=sys.stderr, flush=True)
                continue
            except Closed:
                self.loop.remove_reader(self.channel.fileno())
                return  # the lifeline tells the rest
            come.clear()
            await come.wait()

    def _heed(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case Listen(listeners, doors):
                for number, door, descriptor in zip(listeners, doors, descriptors, strict=True):
                    self._listen(number, door, socket.socket(fileno=descriptor))
                self._say_listening()
            case Unlisten(listeners):
                for number in listeners:
                    if (server := self.servers.pop(number, None)) is not None:
                        server.close()
                self._say_listening()
            case Configure(generation):
                self.channel.send(Configured(generation, self._reconfigure(*descriptors)))
            case Targets():
                [descriptor] = descriptors
                self._retarget(descriptor)
            case TagAnswer(_, account, name, made):
                if self.plane.wishes is not None:
                    self.plane.wishes.answer(account, name, made)
            case Retire():
                self.retire()

    def _want(self, account: int, name: str) -> None:
        self.channel.flush()
        self.channel.send(WantTag(self.slot, account, name))

    def _listen(self, number: int, door: int, listener: socket.socket) -> None:
        if self.plane.draining or number in self.servers:
            listener.close()
        else:
            self.servers[number] = self.doors[door].open(listener)

    def _say_listening(self) -> None:
        if not self.plane.draining:
            self.segment.worker_set(self.slot, os.getpid(), WorkerState.READY)
        self.channel.send(Listening(tuple(self.servers)))

    def _reconfigure(self, config_fd: int, roster_fd: int) -> str:
        """Serve new requests by the published configuration; what is wrong, and then all is as before."""
        try:
            config = within_descriptors(published.read(config_fd))
            self.plane.reconfigure(config, roster.read(roster_fd))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            os.close(config_fd)
            os.close(roster_fd)
        self.config = config
        return ""

    def _retarget(self, descriptor: int) -> None:
        """Send new calls to the servers of the roster; to those known until now, if it cannot be heeded."""
        try:
            self.plane.retarget(roster.read(descriptor))
        except Exception as error:
            print(f"fastgw: worker {self.slot}: error: its targets stay as they were: {type(error).__name__}: {error}",
                  file=sys.stderr, flush=True)  # fmt: skip
        finally:
            os.close(descriptor)

    # The end

    def retire(self) -> None:
        """Accept no more, which others do; finish what is in flight, and close connections when they have gone quiet.

        A connection just accepted, or kept for the next request, may have one on its way: it is served, and told
        that it is the last. Only who sends nothing for a while is closed unasked.
        """
        if self.plane.draining:
            return
        self.retired = True
        self._end_soon()
        self._close_listeners()

    def drain(self) -> None:
        """Stop accepting, which nobody does any more; finish what is in flight, within the drain timeout."""
        self.retired = False
        if self.plane.draining:
            return
        self._end_soon()
        self.loop.call_later(LAST_CALL_S, self._close_listeners)

    def _orphaned(self) -> None:
        self.loop.remove_reader(self.lifeline)
        self.drain()
        # The next gateway may start while this one finishes: it finds the slot and the process that is draining.
        self.loop.call_later(2 * LAST_CALL_S, os.close, self.lock)

    def _end_soon(self) -> None:
        self.plane.drain()
        self.segment.worker_set(self.slot, os.getpid(), WorkerState.DRAINING)
        self.loop.call_later(self.config.server.drain_timeout_ms / 1000, self._give_up)

    def _close_listeners(self) -> None:
        for server in self.servers.values():
            server.close()
        self.servers.clear()
        self._close_idle()

    def _close_idle(self) -> None:
        clients = list(self.plane.clients)
        if self.retired:
            clients = [client for client in clients if self._is_quiet(client)]
        for client in clients:
            client.drain()
        # Who was accepted just before may not be among the clients yet.
        alone, self.alone = self.alone, not self.plane.clients
        if alone and self.alone:
            self.done.set()
        else:
            self.loop.call_later(LAST_CALL_S, self._close_idle)

    def _is_quiet(self, client: Client) -> bool:
        """Whether the client has waited for its next request for long; its deadline is another after each."""
        now = self.loop.time()
        deadline, since = self.quiet.get(client, (-1, now))
        if client.exchange is not None or deadline != client.deadline:
            since = now
        self.quiet[client] = (client.deadline, since)
        return now - since >= QUIET_S

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
    faulthandler.enable()  # the watchdog's SIGABRT has it say where it hangs
    slot, path = int(argv[0]), argv[1]
    config_fd, lifeline, lock, channel = map(int, argv[2:6])
    # Ctrl-C reaches the whole group, and a terminal that is closed: only the supervisor acts on them.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    config = published.read(config_fd)
    os.close(config_fd)  # the next one comes by the channel
    worker = Worker(slot, Segment.open(path), config, Channel.inherited(channel, blocking=False), lifeline, lock)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(worker.run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
