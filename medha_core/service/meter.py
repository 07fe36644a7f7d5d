"""What the service has done since it was made or its metrics were reset."""

import threading
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Counts:
    """Sums of one model. Texts that one request holds twice count once."""

    computed: int = 0
    """Vectors that a model computed."""
    hits: int = 0
    """Texts whose vector was remembered, or was being computed for somebody else."""
    misses: int = 0
    tokens: float = 0.0
    """Of the texts computed, estimated."""
    cost: float = 0.0
    saved: float = 0.0

    def add(self, other: "Counts") -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


@dataclass
class Meter:
    """Counts by model. Safe from several threads."""

    _by_model: dict[str, Counts] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, model: str, counts: Counts) -> None:
        with self._lock:
            self._by_model.setdefault(model, Counts()).add(counts)

    def reset(self) -> None:
        with self._lock:
            self._by_model.clear()

    def by_model(self) -> dict[str, Counts]:
        """A copy of the sums."""
        with self._lock:
            return {name: Counts(**vars(counts)) for name, counts in self._by_model.items()}

    def metrics(self) -> dict[str, Any]:
        """The sums under the names that `get_metrics` documents."""
        by_model = self.by_model()
        total = Counts()
        for counts in by_model.values():
            total.add(counts)
        return _named(total) | {"by_model": {name: _named(counts) for name, counts in by_model.items()}}


def _named(counts: Counts) -> dict[str, Any]:
    asked = counts.hits + counts.misses
    return {
        "total_embeddings_generated": counts.computed,
        "cache_hits": counts.hits,
        "cache_misses": counts.misses,
        "cache_hit_rate": counts.hits / asked if asked else 0.0,
        "total_tokens": round(counts.tokens),
        "total_cost_usd": counts.cost,
        "total_saved_usd": counts.saved,
    }
