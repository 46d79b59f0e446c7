"""The supervisor: owns the listening sockets, the segment and the children; starts, replaces and ends them.

It decides nothing about requests and writes nothing to a disk but its lock. SIGTERM or SIGINT drains, a second one ends
at once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from . import __version__, published
from ._segment import Segment, SegmentError
from .instance import Occupied, lock_state, open_listeners, segment_path
from .model import Config
from .worker import BACKLOG

ABSENT, STARTING, READY = 0, 1, 2
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
POLL_S = 0.02
START_TIMEOUT_S = 30.0
EARLY_DEATHS_MAX = 5  # in a row, before a worker has ever been ready
RETRY_S = 0.5  # before another try after an early death
KILL_AFTER_S = 5.0  # beyond the drain timeout


class StartError(Exception):
    """The gateway could not start; the message says why."""


def say(message: str) -> None:
    print(f"fastgw: {message}", file=sys.stderr, flush=True)


def open_segment(config: Config) -> Segment:
    """The segment of this state directory: the one that is there if it fits, else a new one. Raises SegmentError."""
    server = config.server
    path = segment_path(server.segment_dir, server.state_dir)
    wanted = {
        "keys_max": server.keys_max,
        "accounts_max": server.accounts_max,
        "routes_max": server.routes_max,
        "journal_records": server.journal_records,
    }
    try:
        segment = Segment.open(path)
    except FileNotFoundError:
        return Segment.create(path, **wanted)
    if not segment.same_boot:
        os.unlink(path)
        return Segment.create(path, **wanted)
    different = [f"{name} = {segment.capacity[name]}" for name in wanted if segment.capacity[name] != wanted[name]]
    if different:
        raise SegmentError(
            f"the segment {path} was made with {', '.join(different)}: start with the same, or remove the file, "
            "which forgets what has been spent"
        )
    return segment


class Child:
    """One child process and what is needed to start it again."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self.start = start
        self.process: subprocess.Popen[bytes] | None = None
        self.early_deaths = 0
        self.retry_at = 0.0

    def spawn(self) -> None:
        self.process = self.start()


class Supervisor:
    """One running gateway; `run` returns the exit code."""

    def __init__(self, config: Config) -> None:
        self.config = config
        server = config.server
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.lock = lock_state(server.state_dir, f"process {os.getpid()} (listening on {server.listen_address})")
        self.listeners = open_listeners(server.listen_address, server.workers, BACKLOG)
        self.segment = open_segment(config)
        for route in config.routes:
            self.segment.route_slot(route.name)
        for index in range(self.segment.worker_slots):
            self._recover(index)
        self.config_fd = published.publish(config)
        self.lifeline, self.lifeline_end = os.pipe()  # children read it; it closes when this process is gone
        self.keeper = Child("keeper", self._start_keeper)
        self.workers = [Child(f"worker {i}", lambda i=i: self._start_worker(i)) for i in range(server.workers)]  # type: ignore[misc]
        self.ready_fd = -1

    # Children

    def _spawn(self, module: str, *arguments: object, fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"fastgw.{module}", *map(str, arguments)],
            pass_fds=(*fds, self.config_fd, self.lifeline, self.lock),
            stdin=subprocess.DEVNULL,
        )

    def _start_keeper(self) -> subprocess.Popen[bytes]:
        self.ready_fd, write = os.pipe()
        os.set_blocking(self.ready_fd, False)
        try:
            return self._spawn("keeper", self.segment.path, self.config_fd, self.lifeline, write, fds=(write,))
        finally:
            os.close(write)

    def _start_worker(self, index: int) -> subprocess.Popen[bytes]:
        listener = self.listeners[index].fileno()
        process = self._spawn(
            "worker", index, self.segment.path, listener, self.config_fd, self.lifeline, fds=(listener,)
        )
        self.segment.worker_set(index, process.pid, STARTING)
        return process

    def _recover(self, index: int) -> None:
        """Give back what a worker that is gone held, before its slot is used again."""
        voided, surplus = self.segment.recover(index)
        self.segment.worker_set(index, 0, ABSENT)
        if voided or surplus:
            say(f"gave back {max(voided, surplus) / 1e9:.9f} that worker {index} held when it died")

    def _wait_for_keeper(self) -> None:
        """Until accounts and keys are loaded. Raises StartError."""
        text = b""
        while not text.endswith(b"\n"):
            try:
                part = os.read(self.ready_fd, 4096)
            except BlockingIOError:
                if self._asked_to_stop(POLL_S):
                    raise StartError("stopped while loading") from None
                continue
            if not part:
                raise StartError(text.decode() or "the keeper died while it loaded accounts and keys")
            text += part
        if text != b"ready\n":
            raise StartError(text.decode().strip())

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(self.segment.worker(i)["state"] != READY for i in range(len(self.workers))):
            if time.monotonic() > deadline:
                raise StartError(f"no worker was ready within {START_TIMEOUT_S:.0f} s")
            if self._asked_to_stop(POLL_S):
                raise StartError("stopped while starting")
            self._replace_dead()

    def _asked_to_stop(self, within_s: float) -> bool:
        """Wait for a signal; whether it is one to stop."""
        info = signal.sigtimedwait(SIGNALS, within_s)
        return info is not None and info.si_signo != signal.SIGCHLD

    def _replace_dead(self) -> None:
        """Start a new child in the place of every one that has died."""
        now = time.monotonic()
        for index, child in enumerate((self.keeper, *self.workers), -1):
            if child.process is not None and child.process.poll() is not None:
                self._bury(index, child)
            if child.process is None and now >= child.retry_at:
                child.spawn()

    def _bury(self, index: int, child: Child) -> None:
        assert child.process is not None
        code = child.process.returncode
        reason = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        early = False
        if index >= 0:
            early = self.segment.worker(index)["state"] != READY
            self._recover(index)
        child.process = None
        child.early_deaths = child.early_deaths + 1 if early else 0
        child.retry_at = time.monotonic() + RETRY_S if early or index < 0 else 0.0
        if child.early_deaths >= EARLY_DEATHS_MAX:
            raise StartError(f"{child.name} {reason} {EARLY_DEATHS_MAX} times in a row before it was ready")
        say(f"{child.name} {reason}; starting another")

    # Life

    def run(self) -> int:
        server = self.config.server
        try:
            self.keeper.spawn()
            self._wait_for_keeper()
            for worker in self.workers:
                worker.spawn()
            self._wait_for_workers()
            many = f"{len(self.workers)} worker" + ("s" if len(self.workers) > 1 else "")
            say(f"{__version__} serving on http://{server.listen_address} with {many}"
                + (f", admin on http://{server.admin_address}" if server.admin_address else ""))  # fmt: skip
            while not self._asked_to_stop(1.0):
                self._replace_dead()
        except BaseException:
            self._kill()
            raise
        return self._drain()

    def _drain(self) -> int:
        """No new connections; what is in flight finishes, within the drain timeout."""
        say("draining; another signal ends it at once")
        for listener in self.listeners:
            listener.close()  # the workers have theirs, and accept what is queued before they close it
        workers = [child.process for child in self.workers if child.process is not None]
        for process in workers:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.config.server.drain_timeout_ms / 1000 + KILL_AFTER_S
        while any(process.poll() is None for process in workers):
            if self._asked_to_stop(0.1):
                say("ended with calls in flight")
                self._kill()
                return 1
            if time.monotonic() > deadline:
                say("workers did not end; killing them")
                self._kill()
                return 1
        self._kill()
        return 0

    def _kill(self) -> None:
        """End every child now, and wait for it."""
        for child in (*self.workers, self.keeper):
            if child.process is not None:
                child.process.kill()
        for child in (*self.workers, self.keeper):
            if child.process is not None:
                child.process.wait()
        for index in range(len(self.workers)):
            self._recover(index)


def run(config: Config) -> int:
    """Serve until told to stop; the exit code. Every reason not to start is said on stderr."""
    try:
        return Supervisor(config).run()
    except (Occupied, StartError, SegmentError, OSError) as error:
        say(f"error: {error}")
        return 2
