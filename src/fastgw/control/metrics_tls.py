"""Decides what /metrics says of TLS with clients: handshakes, and when each certificate ends."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .services import Services


class TlsCollector(Collector):
    """Says nothing where no certificate is configured."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Iterator[Metric]:
        certificates = self.services.settings().config.certificates
        if not certificates:
            return
        segment = self.services.segment
        rows = [segment.worker(index) for index in range(segment.worker_slots)]
        handshakes = CounterMetricFamily("fastgw_tls_handshakes", "TLS handshakes with clients", labels=["result"])
        handshakes.add_metric(["done"], sum(row["handshakes"] for row in rows))
        handshakes.add_metric(["failed"], sum(row["handshakes_failed"] for row in rows))
        yield handshakes
        ends = GaugeMetricFamily(
            "fastgw_certificate_expires_seconds", "When the certificate that is shown for a name ends, Unix time",
            labels=["name"],
        )  # fmt: skip
        shown = {name: certificate.ends_s for certificate in reversed(certificates) for name in certificate.names}
        for name, ends_s in shown.items():
            ends.add_metric([name], ends_s)
        yield ends
