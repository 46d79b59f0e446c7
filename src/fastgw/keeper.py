"""The keeper: the only writer of the ledger, and of accounts and keys in the segment; the admin address's server.

Started by the supervisor as `python -m fastgw.keeper SEGMENT CONFIG_FD LIFELINE_FD READY_FD CHANNEL_FD ROSTER_FD`;
never by hand. ROSTER_FD is the roster that the workers have, or -1.
While it is down, workers go on with what the segment holds. READY_FD is told "ready" or what is wrong; it is -1 for a
keeper that takes the place of another, which serves even when files of keys and accounts have become wrong meanwhile,
and waits for a disk that cannot be written.
"""

import faulthandler
import os
import select
import signal
import sys

import apsw

from . import published, roster
from ._segment import Segment, SegmentError
from .calllog.log import CallLog
from .calllog.names import SegmentNames
from .calllog.views import LogSettings
from .channel import Channel, Targets
from .config.changes import ReloadReport
from .config.load import Loaded
from .control.loads import TableOfLoads
from .control.server import AdminServer
from .control.services import Services
from .discovery.by_hand import ByHand
from .discovery.desk import Desk
from .discovery.discovery import Discovery
from .dry_run import DryRun
from .ledger.books import Books
from .ledger.errors import LedgerError
from .ledger.store import StoreError
from .loading import apply, reapply
from .model import Config, ConfigError, Problem
from .published import Source
from .reloading import Reloading
from .roster import Roster
from .settings import Server
from .wishing import Wishing

READY = "ready"
RETRY_S = 0.5
BEAT_S = 0.5


class Keeper:
    """One keeper at work: the books, and what serves and feeds on them, started and stopped in order."""

    def __init__(self, segment: Segment, config: Config, source: Source, former: Roster) -> None:
        server = config.server
        self.channel: Channel | None = None
        self.former = former
        self.segment, self.source = segment, source
        self.loaded = Loaded(config, source.origins, lambda _: "the configuration")
        self.books = Books(segment, server.state_dir)
        self.names = SegmentNames(segment, self.books.account_name, self.books.tag_name, former)
        self.discovery = Discovery(ByHand(server.state_dir), former, self._guide)
        self.call_log: CallLog | None = None
        if server.call_log:
            self.call_log = CallLog(segment, server.state_dir, self.names, log_settings(server))
        self.reloading: Reloading | None = None
        self.dry_run: tuple[Config, DryRun] | None = None
        self.admin: AdminServer | None = None

    def serve_admin(self) -> None:
        """Answer on the admin address, if there is one. Raises OSError when it cannot be bound."""
        server = self.settings().config.server
        if server.admin_address:
            services = Services(
                state_dir=server.state_dir,
                segment=self.segment,
                books=self.books,
                settings=self.settings,
                reload=self.reload,
                gate=self.gate,
                upstreams=Desk(self.discovery),
                loads=TableOfLoads(self.segment),
                call_log=self.call_log,
            )
            self.admin = AdminServer(server.admin_address, services)
            self.admin.start()

    def start(self) -> None:
        """Attach, load what is declared, and commit from then on. Raises ConfigError, StoreError, LedgerError, …"""
        self.books.open()
        apply(self.books, self.settings().config)
        self._begin()

    def resume(self) -> None:
        """The same, with accounts and keys as they were."""
        self.books.resume(self.settings().config)
        self._begin()

    def _begin(self) -> None:
        self.books.start()
        if self.call_log is not None:  # now that accounts have names
            self.call_log.start()

    def stop(self) -> None:
        """Commit, enter and write down all that there is. After the workers have ended."""
        if self.admin is not None:  # first: nobody may ask for what is being closed
            self.admin.stop()
        if self.call_log is not None:
            self.call_log.stop()
        self.discovery.stop()
        self.books.stop()

    # The configuration in force

    def settings(self) -> Loaded:
        return self.reloading.settings() if self.reloading is not None else self.loaded

    def heed(self, channel: Channel) -> None:
        """From now on reload when asked."""
        wishing = Wishing(channel, self.books)
        wishing.start()
        self.reloading = Reloading(channel, self.segment, self.loaded.config, self.source, self, wishing.take)
        self.reloading.start()

    def reload(self) -> ReloadReport:
        """Raises ConfigError when it is refused; see `Reloading.reload`."""
        if self.reloading is None:
            raise ConfigError([Problem("reload", "the gateway is starting; repeat this in a moment")])
        return self.reloading.reload()

    def apply(self, config: Config) -> None:
        """Of a reload: the books, and what is said of calls."""
        reapply(self.books, config)
        if self.call_log is not None:
            self.call_log.configure(log_settings(config.server))

    # Where the upstreams' servers are

    def find_targets(self) -> None:
        """Begin to find out; workers go on with the roster that they have meanwhile, where they have one."""
        self.discovery.start(self.settings().config)
        if self.former.generation:
            self.discovery.release(self.former)

    def tell_targets(self) -> None:
        """Tell the first roster, as soon as it has been found out, in time."""
        first = self.discovery.settle()
        self._guide(first)
        self.discovery.release(first)

    def prepare(self, config: Config) -> Roster:
        """Of a reload: the roster that is to be served with this configuration."""
        self.discovery.prepare(config)
        found = self.discovery.settle()
        self.names.retarget(found)
        return found

    def release(self, served: Roster | None) -> None:
        """Of a reload: it is, or None: nothing has changed."""
        self.discovery.release(served)

    def _guide(self, found: Roster) -> None:
        self.names.retarget(found)  # before a call can be sent by it
        if self.channel is not None:
            descriptor = roster.publish(found)
            self.channel.send(Targets(), [descriptor])
            os.close(descriptor)

    def gate(self) -> DryRun:
        """Admission by the configuration in force."""
        config = self.settings().config
        if self.dry_run is None or self.dry_run[0] is not config:
            self.dry_run = (config, DryRun(self.segment, config))
        return self.dry_run[1]


def log_settings(server: Server) -> LogSettings:
    """What of the settings concerns the call log."""
    return LogSettings(server.call_log_keep_ms, server.call_log_max_bytes, server.access_log)


def report(ready: int, text: str) -> None:
    """Tell the supervisor, or, when it does not wait for an answer, everybody."""
    if ready >= 0:
        os.write(ready, f"{text}\n".encode()[: select.PIPE_BUF])
        os.close(ready)
    elif text != READY:
        print(f"fastgw: error: keys and accounts stay as they were: {text}", file=sys.stderr, flush=True)


def explain(error: Exception) -> str:
    """A failure to start in words."""
    return f"the ledger cannot be used: {error}" if isinstance(error, apsw.Error) else str(error)


class Ending:
    """What ends a keeper: SIGTERM, or the supervisor's end of the lifeline closed."""

    def __init__(self, lifeline: int) -> None:
        self.lifeline = lifeline
        self.wake, self.waker = os.pipe()
        self.gently = False  # until it serves there is nothing to bring to an end
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        if not self.gently:
            os._exit(0)
        os.write(self.waker, b"!")

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has come, within `seconds` or ever."""
        # Readable means closed: the supervisor is gone. Not a read, which would fail at once: the workers' loops have
        # made the pipe, which is the same for all, a non-blocking one.
        return bool(select.select([self.lifeline, self.wake], [], [], seconds)[0])


def replace(keeper: Keeper, ending: Ending) -> str:
    """Start in the place of another, as soon as the ledger can be written; READY, or what is wrong with the files."""
    said = ""
    while True:
        try:
            keeper.start()
            return READY
        except (ConfigError, SegmentError) as error:
            keeper.resume()
            return str(error)
        except (apsw.Error, StoreError, LedgerError) as error:
            keeper.segment.stop_money(True)
            if str(error) != said:
                said = str(error)
                print(f"fastgw: {explain(error)}; prepaid calls are refused until it can", file=sys.stderr, flush=True)
            keeper.books.renew()
            if ending.wait(RETRY_S):
                sys.exit(0)


def main(argv: list[str]) -> int:
    segment_path, config_fd, lifeline, ready = argv[0], int(argv[1]), int(argv[2]), int(argv[3])
    faulthandler.enable()  # the watchdog's SIGABRT has it say where it hangs
    os.umask(0o077)  # whatever is written here, by whichever library, is nobody else's
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):  # they reach the whole group, for the supervisor
        signal.signal(number, signal.SIG_IGN)
    ending = Ending(lifeline)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    channel = Channel.inherited(int(argv[4]), blocking=True)
    former = Roster({}) if int(argv[5]) < 0 else roster.read(int(argv[5]))
    keeper = Keeper(Segment.open(segment_path), published.read(config_fd), published.read_source(config_fd), former)
    keeper.channel = channel
    outcome = READY
    try:
        keeper.find_targets()
        keeper.serve_admin()  # first: while it loads, it lives, and what the workers serve can be seen
        if ready >= 0:
            keeper.start()
            keeper.tell_targets()
        else:
            outcome = replace(keeper, ending)
    except (ConfigError, SegmentError, LedgerError, StoreError, apsw.Error, OSError) as error:
        outcome = explain(error)
        if ready < 0:
            raise
    ending.gently = outcome == READY or ready < 0
    report(ready, outcome)
    if not ending.gently:
        return 1
    keeper.heed(channel)
    while not ending.wait(BEAT_S):
        keeper.segment.keeper_beat()
    keeper.stop()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # everything is written; the engines' threads and what they hold need no farewell
