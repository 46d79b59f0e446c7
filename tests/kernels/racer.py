"""One racing process on a segment: `racer.py KIND SEGMENT ARGUMENT…` says "ready", starts at a line of input, and ends
with one line of JSON (`bucket`: with a line of stamps). `killer` is the one that kills: see `kill_and_recover`."""

import json
import os
import random
import signal
import sys
import time

import kernel_build

sys.path.insert(0, str(kernel_build.OUT))  # built by who started this

import _kernels

from fastgw._call import Peer
from fastgw._segment import Segment

FOREVER = 2**62


def until(seconds: float) -> int:
    return time.monotonic_ns() + int(seconds * 1e9)


def kill_and_recover(segment: Segment, account: int, seconds: float, seed: int) -> dict[str, int]:
    """Three workers on one account; one after the other is killed at any instruction, recovered and replaced."""
    rng = random.Random(seed)
    deadline = until(seconds)

    def fork(worker: int) -> int:
        pid = os.fork()
        if pid == 0:
            _kernels.race_account(segment, worker, account, 5, rng.getrandbits(62) + worker, FOREVER, True)
            os._exit(0)
        segment.worker_set(worker, pid, 2)
        return pid

    pids = [fork(worker) for worker in range(3)]
    result = {"kills": 0, "voided": 0, "over": 0, "below": 0}
    while time.monotonic_ns() < deadline:
        _, over, below = _kernels.watch_account(segment, account, until(rng.uniform(0, 0.01)))
        worker = rng.randrange(3)
        os.kill(pids[worker], signal.SIGKILL)
        os.waitpid(pids[worker], 0)
        result["voided"] += segment.recover(worker)[0]
        result["kills"] += 1
        result["over"] += over
        result["below"] += below
        pids[worker] = fork(worker)
    for worker, pid in enumerate(pids):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        segment.recover(worker)
    return result


def main(argv: list[str]) -> None:
    kind, path, *rest = argv
    segment = Segment.open(path)
    numbers = [int(text) for text in rest]
    gate = kernel_build.make_gate(segment, 0) if kind == "journal" else None
    print("ready", flush=True)
    sys.stdin.readline()
    stamps = b""
    result: object = None
    if kind == "account":
        worker, cost, seed, ms, partly = numbers
        result = _kernels.race_account(segment, worker, 0, cost, seed, until(ms / 1000), bool(partly))
    elif kind == "watch":
        result = _kernels.watch_account(segment, 0, until(numbers[0] / 1000))
    elif kind == "bucket":
        ms, most = numbers
        stamps = _kernels.race_bucket(segment, 0, 0, 1, until(ms / 1000), most)
        result = len(stamps) // 8
    elif gate is not None:
        path_start = b"GET /"
        head = path_start + b"0" * 96 + b" HTTP/1.1\r\nHost: h\r\n\r\n"
        result = _kernels.race_journal(gate, Peer("192.0.2.1", 1), head, len(path_start), until(numbers[0] / 1000))
    elif kind == "killer":
        ms, seed = numbers
        result = kill_and_recover(segment, 0, ms / 1000, seed)
    print(json.dumps(result), flush=True)
    sys.stdout.buffer.write(stamps)
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
