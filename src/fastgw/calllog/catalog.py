"""Decides which files are the log at one moment: Parquet files by hour, and spool files whose rows are not there yet.

A Parquet file `2026-11-20/13-0000000000000001-0000000000004711.parquet` holds calls begun in that hour of UTC, of the
rows from one position to another; several may be merged into one that spans them. What another file of its hour spans
is superseded, so a merge that was interrupted leaves nothing twice.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from .records import HOUR_NS, Rows
from .spool import Spool

SUFFIX = ".parquet"


class Part(NamedTuple):
    """One Parquet file; `hour` counts from the epoch. Sorted, parts are in the order of hours, then of positions."""

    hour: int
    first: int
    last: int
    bytes: int
    path: Path

    @property
    def end_ns(self) -> int:
        return (self.hour + 1) * HOUR_NS

    def within(self, other: "Part") -> bool:
        return self.hour == other.hour and other.first <= self.first and self.last <= other.last


class Waiting(NamedTuple):
    """The rows of a spool file as they were at one moment; they can be read when the file has gone."""

    spool: Spool
    rows: Rows


class Snapshot(NamedTuple):
    """Everything that is in the log at one moment, each row once; Parquet files stay until it is given back."""

    parts: list[Part]
    waiting: list[Waiting]


def part_path(folder: Path, hour: int, first: int, last: int) -> Path:
    begins = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    return folder / f"{begins:%Y-%m-%d}" / f"{begins:%H}-{first:016}-{last:016}{SUFFIX}"


def part_at(path: Path) -> Part | None:
    """What a file's name and size say, None when it is none of the log's."""
    try:
        hour, first, last = path.name.removesuffix(SUFFIX).split("-")
        begins = datetime.strptime(f"{path.parent.name} {hour}", "%Y-%m-%d %H").replace(tzinfo=UTC)
        return Part(int(begins.timestamp()) // 3600, int(first), int(last), path.stat().st_size, path)
    except (ValueError, FileNotFoundError):
        return None


class Catalog:
    """Thread-safe. `folder` is the log's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.parts: list[Part] = []
        self.spools: list[Spool] = []
        self._lent: list[set[Path]] = []
        self._retired: set[Path] = set()

    def load(self, unwritten: int) -> None:
        """Read what is there. Rows from position `unwritten` on are in spool files: parts with them are made anew."""
        found = []
        self.parts = []
        for path in self.folder.glob(f"????-??-??/*{SUFFIX}"):
            part = part_at(path)
            if part is None:
                continue
            if part.first >= unwritten:
                path.unlink()
            else:
                found.append(part)
        spans: Part | None = None
        for part in sorted(found, key=lambda part: (part.hour, part.first, -part.last)):
            if spans is not None and part.within(spans):
                part.path.unlink()
            else:
                spans = part
                self.parts.append(part)
        for path in self.folder.glob("????-??-??/*.new"):
            path.unlink()

    def replace(self, old: Iterable[Part], new: Iterable[Part]) -> None:
        """In one step: the new parts are in the log, and the old ones are not."""
        gone = set(old)
        with self.lock:
            self.parts = sorted([part for part in self.parts if part not in gone] + list(new))
            self._retired |= {part.path for part in gone}
        self._remove()

    def settle(self, spool: Spool, parts: Iterable[Part]) -> None:
        """In one step: the rows of a spool file are in parts, and the file is gone. Raises OSError: they are not."""
        with self.lock:
            spool.path.unlink()
            self.parts = sorted([*self.parts, *parts])
            self.spools = [other for other in self.spools if other is not spool]

    def add_spool(self, spool: Spool) -> None:
        with self.lock:
            self.spools = [*self.spools, spool]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The log as it is now."""
        with self.lock:
            taken = Snapshot(self.parts, [Waiting(spool, spool.rows()) for spool in self.spools])
            paths = {part.path for part in taken.parts}
            self._lent.append(paths)
        try:
            yield taken
        finally:
            with self.lock:
                self._lent = [each for each in self._lent if each is not paths]
            self._remove()

    def _remove(self) -> None:
        """Delete what is no part of the log any more, unless a snapshot still has it."""
        with self.lock:
            free = {path for path in self._retired if not any(path in paths for paths in self._lent)}
            self._retired -= free
        for path in free:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # the day, when this was the last of it
