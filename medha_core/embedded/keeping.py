"""The life of the embedded store: opening, following the rows, keeping its indexes, closing."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, get_args

from pydantic import ValidationError

from medha_core.concurrency.forking import rlock, still, unwatch, watch
from medha_core.concurrency.keeper import Keeper
from medha_core.directory import INDEX
from medha_core.embedded.checkpoint import Checkpoints
from medha_core.embedded.collection import NativeCollection
from medha_core.embedded.generation import Generation
from medha_core.embedded.joining import join_later
from medha_core.embedded.opening import Opened, open_store
from medha_core.embedded.upkeep import Limits, Upkeep
from medha_core.embedded.uses import PendingUses
from medha_core.errors import ArgumentValueError, StorageError, StorageInitializationError
from medha_core.interfaces.storage import VectorStorageBackend
from medha_core.native import VectorIndex
from medha_core.rows import CollectionRow, RecentRows, Rows, check_space
from medha_core.rows.database import Mode
from medha_core.settings import Settings
from medha_core.snapshot import IndexSource, Progress, write_snapshot
from medha_core.types import PersistedStats

__all__ = ["NativeKeeping"]

logger = logging.getLogger("medha_core")


class NativeKeeping(VectorStorageBackend):
    """What `NativeBackend` holds, from the opening of its directory to its close."""

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
        self._spaces: dict[str, tuple[int, str]] = {}
        """By collection, dimension and model that `initialize` was called with: they hold for as long as this
        object lives, whatever another process makes of the collection."""
        self._recent = RecentRows()
        self._checkpoints: Checkpoints | None = None
        self._upkeep: Upkeep | None = None
        self._generation: Generation | None = None
        self._told = 0
        """Times that this object has changed what others may hold in memory."""
        self._data_version = 0
        self._news = False
        """Whether something was followed that `refresh` has not told yet."""
        self._uses = PendingUses()
        self._keeper = Keeper()
        self._stilled: list[VectorIndex] = []
        self._writing = rlock()
        """Held by whoever changes rows and index together, so that both change in the same order."""

    def __repr__(self) -> str:
        held = ", ".join(f"{name!r}: {_state(collection)}" for name, collection in self._collections.items())
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
                self._keeper = Keeper()
                self._opened = open_store(self.path, self.mode, self._settings.synchronous)
                self._data_version = self.rows.data_version()
                if self._settings.max_entries and not self.read_only:
                    self.rows.index_for_eviction(self._settings.eviction)
                if self._opened.directory is None:
                    still(self)
                else:
                    self._attend(self._opened.directory)

    def _attend(self, directory: Path) -> None:
        """Set up what a store in a directory has beside its rows."""
        self._checkpoints = Checkpoints(directory / INDEX)
        if self.mode == "r+":
            self._checkpoints.clean()
        limits = Limits(self._settings.checkpoint_changes, self._settings.compact_above)
        self._upkeep = Upkeep(directory, self._checkpoints, self.rows, self._writing, limits, self._keeper)
        if self.mode != "c":
            self._generation = Generation(directory, write=not self.read_only)
        watch(self)

    async def close(self) -> None:
        self._flush_uses()
        self._keeper.close()  # without the lock for writing, which its work may take
        with self._writing:
            if self._opened is not None and self._checkpoints is not None and self.mode == "r+":
                for collection in self._collections.values():
                    self._checkpoints.save(collection, self.rows)
            opened, self._opened = self._opened, None
            for collection in self._collections.values():
                collection.release()
            self._collections.clear()
            self._recent.clear()
            self._generation = self._upkeep = None
            unwatch(self)
            if opened is not None:
                opened.close()

    def abandon(self) -> None:
        """In a forked child: whatever is asked from now on goes to the rows, which refuse it."""
        self._collections, self._recent, self._uses = {}, RecentRows(), PendingUses()
        self._generation = self._upkeep = None
        self._keeper = Keeper()

    def hold(self) -> None:
        """For the moment of a fork: nobody is inside an index."""
        self._stilled = [index for one in self._collections.values() for index in (one.unscoped, one.scoped)]
        for index in self._stilled:
            index.hold()

    def let_go(self, in_child: bool) -> None:
        """The end of `hold`."""
        for index in self._stilled:
            index.let_go(in_child)
        self._stilled = []

    @property
    def generation(self) -> int:
        """A number that moves when entries were replaced, forgotten or judged, here or by the writer."""
        found = self._generation
        return self._told + found.read() if found is not None and self.read_only else self._told

    def _tell_readers(self) -> None:
        """Move the number, once rows and index have changed. The caller holds the lock for writing."""
        self._told += 1
        if self._generation is not None:
            self._generation.advance()

    @property
    def rows(self) -> Rows:
        if self._opened is None:
            raise StorageError("the store is not open: call connect() first, and nothing after close()")
        return self._opened.rows

    async def collection_names(self) -> list[str]:
        """Names of all collections, in the order they were made."""
        return [row.name for row in self.rows.collections()]

    def tombstones(self, collection_name: str) -> int:
        """Entries of a collection that are gone and still take room in its index."""
        return self._collection(collection_name).tombstones()

    async def has_collection(self, collection_name: str) -> bool:
        """Whether the collection exists."""
        return collection_name in self._collections or self.rows.collection(collection_name) is not None

    async def refresh(self) -> bool:
        """See what another process has written since; whether there was anything."""
        if self.read_only:
            await asyncio.to_thread(self._follow)
        news, self._news = self._news, False
        return news

    def _follow(self) -> None:
        with self._writing:
            if self._generation is not None:
                self._generation.open()
            version = self.rows.data_version()
            if version == self._data_version:
                return
            for name, collection in list(self._collections.items()):
                row = self.rows.collection(name)
                if row is None or row.id != collection.id:
                    del self._collections[name]
                else:
                    collection.catch_up(self.rows)
            self._recent.clear()
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
        self._spaces[collection_name] = dimension, model
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
            collection.replayed = replayed
            logger.info("collection %r: index mapped, %d changes replayed from the rows", row.name, replayed)
            if self._upkeep is not None:
                self._upkeep.opened(collection)
        join_later(collection, self._keeper)
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
        check_space(row, *self._spaces.get(name, (row.dimension, "")))
        with self._writing:
            if name not in self._collections:
                self._collections[name] = self._load(row)
            return self._collections[name]

    async def snapshot(self, directory: Path, on_progress: Progress | None = None) -> Path:
        """Write all collections as a snapshot, see `medha_core.snapshot.write_snapshot`."""
        self._flush_uses()
        source = IndexSource(lambda _: self._make_index, self._checkpoints)
        return await asyncio.to_thread(write_snapshot, self.rows, directory, source, on_progress)

    def _hide_expired(self, collection: NativeCollection) -> None:
        """Take out of the index what has expired; its rows stay until they are deleted."""
        now = self._clock()
        if collection.swept <= now < collection.next_expiry:
            return
        with self._writing:
            collection.sweep(self.rows, now)

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
            self._recent.clear()
            self.rows.drop_collection(row.id)
            if self._checkpoints is not None:
                self._checkpoints.forget(row.id)
            self._tell_readers()

    async def load_stats(self, collection_name: str) -> PersistedStats | None:
        return _kept_stats(self.rows.load_stats(self._collection(collection_name).id))

    async def save_stats(self, collection_name: str, stats: PersistedStats) -> None:
        body = stats.model_dump_json()
        self.rows.change_stats(self._collection(collection_name).id, lambda _: body)

    async def add_stats(self, collection_name: str, delta: PersistedStats) -> PersistedStats:
        """Add to the statistics that are kept, in one transaction; the sum."""

        def add(body: str | None) -> str:
            return ((_kept_stats(body) or PersistedStats()) + delta).model_dump_json()

        body = self.rows.change_stats(self._collection(collection_name).id, add)
        return PersistedStats.model_validate_json(body)


def _kept_stats(body: str | None) -> PersistedStats | None:
    """What the rows have; counts that are damaged begin anew."""
    try:
        return PersistedStats.model_validate_json(body) if body else None
    except ValidationError:
        logger.warning("the statistics of a collection are damaged and begin anew")
        return None


def _state(collection: NativeCollection) -> str:
    replayed = f" ({collection.replayed} changes replayed)" if collection.replayed else ""
    return f"{len(collection)}{replayed}"


def _directory(path: str | Path) -> Path:
    if "\0" in str(path):
        raise ArgumentValueError("path", "text without NUL characters", path)
    return Path(path).expanduser()
