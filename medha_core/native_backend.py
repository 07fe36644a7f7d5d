"""The embedded store: rows in SQLite, vectors in the native index, in this process.

Writing goes rows, then index; forgetting goes index, then rows. So a search
never finds what is not durable, and never what is being forgotten.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import numpy as np

from medha_core.checkpoint import Checkpoints
from medha_core.errors import ArgumentValueError, StorageError, StorageInitializationError
from medha_core.forking import unwatch, watch
from medha_core.interfaces.storage import Candidate, VectorStorageBackend
from medha_core.metadata import dumps_metadata, metadata_fingerprint, metadata_matches, validate_metadata
from medha_core.native import VectorIndex, as_unit_rows
from medha_core.native_collection import NativeCollection
from medha_core.opening import Opened, open_store
from medha_core.rows import CollectionRow, Gone, Row, Rows, check_space
from medha_core.rows.changes import OnConflict
from medha_core.rows.database import Mode
from medha_core.settings import Settings
from medha_core.snapshot import Progress, write_snapshot
from medha_core.types import CacheEntry, CacheResult, MetadataValue, PersistedStats
from medha_core.uses import PendingUses

__all__ = ["InMemoryBackend", "NativeBackend"]

logger = logging.getLogger("medha_core")

T = TypeVar("T")

_INLINE_ENTRIES = 16
"""Up to this many entries are written on the caller's thread: it takes less than a millisecond."""
_RECENT_ROWS = 65_536


class NativeBackend(VectorStorageBackend):
    """The embedded vector store, the default of `Medha`.

    Args:
        path: directory of the store; None keeps everything in memory.
        mode: "r+" reads and writes, and is for one store at a time; "r" reads, beside
            any number of others and the writer; "c" keeps what it writes to itself
            and forgets it on close.
        settings: index and storage settings; the arguments above win over them.
        clock: seconds since the epoch, for expiry.

    Safe to use from several threads, and not in a child forked while it is open.
    """

    supports_metadata: ClassVar[bool] = True
    local: ClassVar[bool] = True

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        mode: Mode = "r+",
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self._settings = settings or Settings()
        self.path = None if path is None else _directory(path)
        if mode not in get_args(Mode):
            raise ArgumentValueError("mode", "'r', 'r+' or 'c'", mode)
        self.mode = mode
        self._clock = clock
        self._opened: Opened | None = None
        self._collections: dict[str, NativeCollection] = {}
        self._recent: dict[int, Row] = {}
        self._checkpoints = None if self.path is None else Checkpoints(self.path / "index")
        self._data_version = 0
        self._news = False
        """Whether something was followed that `refresh` has not told yet."""
        self._uses = PendingUses()
        self._writing = threading.RLock()
        """Held by whoever changes rows and index together, so that both change in the same order."""

    def __repr__(self) -> str:
        held = ", ".join(f"{name!r}: {len(collection)}" for name, collection in self._collections.items())
        return f"<{type(self).__name__} {self.path or 'in memory'} {{{held}}}>"

    # life

    @property
    def read_only(self) -> bool:
        return self.mode == "r"

    async def connect(self) -> None:
        """Raises `StorageInitializationError`, of which `DirectoryLockedError` names another writer, and
        `SnapshotError` for a snapshot that is damaged.
        """
        with self._writing:
            if self._opened is None:
                self._opened = open_store(self.path, self.mode, self._settings.synchronous)
                self._data_version = self.rows.data_version()
                if self._settings.max_entries and not self.read_only:
                    self.rows.index_for_eviction(self._settings.eviction)
                if self.path is not None:
                    watch(self)

    async def close(self) -> None:
        self._flush_uses()
        with self._writing:
            if self._opened is not None and self._checkpoints is not None and self.mode == "r+":
                for collection in self._collections.values():
                    self._checkpoints.save(collection, self.rows)
            opened, self._opened = self._opened, None
            self._collections.clear()
            self._recent.clear()
            unwatch(self)
            if opened is not None:
                opened.close()

    def abandon(self) -> None:
        """In a forked child: whatever is asked from now on goes to the rows, which refuse it."""
        self._collections, self._recent, self._uses = {}, {}, PendingUses()
        self._writing = threading.RLock()

    @property
    def rows(self) -> Rows:
        if self._opened is None:
            raise StorageError("the store is not open: call connect() first, and nothing after close()")
        return self._opened.rows

    async def collection_names(self) -> list[str]:
        """Names of all collections, in the order they were made."""
        return [row.name for row in self.rows.collections()]

    async def refresh(self) -> bool:
        """See what another process has written since; whether there was anything."""
        if self.read_only:
            await asyncio.to_thread(self._follow)
        news, self._news = self._news, False
        return news

    def _follow(self) -> None:
        with self._writing:
            version = self.rows.data_version()
            if version == self._data_version:
                return
            for name, collection in list(self._collections.items()):
                row = self.rows.collection(name)
                if row is None or row.id != collection.id:
                    del self._collections[name]
                else:
                    collection.catch_up(self.rows)
            self._recent = {}
            self._data_version, self._news = version, True

    async def initialize(self, collection_name: str, dimension: int, **kwargs: Any) -> None:
        """Create the collection if it is not there; `model` is the embedder's fingerprint.

        Raises `DimensionMismatchError`, and `StorageInitializationError` when the
        collection holds vectors of another model.
        """
        if dimension < 1:
            raise ArgumentValueError("dimension", "at least 1", dimension)
        await self.connect()
        model = kwargs.get("model", "")
        known = self._collections.get(collection_name)
        if known is not None:
            check_space(known.row, dimension, model)
        else:
            await asyncio.to_thread(self._open_collection, collection_name, dimension, model)

    def _open_collection(self, name: str, dimension: int, model: str) -> None:
        with self._writing:
            row = self.rows.collection(name)
            if row is None and not self.read_only:
                row = self.rows.create_collection(name, dimension, model)
            if row is None:
                names = [row.name for row in self.rows.collections()]
                raise StorageInitializationError(f"{self.path} has no collection {name!r}; it has {names}")
            check_space(row, dimension, model)
            if name not in self._collections:
                self._collections[name] = self._load(row)

    def _load(self, row: CollectionRow) -> NativeCollection:
        """The collection with its vectors: from the index files as far as they go, then from the rows."""
        collection = NativeCollection(row, self._make_index)
        mapped = self._checkpoints is not None and self._checkpoints.restore(collection, self.rows)
        replayed = collection.catch_up(self.rows)
        if mapped:
            logger.info("collection %r: index mapped, %d changes replayed from the rows", row.name, replayed)
        return collection

    def _make_index(self, dimension: int) -> VectorIndex:
        settings = self._settings
        kind = "binary" if settings.quantization_type == "binary" else "int8"
        return VectorIndex(
            dimension,
            M=settings.hnsw_m,
            ef_construction=settings.hnsw_ef_construct,
            quantization=kind if settings.enable_quantization else "float32",
            tier=settings.index_tier,
        )

    def _collection(self, name: str) -> NativeCollection:
        found = self._collections.get(name)
        if found is not None:
            return found
        row = self.rows.collection(name)
        if row is None:
            raise StorageError(f"collection {name!r} does not exist; initialize() creates it")
        with self._writing:
            if name not in self._collections:
                self._collections[name] = self._load(row)
            return self._collections[name]

    async def snapshot(self, directory: Path, on_progress: Progress | None = None) -> Path:
        """Write all collections as a snapshot, see `medha_core.snapshot.write_snapshot`."""
        self._flush_uses()
        return await asyncio.to_thread(write_snapshot, self.rows, directory, on_progress)

    # searching

    async def search(
        self, collection_name: str, vector: list[float], limit: int = 5, score_threshold: float = 0.0
    ) -> list[CacheResult]:
        return await self.search_filtered(collection_name, vector, limit, score_threshold)

    async def search_filtered(
        self,
        collection_name: str,
        vector: list[float],
        limit: int = 5,
        score_threshold: float = 0.0,
        filters: Mapping[str, MetadataValue] | None = None,
        overfetch: int = 10,
    ) -> list[CacheResult]:
        """The nearest entries whose metadata equals `filters`; `overfetch` is not needed here."""
        found = self._nearest(collection_name, vector, limit, score_threshold, filters, True)
        rows = self.rows.by_labels([label for label, _ in found])
        return [
            row.result(score)
            for label, score in found
            if (row := rows.get(label)) is not None and metadata_matches(row.metadata, filters)
        ]

    async def candidates(
        self,
        collection_name: str,
        vector: Sequence[float] | np.ndarray,
        limit: int,
        score_threshold: float,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = False,
    ) -> list[Candidate]:
        found = self._nearest(collection_name, vector, limit, score_threshold, filters, include_scoped)
        rows = self._read([label for label, _ in found])
        if self.read_only and any(label not in rows for label, _ in found):
            # The writer has replaced one of them: what took its place is found only now.
            await asyncio.to_thread(self._follow)
            found = self._nearest(collection_name, vector, limit, score_threshold, filters, include_scoped)
            rows = self._read([label for label, _ in found])
        return _latest(
            _candidate(row, score)
            for label, score in found
            if (row := rows.get(label)) is not None and metadata_matches(row.metadata, filters)
        )

    async def fetch(self, collection_name: str, candidate: Candidate) -> CacheResult | None:
        row: Row = candidate.label
        if row.expires is not None and row.expires <= self._clock():
            return None
        # A reader may know a row by its text before its index does.
        alive = self._collection(collection_name).holds(row.label) or (
            self.read_only and self.rows.by_labels([row.label])
        )
        return row.result(candidate.score) if alive else None

    def _nearest(
        self,
        name: str,
        vector: Sequence[float] | np.ndarray,
        limit: int,
        threshold: float,
        filters: Mapping[str, MetadataValue] | None,
        include_scoped: bool,
    ) -> list[tuple[int, float]]:
        """Labels and cosines, best first; of equal scores the newest first."""
        if limit < 1:
            raise ArgumentValueError("limit", "at least 1", limit)
        collection = self._collection(name)
        self._hide_expired(collection)
        query = np.asarray(vector, dtype=np.float32)
        found: list[tuple[int, float]] = []
        if not filters:
            found += _pairs(collection.unscoped.search(query, limit, min_score=threshold))
        if filters or (include_scoped and len(collection.scoped)):
            allowed = self._allowed(collection, filters) if filters else None
            found += _pairs(collection.scoped.search(query, limit, min_score=threshold, allowed=allowed))
        found.sort(key=lambda pair: (-pair[1], -pair[0]))
        return [(label, min(1.0, score)) for label, score in found[:limit]]

    def _allowed(self, collection: NativeCollection, filters: Mapping[str, MetadataValue]) -> np.ndarray:
        """Labels that satisfy the filters, remembered until the collection changes."""
        version, key = collection.version, metadata_fingerprint(validate_metadata(filters, label="filters"))
        known = collection.allowed.get(key)
        if known is not None and known[0] == version:
            return known[1]
        labels = self.rows.labels_matching(collection.id, filters)
        if len(collection.allowed) >= 1024:
            collection.allowed.clear()
        collection.allowed[key] = (version, labels)
        return labels

    def _hide_expired(self, collection: NativeCollection) -> None:
        """Take out of the index what has expired; its rows stay until they are deleted."""
        now = self._clock()
        if collection.swept <= now < collection.next_expiry:
            return
        with self._writing:
            collection.sweep(self.rows, now)

    def _read(self, labels: list[int]) -> Mapping[int, Row]:
        """Rows by label; a row under a label never changes, so recent ones are kept."""
        recent = self._recent
        missing = [label for label in labels if label not in recent]
        if not missing:
            return recent
        read = self.rows.by_labels(missing)
        if len(recent) + len(read) > _RECENT_ROWS:
            self._recent = {}
        self._recent.update(read)
        return read if len(missing) == len(labels) else {**recent, **read}

    # writing

    async def upsert(self, collection_name: str, entries: list[CacheEntry]) -> None:
        await self._write_entries(collection_name, entries, None)

    async def put(
        self, collection_name: str, entries: list[CacheEntry], on_conflict: OnConflict
    ) -> list[str]:
        return await self._write_entries(collection_name, entries, on_conflict)

    async def _write_entries(
        self, name: str, entries: list[CacheEntry], on_conflict: OnConflict | None
    ) -> list[str]:
        if len(entries) <= _INLINE_ENTRIES:
            return self._write(name, entries, on_conflict)
        return await _finished(self._write, name, entries, on_conflict)

    def _write(self, name: str, entries: list[CacheEntry], on_conflict: OnConflict | None) -> list[str]:
        """Rows, then index. Ids of entries that no longer answer: replaced, evicted or outdated."""
        collection = self._collection(name)
        if not entries:
            return []
        vectors = as_unit_rows(
            [entry.vector for entry in entries], collection.dimension, argument="entries[].vector"
        )
        scoped = np.array([bool(validate_metadata(entry.metadata)) for entry in entries])
        limit = self._settings.max_entries
        with self._writing:
            written = self.rows.write(
                collection.id,
                entries,
                vectors,
                on_conflict=on_conflict,
                now=self._clock(),
                uses=self._uses.take(name) if limit else None,
                max_entries=limit,
                eviction=self._settings.eviction,
            )
            collection.add(np.array(written.labels, dtype=np.uint64), vectors, scoped)
            collection.last_label = written.labels[-1]
            self._hide(collection, written.gone)
            expiries = [entry.expires_at.timestamp() for entry in entries if entry.expires_at]
            collection.next_expiry = min([collection.next_expiry, *expiries])
        return [one.id for one in written.gone] + written.outdated

    async def delete(self, collection_name: str, ids: list[str]) -> None:
        collection = self._collection(collection_name)
        with self._writing:
            self._hide(collection, [Gone(label, "") for label in self.rows.labels(collection.id, ids)])
            self.rows.delete(collection.id, ids)

    def _hide(self, collection: NativeCollection, gone: Sequence[Gone]) -> None:
        collection.remove([one.label for one in gone])
        self._forget_recent(one.label for one in gone)

    async def expire(self, collection_name: str) -> list[str]:
        return await asyncio.to_thread(self._expire, collection_name)

    def _expire(self, name: str) -> list[str]:
        collection, ids = self._collection(name), list[str]()
        while True:
            with self._writing:
                self._hide_expired(collection)
                gone = self.rows.expire(collection.id, self._clock())
                self._hide(collection, gone)
            if not gone:
                return ids
            ids += [one.id for one in gone]

    def touch(self, collection_name: str, entry_id: str) -> None:
        self._uses.add(collection_name, entry_id)

    def _flush_uses(self) -> None:
        """Write the counts that were gathered. Losing them loses no entry, so failing is a warning."""
        if self._opened is None or self.read_only:
            return
        for name in self._uses.collections():
            try:
                row = self.rows.collection(name)
                if row is not None:
                    self.rows.count_uses(row.id, self._uses.take(name))
            except StorageError as error:
                logger.warning("usage counts were not written: %s", error)

    async def drop_collection(self, collection_name: str) -> None:
        row = self.rows.collection(collection_name)
        if row is None:
            return
        with self._writing:
            self._collections.pop(collection_name, None)
            self._recent = {}
            self.rows.drop_collection(row.id)
            if self._checkpoints is not None:
                self._checkpoints.forget(row.id)

    async def update_feedback(self, collection_name: str, point_id: str, correct: bool) -> int:
        collection = self._collection(collection_name)
        with self._writing:
            self._forget_recent(self.rows.labels(collection.id, [point_id]))
            return self.rows.add_feedback(collection.id, point_id, correct)

    def _forget_recent(self, labels: Iterable[int]) -> None:
        for label in labels:
            self._recent.pop(label, None)

    # looking up

    async def scroll(
        self,
        collection_name: str,
        limit: int = 100,
        offset: str | None = None,
        with_vectors: bool = False,
    ) -> tuple[list[CacheResult], str | None]:
        self._flush_uses()
        if limit < 1:
            raise ArgumentValueError("limit", "at least 1", limit)
        if offset is not None and not offset.isdecimal():
            raise ArgumentValueError("offset", "what an earlier scroll returned", offset)
        after = int(offset) if offset is not None else 0
        page = self.rows.page(self._collection(collection_name).id, after, limit + 1)
        more = str(page[limit - 1].label) if len(page) > limit else None
        results = [row.result() for row in page[:limit]]
        if with_vectors:
            for row, result in zip(page, results, strict=False):
                result.vector = self.rows.vector(row.label)
        return results, more

    async def count(self, collection_name: str) -> int:
        return self.rows.count(self._collection(collection_name).id)

    async def find_expired(self, collection_name: str) -> list[str]:
        return self._ids(collection_name, "expires <= ?", self._clock())

    async def find_by_query_hash(self, collection_name: str, query_hash: str) -> list[str]:
        return self._ids(collection_name, "query_hash = ?", query_hash)

    async def find_by_template_id(self, collection_name: str, template_id: str) -> list[str]:
        return self._ids(collection_name, "template = ?", template_id)

    def _ids(self, name: str, condition: str, value: object) -> list[str]:
        return self.rows.ids(self._collection(name).id, condition, (value,))

    async def search_by_normalized_question(
        self, collection_name: str, normalized_question: str
    ) -> CacheResult | None:
        found = await self.with_text(collection_name, normalized_question)
        return found[0].label.result(1.0) if found else None

    async def with_text(self, collection_name: str, normalized_question: str) -> list[Candidate]:
        rows = self.rows.by_normalized(self._collection(collection_name).id, normalized_question)
        return self._live(rows)

    async def with_ids(self, collection_name: str, ids: Sequence[str]) -> list[Candidate]:
        return self._live(self.rows.by_ids(self._collection(collection_name).id, ids))

    def _live(self, rows: Iterable[Row]) -> list[Candidate]:
        now = self._clock()
        return _latest(_candidate(row, 1.0) for row in rows if row.expires is None or row.expires > now)

    async def load_stats(self, collection_name: str) -> PersistedStats | None:
        body = self.rows.load_stats(self._collection(collection_name).id)
        return PersistedStats.model_validate_json(body) if body else None

    async def save_stats(self, collection_name: str, stats: PersistedStats) -> None:
        self.rows.save_stats(self._collection(collection_name).id, stats.model_dump_json())


def _candidate(row: Row, score: float) -> Candidate:
    return Candidate(row.id, score, row.question, row.normalized, row.query, row.metadata, row, row.features)


def _latest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Without those that stand behind a newer entry for the same question and metadata."""
    newest: dict[tuple[str, str], Candidate] = {}
    for one in candidates:
        key = one.normalized_question, dumps_metadata(one.metadata)
        held = newest.get(key)
        if held is None or held.label.label < one.label.label:
            newest[key] = one
    return list(newest.values())


def _directory(path: str | Path) -> Path:
    if "\0" in str(path):
        raise ArgumentValueError("path", "text without NUL characters", path)
    return Path(path).expanduser()


async def _finished(function: Callable[..., T], *arguments: Any) -> T:
    """Run `function` in a thread to its end: a cancelled caller goes on when rows have stopped changing."""
    work = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _pairs(found: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, float]]:
    labels, scores = found
    return list(zip(labels.tolist(), scores.tolist(), strict=True))


class InMemoryBackend(NativeBackend):
    """The embedded store without a path: the same code, nothing on disk."""

    def __init__(self, *, settings: Settings | None = None, clock: Callable[[], float] = time.time):
        super().__init__(None, settings=settings, clock=clock)
