"""Writing into the embedded store: rows, then index; and the other way round to forget."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from medha_core.embedded.collection import NativeCollection
from medha_core.embedded.joining import join_later
from medha_core.embedded.keeping import NativeKeeping
from medha_core.metadata import validate_metadata
from medha_core.native import as_unit_rows
from medha_core.rows import Gone, Written
from medha_core.rows.changes import OnConflict
from medha_core.types import CacheEntry

__all__ = ["NativeWriting"]

T = TypeVar("T")

_INLINE_ENTRIES = 16
"""Up to this many entries are written on the caller's thread: it takes less than a millisecond."""


class NativeWriting(NativeKeeping):
    """The methods of `NativeBackend` that change entries."""

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
        vectors = as_unit_rows(_vectors_of(entries), collection.dimension, argument="entries[].vector")
        scoped = np.array([bool(validate_metadata(entry.metadata)) for entry in entries])
        limit = self._settings.max_entries
        with self._writing:
            self._hide_expired(collection)
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
            labels = written.labels
            collection.add(np.array(labels, dtype=np.uint64), vectors, scoped)
            collection.last_label = labels[-1]
            self._hide(collection, written.gone)
            if len(entries) <= _INLINE_ENTRIES:  # of a load, few are asked for soon
                self._recent.keep(written.rows)
            self._note_expiries(collection, written)
            if written.gone or written.outdated:
                self._tell_readers()
            self._look_after(collection, len(entries))
        return [one.id for one in written.gone] + written.outdated

    def _note_expiries(self, collection: NativeCollection, written: Written) -> None:
        """See to it that the index hides new rows when they expire, and those that have by its last sweep."""
        mortal = [row for row in written.rows if row.expires is not None]
        collection.next_expiry = min([collection.next_expiry, *(row.expires for row in mortal)])
        collection.remove([row.label for row in mortal if row.expires <= collection.swept])

    async def delete(self, collection_name: str, ids: list[str]) -> None:
        collection = self._collection(collection_name)
        with self._writing:
            self._hide(collection, self.rows.delete(collection.id, ids))
            self._tell_readers()
            self._look_after(collection, len(ids))

    def _look_after(self, collection: NativeCollection, entries: int) -> None:
        join_later(collection, self._keeper)
        if self._upkeep is not None and self.mode == "r+":
            self._upkeep.changed(collection, entries)

    def _hide(self, collection: NativeCollection, gone: Sequence[Gone]) -> None:
        if gone:
            collection.remove([one.label for one in gone])
            self._recent.forget(one.label for one in gone)

    async def expire(self, collection_name: str) -> list[str]:
        return await asyncio.to_thread(self._expire, collection_name)

    def _expire(self, name: str) -> list[str]:
        collection, ids = self._collection(name), list[str]()
        while True:
            with self._writing:
                self._hide_expired(collection)
                gone = self.rows.expire(collection.id, self._clock())
                self._hide(collection, gone)
                if gone:
                    self._tell_readers()
                    self._look_after(collection, len(gone))
            if not gone:
                return ids
            ids += [one.id for one in gone]

    def touch(self, collection_name: str, entry_id: str) -> None:
        if self._uses.add(collection_name, entry_id):
            self._keeper.do("uses", self._flush_uses)

    async def update_feedback(self, collection_name: str, point_id: str, correct: bool) -> int:
        collection = self._collection(collection_name)
        with self._writing:
            count = self.rows.add_feedback(collection.id, point_id, correct)
            self._recent.forget(self.rows.labels(collection.id, [point_id]))
            self._tell_readers()
        return count


def _vectors_of(entries: Sequence[CacheEntry]) -> Any:
    """One row for each; that of a single array is no copy."""
    if len(entries) == 1 and isinstance(entries[0].vector, np.ndarray):
        return entries[0].vector[np.newaxis]
    return [entry.vector for entry in entries]


async def _finished(function: Callable[..., T], *arguments: Any) -> T:
    """Run `function` in a thread to its end: a cancelled caller goes on when rows have stopped changing."""
    work = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
