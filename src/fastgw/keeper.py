"""The keeper: the only writer of accounts and keys, and the admin address's server.

Started by the supervisor as `python -m fastgw.keeper SEGMENT CONFIG_FD LIFELINE_FD READY_FD`; never by hand. While it is
down, workers go on with what the segment holds.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator

from . import published
from ._segment import Segment, SegmentError
from .control.admin import AdminServer
from .loading import load_accounts, load_keys
from .model import Account, Config, ConfigError, Key
from .record_files import iter_accounts, iter_keys


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


def main(argv: list[str]) -> int:
    segment_path, config_fd, lifeline, ready = argv[0], int(argv[1]), int(argv[2]), int(argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # it holds nothing that could be lost
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    segment = Segment.open(segment_path)
    config = published.read(config_fd)
    try:
        numbers = load_accounts(segment, accounts_of(config))
        load_keys(segment, keys_of(config), numbers)
        segment.reserve(
            keys=segment.key_count,
            accounts=segment.account_count,
            workers=config.server.workers,
            routes=sum(route.rate is not None for route in config.routes) and len(segment.routes()),
        )
        if config.server.admin_address:
            admin = AdminServer(config.server.admin_address, segment, config)
            threading.Thread(target=admin.serve_forever, daemon=True, name="admin").start()
    except (ConfigError, SegmentError, OSError) as error:
        os.write(ready, f"{error}\n".encode())
        return 1
    os.write(ready, b"ready\n")
    os.close(ready)
    os.read(lifeline, 1)  # returns when the supervisor is gone
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
