"""Decides what is left of a gateway when three times as much is asked of it as it can do.

    python bench/overload.py [--seconds 5] [--rounds 3] [--quick]

Three times: the service behind is the bottleneck (it takes 20 ms for a call, and 20 calls at a time); the worker's
processor is, with clients that keep their connections; and with clients who each come anew. The kernel holds every
process to a share of a processor, which it gets before others do (needs a cgroup that can be written): so the peak is
the same from one moment to the next. The peak is what a closed loop of as many kept connections gets, or the better of
two where they are not kept; beside it stands that of 32. Then calls come at instants fixed beforehand, at three times
the peak, and afterwards at half of it. Told are the calls answered in time while too much is asked beside the peak
(goodput), how fast the others are refused, and how long after the flood the last call was in trouble.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from processes import Process, compile_c, free_port
from quota import Quota
from soaked import KEY, gateway

HERE = Path(__file__).parent
SERVER_CPU, LOAD_CPU = 0, 1
TIMES = 3
DEADLINE_MS = 1_000  # after which a client gives up
FEW = 32
PERIOD_US = 5_000
WORKER_SHARE, SERVICE_SHARE, LOAD_SHARE = 0.2, 0.4, 0.5
SERVICE_MS, SERVICE_CALLS = 20, 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


@dataclass(frozen=True)
class Bottleneck:
    """`target` is asked for on at most so many connections; `anew`: each call on one of its own. `upstream` is said of
    the service, and `peaked` how many connections its peak is looked for with."""

    name: str
    connections: int
    target: str = "/v1/x"
    anew: bool = False
    upstream: str = ""
    peaked: int = 0


BOTTLENECKS = (
    Bottleneck(
        "service", 2_000, f"/v1/late?ms={SERVICE_MS}", peaked=FEW,
        upstream=f"requests_max = {SERVICE_CALLS}\npending_max = 20\n",
    ),
    Bottleneck("processor", 500),
    Bottleneck("processor, newcomers", 4_000, anew=True, peaked=500),
)  # fmt: skip


@dataclass
class Outcome:
    """One round. Rates in calls/s, times in ms."""

    bottleneck: str
    peak: float
    peak_of_few: float
    goodput: float
    served_p99_ms: float
    refused_p99_ms: float
    recovery_ms: float
    served: int
    refused: int
    cut: int
    given_up: int
    unsent: int

    @property
    def share(self) -> float:
        return self.goodput / self.peak


class Load:
    """Runs `flood.c` against one port."""

    def __init__(self, program: Path, directory: Path, port: int, quota: Quota, bottleneck: Bottleneck) -> None:
        lines = "Connection: close\r\n" if bottleneck.anew else ""
        self.file = directory / "request"
        self.file.write_text(f"GET {bottleneck.target} HTTP/1.1\r\nHost: bench\r\nx-api-key: {KEY}\r\n{lines}\r\n")
        self.program, self.port, self.quota = program, port, quota

    def run(self, connections: int, seed: int, *phases: tuple[float, float]) -> list[dict[str, float]]:
        """What became of the calls of each phase, a rate and seconds; the rate 0 is a closed loop."""
        argv = ["taskset", "-c", str(LOAD_CPU), str(self.program), str(self.port), str(self.file), str(connections)]
        argv += [str(DEADLINE_MS), str(seed), *(f"{number:g}" for phase in phases for number in phase)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            self.quota.hold(process.pid)
            said, _ = process.communicate(timeout=60 + sum(seconds for _, seconds in phases))
        if process.returncode != 0:
            raise RuntimeError(f"flood ended with {process.returncode}")
        found: list[dict[str, float]] = json.loads(said.splitlines()[-1])
        return found

    def peak(self, connections: int, seconds: float) -> float:
        [closed] = self.run(connections, 1, (0, seconds))
        return closed["served_per_s"]


def flood(load: Load, bottleneck: Bottleneck, seconds: float, seed: int) -> Outcome:
    few = load.peak(FEW, seconds / 2)
    peaked = bottleneck.peaked or bottleneck.connections
    peak = few if peaked == FEW else load.peak(peaked, seconds / 2)
    if bottleneck.anew:
        peak = max(peak, few)
    during, after = load.run(bottleneck.connections, seed, (peak * TIMES, seconds), (peak / 2, seconds / 2))
    counts = {what: int(during[what]) for what in ("served", "refused", "cut", "given_up", "unsent")}
    return Outcome(
        bottleneck.name, peak, few, during["served_per_s"], during["served_p99_us"] / 1000,
        during["refused_p99_us"] / 1000, max(0.0, after["trouble_ms"]), **counts,
    )  # fmt: skip


def rounds(
    program: Path, directory: Path, upstream_port: int, bottleneck: Bottleneck, seconds: float, many: int
) -> list[Outcome]:
    """With a gateway of its own."""
    directory.mkdir()
    with (
        gateway(directory, upstream_port, workers=1, cpus={SERVER_CPU}, upstream=bottleneck.upstream) as started,
        Quota("worker", WORKER_SHARE, PERIOD_US) as worker,
        Quota("load", LOAD_SHARE, PERIOD_US) as mine,
    ):
        worker.hold(started.pids("worker")[0])
        load = Load(program, directory, started.port, mine, bottleneck)
        outcomes = []
        for number in range(many):
            outcomes.append(flood(load, bottleneck, seconds, number + 1))
            print(json.dumps(asdict(outcomes[-1])), f"goodput {outcomes[-1].share:.0%} of the peak", flush=True)
        return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round: that it works")
    options = parser.parse_args()
    seconds, many = (1.0, 1) if options.quick else (options.seconds, options.rounds)
    outcomes: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastgw-overload-")))
        try:
            quota = stack.enter_context(Quota("service", SERVICE_SHARE, PERIOD_US))
        except OSError as error:
            print(f"left out: {error}")
            return 0
        slow_port, fast_port = free_port(), free_port()
        (directory / "answer").write_bytes(ANSWER)
        floor = [str(compile_c(HERE / "floor.c", directory)), str(directory / "count")]
        for name, port, argv in (
            ("slow", slow_port, [sys.executable, str(HERE / "event_source.py"), str(slow_port)]),
            ("fast", fast_port, [*floor, str(fast_port), str(directory / "answer")]),
        ):
            service = stack.enter_context(Process(argv, {LOAD_CPU}, directory / f"{name}.log"))
            service.wait_ready({port})
            quota.hold(service.pid)
        program = compile_c(HERE / "flood.c", directory)
        for number, bottleneck in enumerate(BOTTLENECKS):
            port = slow_port if bottleneck.name == "service" else fast_port
            outcomes += rounds(program, directory / str(number), port, bottleneck, seconds, many)
    for bottleneck in BOTTLENECKS:
        mine = [one for one in outcomes if one.bottleneck == bottleneck.name]
        share, refused_ms, recovery_ms = (
            statistics.median(getattr(one, name) for one in mine) for name in ("share", "refused_p99_ms", "recovery_ms")
        )
        print(f"{bottleneck.name}: goodput {share:.0%} of the peak, refused within {refused_ms:.1f} ms (p99), "
              f"over after {recovery_ms:.0f} ms")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
