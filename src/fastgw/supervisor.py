"""The supervisor: owns the listening sockets, the segment and the children; starts, replaces and ends them.

It decides nothing about requests and writes nothing to a disk but its lock. It waits for signals and for what its
children say, and never for one of them. SIGTERM or SIGINT drains, a second one ends at once; SIGHUP reloads, SIGUSR2
upgrades to the code that is installed now.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from . import __version__, published
from ._segment import Segment, SegmentError
from .addresses import is_port
from .channel import Publish, Served
from .descriptors import descriptors_warning
from .instance import Occupied, lock_state
from .model import Config, Listener
from .published import Source
from .rows import claim_numbers
from .secret import SecretError
from .supervision.children import inherit_nothing, say
from .supervision.events import Events
from .supervision.keeping import END_S, READY, Keeper
from .supervision.listeners import Listeners
from .supervision.notify import Notifier
from .supervision.opening import open_segment
from .supervision.rollout import Rollout
from .supervision.upgrade import (
    HANDOVER_VERSION,
    Handover,
    Probe,
    Verdict,
    go_over,
    hold_signals,
    received,
    release_signals,
)
from .supervision.workers import KILL_AFTER_S, Shared, StartError, Workers

START_TIMEOUT_S = 30.0
START_CHECK_S = 0.1
IDLE_S = 1.0
STOPS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """It was told to stop before it served."""


class Supervisor:
    """One running gateway: `begin` or `adopt` it; `run` returns the exit code."""

    def __init__(self, config: Config, shared: Shared, listeners: Listeners, lifeline_end: int, events: Events) -> None:
        self.config = config
        self.shared = shared
        self.listeners = listeners
        self.lifeline_end = lifeline_end  # it closes when this process is gone, which tells the children
        self.events = events
        self.notifier = Notifier()
        self.reloading = False  # and the service manager has been told
        self.draining = False
        self.disposable = False  # a new segment, until a worker may have charged somebody
        self.adopted = False  # it goes on with what another program has begun
        self.upgrade_wanted = False
        self.probe: Probe | None = None
        self.workers = Workers(shared, listeners, events, config.server.workers)
        self.keeper = Keeper(shared, events, self._publish, self.workers.retarget, self.workers.tell_tag)
        self.workers.on_want = self.keeper.want_tag
        self.rollout = Rollout(self.workers)
        self.workers.on_configured = self.rollout.configured
        self.workers.on_death = self.rollout.died

    @staticmethod
    def begin(config: Config, source: Source) -> "Supervisor":
        """Alone on the state directory and the address. Raises Occupied, SegmentError, SecretError or OSError."""
        server = config.server
        inherit_nothing()
        events = Events()
        where = ", ".join(listener.address for listener in config.listeners)
        lock = lock_state(server.state_dir, f"process {os.getpid()} (listening on {where})")
        listeners = Listeners.open(config.listeners, server.workers)
        try:
            segment, is_new = open_segment(config, source)
        except BaseException:
            listeners.close()
            raise
        claim_numbers(segment, config)
        lifeline, lifeline_end = os.pipe()
        shared = Shared(
            segment, published.publish(config, source), lifeline, lock, server.drain_timeout_ms,
            server.watchdog_timeout_ms,
        )  # fmt: skip
        self = Supervisor(config, shared, listeners, lifeline_end, events)
        self.disposable = is_new
        self.workers.find_orphans()
        return self

    @staticmethod
    def adopt(handed: Handover) -> "Supervisor":
        """Go on with what another version of this program has handed over."""
        inherit_nothing()
        events = Events()
        config = published.read(handed.config_fd)
        listeners = Listeners.adopt(handed.listeners, config.listeners)
        shared = Shared(
            Segment.open(handed.segment), handed.config_fd, handed.lifeline, handed.lock,
            config.server.drain_timeout_ms, config.server.watchdog_timeout_ms, handed.generation,
            handed.roster_fd,
        )  # fmt: skip
        self = Supervisor(config, shared, listeners, handed.lifeline_end, events)
        self.adopted = True
        self.workers.started = True
        for worker in handed.workers:
            self.workers.adopt(worker)
        if handed.keeper:
            self.keeper.adopt(handed.keeper)
        return self

    # Life

    def run(self) -> int:
        try:
            if self.adopted:
                self._succeed()
            else:
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
        if warning := descriptors_warning(self.config):
            say(f"warning: {warning}")
        say(f"{__version__} {self._status}")
        self.notifier.ready(self._status)

    @property
    def _status(self) -> str:
        """What it does, for people."""
        server = self.config.server
        many = f"{server.workers} worker" + ("s" if server.workers > 1 else "")
        admin = f", admin on http://{server.admin_address}" if server.admin_address else ""
        return f"serving on {shown(self.config.listeners)} with {many}{admin}"

    def _succeed(self) -> None:
        """Replace the keeper of the program before, then its workers; these serve until younger ones do."""
        self.keeper.end()
        claim_numbers(self.shared.segment, self.config)
        self.keeper.step()
        for worker in list(self.workers.by_slot.values()):
            self.workers.replace(worker)
        say(f"upgraded to {__version__}; {len(self.workers.by_slot)} workers finish what they have, and are replaced")
        self.notifier.ready(self._status)

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
                within_s = min(self.keeper.step(), self.workers.step(), self.rollout.step(), self._step_upgrade(),
                               self._step_notices())  # fmt: skip
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
            self.keeper.wanted = self.reloading = True
            self.notifier.reloading("reads its configuration")
        elif number == signal.SIGUSR2:
            self.upgrade_wanted = True

    def _step_notices(self) -> float:
        """What is due to the service manager; in how many seconds to come again."""
        if self.reloading and not (self.keeper.wanted or self.keeper.asked or self.rollout.running):
            self.reloading = False
            self.notifier.ready(self._status)
        return self.notifier.beat()

    # Reload

    def _publish(self, message: Publish, config_fd: int, roster_fd: int) -> None:
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
            config = published.read(config_fd)
            self.workers.prepare(config.server.workers)
        except (SegmentError, OSError, ValueError) as error:
            os.close(config_fd)
            os.close(roster_fd)
            answer(str(error), False)
            return
        self.rollout.start(config_fd, roster_fd, answer)

    def _take(self, config: Config) -> None:
        """It is served: what of it concerns this process."""
        self.config = config
        self.shared.drain_ms = config.server.drain_timeout_ms
        self.shared.watchdog_ms = config.server.watchdog_timeout_ms
        self.workers.number = config.server.workers

    # Upgrade

    def _step_upgrade(self) -> float:
        """Ask the installed code whether it can take over, when nothing else is changing."""
        if self.probe is not None:
            return self.probe.step()
        if self.upgrade_wanted and not self.rollout.running and self.workers.ready:
            self.upgrade_wanted = False
            self.probe = Probe(self.shared, self.events, self._probed)
        return IDLE_S

    def _probed(self, verdict: Verdict, config_fd: int) -> None:
        assert self.probe is not None
        stale = self.probe.generation != self.shared.generation or self.rollout.running
        self.probe = None
        problems = list(verdict.problems)
        if not problems and not stale:
            try:
                self.workers.prepare_to_replace(verdict.workers)
                self._go_over(config_fd)
                return
            except (SegmentError, OSError) as error:
                problems.append(str(error))
        os.close(config_fd)
        for problem in problems:
            say(f"error: upgrade: {problem}")
        if problems:
            say("upgrade refused; nothing has changed")
        self.upgrade_wanted = self.upgrade_wanted or (stale and not problems)  # by what has been reloaded meanwhile

    def _go_over(self, config_fd: int) -> None:
        """Hand over; returns only when that cannot be, or a signal has come that goes first."""
        hold_signals()
        early = self.events.caught()
        if any(number != signal.SIGCHLD for number in early):
            self.upgrade_wanted = True  # when that has been heeded
        elif not self.draining:
            handover = Handover(
                HANDOVER_VERSION, self.shared.segment.path, config_fd, self.shared.roster_fd,
                self.shared.generation + 1, self.shared.lifeline, self.lifeline_end, self.shared.lock,
                self.listeners.handed(),
                self.keeper.process.pid if self.keeper.process is not None else 0, self.workers.handed(),
            )  # fmt: skip
            self.notifier.reloading("another version takes over")
            go_over(handover)
            self.notifier.ready(self._status)
        os.close(config_fd)
        release_signals()
        self.events.again(early)

    # The end

    def _drain(self) -> int:
        """No new connections; what is in flight finishes, within the drain timeout."""
        say("draining; another signal ends it at once")
        self.draining = True
        self.notifier.stopping("finishes calls in flight", self.shared.drain_ms / 1000 + KILL_AFTER_S + END_S)
        if self.probe is not None:
            self.probe.cancel()
        self.listeners.close()  # the workers have theirs, and accept what is queued before they close it
        workers = [child.process for child in self.workers.by_slot.values() if child.process is not None]
        for process in workers:
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + self.shared.drain_ms / 1000 + KILL_AFTER_S
        while any(process.poll() is None for process in workers):
            self.notifier.beat()
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
        self.listeners.close()
        self.workers.end()
        self.keeper.end()
        if self.disposable:
            os.unlink(self.shared.segment.path)


def shown(listeners: Sequence[Listener]) -> str:
    """Where clients connect, for people: "http://127.0.0.1:8080, https://[::]:8443 and unix:/run/fastgw.sock"."""
    *rest, last = (
        f"{'https' if listener.tls else 'http'}://{listener.address}" if is_port(listener.address) else listener.address
        for listener in listeners
    )
    return f"{', '.join(rest)} and {last}" if rest else last


def run(config: Config, source: Source) -> int:
    """Serve until told to stop; the exit code. Every reason not to start is said on stderr."""
    return _run(lambda: Supervisor.begin(config, source))


def reason(error: Exception) -> str:
    """What an exception says, without the number of an error of the system's."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _run(make: Callable[[], Supervisor]) -> int:
    try:
        return make().run()
    except (Occupied, StartError, SegmentError, SecretError, OSError) as error:
        for line in reason(error).splitlines():
            say(f"error: {line}")
        return 2


if __name__ == "__main__":  # the successor of another, see `upgrade.go_over`; never by hand
    sys.exit(_run(lambda: Supervisor.adopt(received(int(sys.argv[1])))))
