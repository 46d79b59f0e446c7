"""The supervisor: owns the listening sockets, the segment and the children; starts, replaces and ends them.

It decides nothing about requests and writes nothing to a disk but its lock. SIGTERM or SIGINT drains, a second one ends
at once.
"""

import glob
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from . import __version__, published
from ._segment import Segment, SegmentError
from .instance import BACKLOG, Occupied, lock_state, open_listeners, segment_path
from .model import Config
from .published import Source
from .room import claim
from .secret import SecretError, read_secret
from .states import WorkerState

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
POLL_S = 0.02
START_TIMEOUT_S = 30.0
EARLY_DEATHS_MAX = 5  # of one worker in a row, at start, before it was ever ready
RETRY_S = 0.25  # before another try after a second early death; twice that after the next, and so on
RETRY_MAX_S = 5.0
EARLY_S = 10.0  # a keeper that ends sooner ended early
KILL_AFTER_S = 5.0  # beyond the drain timeout


class StartError(Exception):
    """The gateway could not start; the message says why."""


class Stopped(Exception):
    """It was told to stop before it served."""


def say(message: str) -> None:
    print(f"fastgw: {message}", file=sys.stderr, flush=True)


def open_segment(config: Config) -> tuple[Segment, bool]:
    """The segment of this state directory, and whether it is new: one that is there is taken if it fits.

    Raises SegmentError or SecretError.
    """
    server = config.server
    path = segment_path(server.segment_dir, server.state_dir)
    secret = read_secret(server.state_dir)
    wanted = {
        "keys_max": server.keys_max,
        "accounts_max": server.accounts_max,
        "routes_max": server.routes_max,
        "journal_records": server.journal_records,
    }
    for unfinished in glob.glob(f"{glob.escape(path)}.*"):
        os.unlink(unfinished)  # of one that was killed while it made it; the state directory's lock is ours
    try:
        segment = Segment.open(path)
    except FileNotFoundError:
        return _new_segment(path, secret, wanted, server.workers), True
    if not segment.same_boot:
        os.unlink(path)
        return _new_segment(path, secret, wanted, server.workers), True
    different = [f"{name} = {segment.capacity[name]}" for name in wanted if segment.capacity[name] != wanted[name]]
    if different:
        raise SegmentError(
            f"the segment {path} was made with {', '.join(different)}: start with the same, or remove the file, "
            "which forgets what has been spent"
        )
    if not segment.keeps_secret(secret):
        raise SegmentError(
            f"the segment {path} was made with another secret than {server.state_dir}/secret: bring that back, or "
            "remove the segment, which forgets what has been spent"
        )
    claim(segment, keys=0, accounts=0, workers=server.workers, routes=0)
    return segment, False


def _new_segment(path: str, secret: bytes, capacity: dict[str, int], workers: int) -> Segment:
    """A new one with room for the workers, or none: what is missing now would be a fault in a request later."""
    try:
        segment = Segment.create(path, secret=secret, **capacity)
    except OSError as error:
        raise SegmentError(f"cannot make the segment {path}: {error.strerror}; see --segment-dir") from None
    try:
        claim(segment, keys=0, accounts=0, workers=workers, routes=0)
    except SegmentError:
        os.unlink(path)
        raise
    return segment


def children_environment() -> dict[str, str] | None:
    """What makes children import this very package, and never one that lies where the command was started.

    They run with -P, so what was found through the first entry of this process's path must be on PYTHONPATH.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    first = os.path.abspath(sys.path[0]) if sys.path else ""
    if first != root or sys.flags.safe_path:
        return None
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{others}" if others else root}


class Child:
    """One child process and what is needed to start it again."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self.start = start
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.early_deaths = 0  # in a row
        self.retry_at = 0.0

    def spawn(self) -> None:
        self.started_at = time.monotonic()
        self.process = self.start()


class Supervisor:
    """One running gateway; `run` returns the exit code."""

    def __init__(self, config: Config, source: Source) -> None:
        self.config = config
        server = config.server
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.lock = lock_state(server.state_dir, f"process {os.getpid()} (listening on {server.listen_address})")
        self.listeners = open_listeners(server.listen_address, server.workers, BACKLOG)
        self.segment, self.disposable = open_segment(config)  # a new one, until a worker may have charged somebody
        for route in config.routes:
            self.segment.route_slot(route.name)
        for index in range(self.segment.worker_slots):
            self._recover(index)
        self.config_fd = published.publish(config, source)
        self.environment = children_environment()
        self.lifeline, self.lifeline_end = os.pipe()  # children read it; it closes when this process is gone
        self.keeper = Child("keeper", self._replace_keeper)
        self.workers = [Child(f"worker {i}", lambda i=i: self._start_worker(i)) for i in range(server.workers)]  # type: ignore[misc]
        self.serving = False

    # Children

    def _spawn(self, module: str, *arguments: object, fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", f"fastgw.{module}", *map(str, arguments)],
            pass_fds=(*fds, self.config_fd, self.lifeline, self.lock),
            stdin=subprocess.DEVNULL,
            env=self.environment,
        )

    def _start_keeper(self) -> int:
        """The first one; what it says about loading can be read from the descriptor."""
        ready, write = os.pipe()
        os.set_blocking(ready, False)
        self.keeper.started_at = time.monotonic()
        arguments = (self.segment.path, self.config_fd, self.lifeline, write)
        self.keeper.process = self._spawn("keeper", *arguments, fds=(write,))
        os.close(write)
        return ready

    def _replace_keeper(self) -> subprocess.Popen[bytes]:
        return self._spawn("keeper", self.segment.path, self.config_fd, self.lifeline, -1, fds=())

    def _start_worker(self, index: int) -> subprocess.Popen[bytes]:
        listener = self.listeners[index].fileno()
        self.segment.worker_set(index, 0, WorkerState.STARTING)  # before it can say that it is ready
        return self._spawn("worker", index, self.segment.path, listener, self.config_fd, self.lifeline, fds=(listener,))

    def _recover(self, index: int) -> None:
        """Give back what a worker that is gone held, before its slot is used again."""
        voided, surplus = self.segment.recover(index)
        self.segment.worker_set(index, 0, WorkerState.ABSENT)
        if voided or surplus:
            say(f"gave back {max(voided, surplus) / 1e9:.9f} that worker {index} held when it died")

    def _wait_for_keeper(self, ready: int) -> None:
        """Until accounts and keys are loaded. Raises StartError."""
        text = b""
        while not text.endswith(b"\n"):
            try:
                part = os.read(ready, 4096)
            except BlockingIOError:
                if self._asked_to_stop(POLL_S):
                    raise Stopped from None
                continue
            if not part:
                assert self.keeper.process is not None
                end = how_it_ended(self.keeper.process.wait())
                text = text or f"the keeper {end} while it loaded accounts and keys".encode()
                break
            text += part
        os.close(ready)
        if text != b"ready\n":
            raise StartError(text.decode(errors="replace").strip())

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(self.segment.worker(i)["state"] != WorkerState.READY for i in range(len(self.workers))):
            if time.monotonic() > deadline:
                raise StartError(f"no worker was ready within {START_TIMEOUT_S:.0f} s")
            if self._asked_to_stop(POLL_S):
                raise Stopped
            self._replace_dead()

    def _asked_to_stop(self, within_s: float) -> bool:
        """Wait for a signal; whether it is one to stop."""
        info = signal.sigtimedwait(SIGNALS, within_s)
        return info is not None and info.si_signo != signal.SIGCHLD

    def _replace_dead(self) -> float:
        """Start a new child in the place of every one that has died; the seconds until there is more to do."""
        now = time.monotonic()
        next_at = now + 1.0
        for index, child in enumerate((self.keeper, *self.workers), -1):
            if child.process is not None and child.process.poll() is not None:
                self._bury(index, child)
            if child.process is None:
                if now >= child.retry_at:
                    child.spawn()
                else:
                    next_at = min(next_at, child.retry_at)
        return next_at - now

    def _bury(self, index: int, child: Child) -> None:
        assert child.process is not None
        end = how_it_ended(child.process.returncode)
        early = time.monotonic() - child.started_at < EARLY_S
        if index >= 0:
            early = self.segment.worker(index)["state"] in (WorkerState.ABSENT, WorkerState.STARTING)
            self._recover(index)
        child.process = None
        child.early_deaths = child.early_deaths + 1 if early else 0
        # The first replacement comes at once; one that fails again and again must not take the processor.
        pause_s = 0.0 if child.early_deaths < 2 else min(RETRY_S * 2 ** (child.early_deaths - 2), RETRY_MAX_S)
        child.retry_at = time.monotonic() + pause_s
        if index >= 0 and child.early_deaths >= EARLY_DEATHS_MAX and not self.serving:
            raise StartError(f"{child.name} {end}, for the {EARLY_DEATHS_MAX}th time in a row before it was ready")
        say(f"{child.name} {end}; starting another" + (f" in {pause_s:.1f} s" if pause_s else ""))

    # Life

    def run(self) -> int:
        server = self.config.server
        try:
            self._wait_for_keeper(self._start_keeper())
            self.disposable = False
            for worker in self.workers:
                worker.spawn()
            self._wait_for_workers()
            self.serving = True
            many = f"{len(self.workers)} worker" + ("s" if len(self.workers) > 1 else "")
            say(f"{__version__} serving on http://{server.listen_address} with {many}"
                + (f", admin on http://{server.admin_address}" if server.admin_address else ""))  # fmt: skip
            while not self._asked_to_stop(self._replace_dead()):
                pass
        except Stopped:
            self._kill()
            say("stopped before it served")
            return 0
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
        if self.disposable:
            os.unlink(self.segment.path)


def how_it_ended(code: int) -> str:
    """A process's end, as the predicate of a sentence."""
    return f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with {code}"


def run(config: Config, source: Source) -> int:
    """Serve until told to stop; the exit code. Every reason not to start is said on stderr."""
    try:
        return Supervisor(config, source).run()
    except (Occupied, StartError, SegmentError, SecretError, OSError) as error:
        for line in str(error).splitlines():
            say(f"error: {line}")
        return 2
