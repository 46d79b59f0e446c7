"""What a decision costs in the compiled core: nanoseconds of CPU, beside a lock and a dict that decide the same.

    python bench/kernels.py [--quick] [--json FILE]

Each row is one kernel, looped in C by the tests' extension (tests/kernels/_kernels.pyx), so that no interpreter is in
the figure; its rival is what one would first write in Python, looped in Python, as it would run. `alone` is one
process; `contended` is two processes at the same time on the same account, the same bucket and the same keys, the mean
of both. The rival takes a threading.Lock when alone; contended, its state lies in shared memory (a
multiprocessing.RawArray) under a multiprocessing.Lock, because a dict cannot be shared.

Figures are CPU time of the looping thread (CLOCK_THREAD_CPUTIME_ID) over the turns of a loop: the median of several
runs, with the least and the most. The two of a pair begin together and end when they end, so the slower one's last
turns are alone. Where two CPUs are two threads of one core, or others use the machine, contended figures say less than
those alone. --quick runs each loop briefly, to see that it works.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier as BarrierType
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "kernels"))

import kernel_build

kernel_build.load()

import _kernels  # noqa: E402

from fastgw._call import Peer  # noqa: E402
from fastgw._segment import Segment, account_digest  # noqa: E402
from fastgw.model import Rate  # noqa: E402
from fastgw.refusals import Refusal, body  # noqa: E402

KEYS = 100_000
SECOND = 10**9
PLENTY = 4 * 10**18
HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nContent-Type: application/json\r\n"
    "Content-Length: 180\r\nConnection: keep-alive\r\nX-Trace-Id: 0123456789abcdef0123456789abcdef\r\n"
    "X-Client-Version: 1.2.3\r\nX-Client-Os: linux\r\nX-Client-Arch: x64\r\nCache-Control: no-cache\r\n"
    "Pragma: no-cache\r\nOrigin: https://app.example.com\r\nAuthorization: Bearer {key}\r\n\r\n"
)  # 16 fields


class Figure(NamedTuple):
    """Nanoseconds of CPU per decision."""

    median: float
    least: float
    most: float


# The core. Each loop takes (segment, worker, turns) and returns the CPU nanoseconds of all turns.


def build_segment(folder: str) -> Segment:
    """One rich account and one empty, 100,000 keys of the rich one; key 0 has the limit that is taken from."""
    segment = Segment.create(
        f"{folder}/segment",
        secret=bytes(32),
        keys_max=1 << 17,
        accounts_max=1 << 10,
        routes_max=8,
        journal_records=1 << 14,
    )
    segment.add_account(account_digest("rich"), PLENTY, 0)
    segment.add_account(account_digest("poor"), 0, 0)
    segment.limit(10**9, SECOND, 2 * 10**9)
    for number in range(KEYS):
        segment.add_key(segment.digest(b"sk-%d" % number), 0, 0, 1, 0)
    segment.add_key(segment.digest(b"sk-poor"), 1, 0, 1, 0)
    segment.reserve(keys=KEYS + 1, accounts=2, workers=2, routes=2)
    return segment


def core_keys(segment: Segment, _: int, turns: int) -> float:
    digests = b"".join(segment.digest(b"sk-%d" % number) for number in range(KEYS))
    return _kernels.time_keys(segment, digests, turns) - _kernels.time_nothing(turns)


def core_digest(segment: Segment, _: int, turns: int) -> float:
    return _kernels.time_digest(segment, b"sk-proj-0123456789abcdefghijklmnopqrstuvwxyz0123", turns)


def core_bucket(segment: Segment, _: int, turns: int) -> float:
    elapsed, refused = _kernels.time_bucket(segment, 0, 0, 1, turns)
    assert refused == 0
    return elapsed


def core_account(segment: Segment, worker: int, turns: int) -> float:
    return _kernels.time_account(segment, worker, 0, 1000, turns)


def core_bytes(segment: Segment, worker: int, turns: int) -> float:
    gate = kernel_build.make_gate(segment, worker, {"price_nanos": 1000})
    return _kernels.time_bytes(gate, PEER, HEAD.format(key="sk-poor").encode(), Refusal.INSUFFICIENT_BALANCE, turns)


def core_refuse(segment: Segment, worker: int, turns: int) -> float:
    gate = kernel_build.make_gate(segment, worker, {"price_nanos": 1000, "rate": RATE})
    elapsed, verdict = _kernels.time_refuse(gate, PEER, HEAD.format(key="sk-poor").encode(), turns)
    assert verdict == Refusal.INSUFFICIENT_BALANCE
    return elapsed


def core_admit(segment: Segment, worker: int, turns: int) -> float:
    gate = kernel_build.make_gate(segment, worker, {"price_nanos": 1000, "rate": RATE, "name": b"paid"})
    elapsed, refused = _kernels.time_admit(gate, PEER, HEAD.format(key="sk-1").encode(), turns)
    assert refused == 0
    return elapsed


def core_extend(segment: Segment, worker: int, turns: int) -> float:
    gate = kernel_build.make_gate(segment, worker, {"price_nanos": 1000})
    elapsed, refused = _kernels.time_extend(gate, PEER, HEAD.format(key="sk-1").encode(), turns)
    assert refused == 0
    return elapsed


PEER = Peer("192.0.2.1", 4711)
RATE = Rate(10**9, SECOND, 10**9)


# The rival. `state` is three integers: committed, granted, the bucket's time; `lock` guards it.


class Rival:
    """What one would first write: a dict of keys, a lock, three integers."""

    def __init__(self, lock: Any, state: Any) -> None:
        self.lock = lock
        self.state = state
        self.keys = {hashlib.blake2b(b"sk-%d" % number, digest_size=32).digest(): number for number in range(KEYS)}
        self.records: list[tuple[int, int, int]] = []

    def look_up(self, turns: int) -> None:
        keys, lock = self.keys, self.lock
        digests = list(keys)[:: KEYS // 1000]
        for turn in range(turns):
            with lock:
                keys[digests[turn % 1000]]

    def digest(self, turns: int) -> None:
        key = b"sk-proj-0123456789abcdefghijklmnopqrstuvwxyz0123"
        for _ in range(turns):
            hashlib.blake2b(key, digest_size=32, key=b"0" * 32).digest()

    def bucket(self, turns: int) -> None:
        for _ in range(turns):
            self.take(time.monotonic_ns())

    def take(self, now: int) -> bool:
        state = self.state
        with self.lock:
            if state[2] - SECOND > now:
                return False
            state[2] = max(state[2], now) + 1000
        return True

    def account(self, turns: int) -> None:
        for _ in range(turns):
            self.hold(1000)
            self.capture(1000, 999)

    def extend(self, turns: int) -> None:
        for _ in range(turns):
            self.hold(7)

    def hold(self, cost: int) -> bool:
        state = self.state
        with self.lock:
            if state[0] + cost > state[1]:
                return False
            state[0] += cost
        return True

    def capture(self, held: int, cost: int) -> None:
        with self.lock:
            self.state[0] -= held - cost

    def render(self, turns: int) -> None:
        for number in range(turns):
            self.answer(number)

    def answer(self, number: int) -> bytes:
        text = body(Refusal.INSUFFICIENT_BALANCE, "problem")
        head = f"HTTP/1.1 402 Payment Required\r\nContent-Length: {len(text)}\r\nX-Request-Id: {number:032x}\r\n\r\n"
        with self.lock:
            self.state[3] += 1
        return head.encode() + text

    def identify(self, head: bytes) -> int | None:
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:-2])
        key = fields[b"authorization"].removeprefix(b"bearer ")
        with self.lock:
            return self.keys.get(hashlib.blake2b(key, digest_size=32).digest())

    def refuse(self, turns: int) -> None:
        head = HEAD.format(key="sk-1").encode()
        for number in range(turns):
            self.identify(head)
            if self.take(time.monotonic_ns()) and not self.hold(PLENTY + 1):
                self.answer(number)

    def admit(self, turns: int) -> None:
        head = HEAD.format(key="sk-1").encode()
        for number in range(turns):
            self.identify(head)
            if self.take(time.monotonic_ns()) and self.hold(1000):
                self.capture(1000, 999)
                self.records = [*self.records[-1:], (number, 200, 999)]


ROWS: list[tuple[str, Callable[[Segment, int, int], float], str, int]] = [
    ("look a key's digest up (100,000 keys, random)", core_keys, "look_up", 2_000_000),
    ("hash a key of 48 bytes", core_digest, "digest", 1_000_000),
    ("take from a bucket", core_bucket, "bucket", 40_000_000),
    ("hold and capture", core_account, "account", 40_000_000),
    ("let the hold of a call in flight grow", core_extend, "extend", 20_000_000),
    ("a refusal's bytes, counter and record", core_bytes, "render", 500_000),
    ("refuse: scan, decide, 402, record", core_refuse, "refuse", 200_000),
    ("admit: scan, decide, hold, capture, record", core_admit, "admit", 200_000),
]
RIVAL_TURNS = 200_000  # at most, and a twentieth of the core's


def rival_turns(turns: int) -> int:
    return max(min(turns // 20, RIVAL_TURNS), 1)


def run_core(row: int, path: str, worker: int, turns: int, barrier: BarrierType | None) -> float:
    segment = Segment.open(path)
    ROWS[row][1](segment, worker, max(turns // 50, 1))
    if barrier is not None:
        barrier.wait()
    return ROWS[row][1](segment, worker, turns) / turns


def run_rival(row: int, rival: Rival, turns: int, barrier: BarrierType | None) -> float:
    loop = getattr(rival, ROWS[row][2])
    loop(max(turns // 50, 1))
    if barrier is not None:
        barrier.wait()
    start = time.thread_time_ns()
    loop(turns)
    return (time.thread_time_ns() - start) / turns


def contender(
    index: int, path: str, shared: tuple[Any, Any], barrier: BarrierType, turns: Sequence[int], out: Any
) -> None:
    """One of two processes, each on a CPU of its own: every row in turn, begun together."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[index % len(cpus)]})
    rival = Rival(*shared)
    for row, number in enumerate(turns):
        core = run_core(row, path, index, number, barrier)
        naive = run_rival(row, rival, rival_turns(number), barrier)
        out.put((row, core, naive))


def measure(path: str, turns: Sequence[int], runs: int) -> list[list[Figure]]:
    """For each row: the core alone, contended; the rival alone, contended."""
    context = multiprocessing.get_context("spawn")
    seen: list[list[list[float]]] = [[[], [], [], []] for _ in ROWS]
    for _ in range(runs):
        alone = Rival(threading.Lock(), [0, PLENTY, 0, 0])
        for row, number in enumerate(turns):
            seen[row][0].append(run_core(row, path, 0, number, None))
            seen[row][2].append(run_rival(row, alone, rival_turns(number), None))
        shared = (context.Lock(), context.RawArray("q", [0, PLENTY, 0, 0]))
        barrier, out = context.Barrier(2), context.Queue()
        pair = [context.Process(target=contender, args=(i, path, shared, barrier, turns, out)) for i in range(2)]
        for process in pair:
            process.start()
        got = [out.get(timeout=600) for _ in range(2 * len(ROWS))]
        for process in pair:
            process.join()
        for row in range(len(ROWS)):
            seen[row][1].append(statistics.mean(core for number, core, _ in got if number == row))
            seen[row][3].append(statistics.mean(naive for number, _, naive in got if number == row))
    return [[Figure(statistics.median(x), min(x), max(x)) for x in row] for row in seen]


def table(figures: list[list[Figure]]) -> str:
    """Markdown: the median, and the range in brackets."""

    def cell(figure: Figure) -> str:
        return f"{figure.median:,.0f} [{figure.least:,.0f}–{figure.most:,.0f}]"

    lines = [
        "| ns of CPU per decision: median [least–most] | core alone | core contended | rival alone | rival contended |",
        "|---|---:|---:|---:|---:|",
    ]
    for (name, *_), row in zip(ROWS, figures, strict=True):
        lines.append(f"| {name} | " + " | ".join(map(cell, row)) + " |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few turns of each loop, once")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(argv)
    turns = [number // 200 if options.quick else number for *_, number in ROWS]
    with tempfile.TemporaryDirectory(prefix="fastgw-bench-", dir="/dev/shm") as folder:
        segment = build_segment(folder)
        figures = measure(segment.path, turns, 1 if options.quick else 5)
    print(table(figures))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    print(f"\n{machine}, {'1 run' if options.quick else '5 runs'}")
    if options.json:
        rows = {name: row for (name, *_), row in zip(ROWS, figures, strict=True)}
        Path(options.json).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
