"""Keeping house: snapshots, statistics, caches."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from medha_core.acts.background import Background
from medha_core.acts.parts import Parts
from medha_core.embedded.backend import NativeBackend
from medha_core.errors import ConfigurationError
from medha_core.types import CacheStats, PersistedStats
from medha_core.writer import Progress, check_progress


class Keeping:
    """Everything that neither asks nor changes entries."""

    def __init__(self, parts: Parts, background: Background):
        self._parts = parts
        self._background = background

    async def snapshot(self, directory: str | Path, *, on_progress: Progress | None = None) -> Path:
        """Write everything the store holds, all collections, as one directory that can be copied anywhere.

        A snapshot that was there stays until the new one is complete, and searching
        and storing go on meanwhile. `on_progress(done, total)` counts pages. Raises
        `SnapshotError`; then nothing unfinished is left behind.
        """
        self._parts.check_started()
        check_progress(on_progress)
        if not isinstance(self._parts.backend, NativeBackend):
            raise ConfigurationError("only the embedded store writes snapshots")
        started = perf_counter()
        written = await self._parts.backend.snapshot(Path(directory), on_progress)
        size = sum(file.stat().st_size for file in written.rglob("*") if file.is_file())
        self._parts.stats.meters.record_snapshot(perf_counter() - started, size)
        return written

    async def has_collection(self, collection_name: str) -> bool:
        """Whether a collection was ever stored into; asking does not make it."""
        self._parts.check_started()
        return await self._parts.backend.has_collection(self._parts.collection(collection_name))

    async def stats(self, collection_name: str | None = None) -> CacheStats:
        """Counts and latencies of this object since it was made, cleared or reset.

        They are of all collections; `collection_name` says which one's entries are counted.
        """
        self._parts.check_started()
        count = await self._parts.backend.count(self._parts.collection(collection_name))
        return await asyncio.to_thread(self._parts.stats.snapshot, count)

    async def persisted_stats(self, collection_name: str | None = None) -> PersistedStats:
        """What every cache of this collection, in this process or another, has counted since the last reset.

        Each adds its own counts every `Settings.stats_persist_interval` requests and
        when it is closed; this one's are added now. All zero where the store keeps no statistics.
        """
        self._parts.check_started()
        await self._background.save()
        collection = await self._parts.known(collection_name)
        return await self._parts.backend.load_stats(collection) or PersistedStats()

    async def reset_stats(self) -> None:
        """Begin counting anew: this object's statistics, and those kept with its collection."""
        self._parts.check_started()
        self._parts.stats.reset()
        self._parts.stats.take_unsaved()
        if not self._parts.backend.read_only:
            now = datetime.now(UTC)
            kept = PersistedStats(last_reset_at=now, updated_at=now)
            await self._parts.backend.save_stats(self._parts.scope.collection, kept)

    async def clear_caches(self) -> None:
        """Empty the first-level cache, the cache of vectors and this object's statistics.

        Entries stay, and so do the statistics kept with the collection.
        """
        await self._parts.l1.invalidate_all()
        self._parts.embedding.forget()
        self._parts.stats.reset()
