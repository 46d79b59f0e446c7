"""Decides how records come from the journals into the spool: every one once, however often the keeper is killed.

A record is read where the spool ends, so what was read but not written is read again, and what was written is not.
When nothing can be written, nothing is read: the journals hold what they can, and what they overwrite is counted, with
its cost, once writing works again.
"""

import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Protocol

import numpy as np

from .catalog import Catalog
from .names import NameBook, Names
from .records import RECORD, Rows
from .spool import SUFFIX, Progress, Spool, SpoolError

BLOCK_ROWS = 4096  # 1 MiB at a time
ROTATE_ROWS = 1 << 18  # 64 MiB
ROTATE_S = 10.0


class Journals(Protocol):
    """What the call log needs of a segment."""

    @property
    def identity(self) -> bytes: ...

    @property
    def worker_slots(self) -> int: ...

    def journal_into(self, worker: int, first: int, buffer: memoryview, /) -> tuple[int, int, int]: ...

    def journal_written(self, worker: int, /) -> int: ...


class Listener(Protocol):
    """Who gets the records as they come; they are its own only until it returns."""

    def __call__(self, rows: Rows, first: int, book: NameBook, /) -> None: ...


class Drain:
    """Reads the journals of one segment into `folder`/spool. One thread at a time, under `lock`.

    `full` holds the files that are written no more and wait to become Parquet, `progress` what the log knows.
    """

    def __init__(self, journals: Journals, folder: Path, names: Names, catalog: Catalog, listener: Listener) -> None:
        self.journals = journals
        self.folder = folder
        self.names = names
        self.catalog = catalog
        self.listener = listener
        self.lock = threading.Lock()
        self.identity = journals.identity.hex()
        self.progress = Progress(self.identity)
        self.books: dict[str, NameBook] = {}
        self.full: list[Spool] = []
        self.spool: Spool | None = None
        self.bytes_max = 0
        self.owning = -1
        self.begun = time.monotonic()
        self.block = np.zeros(BLOCK_ROWS, RECORD)
        self.octets = memoryview(self.block.view(np.uint8).data)

    def open(self, floor: int) -> None:
        """Take up what earlier processes left, and begin a file of our own, behind position `floor` at least.

        Raises OSError, and may be called again.
        """
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self._own()
        left, broken = [], []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                left.append(Spool.recover(path))
            except SpoolError:  # the machine lost power just after the file was begun; the one before is still there
                broken.append(path)
        progress = Progress(self.identity)
        if left:
            progress = left[-1].begun.copy()
            progress.take_all(left[-1].rows())
        if progress.segment != self.identity:
            progress.interruptions += not progress.closed
            progress.segment, progress.places = self.identity, {}
        progress.closed = False
        full = [spool for spool in left if spool.count]
        unwritten = full[0].first if full else progress.rows + 1
        self.catalog.load(unwritten)
        # Only more where the newest files were lost: a position is never given twice.
        progress.rows = max(progress.rows, floor, *(part.last for part in self.catalog.parts))
        for spool in full:
            self._book(spool.begun.segment)
        self._book(self.identity)
        fresh = Spool.create(self.folder, progress)
        for path in [*broken, *(spool.path for spool in left if not spool.count)]:
            if path != fresh.path:
                path.unlink()
        self._forget_names({spool.begun.segment for spool in full})
        self.progress, self.full, self.begun = progress, full, time.monotonic()
        self.catalog.spools = [*full, fresh]
        self.spool = fresh

    def _own(self) -> None:
        """Be the only one that reads the journals into this folder. Raises OSError while another process is."""
        if self.owning < 0:
            descriptor = os.open(self.folder / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise OSError(errno.EAGAIN, "another process writes this call log", str(self.folder)) from None
            self.owning = descriptor

    def disown(self) -> None:
        """Let another process go on, as the end of this one does."""
        if self.owning >= 0:
            os.close(self.owning)
            self.owning = -1

    def _book(self, segment: str) -> NameBook:
        book = self.books.get(segment)
        if book is None:
            book = self.books[segment] = NameBook(self.folder / f"{segment}.names")
        return book

    def _forget_names(self, needed: set[str]) -> None:
        """Of segments that are gone, once none of their rows waits any more."""
        for path in self.folder.glob("*.names"):
            if path.stem != self.identity and path.stem not in needed:
                path.unlink()
                self.books.pop(path.stem, None)

    def read(self) -> int:
        """Bring every record that there is now into the spool; how many. Raises OSError, and may be called again.

        `open` must have succeeded.
        """
        count = 0
        for worker in range(self.journals.worker_slots):
            count += self._read_worker(worker)
        if self._due():
            self.rotate()
        return count

    def _read_worker(self, worker: int) -> int:
        end = self.journals.journal_written(worker)  # no further, or a busy worker would keep us from the others
        count = 0
        while (place := self.progress.places.get(worker)) is None or place.next < end:
            got, _, _ = self.journals.journal_into(worker, place.next if place else 0, self.octets)
            if not got:
                break
            self._keep(worker, self.block[:got])
            count += got
        return count

    def _keep(self, worker: int, rows: Rows) -> None:
        spool, book = self.spool, self._book(self.identity)
        assert spool is not None
        if self.bytes_max and self.spooled_bytes() > self.bytes_max:
            raise OSError(errno.EFBIG, "more rows wait than may be kept", str(self.folder))
        rows["worker"] = worker + 1
        book.learn(rows, self.names)
        spool.append(rows)
        first = self.progress.rows + 1
        self.progress.take(worker, rows)
        self.listener(rows, first, book)
        if spool.count >= ROTATE_ROWS:
            self.rotate()

    def _due(self) -> bool:
        return self.spool is not None and self.spool.count > 0 and time.monotonic() - self.begun >= ROTATE_S

    def rotate(self) -> None:
        """Begin a new file; the one before is full. Raises OSError, and then goes on with the old one."""
        old = self.spool
        if old is None or not old.count:
            return
        fresh = Spool.create(self.folder, self.progress)
        self.catalog.add_spool(fresh)
        self.spool, self.begun = fresh, time.monotonic()
        old.close()
        self.full.append(old)

    def close(self) -> None:
        """Say that nothing is missing. When no row waits any more. Raises OSError."""
        if self.spool is None or self.spool.count:
            return
        self.progress.closed = True
        self.spool.close()
        self.spool = Spool.create(self.folder, self.progress)
        self.spool.sync()
        self.spool.close()
        self._forget_names(set())
        self.disown()

    def sync(self) -> None:
        """Make the head of the newest file survive the machine's power. Raises OSError."""
        spool = self.spool
        if spool is not None:
            descriptor = os.open(spool.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def spooled_bytes(self) -> int:
        return sum(spool.bytes for spool in self.catalog.spools)

    def depth(self) -> int:
        """Records in the journals that have not been read, those overwritten included."""
        places = self.progress.places
        return sum(
            max(0, self.journals.journal_written(worker) - (places[worker].next if worker in places else 0))
            for worker in range(self.journals.worker_slots)
        )
