"""Decides how fields of what is watched become families of metrics: one a field, and a sample of it for each."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


def families(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    prefix: str,
    fields: Iterable[tuple[str, str]],
    labels: Sequence[str],
    rows: Iterable[tuple[Sequence[str], object]],
) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    """`fields` are names and what they mean; `rows` the values of the labels, and what has the fields."""
    for field, text in fields:
        family = kind(prefix + field, text, labels=labels)
        for values, watched in rows:
            family.add_metric(values, getattr(watched, field))
        yield family
