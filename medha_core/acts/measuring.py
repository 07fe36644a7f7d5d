"""Measuring: what the cache counts, for monitoring."""

import asyncio
from contextlib import suppress

from medha_core.acts.generating import Generating
from medha_core.acts.parts import Parts
from medha_core.embedded.backend import NativeBackend
from medha_core.errors import StorageError
from medha_core.metrics import Family, as_text, families

_SOURCES = {"cache": "hits", "model": "computed"}
"""Where vectors come from, and the name of their number in `CachedEmbedder.stats`."""


class Measuring:
    """Reads counters; changes none."""

    def __init__(self, parts: Parts, generating: Generating):
        self._parts = parts
        self._generating = generating

    async def metrics(self) -> list[Family]:
        """What `prometheus_text` writes, as values: counted since this object was made or reset.

        A store that fails is left out. No label holds a question, a collection or a tenant.
        """
        self._parts.check_started()
        parts = self._parts
        entries = {"l1": parts.l1.size, "templates": len(parts.waterfall.templates or ())}
        with suppress(StorageError):  # its failure shows in the answers; the counters are still of use
            entries = {"store": await parts.backend.count(parts.scope.collection), **entries}
        vectors = parts.embedding.stats
        return families(
            await asyncio.to_thread(parts.stats.snapshot, entries.get("store", 0)),
            parts.stats.meters,
            entries=entries,
            deleted=self._deleted(),
            evictions=parts.l1.evictions,
            waiters=self._generating.waiting,
            texts={source: vectors[name] for source, name in _SOURCES.items()},
            model=parts.embedder.model_name,
        )

    def _deleted(self) -> int | None:
        backend = self._parts.backend
        return (
            backend.tombstones(self._parts.scope.collection) if isinstance(backend, NativeBackend) else None
        )

    async def prometheus_text(self) -> str:
        """Counters, latencies and scores in the text format that Prometheus scrapes.

        Serve it as `text/plain; version=0.0.4`. It needs no package; for the Python client
        of Prometheus there is `medha_core.metrics.collector.MedhaCollector`.
        """
        return as_text(await self.metrics())
