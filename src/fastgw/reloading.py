"""Decides what a reload does in the keeper: read, check, apply to the books, publish, and wait until workers serve it.

Whatever goes wrong before every worker can serve the new configuration leaves the old one in force, in the books too.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

import msgspec

from . import published, roster, upstream_tls
from ._segment import Segment
from .channel import Channel, ChannelError, Closed, Outcome, Publish, Reload, Served, WantTag, shortened
from .config.certificates import warnings
from .config.changes import ReloadReport, reload_report
from .config.load import Loaded, read_again
from .model import Config, ConfigError, Problem
from .published import Source
from .roster import Roster
from .rows import claim_numbers

LOOK_S = 0.5  # between looks at the files
Print = tuple[tuple[int, int, int] | None, ...]


class Parts(Protocol):
    """What a reload changes in the keeper."""

    def apply(self, config: Config, /) -> None:
        """Make the books and the segment what a configuration declares; what it raises refuses the reload."""
        ...

    def prepare(self, config: Config, /) -> Roster:
        """The roster that is to be served with it. `release` follows."""
        ...

    def release(self, served: Roster | None, /) -> None:
        """It is, or None: all is as before."""
        ...


class Reloading:
    """The configuration in force, and the one way to another; for any thread."""

    def __init__(
        self,
        channel: Channel,
        segment: Segment,
        config: Config,
        source: Source,
        parts: Parts,
        on_want: Callable[[WantTag], None] = lambda _: None,
    ) -> None:
        """`on_want` takes what workers ask for by the same channel."""
        self._channel = channel
        self._segment = segment
        self._source = source
        self._parts = parts
        self._on_want = on_want
        self._loaded = Loaded(config, source.origins, lambda _: "the configuration")
        self._lock = threading.Lock()  # one reload at a time
        self._answers: SimpleQueue[Served] = SimpleQueue()
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._number = 0

    def start(self) -> None:
        """Heed what the supervisor asks for, and watch the files, each in a thread of its own."""
        for work in (self._hear, self._obey, self._watch):
            threading.Thread(target=work, daemon=True, name=f"reload{work.__name__}").start()

    def settings(self) -> Loaded:
        """The configuration in force and where each setting of it came from."""
        return self._loaded

    def reload(self) -> ReloadReport:
        """Read the configuration anew; returns when all workers serve by it.

        Raises ConfigError when it is refused, or what `apply` raises: nothing has changed then.
        """
        with self._lock:
            try:
                return self._reload()
            except ConfigError as error:
                self._say([str(problem) for problem in error.problems], refused=True)
                raise
            except Exception as error:
                self._say([str(error) or type(error).__name__], refused=True)
                raise

    def _reload(self) -> ReloadReport:
        before = self._loaded
        loaded = read_again(self._source)
        report = reload_report(before.config, loaded.config)
        claim_numbers(self._segment, report.config)
        try:
            self._parts.apply(report.config)
            served = self._serve(report, loaded) if report.config != before.config else Served(self._number)
            if not served.applied:
                raise ConfigError([Problem("reload", served.problem)])
        except BaseException:
            self._go_back(before.config)
            raise
        if report.config == before.config:
            self._say(report.lines(), refused=False)
        self._loaded = Loaded(report.config, loaded.origins, loaded.locate)
        for line in warnings(report.config.certificates, time.time()):
            print(f"fastgw: warning: {line}", file=sys.stderr, flush=True)
        return report

    def _serve(self, report: ReloadReport, loaded: Loaded) -> Served:
        """Have the workers serve it; what came of it."""
        served = None
        try:
            found = self._parts.prepare(report.config)
            answer = self._publish(report, loaded, found)
            served = found if answer.applied else None
            return answer
        finally:
            self._parts.release(served)

    def _publish(self, report: ReloadReport, loaded: Loaded, found: Roster) -> Served:
        self._number += 1
        source = msgspec.structs.replace(self._source, origins=dict(loaded.origins))
        descriptors = [published.publish(report.config, source), roster.publish(found)]
        try:
            self._channel.send(Publish(self._number, shortened(report.lines())), descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        while (answer := self._answers.get()).number != self._number:
            pass
        return answer

    def _go_back(self, config: Config) -> None:
        try:
            self._parts.apply(config)
        except Exception as error:
            line = f"fastgw: error: reload: accounts and keys could not be set back: {error}"
            print(line, file=sys.stderr, flush=True)

    def _say(self, lines: list[str], *, refused: bool) -> None:
        self._channel.send(Outcome(shortened(lines), refused))

    # Threads

    def _hear(self) -> None:
        while True:
            try:
                received = self._channel.receive()
            except ChannelError:
                continue
            except Closed:  # the supervisor is gone, and soon so is this process
                return
            assert received is not None
            message, descriptors = received
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(message, Served):
                self._answers.put(message)
            elif isinstance(message, Reload):
                self._asked.put(None)
            elif isinstance(message, WantTag):
                self._on_want(message)

    def _obey(self) -> None:
        while True:
            self._asked.get()
            with contextlib.suppress(Exception):  # the supervisor has been told
                self.reload()

    def _watch(self) -> None:
        """Reload when a file is another than before, and has stayed so from one look to the next."""
        pause = threading.Event()
        seen = tried = self._fingerprint()
        while not pause.wait(LOOK_S):
            now = self._fingerprint()
            stable, seen = now == seen, now
            if not self._loaded.config.server.watch:
                tried = now
            elif now != tried and stable:
                tried = now
                with contextlib.suppress(Exception):
                    self.reload()

    def _fingerprint(self) -> Print:
        """Time, inode and size of each file that the configuration is read from."""
        config = self._loaded.config
        server = config.server
        files = [self._source.config_file, server.keys_file, server.accounts_file, server.client_ca]
        files += [file for shown in config.certificates for file in (shown.certificate, shown.key)]
        files += [provider.keys_file for provider in config.providers]
        files += [file for upstream in config.upstreams for file in upstream_tls.files(upstream.tls)]
        prints: list[tuple[int, int, int] | None] = []
        for file in files:
            try:
                status = os.stat(file) if file else None
            except OSError:
                status = None
            prints.append(None if status is None else (status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(prints)
