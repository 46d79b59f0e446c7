"""Decides that a child hangs: its heart has stood still for as long as it could have beaten.

Time counts by this process's own progress, so that a machine that was suspended, or is too busy for anybody, makes
nobody look dead. Nor does time count in which a child waited for a processor, or was held by a debugger.
"""

import time
from collections.abc import Mapping

LOOK_S = 0.25  # between two looks, at least
PASSED_MAX_S = 2.0  # that count between two looks


class Heart:
    """What is known of one process: its last beat, and for how long it has been silent since."""

    def __init__(self, beat_ns: int) -> None:
        self.beat_ns = beat_ns
        self.silent_s = 0.0
        self.starved_s = 0.0  # of the process's life, when it fell silent


class Watchdog:
    """For children of one kind, whose hearts begin to beat within `start_s`."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.hearts: dict[int, Heart] = {}
        self.looked_at = time.monotonic()

    def look(self, beats: Mapping[int, int], limit_s: float) -> list[int]:
        """Those of the processes that hang. `beats` has the last heartbeat of each by its process id, 0 for none yet;
        `limit_s` is how long a heart may be silent, 0 for ever."""
        now = time.monotonic()
        if now - self.looked_at < LOOK_S or not limit_s:
            return []
        passed_s = min(now - self.looked_at, PASSED_MAX_S)
        self.looked_at = now
        self.hearts = {pid: self.hearts.get(pid) or Heart(beat_ns) for pid, beat_ns in beats.items()}
        hanging = [pid for pid, heart in self.hearts.items() if self._hangs(pid, heart, beats[pid], passed_s, limit_s)]
        for pid in hanging:
            self.hearts[pid].silent_s = 0.0  # it is said once, and again if nothing comes of it
        return hanging

    def _hangs(self, pid: int, heart: Heart, beat_ns: int, passed_s: float, limit_s: float) -> bool:
        if beat_ns != heart.beat_ns:
            heart.beat_ns = beat_ns
            heart.silent_s = 0.0
            return False
        if heart.silent_s == 0.0:
            heart.starved_s = starved_s(pid)
        heart.silent_s += passed_s
        if heart.silent_s < (limit_s if beat_ns else max(limit_s, self.start_s)):
            return False
        starved = starved_s(pid) - heart.starved_s
        if is_traced(pid):
            heart.silent_s = 0.0
        elif starved > 0.0:
            heart.silent_s = max(0.0, heart.silent_s - starved)
            heart.starved_s += starved
        return heart.silent_s >= limit_s


def starved_s(pid: int) -> float:
    """How long a process has waited for a processor since it began; 0 where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def is_traced(pid: int) -> bool:
    """Whether a debugger has stopped the process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"t"
    except (OSError, IndexError):
        return False
