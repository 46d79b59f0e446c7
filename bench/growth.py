"""Decides what a million keys cost: the same load, spread over few keys and over many, on two instances side
by side."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass

from cases import Case
from field import Field
from peers import Peer
from rounds import Sample, measure, warm_up

SMALL = 10
MODES = ("402", "proxy")
PEERS = ("fastgw", "nginx-lua", "haproxy")


@dataclass(frozen=True)
class Growth:
    """CPU µs per request with few and with many keys loaded, random ones used; start is until the port
    answers."""

    peer: str
    mode: str
    population: int
    small_us: float
    large_us: float
    ratio: float
    small_ready_s: float
    large_ready_s: float
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def run_growth(
    peers: list[Peer], field: Field, population: int, rounds: int, seconds: float, say: Callable[[str], None]
) -> tuple[list[Growth], list[Sample]]:
    """One pair of instances at a time, so that memory holds one million keys of one contender, not of all."""
    results: list[Growth] = []
    samples: list[Sample] = []
    for peer in peers:
        try:
            pair = [field.start(peer, size) for size in (SMALL, population)]
        except RuntimeError as error:
            say(f"growth: {peer.name} is out: {error}")
            results.append(Growth(peer.name, "", population, 0, 0, 0, 0, 0, (str(error),)))
            continue
        for mode in MODES:
            cases = [Case(mode, "fresh", size, spread=True) for size in (SMALL, population)]
            faults = {fault for who, case in zip(pair, cases, strict=True) if (fault := warm_up(who, case, field))}
            own: list[list[Sample]] = [[], []]
            for round_ in range(0 if faults else rounds):
                for which in (0, 1) if round_ % 2 == 0 else (1, 0):
                    sample = measure(pair[which], cases[which], field.upstream, field, round_, seconds)
                    own[which].append(sample)
                    say(f"growth {cases[which].name} {peer.name}: {sample.cpu_us:.2f} us {sample.fault}")
            samples += own[0] + own[1]
            faults |= {sample.fault for sample in own[0] + own[1] if sample.fault}
            pairs = [(a.cpu_us, b.cpu_us) for a, b in zip(*own, strict=True) if not a.fault and not b.fault]
            results.append(
                Growth(
                    peer.name,
                    mode,
                    population,
                    statistics.median(a for a, _ in pairs) if pairs else 0.0,
                    statistics.median(b for _, b in pairs) if pairs else 0.0,
                    statistics.median(b / a for a, b in pairs) if pairs else 0.0,
                    pair[0].ready_s,
                    pair[1].ready_s,
                    tuple(sorted(faults)),
                )
            )
        for contender in pair:
            contender.process.stop()
    return results, samples
