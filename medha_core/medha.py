"""The facade: one object that a program asks, stores into and closes."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Self

from medha_core.assurance import Assurance
from medha_core.bridge import bridge
from medha_core.embedding import EmbeddingStep
from medha_core.engines import make_backend
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    EmbeddingError,
    MedhaError,
    StorageError,
)
from medha_core.feedback import Feedback
from medha_core.files import read_entries
from medha_core.forking import unwatch, watch
from medha_core.interfaces import BaseEmbedder, L1CacheBackend, VectorStorageBackend
from medha_core.judge import Judge, JudgeFunction
from medha_core.knowledge import Knowledge
from medha_core.l1 import InMemoryL1Cache
from medha_core.metadata import validate_metadata
from medha_core.native_backend import NativeBackend
from medha_core.opening import only_collection
from medha_core.parameters import ParameterExtractor
from medha_core.rows.database import Mode
from medha_core.scope import Scope, make_scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder
from medha_core.templates import Templates
from medha_core.trace import Explanation, NoTrace
from medha_core.types import CacheHit, CacheStats, MetadataValue, QueryTemplate
from medha_core.waterfall import Request, Waterfall, failure
from medha_core.writer import (
    UNSET,
    OnConflict,
    Pair,
    Progress,
    Writer,
    check_pair,
    check_question,
    check_text,
)

__all__ = ["Medha"]

logger = logging.getLogger("medha_core")

Filters = Mapping[str, MetadataValue] | None
_NO_TRACE = NoTrace()
_LOOK_EVERY = 0.5
"""Seconds after which a reader looks again whether another process has written."""
_HINTS = {
    "new": "call start() first",
    "closed": "it was closed",
    "forked": "the process that opened it forked this one; make a new Medha here",
}


class Medha:
    """A semantic cache: asks in, stored queries out.

    Args:
        collection_name: the collection asked and stored into by default; kept exactly as given.
        embedder: turns questions into vectors.
        backend: the vector store; None builds the one `settings.backend_type` names.
        settings: None reads the environment, see `Settings`.
        templates: query templates for the template tier.
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
        self._settings = settings or Settings()
        self._embedder = embedder
        self._backend = backend or make_backend(self._settings)
        self._made_backend = backend is None
        self._l1 = l1_backend or InMemoryL1Cache(self._settings.l1_cache_max_size)
        self._lookup = self._l1.lookup if isinstance(self._l1, InMemoryL1Cache) else None
        self._embedding = EmbeddingStep(embedder, timeout=self._settings.embedding_timeout)
        self._stats = StatsRecorder(
            enabled=self._settings.collect_stats,
            max_samples=self._settings.stats_max_latency_samples,
            promised=self._settings.max_error_rate,
        )
        knowledge = Knowledge(
            self._settings.guard,
            self._settings.substitution,
            self._settings.query_language,
            limit=self._settings.learned_entries,
        )
        parts = (self._settings, self._l1, self._backend, self._embedding, knowledge)
        limits = knowledge.guard.limits
        assurance = Assurance(
            self._settings,
            limits.floor if limits else None,
            Judge(judge, self._settings.judge_timeout) if judge is not None else None,
        )
        self._waterfall = Waterfall(*parts, assurance, self._stats)
        self._feedback = Feedback(self._settings, self._l1, self._backend, knowledge, assurance, self._stats)
        self._writer = Writer(*parts)
        self._templates = list(templates or [])
        self._scope = make_scope(collection_name)
        self._state = "new"
        self._look_at = math.inf
        """When a reader of a directory looks next whether the writer has written, in monotonic seconds."""

    def __repr__(self) -> str:
        return (
            f"<Medha {self.collection_name!r}, {self._state}, {self._embedder.model_name}, {self._backend!r}>"
        )

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
        return self._scope.collection

    # life

    async def start(self) -> None:
        """Open the store and make the collection. A second call changes nothing.

        Raises `StorageError` if the store cannot be opened or the collection holds
        vectors of another model, `DimensionMismatchError` if of another dimension.
        """
        if self._state == "closed":
            raise ConfigurationError("this cache was closed; make a new Medha to open it again")
        if self._state == "started":
            return
        await self._embedding.probe()
        try:
            await self._open_collection()
        except BaseException:
            if self._made_backend:  # nobody else can close it
                await self._backend.close()
            raise
        self.set_templates(self._templates)
        watch(self)
        self._state = "started"
        logger.info("started %r", self)

    async def _open_collection(self) -> None:
        await self._backend.connect()
        await self._initialize(self.collection_name)
        if self._settings.validate_on_start:
            await self._check_connectivity()
        await self._writer.recall(self.collection_name)
        if self._backend.read_only:
            self._look_at = monotonic()

    async def _initialize(self, collection: str) -> None:
        dimension = await self._embedding.probe()
        await self._backend.initialize(collection, dimension, model=self._embedder.fingerprint)

    async def _check_connectivity(self) -> None:
        try:
            await self._backend.count(self.collection_name)
        except StorageError as error:
            raise StorageError(f"the connectivity check of the store failed: {error}") from error

    def set_templates(self, templates: Sequence[QueryTemplate]) -> None:
        """Replace the templates of the template tier."""
        self._templates = list(templates)
        self._waterfall.templates = (
            Templates(self._templates, ParameterExtractor()) if self._templates else None
        )

    async def close(self) -> None:
        """Release the store and the first-level cache. Closing twice is harmless."""
        if self._state != "closed":
            self._state = "closed"
            unwatch(self)
            await self._l1.close()
            await self._backend.close()

    def abandon(self) -> None:
        """In a forked child: refuse all use, for the directory belongs to the parent."""
        if getattr(self._backend, "path", None) is not None:
            self._state = "forked"

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

    def _check_started(self) -> None:
        if self._state != "started":
            raise ConfigurationError(f"the cache is not open: {_HINTS[self._state]}")

    # searching

    def peek(self, question: str) -> CacheHit | None:
        """The hit that the first-level cache holds ready for a question, or None.

        Synchronous, about a microsecond, and blind to everything behind the first
        tier. None also where the first-level cache is not the in-memory one, and
        where a reader has yet to look at what the writer of its directory wrote.
        """
        if self._lookup is None or self._state != "started" or monotonic() >= self._look_at:
            return None
        started = perf_counter()
        hit = self._lookup(self._scope.key, question)
        if hit is not None:
            self._stats.record(hit.strategy, perf_counter() - started)
            if hit.entry_id is not None:
                self._backend.touch(self._scope.collection, hit.entry_id)
        return hit

    def _ready(self, question: object) -> CacheHit | None:
        """`peek` that leaves it to the full path to say what is wrong with a question."""
        try:
            return self.peek(question)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None

    async def search(
        self,
        question: str,
        *,
        filters: Filters = None,
        collection_name: str | None = None,
        include_scoped: bool = False,
        explain: bool = False,
    ) -> CacheHit:
        """The stored query for a question, or an honest miss.

        Args:
            question: what the user asked.
            filters: only entries whose metadata holds these values may answer.
                Without filters, entries stored with metadata stay out, unless
                `include_scoped`.
            collection_name: None asks the collection of this cache.
            explain: attach what each tier saw as `hit.explanation`.

        Never raises for what is asked: strategy `ERROR` carries the reason in
        `hit.error`. Invalid filters raise `ValueError`.
        """
        if filters is None and collection_name is None and not include_scoped and not explain:
            hit = self._ready(question)
            if hit is not None:
                return hit
        scope = self._scope_of(collection_name, filters, include_scoped)
        return (await self._answer([question], [scope], explain))[0]

    async def search_batch(
        self,
        questions: Sequence[str],
        collection_name: str | None = None,
        *,
        filters: Filters | Sequence[Filters] = None,
        include_scoped: bool = False,
        explain: bool = False,
    ) -> list[CacheHit]:
        """`search` for many questions with one embedding call; results in input order.

        `filters` is one filter for all, or a list with one (or None) for each question.
        """
        if isinstance(questions, str) or not isinstance(questions, Sequence):
            raise ArgumentTypeError("questions", "a list of questions", questions)
        if filters is not None and not isinstance(filters, (Mapping, Sequence)):
            raise ArgumentTypeError("filters", "a mapping, or a list with one for each question", filters)
        each = (
            [filters] * len(questions) if filters is None or isinstance(filters, Mapping) else list(filters)
        )
        if len(each) != len(questions):
            raise ArgumentValueError("filters", f"one for each of the {len(questions)} questions", len(each))
        scopes = [self._scope_of(collection_name, one, include_scoped) for one in each]
        return await self._answer(questions, scopes, explain)

    def _scope_of(self, collection_name: str | None, filters: Filters, include_scoped: bool) -> Scope:
        if collection_name is None and filters is None and not include_scoped:
            return self._scope
        checked = validate_metadata(filters, label="filters")
        name = self.collection_name if collection_name is None else collection_name
        return make_scope(check_text(name, "collection_name"), checked, include_scoped)

    async def _answer(
        self, questions: Sequence[str], scopes: Sequence[Scope], explain: bool
    ) -> list[CacheHit]:
        started = perf_counter()
        if monotonic() >= self._look_at:
            await self._look()
        hits: list[CacheHit | None] = [self._refused(question) for question in questions]
        requests = {
            i: Request(questions[i], scopes[i], Explanation(questions[i]) if explain else _NO_TRACE)
            for i, refused in enumerate(hits)
            if refused is None
        }
        found = await self._waterfall.answer(list(requests.values()))
        seconds = perf_counter() - started
        for (i, request), hit in zip(requests.items(), found, strict=True):
            hits[i] = hit.model_copy(update={"explanation": request.trace}) if explain else hit
            if hit and hit.entry_id is not None:
                self._backend.touch(request.scope.collection, hit.entry_id)
        answered = [hit for hit in hits if hit is not None]
        for hit in answered:
            self._stats.record(hit.strategy, seconds)
        return answered

    def _refused(self, question: object) -> CacheHit | None:
        """An error hit for what cannot be searched for, None for a question that can."""
        try:
            self._check_started()
            check_question(question, self._settings)
        except MedhaError as error:
            return failure(error)
        return None

    async def refresh(self) -> bool:
        """See at once what another process has written to the directory; whether there was anything.

        A reader (mode "r") does this by itself while it is asked, at least once a second.
        """
        self._check_started()
        self._look_at = monotonic() + _LOOK_EVERY if self._backend.read_only else math.inf
        changed = await self._backend.refresh()
        if changed:
            # A better answer than one of these may have come.
            await self._l1.invalidate_all()
        return changed

    async def _look(self) -> None:
        """`refresh` before a search, which promises a hit and no exception."""
        try:
            await self.refresh()
        except MedhaError as error:
            logger.warning("cannot see whether the directory has changed: %s", error)

    # storing

    async def store(
        self,
        question: str,
        generated_query: str,
        response_summary: str | None = None,
        template_id: str | None = None,
        ttl: int | None = UNSET,
        *,
        metadata: Mapping[str, MetadataValue] | None = None,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> bool:
        """Store the query for a question; a pair stored before under the same question is replaced.

        Args:
            ttl: seconds until it expires; None for ever; left out,
                `Settings.default_ttl_seconds`.
            metadata: makes the entry scoped: only searches whose filters match get it.
            on_conflict: when another query is stored for the question under the same
                metadata: "replace" it, "keep_both" and answer with the newest, or
                "error", which raises `ConflictError`; left out, `Settings.on_conflict`.

        Returns whether it was stored: True means it is durable and will be found.
        An empty question or query, a failing embedder or store give False and a
        warning; a question that is too long, a wrong type, invalid metadata and a
        cache that is open read-only raise.
        """
        self._check_started()
        if _is_blank(question) or _is_blank(generated_query):
            logger.warning("not stored: the question or the query is empty")
            return False
        item = {
            "question": question,
            "generated_query": generated_query,
            "response_summary": response_summary,
            "template_id": template_id,
            "metadata": metadata,
        }
        pairs = [check_pair(item, self._settings)]
        try:
            return await self._write(pairs, ttl, collection_name, on_conflict) == 1
        except (EmbeddingError, StorageError) as error:
            logger.warning("not stored: %s", error)
            return False

    async def store_many(
        self,
        entries: Sequence[Mapping[str, Any]],
        *,
        batch_size: int | None = None,
        on_progress: Progress | None = None,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """Store many pairs; the number stored.

        Each entry is a mapping with `question` and `generated_query`, optionally
        `response_summary`, `template_id`, `metadata`. All are checked before the
        first is stored: `ValueError` names the faulty one. `on_progress(done, total)`
        is called after each batch, which is one transaction. `EmbeddingError`,
        `StorageError` and `ConflictError` leave the batches before them stored.
        """
        self._check_started()
        if isinstance(entries, (str, bytes, Mapping)) or not isinstance(entries, Sequence):
            raise ArgumentTypeError("entries", "a list of mappings", entries)
        size = self._settings.batch_size if batch_size is None else batch_size
        if not isinstance(size, int):
            raise ArgumentTypeError("batch_size", "int", batch_size)
        if size < 1:
            raise ArgumentValueError("batch_size", "at least 1", batch_size)
        pairs = [check_pair(entry, self._settings, f"entries[{i}]") for i, entry in enumerate(entries)]
        done = 0
        for start in range(0, len(pairs), size):
            done += await self._write(pairs[start : start + size], ttl, collection_name, on_conflict)
            if on_progress is not None:
                on_progress(done, len(pairs))
        return done

    async def warm_from_file(
        self,
        path: str | Path,
        batch_size: int | None = None,
        on_progress: Progress | None = None,
        *,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """`store_many` of the pairs in a JSON array or JSONL file; the number stored.

        Raises `MedhaError` naming the file, and the line where one is at fault;
        then nothing is stored.
        """
        self._check_started()
        entries = read_entries(path, self._settings)
        return await self.store_many(
            entries,
            batch_size=batch_size,
            on_progress=on_progress,
            ttl=ttl,
            collection_name=collection_name,
            on_conflict=on_conflict,
        )

    async def _write(
        self,
        pairs: Sequence[Pair],
        ttl: int | None,
        collection_name: str | None,
        on_conflict: OnConflict | None,
    ) -> int:
        self._check_writable()
        collection = self.collection_name
        if collection_name is not None and collection_name != collection:
            collection = check_text(collection_name, "collection_name")
            await self._initialize(collection)
        return await self._writer.write(collection, pairs, ttl, on_conflict)

    def _check_writable(self) -> None:
        if self._backend.read_only:
            raise ConfigurationError(
                "the cache is open read-only (mode 'r'): nothing can be stored or deleted"
            )

    # feedback

    async def feedback(
        self,
        question: str,
        correct: bool,
        *,
        entry_id: str | None = None,
        collection_name: str | None = None,
    ) -> bool:
        """Say whether an answer was right; whether there was an entry to count that with.

        Args:
            question: what was asked.
            entry_id: `hit.entry_id`; without it the judgement counts for the entry stored under
                this very question (an arbitrary one of several).

        A wrong answer is not given to this question again by that entry, which from now on must be
        more certain; one that reached `Settings.feedback_incorrect_threshold` is deleted (without
        `entry_id`: every entry of the question). The same words still get what is stored for them.
        A failing store gives False and a warning.
        """
        self._check_started()
        check_question(question, self._settings)
        if not isinstance(correct, bool):
            raise ArgumentTypeError("correct", "bool", correct)
        if entry_id is not None:
            check_text(entry_id, "entry_id")
        collection = self._scope_of(collection_name, None, False).collection
        try:
            return await self._feedback.take(collection, question, correct, entry_id)
        except StorageError as error:
            logger.warning("feedback was not counted: %s", error)
            return False

    # housekeeping

    async def expire(self, collection_name: str | None = None) -> int:
        """Delete the entries that have expired; their number. It costs what it deletes, not what is stored.

        Expired entries answer nothing, deleted or not: this frees their room.
        """
        self._check_started()
        self._check_writable()
        self._l1.advance()
        gone = await self._backend.expire(
            self.collection_name if collection_name is None else collection_name
        )
        await self._l1.invalidate_entries(gone)
        return len(gone)

    async def snapshot(self, directory: str | Path, *, on_progress: Progress | None = None) -> Path:
        """Write everything the store holds, all collections, as one directory that can be copied anywhere.

        A snapshot that was there stays until the new one is complete, and searching
        and storing go on meanwhile. `on_progress(done, total)` counts pages. Raises
        `SnapshotError`; then nothing unfinished is left behind.
        """
        self._check_started()
        if not isinstance(self._backend, NativeBackend):
            raise ConfigurationError("only the embedded store writes snapshots")
        return await self._backend.snapshot(Path(directory), on_progress)

    async def stats(self, collection_name: str | None = None) -> CacheStats:
        """Counts and latencies of this object since it was made or cleared."""
        self._check_started()
        count = await self._backend.count(
            self.collection_name if collection_name is None else collection_name
        )
        return self._stats.snapshot(count)

    async def clear_caches(self) -> None:
        """Empty the first-level cache, the cache of vectors and the statistics; entries stay."""
        await self._l1.invalidate_all()
        self._embedding.clear()
        self._stats.reset()

    # the same for synchronous callers

    def start_sync(self) -> None:
        bridge.run(self.start())

    def close_sync(self) -> None:
        bridge.run(self.close())

    def search_sync(self, question: str, **options: Any) -> CacheHit:
        """`search` from any thread."""
        hit = None if options else self._ready(question)
        return hit if hit is not None else bridge.run(self.search(question, **options))

    def search_batch_sync(self, questions: Sequence[str], **options: Any) -> list[CacheHit]:
        """`search_batch` from any thread."""
        return bridge.run(self.search_batch(questions, **options))

    def store_sync(self, question: str, generated_query: str, **options: Any) -> bool:
        """`store` from any thread."""
        return bridge.run(self.store(question, generated_query, **options))

    def store_many_sync(self, entries: Sequence[Mapping[str, Any]], **options: Any) -> int:
        """`store_many` from any thread."""
        return bridge.run(self.store_many(entries, **options))

    def warm_from_file_sync(self, path: str | Path, **options: Any) -> int:
        """`warm_from_file` from any thread."""
        return bridge.run(self.warm_from_file(path, **options))

    def feedback_sync(self, question: str, correct: bool, **options: Any) -> bool:
        """`feedback` from any thread."""
        return bridge.run(self.feedback(question, correct, **options))

    def stats_sync(self, collection_name: str | None = None) -> CacheStats:
        """`stats` from any thread."""
        return bridge.run(self.stats(collection_name))

    def expire_sync(self, collection_name: str | None = None) -> int:
        """`expire` from any thread."""
        return bridge.run(self.expire(collection_name))

    def refresh_sync(self) -> bool:
        """`refresh` from any thread."""
        return bridge.run(self.refresh())

    def snapshot_sync(self, directory: str | Path, **options: Any) -> Path:
        """`snapshot` from any thread."""
        return bridge.run(self.snapshot(directory, **options))

    def clear_caches_sync(self) -> None:
        """`clear_caches` from any thread."""
        bridge.run(self.clear_caches())


def _is_blank(text: object) -> bool:
    return isinstance(text, str) and not text.strip()
