"""Forgetting: what is deleted answers nothing any more, by no way."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary, WeakSet

from medha_core.deciding.exchanged import Exchanged
from medha_core.interfaces import L1CacheBackend, VectorStorageBackend
from medha_core.learning.teaching import Teacher
from medha_core.native import question_key
from medha_core.normalise import normalize_question

_PORTION = 1000
"""Entries deleted at once, so that nobody waits long."""

_FORGETTERS: WeakKeyDictionary[VectorStorageBackend, WeakSet["Forgetter"]] = WeakKeyDictionary()
"""Of all caches that are open, by the store object that several may share."""


class Forgetter:
    """Deletes entries from the store, then every L1 record they answered and what they taught the guard.

    L1 comes after the rows: a search that still saw a row cannot refill L1 with it,
    because forgetting starts a new generation of L1.
    """

    def __init__(
        self, l1: L1CacheBackend, store: VectorStorageBackend, teacher: Teacher, exchanged: Exchanged
    ):
        self._l1 = l1
        self._exchanged = exchanged
        self._store = store
        self._teacher = teacher
        self._together: WeakSet[Forgetter] = WeakSet()
        """Those of `_FORGETTERS` on this store object."""

    async def forget(self, collection: str, ids: Sequence[str]) -> int:
        """Delete entries by id; how many ids were given."""
        for start in range(0, len(ids), _PORTION):
            portion = list(ids[start : start + _PORTION])
            try:
                await self._store.delete(collection, portion)
            finally:  # a call that failed or was cancelled may have deleted some
                await self.drop(collection, portion)
        return len(ids)

    async def forget_question(self, collection: str, question: str) -> int:
        """Delete every entry of a question, whatever its metadata; their number."""
        count = 0
        # One look may show one of several: the newest hides those kept behind it.
        while ids := await self._ids_of(collection, question):
            count += await self.forget(collection, ids)
        return count

    async def _ids_of(self, collection: str, question: str) -> list[str]:
        normalized = normalize_question(question)
        if self._store.local:
            key = question_key(b"", question)
            found = await self._store.with_text(collection, normalized)
            return [one.id for one in found if question_key(b"", one.question) == key]
        row = await self._store.search_by_normalized_question(collection, normalized)
        return [] if row is None else [row.id]

    async def expire(self, collection: str) -> int:
        """Delete what has expired; the number."""
        gone = await self._store.expire(collection)
        await self.drop(collection, gone)
        return len(gone)

    async def forget_all(self, collection: str) -> None:
        """Delete a collection with everything in it."""
        try:
            await self._store.drop_collection(collection)
        finally:
            for one in [self, *self._others()]:
                await one._l1.invalidate_all()
                one._teacher.forget_all(collection)

    async def drop(self, collection: str, ids: Sequence[str]) -> None:
        """Answer with these entries no more, here and in every other cache on the same store object.

        This cache's own L1 is a generation further for each id.
        """
        if ids:
            await self._drop(collection, ids)
            for other in self._others():
                await other._drop(collection, ids, but=self._l1)

    async def _drop(self, collection: str, ids: Sequence[str], but: L1CacheBackend | None = None) -> None:
        if self._l1 is not but:
            await self._l1.invalidate_entries(ids)
        self._teacher.forget(collection, ids)
        exchanged = self._exchanged.take()
        if exchanged is None:
            await self._l1.invalidate_all()
        for key in exchanged or ():
            await self._l1.invalidate(key)

    def _others(self) -> list["Forgetter"]:
        together = self._together
        if len(together) == 1 and self in together:  # going through them takes longer than what is dropped
            return []
        return [other for other in together if other is not self]

    def join(self) -> None:
        """Hear from now on what other caches on the same store object forget."""
        self._together = _FORGETTERS.setdefault(self._store, WeakSet())
        self._together.add(self)

    def leave(self) -> None:
        """Hear no more."""
        self._together.discard(self)
