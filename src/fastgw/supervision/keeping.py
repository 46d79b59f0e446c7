"""Decides how the keeper is started and replaced, and what becomes of a reload that it is asked for."""

import math
import os
import signal
import time
from collections.abc import Callable

from ..channel import Channel, ChannelError, Closed, Outcome, Publish, Received, Reload, TagAnswer, Targets, WantTag
from .children import Child, Process, how_it_ended, say
from .events import Events
from .watchdog import Watchdog
from .workers import Shared

EARLY_S = 10.0  # a keeper that ends sooner ended early
READY = "ready"
SILENT_LEAST_S = 5.0  # that it may do nothing: its threads share one lock, and some have much to do
END_S = 10.0  # in which one that is told to end must have written what it has to


class Keeper(Child):
    """The place of the keeper."""

    def __init__(
        self,
        shared: Shared,
        events: Events,
        on_publish: Callable[[Publish, int, int], None],
        on_targets: Callable[[int], None],
        on_tag: Callable[[TagAnswer], None],
    ) -> None:
        super().__init__("keeper")
        self.shared = shared
        self.events = events
        self.on_publish = on_publish  # with the descriptors of the configuration and its roster
        self.on_targets = on_targets  # with the descriptor of the roster
        self.on_tag = on_tag
        self.watchdog = Watchdog(math.inf)  # while it loads, it may take its time
        self.asked = False  # to reload, and it has not answered
        self.wanted = False  # a reload, as soon as there is a keeper
        self.loaded = ""  # what the first one has said about loading accounts and keys: READY, or what is wrong

    def start_first(self) -> None:
        """Start the one whose word about loading is waited for, in `loaded`."""
        ready, write = os.pipe()
        os.set_blocking(ready, False)
        try:
            self._start(write)
        finally:
            os.close(write)
        said = bytearray()

        def read() -> None:
            part = os.read(ready, 4096)
            said.extend(part)
            if not part or said.endswith(b"\n"):
                self.events.forget(ready)
                os.close(ready)
                self.loaded = said.decode(errors="replace").strip() or self._unloaded()

        self.events.watch(ready, read)

    def _unloaded(self) -> str:
        assert self.process is not None
        return f"the keeper {how_it_ended(self.process.wait())} while it loaded accounts and keys"

    def _start(self, ready: int) -> None:
        shared = self.shared
        channel, end = Channel.pair()
        maybe = [descriptor for descriptor in (ready, shared.roster_fd) if descriptor >= 0]
        inherited = [shared.config_fd, shared.lifeline, shared.lock, end.fileno(), *maybe]
        arguments = (shared.segment.path, shared.config_fd, shared.lifeline, ready, end.fileno(), shared.roster_fd)
        self.started_at = time.monotonic()
        try:
            self.process = Process.start("keeper", arguments, inherited)
        finally:
            end.close()
        self.join(channel)

    def join(self, channel: Channel) -> None:
        """Hear what it says."""
        self.channel = channel
        self.events.attend(channel, lambda: self._hear(channel))

    def step(self) -> float:
        """Replace it when it has died; in how many seconds to come again."""
        if self.process is not None and self.process.poll() is not None:
            self._bury()
        now = time.monotonic()
        if self.process is None:
            if now < self.retry_at:
                return self.retry_at - now
            self._start(-1)
        self._watch(now)
        if self.wanted and not self.asked and self.channel is not None:
            self.wanted = False
            self.asked = True
            self.channel.send(Reload())
        return 1.0

    def _watch(self, now: float) -> None:
        """End it when it hangs."""
        assert self.process is not None
        limit_s = max(self.shared.watchdog_ms / 1000, SILENT_LEAST_S) if self.shared.watchdog_ms else 0.0
        beat_ns = self.beat_of(self.shared.segment.keeper_beat_ns)
        if self.watchdog.look({self.process.pid: beat_ns}, limit_s):
            self.abort(limit_s)
        if self.kill_at and now >= self.kill_at:
            self.process.signal(signal.SIGKILL)

    def _bury(self) -> None:
        assert self.process is not None
        end = how_it_ended(self.process.poll() or 0)
        if self.channel is not None:
            self._hear(self.channel)  # its last words
        self.part()
        if self.asked:
            self.asked = False
            say(f"error: reload: the keeper {end} during it; what was served before is served on")
        pause_s = self.ended(time.monotonic() - self.started_at < EARLY_S)
        say(f"keeper {end}; starting another" + (f" in {pause_s:.1f} s" if pause_s else ""))

    def adopt(self, pid: int) -> None:
        """It was started by another program; nothing is heard from it any more."""
        self.process = Process(pid)

    def end(self) -> None:
        """End it, and wait for it: it may have something to write, for which it has a bounded time."""
        if self.process is not None:
            self.process.signal(signal.SIGTERM)
            until = time.monotonic() + END_S
            signals: list[int] = []
            while self.process.poll() is None and time.monotonic() < until:
                signals += self.events.wait(0.1)
            self.events.again(signals)
            if self.process.poll() is None:
                say("the keeper did not end; killing it")
            self.process.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        self.part()

    def part(self) -> None:
        """Hear no more of it."""
        if self.channel is not None:
            self.events.forget(self.channel.fileno())
            self.channel.close()
            self.channel = None

    def want_tag(self, message: WantTag) -> None:
        """Pass it on; without a keeper it is lost, and asked for again by the next call."""
        if self.channel is not None:
            self.channel.send(message)

    def _hear(self, channel: Channel) -> None:
        try:
            while self.channel is channel and (received := channel.receive()) is not None:
                self._heed(received)
        except Closed:
            self.events.forget(channel.fileno())
        except ChannelError as error:
            say(f"the keeper said what is not understood: {error}")

    def _heed(self, received: Received) -> None:
        message, descriptors = received
        if isinstance(message, Publish) and len(descriptors) == 2:
            self.asked = False
            self.on_publish(message, *descriptors)
            return
        if isinstance(message, Targets) and len(descriptors) == 1:
            self.on_targets(*descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(message, TagAnswer):
            self.on_tag(message)
        if isinstance(message, Outcome):
            self.asked = False
            for line in message.lines:
                say(f"error: reload: {line}" if message.refused else f"reload: {line}")
