"""Decides what the tests of the call log read: journals as a segment has them, filled by hand."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgw.calllog import CallLog, LogSettings
from fastgw.calllog.records import RECORD, Rows

HOUR = 3_600_000_000_000
NOON = 1_763_640_000_000_000_000  # 2025-11-20 12:00 UTC

Made = Callable[..., Rows]


def rows(count: int, *, start: int = 0, time_ns: int = NOON, step_ns: int = 1_000_000, **fields: Any) -> Rows:
    """Records as a worker would write them, of calls `step_ns` apart, each with a request id of its own."""
    made = np.zeros(count, RECORD)
    numbers = np.arange(start, start + count)
    made["time_ns"] = time_ns + numbers * step_ns
    made["request"][:, 0] = 7
    made["request"][:, 1] = numbers
    made["account"] = made["key"] = 1
    made["route"] = made["target"] = 1
    made["status"], made["method"] = 200, 3
    made["cost"] = 1_000
    made["flags"] = 1
    made["total_us"] = 100 + numbers % 100
    made["bytes_in"], made["bytes_out"] = 10, 1_000
    made["address"][:, 10:] = [255, 255, 192, 0, 2, 1]
    set_paths(made, [f"/v1/x?n={number}".encode() for number in numbers])
    for name, value in fields.items():
        made[name] = value
    return made


def set_paths(made: Rows, paths: Sequence[bytes]) -> None:
    """Put targets into records, with what another record has left behind them."""
    made["path"] = ord("!")
    for row, path in zip(made, paths, strict=True):
        row["path_length"] = len(path)
        row["path"][: len(path)] = list(path[:96])


class Journals:
    """Rings of `size` records as a segment has them; `put` writes as a worker does."""

    def __init__(self, identity: int = 1, workers: int = 1, size: int = 1 << 16) -> None:
        self.identity = bytes([identity]) * 16
        self.worker_slots = workers
        self.size = size
        self.rings = [np.zeros(size, RECORD) for _ in range(workers)]
        self.written = [0] * workers
        self.cost = [0] * workers
        self.lock = threading.Lock()

    def put(self, worker: int, made: Rows) -> None:
        with self.lock:
            made = made.copy()
            made["number"] = self.written[worker] + 1 + np.arange(len(made))
            made["cost_sum"] = self.cost[worker] + np.cumsum(made["cost"])
            self.cost[worker] += int(made["cost"].sum())
            for start in range(0, len(made), self.size):
                some = made[start : start + self.size]
                self.rings[worker][(some["number"] - 1) % self.size] = some
            self.written[worker] += len(made)

    def journal_written(self, worker: int, /) -> int:
        return self.written[worker]

    def journal_into(self, worker: int, first: int, buffer: memoryview, /) -> tuple[int, int, int]:
        with self.lock:
            out = np.frombuffer(buffer, RECORD)
            start = max(first, self.written[worker] - self.size)
            count = min(len(out), self.written[worker] - start)
            out[:count] = self.rings[worker][np.arange(start, start + count) % self.size]
            return count, start + count, start - first


class KnownNames:
    """acct-1, key_…1 and so on, by index + 1; one route."""

    def __init__(self) -> None:
        self.now: Mapping[int, str] = {1: "10.0.0.1:9001", 2: "10.0.0.2:9001"}

    def account(self, index: int) -> str:
        return f"acct-{index + 1}"

    def key(self, index: int) -> str:
        return f"key_{index + 1:016x}"

    def tag(self, index: int) -> str:
        return f"run-{index + 1}"

    def models(self) -> Sequence[str]:
        return ["openai/m-1"]

    def routes(self) -> Sequence[str]:
        return ["chat"]

    def targets(self) -> Mapping[int, str]:
        return self.now


@pytest.fixture
def journals() -> Journals:
    return Journals()


OpenLog = Callable[..., CallLog]


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[OpenLog]:
    """Starts the log on journals; rows are kept for ever unless told otherwise."""
    opened: list[CallLog] = []

    def start(journals: Any, *, names: Any = None, threads: bool = True, **settings: Any) -> CallLog:
        log = CallLog(journals, tmp_path, names or KnownNames(), LogSettings(**{"keep_ms": 0, **settings}))
        for other in opened:
            other.drain.disown()
        opened.append(log)
        if threads:
            log.start()
        else:
            log.flush()
        return log

    yield start
    for log in opened:
        if log.threads:
            log.stop()


def eventually(condition: Callable[[], object], within_s: float = 15.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)
