"""Decides what one measurement is and when it counts: CPU per request of a contender in one case, round by
round.

In a round every contender is driven once for the same time, in an order that turns by one from round to
round; a ratio is taken within a round, so that a noisy minute of the machine weighs on both sides of it.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from cases import CONNECTIONS, Case, status_of
from cpu import MachineTime, behind, snapshot, spent_ns
from field import LOAD_CPU, Contender, Field, Upstream
from load import probe, run_wrk


@dataclass(frozen=True)
class Sample:
    """One measured run. ``fault`` is empty when everything that was answered was what the mode says.

    ``cpu_us`` is of the processes that serve, ``behind_us`` of those that keep their books meanwhile.
    """

    round: int
    peer: str
    mode: str
    column: str
    population: int
    cpu_us: float
    requests: int
    seconds: float
    server_busy: float
    load_busy: float
    steal_s: float
    answer_bytes: int
    behind_us: float = 0.0
    fault: str = ""

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def _fault(case: Case, requests: int, refused: int, socket_errors: int, forwarded: int) -> str:
    """What contradicts the mode, in words; empty when nothing does. ``forwarded`` is the upstream's own
    count."""
    if requests == 0:
        return "no request was completed"
    if socket_errors:
        return f"{socket_errors} socket errors"
    if case.mode == "proxy":
        if refused:
            return f"{refused} of {requests} refused"
        # What was in flight when wrk ended was answered by the upstream and not counted by wrk.
        if not requests <= forwarded <= requests + 2 * CONNECTIONS:
            return f"{forwarded} reached the upstream of {requests} answered"
        return ""
    if refused != requests:
        return f"{requests - refused} of {requests} not refused"
    return f"{forwarded} reached the upstream" if forwarded else ""


def measure(contender: Contender, case: Case, upstream: Upstream, field: Field, round_: int, seconds: float) -> Sample:
    """Probe, drive and probe again; CPU time is read around the whole of wrk's run, idle edges cost
    nothing."""
    port, run = contender.port(case.mode), time.time_ns() & 0x7FFFFFFF
    fault, requests, refused, errors, wrk_s, load_s = "", 0, 0, 0, 0.0, 0.0
    cpu_ns = behind_ns = answer_bytes = 0
    machine = MachineTime.now()
    try:
        answer_bytes = probe(case, port).size
        forwarded = upstream.answered()
        before = snapshot(contender.process.pid)
        result = run_wrk(case, port, seconds, run, LOAD_CPU, field.directory)
        after = snapshot(contender.process.pid)
        apart = behind(contender.process.pid, contender.launch.behind)
        behind_ns = sum(after[pid] - before.get(pid, 0) for pid in apart if pid in after)
        cpu_ns = spent_ns(before, after) - behind_ns
        requests, refused, errors = result.requests, result.refused, result.socket_errors
        wrk_s, load_s = result.seconds, result.cpu_s
        fault = _fault(case, requests, refused, errors, upstream.answered() - forwarded)
        probe(case, port)
    except (RuntimeError, OSError) as error:
        fault = fault or str(error)
    return Sample(
        round=round_,
        peer=contender.peer.name,
        mode=case.mode,
        column=case.column,
        population=case.population,
        cpu_us=cpu_ns / 1000 / requests if requests else 0.0,
        requests=requests,
        seconds=wrk_s,
        server_busy=cpu_ns / 1e9 / wrk_s if wrk_s else 0.0,
        load_busy=load_s / wrk_s if wrk_s else 0.0,
        steal_s=MachineTime.now().steal_s - machine.steal_s,
        answer_bytes=answer_bytes,
        behind_us=behind_ns / 1000 / requests if requests else 0.0,
        fault=fault,
    )


def warm_up(contender: Contender, case: Case, field: Field) -> str:
    """One second with every status counted by itself; what contradicts the mode, or nothing."""
    try:
        probe(case, contender.port(case.mode))
        result = run_wrk(case, contender.port(case.mode), 1, 1, LOAD_CPU, field.directory, tally=True)
    except (RuntimeError, OSError) as error:
        return str(error)
    wrong = {code: n for code, n in result.statuses.items() if code != status_of(case.mode)}
    return f"answered {wrong}" if wrong or not result.statuses else ""


def run_rounds(
    contenders: list[Contender],
    cases: Iterable[Case],
    field: Field,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[Sample]:
    """Every case with every contender that can decide it. A contender that fails its warm-up has one invalid
    sample."""
    samples = []
    for case in cases:
        able = []
        for contender in contenders:
            if contender.decides(case.mode):
                fault = warm_up(contender, case, field)
                if fault:
                    say(f"{case.name}: {contender.peer.name} is out: {fault}")
                    samples.append(_out(contender, case, fault))
                else:
                    able.append(contender)
        for round_ in range(rounds):
            turn = round_ % max(1, len(able))
            for contender in able[turn:] + able[:turn]:
                sample = measure(contender, case, field.upstream, field, round_, seconds)
                samples.append(sample)
                say(
                    f"{case.name} round {round_ + 1}/{rounds} {contender.peer.name}: {sample.cpu_us:.2f} us, "
                    f"{sample.requests_per_s:,.0f}/s, busy {sample.server_busy:.0%}"
                    + (f" INVALID {sample.fault}" * bool(sample.fault))
                )
    return samples


def _out(contender: Contender, case: Case, fault: str) -> Sample:
    own = (contender.peer.name, case.mode, case.column, case.population)
    return Sample(0, *own, 0, 0, 0, 0, 0, 0, 0, fault=fault)


@dataclass(frozen=True)
class Cell:
    """One contender in one case: medians over the valid rounds, and the median of the ratios taken within a
    round."""

    cpu_us: float
    spread_us: tuple[float, float]
    ratio: dict[str, float]
    requests_per_s: float
    server_busy: float
    load_busy: float
    answer_bytes: int
    behind_us: float
    rounds: int
    faults: tuple[str, ...]


def summarise(samples: list[Sample], against: tuple[str, ...]) -> dict[tuple[str, str], dict[str, Cell]]:
    """``{(mode, column): {peer: Cell}}`` in the order measured; ratios against each peer of ``against``."""
    cases: dict[tuple[str, str], dict[str, list[Sample]]] = {}
    for sample in samples:
        cases.setdefault((sample.mode, sample.column), {}).setdefault(sample.peer, []).append(sample)
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    for key, by_peer in cases.items():
        cells[key] = {peer: _cell(own, by_peer, against) for peer, own in by_peer.items()}
    return cells


def _cell(own: list[Sample], by_peer: dict[str, list[Sample]], against: tuple[str, ...]) -> Cell:
    valid = [sample for sample in own if not sample.fault]
    faults = tuple(sorted({sample.fault for sample in own if sample.fault}))
    if not valid:
        return Cell(0.0, (0.0, 0.0), {}, 0.0, 0.0, 0.0, 0, 0.0, 0, faults)
    ratio = {}
    for rival in against:
        theirs = {sample.round: sample.cpu_us for sample in by_peer.get(rival, []) if not sample.fault}
        pairs = [sample.cpu_us / theirs[sample.round] for sample in valid if sample.round in theirs]
        if pairs:
            ratio[rival] = statistics.median(pairs)
    costs = [sample.cpu_us for sample in valid]
    return Cell(
        cpu_us=statistics.median(costs),
        spread_us=(min(costs), max(costs)),
        ratio=ratio,
        requests_per_s=statistics.median(sample.requests_per_s for sample in valid),
        server_busy=statistics.median(sample.server_busy for sample in valid),
        load_busy=statistics.median(sample.load_busy for sample in valid),
        answer_bytes=valid[-1].answer_bytes,
        behind_us=statistics.median(sample.behind_us for sample in valid),
        rounds=len(valid),
        faults=faults,
    )
