"""Answers counted by collection, so that each tenant can be told of its own alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from medha_core.types import CacheHit, SearchStrategy

_COLLECTIONS = 10_000


@dataclass
class _Counts:
    hits: int = 0
    misses: int = 0
    errors: int = 0


class Tally:
    """Counts of each collection since the server started; used on one event loop."""

    def __init__(self) -> None:
        self._by_name: LRUCache[str, _Counts] = LRUCache(_COLLECTIONS)

    def add(self, collection: str, hits: Iterable[CacheHit]) -> None:
        counts = self._by_name.setdefault(collection, _Counts())
        for hit in hits:
            if hit:
                counts.hits += 1
            elif hit.strategy is SearchStrategy.ERROR:
                counts.errors += 1
            else:
                counts.misses += 1

    def counts(self, collection: str) -> dict[str, Any]:
        """requests, hits, misses, errors, hit_rate."""
        counts = self._by_name.get(collection, _Counts())
        requests = counts.hits + counts.misses + counts.errors
        rate = counts.hits / requests if requests else 0.0
        return {"requests": requests, **vars(counts), "hit_rate": rate}
