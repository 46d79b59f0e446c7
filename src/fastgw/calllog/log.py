"""The call log: every finished call one row, from the workers' journals to Parquet files, in threads of the keeper.

Whatever happens to it, calls go on: it never blocks a worker, and what it cannot keep it counts, with its cost.
"""

import sys
import threading
import time
from pathlib import Path

import duckdb
import numpy as np

from .access import AccessLines
from .catalog import Catalog
from .drain import Drain, Journals
from .names import NameBook, Names
from .parquet import ParquetWriter, connect, expired
from .queries import Queries
from .records import Rows
from .spool import Spool
from .totals import Totals, merge
from .views import Call, CallFilter, Interval, LogSettings, LogState, Usage

READ_S = 0.05
RETRY_S = 0.5
WRITE_AGAIN_S = 5.0  # a file that could not be written is made from its first row again
TIDY_S = 10.0  # between looks at what retention deletes and what could be merged
LINES_S = 1.0  # that stopping waits for whoever reads the access lines

FOLDER = "calls"


class CallLog:
    """Of one segment, in `directory`/calls. For one process at a time."""

    def __init__(self, segment: Journals, directory: str | Path, names: Names, settings: LogSettings) -> None:
        self.folder = Path(directory) / FOLDER
        self.settings = settings
        self.lines = AccessLines(settings.access_log)
        self.catalog = Catalog(self.folder)
        self.drain = Drain(segment, self.folder / "spool", names, self.catalog, self._listen)
        engine = connect()
        self.writer = ParquetWriter(self.catalog, engine)
        self.queries = Queries(self.catalog, self.drain.books, engine.cursor())
        self.totals: Totals | None = None
        self.settling = threading.Lock()  # costs are in the totals or in a spool file, never in both
        self.stopping = threading.Event()
        self.work = threading.Event()
        self.threads: list[threading.Thread] = []
        self.read_at = time.monotonic()
        self.tidied_at = -TIDY_S
        self.read_error = ""
        self.write_error = ""
        self.configure(settings)

    # The life of the log

    def start(self) -> None:
        """Begin to read. A disk that cannot be written is no error: it is tried again and again."""
        self._read()
        for name, run in (("call-log-drain", self._run_drain), ("call-log-write", self._run_writer)):
            thread = threading.Thread(target=run, daemon=True, name=name)
            thread.start()
            self.threads.append(thread)

    def stop(self) -> None:
        """Bring everything that the journals hold into Parquet, and end. After the last worker has."""
        self.stopping.set()
        self.work.set()
        for thread in self.threads:
            thread.join()
        if self._read():
            try:
                with self.drain.lock:
                    self.drain.rotate()
                self.to_parquet()
                with self.drain.lock:
                    self.drain.close()
            except (OSError, duckdb.Error) as error:
                self._say("write_error", error)
        self.lines.stop(LINES_S)

    def configure(self, settings: LogSettings) -> None:
        """Follow these settings from now on; a file of access lines that was moved away is made anew."""
        self.settings = settings
        self.drain.bytes_max = settings.max_bytes
        self.lines.reopen(settings.access_log)

    def reopen(self) -> None:
        """Open the file of access lines anew: it was moved away."""
        self.lines.reopen(self.settings.access_log)

    def flush(self) -> bool:
        """Read now what the workers have written up to now; whether all of it is in the log."""
        return self._read()

    # What it knows

    def state(self) -> LogState:
        """How it is doing, without waiting for anything."""
        progress, spools, parts = self.drain.progress, self.catalog.spools, self.catalog.parts
        return LogState(
            rows=progress.rows,
            waiting=sum(spool.count for spool in spools),
            depth=self.drain.depth(),
            dropped_rows=progress.dropped_rows,
            dropped_cost_nanos=progress.dropped_cost,
            lag_ms=int((time.monotonic() - self.read_at) * 1000),
            bytes=sum(part.bytes for part in parts) + sum(spool.bytes for spool in spools),
            files=len(parts),
            interruptions=progress.interruptions,
            lines_dropped=self.lines.dropped,
            error=self.read_error or self.write_error,
        )

    def costs(self) -> dict[str, int]:
        """Nanos by account name, of every row that the log has ever had, whatever retention has deleted."""
        with self.drain.lock, self.settling:
            if self.totals is None:
                return {}
            # A spool file may be there still after its costs were added, when the keeper was killed in between.
            waiting = [spool for spool in self.catalog.spools if not self.totals.has(spool.first)]
            return merge([self.totals.all(), *map(self._costs_of, waiting)])

    def calls(
        self,
        wanted: CallFilter | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> list[Call]:
        """See `Queries.calls`."""
        return self.queries.calls(wanted or CallFilter(), after=after, limit=limit, newest_first=newest_first)

    def usage(
        self, group_by: str = "", *, wanted: CallFilter | None = None, interval: Interval = "", limit: int = 1_000
    ) -> list[Usage]:
        """See `Queries.usage`."""
        return self.queries.usage(group_by, wanted=wanted, interval=interval, limit=limit)

    def _costs_of(self, spool: Spool) -> dict[str, int]:
        numbers = np.flatnonzero(spool.costs)
        table = self.drain.books[spool.begun.segment].accounts
        words = [table.word(number) for number in numbers.tolist()]
        return dict(zip(words, spool.costs[numbers].tolist(), strict=True))

    # From the journals into the spool

    def _run_drain(self) -> None:
        while not self.stopping.is_set():
            begun = time.monotonic()
            wait = READ_S if self._read() else RETRY_S
            self.stopping.wait(max(0.0, begun + wait - time.monotonic()))

    def _read(self) -> bool:
        """Read the journals to their ends; False when the disk does not take it."""
        with self.drain.lock:
            try:
                if self.drain.spool is None:
                    self._open()
                self.drain.read()
            except OSError as error:
                self._say("read_error", error)
                return False
            finally:
                if self.drain.full:
                    self.work.set()
            self._heal("read_error")
            self.read_at = time.monotonic()
            return True

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.totals = Totals(self.folder / "totals")
        self.drain.open(self.totals.top)

    def _listen(self, rows: Rows, first: int, book: NameBook) -> None:
        self.lines(rows, first, book)

    # From the spool into Parquet

    def _run_writer(self) -> None:
        while not self.stopping.is_set():
            self.work.wait(TIDY_S)
            self.work.clear()
            if self.stopping.is_set():
                return
            try:
                self.to_parquet()
                if time.monotonic() - self.tidied_at >= TIDY_S:
                    self.tidied_at = time.monotonic()
                    self.tidy(time.time_ns())
            except (OSError, duckdb.Error) as error:
                self._say("write_error", error)
                self.stopping.wait(WRITE_AGAIN_S)
                self.work.set()
            else:
                self._heal("write_error")

    def to_parquet(self) -> None:
        """Turn every full spool file into Parquet. Raises OSError, duckdb.Error, and may be called again."""
        while self.drain.full:
            spool = self.drain.full[0]
            parts = self.writer.parts_of(spool, self.drain.books[spool.begun.segment])
            self.drain.sync()
            with self.settling:
                assert self.totals is not None
                self.totals.add(spool.first, self._costs_of(spool))
                self.catalog.settle(spool, parts)
            self.drain.full.pop(0)

    def tidy(self, now_ns: int) -> None:
        """Merge what is small, delete what is old. Raises OSError, duckdb.Error, and may be called again."""
        settings, spooled = self.settings, self.drain.spooled_bytes()
        gone = expired(self.catalog.parts, settings.keep_ms, settings.max_bytes, spooled, now_ns)
        self.catalog.replace(gone, [])
        while not self.drain.full and self.writer.merge(now_ns):
            pass

    # What keeps it from writing, said once

    def _say(self, which: str, error: Exception) -> None:
        text = str(error)
        if not getattr(self, which):
            print(f"fastgw: warning: the call log cannot be written: {text}; calls go on", file=sys.stderr, flush=True)
        setattr(self, which, text)

    def _heal(self, which: str) -> None:
        if getattr(self, which):
            setattr(self, which, "")
            print("fastgw: the call log is written again", file=sys.stderr, flush=True)
