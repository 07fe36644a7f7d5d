"""Teaching the guard what the stored entries show, and taking it back."""

import asyncio
import logging
import os
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future

from medha_core.bridge import bridge
from medha_core.errors import MedhaError
from medha_core.interfaces import Candidate, VectorStorageBackend
from medha_core.knowledge import Knowledge
from medha_core.settings import Settings
from medha_core.types import CacheEntry, CacheResult

logger = logging.getLogger("medha_core")

_PAGE = 50
_AT_ONCE = 500
"""Entries that are learnt before a cache answers; more of them are learnt beside its searches."""
_GONE = 1_000
"""Entries forgotten by another process at once that are looked for again."""
_NEIGHBOURS = 8
_NEIGHBOUR_SCORE = 0.70
"""Entries at least this near (cosine) show which differences of wording change the query."""


class Teacher:
    """Hands entries to the guard's knowledge, with the entries a search finds next to them."""

    def __init__(self, settings: Settings, store: VectorStorageBackend, knowledge: Knowledge):
        self._limit = settings.learned_entries
        self._store = store
        self._knowledge = knowledge
        self._recalling: Future[None] | None = None
        self._process = os.getpid()
        self._stopping = False
        self._gone: dict[str, dict[str, None]] = {}
        """By collection, ids of entries that another process forgot or replaced, and which may come back."""

    async def recall(self, collection: str) -> None:
        """Teach the guard what a collection held before this object was made.

        Many entries are learnt in the background, on the loop of the synchronous twins, which nobody
        closes; until then the guard lets only the same words answer.
        """
        if self._knowledge.is_off or not self._store.local:
            return
        if await self._store.count(collection) <= _AT_ONCE:
            await self._recall(collection)
            return
        self._knowledge.begin(collection)
        self._recalling = bridge.submit(self._recall_beside(collection))

    async def recalled(self) -> None:
        """Wait until everything is learnt that `recall` began with."""
        if self._recalling is not None:
            await asyncio.wrap_future(self._recalling)

    async def end(self) -> None:
        """Stop learning, before the store is closed."""
        self._stopping = True
        if self._process == os.getpid():  # a forked child has not got the thread that learns
            await self.recalled()

    async def _recall_beside(self, collection: str) -> None:
        try:
            await self._recall(collection)
        except MedhaError as error:
            logger.warning("the stored entries were not learnt (%s): only the same words answer", error)
        else:
            if not self._stopping:
                self._knowledge.end(collection)

    async def _recall(self, collection: str) -> None:
        recalled: set[str] = set()
        async for page in self._store.pages(collection, with_vectors=True, size=_PAGE):
            for row in page:
                if self._stopping:
                    return
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
        ends = None if entry.expires_at is None else entry.expires_at.timestamp()
        self._knowledge.learn(collection, candidate_of(entry), others[:_NEIGHBOURS], ends)

    def forget(self, collection: str, ids: Iterable[str]) -> None:
        """Take back what these entries taught."""
        self._knowledge.forget(collection, ids)

    async def follow(self, *, forgotten: bool) -> None:
        """Teach what another process has made of the entries that were taught.

        With `forgotten`, some are gone or have another query; those that come back are taught again.
        """
        if not self._store.local or self._knowledge.is_off:
            return
        for collection, taught in self._knowledge.taught().items() if forgotten else ():
            if not await self._store.has_collection(collection):
                self._knowledge.clear(collection)
                continue
            for some in _batched(taught, _AT_ONCE):
                there = {one.id: one.query for one in await self._store.with_ids(collection, some)}
                gone = [one for one in some if there.get(one) != taught[one]]
                self._knowledge.forget(collection, gone)
                self._gone.setdefault(collection, {}).update(dict.fromkeys(gone[:_GONE]))
        for collection, ids in self._gone.items():
            for one in await self._store.with_ids(collection, list(ids)) if ids else ():
                del ids[one.id]
                self._knowledge.learn(collection, one)

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


def _batched(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    """`ids` in lists of at most `size`."""
    every = list(ids)
    return (every[start : start + size] for start in range(0, len(every), size))
