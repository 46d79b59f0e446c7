"""Decides whether the books keep up: one worker at its full rate for a minute, with ledger, call log and metrics on.

The worker has a core of its own, the load the other; the keeper takes its share of the worker's, as it would on a
machine that has no core to spare. A row that the call log had to drop is counted, not hidden.
"""

import statistics
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass

from cases import Case
from field import Contender, Field
from peers import Peer
from rounds import measure, warm_up

PEERS = ("fastgw",)
MODES = ("402", "proxy")
SLICE_S = 10.0
SETTLE_S = 5.0
ROWS, DROPPED = "fastgw_call_log_rows_total", "fastgw_call_log_dropped_rows_total"
LAG = "fastgw_ledger_lag_seconds"


@dataclass(frozen=True)
class Endurance:
    """One mode over a minute: medians of its slices, CPU µs a call; rows of the call log; the ledger's longest lag."""

    peer: str
    mode: str
    seconds: float
    requests: int
    requests_per_s: float
    worker_us: float
    keeper_us: float
    rows: int
    dropped: int
    lag_s: float
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def metric(port: int, name: str) -> float:
    """The sum of a metric over its labels. Raises RuntimeError when nobody tells it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name]
    if not found:
        raise RuntimeError(f"/metrics has no {name}")
    return sum(found)


def run_endurance(peers: list[Peer], field: Field, seconds: float, say: Callable[[str], None]) -> list[Endurance]:
    results = []
    for peer in peers:
        contender = field.start(peer)
        for mode in MODES:
            try:
                results.append(_endure(contender, Case(mode, "fresh"), field, seconds, say))
            except (RuntimeError, OSError) as error:
                say(f"endurance: {peer.name} {mode} is out: {error}")
                results.append(Endurance(peer.name, mode, 0, 0, 0, 0, 0, 0, 0, 0, (str(error),)))
        contender.process.stop()
    return results


def _endure(contender: Contender, case: Case, field: Field, seconds: float, say: Callable[[str], None]) -> Endurance:
    """Slices without a pause between them, so that CPU time is told for each and the rate never falls."""
    if fault := warm_up(contender, case, field):
        raise RuntimeError(fault)
    port = contender.launch.admin_port
    time.sleep(SETTLE_S)
    before = {name: metric(port, name) for name in (ROWS, DROPPED)}
    samples, lag_s = [], 0.0
    for number in range(max(1, round(seconds / SLICE_S))):
        sample = measure(contender, case, field.upstream, field, number, min(seconds, SLICE_S))
        lag_s = max(lag_s, metric(port, LAG))
        samples.append(sample)
        say(
            f"endurance {case.mode} {contender.peer.name}: {sample.cpu_us:.2f} us, books {sample.behind_us:.2f} us, "
            f"{sample.requests_per_s:,.0f}/s {sample.fault}"
        )
    time.sleep(SETTLE_S)
    rows, dropped = (round(metric(port, name) - before[name]) for name in (ROWS, DROPPED))
    requests = sum(sample.requests for sample in samples)
    faults = {sample.fault for sample in samples if sample.fault}
    if rows + dropped < requests:
        faults.add(f"{rows} rows and {dropped} dropped of {requests} calls")
    return Endurance(
        peer=contender.peer.name,
        mode=case.mode,
        seconds=sum(sample.seconds for sample in samples),
        requests=requests,
        requests_per_s=statistics.median(sample.requests_per_s for sample in samples),
        worker_us=statistics.median(sample.cpu_us for sample in samples),
        keeper_us=statistics.median(sample.behind_us for sample in samples),
        rows=rows,
        dropped=dropped,
        lag_s=lag_s,
        faults=tuple(sorted(faults)),
    )
