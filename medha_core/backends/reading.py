"""Searching an engine and looking entries up."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.record import PLAIN, UNREAD, Row, Tag, entry_of, key_of, result_of
from medha_core.backends.spaces import EngineSpaces, Space
from medha_core.backends.together import Together
from medha_core.errors import ArgumentValueError
from medha_core.interfaces import Candidate
from medha_core.metadata import dumps_metadata, metadata_matches, validate_metadata
from medha_core.native import as_unit_rows, question_key
from medha_core.types import CacheEntry, CacheResult, MetadataValue, PersistedStats

__all__ = ["EngineReading"]

_PAGE = 500


class _Kind(NamedTuple):
    """What searches have in common that may travel together; the moment of expiry is that of the last."""

    space: str
    limit: int
    where: Where


class EngineReading(EngineSpaces):
    """The part of a store that reads."""

    def __init__(self, driver: Driver, *, clock: Callable[[], float] = time.time):
        super().__init__(driver, clock=clock)
        self._searches = Together(self._search, driver.together)
        self._lookups = Together(self._look_up, _PAGE)

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
        rows = await self._nearest(collection_name, vector, limit, score_threshold, filters, True)
        return [row.result for row in rows]

    async def candidates(
        self,
        collection_name: str,
        vector: Sequence[float] | np.ndarray,
        limit: int,
        score_threshold: float,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = False,
    ) -> list[Candidate]:
        rows = await self._nearest(collection_name, vector, limit, score_threshold, filters, include_scoped)
        return [_candidate(row) for row in _latest(rows)]

    async def fetch(self, collection_name: str, candidate: Candidate) -> CacheResult | None:
        """The row came with the candidate: no second round trip."""
        row = candidate.label
        if not isinstance(row, CacheResult):
            return None
        return None if row.expires_at and row.expires_at.timestamp() <= self._clock() else row

    async def _nearest(
        self,
        collection: str,
        vector: Sequence[float] | np.ndarray,
        limit: int,
        threshold: float,
        filters: Mapping[str, MetadataValue] | None,
        include_scoped: bool,
    ) -> list[Row]:
        """Best first; of equal scores the newest first."""
        if limit < 1:
            raise ArgumentValueError("limit", "at least 1", limit)
        space = await self._space(collection)
        query = as_unit_rows(np.asarray(vector), space.dimension, argument="vector")[0]
        checked = validate_metadata(filters, label="filters")
        tags = tuple(Tag.metadata(key, value) for key, value in checked.items())
        if not tags and not include_scoped:
            tags = (PLAIN,)
        where = Where(all_of=tags, alive_at=self._clock())
        found = await self._searches.ask(
            _Kind(space.name, limit, where._replace(alive_at=None)), (query, where)
        )
        rows = [result_of(record, cosine) for record, cosine in found if cosine >= threshold]
        rows = [row for row in rows if metadata_matches(row.result.metadata, checked)]
        rows.sort(key=lambda row: (-row.result.score, -row.written))
        return rows

    async def _search(self, kind: "_Kind", asked: Sequence[tuple[np.ndarray, Where]]) -> list[Nearest]:
        vectors, (_, where) = np.array([vector for vector, _ in asked]), asked[-1]
        found: list[Nearest] = await self._call(
            "searching", "nearest", kind.space, vectors, kind.limit, where
        )
        return found

    # looking up

    async def scroll(
        self,
        collection_name: str,
        limit: int = 100,
        offset: str | None = None,
        with_vectors: bool = False,
    ) -> tuple[list[CacheResult], str | None]:
        """In an order of its own that writing does not change."""
        if limit < 1:
            raise ArgumentValueError("limit", "at least 1", limit)
        if offset is not None and not _is_key(offset):
            raise ArgumentValueError("offset", "what an earlier scroll returned", offset)
        space = await self._space(collection_name)
        where = Where(after=offset or "")
        page = await self._call("scrolling", "select", space.name, where, limit + 1, with_vectors)
        results = [result_of(record).result for record in page[:limit]]
        return results, page[limit - 1].key if len(page) > limit else None

    async def count(self, collection_name: str) -> int:
        return int(await self._call("counting", "count", (await self._space(collection_name)).name))

    async def find_expired(self, collection_name: str) -> list[str]:
        return await self._ids(collection_name, Where(expired_at=self._clock()))

    async def find_by_query_hash(self, collection_name: str, query_hash: str) -> list[str]:
        return await self._ids(collection_name, Where(all_of=(Tag.query(query_hash),)))

    async def find_by_template_id(self, collection_name: str, template_id: str) -> list[str]:
        return await self._ids(collection_name, Where(all_of=(Tag.template(template_id),)))

    async def _ids(self, collection: str, where: Where) -> list[str]:
        """Ids, in the order in which the entries were written."""
        rows = await self._rows(await self._space(collection), where)
        return [row.result.id for row in sorted(rows, key=lambda row: row.written)]

    async def _rows(self, space: Space, where: Where) -> list[Row]:
        rows: list[Row] = []
        while True:
            page = await self._call("looking up", "select", space.name, where, _PAGE)
            rows += [result_of(record, 1.0) for record in page]
            if len(page) < _PAGE:
                return rows
            where = where._replace(after=page[-1].key)

    async def search_by_normalized_question(
        self, collection_name: str, normalized_question: str
    ) -> CacheResult | None:
        space = await self._space(collection_name)
        where = Where(all_of=(Tag.question(normalized_question),), alive_at=self._clock())
        rows = await self._rows(space, where)
        return max(rows, key=lambda row: row.written).result if rows else None

    async def with_ids(self, collection_name: str, ids: Sequence[str]) -> list[Candidate]:
        return [_candidate(row) for row in _latest(await self._lookups.ask(collection_name, ids))]

    async def _look_up(self, collection: str, asked: Sequence[Sequence[str]]) -> list[list[Row]]:
        rows = await self._by_ids(collection, [entry_id for ids in asked for entry_id in ids], self._clock())
        held = {row.result.id: row for row in rows}
        return [[held[entry_id] for entry_id in dict.fromkeys(ids) if entry_id in held] for ids in asked]

    async def _by_ids(self, collection: str, ids: Sequence[str], alive_at: float | None) -> list[Row]:
        space, rows = await self._space(collection), list[Row]()
        keys = sorted({key_of(entry_id) for entry_id in ids})
        for start in range(0, len(keys), _PAGE):
            where = Where(keys=tuple(keys[start : start + _PAGE]), alive_at=alive_at)
            rows += await self._rows(space, where)
        return rows

    async def has_collection(self, collection_name: str) -> bool:
        return await self._known(collection_name) is not None

    async def get(self, collection_name: str, ids: Sequence[str]) -> list[CacheResult]:
        rows = await self._by_ids(collection_name, ids, None)
        order = {entry_id: place for place, entry_id in enumerate(ids)}
        return sorted((row.result for row in rows), key=lambda result: order[result.id])

    async def entry_ids(self, collection_name: str) -> list[str]:
        """Ids of all entries, expired ones too, in the order in which they were written."""
        return await self._ids(collection_name, Where())

    async def entries(self, collection_name: str, ids: Sequence[str]) -> list[CacheEntry]:
        """The entries with these ids that are there, whole and with their vectors, in the order of `ids`."""
        space, held = await self._space(collection_name), dict[str, CacheEntry]()
        for start in range(0, len(ids), _PAGE):
            keys = tuple(sorted({key_of(entry_id) for entry_id in ids[start : start + _PAGE]}))
            page = await self._call("reading", "select", space.name, Where(keys=keys), len(keys), True)
            for entry in map(entry_of, page):
                held[entry.id] = entry
        return [held[entry_id] for entry_id in ids if entry_id in held]

    async def find_by_filters(self, collection_name: str, filters: Mapping[str, MetadataValue]) -> list[str]:
        """Ids of all entries whose metadata equals `filters`, expired ones too; without filters, of none."""
        checked = validate_metadata(filters, label="filters")
        if not checked:
            return []
        tags = tuple(Tag.metadata(key, value) for key, value in checked.items())
        return await self._ids(collection_name, Where(all_of=tags))

    async def find_by_tables(self, collection_name: str, names: Sequence[str]) -> list[str]:
        """Ids of the entries that were stored with one of these names among their tables."""
        if not names:
            return []
        return await self._ids(collection_name, Where(any_of=tuple(Tag.table(name) for name in set(names))))

    async def find_unread(self, collection_name: str) -> list[str]:
        return await self._ids(collection_name, Where(all_of=(UNREAD,)))

    async def load_stats(self, collection_name: str) -> PersistedStats | None:
        space = await self._space(collection_name)
        note = await self._call("reading statistics", "read_note", space.name, "stats")
        return PersistedStats.model_validate_json(note) if note else None


def _is_key(text: str) -> bool:
    return len(text) == 32 and not set(text) - set("0123456789abcdef")


def _candidate(row: Row) -> Candidate:
    found = row.result
    return Candidate(
        found.id,
        found.score,
        found.original_question,
        found.normalized_question,
        found.generated_query,
        found.metadata,
        found,
    )


def _latest(rows: Iterable[Row]) -> list[Row]:
    """Without those that stand behind a newer entry for the same question and metadata."""
    newest: dict[tuple[bytes, str], Row] = {}
    for row in rows:
        same = question_key(b"", row.result.original_question), dumps_metadata(row.result.metadata)
        held = newest.get(same)
        if held is None or held.written < row.written:
            newest[same] = row
    return list(newest.values())
