"""Decides what the supervisor wakes up for: signals, descriptors that can be read, messages that wait, and time.

A signal's handler writes its number to a socket that is waited for with all the others, so none is lost between two
waits, and none interrupts anything.
"""

import contextlib
import selectors
import signal
import socket
from collections.abc import Callable

from ..channel import Channel

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2)


class Events:
    """For the main thread of a process; the last one made is the one that gets the signals."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, _noted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._channels: dict[int, Channel] = {}
        self._again: list[int] = []

    def watch(self, descriptor: int, act: Callable[[], None]) -> None:
        """Call `act` within `wait` whenever the descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, act)

    def attend(self, channel: Channel, act: Callable[[], None]) -> None:
        """`watch` a channel, and send what waits in it as soon as there is room."""
        self._channels[channel.fileno()] = channel
        self.watch(channel.fileno(), act)

    def forget(self, descriptor: int) -> None:
        """To be called before the descriptor is closed."""
        self._channels.pop(descriptor, None)
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def wait(self, within_s: float) -> list[int]:
        """Wait for anything; the signals that came, in their order."""
        self._mind_writing()
        signals, self._again = self._again, []
        for key, mask in self._selector.select(0.0 if signals else max(0.0, within_s)):
            if key.fileobj is self._woken:
                signals += self.caught()
                continue
            if mask & selectors.EVENT_WRITE and key.fd in self._channels:
                self._channels[key.fd].flush()
            if mask & selectors.EVENT_READ and key.fd in self._selector.get_map():
                key.data()
        return signals

    def _mind_writing(self) -> None:
        for descriptor, channel in self._channels.items():
            key = self._selector.get_key(descriptor)
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.waiting else 0)
            if key.events != wanted:
                self._selector.modify(descriptor, wanted, key.data)

    def caught(self) -> list[int]:
        """The signals that have come since `wait` last told."""
        with contextlib.suppress(BlockingIOError):
            return [number for number in self._woken.recv(4096) if number in SIGNALS]
        return []

    def again(self, signals: list[int]) -> None:
        """Have `wait` tell these, as if they came now."""
        self._again += signals


def _noted(*_: object) -> None:
    """The number is in the socket already."""
