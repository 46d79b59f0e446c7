"""Decides what a second worker adds, on a machine whose cores the load generator needs too.

Two figures, neither of which lets the load generator into the answer:

- *throughput under equal quotas*: every worker is bound to a core of its own and held by the kernel to the
  same share of it, small enough that wrk and the upstream never run short; the requests per second of two
  such workers over those of one is then what a second core would give. Needs a writable cgroup.
- *cost under contention*: CPU µs per request with one worker and with two, all requests charging one account
  through one key, so that both write the same words. Twice the ratio of the two is the scaling that the cost
  alone would allow.

The second core is also the load generator's, which makes a worker there cheaper (what it wakes is on its own
core) and its neighbour dearer. So one worker is measured on either core, and two are compared with the mean.
A round in which a worker did not use up its share (the load ran short) gives no throughput.
"""

import contextlib
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from cases import Case
from cpu import pin, snapshot
from field import Contender, Field
from peers import Peer
from quota import Quota
from rounds import Sample, measure, warm_up

SHARE = 0.2
FED = 0.92  # of its share, below which a worker was waiting for the load
MODES = ("402", "proxy")
PEERS = ("fastgw", "nginx-lua")


@dataclass(frozen=True)
class Scale:
    """Medians over the rounds; ``throughput`` is two workers over one, 0 where no quota could be set."""

    peer: str
    mode: str
    one_us: float
    two_us: float
    cost_ratio: float
    one_per_s: float
    two_per_s: float
    throughput: float
    share: float
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def busiest(contender: Contender, count: int, field: Field, case: Case) -> tuple[list[int], str]:
    """The ``count`` processes of a contender that work most under load, and what went wrong: those are its
    workers."""
    before = snapshot(contender.process.pid)
    fault = warm_up(contender, case, field)
    after = snapshot(contender.process.pid)
    spent = {pid: ns - before.get(pid, 0) for pid, ns in after.items()}
    return sorted(spent, key=lambda pid: spent[pid], reverse=True)[:count], fault


def run_scale(
    peers: list[Peer], field: Field, rounds: int, seconds: float, say: Callable[[str], None]
) -> tuple[list[Scale], list[Sample]]:
    results: list[Scale] = []
    samples: list[Sample] = []
    for peer in peers:
        with contextlib.ExitStack() as stack:
            try:
                pair = [stack.enter_context(_bound(peer, workers, field, say)) for workers in (1, 2)]
            except RuntimeError as error:
                say(f"scale: {peer.name} is out: {error}")
                results.append(Scale(peer.name, "", 0, 0, 0, 0, 0, 0, 0, (str(error),)))
                continue
            for mode in MODES:
                result, own = _scale(peer, pair, Case(mode, "fresh"), field, rounds, seconds, say)
                results.append(result)
                samples += own
    return results, samples


@dataclass(frozen=True)
class _Bound:
    """A started contender whose workers have a core each and, if ``limited``, an equal share of it."""

    contender: Contender
    limited: bool


@contextlib.contextmanager
def _bound(peer: Peer, workers: int, field: Field, say: Callable[[str], None]) -> Iterator[_Bound]:
    """Start, find the workers, bind and limit them. Raises RuntimeError when it does not answer."""
    with contextlib.ExitStack() as quotas:
        contender = field.start(peer, workers=workers, cpus=set(range(workers)))
        with contender.process:
            pids, fault = busiest(contender, workers, field, Case("proxy", "fresh"))
            if fault:
                raise RuntimeError(fault)
            limited = True
            for cpu, pid in enumerate(pids):
                pin(pid, {cpu})
                try:
                    quotas.enter_context(Quota(f"{peer.name}-{workers}-{cpu}", SHARE)).hold(pid)
                except OSError as error:
                    say(f"scale: no quota for {peer.name}: {error}")
                    limited = False
            yield _Bound(contender, limited)


def _scale(
    peer: Peer,
    pair: list[_Bound],
    case: Case,
    field: Field,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> tuple[Scale, list[Sample]]:
    """One worker on the first core, one on the second, then two: in that order, turned by one each round."""
    alone, both = pair
    turns = [("first core", alone, {0}), ("second core", alone, {1}), ("both", both, None)]
    own: dict[str, list[Sample]] = {name: [] for name, _, _ in turns}
    for round_ in range(rounds):
        turn = round_ % len(turns)
        for name, bound, cpus in turns[turn:] + turns[:turn]:
            if cpus:
                pin(bound.contender.process.pid, cpus)
            sample = measure(bound.contender, case, field.upstream, field, round_, seconds)
            own[name].append(sample)
            say(
                f"scale {case.mode} {peer.name} {name}: {sample.cpu_us:.2f} us,"
                f" {sample.requests_per_s:,.0f}/s, busy {sample.server_busy:.0%} {sample.fault}"
            )
    everything = [sample for samples in own.values() for sample in samples]
    good = [trio for trio in zip(*own.values(), strict=True) if not any(sample.fault for sample in trio)]
    limited = all(bound.limited for bound in pair)
    costs = [((a.cpu_us + b.cpu_us) / 2, two.cpu_us) for a, b, two in good]
    fed = [(a, b, two) for a, b, two in good if _fed(a, 1) and _fed(b, 1) and _fed(two, 2)]
    rates = [((a.requests_per_s + b.requests_per_s) / 2, two.requests_per_s) for a, b, two in fed]
    faults = {sample.fault for sample in everything if sample.fault}
    if limited and not fed:
        faults.add("the load ran short in every round: no throughput figure")
    return Scale(
        peer=peer.name,
        mode=case.mode,
        one_us=_middle(one for one, _ in costs),
        two_us=_middle(two for _, two in costs),
        cost_ratio=_middle(two / one for one, two in costs),
        one_per_s=_middle(one for one, _ in rates),
        two_per_s=_middle(two for _, two in rates),
        throughput=_middle(two / one for one, two in rates) if limited else 0.0,
        share=SHARE if limited else 0.0,
        faults=tuple(sorted(faults)),
    ), everything


def _fed(sample: Sample, workers: int) -> bool:
    return sample.server_busy >= FED * SHARE * workers


def _middle(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else 0.0
