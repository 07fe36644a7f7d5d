"""The service's memory for vectors: in this process, and in Redis where there is one."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import numpy as np
from cachetools import LRUCache, TTLCache

from medha_core.embeddings.registry import model_config
from medha_core.errors import ArgumentValueError, ConfigurationError
from medha_core.service.values import pack_vector, unpack_vector
from medha_core.vectors.cache import vector_keys

DEFAULT_TTL = 7 * 86400.0
"""Seconds: a week."""
_MODELS = 1000


class ServiceCache:
    """Vectors by key, the least recently used first to go.

    What is kept is kept in both places: memory answers first, Redis what memory
    does not know. While Redis is away memory goes on alone, and hands over what
    it learnt meanwhile when Redis is back. A value that Redis returns damaged
    counts as a miss.

    Args:
        redis: a Redis URL or client, asynchronous or not; None keeps to memory.
        ttl: seconds a vector is kept, in both places; None for as long as there is room.
        max_entries: vectors kept in memory; 0 for none.
        prefix: stands before every key in Redis.
    """

    def __init__(
        self,
        redis: Any = None,
        *,
        ttl: float | None = DEFAULT_TTL,
        max_entries: int = 1000,
        prefix: str = "medha:embed",
        timeout: float = 1.0,
        pause: float = 1.0,
        clock: Callable[[], float] = monotonic,
    ):
        if ttl is not None and not ttl > 0:
            raise ArgumentValueError("ttl", "more than 0 seconds, or None", ttl)
        if max_entries < 0:
            raise ArgumentValueError("max_entries", "at least 0", max_entries)
        self._ttl = ttl
        self._prefix = prefix
        self._max = max_entries
        self._lock = threading.Lock()
        """Held while `_memory` or `_unsent` is looked at or changed."""
        self._memory: LRUCache[bytes, np.ndarray] = (
            LRUCache(max_entries) if ttl is None else TTLCache(max_entries, ttl, clock)
        )
        self._unsent: OrderedDict[bytes, np.ndarray] = OrderedDict()
        """What Redis did not take, oldest first; at most as many as memory may hold."""
        self._dimensions: LRUCache[str, int] = LRUCache(_MODELS)
        """Of the last vector that was set by text, by model."""
        self._redis = None
        if redis is not None:
            from medha_core.service.redis_link import RedisLink

            self._redis = RedisLink(redis, timeout=timeout, pause=pause, clock=clock)

    def __len__(self) -> int:
        return len(self._memory)

    def __repr__(self) -> str:
        return f"<ServiceCache, {len(self)} of {self._max} vectors in memory, {self._redis or 'no Redis'}>"

    @property
    def redis_state(self) -> str:
        """`off` without Redis, else `up`, `away` or `unknown` (not used yet)."""
        if self._redis is None:
            return "off"
        return {None: "unknown", True: "up", False: "away"}[self._redis.up]

    def remembered(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """What memory alone knows, at once."""
        with self._lock:
            return {key: vector for key in keys if (vector := self._memory.get(key)) is not None}

    async def get_many(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, np.ndarray]:
        """The vectors known for these keys: one look into memory, at most one round trip to Redis."""
        found = self.remembered(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if self._redis is None or not missing:
            return found
        answers = await self._redis.get_many([self._name(key) for key in missing])
        if answers is None:
            return found
        read = {
            key: vector
            for key, value in zip(missing, answers, strict=True)
            if value is not None and (vector := unpack_vector(value, dimension)) is not None
        }
        self.remember(read)
        if self._unsent:
            await self._send({})
        return found | read

    def remember(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Keep vectors in memory, at once."""
        if self._max:
            with self._lock:
                self._memory.update(vectors)

    async def set_many(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Keep vectors in memory, and in Redis in one round trip."""
        self.remember(vectors)
        if self._redis is not None and vectors:
            await self._send(vectors)

    # The same by text, for callers with no keys of their own. Where no dimension is named it is that
    # of what was last set for the model, or else the model's own.

    async def get(
        self, text: str, model: str, *, dimension: int | None = None, role: str = "document"
    ) -> list[float] | None:
        """The vector remembered for a text, or None."""
        found, _ = await self.get_batch([text], model, dimension=dimension, role=role)
        return found.get(0)

    async def set(self, text: str, model: str, embedding: Sequence[float], *, role: str = "document") -> None:
        """Remember the vector of a text."""
        await self.set_batch([text], model, [embedding], role=role)

    async def get_batch(
        self, texts: Sequence[str], model: str, *, dimension: int | None = None, role: str = "document"
    ) -> tuple[dict[int, list[float]], list[int]]:
        """What is remembered, by place in `texts`, and the places of the rest, in one round trip."""
        dimension = self._dimension(model) if dimension is None else dimension
        keys = vector_keys(texts, fingerprint=model, dimension=dimension, role=role)
        known = await self.get_many(keys, dimension)
        found = {place: known[key].tolist() for place, key in enumerate(keys) if key in known}
        return found, [place for place in range(len(texts)) if place not in found]

    async def set_batch(
        self,
        texts: Sequence[str],
        model: str,
        embeddings: Sequence[Sequence[float]],
        *,
        role: str = "document",
    ) -> None:
        """Remember a vector for each text, in one round trip."""
        if len(texts) != len(embeddings):
            raise ArgumentValueError("embeddings", f"one for each of the {len(texts)} texts", len(embeddings))
        vectors = np.asarray(embeddings, np.float32).reshape(len(texts), -1)
        self._dimensions[model] = vectors.shape[1]
        keys = vector_keys(texts, fingerprint=model, dimension=vectors.shape[1], role=role)
        await self.set_many(dict(zip(keys, vectors, strict=True)))

    def _dimension(self, model: str) -> int:
        known = self._dimensions.get(model)
        if known is not None:
            return known
        try:
            return model_config(model).dimension
        except ConfigurationError:
            return 0  # nothing was set for it here

    async def close(self) -> None:
        """Release what was opened here; vectors in memory go."""
        self._memory.clear()
        if self._redis is not None:
            await self._redis.close()

    async def _send(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Hand Redis these vectors and what it did not take before; keep for later what it refuses."""
        with self._lock:
            offered = self._unsent | vectors
        values = {self._name(key): pack_vector(vector) for key, vector in offered.items()}
        taken = self._redis is not None and await self._redis.set_many(values, self._ttl)
        with self._lock:
            for key, vector in offered.items():
                if taken:
                    self._unsent.pop(key, None)
                else:
                    self._unsent[key] = vector
            while len(self._unsent) > self._max:
                self._unsent.popitem(last=False)

    def _name(self, key: bytes) -> str:
        return f"{self._prefix}:{key.hex()}"
