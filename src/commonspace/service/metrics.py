"""What Prometheus reads at ``/metrics``; one registry an app, so that two apps do not mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "commonspace_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "commonspace_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "commonspace_requests_in_flight", "Requests being answered.", registry=self._registry
        )
        self.batches = Histogram(
            "commonspace_search_batch_queries",
            "Queries of concurrent searches answered together.",
            buckets=_BATCHES,
            registry=self._registry,
        )
        self.items = Gauge(
            "commonspace_items",
            "Items of a collection.",
            ("collection", "modality"),
            registry=self._registry,
        )
        self.swaps = Counter(
            "commonspace_swaps", "New versions taken up.", ("collection",), registry=self._registry
        )

    def text(self) -> bytes:
        """All values in Prometheus's text form."""
        return generate_latest(self._registry)
