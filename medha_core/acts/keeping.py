"""Keeping house: snapshots, statistics, caches."""

from pathlib import Path

from medha_core.acts.parts import Parts
from medha_core.errors import ConfigurationError
from medha_core.native_backend import NativeBackend
from medha_core.types import CacheStats
from medha_core.writer import Progress


class Keeping:
    """Everything that neither asks nor changes entries."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def snapshot(self, directory: str | Path, *, on_progress: Progress | None = None) -> Path:
        """Write everything the store holds, all collections, as one directory that can be copied anywhere.

        A snapshot that was there stays until the new one is complete, and searching
        and storing go on meanwhile. `on_progress(done, total)` counts pages. Raises
        `SnapshotError`; then nothing unfinished is left behind.
        """
        self._parts.check_started()
        if not isinstance(self._parts.backend, NativeBackend):
            raise ConfigurationError("only the embedded store writes snapshots")
        return await self._parts.backend.snapshot(Path(directory), on_progress)

    async def stats(self, collection_name: str | None = None) -> CacheStats:
        """Counts and latencies of this object since it was made or cleared."""
        self._parts.check_started()
        count = await self._parts.backend.count(
            self._parts.scope.collection if collection_name is None else collection_name
        )
        return self._parts.stats.snapshot(count)

    async def clear_caches(self) -> None:
        """Empty the first-level cache, the cache of vectors and the statistics; entries stay."""
        await self._parts.l1.invalidate_all()
        self._parts.embedding.clear()
        self._parts.stats.reset()
