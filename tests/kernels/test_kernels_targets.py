"""The table of targets by itself: one slot a target, and limits that hold over all workers, whatever races or dies."""

import mmap
import os
import random
import signal
import time

import _kernels
import pytest
from conftest import NewSegment
from forking import forked

from fastgw import _targets
from fastgw._segment import Segment, SegmentError
from fastgw._targets import MOST, Tally, Targets, forget_worker, table_path, target_name


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment()


def row(segment: Segment, endpoint: str = "a") -> dict[str, int]:
    return Targets(segment, -1).rows()[target_name("up", endpoint)]


def test_a_target_has_one_slot_and_each_worker_its_own_counts(segment: Segment) -> None:
    first, second = (Targets(segment, worker).tally("up", "a") for worker in range(2))
    assert first.enter(0)
    assert second.enter(0)
    assert second.connect(0)
    second.leave()
    first.failed()
    second.retried()
    second.eject(5_000)
    first.heard(100)
    first.await_room(3)
    assert (first.is_wanted(), second.is_wanted()) == (False, True)
    [(name, found)] = Targets(segment, -1).rows().items()
    assert name == target_name("up", "a") != target_name("up", "b")
    assert 4_000 < found.pop("ejected_ms") <= 5_000
    assert found == {
        "in_flight": 1, "open": 1, "waiting": 3, "calls": 2, "failures": 1, "retries": 1, "ejections": 1, "ejected": 1,
        "latency_us": 100,
    }  # fmt: skip
    second.eject(0)
    assert row(segment)["ejected"] == 0


def test_the_latency_shown_follows_the_answers(segment: Segment) -> None:
    tally = Targets(segment, 0).tally("up", "a")
    for _ in range(100):
        tally.heard(8_000)
    assert row(segment)["latency_us"] == 8_000
    tally.heard(16_000)
    assert row(segment)["latency_us"] == 9_000
    for _ in range(100):
        tally.heard(1)
    assert 1 <= row(segment)["latency_us"] < 10
    tally.heard(2**40)
    assert row(segment)["latency_us"] > 2**28


def test_a_limit_is_of_all_workers_and_has_room_again_for_each_that_leaves(segment: Segment) -> None:
    tallies = [Targets(segment, worker).tally("up", "a") for worker in (0, 1, 9)]
    assert [tally.enter(2) for tally in tallies] == [True, True, False]
    assert [tally.connect(1) for tally in tallies] == [True, False, False]
    tallies[1].leave()
    tallies[0].disconnect()
    assert [tally.enter(2) for tally in tallies] == [True, False, False]
    assert [tally.connect(1) for tally in reversed(tallies)] == [True, False, False]
    assert tallies[2].enter(3)
    assert row(segment)["in_flight"] == 3


def test_a_limit_is_never_exceeded_whatever_races(segment: Segment) -> None:
    inside = mmap.mmap(-1, 4096)
    results = mmap.mmap(-1, 4096)
    until = time.monotonic_ns() + 300_000_000
    pids = []
    for worker in range(4):

        def work(worker: int = worker) -> None:
            entered, over = _kernels.race_targets(Targets(segment, worker).tally("up", "a"), inside, 2, until)
            results[worker * 2 : worker * 2 + 2] = bytes((min(entered, 255), min(over, 255)))

        pids.append(forked(work))
    for pid in pids:
        os.waitpid(pid, 0)
    assert results[1:8:2] == bytes(4), results[:8]
    assert results[0:8:2].count(255) >= 2, results[:8]  # a busy machine starts the last too late
    assert row(segment)["in_flight"] == 0


def test_workers_that_come_to_a_target_at_once_have_the_same_slot(segment: Segment) -> None:
    """Sixteen names, four workers, each in an order of its own: a name that had two slots would be counted in two."""
    Targets(segment, 0)
    start = time.monotonic() + 0.05

    def work(worker: int) -> None:
        table = Targets(segment, worker)
        names = [str(number) for number in range(16)]
        random.Random(worker).shuffle(names)
        while time.monotonic() < start:
            pass
        for name in names:
            table.tally("up", name).enter(0)

    for pid in [forked(lambda worker=worker: work(worker)) for worker in range(4)]:  # type: ignore[misc]
        os.waitpid(pid, 0)
    rows = Targets(segment, -1).rows()
    assert len(rows) == 16
    assert {found["in_flight"] for found in rows.values()} == {4}


def test_what_a_worker_that_was_killed_had_in_flight_is_given_back(segment: Segment) -> None:
    other = Targets(segment, 1).tally("up", "a")
    ready = mmap.mmap(-1, 4096)

    def work() -> None:
        tally = Targets(segment, 0).tally("up", "a")
        assert tally.enter(1)
        assert tally.connect(1)
        ready[0] = 1
        time.sleep(60)

    pid = forked(work)
    while not ready[0]:
        time.sleep(0.001)
    assert not other.enter(1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not other.enter(1)
    forget_worker(segment, 0)
    assert other.enter(1)
    assert other.connect(1)
    assert row(segment)["calls"] == 2


def test_a_slot_that_nobody_uses_can_be_another_targets(segment: Segment) -> None:
    table, other = Targets(segment, 0), Targets(segment, 1)
    tallies: list[Tally] = [table.tally("up", str(number)) for number in range(MOST)]
    with pytest.raises(SegmentError, match=f"more than {MOST} targets"):
        other.tally("up", "another")
    assert tallies[7].enter(0)
    assert table.tally("up", "7") is tallies[7]
    tallies[7].release()
    assert other.sweep() == 0
    tallies[7].leave()
    tallies[7].release()
    assert other.sweep() == 1
    fresh = other.tally("up", "another")
    assert fresh.enter(1)
    assert row(segment, "another")["calls"] == 1
    with pytest.raises(SegmentError):
        table.tally("up", "7")
    fresh.release()


def test_a_table_is_the_segments_and_its_owners(segment: Segment, new_segment: NewSegment) -> None:
    forget_worker(segment, 0)
    assert not os.path.exists(table_path(segment))
    Targets(segment, 0)
    path = table_path(segment)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(path).st_blocks * 512 < 65_536
    assert table_path(new_segment()) != path
    os.chmod(path, 0o640)
    with pytest.raises(SegmentError, match="open to other users"):
        Targets(segment, 0)
    os.chmod(path, 0o600)
    os.truncate(path, 4096)
    with pytest.raises(SegmentError, match="damaged"):
        Targets(segment, 0)
    os.unlink(path)
    with pytest.raises(IndexError):
        Targets(segment, 64)
    assert _targets.Targets(segment, 0).rows() == {}
