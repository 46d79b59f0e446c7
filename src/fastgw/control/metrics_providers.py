"""Decides what /metrics says of the keys of providers: which are left in peace, by their place in the file."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..states import CredentialState
from .families import families
from .provider_keys import provider_keys
from .services import Services

LABELS = ("provider", "key")
_COUNTERS = (
    ("calls", "Calls made with a key of a provider"),
    ("rests", "Calls after which a provider asked for a pause"),
    ("refusals", "Calls after which a provider did not take the key, or its account there had no money"),
)


class ProviderCollector(Collector):
    """Has its names, and no key, where there are no providers."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Iterator[Metric]:
        providers = provider_keys(self.services.segment, self.services.settings().config)
        rows = [([provider.name, str(key.key)], key) for provider in providers for key in provider.keys]
        state = GaugeMetricFamily(
            "fastgw_provider_key_state", "0 for a key that may be used, 1 resting, 2 refused, 3 unpaid", labels=LABELS
        )
        for labels, key in rows:
            state.add_metric(labels, CredentialState[key.state.upper()])
        yield state
        yield from families(CounterMetricFamily, "fastgw_provider_key_", _COUNTERS, LABELS, rows)
