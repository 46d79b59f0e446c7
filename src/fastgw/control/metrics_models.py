"""Decides what /metrics says of served models: calls, tokens, and how many of the counts are the gateway's own."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from .._segment import Segment

KINDS = ("in", "out", "cached", "reasoning")


class ModelCollector(Collector):
    def __init__(self, segment: Segment) -> None:
        self.segment = segment

    def collect(self) -> Iterator[Metric]:
        totals: dict[int, list[int]] = {}
        for slot in range(self.segment.worker_slots):
            for number, counts in self.segment.model_counts(slot).items():
                totals[number] = [sum(pair) for pair in zip(totals.get(number, [0] * len(counts)), counts, strict=True)]
        names = self.segment.models()
        calls = CounterMetricFamily("fastgw_model_calls", "Calls that a model has served", labels=["model"])
        estimated = CounterMetricFamily(
            "fastgw_model_calls_estimated", "Of them, those whose provider did not tell the tokens", labels=["model"]
        )
        tokens = CounterMetricFamily(
            "fastgw_model_tokens", "Tokens in and out; of those in, the cached; of those out, the reasoning",
            labels=["model", "kind"],
        )  # fmt: skip
        uncovered = CounterMetricFamily(
            "fastgw_model_uncovered_nanos", "What its calls have cost beyond what could be held", labels=["model"]
        )
        for number, (served, guessed, *counted, forgone) in sorted(totals.items()):
            calls.add_metric([names[number - 1]], served)
            estimated.add_metric([names[number - 1]], guessed)
            uncovered.add_metric([names[number - 1]], forgone)
            for kind, count in zip(KINDS, counted, strict=True):
                tokens.add_metric([names[number - 1], kind], count)
        yield calls
        yield estimated
        yield tokens
        yield uncovered
