"""Processes that race for money on a segment: `money_racer.py KIND SEGMENT ACCOUNTS MILLISECONDS SEED`, started and
asked like `racer.py`. Accounts come first in the segment, then the meters that `_money.race_calls` needs."""

import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import kernel_build
import numpy as np

sys.path.insert(0, str(kernel_build.OUT))  # built by who started this

import _kernels
import _money

from fastgw._segment import RECORD_BYTES, Segment

FOREVER = 2**62
WORKERS = 2
NUMBER, TIME, COST, BYTES_IN, BYTES_OUT, FLAGS, COST_SUM = 0, 1, 4, 5, 6, 13, 15  # words of a record


def check_whole(rows: Any, following: int) -> None:
    """The records, of 8-byte words, are those before number `following`, each as `_money.race_calls` has written it."""
    wanted = np.arange(following - len(rows), following, dtype=np.uint64)
    assert (rows[:, NUMBER] == wanted + 1).all()
    assert (rows[:, BYTES_IN] == wanted).all()
    assert (rows[:, BYTES_OUT] == ~wanted).all()
    assert (rows[:, TIME] == rows[:, COST]).all()


def read_the_oldest(segment: Segment, worker: int, until_ns: int) -> dict[str, int]:
    """Read again and again the records that are about to be overwritten."""
    size = segment.capacity["journal_records"]
    buffer = np.zeros((size, RECORD_BYTES // 8), np.uint64)
    reads = copied = lost = 0
    while time.monotonic_ns() < until_ns:
        first = max(0, segment.journal_written(worker) - size)
        got, following, gone = segment.journal_into(worker, first, buffer.data)
        check_whole(buffer[:got], following)
        reads += 1
        copied += got
        lost += gone
    return {"reads": reads, "copied": copied, "lost": lost}


class Drained:
    """What has been read of the journals, each record checked: it is what `_money.race_calls` has written."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.buffer = np.zeros((1 << 14, RECORD_BYTES // 8), np.uint64)
        self.next = [0] * WORKERS
        self.cost_sum = [0] * WORKERS
        self.charged = [0] * WORKERS
        self.records = self.lost = 0

    def read(self, worker: int) -> None:
        while self._read_some(worker):
            pass

    def _read_some(self, worker: int) -> int:
        first = self.next[worker]
        copied, following, lost = self.segment.journal_into(worker, first, self.buffer.data)
        rows = self.buffer[:copied]
        assert copied + lost == following - first
        check_whole(rows, following)
        if copied:
            before = self.cost_sum[worker] if not lost else int(rows[0, COST_SUM] - rows[0, COST])
            assert before >= self.cost_sum[worker]
            assert (rows[:, COST_SUM] == before + np.cumsum(rows[:, COST], dtype=np.uint64)).all()
            self.cost_sum[worker] = int(rows[-1, COST_SUM])
        self.charged[worker] += int((rows[:, FLAGS] & 1).sum())
        self.records += copied
        self.lost += lost
        self.next[worker] = following
        return copied + lost


class Ledger:
    """What keepers have taken for good, by account; it survives them all."""

    def __init__(self, accounts: int) -> None:
        self.taken = memoryview(mmap.mmap(-1, 8 * accounts)).cast("q")


def take_something(segment: Segment, ledger: Ledger, rng: random.Random) -> None:
    account = rng.randrange(len(ledger.taken))
    amount = rng.randrange(1, 40)
    if segment.take(account, amount):
        keep = rng.random() < 0.5
        if keep:
            ledger.taken[account] += amount  # the entry is durable
        segment.take_settle(account, amount, keep)


def keep(segment: Segment, accounts: int, until_ns: int, seed: int) -> dict[str, object]:
    """A keeper's work while workers spend: grants, takes, reads captures and journals; what it knows in the end."""
    rng = random.Random(seed)
    ledger = Ledger(accounts)
    known = dict(segment.captures(True))
    drained = Drained(segment)
    granted = segment.account(0)["granted"]
    while time.monotonic_ns() < until_ns:
        take_something(segment, ledger, rng)
        granted += 5
        segment.grant(0, granted)
        for index, captured in segment.captures():
            assert captured > known.get(index, 0)
            known[index] = captured
        drained.read(rng.randrange(WORKERS))
    known.update(segment.captures())
    for worker in range(WORKERS):
        drained.read(worker)
    return {
        "known": known, "taken": list(ledger.taken), "granted": granted, "records": drained.records,
        "lost": drained.lost, "cost_sum": drained.cost_sum,
    }  # fmt: skip


def forked(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def bursts(segment: Segment, accounts: int, until_ns: int, seed: int) -> dict[str, int]:
    """Short bursts of calls, while captures are read as fast as can be; then, in the quiet, what is known is all."""
    rng = random.Random(seed)
    known: dict[int, int] = {}
    rounds = reads = missed = 0
    while time.monotonic_ns() < until_ns:
        rounds += 1
        seeds = [rng.getrandbits(62) for _ in range(WORKERS)]
        left = {
            forked(lambda w=w, s=s: _money.race_calls(segment, w, accounts, s, 400, FOREVER))  # type: ignore[misc]
            for w, s in enumerate(seeds)
        }
        while left:
            known.update(segment.captures())
            reads += 1
            left -= {os.waitpid(pid, os.WNOHANG)[0] for pid in left}
        known.update(segment.captures())
        for index in range(segment.account_count):
            missed += known.get(index, 0) != segment.account(index)["captured"]
    return {"rounds": rounds, "reads": reads, "missed": missed}


def keepers(segment: Segment, ledger: Ledger, seed: int) -> Iterator[None]:
    """A keeper that starts where another was killed, and goes on for ever."""
    rng = random.Random(seed)
    for account, taken in enumerate(ledger.taken):
        segment.take_recover(account, taken)
    while True:
        take_something(segment, ledger, rng)
        yield


def kill_all_sorts(segment: Segment, accounts: int, until_ns: int, seed: int) -> dict[str, object]:
    """Two workers and a keeper, killed at any instruction, one or two at a time, and replaced; journals are read."""
    rng = random.Random(seed)
    ledger = Ledger(accounts)
    drained = Drained(segment)

    def worker(index: int) -> int:
        seed = rng.getrandbits(62)
        pid = forked(lambda: _money.race_calls(segment, index, accounts, seed, FOREVER, FOREVER))
        segment.worker_set(index, pid, 2)
        return pid

    def keeper() -> int:
        seed = rng.getrandbits(62)
        return forked(lambda: all(True for _ in keepers(segment, ledger, seed)))

    pids = [worker(0), worker(1), keeper()]
    kills = over = below = 0
    while time.monotonic_ns() < until_ns:
        _, too_much, too_little = _kernels.watch_account(segment, 0, time.monotonic_ns() + rng.randrange(3_000_000))
        over += too_much
        below += too_little
        victims = rng.sample(range(3), rng.choice((1, 1, 2)))
        for victim in victims:
            os.kill(pids[victim], signal.SIGKILL)
            os.waitpid(pids[victim], 0)
        kills += len(victims)
        for victim in sorted(victims, reverse=True):  # the keeper first: it recovers while the worker is recovered
            if victim == WORKERS:
                pids[victim] = keeper()
            else:
                segment.recover(victim)
                drained.read(victim)
                pids[victim] = worker(victim)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for index in range(WORKERS):
        segment.recover(index)
        drained.read(index)
    for account, taken in enumerate(ledger.taken):
        segment.take_recover(account, taken)
    return {
        "kills": kills, "over": over, "below": below, "taken": list(ledger.taken), "charged": drained.charged,
        "records": drained.records, "lost": drained.lost, "cost_sum": drained.cost_sum,
    }  # fmt: skip


def main(argv: list[str]) -> None:
    kind, path, *rest = argv
    segment = Segment.open(path)
    accounts, ms, seed = (int(text) for text in rest)
    print("ready", flush=True)
    sys.stdin.readline()
    until_ns = time.monotonic_ns() + ms * 1_000_000
    if kind.startswith("calls"):
        result: object = _money.race_calls(segment, int(kind[5:]), accounts, seed, FOREVER, until_ns)
    elif kind == "keep":
        result = keep(segment, accounts, until_ns, seed)
    elif kind == "oldest":
        result = read_the_oldest(segment, 0, until_ns)
    elif kind == "bursts":
        result = bursts(segment, accounts, until_ns, seed)
    else:
        result = kill_all_sorts(segment, accounts, until_ns, seed)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
