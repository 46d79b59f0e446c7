"""Decides how rows wait for their Parquet file: raw records appended to files that outlive the process.

A spool file is a head (what was known when it began) and records, and nothing else: where every worker's journal has
been read up to, and what was lost, follows from the two. Its name is the position of its first row. It is written by
write(2) alone: a killed process loses nothing of it, and a row is in it whole or not at all.
"""

import os
import zlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from .records import HOUR_NS, RECORD, RECORD_BYTES, WORKERS_MAX, Rows, signed

_MAGIC = b"fastgw spool 2\n\0"
_MAGIC_1 = b"fastgw spool 1\n\0"  # whose records ended otherwise
_FIXED = 32  # magic, length of the head, length of its JSON, CRC-32 of it
SUFFIX = ".spool"
_TAIL = ("tag", "model", "unused", "tokens_cached", "tokens_reasoning", "rest")


class Place(msgspec.Struct):
    """How far one worker's journal has been read: the number of the next record, `cost_sum` of the last."""

    next: int = 0
    cost_sum: int = 0


class Progress(msgspec.Struct):
    """What the log knew at a row: how many rows it has ever had, what it lost, how far each journal was read.

    Costs in nanos. `closed`: nothing was written after this, the log was stopped. `interruptions`: how often the log
    began with another segment without having been stopped, so that the last rows of the old one may be missing.
    """

    segment: str
    rows: int = 0
    dropped_rows: int = 0
    dropped_cost: int = 0
    interruptions: int = 0
    closed: bool = False
    places: dict[int, Place] = {}

    def take(self, worker: int, rows: Rows) -> None:
        """Go on over records that were next in the worker's journal. What was overwritten before them is lost."""
        place = self.places.setdefault(worker, Place())
        last, cost_sum = int(rows["number"][-1]), int(rows["cost_sum"][-1])
        lost = last - place.next - len(rows)
        if lost:
            self.dropped_rows += lost
            self.dropped_cost += signed(cost_sum - place.cost_sum - int(rows["cost"].sum()))
        self.rows += len(rows)
        place.next = last
        place.cost_sum = cost_sum

    def take_all(self, rows: Rows) -> None:
        """Go on over all records of a spool file."""
        for worker in np.unique(rows["worker"]).tolist():
            self.take(worker - 1, rows[rows["worker"] == worker])

    def copy(self) -> "Progress":
        return msgspec.msgpack.decode(msgspec.msgpack.encode(self), type=Progress)


class SpoolError(Exception):
    """The file is no spool that can be read."""


class Spool:
    """One file, of one segment's rows. `first` is the position of its first row, `begun` the progress before it."""

    def __init__(self, path: Path, begun: Progress, offset: int, count: int) -> None:
        self.path = path
        self.begun = begun
        self.first = begun.rows + 1
        self.offset = offset
        self.count = count
        self.descriptor = -1
        self.costs = np.zeros(1, np.int64)  # of its rows, by account number
        self.hours: set[int] = set()  # in which its calls began, from the epoch

    @property
    def bytes(self) -> int:
        return self.offset + self.count * RECORD_BYTES

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @staticmethod
    def create(folder: Path, begun: Progress) -> "Spool":
        """A new file for what comes after `begun`, open for appending. Raises OSError."""
        text = msgspec.json.encode(begun)
        offset = -(-(_FIXED + len(text)) // RECORD_BYTES) * RECORD_BYTES
        head = b"".join((_MAGIC, *(n.to_bytes(4, "little") for n in (offset, len(text), zlib.crc32(text), 0)), text))
        path = folder / f"{begun.rows + 1:016}{SUFFIX}"
        unfinished = path.with_suffix(".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        spool = Spool(path, begun.copy(), offset, 0)
        spool.descriptor = descriptor
        try:
            _write(descriptor, memoryview(head.ljust(offset, b"\0")), 0)
            os.rename(unfinished, path)
        except BaseException:
            os.close(descriptor)
            unfinished.unlink(missing_ok=True)
            raise
        return spool

    @staticmethod
    def recover(path: Path) -> "Spool":
        """A file of an earlier process, cut behind its last whole record. Raises SpoolError, OSError."""
        raw = path.read_bytes()[: 1 << 20]
        offset, length, check = (int.from_bytes(raw[at : at + 4], "little") for at in (16, 20, 24))
        text = raw[_FIXED : _FIXED + length]
        if raw[:16] not in (_MAGIC, _MAGIC_1) or zlib.crc32(text) != check:
            raise SpoolError(f"{path} has no head that can be read")
        if raw[:16] == _MAGIC_1:
            _renew(path, offset)
        begun = msgspec.json.decode(text, type=Progress)
        size = path.stat().st_size
        spool = Spool(path, begun, offset, max(0, size - offset) // RECORD_BYTES)
        spool.count = _sound(spool.rows(), begun)
        if spool.bytes != size:
            os.truncate(path, spool.bytes)
        spool._note(spool.rows())
        return spool

    def append(self, rows: Rows) -> None:
        """Write the records. Raises OSError, and then nothing of them is in the file."""
        try:
            _write(self.descriptor, np.ascontiguousarray(rows).view(np.uint8).data, self.bytes)
        except OSError:
            os.ftruncate(self.descriptor, self.bytes)
            raise
        self._note(rows)
        self.count += len(rows)

    def _note(self, rows: Rows) -> None:
        """Add up what is asked before the rows are read again."""
        if not len(rows):
            return
        earliest, latest = int(rows["time_ns"].min()) // HOUR_NS, int(rows["time_ns"].max()) // HOUR_NS
        if earliest == latest:
            self.hours.add(earliest)
        else:
            self.hours.update(np.unique(rows["time_ns"] // HOUR_NS).tolist())
        top = int(rows["account"].max())
        if top >= len(self.costs):
            grown = np.zeros(max(top + 1, len(self.costs) * 3 // 2), np.int64)
            grown[: len(self.costs)] = self.costs
            self.costs = grown
        np.add.at(self.costs, rows["account"], rows["cost"])

    def rows(self, count: int = -1) -> Rows:
        """The records, mapped from the file: they stay readable when it is removed."""
        count = self.count if count < 0 else count
        if not count:
            return np.zeros(0, RECORD)
        return np.asarray(np.memmap(self.path, RECORD, "r", self.offset, (count,)))

    def positions(self, count: int) -> NDArray[np.int64]:
        return np.arange(self.first, self.first + count, dtype=np.int64)

    def sync(self) -> None:
        """Make what was written survive the machine's power. Raises OSError."""
        if self.descriptor >= 0:
            os.fdatasync(self.descriptor)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _renew(path: Path, offset: int) -> None:
    """Make the records of a file of the first version those of this one."""
    data = bytearray(path.read_bytes())
    rows = np.frombuffer(data, RECORD, (len(data) - offset) // RECORD_BYTES, offset)
    for name in _TAIL:
        rows[name] = 0
    data[:16] = _MAGIC
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(data)
    os.rename(unfinished, path)


def _write(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        if not written:
            raise OSError(28, "No space left on device")
        data, at = data[written:], at + written


def _sound(rows: Rows, begun: Progress) -> int:
    """How many records from the first on are what was written: a machine that lost power may leave zeros behind."""
    good = (rows["number"] > 0) & (rows["worker"] > 0) & (rows["worker"] <= WORKERS_MAX)
    for worker in np.unique(rows["worker"][good]).tolist():
        mine = np.flatnonzero(rows["worker"] == worker)
        place = begun.places.get(worker - 1, Place())
        good[mine] &= np.diff(rows["number"][mine].astype(np.int64), prepend=place.next) > 0
    return len(rows) if good.all() else int(np.argmin(good))
