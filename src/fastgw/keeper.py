"""The keeper: the only writer of the ledger, and of accounts and keys in the segment; the admin address's server.

Started by the supervisor as `python -m fastgw.keeper SEGMENT CONFIG_FD LIFELINE_FD READY_FD CHANNEL_FD`; never by hand.
While it is down, workers go on with what the segment holds. READY_FD is told "ready" or what is wrong; it is -1 for a
keeper that takes the place of another, which serves even when files of keys and accounts have become wrong meanwhile,
and waits for a disk that cannot be written.
"""

import os
import select
import signal
import sys
import threading

import apsw

from . import published
from ._segment import Segment, SegmentError
from .channel import Channel
from .control.admin import AdminServer
from .ledger.books import Books
from .ledger.errors import LedgerError
from .ledger.store import StoreError
from .loading import apply, reapply
from .model import Config, ConfigError
from .reloading import Reloading

READY = "ready"
RETRY_S = 0.5


class Keeper:
    """One keeper at work: the books, and what serves and feeds on them, started and stopped in order."""

    def __init__(self, segment: Segment, config: Config) -> None:
        self.segment, self.config = segment, config
        self.books = Books(segment, config.server.state_dir)

    def serve_admin(self) -> None:
        """Answer on the admin address, if there is one. Raises OSError when it cannot be bound."""
        if self.config.server.admin_address:
            admin = AdminServer(self.config.server.admin_address, self.segment, self.config)
            threading.Thread(target=admin.serve_forever, daemon=True, name="admin").start()

    def start(self) -> None:
        """Attach, load what is declared, and commit from then on. Raises ConfigError, StoreError, LedgerError, …"""
        self.books.open()
        apply(self.books, self.config)
        self.books.start()

    def resume(self) -> None:
        """The same, with accounts and keys as they were."""
        self.books.resume(self.config)
        self.books.start()

    def renew(self) -> None:
        """Forget a start that failed."""
        self.books.close()
        self.books = Books(self.segment, self.config.server.state_dir)

    def stop(self) -> None:
        """Commit and enter all that is captured."""
        self.books.stop()


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
            keeper.renew()
            if ending.wait(RETRY_S):
                sys.exit(0)


def main(argv: list[str]) -> int:
    segment_path, config_fd, lifeline, ready = argv[0], int(argv[1]), int(argv[2]), int(argv[3])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):  # they reach the whole group, for the supervisor
        signal.signal(number, signal.SIG_IGN)
    ending = Ending(lifeline)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    keeper = Keeper(Segment.open(segment_path), published.read(config_fd))
    outcome = READY
    try:
        keeper.serve_admin()  # first: while it loads, it lives, and what the workers serve can be seen
        if ready >= 0:
            keeper.start()
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
    channel = Channel.inherited(int(argv[4]), blocking=True)
    source = published.read_source(config_fd)
    Reloading(channel, keeper.segment, keeper.config, source, lambda new: reapply(keeper.books, new)).start()
    ending.wait()
    keeper.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
