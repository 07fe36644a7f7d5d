"""The first tier: hits kept ready in memory, found by a hash of the question."""

import math
from collections.abc import Callable, Sequence
from time import time

from xxhash import xxh3_64_intdigest

from medha_core.interfaces.l1_cache import L1CacheBackend
from medha_core.native import LRUCache, hash_parts
from medha_core.types import CacheHit

__all__ = ["InMemoryL1Cache"]

_KEY_DIGITS = 32


class InMemoryL1Cache(L1CacheBackend):
    """A bounded LRU of ready hits in this process. Safe across threads.

    A record knows the entry it serves, so that forgetting an entry drops every
    question it answered. `max_size=0` turns the cache off.
    """

    def __init__(self, max_size: int = 1000, *, clock: Callable[[], float] = time):
        self._lru = LRUCache(max_size, clock=clock)

    def __repr__(self) -> str:
        lru = self._lru
        return f"<InMemoryL1Cache {len(lru)}/{lru.max_size}, {lru.hits} hits, {lru.misses} misses>"

    def lookup(self, scope: bytes, question: str) -> CacheHit | None:
        """The hit for a question as it was asked: normalise, hash and probe in one native call."""
        return self._lru.lookup(scope, question)

    async def get(self, key: str) -> CacheHit | None:
        return self._lru.get(_slot(key))

    async def set(self, key: str, value: CacheHit) -> None:
        self._put(key, value, None)

    async def refill(self, key: str, value: CacheHit, generation: int) -> None:
        self._put(key, value, generation)

    def _put(self, key: str, value: CacheHit, generation: int | None) -> None:
        expires = value.expires_at.timestamp() if value.expires_at else math.inf
        tag = _tag(value.entry_id) if value.entry_id else 0
        self._lru.put(_slot(key), value, expires_at=expires, tag=tag, generation=generation)

    async def clear(self) -> None:
        self._lru.clear()

    async def invalidate(self, key: str) -> None:
        self._lru.remove(_slot(key))

    def advance(self) -> int:
        return self._lru.advance()

    async def invalidate_entries(self, entry_ids: Sequence[str]) -> None:
        for entry_id in entry_ids:
            self._lru.remove_tag(_tag(entry_id))

    async def invalidate_all(self) -> None:
        self._lru.clear()

    @property
    def generation(self) -> int:
        return self._lru.generation

    @property
    def evictions(self) -> int:
        return self._lru.evictions

    @property
    def size(self) -> int:
        return len(self._lru)


def _tag(entry_id: str) -> int:
    return xxh3_64_intdigest(entry_id.encode())


def _slot(key: str) -> bytes:
    """The waterfall's keys are 128 bits in hexadecimal; any other text is hashed to as much."""
    if len(key) == _KEY_DIGITS:
        try:
            return bytes.fromhex(key)
        except ValueError:
            pass
    return hash_parts(key)
