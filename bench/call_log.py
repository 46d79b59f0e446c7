"""Measures what the call log costs the keeper: CPU per row of its two threads, from the journals to Parquet.

Synthetic journals are fed at a fixed rate per worker, as workers would; the threads' own CPU clocks say what it cost,
a third thread how long the interpreter's lock was kept from it. Bounded in time: `--seconds` for each rate.
"""

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fastgw.calllog import CallLog, LogSettings
from fastgw.calllog.records import RECORD, Rows

RING = 16_384
TICK_S = 0.01


class Journals:
    """Rings as a segment has them. `feed` overwrites what is oldest, whether it was read or not."""

    def __init__(self, workers: int, pattern: Rows) -> None:
        self.identity = bytes(16)
        self.worker_slots = workers
        self.pattern = pattern
        self.rings = [np.zeros(RING, RECORD) for _ in range(workers)]
        self.written = [0] * workers

    def feed(self, worker: int, count: int) -> None:
        at = self.written[worker]
        for start in range(at, at + count, 1024):
            length = min(1024, at + count - start)
            numbers = np.arange(start, start + length)
            some = self.pattern[start % (len(self.pattern) - 1024) :][:length].copy()
            some["number"], some["cost_sum"] = numbers + 1, (numbers + 1) * 1_000_000
            some["request"][:, 1] = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            some["time_ns"] = time.time_ns() - 1_000_000
            self.rings[worker][numbers % RING] = some
        self.written[worker] = at + count

    def journal_written(self, worker: int, /) -> int:
        return self.written[worker]

    def journal_into(self, worker: int, first: int, buffer: memoryview, /) -> tuple[int, int, int]:
        start = max(first, self.written[worker] - RING)
        count = min(len(buffer) // RECORD.itemsize, self.written[worker] - start, RING - start % RING)
        ring, at = self.rings[worker].view(np.uint8).data, start % RING * RECORD.itemsize
        buffer[: count * RECORD.itemsize] = ring[at : at + count * RECORD.itemsize]
        return count, start + count, start - first


class KnownNames:
    """Names made of numbers."""

    def __init__(self) -> None:
        self._targets = {1: "10.0.0.1:9001", 2: "10.0.0.2:9001"}

    def account(self, index: int) -> str:
        return f"customer-{index}"

    def key(self, index: int) -> str:
        return f"key_{index:016x}"

    def tag(self, index: int) -> str:
        return f"run-{index + 1}"

    def models(self) -> Sequence[str]:
        return ["openai/m-1"]

    def routes(self) -> Sequence[str]:
        return ["chat"]

    def targets(self) -> Mapping[int, str]:
        return self._targets


def pattern(keys: int) -> Rows:
    """65,536 calls of that many keys, ten to an account, from as many addresses, to paths that mostly differ."""
    random = np.random.default_rng(7)
    rows = np.zeros(1 << 16, RECORD)
    rows["key"] = 1 + random.integers(0, keys, len(rows))
    rows["account"] = 1 + rows["key"] // 10
    rows["route"], rows["target"] = 1, 1 + random.integers(0, 2, len(rows))
    rows["status"], rows["method"], rows["flags"], rows["cost"] = 200, 3, 1, 1_000_000
    rows["bytes_in"], rows["bytes_out"] = random.integers(100, 4_000, (2, len(rows)))
    rows["decided_us"] = random.integers(2, 9, len(rows))
    rows["first_byte_us"] = random.integers(500, 90_000, len(rows))
    rows["total_us"] = rows["first_byte_us"] + random.integers(10, 9_000, len(rows))
    rows["address"][:, 10:12] = 255
    rows["address"][:, 12:] = rows["key"][:, None].view(np.uint8).reshape(-1, 4)
    for row, number in zip(rows, random.integers(0, 50_000, len(rows)), strict=True):
        path = f"/v1/chat/completions/{number}?stream=true".encode()
        row["path_length"] = len(path)
        row["path"][: len(path)] = list(path)
    return rows


def lock_waits(stop: threading.Event) -> Iterator[float]:
    """Seconds by which a sleep of a millisecond was too long."""
    while not stop.is_set():
        begun = time.perf_counter()
        time.sleep(0.001)
        yield time.perf_counter() - begun - 0.001


def thread_cpu(thread: threading.Thread) -> float:
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def measure(rate: int, workers: int, seconds: float, rows: Rows, folder: Path, access_log: str) -> str:
    """Feed at `rate` rows a second and worker; a line of the table."""
    journals = Journals(workers, rows)
    log = CallLog(journals, folder, KnownNames(), LogSettings(access_log=access_log))
    log.start()
    stop, waits = threading.Event(), [0.0]
    probe = threading.Thread(target=lambda: waits.extend(lock_waits(stop)))
    probe.start()
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        for worker in range(workers):
            journals.feed(worker, int(rate * elapsed) - journals.written[worker])
        time.sleep(TICK_S)
    stop.set()
    probe.join()
    log.flush()
    with log.drain.lock:
        log.drain.rotate()
    while log.drain.full:
        log.work.set()
        time.sleep(0.05)
    count = log.state().rows
    cpu = [thread_cpu(thread) / max(1, count) * 1e6 for thread in log.threads]
    if log.lines.thread:
        cpu.append(thread_cpu(log.lines.thread) / max(1, count) * 1e6)
    log.stop()
    state = log.state()
    late = [wait * 1e3 for wait in sorted(waits)]
    return (
        f"{rate:>8,} × {workers}  {count:>10,}  {state.dropped_rows:>8,}  {sum(cpu):>6.2f}  "
        + " + ".join(f"{each:.2f}" for each in cpu)
        + f"  {state.bytes / max(1, count):>5.1f} B  {late[len(late) * 99 // 100]:>5.1f} / {late[-1]:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[1_000, 20_000, 60_000], help="rows/s per worker")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--access-log", default="", help="also write access lines to this file")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    options = parser.parse_args()
    rows = pattern(options.keys)
    print("rows/s × workers        rows   dropped  µs/row  drain + write  on disk  lock: p99 / longest wait")
    for rate in options.rates[:1] if options.quick else options.rates:
        folder = Path(tempfile.mkdtemp(prefix="fastgw-bench-"))
        try:
            seconds = 1 if options.quick else options.seconds
            print(measure(rate, options.workers, seconds, rows, folder, options.access_log), flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
