"""Decides how a child process is started, watched and ended, and how soon one that died is started again."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..channel import Channel
from ..instance import command_line
from .events import SIGNALS

RETRY_S = 0.25  # before another try after a second early death; twice that after the next, and so on
RETRY_MAX_S = 5.0
ABORT_S = 1.0  # in which one that hangs must have said where


def environment() -> dict[str, str]:
    """What makes children import this very package, and never one that lies where the command was started.

    They run with -P, so what was found through the first entry of this process's path must be on PYTHONPATH.
    """
    root = str(Path(os.path.abspath(__file__)).parents[2])
    first = os.path.abspath(sys.path[0]) if sys.path else ""
    if first != root or sys.flags.safe_path:
        return dict(os.environ)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{others}" if others else root}


def inherit_nothing() -> None:
    """Whatever was left open by who started this process stays here: a child gets what `Process.start` is told."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the directory itself, closed by now
                os.set_inheritable(int(name), False)


class Process:
    """A child by its process id, whether this program started it or the one that it has taken the place of."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None

    @staticmethod
    def start(module: str, arguments: Sequence[object], descriptors: Sequence[int]) -> "Process":
        """Run a module of this package; it inherits the descriptors, and finds signals blocked. Raises OSError."""
        command = [sys.executable, "-P", "-m", f"fastgw.{module}", *map(str, arguments)]
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        # A descriptor that is duplicated onto itself loses its close-on-exec flag, in the child alone.
        actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in descriptors]
        pid = os.posix_spawn(
            sys.executable,
            command,
            environment(),
            file_actions=actions,
            setsigmask=SIGNALS,
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
        return Process(pid)

    def poll(self) -> int | None:
        """How it ended, as `how_it_ended` understands it; None while it runs."""
        if self.code is None:
            self._reap(os.WNOHANG)
        return self.code

    def wait(self) -> int:
        while self.code is None:
            self._reap(0)
        return self.code

    def _reap(self, flags: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:  # nobody's child, or one that somebody else has waited for
            self.code = 0
            return
        if pid:
            self.code = os.waitstatus_to_exitcode(status)

    def signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Orphan(Process):
    """A process that another supervisor has started, which is gone: it is nobody's child any more."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError."""
        super().__init__(pid)
        self.descriptor = os.pidfd_open(pid)

    def _reap(self, flags: int) -> None:
        """How it ended is told to nobody."""
        if select.select([self.descriptor], [], [], 0 if flags else None)[0]:
            os.close(self.descriptor)
            self.code = 0

    def signal(self, number: int) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, number)


def orphan(pid: int, *words: str) -> Orphan | None:
    """The process, if it lives and these are words of its command line."""
    try:
        found = Orphan(pid)
    except ProcessLookupError:
        return None
    if found.poll() is None and set(words) <= set(command_line(pid)):
        return found  # looked at after it was opened: no other can have got its number since
    if found.code is None:
        os.close(found.descriptor)
    return None


class Child:
    """The place of one child: the process that has it now, the channel to it, and what happened to those before."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: Process | None = None
        self.channel: Channel | None = None
        self.started_at = 0.0
        self.early_deaths = 0  # in a row
        self.retry_at = 0.0
        self.aborted = False  # it hung, and is to end at once
        self.kill_at = 0.0  # when it must have ended, of the monotonic clock; 0: it may go on

    @property
    def pausing(self) -> bool:
        """Whether nobody is there, and the next one is not to be started yet."""
        return self.process is None and time.monotonic() < self.retry_at

    def beat_of(self, beat_ns: int) -> int:
        """A heartbeat in this place, 0 if it is of a process that was here before."""
        return beat_ns if beat_ns > self.started_at * 1e9 else 0

    def abort(self, silent_s: float) -> None:
        """It hangs: have it say where, if it still can, and end."""
        if self.process is not None and not self.aborted:
            say(f"error: {self.name} has done nothing for {silent_s:g} s; killing it")
            self.process.signal(signal.SIGABRT)
            self.aborted = True
            self.kill_at = time.monotonic() + ABORT_S

    def ended(self, early: bool) -> float:
        """Its process has ended; in how many seconds to start another.

        The first replacement comes at once; one that fails again and again must not take the processor.
        """
        self.process = None
        self.aborted = False
        self.kill_at = 0.0
        self.early_deaths = self.early_deaths + 1 if early else 0
        pause_s = 0.0 if self.early_deaths < 2 else min(RETRY_S * 2 ** (self.early_deaths - 2), RETRY_MAX_S)
        self.retry_at = time.monotonic() + pause_s
        return pause_s


def how_it_ended(code: int) -> str:
    """A process's end, as the predicate of a sentence."""
    return f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with {code}"


def say(message: str) -> None:
    """A line to whoever reads what the gateway says."""
    print(f"fastgw: {message}", file=sys.stderr, flush=True)
