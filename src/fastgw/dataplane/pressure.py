"""Decides when a worker is short of memory, and what it does without then: before the kernel's killer comes.

Short, it parts from its clients: idle ones at once, the others with their next answer. Full, it refuses what is new.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from enum import IntEnum

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SHORT_PERCENT, FULL_PERCENT = 85, 95
RELIEF_PERCENT = 5  # below a mark, before it counts as passed downwards


class Level(IntEnum):
    """How short of memory a worker is."""

    EASY = 0
    SHORT = 1
    FULL = 2


SAYS = {
    Level.EASY: "requests are taken as ever again",
    Level.SHORT: "idle connections are closed, others after their answer",
    Level.FULL: "new requests and connections are refused",
}


class Pressure:
    """The memory of this process beside what it may have; `limit` in bytes, 0 for any amount."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.level = Level.EASY
        self.used = 0
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def look(self, limit: int) -> Level:
        """How it stands now; a change of that is said to people. What can be given back is given back first."""
        if not limit:
            level = Level.EASY
        else:
            level = self._level(limit)
            if level:
                _give_back(thoroughly=level > self.level)
                level = self._level(limit)
        if level is not self.level:
            self.level = level
            print(
                f"fastgw: {'error: ' if level else ''}{self.name} has {self.used >> 20} of {limit >> 20} MiB: "
                f"{SAYS[level]}", file=sys.stderr, flush=True,
            )  # fmt: skip
        return level

    def _level(self, limit: int) -> Level:
        self.used = self._own_bytes()
        percent = self.used * 100 // limit
        for level, mark in ((Level.FULL, FULL_PERCENT), (Level.SHORT, SHORT_PERCENT)):
            if percent >= (mark if self.level < level else mark - RELIEF_PERCENT):
                return level
        return Level.EASY

    def _own_bytes(self) -> int:
        """What is resident and nobody else's: the segment, which all workers map, is left out (proc(5))."""
        _, resident, shared = os.pread(self._statm, 200, 0).split(maxsplit=3)[:3]
        return (int(resident) - int(shared)) * PAGE_BYTES

    def close(self) -> None:
        os.close(self._statm)


def _give_back(thoroughly: bool) -> None:
    """Free memory that nothing uses any more goes back to the kernel, where the C library can do that (glibc)."""
    if thoroughly:
        gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
