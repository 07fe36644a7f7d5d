"""The facade: one object that a program asks, stores into and closes."""

import asyncio
import logging
from pathlib import Path
from types import TracebackType
from typing import Self

from medha_core.acts.background import Background
from medha_core.acts.binding import Act, twin
from medha_core.acts.exporting import Exporting
from medha_core.acts.forgetting import Forgetting
from medha_core.acts.generating import Generating
from medha_core.acts.keeping import Keeping
from medha_core.acts.measuring import Measuring
from medha_core.acts.parts import Parts
from medha_core.acts.searching import Searching
from medha_core.acts.storing import Storing
from medha_core.acts.telling import Telling
from medha_core.acts.templating import Templating
from medha_core.concurrency.forking import unwatch, watch
from medha_core.deciding.judge import JudgeFunction
from medha_core.embedded.backend import NativeBackend
from medha_core.embedded.opening import only_collection
from medha_core.engines import make_backend
from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError, StorageError
from medha_core.interfaces import BaseEmbedder, L1CacheBackend, VectorStorageBackend
from medha_core.l1 import InMemoryL1Cache
from medha_core.pairs import check_text
from medha_core.rows.database import Mode
from medha_core.scope import make_scope
from medha_core.settings import Settings
from medha_core.types import QueryTemplate

__all__ = ["Medha"]

logger = logging.getLogger("medha_core")


class Medha:
    """A semantic cache: asks in, stored queries out.

    Args:
        collection_name: the collection asked and stored into by default; kept exactly as given.
        embedder: turns questions into vectors.
        backend: the vector store; None builds the one `settings.backend_type` names.
        settings: None reads the environment, see `Settings`.
        templates: query templates for the template tier; None reads `settings.template_file`.
        l1_backend: the first-level cache; None builds an in-memory one.
        judge: asked, as `judge(question, stored_question, stored_query)`, whether that query answers
            the question, where the guard's confidence lies from `Settings.judge_from` to below
            `judge_to`. Async or sync (then run in a thread). Anything but True within
            `judge_timeout` seconds refuses the candidate. Answers are remembered in this process.

    Use it as `async with Medha(...) as cache`, or call `start()` and `close()`.
    Every `*_sync` method is safe from any thread, inside a running event loop too.
    """

    def __init__(
        self,
        collection_name: str,
        embedder: BaseEmbedder,
        backend: VectorStorageBackend | None = None,
        settings: Settings | None = None,
        templates: list[QueryTemplate] | None = None,
        l1_backend: L1CacheBackend | None = None,
        *,
        judge: JudgeFunction | None = None,
    ):
        if not check_text(collection_name, "collection_name"):
            raise ArgumentValueError("collection_name", "text that is not empty", collection_name)
        if not isinstance(embedder, BaseEmbedder):
            raise ArgumentTypeError("embedder", "a BaseEmbedder", embedder)
        for name, part, kind in (
            ("backend", backend, VectorStorageBackend),
            ("settings", settings, Settings),
            ("l1_backend", l1_backend, L1CacheBackend),
        ):
            if part is not None and not isinstance(part, kind):
                raise ArgumentTypeError(name, f"a {kind.__name__}, or None", part)
        self._settings = Settings() if settings is None else settings
        self._embedder = embedder
        self._backend = make_backend(self._settings) if backend is None else backend
        self._made_backend = backend is None
        self._l1 = InMemoryL1Cache(self._settings.l1_cache_max_size) if l1_backend is None else l1_backend
        self._parts = Parts(
            make_scope(collection_name), self._settings, embedder, self._backend, self._l1, judge
        )
        self._searching = Searching(self._parts)
        self._storing = Storing(self._parts)
        self._exporting = Exporting(self._parts)
        self._forgetting = Forgetting(self._parts)
        self._telling = Telling(self._parts)
        self._generating = Generating(self._parts, self._searching, self._storing)
        self._background = Background(self._parts)
        self._measuring = Measuring(self._parts, self._generating)
        self._keeping = Keeping(self._parts, self._background)
        self._templating = Templating(self._parts, templates)

    def __repr__(self) -> str:
        state, model = self._parts.state, self._embedder.model_name
        return f"<Medha {self.collection_name!r}, {state}, {model}, {self._backend!r}>"

    @classmethod
    def open(
        cls,
        directory: str | Path,
        *,
        embedder: BaseEmbedder,
        mode: Mode = "r",
        collection_name: str | None = None,
        settings: Settings | None = None,
    ) -> Self:
        """A cache on a snapshot, or on a directory in daily use; start it as any other.

        Args:
            mode: "r" reads, beside any number of other readers and one writer, whose
                entries are seen within a second; "r+" reads and writes, and is for one
                cache at a time; "c" keeps what is stored to itself and forgets it on close.
            collection_name: None takes the directory's only collection.
        """
        settings = settings or Settings()
        backend = NativeBackend(directory, mode=mode, settings=settings)
        if collection_name is None:
            collection_name = only_collection(Path(directory))
        cache = cls(collection_name, embedder, backend, settings)
        cache._made_backend = True
        return cache

    @property
    def collection_name(self) -> str:
        return self._parts.scope.collection

    # life

    async def start(self) -> None:
        """Open the store and make the collection. A second call changes nothing.

        Raises `StorageError` if the store cannot be opened or the collection holds
        vectors of another model, `DimensionMismatchError` if of another dimension,
        `TemplateError` if a template or the file of templates cannot be used.
        """
        if self._parts.state == "closed":
            raise ConfigurationError("this cache was closed; make a new Medha to open it again")
        if self._parts.state == "started":
            return
        await self._parts.embedding.probe()
        try:
            await self._open_collection()
            await self._templating.begin()
        except BaseException:
            if self._made_backend:  # nobody else can close it
                await self._backend.close()
            raise
        watch(self)
        self._parts.state = "started"
        self._background.begin()
        logger.info("started %r", self)

    async def _open_collection(self) -> None:
        self._backend.overfetch = self._settings.metadata_filter_overfetch
        await self._backend.connect()
        await self._l1.connect()
        await self._parts.initialize(self.collection_name)
        if self._settings.validate_on_start:
            await self._check_connectivity()
        await self._parts.teacher.recall(self.collection_name)
        self._searching.begin()
        self._parts.forgetter.join()

    async def _check_connectivity(self) -> None:
        try:
            await self._backend.count(self.collection_name)
        except StorageError as error:
            raise StorageError(f"the connectivity check of the store failed: {error}") from error

    async def close(self) -> None:
        """Save the statistics, and release the first-level cache and the store. Closing twice is harmless."""
        if self._parts.state != "closed":
            was_started, self._parts.state = self._parts.state == "started", "closed"
            unwatch(self)
            self._parts.forgetter.leave()
            await self._parts.teacher.end()
            try:
                if was_started:
                    await self._background.end()
                await asyncio.to_thread(self._parts.embedding.close)
                await self._l1.close()
            finally:
                await self._backend.close()

    def abandon(self) -> None:
        """In a forked child: refuse all use, for the directory belongs to the parent."""
        if getattr(self._backend, "path", None) is not None:
            self._parts.state = "forked"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        await self.close()
        return False

    # searching

    peek = Act(Searching.peek)
    search = Act(Searching.search)
    search_batch = Act(Searching.search_batch)
    refresh = Act(Searching.refresh)

    get_or_generate = Act(Generating.get_or_generate)

    # storing

    store = Act(Storing.store)
    store_batch = Act(Storing.store_batch)
    store_many = Act(Storing.store_many)
    warm_from_file = Act(Storing.warm_from_file)
    warm_from_dataframe = Act(Storing.warm_from_dataframe)
    export_jsonl = Act(Exporting.export_jsonl)
    export_to_dataframe = Act(Exporting.export_to_dataframe)

    # forgetting

    invalidate = Act(Forgetting.invalidate)
    invalidate_by_query_hash = Act(Forgetting.invalidate_by_query_hash)
    invalidate_by_template = Act(Forgetting.invalidate_by_template)
    invalidate_by_table = Act(Forgetting.invalidate_by_table)
    invalidate_where = Act(Forgetting.invalidate_where)
    invalidate_collection = Act(Forgetting.invalidate_collection)
    expire = Act(Forgetting.expire)
    dedup_collection = Act(Forgetting.dedup_collection)

    # templates

    load_templates = Act(Templating.load_templates)
    load_templates_from_file = Act(Templating.load_templates_from_file)

    # feedback

    feedback = Act(Telling.feedback)

    # housekeeping

    snapshot = Act(Keeping.snapshot)
    has_collection = Act(Keeping.has_collection)
    stats = Act(Keeping.stats)
    persisted_stats = Act(Keeping.persisted_stats)
    reset_stats = Act(Keeping.reset_stats)
    clear_caches = Act(Keeping.clear_caches)
    metrics = Act(Measuring.metrics)
    prometheus_text = Act(Measuring.prometheus_text)

    # the same for synchronous callers

    start_sync = twin(start)
    close_sync = twin(close)
    search_sync = twin(Searching.search, ready=lambda cache, question: cache._searching.ready(question))
    search_batch_sync = twin(Searching.search_batch)
    refresh_sync = twin(Searching.refresh)
    get_or_generate_sync = twin(Generating.get_or_generate)
    store_sync = twin(Storing.store)
    store_batch_sync = twin(Storing.store_batch)
    store_many_sync = twin(Storing.store_many)
    warm_from_file_sync = twin(Storing.warm_from_file)
    warm_from_dataframe_sync = twin(Storing.warm_from_dataframe)
    export_jsonl_sync = twin(Exporting.export_jsonl)
    export_to_dataframe_sync = twin(Exporting.export_to_dataframe)
    invalidate_sync = twin(Forgetting.invalidate)
    invalidate_by_query_hash_sync = twin(Forgetting.invalidate_by_query_hash)
    invalidate_by_template_sync = twin(Forgetting.invalidate_by_template)
    invalidate_by_table_sync = twin(Forgetting.invalidate_by_table)
    invalidate_where_sync = twin(Forgetting.invalidate_where)
    invalidate_collection_sync = twin(Forgetting.invalidate_collection)
    expire_sync = twin(Forgetting.expire)
    dedup_collection_sync = twin(Forgetting.dedup_collection)
    load_templates_sync = twin(Templating.load_templates)
    load_templates_from_file_sync = twin(Templating.load_templates_from_file)
    feedback_sync = twin(Telling.feedback)
    snapshot_sync = twin(Keeping.snapshot)
    has_collection_sync = twin(Keeping.has_collection)
    stats_sync = twin(Keeping.stats)
    persisted_stats_sync = twin(Keeping.persisted_stats)
    reset_stats_sync = twin(Keeping.reset_stats)
    clear_caches_sync = twin(Keeping.clear_caches)
    metrics_sync = twin(Measuring.metrics)
    prometheus_text_sync = twin(Measuring.prometheus_text)
