"""Decides how one version of the supervisor gives way to another in the same process: probed first, then handed over.

The process id, the listening sockets, the lock, the lifeline and the children stay; what the next program must know of
them travels in an anonymous file. A probe that fails changes nothing.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from .children import Process, environment, how_it_ended, say
from .events import SIGNALS, Events
from .listeners import HandedSocket
from .workers import HandedWorker, Shared

HANDOVER_VERSION = 2
PROBE_S = 60.0
MODULE = "fastgw.supervisor"


class Verdict(Struct, frozen=True):
    """What a probe has found: lines that say what is wrong, or the version and how many workers it will run."""

    problems: tuple[str, ...]
    version: str = ""
    workers: int = 0


class Handover(Struct, frozen=True):
    """All that the next program must know; the numbers are of open descriptors and processes, -1 for no roster."""

    version: int
    segment: str
    config_fd: int
    roster_fd: int
    generation: int
    lifeline: int
    lifeline_end: int
    lock: int
    listeners: tuple[HandedSocket, ...]
    keeper: int
    workers: tuple[HandedWorker, ...]

    @property
    def descriptors(self) -> list[int]:
        return [
            self.config_fd, self.lifeline, self.lifeline_end, self.lock,
            *([self.roster_fd] if self.roster_fd >= 0 else []),
            *(listener.descriptor for listener in self.listeners), *(worker.channel for worker in self.workers),
        ]  # fmt: skip


class Probe:
    """Asks the code that is installed now whether it can take over. `done` gets its verdict, and the descriptor of the
    configuration that it will serve by, which is then its own."""

    def __init__(self, shared: Shared, events: Events, done: Callable[[Verdict, int], None]) -> None:
        self.events = events
        self.done = done
        self.generation = shared.generation
        self.until = time.monotonic() + PROBE_S
        self.said = bytearray()
        self.config_fd = os.memfd_create("fastgw-config", os.MFD_CLOEXEC)
        self.report, write = os.pipe()
        arguments = (shared.segment.path, shared.config_fd, self.config_fd, write, HANDOVER_VERSION)
        try:
            self.process = Process.start("probe", arguments, (shared.config_fd, self.config_fd, write))
        finally:
            os.close(write)
        events.watch(self.report, self._read)

    def _read(self) -> None:
        part = os.read(self.report, 65536)
        self.said += part
        if not part:
            self._end()

    def step(self) -> float:
        """Give up on one that takes too long; in how many seconds to come again."""
        left = self.until - time.monotonic()
        if left <= 0:
            self.process.signal(signal.SIGKILL)
        return max(left, 1.0)

    def _end(self) -> None:
        self.events.forget(self.report)
        os.close(self.report)
        if self.said:
            self.process.signal(signal.SIGKILL)  # it has nothing more to do, and is not waited for
        end = how_it_ended(self.process.wait())
        try:
            verdict = msgspec.msgpack.decode(bytes(self.said), type=Verdict)
        except msgspec.DecodeError:
            verdict = Verdict((f"the probe of the installed code {end}",))
        self.done(verdict, self.config_fd)

    def cancel(self) -> None:
        """End it; `done` is not called."""
        self.events.forget(self.report)
        os.close(self.report)
        os.close(self.config_fd)
        self.process.signal(signal.SIGKILL)
        self.process.wait()


def go_over(handover: Handover) -> None:
    """Become the program that is installed now. Returns, having said why, only when that cannot be.

    Signals must be blocked: the next program heeds those that come meanwhile.
    """
    state = os.memfd_create("fastgw-handover")
    with open(state, "wb", closefd=False) as file:
        file.write(msgspec.msgpack.encode(handover))
    kept = [state, *handover.descriptors]
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    # What it was started with stays to be seen in the list of processes.
    shown = sys.argv[2:] if _is_successor() else sys.argv[1:]
    try:
        os.execve(sys.executable, [sys.executable, "-P", "-m", MODULE, str(state), *shown], environment())
    except OSError as error:
        say(f"error: upgrade: cannot start {sys.executable}: {error.strerror}")
    for descriptor in kept:
        os.set_inheritable(descriptor, False)
    os.close(state)


def _is_successor() -> bool:
    return sys.orig_argv[1:4] == ["-P", "-m", MODULE]


def received(descriptor: int) -> Handover:
    """What `go_over` has written, in the program that it has become."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    return msgspec.msgpack.decode(data, type=Handover)


def hold_signals() -> None:
    """Until the next program's `Events` is made."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
