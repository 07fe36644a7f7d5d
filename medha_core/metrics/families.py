"""The metrics by name. No label ever holds a question, a query, a collection or a tenant."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from medha_core.histogram import Histogram, Meters
from medha_core.types import LATENCY_BUCKETS, CacheStats, SearchStrategy

__all__ = ["Family", "Sample", "families"]

_NO_TIER = "none"
_RESULTS = {SearchStrategy.NO_MATCH: "miss", SearchStrategy.ERROR: "error"}


class Sample(NamedTuple):
    """One number, or one histogram, of a family."""

    labels: dict[str, str]
    value: float = 0.0
    """A counter or gauge; of a histogram or summary the sum."""
    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    """Of a histogram: values in each bucket, and above the last bound; of a summary: how many."""


class Family(NamedTuple):
    """A metric with its samples."""

    name: str
    """With its unit, and for a counter with `_total`."""
    kind: str
    """`counter`, `gauge`, `histogram` or `summary`."""
    help: str
    samples: list[Sample]


def families(
    stats: CacheStats,
    meters: Meters,
    *,
    entries: Mapping[str, int],
    deleted: int | None = None,
    evictions: int | None = None,
    waiters: int = 0,
    texts: Mapping[str, int] | None = None,
    model: str = "",
) -> list[Family]:
    """Everything a cache tells, in a fixed order.

    Args:
        entries: how many things of each kind are held.
        deleted: entries that are gone and still take room in the index; None where that is unknown.
        evictions: hits that were pushed out of the first-level cache.
        waiters: callers that wait for another one's query.
        texts: texts by where their vectors came from.
        model: the embedder's name.
    """
    found = [
        Family("medha_requests_total", "counter", "Questions by what became of them.", [*_requests(stats)]),
        Family("medha_lookup_duration_seconds", "histogram", "Time to an answer.", [*_lookups(stats)]),
        Family(
            "medha_similarity_score",
            "histogram",
            "Cosine of what answered (hit) or was refused (miss).",
            [_histogram({"result": name}, one) for name, one in meters.similarity.items()],
        ),
        Family(
            "medha_entries", "gauge", "What is held.", [Sample({"kind": k}, n) for k, n in entries.items()]
        ),
        Family("medha_deleted_entries", "gauge", "Gone, and not yet out of the index.", _known(deleted)),
        Family(
            "medha_evictions_total",
            "counter",
            "Pushed out for want of room.",
            _known(evictions, reason="l1_size"),
        ),
        Family(
            "medha_embed_duration_seconds",
            "histogram",
            "Time a search waited for its vector.",
            [_histogram({"model": model}, meters.embedding)],
        ),
        Family(
            "medha_embed_texts_total",
            "counter",
            "Texts by where their vector came from.",
            [Sample({"source": source}, count) for source, count in (texts or {}).items()],
        ),
        Family(
            "medha_near_misses_total",
            "counter",
            "Near entries that the guard refused.",
            [Sample({"reason": reason}, count) for reason, count in sorted(stats.near_misses.items())],
        ),
        Family(
            "medha_feedback_total",
            "counter",
            "Answers that were judged.",
            [
                Sample({"result": "correct"}, stats.feedback_correct),
                Sample({"result": "incorrect"}, stats.feedback_incorrect),
            ],
        ),
        Family(
            "medha_snapshot_duration_seconds",
            "summary",
            "Time to write a snapshot.",
            [Sample({}, meters.snapshot_seconds, (), (meters.snapshots,))],
        ),
        Family(
            "medha_snapshot_bytes", "gauge", "Size of the last snapshot.", [Sample({}, meters.snapshot_bytes)]
        ),
        Family(
            "medha_stampede_waiters", "gauge", "Callers waiting for another's query.", [Sample({}, waiters)]
        ),
    ]
    return [family for family in found if family.samples]


def _requests(stats: CacheStats) -> Iterator[Sample]:
    for name, one in sorted(stats.by_strategy.items()):
        result = _RESULTS.get(SearchStrategy(name), "hit")
        yield Sample({"tier": name if result == "hit" else _NO_TIER, "result": result}, one.count)


def _lookups(stats: CacheStats) -> Iterator[Sample]:
    for name, one in sorted(stats.by_strategy.items()):
        tier = _RESULTS.get(SearchStrategy(name), name)
        yield Sample({"tier": tier}, one.total_latency_ms / 1e3, LATENCY_BUCKETS, one.latency_buckets)


def _histogram(labels: dict[str, str], histogram: Histogram) -> Sample:
    counts, total = histogram.snapshot()
    return Sample(labels, total, histogram.bounds, counts)


def _known(value: int | None, **labels: str) -> list[Sample]:
    return [] if value is None else [Sample(labels, value)]
