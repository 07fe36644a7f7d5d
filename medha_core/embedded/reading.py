"""Reading from the embedded store: searching by vector, looking up by text, id and condition."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import numpy as np

from medha_core.embedded.collection import NativeCollection
from medha_core.embedded.keeping import NativeKeeping
from medha_core.embedded.spelling import Spellings
from medha_core.errors import ArgumentValueError
from medha_core.interfaces.storage import Candidate
from medha_core.metadata import dumps_metadata, metadata_fingerprint, metadata_matches, validate_metadata
from medha_core.native import question_key
from medha_core.rows import Row
from medha_core.rows.lookups import with_text
from medha_core.types import CacheResult, MetadataValue

__all__ = ["NativeReading"]

_BY_SCORE_AND_LABEL = itemgetter(1, 0)
_ROWS_AT_ONCE = 64


class NativeReading(NativeKeeping):
    """The methods of `NativeBackend` that change nothing."""

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
        if self.read_only and not all(rows):
            # The writer has replaced one of them: what took its place is found only now.
            await asyncio.to_thread(self._follow)
            found = self._nearest(collection_name, vector, limit, score_threshold, filters, include_scoped)
            rows = self._read([label for label, _ in found])
        pairs = zip(rows, found, strict=True)
        proposed = [_candidate(row, score) for row, (_, score) in pairs if row is not None]
        if filters:
            proposed = [one for one in proposed if metadata_matches(one.metadata, filters)]
        return _latest(proposed)

    async def fetch(self, collection_name: str, candidate: Candidate) -> Row | None:
        row: Row = candidate.label
        if row.expires is not None and row.expires <= self._clock():
            return None
        # A reader may know a row by its text before its index does.
        alive = self._collection(collection_name).holds(row.label) or (
            self.read_only and self.rows.by_labels([row.label])
        )
        return row if alive else None

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
        if collection.unverified:
            found = self._confirmed(collection, query, found, threshold)
        found.sort(key=_BY_SCORE_AND_LABEL, reverse=True)
        if found and found[0][1] > 1.0:
            found = [(label, min(1.0, score)) for label, score in found]
        return found[:limit]

    def _confirmed(
        self,
        collection: NativeCollection,
        query: np.ndarray,
        found: list[tuple[int, float]],
        threshold: float,
    ) -> list[tuple[int, float]]:
        """What the rows' own vectors say of labels that an index nobody has verified yet proposes."""
        known = self.rows.vectors_of(collection.id, collection.dimension, [label for label, _ in found])
        scores = known.vectors @ (query / np.float32(np.linalg.norm(query)))
        return [
            pair for pair in zip(known.labels.tolist(), scores.tolist(), strict=True) if pair[1] >= threshold
        ]

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

    def _read(self, labels: Sequence[int]) -> list[Row | None]:
        """The rows of these labels in their order, None for one that is not there."""
        rows = self._recent.of(labels)
        if not all(rows):  # a row is never false
            known = zip(labels, rows, strict=True)
            read = self.rows.by_labels([label for label, row in known if row is None])
            self._recent.keep(read.values())
            rows = [row or read.get(label) for label, row in zip(labels, rows, strict=True)]
        return rows

    def _read_ids(self, collection: NativeCollection, ids: Sequence[str]) -> list[Row]:
        """The rows of these ids that are there, in the order of `ids`."""
        held = self._recent.of_ids(collection.id, ids)
        rows = {entry_id: row for entry_id, row in held.items() if collection.holds(row.label)}
        missing = [entry_id for entry_id in ids if entry_id not in rows]
        if missing:
            read = self.rows.by_ids(collection.id, missing)
            self._recent.keep(read)
            rows |= {row.id: row for row in read}
        return [rows[entry_id] for entry_id in ids if entry_id in rows]

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

    async def find_by_tables(self, collection_name: str, names: Sequence[str]) -> list[str]:
        """Ids of the entries that were stored with one of these names among their tables."""
        return self.rows.ids_of_tables(self._collection(collection_name).id, names)

    async def find_unread(self, collection_name: str) -> list[str]:
        """Ids of the entries that were stored without tables."""
        return self.rows.ids(self._collection(collection_name).id, "tables IS NULL", ())

    async def find_by_filters(self, collection_name: str, filters: Mapping[str, MetadataValue]) -> list[str]:
        """Ids of all entries whose metadata equals `filters`, expired ones too; without filters, of none."""
        checked = validate_metadata(filters, label="filters")
        if not checked:
            return []
        collection = self._collection(collection_name).id
        return self.rows.ids_of(collection, self.rows.labels_matching(collection, checked))

    async def get(self, collection_name: str, ids: Sequence[str]) -> list[CacheResult]:
        """The entries with these ids that are there, expired ones too, in the order of `ids`."""
        return [row.result() for row in self.rows.by_ids(self._collection(collection_name).id, ids)]

    def _ids(self, name: str, condition: str, value: object) -> list[str]:
        return self.rows.ids(self._collection(name).id, condition, (value,))

    async def search_by_normalized_question(
        self, collection_name: str, normalized_question: str
    ) -> CacheResult | None:
        # From the rows themselves: the counters of one that is held in memory may have moved on.
        rows = self.rows.by_normalized(self._collection(collection_name).id, normalized_question)
        found = self._live(rows)
        return found[0].label.result(1.0) if found else None

    async def with_text(
        self,
        collection_name: str,
        normalized_question: str,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = True,
    ) -> list[Candidate]:
        collection = self._collection(collection_name).id
        labels = self.rows.labels_with_text(collection, normalized_question, filters, include_scoped)
        if not labels:
            return []
        rows = with_text((row for row in self._read(labels) if row), collection, normalized_question)
        return self._live(row for row in rows if metadata_matches(row.metadata, filters))

    async def spelled_like(
        self,
        collection_name: str,
        normalized_question: str,
        least: float,
        limit: int,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = False,
    ) -> list[Candidate]:
        collection = self._collection(collection_name)
        return await asyncio.to_thread(
            self._spelled_like, collection, normalized_question, least, limit, filters, include_scoped
        )

    def _spelled_like(
        self,
        collection: NativeCollection,
        text: str,
        least: float,
        limit: int,
        filters: Mapping[str, MetadataValue] | None,
        include_scoped: bool,
    ) -> list[Candidate]:
        version, held = collection.version, collection.spelled
        if held is None or held[0] != version:
            labels, texts = self.rows.texts(collection.id)
            held = collection.spelled = (version, labels, Spellings(texts))
        _, labels, spellings = held
        near = spellings.near(text, least, len(spellings))
        found: list[Candidate] = []
        for start in range(0, len(near), _ROWS_AT_ONCE):
            scores = {labels[place]: ratio for place, ratio in near[start : start + _ROWS_AT_ONCE]}
            rows = self.rows.by_labels(list(scores))
            seen = [rows[label] for label in scores if label in rows]
            found += [
                one._replace(score=scores[one.label.label])
                for one in self._live(seen)
                if metadata_matches(one.metadata, filters) and (filters or include_scoped or not one.metadata)
            ]
            if len(found) >= limit:
                break
        return found[:limit]

    async def with_ids(self, collection_name: str, ids: Sequence[str]) -> list[Candidate]:
        return self._live(self._read_ids(self._collection(collection_name), ids))

    def _live(self, rows: Iterable[Row]) -> list[Candidate]:
        now = self._clock()
        alive = [row for row in rows if row.expires is None or row.expires > now]
        return _latest([_candidate(row, 1.0) for row in alive])


def _candidate(row: Row, score: float) -> Candidate:
    return Candidate(row.id, score, row.question, row.normalized, row.query, row.metadata, row)


def _latest(candidates: list[Candidate]) -> list[Candidate]:
    """Without those that stand behind a newer entry for the same question and metadata."""
    if len({one.normalized_question for one in candidates}) == len(candidates):
        return candidates
    newest: dict[tuple[bytes, str], Candidate] = {}
    for one in candidates:
        key = question_key(b"", one.question), dumps_metadata(one.metadata)
        held = newest.get(key)
        if held is None or held.label.label < one.label.label:
            newest[key] = one
    return list(newest.values())


def _pairs(found: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, float]]:
    labels, scores = found
    return list(zip(labels.tolist(), scores.tolist(), strict=True))
