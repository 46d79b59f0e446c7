"""The keeper: the only writer of accounts and keys, and the admin address's server.

Started by the supervisor as `python -m fastgw.keeper SEGMENT CONFIG_FD LIFELINE_FD READY_FD`; never by hand. While it
is down, workers go on with what the segment holds. READY_FD is told "ready" or what is wrong; it is -1 for a keeper
that takes the place of another, which serves even when files of keys and accounts have become wrong meanwhile.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator

from . import published
from ._segment import Segment, SegmentError
from .config.record_files import check_files, iter_accounts, iter_keys
from .control.admin import AdminServer
from .loading import LoadError, load_accounts, load_keys
from .model import Account, Config, ConfigError, Key, Problem
from .room import Room

READY = "ready"


def accounts_of(config: Config) -> Iterator[Account]:
    """Every account, of the file and of `accounts_file`."""
    yield from config.accounts
    if config.server.accounts_file:
        yield from iter_accounts(config.server.accounts_file)


def keys_of(config: Config) -> Iterator[Key]:
    """Every key, of the file and of `keys_file`."""
    yield from config.keys
    if config.server.keys_file:
        yield from iter_keys(config.server.keys_file)


def load(segment: Segment, config: Config) -> None:
    """Make the segment hold what is declared.

    Raises ConfigError, naming file and line where they can be found, or SegmentError.
    """
    limited = any(route.rate is not None for route in config.routes)
    room = Room(segment, workers=config.server.workers, routes=len(segment.routes()) if limited else 0)
    try:
        room.need(keys=1, accounts=1)
        load_keys(segment, keys_of(config), load_accounts(segment, accounts_of(config), room), room)
    except LoadError as error:
        check_files(config, lambda _: "the configuration")  # slower, but it knows every line that is wrong
        raise ConfigError([Problem("accounts and keys", str(error))]) from None


def report(ready: int, text: str) -> None:
    """Tell the supervisor, or, when it does not wait for an answer, everybody."""
    if ready >= 0:
        os.write(ready, f"{text}\n".encode()[: select.PIPE_BUF])
        os.close(ready)
    elif text != READY:
        print(f"fastgw: error: keys and accounts stay as they were: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    segment_path, config_fd, lifeline, ready = argv[0], int(argv[1]), int(argv[2]), int(argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # it holds nothing that could be lost
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    segment = Segment.open(segment_path)
    config = published.read(config_fd)
    outcome = READY
    try:
        if config.server.admin_address:  # first: while it loads, it lives, and what the workers serve can be seen
            admin = AdminServer(config.server.admin_address, segment, config)
            threading.Thread(target=admin.serve_forever, daemon=True, name="admin").start()
        load(segment, config)
    except (ConfigError, SegmentError, OSError) as error:
        outcome = str(error)
    report(ready, outcome)
    if ready >= 0 and outcome != READY:
        return 1
    # Readable means closed: the supervisor is gone. Not a read, which would fail at once: the workers' loops have made
    # the pipe, which is the same for all, a non-blocking one.
    select.select([lifeline], [], [])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
