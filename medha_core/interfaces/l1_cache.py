"""The contract of the first-level cache: a question's key in, a ready hit out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from medha_core.types import CacheHit


class L1CacheBackend(ABC):
    """Holds recent hits by key. Implement the four abstract methods and `size`.

    `generation` counts the times something was forgotten or replaced. A search
    notes it before it starts and gives it to `refill`, so that a slow search
    cannot bring back what was forgotten meanwhile.
    """

    shared = False
    """Whether other processes use the same hits. A reader of a directory, who may lag behind its
    writer, then takes hits from here and puts none in."""

    _generation = 0

    @abstractmethod
    async def get(self, key: str) -> CacheHit | None:
        """The live hit under `key`, or None."""

    @abstractmethod
    async def set(self, key: str, value: CacheHit) -> None:
        """Keep `value` under `key` until it expires, is forgotten or is evicted."""

    @abstractmethod
    async def clear(self) -> None:
        """Drop everything this cache holds."""

    @abstractmethod
    async def invalidate(self, key: str) -> None:
        """Drop `key`; nothing happens when it is absent."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of hits held; may be approximate."""

    @property
    def evictions(self) -> int | None:
        """Hits that made room for others so far; None where nobody counts."""
        return None

    @property
    def generation(self) -> int:
        return self._generation

    async def refill(self, key: str, value: CacheHit, generation: int) -> None:
        """`set`, unless something was forgotten since `generation` was read."""
        if generation == self.generation:
            await self.set(key, value)

    def advance(self) -> int:
        """Start a new generation, dropping nothing; its number."""
        self._generation += 1
        return self._generation

    async def invalidate_entries(self, entry_ids: Sequence[str]) -> None:
        """Drop every key that serves one of the entries. Default: drop everything.

        Advances the generation by exactly one for each id.
        """
        self._generation += len(entry_ids)
        await self.clear()

    async def invalidate_prefix(self, prefix: str) -> None:
        """Drop every key that starts with `prefix`. Default: drop everything."""
        await self.invalidate_all()

    async def invalidate_all(self) -> None:
        """Drop everything and start a new generation."""
        self._generation += 1
        await self.clear()

    async def connect(self) -> None:
        """Called when a cache that uses this one starts. Nothing by default."""

    async def close(self) -> None:
        """Release connections. Nothing by default."""
