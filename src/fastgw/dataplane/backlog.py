"""Decides how many clients may wait to be accepted: as many as are in a quarter of a second, where more come than that.

Who waits longer than he has patience for is served in vain, and whoever is behind him too late. The kernel lets the
others try again, which costs nothing here; to refuse them would take nearly half of what it takes to serve them.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from ..instance import BACKLOG

LATE_S = 0.25
LEAST = 1_024  # that a burst of so many is no matter

_WAITING = struct.Struct("=24xI")  # tcpi_unacked: of a socket that listens, who waits (tcp(7))


class Backlog:
    """The queue of one socket. It is watched from the time that a turn of the event loop leaves somebody in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        self.loop = loop
        self.listening = listening
        self.accepted = 0  # ever
        self.size = BACKLOG
        self.noted = (0, 0.0)  # accepted, and when, at the last look
        self.timer: asyncio.TimerHandle | None = None
        self.tcp = listening.family != socket.AF_UNIX
        listening.listen(BACKLOG)

    def left_some(self) -> None:
        """Somebody may be waiting still."""
        if self.timer is None and self.tcp:
            self._watch()

    def _watch(self) -> None:
        self.noted = self.accepted, self.loop.time()
        self.timer = self.loop.call_later(LATE_S, self._judge)

    def _judge(self) -> None:
        accepted, since = self.noted
        in_time = int((self.accepted - accepted) * LATE_S / (self.loop.time() - since))
        [waiting] = _WAITING.unpack(self.listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size))
        if waiting > max(in_time, LEAST):
            self._set(max(in_time, LEAST))
        elif self.size < BACKLOG:
            self._set(min(2 * self.size, BACKLOG))
        else:
            self.timer = None
            return
        self._watch()

    def _set(self, size: int) -> None:
        self.size = size
        self.listening.listen(size)

    def close(self) -> None:
        """Leave the queue as it was: others may have the socket."""
        if self.timer is not None:
            self.timer.cancel()
        if self.size != BACKLOG:
            self._set(BACKLOG)
