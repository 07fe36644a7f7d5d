"""A collector for the Python client of Prometheus; needs the extra `metrics`."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Protocol

from medha_core.errors import ConfigurationError, MedhaError
from medha_core.metrics.families import Family, Sample

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        SummaryMetricFamily,
    )
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "medha_core.metrics.collector needs prometheus-client: pip install 'medha-core[metrics]'"
    ) from error

__all__ = ["MedhaCollector"]

_KINDS = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "summary": SummaryMetricFamily,
}


class Measured(Protocol):
    """What this module needs of a cache."""

    def metrics_sync(self) -> list[Family]: ...


class MedhaCollector(Collector):
    """Gives what caches count and measure to a registry when it is scraped.

        collector = MedhaCollector(cache)
        prometheus_client.make_asgi_app(collector.registry)

    Args:
        caches: a cache, or several by a name of yours that becomes the label `cache`. The
            name is published: choose none that tells a tenant.
        registry: registered with; None makes one of its own, never the client's global one.

    A cache that is not open, or cannot be read, is left out of a scrape.
    """

    def __init__(self, caches: Measured | Mapping[str, Measured], registry: CollectorRegistry | None = None):
        self._caches: Mapping[str, Measured] = caches if isinstance(caches, Mapping) else {"": caches}
        self.registry = CollectorRegistry(auto_describe=False) if registry is None else registry
        self.registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask the caches."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of all caches, each once with the samples of all."""
        made: dict[str, Metric] = {}
        for name, cache in self._caches.items():
            try:
                found = cache.metrics_sync()
            except MedhaError:
                continue
            for family in found:
                metric = made.setdefault(family.name, _empty(family, bool(name)))
                for sample in family.samples:
                    _add(metric, sample, [name] if name else [])
        yield from made.values()


def _empty(family: Family, named: bool) -> Metric:
    labels = (["cache"] if named else []) + list(family.samples[0].labels)
    return _KINDS[family.kind](family.name, family.help, labels=labels)


def _add(metric: Metric, sample: Sample, first: list[str]) -> None:
    labels = first + list(sample.labels.values())
    if isinstance(metric, HistogramMetricFamily):
        bounds = [*map(str, sample.bounds), "+Inf"]
        counts = accumulate(sample.counts)
        metric.add_metric(labels, list(zip(bounds, counts, strict=True)), sample.value)
    elif isinstance(metric, SummaryMetricFamily):
        metric.add_metric(labels, sum(sample.counts), sample.value)
    else:
        metric.add_metric(labels, sample.value)
