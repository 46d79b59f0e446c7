"""Decides how a segment gives all that it knows to the ledger and the call log, so that it may be made anew.

Started by the supervisor, before anything serves, as `python -m fastgw.draining SEGMENT CONFIG_FD REPORT_FD`; never by
hand. It is a keeper that begins with accounts and keys as they are, and ends at once.
"""

import os
import select
import signal
import sys

import apsw

from . import published
from ._segment import Segment, SegmentError
from .keeper import READY, Keeper, explain
from .ledger.errors import LedgerError
from .ledger.store import Store, StoreError
from .roster import Roster


def drain(segment: Segment, config_fd: int) -> None:
    """Raises StoreError, LedgerError, SegmentError, apsw.Error or OSError."""
    keeper = Keeper(segment, published.read(config_fd), published.read_source(config_fd), Roster({}))
    keeper.books.open()
    keeper.resume()
    keeper.stop()
    store = Store(keeper.settings().config.server.state_dir)  # `stop` does its best, and this is whether it was enough
    store.open()
    drained = store.one("SELECT drained FROM state")
    store.close()
    if drained != (1,):
        raise StoreError("it could not be written")


def main(argv: list[str]) -> int:
    path, config_fd, report = argv[0], int(argv[1]), int(argv[2])
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    outcome = READY
    try:
        drain(Segment.open(path), config_fd)
    except (LedgerError, StoreError, SegmentError, apsw.Error, OSError) as error:
        outcome = explain(error)
    os.write(report, outcome.encode()[: select.PIPE_BUF])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
