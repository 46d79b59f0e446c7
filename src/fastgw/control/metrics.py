"""Decides what /metrics says of requests, connections and processes: the segment's counters, every label bounded."""

import os
import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import __version__
from .._segment import Segment
from ..refusals import Refusal
from ..states import ANSWER_CLASS, WorkerState

STAGES = ("decide", "first_byte", "total")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def bucket_ends_s() -> list[float]:
    """The upper bounds, in seconds, of the latency buckets that are worth a line: one per octave of microseconds."""
    return [2 ** (octave + 1) / 1_000_000 for octave in range(28)]


class SegmentCollector(Collector):
    """Reads the segment anew at each scrape; workers are not asked, and no account is."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("fastgw_build_info", "The running version", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        slots = range(self.segment.worker_slots)
        yield from self._calls(slots)
        yield from self._latency(slots)
        yield from self._workers(slots)
        for name, text, value in (
            ("fastgw_keys", "Keys and tags in the segment, revoked ones included", self.segment.key_count),
            ("fastgw_accounts", "Accounts in the segment, and what else has a limit in it", self.segment.account_count),
            ("fastgw_segment_used_bytes", "Memory that the segment takes", self.segment.used_bytes),
        ):
            yield GaugeMetricFamily(name, text, value=value)

    def _calls(self, slots: range) -> Iterator[Metric]:
        verdicts = CounterMetricFamily(
            "fastgw_requests", "Requests by route and verdict ('admitted', or the code of the refusal)",
            labels=["route", "verdict"],
        )  # fmt: skip
        answers = CounterMetricFamily(
            "fastgw_upstream_responses", "Answers of upstreams by route and class of status", labels=["route", "class"]
        )
        for slot, route in [(-1, ""), *enumerate(self.segment.routes())]:
            totals = [sum(column) for column in zip(*(self.segment.counters(i, slot) for i in slots), strict=True)]
            if not totals:
                continue  # no worker has ever been there
            for refusal in Refusal:
                if totals[refusal]:
                    verdicts.add_metric([route, refusal.name.lower()], totals[refusal])
            for hundreds in range(1, 6):
                if totals[ANSWER_CLASS + hundreds]:
                    answers.add_metric([route, f"{hundreds}xx"], totals[ANSWER_CLASS + hundreds])
        yield verdicts
        yield answers

    def _latency(self, slots: range) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "fastgw_request_duration_seconds",
            "Time from a request's head to the decision, to the upstream's first byte, to the end",
            labels=["stage"],
        )
        for number, stage in enumerate(STAGES):
            by_worker = (self.segment.histogram(index, number) for index in slots)
            counts = [sum(column) for column in zip(*by_worker, strict=True)]
            if counts:
                buckets, total_s = _histogram(counts)
                family.add_metric([stage], buckets=buckets, sum_value=total_s)
        yield family

    def _workers(self, slots: range) -> Iterator[Metric]:
        rows = [self.segment.worker(index) for index in slots]
        connections = GaugeMetricFamily("fastgw_connections", "Connections open now", labels=["side"])
        connections.add_metric(["client"], sum(row["clients"] for row in rows))
        connections.add_metric(["upstream"], sum(row["upstreams"] for row in rows))
        yield connections
        yield GaugeMetricFamily("fastgw_calls_in_flight", "Calls admitted and not yet finished: holds that are open",
                                value=sum(row["exchanges"] for row in rows))  # fmt: skip
        yield GaugeMetricFamily("fastgw_held_nanos", "Money that they hold", value=sum(row["held"] for row in rows))
        yield GaugeMetricFamily("fastgw_tunnels", "Of the calls in flight, those that are upgraded connections",
                                value=sum(row["tunnels"] for row in rows))  # fmt: skip
        yield CounterMetricFamily("fastgw_connections_turned_away", "Client connections closed for their PROXY header",
                                  value=sum(row["turned_away"] for row in rows))  # fmt: skip
        memory = GaugeMetricFamily("fastgw_worker_memory_bytes", "Memory of its own", labels=["worker"])
        short = GaugeMetricFamily(
            "fastgw_worker_memory_pressure", "0; short of memory, 1 where clients are parted from, 2 where refused",
            labels=["worker"],
        )  # fmt: skip
        shed = CounterMetricFamily("fastgw_connections_shed", "Idle ones closed for lack of memory", labels=["worker"])
        for index, row in enumerate(rows):
            for family, value in ((memory, row["memory"]), (short, row["pressure"]), (shed, row["shed"])):
                family.add_metric([str(index)], value)
        yield memory
        yield short
        yield shed
        accepted = CounterMetricFamily("fastgw_connections_accepted", "Client connections ever", labels=["worker"])
        cpu = CounterMetricFamily("fastgw_worker_cpu_seconds", "CPU time, user and system", labels=["worker"])
        states = GaugeMetricFamily("fastgw_workers", "Workers by state", labels=["state"])
        for index, row in enumerate(rows):
            accepted.add_metric([str(index)], row["accepted"])
            cpu.add_metric([str(index)], cpu_seconds(row["pid"]))
        for state in WorkerState:
            states.add_metric([state.name.lower()], sum(row["state"] == state for row in rows))
        yield accepted
        yield cpu
        yield CounterMetricFamily("fastgw_keeper_cpu_seconds", "CPU time of the keeper, user and system",
                                  value=time.process_time())  # fmt: skip
        yield states


def _histogram(counts: list[int]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets and the sum, in seconds, of counts by quarters of octaves of microseconds."""
    running = 0
    total_s = 0.0
    buckets = []
    ends = bucket_ends_s()
    for octave, end in enumerate(ends):
        for quarter in range(4):
            count = counts[4 * octave + quarter]
            running += count
            total_s += count * 2**octave * (4.5 + quarter) / 4 / 1_000_000
        buckets.append((repr(end), float(running)))
    running += sum(counts[4 * len(ends) :])
    buckets.append(("+Inf", float(running)))
    return buckets, total_s


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
