"""The contract of a store over any engine's driver."""

import time
from collections.abc import Sequence
from typing import Literal

from medha_core.backends.driver import Where
from medha_core.backends.reading import EngineReading
from medha_core.backends.record import NEVER, Record, Row, Tag, key_of, record_of
from medha_core.backends.spaces import Space
from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConflictError
from medha_core.native import as_unit_rows
from medha_core.types import CacheEntry, PersistedStats

__all__ = ["ForeignBackend"]

_AT_ONCE = 500


class ForeignBackend(EngineReading):
    """A store on an engine outside this library, spoken to through its driver.

    `clock` gives seconds since the epoch, for expiry. Usage counts and
    `Settings.max_entries` belong to the embedded store and are not kept up here.
    Safe to use from several threads and event loops.
    """

    async def upsert(self, collection_name: str, entries: list[CacheEntry]) -> None:
        space = await self._space(collection_name)
        await self._write(space, self._records(space, entries))

    async def put(
        self,
        collection_name: str,
        entries: list[CacheEntry],
        on_conflict: Literal["replace", "keep_both", "error"],
    ) -> list[str]:
        """Entries are written first, and those they replace deleted then: a question is never without answer.

        Two processes that store the same question at the same time may both find nothing
        to replace; the newest answers.
        """
        space = await self._space(collection_name)
        records = self._records(space, entries)
        if not records:
            return []
        new = {record.key for record in records}
        others = await self._same(space, entries)
        if on_conflict == "error":
            self._refuse(entries, others)
        await self._write(space, records)
        ids = [row.result.id for row in others if key_of(row.result.id) not in new]
        if on_conflict != "keep_both":
            await self.delete(collection_name, ids)
        return ids

    async def _same(self, space: Space, entries: Sequence[CacheEntry]) -> list[Row]:
        """Rows stored under the question and metadata of one of the entries."""
        tags = {Tag.same(entry.original_question, entry.metadata) for entry in entries}
        return await self._rows(space, Where(any_of=tuple(sorted(tags))))

    def _refuse(self, entries: Sequence[CacheEntry], others: Sequence[Row]) -> None:
        now = self._clock()
        held: dict[str, tuple[str, str]] = {
            Tag.same(row.result.original_question, row.result.metadata): (
                row.result.query_hash,
                row.result.generated_query,
            )
            for row in others
            if row.result.expires_at is None or row.result.expires_at.timestamp() > now
        }
        for entry in entries:
            same = Tag.same(entry.original_question, entry.metadata)
            stored = held.setdefault(same, (entry.query_hash, entry.generated_query))
            if stored[0] != entry.query_hash:
                raise ConflictError(entry.original_question, stored[1], entry.generated_query)

    def _records(self, space: Space, entries: Sequence[CacheEntry]) -> list[Record]:
        """The records of entries, of the same id the last one. Raises before anything is written."""
        if not entries:
            return []
        vectors = as_unit_rows(
            [entry.vector for entry in entries], space.dimension, argument="entries[].vector"
        )
        written = time.time_ns()
        records = {
            entry.id: record_of(_checked(entry), vector, written + i)
            for i, (entry, vector) in enumerate(zip(entries, vectors, strict=True))
        }
        return list(records.values())

    async def _write(self, space: Space, records: Sequence[Record]) -> None:
        size = self._driver.batch
        for start in range(0, len(records), size):
            await self._finish("writing", "write", space.name, records[start : start + size])

    async def delete(self, collection_name: str, ids: list[str]) -> None:
        space = await self._space(collection_name)
        keys = [key_of(entry_id) for entry_id in ids]
        for start in range(0, len(keys), _AT_ONCE):
            await self._finish("deleting", "delete", space.name, keys[start : start + _AT_ONCE])

    async def update_feedback(self, collection_name: str, point_id: str, correct: bool) -> int:
        space = await self._space(collection_name)
        return int(
            await self._call(
                "counting feedback", "add_feedback", space.name, key_of(point_id), correct, again=False
            )
        )

    async def save_stats(self, collection_name: str, stats: PersistedStats) -> None:
        space = await self._space(collection_name)
        text = stats.model_dump_json()
        await self._finish("writing statistics", "write_note", space.name, "stats", text)


def _checked(entry: CacheEntry) -> CacheEntry:
    if not isinstance(entry, CacheEntry):
        raise ArgumentTypeError("entries", "a list of CacheEntry", entry)
    if entry.expires_at is not None and entry.expires_at.timestamp() >= NEVER:
        raise ArgumentValueError("entries[].expires_at", "a time before the year 10000", entry.expires_at)
    return entry
