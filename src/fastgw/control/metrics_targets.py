"""Decides what /metrics says of targets: for each server that calls are sent to, how it is and what it has had."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .families import families
from .services import Services

LABELS = ("upstream", "target")
_COUNTERS = (
    ("calls", "Calls sent to a target, repeated ones included"),
    ("failures", "Calls that a target has failed"),
    ("retries", "Calls that came to a target after another try"),
    ("ejections", "Times that a worker has passed a target over because calls to it failed"),
)
_GAUGES = (("in_flight", "Calls at a target now"), ("connections", "Connections to a target now"))


class TargetCollector(Collector):
    """Reads the roster and the workers' table of targets; neither waits for anybody."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Iterator[Metric]:
        roster = self.services.upstreams.roster().upstreams
        rows = [(name, endpoint) for name, endpoints in roster.items() for endpoint in endpoints]
        up = GaugeMetricFamily("fastgw_target_up", "0 while active checks say that a target is down", labels=LABELS)
        for name, endpoint in rows:
            up.add_metric([name, endpoint.name], int(endpoint.up))
        yield up
        find = self.services.loads()
        loads = [((name, endpoint.name), find(name, endpoint.name)) for name, endpoint in rows]
        yield from families(CounterMetricFamily, "fastgw_target_", _COUNTERS, LABELS, loads)
        yield from families(GaugeMetricFamily, "fastgw_target_", _GAUGES, LABELS, loads)
