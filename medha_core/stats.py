"""Counts and latencies of one cache in this process."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from medha_core import forking
from medha_core.types import CacheStats, GuardStats, SearchStrategy, StrategyStats

_PENDING = 1024
_NOT_HITS = (SearchStrategy.NO_MATCH, SearchStrategy.ERROR)


def _now() -> datetime:
    return datetime.now(UTC)


class StatsRecorder:
    """Adds up answers. `record` only appends; sums are made when someone asks.

    Args:
        enabled: False records nothing.
        max_samples: latencies kept for percentiles, the newest win.
        promised: the error rate that was promised, to be reported beside the one seen.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        max_samples: int = 10_000,
        promised: float | None = None,
        now: Callable[[], datetime] = _now,
    ):
        self.enabled = enabled
        self._promised = promised
        self._now = now
        self._lock = forking.lock()
        """Held while sums change; appending to `_pending` and popping from it need none."""
        self._pending: deque[tuple[SearchStrategy, float]] = deque()
        self._samples: deque[float] = deque(maxlen=max_samples)
        self._guard_seconds: deque[float] = deque(maxlen=max_samples)
        self._near_scores: deque[float] = deque(maxlen=max_samples)
        self.reset()

    def record(self, strategy: SearchStrategy, seconds: float) -> None:
        if self.enabled:
            self._pending.append((strategy, seconds))
            if len(self._pending) >= _PENDING:
                self._sum_up()

    def record_guard(
        self, seconds: float, near_misses: Iterable[str], best_refused: float | None = None
    ) -> None:
        """One decision: its time, why candidates were refused, and the best of them where none answered."""
        if self.enabled:
            with self._lock:
                self._guard_seconds.append(seconds)
                self._near_misses.update(near_misses)
                if best_refused is not None:
                    self._near_scores.append(best_refused)

    def record_feedback(self, correct: bool) -> None:
        if self.enabled:
            with self._lock:
                self._feedback[correct] += 1

    def _sum_up(self) -> None:
        with self._lock:
            for _ in range(len(self._pending)):
                strategy, seconds = self._pending.popleft()
                count, total = self._sums.get(strategy, (0, 0.0))
                self._sums[strategy] = (count + 1, total + seconds)
                self._samples.append(seconds)

    def reset(self) -> None:
        with self._lock:
            self._pending.clear()
            for samples in (self._samples, self._guard_seconds, self._near_scores):
                samples.clear()
            self._near_misses: Counter[str] = Counter()
            self._feedback: Counter[bool] = Counter()
            self._sums: dict[SearchStrategy, tuple[int, float]] = {}
            self._since = self._now()

    def snapshot(self, backend_count: int = 0) -> CacheStats:
        self._sum_up()
        with self._lock:
            sums, samples, since = dict(self._sums), sorted(self._samples), self._since
            guard, correct, incorrect = self._guard(), self._feedback[True], self._feedback[False]
        misses, errors = (sums.get(strategy, (0, 0.0))[0] for strategy in _NOT_HITS)
        total = sum(count for count, _ in sums.values())
        return CacheStats(
            by_strategy={
                strategy.value: StrategyStats(count=count, total_latency_ms=seconds * 1e3)
                for strategy, (count, seconds) in sums.items()
            },
            total_requests=total,
            total_hits=total - misses - errors,
            total_misses=misses,
            total_errors=errors,
            total_latency_ms=sum(seconds for _, seconds in sums.values()) * 1e3,
            p50_latency_ms=percentile(samples, 0.50) * 1e3,
            p95_latency_ms=percentile(samples, 0.95) * 1e3,
            p99_latency_ms=percentile(samples, 0.99) * 1e3,
            guard=guard,
            feedback_correct=correct,
            feedback_incorrect=incorrect,
            error_rate_promised=self._promised,
            backend_count=backend_count,
            since=since,
            until=self._now(),
        )

    def _guard(self) -> GuardStats:
        seconds, scores = sorted(self._guard_seconds), sorted(self._near_scores)
        return GuardStats(
            near_misses=dict(self._near_misses),
            p50_near_miss_score=percentile(scores, 0.50),
            p95_near_miss_score=percentile(scores, 0.95),
            p50_guard_us=percentile(seconds, 0.50) * 1e6,
            p95_guard_us=percentile(seconds, 0.95) * 1e6,
        )


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` (0..1) of the ordered samples lie; 0 for none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
