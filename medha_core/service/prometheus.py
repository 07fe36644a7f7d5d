"""Figures for Prometheus: requests by route, embeddings by model, in a registry of its own."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from medha_core.service.service import EmbedderService

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BY_MODEL = {
    "medha_embeddings_computed": ("total_embeddings_generated", "Vectors that a model computed."),
    "medha_embedding_cache_hits": ("cache_hits", "Texts whose vector did not have to be computed."),
    "medha_embedding_cache_misses": ("cache_misses", "Texts whose vector had to be computed."),
    "medha_embedding_tokens": ("total_tokens", "Tokens computed, estimated."),
    "medha_embedding_cost_usd": ("total_cost_usd", "US dollars that computing cost, estimated."),
    "medha_embedding_saved_usd": ("total_saved_usd", "US dollars that not computing saved, estimated."),
}


class ServerMetrics:
    """Counts requests, and reads everything else from the service when it is asked.

    Args:
        registry: where the figures go; None makes one that holds nothing else.
    """

    def __init__(self, service: EmbedderService, registry: CollectorRegistry | None = None):
        self.registry = CollectorRegistry() if registry is None else registry
        self._requests = Counter(
            "medha_http_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "medha_http_request_duration_seconds",
            "Seconds from the first byte to the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_ServiceCollector(service))

    def record(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self.registry)


class _ServiceCollector(Collector):
    def __init__(self, service: EmbedderService):
        self._service = service

    def collect(self) -> Iterator[Metric]:
        metrics = self._service.get_metrics()
        for name, (key, text) in _BY_MODEL.items():
            family = CounterMetricFamily(name, text, labels=("model",))
            for model, counts in metrics["by_model"].items():
                family.add_metric((model,), counts[key])
            yield family
        yield GaugeMetricFamily("medha_models_loaded", "Models in memory.", metrics["models_loaded"])
        yield GaugeMetricFamily(
            "medha_embeddings_under_way", "Texts being computed.", metrics["texts_under_way"]
        )
        yield GaugeMetricFamily(
            "medha_embedding_cache_entries", "Vectors remembered in memory.", metrics["cache_entries"]
        )
        if metrics["redis"] != "off":
            yield GaugeMetricFamily(
                "medha_redis_up", "Whether the last call reached Redis.", float(metrics["redis"] == "up")
            )
