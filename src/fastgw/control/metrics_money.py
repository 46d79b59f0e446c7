"""Decides what /metrics says of the ledger and the call log: money in nanos, never by account."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .metrics import SegmentCollector
from .metrics_models import ModelCollector
from .metrics_providers import ProviderCollector
from .metrics_targets import TargetCollector
from .metrics_tls import TlsCollector
from .services import Services


def registry(services: Services) -> CollectorRegistry:
    """Everything that /metrics shows."""
    found = CollectorRegistry()
    found.register(SegmentCollector(services.segment))
    found.register(ModelCollector(services.segment))
    found.register(MoneyCollector(services))
    found.register(ProviderCollector(services))
    found.register(TargetCollector(services))
    found.register(TlsCollector(services))
    return found


class MoneyCollector(Collector):
    """Asks the ledger and the call log how they are; neither waits for a disk to say so."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Iterator[Metric]:
        yield from self._ledger()
        if self.services.call_log is not None:
            yield from self._call_log()

    def _ledger(self) -> Iterator[Metric]:
        state = self.services.books.state()
        yield GaugeMetricFamily("fastgw_ledger_lag_seconds", "Age of the oldest capture that is not durable yet",
                                value=state.lag_ms / 1_000)  # fmt: skip
        yield GaugeMetricFamily("fastgw_ledger_stopped", "1 while calls that cost money are refused for want of a disk",
                                value=int(state.stopped))  # fmt: skip
        yield CounterMetricFamily("fastgw_ledger_commits", "Transactions of the ledger", value=state.commits)
        yield GaugeMetricFamily("fastgw_ledger_entries", "Entries of the ledger", value=state.entries)
        yield GaugeMetricFamily("fastgw_ledger_size_bytes", "The ledger's size on disk", value=state.size_bytes)

    def _call_log(self) -> Iterator[Metric]:
        assert self.services.call_log is not None
        state = self.services.call_log.state()
        yield GaugeMetricFamily("fastgw_journal_depth", "Finished calls that the call log has yet to fetch",
                                value=state.depth)  # fmt: skip
        yield GaugeMetricFamily("fastgw_call_log_lag_seconds", "Age of the oldest of them", value=state.lag_ms / 1_000)
        yield CounterMetricFamily("fastgw_call_log_rows", "Calls that were logged", value=state.rows)
        yield CounterMetricFamily("fastgw_call_log_dropped_rows", "Calls that could not be logged",
                                  value=state.dropped_rows)  # fmt: skip
        yield CounterMetricFamily("fastgw_call_log_dropped_cost_nanos", "What those cost; charged all the same",
                                  value=state.dropped_cost_nanos)  # fmt: skip
        yield GaugeMetricFamily("fastgw_call_log_failing", "1 while the call log cannot be written",
                                value=int(bool(state.error)))  # fmt: skip
        yield CounterMetricFamily("fastgw_access_lines_dropped", "Access lines that nobody took",
                                  value=state.lines_dropped)  # fmt: skip
        yield GaugeMetricFamily("fastgw_call_log_size_bytes", "The call log's size on disk", value=state.bytes)
