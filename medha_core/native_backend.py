"""The embedded store: rows in SQLite, vectors in the native index, in this process.

Writing goes rows, then index; forgetting goes index, then rows. So a search
never finds what is not durable, and never what is being forgotten.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medha_core.directory_lock import DirectoryLock
from medha_core.errors import ArgumentValueError, StorageError
from medha_core.interfaces.storage import Candidate, VectorStorageBackend
from medha_core.metadata import metadata_fingerprint, validate_metadata
from medha_core.native import VectorIndex, as_unit_rows
from medha_core.rows import CollectionRow, Row, Rows, check_space
from medha_core.settings import Settings
from medha_core.types import CacheEntry, CacheResult, MetadataValue, PersistedStats

__all__ = ["InMemoryBackend", "NativeBackend"]

_INLINE_ENTRIES = 16
"""Up to this many entries are written on the caller's thread: it takes less than a millisecond."""
_RECENT_ROWS = 65_536


class _Collection:
    """One collection's vectors: entries without metadata apart from those with (scoped) metadata.

    A search without filters must not see scoped entries, and no entry without
    metadata can satisfy a filter; so each kind of search has its own index.
    """

    def __init__(self, row: CollectionRow, make_index: Callable[[int], VectorIndex]):
        self.row = row
        self.id, self.dimension = row.id, row.dimension
        self.unscoped = make_index(self.dimension)
        self.scoped = make_index(self.dimension)
        self.version = 0
        """Changes with every write; what was derived from rows is valid for one version."""
        self.allowed: dict[str, tuple[int, np.ndarray]] = {}
        self.swept = float("-inf")
        self.next_expiry = float("-inf")

    def add(self, labels: np.ndarray, vectors: np.ndarray, scoped: np.ndarray) -> None:
        for index, chosen in ((self.unscoped, ~scoped), (self.scoped, scoped)):
            if chosen.all():
                index.add(labels, vectors)
            elif chosen.any():
                index.add(labels[chosen], vectors[chosen])

    def remove(self, labels: Sequence[int]) -> None:
        if labels:
            array = np.array(labels, dtype=np.uint64)
            self.unscoped.remove(array)
            self.scoped.remove(array)

    def holds(self, label: int) -> bool:
        return label in self.unscoped or label in self.scoped


class NativeBackend(VectorStorageBackend):
    """The embedded vector store, the default of `Medha`.

    Args:
        path: directory of the store; None keeps everything in memory.
        settings: index and storage settings; the arguments above win over them.
        clock: seconds since the epoch, for expiry.

    Safe to use from several threads. One process at a time may hold a directory.
    """

    supports_metadata: ClassVar[bool] = True
    local: ClassVar[bool] = True

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self._settings = settings or Settings()
        self.path = None if path is None else _directory(path)
        self._clock = clock
        self._rows: Rows | None = None
        self._opened = ExitStack()
        """What `close` gives back: the rows, then the directory."""
        self._collections: dict[str, _Collection] = {}
        self._recent: dict[int, Row] = {}
        self._writing = threading.RLock()
        """Held by whoever changes rows and index together, so that both change in the same order."""

    def __repr__(self) -> str:
        held = ", ".join(
            f"{name!r}: {len(c.unscoped) + len(c.scoped)}" for name, c in self._collections.items()
        )
        return f"<{type(self).__name__} {self.path or 'in memory'} {{{held}}}>"

    # life

    async def connect(self) -> None:
        with self._writing:
            if self._rows is not None:
                return
            with ExitStack() as opened:
                if self.path is not None:
                    _make_directory(self.path)
                    opened.callback(DirectoryLock(self.path).release)
                file = None if self.path is None else self.path / "entries.db"
                rows = Rows(file, synchronous=self._settings.synchronous)
                opened.callback(rows.close)
                self._rows, self._opened = rows, opened.pop_all()

    async def close(self) -> None:
        with self._writing:
            self._rows = None
            self._collections.clear()
            self._recent.clear()
            self._opened.close()

    @property
    def rows(self) -> Rows:
        if self._rows is None:
            raise StorageError("the store is not open: call connect() first, and nothing after close()")
        return self._rows

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
            row = self.rows.create_collection(name, dimension, model)
            if name not in self._collections:
                self._collections[name] = self._load(row)

    def _load(self, row: CollectionRow) -> _Collection:
        """The collection with its vectors read from the rows."""
        collection = _Collection(row, self._make_index)
        last = 0
        while True:
            labels, vectors, scoped = self.rows.vectors(row.id, row.dimension, after=last)
            if not len(labels):
                return collection
            try:
                collection.add(labels, vectors, scoped)
            except ArgumentValueError as error:
                raise StorageError(f"a stored vector of {self.path} is damaged: {error}") from error
            last = int(labels[-1])

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

    def _collection(self, name: str) -> _Collection:
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
        return [rows[label].result(score) for label, score in found if label in rows]

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
        return [
            Candidate(row.id, score, row.question, row.normalized, row.query, row.metadata, row)
            for label, score in found
            if (row := rows.get(label)) is not None
        ]

    async def fetch(self, collection_name: str, candidate: Candidate) -> CacheResult | None:
        row: Row = candidate.label
        expired = row.expires is not None and row.expires <= self._clock()
        if expired or not self._collection(collection_name).holds(row.label):
            return None
        return row.result(candidate.score)

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

    def _allowed(self, collection: _Collection, filters: Mapping[str, MetadataValue]) -> np.ndarray:
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

    def _hide_expired(self, collection: _Collection) -> None:
        """Take out of the index what has expired; its rows stay until they are deleted."""
        now = self._clock()
        if now < collection.next_expiry:
            return
        with self._writing:
            gone, upcoming = self.rows.expiring(collection.id, collection.swept, now)
            collection.remove(gone)
            collection.swept, collection.next_expiry = now, upcoming

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
        if len(entries) <= _INLINE_ENTRIES:
            self._upsert(collection_name, entries)
        else:
            await _finished(self._upsert, collection_name, entries)

    def _upsert(self, name: str, entries: Iterable[CacheEntry]) -> None:
        collection = self._collection(name)
        latest = list({entry.id: entry for entry in entries}.values())
        if not latest:
            return
        vectors = as_unit_rows(
            [entry.vector for entry in latest], collection.dimension, argument="entries[].vector"
        )
        scoped = np.array([bool(validate_metadata(entry.metadata)) for entry in latest])
        with self._writing:
            added, gone = self.rows.replace(collection.id, latest, vectors)
            collection.add(np.array(added, dtype=np.uint64), vectors, scoped)
            collection.remove(gone)
            collection.version += 1
            expiries = [entry.expires_at.timestamp() for entry in latest if entry.expires_at]
            collection.next_expiry = min([collection.next_expiry, *expiries])
            # After a clock was set back, an entry may expire before the time swept up to.
            collection.swept = min([collection.swept, *expiries])
            self._forget_recent(gone)

    async def delete(self, collection_name: str, ids: list[str]) -> None:
        collection = self._collection(collection_name)
        with self._writing:
            labels = self.rows.labels(collection.id, ids)
            collection.remove(labels)
            self._forget_recent(labels)
            self.rows.delete(collection.id, ids)
            collection.version += 1

    async def drop_collection(self, collection_name: str) -> None:
        row = self.rows.collection(collection_name)
        if row is None:
            return
        with self._writing:
            self._collections.pop(collection_name, None)
            self._recent = {}
            self.rows.drop_collection(row.id)

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
        return [
            Candidate(row.id, 1.0, row.question, row.normalized, row.query, row.metadata, row)
            for row in rows
            if row.expires is None or row.expires > now
        ]

    async def load_stats(self, collection_name: str) -> PersistedStats | None:
        body = self.rows.load_stats(self._collection(collection_name).id)
        return PersistedStats.model_validate_json(body) if body else None

    async def save_stats(self, collection_name: str, stats: PersistedStats) -> None:
        self.rows.save_stats(self._collection(collection_name).id, stats.model_dump_json())


def _directory(path: str | Path) -> Path:
    if "\0" in str(path):
        raise ArgumentValueError("path", "text without NUL characters", path)
    return Path(path).expanduser()


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"path: cannot make the directory {path}: {error.strerror}") from error


async def _finished(function: Callable[..., None], *arguments: Any) -> None:
    """Run `function` in a thread to its end: a cancelled caller goes on when rows have stopped changing."""
    work = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    try:
        await asyncio.shield(work)
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
