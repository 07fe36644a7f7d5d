"""Storing: pairs are embedded, written, and visible in L1 last."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import numpy as np

from medha_core.embedding import CachedEmbedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError, DimensionMismatchError
from medha_core.interfaces import L1CacheBackend, VectorStorageBackend
from medha_core.learning.forgetter import Forgetter
from medha_core.learning.teaching import Teacher
from medha_core.normalise import normalize_question, query_hash
from medha_core.pairs import UNSET, Pair
from medha_core.scope import asked_key, entry_id
from medha_core.settings import Settings
from medha_core.tables import read_tables
from medha_core.tables.memory import TableMemory, Tables, Unknown
from medha_core.types import CacheEntry, CacheHit, SearchStrategy

Progress = Callable[[int, int], None]
OnConflict = Literal["replace", "keep_both", "error"]

_ON_CONFLICT = get_args(OnConflict)
_BREATHE = 64
"""Entries that are shown before other tasks of the loop go on: less than a millisecond."""


def check_progress(on_progress: object) -> None:
    """Before anything is written: the first report would come after a batch."""
    if on_progress is not None and not callable(on_progress):
        raise ArgumentTypeError("on_progress", "a callable (done, total), or None", on_progress)


class Writer:
    """Stores pairs in a collection. One path for one pair and for many."""

    def __init__(
        self,
        settings: Settings,
        l1: L1CacheBackend,
        store: VectorStorageBackend,
        embedding: CachedEmbedder,
        teacher: Teacher,
        forgetter: Forgetter,
    ):
        self._settings = settings
        self._l1 = l1
        self._store = store
        self._embedding = embedding
        self._teacher = teacher
        self._forgetter = forgetter
        self._table_memory = TableMemory()
        self._keeps_tables = type(store).find_by_tables is not VectorStorageBackend.find_by_tables

    async def embed(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Unit vectors (len(pairs), dimension); computed only for pairs that bring none."""
        dimension = await self._embedding.probe()
        vectors = np.empty((len(pairs), dimension), np.float32)
        without = [place for place, pair in enumerate(pairs) if pair.vector is None]
        if without:
            texts = [pairs[place].question for place in without]
            vectors[without] = await self._embedding.aembed_array(texts, is_document=True)
        for place, pair in enumerate(pairs):
            if pair.vector is not None:
                if len(pair.vector) != dimension:
                    raise DimensionMismatchError(dimension, len(pair.vector), "a vector that was given")
                vectors[place] = pair.vector
        return vectors

    async def write(
        self,
        collection: str,
        pairs: Sequence[Pair],
        vectors: np.ndarray,
        ttl: int | None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """Store pairs with their vectors; when this returns they are durable and can be found.

        `on_conflict`, by default that of the settings, decides about a pair whose
        question and metadata are stored with another query.
        """
        on_conflict = self._settings.on_conflict if on_conflict is None else on_conflict
        if on_conflict not in _ON_CONFLICT:
            raise ArgumentValueError("on_conflict", "'replace', 'keep_both' or 'error'", on_conflict)
        expires = self.expiry(ttl)
        tables = await self._tables(pairs)
        entries = [
            self._entry(self.id_of(collection, pair, on_conflict), pair, vector, read, ttl, expires)
            for pair, vector, read in zip(pairs, vectors, tables, strict=True)
        ]
        generation = self._l1.advance()
        outdated: list[str] = []
        try:
            outdated = await self._store.put(collection, entries, on_conflict)
        finally:  # a write that was cancelled or failed may have changed rows before
            forgotten = list(dict.fromkeys([*outdated, *(entry.id for entry in entries)]))
            await self._forgetter.drop(collection, forgotten)
        await self._make_known(collection, pairs, entries, generation + len(forgotten))
        return len(entries)

    def id_of(self, collection: str, pair: Pair, on_conflict: OnConflict | None = None) -> str:
        """The id that a pair is stored under."""
        keep_both = (on_conflict or self._settings.on_conflict) == "keep_both"
        hashed = query_hash(pair.query) if keep_both else ""
        return entry_id(collection, pair.question, pair.metadata, hashed)

    def expiry(self, ttl: int | None) -> datetime | None:
        """When an entry stored now expires. Raises for a `ttl` that is no positive number of seconds."""
        seconds = self._settings.default_ttl_seconds if ttl is UNSET else ttl
        if seconds is None:
            return None
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise ArgumentTypeError("ttl", "seconds as a number, or None", seconds)
        if not 0 < seconds < 10**10:
            raise ArgumentValueError("ttl", "a positive number of seconds", seconds)
        return datetime.now(UTC) + timedelta(seconds=seconds)

    async def _tables(self, pairs: Sequence[Pair]) -> Sequence[Tables]:
        """Which tables each query is about; what is not remembered is read in a thread."""
        if not self._keeps_tables:
            return [None] * len(pairs)
        language = self._settings.query_language
        known = [self._table_memory.get(pair.query, language) for pair in pairs]
        unknown = [place for place, tables in enumerate(known) if isinstance(tables, Unknown)]
        if unknown:
            await asyncio.to_thread(self._read, pairs, unknown, known)
        return known

    def _read(self, pairs: Sequence[Pair], places: Sequence[int], known: list[Any]) -> None:
        """Fill `known` at these places."""
        language = self._settings.query_language
        for place in places:
            query = pairs[place].query
            found = self._table_memory.get(query, language)  # one before may be of the same form
            if isinstance(found, Unknown):
                found = read_tables(query, language)
                self._table_memory.keep(query, language, found)
            known[place] = found

    def _entry(
        self,
        identity: str,
        pair: Pair,
        vector: np.ndarray,
        tables: tuple[str, ...] | None,
        ttl: int | None,
        expires: datetime | None,
    ) -> CacheEntry:
        return CacheEntry(
            id=identity,
            vector=vector if self._store.local else vector.tolist(),
            original_question=pair.question,
            normalized_question=normalize_question(pair.question),
            generated_query=pair.query,
            query_hash=query_hash(pair.query),
            response_summary=pair.summary,
            template_id=pair.template_id,
            usage_count=pair.usage_count,
            feedback_correct=pair.feedback_correct,
            feedback_incorrect=pair.feedback_incorrect,
            tables=tables,
            created_at=pair.created_at or datetime.now(UTC),
            # What is said for this very call counts more than what the pair brings along.
            expires_at=expires if pair.expires_at is UNSET or ttl is not UNSET else pair.expires_at,
            metadata=dict(pair.metadata),
        )

    async def _make_known(
        self, collection: str, pairs: Sequence[Pair], entries: Sequence[CacheEntry], generation: int
    ) -> None:
        """To the guard and to L1. Of a batch larger than the cache, only the end was kept."""
        kept = slice(-(self._settings.max_entries or len(pairs)), None)
        await self._teacher.teach(collection, entries[kept])
        for place, (pair, entry) in enumerate(zip(pairs[kept], entries[kept], strict=True), start=1):
            await self._show(collection, pair, entry, generation)
            if place % _BREATHE == 0:
                await asyncio.sleep(0)

    async def _show(self, collection: str, pair: Pair, entry: CacheEntry, generation: int) -> None:
        """Put the new entry in L1 under its own scope, unless another writer came between.

        `generation` is what this writer's own steps lead to; any other number means
        that the row may have changed again since it was written here.
        """
        hit = CacheHit(
            generated_query=entry.generated_query,
            response_summary=entry.response_summary,
            confidence=1.0,
            strategy=SearchStrategy.L1_CACHE,
            template_used=entry.template_id,
            expires_at=entry.expires_at,
            metadata=entry.metadata,
            entry_id=entry.id,
            similarity=1.0,
        )
        key = asked_key(collection, pair.question, pair.metadata)
        await self._l1.refill(key.hex(), hit, generation)
