"""Decides where access lines go: one JSON object a call, to a file or to stdout, and never in anybody's way.

A thread of its own writes them, from a queue that is bounded: where a reader is stuck, lines are dropped and counted.
"""

import os
import queue
import sys
import threading
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from .arrow import UUID, Coded, Column, Text
from .columns import FIELDS, batch
from .names import NameBook
from .records import Rows
from .views import Call

QUEUE_BLOCKS = 64
LINES = 1024  # made at a time: the interpreter's lock is held no longer


class AccessLines:
    """`target` is a file to append to, "-" for stdout, or "" for none."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.dropped = 0
        self.waiting: queue.Queue[tuple[Rows, int, NameBook] | None] = queue.Queue(QUEUE_BLOCKS)
        self.descriptor = -1
        self.again = True
        self.said = ""
        self.torn = False
        self.encoder = msgspec.json.Encoder()
        self.thread: threading.Thread | None = None

    def __call__(self, rows: Rows, first: int, book: NameBook) -> None:
        """Take a copy of the records, to be written soon."""
        if not self.target:
            return
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, daemon=True, name="access-lines")
            self.thread.start()
        try:
            self.waiting.put_nowait((rows.copy(), first, book))
        except queue.Full:
            self.dropped += len(rows)

    def reopen(self, target: str) -> None:
        """Write to `target` from the next line on; a file that was moved away is made anew."""
        self.target = target
        self.again = True

    def stop(self, within_s: float) -> None:
        """Write what waits, as far as it is taken in time."""
        if self.thread is not None:
            try:
                self.waiting.put(None, timeout=within_s)
            except queue.Full:
                return
            self.thread.join(within_s)

    def _run(self) -> None:
        while (block := self.waiting.get()) is not None:
            rows, first, book = block
            try:
                if not self._open():
                    continue
                for start in range(0, len(rows), LINES):
                    calls = calls_of(rows[start : start + LINES], first + start, book)
                    self._write(memoryview(self.encoder.encode_lines(calls)))
                self.said = ""
            except OSError as error:
                self.dropped += len(rows)
                self._say(error)

    def _open(self) -> bool:
        """Whether there is somewhere to write to. Raises OSError."""
        if self.again:
            if self.descriptor > 1:
                os.close(self.descriptor)
            self.descriptor = -1
            target = self.target
            if target == "-":
                self.descriptor = 1
            elif target:
                self.descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self.again = False
        return self.descriptor >= 0

    def _write(self, data: memoryview) -> None:
        if self.torn:
            os.write(self.descriptor, b"\n")  # so that the end of a line that could not be written is its own line
            self.torn = False
        while data:
            written = os.write(self.descriptor, data)
            self.torn = written != len(data)
            data = data[written:]

    def _say(self, error: OSError) -> None:
        """What keeps lines from being written, once."""
        self.again = True
        text = f"fastgw: warning: access lines cannot be written: {error}"
        if text != self.said:
            self.said = text
            print(text, file=sys.stderr, flush=True)


def calls_of(rows: Rows, first: int, book: NameBook) -> list[Call]:
    """The records as views, the first at position `first`."""
    made = batch(rows, np.arange(first, first + len(rows), dtype=np.int64), book)
    return list(map(Call, *_values(made.columns)))


def _values(columns: Sequence[Column]) -> Iterator[list[int] | list[str]]:
    for field, column in zip(FIELDS, columns, strict=True):
        if isinstance(column, Coded):
            words = column.words.strings()
            yield [words[code] for code in column.codes.tolist()]
        elif isinstance(column, Text):
            yield column.strings()
        elif field.format == UUID:
            text = column.tobytes().hex()
            yield [text[at : at + 32] for at in range(0, len(text), 32)]
        elif field.name == "time":
            yield np.datetime_as_string(column.view("datetime64[us]"), unit="us", timezone="UTC").tolist()
        else:
            yield column.tolist()
