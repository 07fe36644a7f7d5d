"""What the acts of one cache share: its parts, and whether it is open."""

import logging
from collections.abc import Mapping
from typing import Literal

from medha_core.deciding.assurance import Assurance
from medha_core.deciding.judge import Judge, JudgeFunction
from medha_core.embedding import CachedEmbedder
from medha_core.errors import ConfigurationError, StorageError
from medha_core.interfaces import BaseEmbedder, L1CacheBackend, VectorStorageBackend
from medha_core.learning.feedback import Feedback
from medha_core.learning.forgetter import Forgetter
from medha_core.learning.knowledge import Knowledge
from medha_core.learning.teaching import Teacher
from medha_core.metadata import validate_metadata
from medha_core.pairs import check_text
from medha_core.scope import Scope, make_scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder
from medha_core.types import MetadataValue
from medha_core.waterfall import Waterfall
from medha_core.writer import Writer

logger = logging.getLogger("medha_core")

Filters = Mapping[str, MetadataValue] | None
State = Literal["new", "started", "closed", "forked"]

_HINTS = {
    "new": "call start() first",
    "closed": "it was closed",
    "forked": "the process that opened it forked this one; make a new Medha here",
}


class Parts:
    """The parts of one cache, put together. `state` is changed by `Medha` alone."""

    def __init__(
        self,
        scope: Scope,
        settings: Settings,
        embedder: BaseEmbedder,
        backend: VectorStorageBackend,
        l1: L1CacheBackend,
        judge: JudgeFunction | None,
    ):
        self.state: State = "new"
        self._checked: set[str] = set()
        """Collections whose dimension and model were held against the embedder."""
        self.scope = scope
        self.settings = settings
        self.embedder = embedder
        self.backend = backend
        self.l1 = l1
        self.embedding = CachedEmbedder(
            embedder, settings.embedding_cache_path, timeout=settings.embedding_timeout
        )
        self.stats = StatsRecorder(
            enabled=settings.collect_stats,
            max_samples=settings.stats_max_latency_samples,
            promised=settings.max_error_rate,
            save_every=settings.stats_persist_interval,
        )
        knowledge = Knowledge(
            settings.guard, settings.substitution, settings.query_language, limit=settings.learned_entries
        )
        limits = knowledge.guard.limits
        assurance = Assurance(
            settings,
            limits.floor if limits else None,
            Judge(judge, settings.judge_timeout) if judge is not None else None,
        )
        self.waterfall = Waterfall(settings, l1, backend, self.embedding, knowledge, assurance, self.stats)
        self.teacher = Teacher(settings, backend, knowledge)
        self.forgetter = Forgetter(l1, backend, self.teacher, self.waterfall.exchanged)
        self.writer = Writer(settings, l1, backend, self.embedding, self.teacher, self.forgetter)
        self.feedback = Feedback(settings, l1, backend, self.forgetter, assurance, self.stats)

    def check_started(self) -> None:
        if self.state != "started":
            raise ConfigurationError(f"the cache is not open: {_HINTS[self.state]}")

    def check_writable(self) -> None:
        if self.backend.read_only:
            raise ConfigurationError(
                "the cache is open read-only (mode 'r'): nothing can be stored or deleted"
            )

    def check_metadata(self, metadata: Mapping[str, MetadataValue], label: str) -> None:
        """Raise `ConfigurationError` for metadata or filters that the store would drop."""
        if metadata and not self.backend.supports_metadata:
            raise ConfigurationError(f"{label}: {type(self.backend).__name__} keeps no metadata")

    def collection(self, name: str | None) -> str:
        """The collection meant by an argument: None means the cache's own."""
        return self.scope.collection if name is None else check_text(name, "collection_name")

    def scope_of(self, collection_name: str | None, filters: Filters, include_scoped: bool) -> Scope:
        if collection_name is None and filters is None and not include_scoped:
            return self.scope
        checked = validate_metadata(filters, label="filters")
        self.check_metadata(checked, "filters")
        return make_scope(self.collection(collection_name), checked, include_scoped)

    async def initialize(self, collection: str) -> None:
        """Make a collection unless it is there, for vectors of this embedder. Raises if it has others."""
        dimension = await self.embedding.probe()
        await self.backend.initialize(collection, dimension, model=self.embedder.fingerprint)
        self._checked.add(collection)

    def knows(self, collection: str) -> bool:
        """Whether a collection was seen to exist and to hold vectors of this embedder."""
        return collection in self._checked

    async def known(self, name: str | None) -> str:
        """The collection meant by an argument, seen to exist and to hold vectors of this embedder."""
        collection = self.collection(name)
        if not self.knows(collection):
            if not await self.backend.has_collection(collection):
                raise StorageError(f"collection {collection!r} does not exist; storing into it makes it")
            await self.initialize(collection)
        return collection
