"""Decides what latency a gateway adds: an open loop at half of its capacity, against the upstream asked
directly.

Both are asked by the same timetable in every round; what is added is the difference of the two quantiles, as
a median over the rounds. It is a difference of quantiles, not a quantile of differences: no request goes both
ways.
"""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass

from cases import Case
from field import LOAD_CPU, Contender, Field
from load import OpenLoopResult, run_openloop, run_wrk

PEERS = ("fastgw", "nginx-lua", "nginx", "haproxy", "envoy")
QUANTILES = ("p50_us", "p99_us", "p999_us")


@dataclass(frozen=True)
class Latency:
    """Medians over the rounds, µs: through the gateway, directly, and the difference, at p50, p99 and
    p99.9."""

    peer: str
    capacity_per_s: float
    rate_per_s: float
    through_us: tuple[float, ...]
    direct_us: tuple[float, ...]
    added_us: tuple[float, ...]
    rounds: int
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def run_latency(
    contenders: list[Contender], field: Field, rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Latency]:
    results = []
    for contender in contenders:
        try:
            results.append(_latency(contender, field, rounds, seconds, say))
        except RuntimeError as error:
            say(f"latency: {contender.peer.name} is out: {error}")
            results.append(Latency(contender.peer.name, 0, 0, (), (), (), 0, (str(error),)))
    return results


def _latency(contender: Contender, field: Field, rounds: int, seconds: float, say: Callable[[str], None]) -> Latency:
    case, port = Case("proxy", "fresh"), contender.port("proxy")
    loaded = run_wrk(case, port, max(2.0, seconds / 2), 1, LOAD_CPU, field.directory)
    capacity = loaded.requests / loaded.seconds
    through: list[OpenLoopResult] = []
    direct: list[OpenLoopResult] = []
    for round_ in range(rounds):
        order = ((field.upstream.port, direct), (port, through))
        for target, results in order if round_ % 2 == 0 else reversed(order):
            results.append(
                run_openloop(
                    field.openloop_program,
                    case,
                    target,
                    capacity / 2,
                    seconds,
                    round_ + 1,
                    LOAD_CPU,
                    field.directory,
                )
            )
        say(
            f"latency {contender.peer.name} at {capacity / 2:,.0f}/s: p50 {direct[-1].p50_us:.0f} ->"
            f" {through[-1].p50_us:.0f} us, p99 {direct[-1].p99_us:.0f} -> {through[-1].p99_us:.0f} us"
        )
    faults = {f"{r.faults} requests failed" for r in through + direct if r.faults}
    return Latency(
        peer=contender.peer.name,
        capacity_per_s=capacity,
        rate_per_s=capacity / 2,
        through_us=tuple(statistics.median(getattr(r, q) for r in through) for q in QUANTILES),
        direct_us=tuple(statistics.median(getattr(r, q) for r in direct) for q in QUANTILES),
        added_us=tuple(
            statistics.median(getattr(t, q) - getattr(d, q) for t, d in zip(through, direct, strict=True))
            for q in QUANTILES
        ),
        rounds=rounds,
        faults=tuple(sorted(faults)),
    )
