"""Several processes on one segment at once: money and limits stay exact, and a kill at any instruction costs nobody."""

import json
import os
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import _kernels
import pytest
from kernel_build import money

from fastgw._segment import RECORD_BYTES, Segment, account_digest

RACER = Path(__file__).with_name("racer.py")
NewSegment = Callable[..., Segment]
Start = Callable[..., "Racer"]
TIMES = int(os.environ.get("FASTGW_LONG", "1"))  # so many times as many kills


class Racer:
    """A racing process: made ready, then let go, then asked for its result."""

    def __init__(self, kind: str, segment: Segment, *numbers: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RACER), kind, segment.path, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.stamps = array("Q")

    def ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def result(self) -> list[int]:
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        line, _, stamps = out.partition(b"\n")
        self.stamps.frombytes(stamps)
        result = json.loads(line)
        return list(result.values()) if isinstance(result, dict) else result if isinstance(result, list) else [result]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def run(kind: str, segment: Segment, *numbers: int) -> Racer:
            racer = Racer(kind, segment, *numbers)
            stack.callback(racer.process.wait)
            stack.callback(racer.process.kill)
            return racer

        yield run


def race(racers: list[Racer]) -> list[list[int]]:
    for racer in racers:
        racer.ready()
    for racer in racers:
        racer.go()
    return [racer.result() for racer in racers]


def cells(segment: Segment, workers: int) -> list[tuple[int, int, int]]:
    return [_kernels.cell(segment, worker, 0) for worker in range(workers)]


def test_four_processes_spend_exactly_the_calls_that_an_account_can_pay(new_segment: NewSegment, start: Start) -> None:
    calls, price = 3_000_000, 7
    segment = new_segment()
    segment.add_account(account_digest("acme"), (calls - 1000) * price + price - 1, 1000 * price)
    for worker in range(4):
        segment.worker_set(worker, 1, 2)
    racers = [start("account", segment, worker, price, 77 + worker, 20_000, 0) for worker in range(4)]
    *results, (looks, over, below) = race([*racers, start("watch", segment, 300)])
    assert sum(captured for captured, _, _ in results) == calls
    assert all(captured for captured, _, _ in results), "a race in which all took part"
    assert money(segment, 0) == {
        "granted": (calls - 1000) * price + price - 1, "credit": 1000 * price,
        "committed": calls * price, "captured": calls * price, "held": 0,
    }  # fmt: skip
    assert [captured for _, captured, _ in cells(segment, 4)] == [nanos for _, nanos, _ in results]
    assert not segment.hold(0, 0, price)
    assert (looks > 0, over, below) == (True, 0, 0)


def test_captures_in_part_and_voids_add_up(new_segment: NewSegment, start: Start) -> None:
    segment = new_segment()
    segment.add_account(account_digest("acme"), 500_000, 0)
    for worker in range(4):
        segment.worker_set(worker, 1, 2)
    results = race([start("account", segment, worker, 11, 5 + worker, 20_000, 1) for worker in range(4)])
    charged = sum(nanos for _, nanos, _ in results)
    assert segment.account(0)["committed"] == segment.account(0)["captured"] == charged
    assert 500_000 - 11 < charged <= 500_000
    assert all(reserved == captured + released for reserved, captured, released in cells(segment, 4))


@pytest.mark.parametrize(("count", "burst"), [(50_000, 20), (700, 1), (30, 1000)])
def test_four_processes_never_take_more_from_a_bucket_than_its_burst_and_rate(
    new_segment: NewSegment, start: Start, count: int, burst: int
) -> None:
    segment = new_segment()
    assert segment.limit(count, 10**9, burst) == 1
    racers = [start("bucket", segment, 400, 100_000) for _ in range(4)]
    admitted = sum(number for (number,) in race(racers))
    stamps = sorted(stamp for racer in racers for stamp in racer.stamps)
    assert admitted == len(stamps) > burst
    rate = Fraction(count, 10**9)
    # For every window from one admitted call to another, both included: j - i + 1 ≤ burst + rate · (tj - ti).
    highest = stamps[0] * rate
    for number, stamp in enumerate(stamps):
        highest = max(highest, stamp * rate - number)
        assert number + 1 - stamp * rate + highest <= burst


def test_a_reader_of_a_journal_that_is_overrun_never_gets_half_a_call(new_segment: NewSegment, start: Start) -> None:
    segment = new_segment(journal_records=8)
    racer = start("journal", segment, 400)
    racer.ready()
    racer.go()
    first = seen = lost = 0
    while racer.process.poll() is None or segment.journal(0, first)[1] > first:
        records, following, gone = segment.journal(0, first)
        last = first - 1
        for at in range(0, len(records), RECORD_BYTES):
            record = records[at : at + RECORD_BYTES]
            number = int.from_bytes(record[:8], "little") - 1
            call = number + 1  # the racer's n-th call is record n - 1
            assert last < number < following
            assert int.from_bytes(record[24:32], "little") == call * 0x9E3779B97F4A7C15 % 2**64
            assert record[128:224] == b"/" + b"%016x" % call * 5 + (b"%016x" % call)[:15]
            last = number
        assert len(records) // RECORD_BYTES + gone == following - first
        seen, lost, first = seen + len(records) // RECORD_BYTES, lost + gone, following
    (written,) = racer.result()
    assert seen + lost == first == written
    assert seen > 10
    assert lost > 0


def killed_books(segment: Segment, start: Start, ms: int, seed: int) -> int:
    """Kill and recover for a while; the number of kills. The books must be exact then."""
    segment.add_account(account_digest("acme"), 10**15, 0)
    ((kills, voided, over, below),) = race([start("killer", segment, ms, seed)])
    books = segment.account(0)
    charged = sum(captured for _, captured, _ in cells(segment, 3))
    assert books["captured"] == charged > 0
    assert books["committed"] == charged
    assert all(reserved == captured + released for reserved, captured, released in cells(segment, 3))
    assert (over, below) == (0, 0)
    assert voided > 0
    return kills


def test_a_process_killed_at_any_instruction_leaves_exact_books(new_segment: NewSegment, start: Start) -> None:
    assert killed_books(new_segment(), start, 3000, 1) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 2 + TIMES))
def test_hundreds_of_kills_leave_exact_books(new_segment: NewSegment, start: Start, seed: int) -> None:
    assert killed_books(new_segment(), start, 8000, seed) >= 50
