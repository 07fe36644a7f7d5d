"""What the acts of one cache share: its parts, and whether it is open."""

import logging
from collections.abc import Mapping
from typing import Literal

from medha_core.assurance import Assurance
from medha_core.embedding import EmbeddingStep
from medha_core.errors import ConfigurationError
from medha_core.feedback import Feedback
from medha_core.interfaces import BaseEmbedder, L1CacheBackend, VectorStorageBackend
from medha_core.judge import Judge, JudgeFunction
from medha_core.knowledge import Knowledge
from medha_core.metadata import validate_metadata
from medha_core.scope import Scope, make_scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder
from medha_core.types import MetadataValue
from medha_core.waterfall import Waterfall
from medha_core.writer import Writer, check_text

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
        self.scope = scope
        self.settings = settings
        self.embedder = embedder
        self.backend = backend
        self.l1 = l1
        self.embedding = EmbeddingStep(embedder, timeout=settings.embedding_timeout)
        self.stats = StatsRecorder(
            enabled=settings.collect_stats,
            max_samples=settings.stats_max_latency_samples,
            promised=settings.max_error_rate,
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
        path = (settings, l1, backend, self.embedding, knowledge)
        self.waterfall = Waterfall(*path, assurance, self.stats)
        self.writer = Writer(*path)
        self.feedback = Feedback(settings, l1, backend, knowledge, assurance, self.stats)

    def check_started(self) -> None:
        if self.state != "started":
            raise ConfigurationError(f"the cache is not open: {_HINTS[self.state]}")

    def check_writable(self) -> None:
        if self.backend.read_only:
            raise ConfigurationError(
                "the cache is open read-only (mode 'r'): nothing can be stored or deleted"
            )

    def collection(self, name: str | None) -> str:
        """The collection meant by an argument: None means the cache's own."""
        return self.scope.collection if name is None else check_text(name, "collection_name")

    def scope_of(self, collection_name: str | None, filters: Filters, include_scoped: bool) -> Scope:
        if collection_name is None and filters is None and not include_scoped:
            return self.scope
        checked = validate_metadata(filters, label="filters")
        return make_scope(self.collection(collection_name), checked, include_scoped)

    async def initialize(self, collection: str) -> None:
        """Make a collection unless it is there, for vectors of this embedder."""
        dimension = await self.embedding.probe()
        await self.backend.initialize(collection, dimension, model=self.embedder.fingerprint)
