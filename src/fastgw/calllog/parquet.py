"""Decides how rows become Parquet: a file per spool file and hour, small ones merged, old ones deleted."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import duckdb

from .arrow import ArrowTable
from .catalog import Catalog, Part, part_at, part_path
from .columns import FIELDS, batches
from .names import NameBook
from .records import HOUR_NS
from .spool import Spool
from .totals import sync_folder

SMALL_BYTES = 4 << 20  # smaller files are merged, into ones of at most
MERGED_BYTES = 64 << 20
SMALL_MAX = 32  # so many small files of one hour are merged at once; of an hour that is over, any two
SETTLED_NS = 600_000_000_000  # so long after its end: calls that began in it may take a while
MEMORY = "512MiB"

# One thread: what the log costs is the time of the workers' neighbours. Nothing is ever fetched or loaded.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": MEMORY,
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_OPTIONS = (
    "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, ROW_GROUP_SIZE 122880, "
    "WRITE_BLOOM_FILTER false)"
)


def connect() -> duckdb.DuckDBPyConnection:
    """An engine without a database; times are shown in UTC."""
    engine = duckdb.connect(":memory:", config=_CONFIG)
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("SET enable_progress_bar = false")
    return engine


class ParquetWriter:
    """Turns full spool files into parts of the log, for one thread. `engine` is its own."""

    def __init__(self, catalog: Catalog, engine: duckdb.DuckDBPyConnection) -> None:
        self.catalog = catalog
        self.engine = engine

    def parts_of(self, spool: Spool, book: NameBook) -> list[Part]:
        """Write the rows of a spool file that is written no more: a part for each hour. Raises OSError, duckdb.Error.

        Doing it again writes the same files.
        """
        rows, positions = spool.rows(), spool.positions(spool.count)
        parts = []
        for hour in sorted(spool.hours):
            begin_ns, end_ns = hour * HOUR_NS, (hour + 1) * HOUR_NS
            source = ArrowTable(FIELDS, partial(batches, rows, positions, book, since_ns=begin_ns, until_ns=end_ns))
            path = part_path(self.catalog.folder, hour, spool.first, spool.last)
            parts.append(self._write(path, "FROM source", source=source))
        return parts

    def merge(self, now_ns: int) -> bool:
        """Merge one run of small files, if there is one that is worth it. Raises OSError, duckdb.Error."""
        for run in runs(self.catalog.parts, now_ns):
            path = part_path(self.catalog.folder, run[0].hour, run[0].first, run[-1].last)
            whole = self._write(
                path, "FROM read_parquet($files, union_by_name = true)", files=[str(part.path) for part in run]
            )
            self.catalog.replace(run, [whole])
            return True
        return False

    def _write(self, path: Path, query: str, source: ArrowTable | None = None, files: Sequence[str] = ()) -> Part:
        """A new Parquet file, whole or not at all, that survives the machine's power."""
        path.parent.mkdir(exist_ok=True, mode=0o700)
        unfinished = path.with_name(path.name + ".new")
        if source is not None:
            self.engine.register("source", source)
        try:
            copy = f"COPY ({query}) TO '{str(unfinished).replace(chr(39), chr(39) * 2)}' {_OPTIONS}"
            self.engine.execute(copy, {"files": list(files)} if files else None)
            descriptor = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        finally:
            if source is not None:
                self.engine.unregister("source")
        sync_folder(path.parent)
        part = part_at(path)
        assert part is not None
        return part


def runs(parts: Sequence[Part], now_ns: int) -> Iterator[list[Part]]:
    """Neighbours of one hour that should be one file."""
    run: list[Part] = []
    for part in [*parts, None]:
        fits = part is not None and part.bytes < SMALL_BYTES
        if run and not (
            fits
            and part is not None
            and part.hour == run[0].hour
            and sum(other.bytes for other in run) + part.bytes <= MERGED_BYTES
        ):
            enough = 2 if run[0].end_ns + SETTLED_NS < now_ns else SMALL_MAX
            if len(run) >= enough:
                yield run
            run = []
        if fits and part is not None:
            run.append(part)


def expired(parts: Sequence[Part], keep_ms: int, max_bytes: int, spooled_bytes: int, now_ns: int) -> list[Part]:
    """What retention deletes: hours that are over for `keep_ms`, then the oldest until the rest has room."""
    gone = []
    size = sum(part.bytes for part in parts) + spooled_bytes
    for part in parts:
        too_old = keep_ms and part.end_ns + keep_ms * 1_000_000 <= now_ns
        if not too_old and not (max_bytes and size > max_bytes):
            break
        gone.append(part)
        size -= part.bytes
    return gone
