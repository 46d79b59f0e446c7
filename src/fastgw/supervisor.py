"""The supervisor: owns the listening sockets, the segment and the children; starts, replaces and ends them.

It decides nothing about requests and writes nothing to a disk but its lock. It waits for signals and for what its
children say, and never for one of them. SIGTERM or SIGINT drains, a second one ends at once; SIGHUP reloads.
"""

import os
import signal
import time
from collections.abc import Callable

from . import __version__, published
from ._segment import SegmentError
from .channel import Publish, Served
from .children import inherit_nothing, say
from .events import Events
from .instance import Occupied, lock_state
from .keeping import READY, Keeper
from .listeners import Listeners
from .model import Config
from .opening import open_segment
from .published import Source
from .rollout import Rollout
from .secret import SecretError
from .workers import KILL_AFTER_S, Shared, StartError, Workers

START_TIMEOUT_S = 30.0
START_CHECK_S = 0.1
STOPS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """It was told to stop before it served."""


class Supervisor:
    """One running gateway; `run` returns the exit code."""

    def __init__(self, config: Config, source: Source) -> None:
        server = config.server
        self.config = config
        self.draining = False
        inherit_nothing()
        self.events = Events()
        lock = lock_state(server.state_dir, f"process {os.getpid()} (listening on {server.listen_address})")
        self.listeners = Listeners.open(server.listen_address, server.workers)
        segment, self.disposable = open_segment(config)  # a new one, until a worker may have charged somebody
        for route in config.routes:
            segment.route_slot(route.name)
        self.lifeline, self.lifeline_end = os.pipe()  # children read it; it closes when this process is gone
        config_fd = published.publish(config, source)
        self.shared = Shared(segment, config_fd, self.lifeline, lock, server.drain_timeout_ms)
        self._assemble(server.workers)
        for slot in range(segment.worker_slots):
            self.workers.recover(slot)

    def _assemble(self, number: int) -> None:
        self.keeper = Keeper(self.shared, self.events, self._publish)
        self.workers = Workers(self.shared, self.listeners, self.events, number)
        self.rollout = Rollout(self.workers)
        self.workers.on_configured = self.rollout.configured
        self.workers.on_death = self.rollout.died

    # Life

    def run(self) -> int:
        try:
            self._start()
        except Stopped:
            self._kill()
            say("stopped before it served")
            return 0
        except BaseException:
            self._kill()
            raise
        return self._serve()

    def _start(self) -> None:
        """Until it serves. Raises StartError, SegmentError, OSError or Stopped."""
        self.keeper.start_first()
        self._await(lambda: self.keeper.loaded != "", within_s=None)
        if self.keeper.loaded != READY:
            raise StartError(self.keeper.loaded)
        self.disposable = False
        self._await(lambda: self.workers.step() >= 0 and self.workers.ready, START_TIMEOUT_S)
        self.workers.started = True
        server = self.config.server
        many = f"{server.workers} worker" + ("s" if server.workers > 1 else "")
        say(f"{__version__} serving on http://{server.listen_address} with {many}"
            + (f", admin on http://{server.admin_address}" if server.admin_address else ""))  # fmt: skip

    def _await(self, true: Callable[[], bool], within_s: float | None) -> None:
        until = time.monotonic() + (within_s or float("inf"))
        while not true():
            if time.monotonic() > until:
                raise StartError(f"no worker was ready within {within_s:.0f} s")
            for number in self.events.wait(START_CHECK_S):
                if number in STOPS:
                    raise Stopped
                self._note(number)

    def _serve(self) -> int:
        try:
            while True:
                within_s = min(self.keeper.step(), self.workers.step(), self.rollout.step())
                for number in self.events.wait(within_s):
                    if number in STOPS:
                        return self._drain()
                    self._note(number)
        except BaseException:
            self._kill()
            raise

    def _note(self, number: int) -> None:
        """Heed a signal that is not one to stop."""
        if number == signal.SIGHUP:
            self.keeper.wanted = True

    # Reload

    def _publish(self, message: Publish, descriptor: int) -> None:
        """The keeper has read, checked and applied a configuration: have it served, if that can be."""
        channel = self.keeper.channel

        def answer(problem: str, applied: bool) -> None:
            if applied:
                self._take(config)
                for line in message.lines:
                    say(f"reload: {line}")
            if problem:
                say(f"error: reload: {problem}")
            if channel is not None and self.keeper.channel is channel:
                channel.send(Served(message.number, problem, applied))

        try:
            if self.draining or self.rollout.running:
                raise ValueError("it ends" if self.draining else "another reload is not over yet")
            config = published.read(descriptor)
            self.workers.prepare(config.server.workers)
        except (SegmentError, OSError, ValueError) as error:
            os.close(descriptor)
            answer(str(error), False)
            return
        self.rollout.start(descriptor, answer)

    def _take(self, config: Config) -> None:
        """It is served: what of it concerns this process."""
        self.config = config
        self.shared.drain_ms = config.server.drain_timeout_ms
        self.workers.number = config.server.workers

    # The end

    def _drain(self) -> int:
        """No new connections; what is in flight finishes, within the drain timeout."""
        say("draining; another signal ends it at once")
        self.draining = True
        self.listeners.close()  # the workers have theirs, and accept what is queued before they close it
        workers = [child.process for child in self.workers.by_slot.values() if child.process is not None]
        for process in workers:
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + self.shared.drain_ms / 1000 + KILL_AFTER_S
        while any(process.poll() is None for process in workers):
            if any(number in STOPS for number in self.events.wait(0.1)):
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
        """End every child now, and wait for it; the keeper last, when nobody spends any more."""
        self.workers.end()
        self.keeper.end()
        if self.disposable:
            os.unlink(self.shared.segment.path)


def run(config: Config, source: Source) -> int:
    """Serve until told to stop; the exit code. Every reason not to start is said on stderr."""
    try:
        return Supervisor(config, source).run()
    except (Occupied, StartError, SegmentError, SecretError, OSError) as error:
        for line in str(error).splitlines():
            say(f"error: {line}")
        return 2
