"""Teaching the guard what the stored entries show, and taking it back.

What was stored last is learnt when somebody needs it or has time: before the next decision, once the
caller's loop is idle, or when too much waits. Whenever it is, what is learnt is what would have been learnt
at once: entries stored later are left out of it, and only what was forgotten meanwhile is missing.
"""

import asyncio
import logging
import os
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future

from medha_core.concurrency import forking
from medha_core.concurrency.bridge import bridge
from medha_core.errors import MedhaError
from medha_core.interfaces import Candidate, VectorStorageBackend
from medha_core.learning.knowledge import Knowledge
from medha_core.settings import Settings
from medha_core.types import CacheEntry, CacheResult

logger = logging.getLogger("medha_core")

_PAGE = 50
_AT_ONCE = 500
"""Entries that are learnt before a cache answers; more of them are learnt beside its searches."""
_BEHIND = 16
"""Entries that wait to be learnt, at most: a millisecond or two for a search that follows."""
_BREATHE = 4
"""Entries of many that are learnt before other tasks of the loop go on: less than a millisecond."""
_SOON = 0.002
"""Seconds after a store in which another may follow; then the caller's loop, if idle, learns."""
_GONE = 1_000
"""Entries forgotten by another process that are looked for again, the last ones; each look costs."""
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
        self._due: dict[tuple[str, str], CacheEntry] = {}
        """By collection and id, what is to be learnt, in the order in which it was stored."""
        self._learning = forking.rlock()
        """Held while something that is due is learnt or dropped: nobody decides or forgets in between."""
        self._soon: asyncio.TimerHandle | None = None
        knowledge.before_deciding = self.caught_up
        self._gone: dict[str, dict[str, None]] = {}
        """By collection, ids of entries that another process forgot or replaced, and which may come back."""

    async def recall(self, collection: str) -> None:
        """Teach the guard what a collection held before this object was made.

        Many entries are learnt in the background, on the loop of the synchronous twins, which nobody
        closes; until then the guard lets only the same words answer.
        """
        if self._knowledge.is_off:
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
        self._due.clear()
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
            if self._store.local:
                for row in page:
                    await self._teach_again(collection, row, recalled)
            else:  # a page's searches travel together
                await asyncio.gather(*(self._teach_again(collection, row, recalled) for row in page))
            if self._stopping or len(recalled) >= self._limit:
                return
            await asyncio.sleep(0)  # other tasks of the loop go on between pages

    async def _teach_again(self, collection: str, row: CacheResult, recalled: set[str]) -> None:
        """Teach a stored entry beside those before it."""
        if not self._stopping:
            if row.vector is not None:
                await self._learn(collection, row, among=recalled)
            recalled.add(row.id)

    async def teach(self, collection: str, entries: Sequence[CacheEntry]) -> None:
        """Have the guard learn entries that were just stored, one at least before it decides again."""
        if self._knowledge.is_off:
            return
        # Searches over a network, which travel together; one entry; many, which would not be learnt soon.
        if not self._store.local:
            await asyncio.gather(*(self._learn(collection, entry) for entry in entries))
        elif len(entries) == 1:
            self._due[collection, entries[0].id] = entries[0]
            if len(self._due) >= _BEHIND:
                await self.caught_up()
            else:
                self._learn_soon()
        else:
            await self._teach_many(collection, entries)

    async def _teach_many(self, collection: str, entries: Sequence[CacheEntry]) -> None:
        for place, entry in enumerate(entries, start=1):
            self._due[collection, entry.id] = entry
            await self.caught_up()
            if place % _BREATHE == 0:
                await asyncio.sleep(0)

    async def caught_up(self) -> None:
        """Learn what is due. It never waits, for a store in this process does not."""
        if self._due:
            with self._learning:
                while self._due:
                    collection, entry_id = next(iter(self._due))
                    entry = self._due.pop((collection, entry_id))
                    later = {later_id for name, later_id in self._due if name == collection}
                    await self._learn(collection, entry, without=later)

    def _learn_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._soon is None or self._soon.when() < loop.time():
            self._soon = loop.call_later(_SOON, self._learn_when_idle)

    def _learn_when_idle(self) -> None:
        learning = self.caught_up()
        try:
            learning.send(None)  # to its end: a store in this process does not wait
        except StopIteration:
            pass
        except MedhaError as error:
            logger.warning("a stored entry was not learnt: %s", type(error).__name__)
        finally:
            learning.close()

    async def _learn(
        self,
        collection: str,
        entry: CacheEntry | CacheResult,
        *,
        among: Container[str] | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Teach the guard an entry, beside those a search finds next to it: of `among`, and not `without`."""
        limit = _NEIGHBOURS + 1 + len(without)
        near = await self._store.candidates(collection, entry.vector, limit, _NEIGHBOUR_SCORE, entry.metadata)
        if self._store.local:
            there = [one for one in near if one.id == entry.id]
            there = there or await self._store.with_ids(collection, [entry.id])
            if not there or there[0].query != entry.generated_query:
                return  # forgotten while it was being stored, or stored anew, which is learnt by itself
        others = [
            one
            for one in near
            if one.id != entry.id and one.id not in without and (among is None or one.id in among)
        ]
        ends = None if entry.expires_at is None else entry.expires_at.timestamp()
        self._knowledge.learn(collection, candidate_of(entry), others[:_NEIGHBOURS], ends)

    def forget(self, collection: str, ids: Sequence[str]) -> None:
        """Take back what these entries taught, or were to teach."""
        with self._learning:
            for entry_id in ids:
                self._due.pop((collection, entry_id), None)
            self._knowledge.forget(collection, ids)

    async def follow(self, *, forgotten: bool) -> None:
        """Teach what another process has made of the entries that were taught.

        With `forgotten`, some are gone or have another query; those that come back are taught again.
        """
        if not self._store.local or self._knowledge.is_off:
            return
        with self._learning:
            if forgotten:
                await self._take_back_gone()
            for collection, ids in self._gone.items():
                for one in await self._store.with_ids(collection, list(ids)) if ids else ():
                    del ids[one.id]
                    self._knowledge.learn(collection, one)

    async def _take_back_gone(self) -> None:
        for collection, taught in self._knowledge.taught().items():
            if not await self._store.has_collection(collection):
                self._knowledge.clear(collection)
                continue
            looked_for = self._gone.setdefault(collection, {})
            for some in _batched(taught, _AT_ONCE):
                there = {one.id: one.query for one in await self._store.with_ids(collection, some)}
                gone = [one for one in some if there.get(one) != taught[one]]
                self._knowledge.forget(collection, gone)
                looked_for.update(dict.fromkeys(gone))
            for old in list(looked_for)[:-_GONE]:
                del looked_for[old]

    def forget_all(self, collection: str) -> None:
        """Take back everything that a collection taught."""
        with self._learning:
            for due in [due for due in self._due if due[0] == collection]:
                del self._due[due]
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
