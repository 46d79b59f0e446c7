"""Decides how the way between the gateway and its upstream fails: late, slow, in slices, not at all, cut or refused.

A proxy of TCP in threads of its own. What it does to a connection is set before the call is made, and may change while
connections are kept; it counts bytes of one answer from the last request on.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
PART = 65536
BLACKHOLE_BACKLOG = 4


@dataclass(frozen=True)
class Faults:
    """What befalls an answer. Positions are bytes from its beginning; None is nowhere.

    Each part waits `latency_s`, and up to `jitter_s` more; `bytes_per_s` 0 is no limit. It is cut into parts of
    `slice_bytes`, and in two at `split_at`, `pause_s` between them. After `stall_at` bytes nothing goes on, after
    `reset_at` there is an RST, after `end_at` a FIN. `close_s` is how long a connection that has ended stays open.
    """

    latency_s: float = 0
    jitter_s: float = 0
    bytes_per_s: int = 0
    slice_bytes: int = 0
    split_at: int | None = None
    pause_s: float = 0.001
    stall_at: int | None = None
    reset_at: int | None = None
    end_at: int | None = None
    close_s: float = 0

    def stop(self) -> int | None:
        """Where the answer stops, whatever happens there."""
        positions = [at for at in (self.stall_at, self.reset_at, self.end_at) if at is not None]
        return min(positions, default=None)


NONE = Faults()


class Way:
    """One connection: `near` is to the gateway, `far` to the upstream; `passed` counts the bytes of the answer."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        self.passed = 0
        self.stopped = False
        self.ended = threading.Event()
        self.alarm, self._bell = socket.socketpair()  # a socket that somebody is reading cannot be closed

    def request(self) -> bytes:
        """What the gateway sends next; b"" at its end, or when this way has ended."""
        if not self.ended.is_set():
            with contextlib.suppress(ValueError):  # it has ended since
                select.select([self.near, self.alarm], [], [])
        return b"" if self.ended.is_set() else self.near.recv(PART)

    def end(self, reset: bool = False) -> None:
        """Close both sides: with a FIN to the gateway, or with an RST."""
        if self.ended.is_set():
            return
        self.ended.set()
        with contextlib.suppress(OSError):
            if reset:
                self.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            else:
                self.near.shutdown(socket.SHUT_WR)
        self._bell.close()
        with contextlib.suppress(OSError):
            self.far.shutdown(socket.SHUT_RDWR)
        for side in (self.near, self.far):
            side.close()


class FaultProxy:
    """In front of the upstream at `port`; the gateway is to be told of `self.port`."""

    def __init__(self, port: int, seed: int = 1) -> None:
        self.upstream = port
        self.seed = seed
        self.random = random.Random(seed)
        self.faults = NONE
        self.connections = 0
        self.ways: list[Way] = []
        self.listener = self._listen(0)
        self.port: int = self.listener.getsockname()[1]

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_listening()
        self.cut()

    @contextlib.contextmanager
    def set(self, faults: Faults) -> Iterator[None]:
        """Answers fare like this, those on connections that are kept too. Stalled ones end with it."""
        self.faults = faults
        try:
            yield
        finally:
            self.faults = NONE
            self._end([way for way in self.ways if way.stopped])

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens."""
        self.cut()
        self._stop_listening()
        try:
            yield
        finally:
            self.listener = self._listen(self.port)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """The queue of those who want to connect is full: a SYN is not answered."""
        self.cut()
        self._stop_listening()
        with contextlib.ExitStack() as stack:
            stack.enter_context(socket.create_server(("127.0.0.1", self.port), backlog=0))
            for _ in range(BLACKHOLE_BACKLOG):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))
            yield
        self.listener = self._listen(self.port)

    def cut(self) -> None:
        """End every connection, whatever it carries."""
        self._end(self.ways)

    def _end(self, ways: list[Way]) -> None:
        for way in list(ways):
            way.end()

    # Threads

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self._start(self._accept, listener)
        return listener

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name="faults", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                near.close()
                continue
            for side in (near, far):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            way = Way(near, far)
            self.ways = [other for other in self.ways if not other.ended.is_set()] + [way]
            self._start(self._carry_request, way)
            self._start(self._carry_answer, way)

    def _carry_request(self, way: Way) -> None:
        with contextlib.suppress(OSError):
            while data := way.request():
                way.passed = 0
                way.far.sendall(data)
            way.far.shutdown(socket.SHUT_WR)
        way.alarm.close()

    def _carry_answer(self, way: Way) -> None:
        with contextlib.suppress(OSError):
            while data := way.far.recv(PART):
                faults = self.faults
                for part in self._parts(faults, way, data):
                    self._pass(faults, way, part)
                    if self._stop(faults, way):
                        return
            way.ended.wait(self.faults.close_s)
        way.end()

    def _parts(self, faults: Faults, way: Way, data: bytes) -> Iterator[bytes]:
        """The pieces that go on one by one, up to where the answer stops."""
        stop = faults.stop()
        if stop is not None:
            data = data[: max(0, stop - way.passed)]
            if not data:
                yield b""
        split = 0 if faults.split_at is None else faults.split_at - way.passed
        if 0 < split < len(data):
            yield data[:split]
            way.ended.wait(faults.pause_s)
            data = data[split:]
        size = faults.slice_bytes or PART
        for at in range(0, len(data), size):
            yield data[at : at + size]
            if faults.slice_bytes:
                way.ended.wait(faults.pause_s)

    def _pass(self, faults: Faults, way: Way, part: bytes) -> None:
        if faults.latency_s or faults.jitter_s:
            way.ended.wait(faults.latency_s + faults.jitter_s * self.random.random())
        if faults.bytes_per_s:
            way.ended.wait(len(part) / faults.bytes_per_s)
        way.near.sendall(part)
        way.passed += len(part)

    def _stop(self, faults: Faults, way: Way) -> bool:
        """Whether the answer has come to where it stops, and then what happens there has happened."""
        stop = faults.stop()
        if stop is None or way.passed < stop:
            return False
        if stop == faults.stall_at:
            way.stopped = True  # until the gateway, or the end of the test, ends it
            return True
        if stop == faults.reset_at:
            time.sleep(faults.pause_s)  # what was sent before must have been read: an RST overtakes it
        way.end(reset=stop == faults.reset_at)
        return True
