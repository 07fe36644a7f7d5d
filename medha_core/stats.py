"""Counts and latencies of one cache in this process."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from medha_core.concurrency import forking
from medha_core.histogram import Meters
from medha_core.types import (
    LATENCY_BUCKETS,
    CacheStats,
    GuardStats,
    PersistedStats,
    SearchStrategy,
    StrategyStats,
)

_PENDING = 1024
_MISS, _ERROR = SearchStrategy.NO_MATCH, SearchStrategy.ERROR


def _now() -> datetime:
    return datetime.now(UTC)


def _nothing() -> None:
    """What is done about unsaved counts as long as nobody saves them."""


class _Sum:
    """What was answered by one strategy."""

    __slots__ = ("buckets", "count", "seconds", "unsaved")

    def __init__(self) -> None:
        self.count, self.seconds, self.unsaved = 0, 0.0, 0
        self.buckets = [0] * (len(LATENCY_BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        self.count += 1
        self.unsaved += 1
        self.seconds += seconds
        self.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1


class StatsRecorder:
    """Adds up answers. `record` only appends; sums are made when someone asks.

    Args:
        enabled: False records nothing.
        max_samples: latencies kept for percentiles, the newest win.
        promised: the error rate that was promised, to be reported beside the one seen.
        save_every: answers after which `on_due` is called, from the thread of whoever was answered.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        max_samples: int = 10_000,
        promised: float | None = None,
        save_every: int = _PENDING,
        now: Callable[[], datetime] = _now,
    ):
        self.enabled = enabled
        self.on_due: Callable[[], None] = _nothing
        self._promised = promised
        self._save_every = save_every
        self._fold_at = min(save_every, _PENDING)
        self._now = now
        self._lock = forking.lock()
        """Held while sums change; appending to what is pending and popping from it need none."""
        self._pending: deque[tuple[SearchStrategy, float]] = deque()
        self._decisions: deque[tuple[float, Sequence[str], float | None]] = deque()
        """Pending: seconds, reasons and best score that `record_guard` was given."""
        self._samples: deque[tuple[SearchStrategy, float]] = deque(maxlen=max_samples)
        self._guard_seconds: deque[float] = deque(maxlen=max_samples)
        self._near_scores: deque[float] = deque(maxlen=max_samples)
        self._sums: dict[SearchStrategy, _Sum] = {}
        self._left_over: Counter[SearchStrategy] = Counter()
        """Unsaved answers that the sums do not know: from before a reset, or given back."""
        self._unsaved_answers = 0
        self._unsaved_feedback: Counter[bool] = Counter()
        self.meters = Meters()
        self._near_misses: Counter[str] = Counter()
        self.reset()

    def record(self, strategy: SearchStrategy, seconds: float) -> None:
        if self.enabled:
            self._pending.append((strategy, seconds))
            if len(self._pending) >= self._fold_at:
                self._sum_up()
                if self._unsaved_answers >= self._save_every:
                    self.on_due()

    def record_guard(
        self, seconds: float, near_misses: Sequence[str], best_refused: float | None = None
    ) -> None:
        """One decision: its time, why candidates were refused, and the best of them where none answered."""
        if self.enabled:
            if best_refused is not None:
                self.meters.similarity["miss"].add(best_refused)
            self._decisions.append((seconds, near_misses, best_refused))
            if len(self._decisions) >= _PENDING:
                self._sum_up()

    def record_similarity(self, cosine: float | None) -> None:
        """The cosine of an answer that a vector gave."""
        if self.enabled and cosine is not None:
            self.meters.similarity["hit"].add(cosine)

    def record_embedding(self, seconds: float) -> None:
        """How long a search waited for its vectors."""
        if self.enabled:
            self.meters.embedding.add(seconds)

    def record_feedback(self, correct: bool) -> None:
        if self.enabled:
            with self._lock:
                self._feedback[correct] += 1
                self._unsaved_feedback[correct] += 1

    def _sum_up(self) -> None:
        with self._lock:
            pending, sums, samples = self._pending, self._sums, self._samples
            for _ in range(len(pending)):
                answer = pending.popleft()
                summed = sums.get(answer[0])
                if summed is None:
                    summed = sums[answer[0]] = _Sum()
                summed.add(answer[1])
                samples.append(answer)
                self._unsaved_answers += 1
            for _ in range(len(self._decisions)):
                seconds, near_misses, best_refused = self._decisions.popleft()
                self._guard_seconds.append(seconds)
                self._near_misses.update(near_misses)
                if best_refused is not None:
                    self._near_scores.append(best_refused)

    def reset(self) -> None:
        """Begin anew. What was not saved yet is still to be saved."""
        if self._pending or self._decisions:
            self._sum_up()
        with self._lock:
            for samples in (self._samples, self._guard_seconds, self._near_scores):
                samples.clear()
            self.meters.clear()
            self._near_misses = Counter()
            self._feedback: Counter[bool] = Counter()
            self._left_over = self._unsaved()
            self._sums = {}
            self._since = self._now()

    # what outlives the process

    def take_unsaved(self) -> PersistedStats | None:
        """What was counted since the last call, to be added to what is kept; None when nothing was."""
        self._sum_up()
        with self._lock:
            counts, self._left_over, self._unsaved_answers = self._unsaved(), Counter(), 0
            for summed in self._sums.values():
                summed.unsaved = 0
            feedback, self._unsaved_feedback = self._unsaved_feedback, Counter()
        if not counts and not feedback:
            return None
        hits = {
            strategy.value: count for strategy, count in counts.items() if strategy not in (_MISS, _ERROR)
        }
        return PersistedStats(
            total_requests=counts.total(),
            total_hits=sum(hits.values()),
            total_misses=counts[_MISS],
            total_errors=counts[_ERROR],
            feedback_correct=feedback[True],
            feedback_incorrect=feedback[False],
            hits_by_strategy=hits,
            updated_at=self._now(),
        )

    def _unsaved(self) -> Counter[SearchStrategy]:
        """The caller holds the lock."""
        counts = Counter(self._left_over)
        for strategy, summed in self._sums.items():
            counts[strategy] += summed.unsaved
        return +counts

    def give_back(self, unsaved: PersistedStats) -> None:
        """Take again what could not be saved."""
        with self._lock:
            self._left_over[_MISS] += unsaved.total_misses
            self._left_over[_ERROR] += unsaved.total_errors
            self._unsaved_feedback[True] += unsaved.feedback_correct
            self._unsaved_feedback[False] += unsaved.feedback_incorrect
            for name, count in unsaved.hits_by_strategy.items():
                self._left_over[SearchStrategy(name)] += count

    # what is shown

    def snapshot(self, backend_count: int = 0) -> CacheStats:
        self._sum_up()
        with self._lock:
            by_strategy = self._by_strategy()
            samples, since = sorted(seconds for _, seconds in self._samples), self._since
            guard, correct, incorrect = self._guard(), self._feedback[True], self._feedback[False]
        misses, errors = (by_strategy.get(one.value, StrategyStats()).count for one in (_MISS, _ERROR))
        total = sum(one.count for one in by_strategy.values())
        return CacheStats(
            by_strategy=by_strategy,
            total_requests=total,
            total_hits=total - misses - errors,
            total_misses=misses,
            total_errors=errors,
            total_latency_ms=sum(one.total_latency_ms for one in by_strategy.values()),
            **_percentiles(samples),
            guard=guard,
            feedback_correct=correct,
            feedback_incorrect=incorrect,
            error_rate_promised=self._promised,
            backend_count=backend_count,
            since=since,
            until=self._now(),
        )

    def _by_strategy(self) -> dict[str, StrategyStats]:
        samples: dict[SearchStrategy, list[float]] = {strategy: [] for strategy in self._sums}
        for strategy, seconds in self._samples:
            samples[strategy].append(seconds)
        return {
            strategy.value: StrategyStats(
                count=summed.count,
                total_latency_ms=summed.seconds * 1e3,
                latency_buckets=tuple(summed.buckets),
                **_percentiles(sorted(samples[strategy])),
            )
            for strategy, summed in self._sums.items()
        }

    def _guard(self) -> GuardStats:
        seconds, scores = sorted(self._guard_seconds), sorted(self._near_scores)
        return GuardStats(
            near_misses=dict(self._near_misses),
            p50_near_miss_score=percentile(scores, 0.50),
            p95_near_miss_score=percentile(scores, 0.95),
            p50_guard_us=percentile(seconds, 0.50) * 1e6,
            p95_guard_us=percentile(seconds, 0.95) * 1e6,
        )


def _percentiles(ordered: Sequence[float]) -> dict[str, float]:
    """Of ordered seconds, in milliseconds."""
    return {f"p{share}_latency_ms": percentile(ordered, share / 100) * 1e3 for share in (50, 95, 99)}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the ordered samples lie; 0 for none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
