"""Decides what is left of a gateway when three times as much is asked of it as it can do.

    python bench/overload.py [--seconds 6] [--rounds 3] [--quick]

Twice: the service behind is the bottleneck (it takes 20 ms for a call, and 20 calls at a time), and the worker's
processor is (the kernel holds it to a share of it, in slices of milliseconds; needs a cgroup that can be written). The
peak is what a closed loop of 32 connections gets. Then calls come at instants fixed beforehand, at three times that
rate, and afterwards at half of it. Told are the calls served a second while too much is asked beside the peak
(goodput), how fast the others are refused, and how long after the flood the last call was refused or late.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop
from processes import Process, free_port
from quota import Quota
from soaked import KEY, gateway

HERE = Path(__file__).parent
SERVER_CPU, LOAD_CPU = 0, 1
CONNECTIONS, CONNECTIONS_MAX = 32, 2_000
TIMES = 3
SERVICE_MS, SERVICE_CALLS = 20, 20
LATE_S = 0.25  # beyond which an answer after the flood is a trace of it
SHARE, PERIOD_US = 0.05, 20_000


@dataclass
class Answer:
    """One call: when it was due and when answered (s since the start), and how (0: cut)."""

    due: float
    done: float
    status: int


class Line(asyncio.Protocol):
    """A connection; one call at a time."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.buffer = b""
        self.due = -1.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.load.rest(self)

    def ask(self, due: float) -> None:
        self.due = due
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.lower().find(b"content-length: ", 0, end)
        length = int(self.buffer[at + 16 : self.buffer.index(b"\r", at)])
        if len(self.buffer) < end + 4 + length:
            return
        self.load.note(self.due, int(self.buffer[9:12]))
        self.due = -1.0
        closes = b"\r\nConnection: close" in self.buffer[:end]
        self.buffer = self.buffer[end + 4 + length :]
        if closes:
            self.transport.close()
        else:
            self.load.rest(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.load.lines -= 1
        if self in self.load.idle:
            self.load.idle.remove(self)
        if self.due >= 0:
            self.load.note(self.due, 0)


class Load:
    """Calls to one port; `answers` grows as they are answered."""

    def __init__(self, port: int, target: str) -> None:
        self.port = port
        self.request = f"GET {target} HTTP/1.1\r\nHost: bench\r\nx-api-key: {KEY}\r\n\r\n".encode()
        self.start = time.monotonic()
        self.answers: list[Answer] = []
        self.idle: deque[Line] = deque()
        self.waiting: deque[float] = deque()
        self.lines = 0
        self.closed_until = 0.0

    def note(self, due: float, status: int) -> None:
        self.answers.append(Answer(due, time.monotonic() - self.start, status))

    def rest(self, line: Line) -> None:
        """It has nothing to do: take what waits, or, in a closed loop, go on."""
        now = time.monotonic() - self.start
        if self.waiting:
            line.ask(self.waiting.popleft())
        elif now < self.closed_until:
            line.ask(now)
        else:
            self.idle.append(line)

    def call(self, due: float) -> None:
        if self.idle:
            self.idle.popleft().ask(due)
            return
        self.waiting.append(due)
        if self.lines < CONNECTIONS_MAX:
            self._connect()

    def _connect(self) -> None:
        self.lines += 1
        task = asyncio.get_running_loop().create_task(self._open())
        task.add_done_callback(lambda done: done.exception())

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Line(self), "127.0.0.1", self.port)
        except OSError:
            self.lines -= 1

    async def closed(self, seconds: float) -> float:
        """A closed loop; how many calls were served a second."""
        first = len(self.answers)
        begun = time.monotonic() - self.start
        self.closed_until = begun + seconds
        while self.lines < CONNECTIONS:
            self._connect()
        while self.idle:
            self.idle.popleft().ask(begun)
        await asyncio.sleep(seconds)
        served = [
            answer for answer in self.answers[first:] if answer.status == 200 and answer.done > begun + seconds / 4
        ]
        return len(served) / (seconds * 3 / 4)

    async def open(self, rate: float, seconds: float, seed: int) -> tuple[float, float]:
        """An open loop (a Poisson process); when it began and ended."""
        chance = random.Random(seed)
        begun = due = time.monotonic() - self.start
        end = begun + seconds
        while True:
            now = time.monotonic() - self.start
            while due <= now and due < end:
                self.call(due)
                due += chance.expovariate(rate)
            if due >= end:
                return begun, end
            await asyncio.sleep(max(0.0005, due - now))


@dataclass
class Outcome:
    """One round. Rates in calls/s, times in ms."""

    bottleneck: str
    peak: float
    offered: float
    goodput: float
    refused: float
    refused_p99_ms: float
    served_p99_ms: float
    cut: int
    recovery_ms: float

    @property
    def share(self) -> float:
        return self.goodput / self.peak


def at(values: list[float], quantile: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * quantile))] * 1000 if values else 0.0


async def flood(bottleneck: str, port: int, target: str, seconds: float, seed: int) -> Outcome:
    load = Load(port, target)
    peak = await load.closed(seconds / 2)
    await asyncio.sleep(0.5)
    begun, end = await load.open(peak * TIMES, seconds, seed)
    load.waiting.clear()  # calls that could not even be sent: nobody waits for them any more
    _, over = await load.open(peak / 2, seconds / 2, seed + 1)
    await asyncio.sleep(1.0)
    flooded = [one for one in load.answers if begun + seconds / 6 <= one.done <= end and one.due >= begun]
    served = [one for one in flooded if one.status == 200]
    refused = [one for one in load.answers if one.status == 503 and begun <= one.due < end]
    traces = [one.done for one in load.answers
              if end <= one.due < over and (one.status != 200 or one.done - one.due > LATE_S)]  # fmt: skip
    return Outcome(
        bottleneck, peak, peak * TIMES, len(served) / (seconds * 5 / 6), len(refused) / seconds,
        at([one.done - one.due for one in refused], 0.99), at([one.done - one.due for one in served], 0.99),
        sum(one.status == 0 for one in load.answers), max(0.0, max(traces, default=end) - end) * 1000,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round: that it works")
    options = parser.parse_args()
    seconds, rounds = (1.5, 1) if options.quick else (options.seconds, options.rounds)
    outcomes: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastgw-overload-")))
        port = free_port()
        source = Process(
            [sys.executable, str(HERE / "event_source.py"), str(port)], {LOAD_CPU}, directory / "source.log"
        )
        stack.enter_context(source).wait_ready({port})
        limits = f"requests_max = {SERVICE_CALLS}\npending_max = 20\n"
        for bottleneck, upstream, target in (
            ("service", limits, f"/v1/late?ms={SERVICE_MS}"), ("processor", "", "/v1/x"),
        ):  # fmt: skip
            place = directory / bottleneck
            place.mkdir()
            with (
                gateway(
                    place,
                    port,
                    workers=1,
                    cpus={SERVER_CPU},
                    upstream=upstream,
                ) as started,
                contextlib.ExitStack() as held,
            ):
                if bottleneck == "processor":
                    try:
                        quota = held.enter_context(Quota("overload", SHARE, PERIOD_US))
                    except OSError as error:
                        print(f"processor: left out: {error}")
                        continue
                    quota.hold(started.pids("worker")[0])
                for round_ in range(rounds):
                    outcome = uvloop.run(flood(bottleneck, started.port, target, seconds, round_))
                    outcomes.append(outcome)
                    print(json.dumps(asdict(outcome)), f"goodput {outcome.share:.0%} of the peak", flush=True)
    for bottleneck in dict.fromkeys(one.bottleneck for one in outcomes):
        mine = [one for one in outcomes if one.bottleneck == bottleneck]
        medians = (
            statistics.median(getattr(one, name) for one in mine) for name in ("share", "refused_p99_ms", "recovery_ms")
        )
        print(
            "{}: goodput {:.0%} of the peak, refused within {:.1f} ms (p99), over after {:.0f} ms".format(
                bottleneck, *medians
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
