"""The values that cross layers: hits, entries, results, statistics, templates."""

from collections import Counter
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Annotated, Any, NamedTuple, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation

__all__ = [
    "Bound",
    "CacheEntry",
    "CacheHit",
    "CacheResult",
    "CacheStats",
    "GuardStats",
    "MetadataDict",
    "MetadataValue",
    "PersistedStats",
    "QueryTemplate",
    "SearchStrategy",
    "StrategyStats",
    "VectorRole",
]

MetadataValue = str | int | float | bool
MetadataDict = dict[str, MetadataValue]

LATENCY_BUCKETS = (
    1e-5,
    2.5e-5,
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
)
"""Upper bounds of latency buckets, in seconds."""


class SearchStrategy(str, Enum):
    """The tier that answered, or why none did."""

    L1_CACHE = "l1_cache"
    TEMPLATE_MATCH = "template_match"
    EXACT_MATCH = "exact_match"
    SEMANTIC_MATCH = "semantic_match"
    FUZZY_MATCH = "fuzzy_match"
    PARAMETRIC_MATCH = "parametric_match"
    GENERATED = "generated"
    """Nothing was stored; `get_or_generate` has made the query."""
    NO_MATCH = "no_match"
    ERROR = "error"


class VectorRole(IntEnum):
    """What a text was embedded as: some models embed what is stored and what is asked differently."""

    QUESTION = 1
    DOCUMENT = 2


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed: hits are shared between callers."""

    def __hash__(self) -> int:  # type: ignore[override]
        # Models share a default that can be hashed; any other they copy for each object, which takes longer
        # than the rest of a hit.
        return hash(frozenset(self.items()))

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the metadata of a hit cannot be changed; copy it with dict(hit.metadata)")

    __setitem__ = __delitem__ = _refuse
    clear = pop = popitem = setdefault = update = __ior__ = _refuse  # type: ignore[assignment]


class Bound(NamedTuple):
    """A query with `?` where values were exchanged, and those values, for drivers that bind them."""

    query: str
    values: tuple[str | int | float, ...]


class CacheHit(BaseModel):
    """What a search returns. False when there is no answer (a miss or an error)."""

    model_config = ConfigDict(frozen=True)

    generated_query: str = ""
    response_summary: str | None = None
    confidence: float = Field(0.0, ge=0.0, le=1.0)
    """The tier's own score, on the scale of that tier; compare `similarity` instead."""
    strategy: SearchStrategy = SearchStrategy.NO_MATCH
    template_used: str | None = None
    expires_at: datetime | None = None
    metadata: Annotated[dict[str, MetadataValue], AfterValidator(FrozenDict)] = Field(
        default_factory=FrozenDict
    )
    entry_id: str | None = None
    similarity: float | None = None
    """Cosine of question and stored question, 0..1; None where no vectors were compared."""
    parameters: dict[str, str] = Field(default_factory=FrozenDict)
    """For a parametric match: the values put into the stored query, by column."""
    bound: Bound | None = None
    """For a parametric match: the same for drivers that bind values."""
    error: str | None = None
    """Why the strategy is `ERROR`."""
    explanation: Any = None
    """With `explain=True`: what each tier saw (`medha_core.trace.Explanation`)."""

    def __bool__(self) -> bool:
        return self.strategy not in (SearchStrategy.NO_MATCH, SearchStrategy.ERROR)


def changed(hit: CacheHit, **fields: Any) -> CacheHit:
    """A copy of a hit with other values, which must be valid: `model_copy` of what hits have and no more."""
    made, put = CacheHit.__new__(CacheHit), object.__setattr__
    put(made, "__dict__", {**hit.__dict__, **fields})
    put(made, "__pydantic_fields_set__", hit.__pydantic_fields_set__ | fields.keys())
    put(made, "__pydantic_extra__", None)
    put(made, "__pydantic_private__", None)
    return made


class CacheEntry(BaseModel):
    """A stored question with its query, as handed to a store."""

    id: str
    vector: Annotated[list[float], SkipValidation]
    """Checked by the store, which knows the dimension; a float32 array is accepted too."""
    original_question: str
    normalized_question: str
    generated_query: str
    query_hash: str
    response_summary: str | None = None
    template_id: str | None = None
    usage_count: int = 1
    feedback_correct: int = 0
    feedback_incorrect: int = 0
    role: VectorRole = VectorRole.DOCUMENT
    tables: tuple[str, ...] | None = None
    """Keys of the tables that the query reads, see `medha_core.tables`; None when it was not read."""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    expires_at: datetime | None = None
    metadata: dict[str, MetadataValue] = Field(default_factory=dict)


class CacheResult(BaseModel):
    """A stored entry as a store returns it, with the score of the search that found it."""

    id: str
    score: float = Field(ge=0.0, le=1.0)
    original_question: str
    normalized_question: str
    generated_query: str
    query_hash: str
    response_summary: str | None = None
    template_id: str | None = None
    usage_count: int = 0
    feedback_correct: int = 0
    feedback_incorrect: int = 0
    created_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: dict[str, MetadataValue] = Field(default_factory=dict)
    vector: Annotated[list[float] | None, SkipValidation] = None
    """Where it was asked for, as float32 array or list."""


class QueryTemplate(BaseModel):
    """A question pattern with `{slots}` and the query it stands for."""

    intent: str
    template_text: str
    query_template: str
    parameters: list[str] = Field(default_factory=list)
    priority: int = Field(1, ge=1, le=5)
    """1 is best."""
    aliases: list[str] = Field(default_factory=list)
    parameter_patterns: dict[str, str] = Field(default_factory=dict)


class StrategyStats(BaseModel):
    """Requests answered by one strategy."""

    model_config = ConfigDict(frozen=True)

    count: int = 0
    total_latency_ms: float = 0.0
    p50_latency_ms: float = 0.0
    p95_latency_ms: float = 0.0
    p99_latency_ms: float = 0.0
    latency_buckets: tuple[int, ...] = ()
    """Requests by latency: how many took at most each of `LATENCY_BUCKETS`, but more than the one before;
    last, how many took longer than all."""

    @property
    def avg_latency_ms(self) -> float:
        return self.total_latency_ms / self.count if self.count else 0.0


class _Rates(BaseModel):
    total_requests: int = 0
    total_hits: int = 0
    total_misses: int = 0
    total_errors: int = 0
    feedback_correct: int = 0
    """Answers that `feedback` called right."""
    feedback_incorrect: int = 0

    @property
    def error_rate_seen(self) -> float | None:
        """Share of the answers judged by feedback that were wrong, 0..1; None without feedback."""
        judged = self.feedback_correct + self.feedback_incorrect
        return self.feedback_incorrect / judged if judged else None

    @property
    def hit_rate(self) -> float:
        """Share of requests answered, 0..1."""
        return self.total_hits / self.total_requests if self.total_requests else 0.0

    @property
    def miss_rate(self) -> float:
        """Share of requests that missed, 0..1; errors are neither."""
        return self.total_misses / self.total_requests if self.total_requests else 0.0


class GuardStats(BaseModel):
    """What the guard did with the candidates of searches that reached it."""

    model_config = ConfigDict(frozen=True)

    near_misses: dict[str, int] = Field(default_factory=dict)
    """Candidates that reached a tier's threshold and were refused, by the guard's reason."""
    p50_near_miss_score: float = 0.0
    """Of searches without an answer: the cosine of their best refused candidate."""
    p95_near_miss_score: float = 0.0
    p50_guard_us: float = 0.0
    """Microseconds from the candidates of one search to the decision."""
    p95_guard_us: float = 0.0


class CacheStats(_Rates):
    """Statistics since `since`, of this process."""

    model_config = ConfigDict(frozen=True)

    by_strategy: dict[str, StrategyStats] = Field(default_factory=dict)
    total_latency_ms: float = 0.0
    p50_latency_ms: float = 0.0
    p95_latency_ms: float = 0.0
    p99_latency_ms: float = 0.0
    guard: GuardStats = Field(default_factory=GuardStats)
    error_rate_promised: float | None = None
    """`Settings.max_error_rate`."""
    backend_count: int = 0
    since: datetime
    until: datetime

    @property
    def avg_latency_ms(self) -> float:
        return self.total_latency_ms / self.total_requests if self.total_requests else 0.0

    @property
    def near_misses(self) -> dict[str, int]:
        """Refused candidates that had reached a tier's threshold, by reason."""
        return self.guard.near_misses

    def __str__(self) -> str:
        head = (
            f"{self.total_requests} requests: {self.total_hits} hits ({self.hit_rate:.1%}), "
            f"{self.total_misses} misses, {self.total_errors} errors; {self.backend_count} entries"
        )
        latency = (
            f"latency ms: mean {self.avg_latency_ms:.3f}, p50 {self.p50_latency_ms:.3f}, "
            f"p95 {self.p95_latency_ms:.3f}, p99 {self.p99_latency_ms:.3f}"
        )
        tiers = [
            f"  {name}: {stats.count}, mean {stats.avg_latency_ms:.3f} ms"
            for name, stats in sorted(self.by_strategy.items())
        ]
        return "\n".join([head, latency, *tiers, *_guard_lines(self.guard), *_error_lines(self)])


def _error_lines(stats: CacheStats) -> list[str]:
    seen, promised = stats.error_rate_seen, stats.error_rate_promised
    if seen is None and promised is None:
        return []
    judged = stats.feedback_correct + stats.feedback_incorrect
    said = "no feedback yet" if seen is None else f"{seen:.2%} of {judged} judged answers"
    return [f"wrong answers: {said}" + ("" if promised is None else f", promised at most {promised:.2%}")]


def _guard_lines(guard: GuardStats) -> list[str]:
    if not guard.p95_guard_us:
        return []
    lines = [f"guard us: p50 {guard.p50_guard_us:.0f}, p95 {guard.p95_guard_us:.0f}"]
    if guard.near_misses:
        most_first = sorted(guard.near_misses.items(), key=lambda item: (-item[1], item[0]))
        counts = ", ".join(f"{reason} {count}" for reason, count in most_first)
        lines.append(f"near misses: {sum(guard.near_misses.values())} ({counts})")
    if guard.p95_near_miss_score:
        lines.append(
            f"best near miss of a search without answer: "
            f"cosine p50 {guard.p50_near_miss_score:.3f}, p95 {guard.p95_near_miss_score:.3f}"
        )
    return lines


class PersistedStats(_Rates):
    """Statistics that outlive the process; latencies are not kept. They can be added."""

    hits_by_strategy: dict[str, int] = Field(default_factory=dict)
    last_reset_at: datetime | None = None
    updated_at: datetime | None = None

    def __add__(self, other: "PersistedStats") -> "PersistedStats":
        return PersistedStats(
            **{name: getattr(self, name) + getattr(other, name) for name in _Rates.model_fields},
            hits_by_strategy=dict(Counter(self.hits_by_strategy) + Counter(other.hits_by_strategy)),
            last_reset_at=_later(self.last_reset_at, other.last_reset_at),
            updated_at=_later(self.updated_at, other.updated_at),
        )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
