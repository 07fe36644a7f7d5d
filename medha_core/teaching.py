"""Teaching the guard what the stored entries show, and taking it back."""

import asyncio
from collections.abc import Container, Iterable

from medha_core.interfaces import Candidate, VectorStorageBackend
from medha_core.knowledge import Knowledge
from medha_core.settings import Settings
from medha_core.types import CacheEntry, CacheResult

_PAGE = 50
_NEIGHBOURS = 8
_NEIGHBOUR_SCORE = 0.70
"""Entries at least this near (cosine) show which differences of wording change the query."""


class Teacher:
    """Hands entries to the guard's knowledge, with the entries a search finds next to them."""

    def __init__(self, settings: Settings, store: VectorStorageBackend, knowledge: Knowledge):
        self._limit = settings.learned_entries
        self._store = store
        self._knowledge = knowledge

    async def recall(self, collection: str) -> None:
        """Teach the guard what a collection held before this object was made."""
        if self._knowledge.is_off or not self._store.local:
            return
        recalled: set[str] = set()
        async for page in self._store.pages(collection, with_vectors=True, size=_PAGE):
            for row in page:
                await self.teach(collection, row, recalled)
                recalled.add(row.id)
            if len(recalled) >= self._limit:
                return
            await asyncio.sleep(0)  # other tasks of the loop go on between pages

    async def teach(
        self, collection: str, entry: CacheEntry | CacheResult, among: Container[str] | None = None
    ) -> None:
        """Teach the guard an entry, beside those that a search finds next to it (and that are `among`)."""
        if self._knowledge.is_off or entry.vector is None:
            return
        near = await self._store.candidates(
            collection, entry.vector, _NEIGHBOURS + 1, _NEIGHBOUR_SCORE, entry.metadata
        )
        if self._store.local and not await self._store.with_ids(collection, [entry.id]):
            return  # forgotten while it was being stored
        others = [one for one in near if one.id != entry.id and (among is None or one.id in among)]
        self._knowledge.learn(collection, candidate_of(entry), others[:_NEIGHBOURS])

    def forget(self, collection: str, ids: Iterable[str]) -> None:
        """Take back what these entries taught."""
        self._knowledge.forget(collection, ids)

    def forget_all(self, collection: str) -> None:
        """Take back everything that a collection taught."""
        self._knowledge.clear(collection)


def candidate_of(entry: CacheEntry | CacheResult) -> Candidate:
    """An entry as a search would propose it."""
    return Candidate(
        entry.id,
        1.0,
        entry.original_question,
        entry.normalized_question,
        entry.generated_query,
        entry.metadata,
    )
