"""Moves collections from one store to another, and makes sure of it.

Entries go over page by page. Each page is first compared with what the target has, so
a migration that was interrupted goes on where it stopped, and one that is run again
writes nothing. The last pass over everything has found nothing to write: that is the
verification. The source is only read.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from medha_core.embedded.backend import NativeBackend
from medha_core.errors import ConfigurationError, StorageError
from medha_core.interfaces import VectorStorageBackend
from medha_core.rows.row import loads_tables
from medha_core.types import CacheEntry, VectorRole

__all__ = ["Moved", "migrate", "move_collection"]

Progress = Callable[[int, int], None]
_PAGE = 200
_PASSES = 4
"""Passes at most: entries that change in the source meanwhile need another."""
_NEARLY = 1e-5
"""Difference of the numbers of two unit vectors that are the same but for rounding."""


class Moved(NamedTuple):
    """One collection that was moved."""

    collection: str
    entries: int
    written: int
    """Of these, how many were written now; the others were there."""
    checksum: str
    """Of all entries on both sides, whatever their order: 128 bits in hexadecimal."""


@runtime_checkable
class Movable(Protocol):
    """What stores must offer beside the contract, to be moved from and verified."""

    async def collection_names(self) -> list[str]:
        """All of them."""
        ...

    async def collection_space(self, collection_name: str) -> tuple[int, str]:
        """Dimension, and the model's fingerprint."""
        ...

    async def entry_ids(self, collection_name: str) -> list[str]:
        """In the order in which they were written."""
        ...

    async def entries(self, collection_name: str, ids: Sequence[str]) -> list[CacheEntry]:
        """Those that are there, with vectors."""
        ...


class _Native:
    """The embedded store as `Movable`."""

    def __init__(self, store: NativeBackend):
        self._store = store

    async def collection_names(self) -> list[str]:
        return await self._store.collection_names()

    async def collection_space(self, collection_name: str) -> tuple[int, str]:
        row = self._store.rows.collection(collection_name)
        if row is None:
            raise StorageError(f"there is no collection {collection_name!r}")
        return row.dimension, row.model

    async def entry_ids(self, collection_name: str) -> list[str]:
        offset, ids = None, list[str]()
        while True:
            page, offset = await self._store.scroll(collection_name, 1000, offset)
            ids += [row.id for row in page]
            if offset is None:
                return ids

    async def entries(self, collection_name: str, ids: Sequence[str]) -> list[CacheEntry]:
        rows = self._store.rows
        collection = rows.collection(collection_name)
        if collection is None:
            return []
        found = {row.id: row for row in rows.by_ids(collection.id, list(ids))}
        entries = []
        for row in (found[entry_id] for entry_id in ids if entry_id in found):
            vector = rows.vector(row.label)
            if vector is None:
                raise StorageError(f"the vector of entry {row.id!r} is damaged")
            entries.append(
                CacheEntry(
                    **row.result().model_dump(exclude={"score", "vector"}),
                    vector=vector,
                    role=VectorRole(row.role),
                    tables=None if row.tables is None else tuple(loads_tables(row.tables)),
                )
            )
        return entries


def _movable(store: VectorStorageBackend) -> Movable:
    if isinstance(store, NativeBackend):
        return _Native(store)
    if isinstance(store, Movable):
        return store
    raise ConfigurationError(f"{type(store).__name__} cannot list its entries, so it cannot be migrated")


async def migrate(
    source: VectorStorageBackend,
    target: VectorStorageBackend,
    collection: str | None = None,
    on_progress: Progress | None = None,
) -> list[Moved]:
    """Move a collection, or all, between two opened stores.

    `on_progress(done, total)` counts the entries of the present collection, from 0
    again at each pass. Raises `StorageError` where the two sides stay different.
    """
    names = [collection] if collection is not None else await _movable(source).collection_names()
    return [await move_collection(source, target, name, on_progress) for name in names]


async def move_collection(
    source: VectorStorageBackend,
    target: VectorStorageBackend,
    collection: str,
    on_progress: Progress | None = None,
) -> Moved:
    """Move one collection; what the target has beside it stays."""
    dimension, model = await _movable(source).collection_space(collection)
    await target.initialize(collection, dimension, model=model)
    written, report = 0, on_progress or (lambda _done, _total: None)
    for _ in range(_PASSES):
        ids = await _movable(source).entry_ids(collection)
        fresh, checksum = await _pass(source, target, collection, ids, report)
        written += fresh
        if not fresh:
            await _move_stats(source, target, collection)
            return Moved(collection, len(ids), min(written, len(ids)), f"{checksum:032x}")
    raise StorageError(
        f"collection {collection!r}: the two stores still differ after {_PASSES} passes; "
        "is somebody writing to them?"
    )


async def _pass(
    source: VectorStorageBackend,
    target: VectorStorageBackend,
    collection: str,
    ids: Sequence[str],
    report: Progress,
) -> tuple[int, int]:
    """Write what the target lacks; how many that were, and the checksum of all."""
    checksum = written = 0
    for start in range(0, len(ids), _PAGE):
        wanted = ids[start : start + _PAGE]
        entries = await _movable(source).entries(collection, wanted)
        held = {entry.id: entry for entry in await _movable(target).entries(collection, wanted)}
        missing = [entry for entry in entries if not _same(entry, held.get(entry.id))]
        if missing:
            await target.upsert(collection, missing)
        written += len(missing)
        for entry in entries:
            checksum = (checksum + _digest(entry)) % (1 << 128)
        report(start + len(wanted), len(ids))
    return written, checksum


def _same(entry: CacheEntry, held: CacheEntry | None) -> bool:
    if held is None or _digest(entry) != _digest(held):
        return False
    unit, other = (np.asarray(one.vector, dtype=np.float64) for one in (entry, held))
    return bool(np.abs(unit / np.linalg.norm(unit) - other / np.linalg.norm(other)).max() < _NEARLY)


def _digest(entry: CacheEntry) -> int:
    """A hash of all that an entry says but its vector."""
    fields = entry.model_dump(exclude={"vector"})
    text = repr([(name, fields[name]) for name in sorted(fields) if name != "metadata"])
    metadata = repr(sorted((key, type(value).__name__, value) for key, value in entry.metadata.items()))
    summed = blake2b(f"{len(text)}:{text}{metadata}".encode("utf-8", "surrogatepass"), digest_size=16)
    return int.from_bytes(summed.digest())


async def _move_stats(source: VectorStorageBackend, target: VectorStorageBackend, collection: str) -> None:
    stats = await source.load_stats(collection)
    if stats is not None and await target.load_stats(collection) is None:
        await target.save_stats(collection, stats)
