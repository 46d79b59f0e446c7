"""Decides how much of the segment's memory is claimed before it is touched, so that a lack of it is an error at start.

The segment is a sparse file: a page that memory cannot be found for would otherwise kill the process that touches it.
"""

import errno
import os

from ._segment import Segment, SegmentError

STEP = 4096  # records claimed ahead, at least


def claim(segment: Segment, *, keys: int, accounts: int, workers: int, routes: int) -> None:
    """Claim what that many can touch. Raises SegmentError when there is not enough memory."""
    try:
        segment.reserve(keys=keys, accounts=accounts, workers=workers, routes=routes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT):
            raise
        directory = os.path.dirname(segment.path)
        raise SegmentError(
            f"{directory} has too little room for the segment of {workers} workers, {accounts} accounts and {keys} keys "
            f"({free_mib(directory)} MiB left): give it more, choose another --segment-dir, or lower --workers or "
            "--journal-records"
        ) from None


def free_mib(directory: str) -> int:
    """What is free in the directory's file system, in MiB."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize >> 20


class Room:
    """Claims ahead, in growing steps, for records whose number is known only when the last has been read."""

    def __init__(self, segment: Segment, *, workers: int, routes: int) -> None:
        self.segment = segment
        self.workers = workers
        self.routes = routes
        capacity = segment.capacity
        self.keys_max = capacity["keys_max"]
        self.accounts_max = capacity["accounts_max"]
        self.keys = 0
        self.accounts = 0

    def need(self, *, keys: int = 0, accounts: int = 0) -> None:
        """There is room for that many. Raises SegmentError."""
        if keys <= self.keys and accounts <= self.accounts:
            return
        if keys > self.keys:
            self.keys = min(self.keys_max, keys + max(STEP, keys // 8))
        if accounts > self.accounts:
            self.accounts = min(self.accounts_max, accounts + max(STEP, accounts // 8))
        claim(self.segment, keys=self.keys, accounts=self.accounts, workers=self.workers, routes=self.routes)
