"""Histograms of what happens too often to be kept one by one."""

from bisect import bisect_left
from collections.abc import Sequence

from medha_core.concurrency import forking
from medha_core.types import LATENCY_BUCKETS

__all__ = ["Histogram", "Meters"]

SIMILARITY_BUCKETS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1.0)


class Histogram:
    """How many values lie up to each of some bounds. Safe across threads; half a microsecond a value."""

    def __init__(self, bounds: Sequence[float]):
        self.bounds = tuple(bounds)
        self._lock = forking.lock()
        """Held while a value is counted."""
        self.clear()

    def clear(self) -> None:
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        place = bisect_left(self.bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def snapshot(self) -> tuple[tuple[int, ...], float]:
        """The number of values in each bucket, the last one of those above all bounds; and their sum."""
        with self._lock:
            return tuple(self._counts), self._sum


class Meters:
    """What a cache measures beside its answers. A hit of the first tier touches none of it."""

    def __init__(self) -> None:
        self.similarity = {result: Histogram(SIMILARITY_BUCKETS) for result in ("hit", "miss")}
        """Cosine of what answered, and of the best that was refused where nothing did."""
        self.embedding = Histogram(LATENCY_BUCKETS)
        """Seconds a search waited for its vectors."""
        self.snapshots = 0
        self.snapshot_seconds = 0.0
        self.snapshot_bytes = 0
        """Of the last one."""

    def clear(self) -> None:
        """Begin anew."""
        for histogram in (*self.similarity.values(), self.embedding):
            histogram.clear()

    def record_snapshot(self, seconds: float, size: int) -> None:
        """One snapshot: how long it took, and its bytes."""
        self.snapshots += 1
        self.snapshot_seconds += seconds
        self.snapshot_bytes = size
