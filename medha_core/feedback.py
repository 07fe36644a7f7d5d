"""What users say about answers: counted with the entry, and acted upon."""

from collections.abc import Sequence

from medha_core.assurance import Assurance
from medha_core.interfaces import Candidate, L1CacheBackend, VectorStorageBackend
from medha_core.knowledge import Knowledge
from medha_core.normalise import normalize_question
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder


class Feedback:
    """Takes judgements. A wrong answer leaves the first-level cache; too many of them delete the entry."""

    def __init__(
        self,
        settings: Settings,
        l1: L1CacheBackend,
        store: VectorStorageBackend,
        knowledge: Knowledge,
        assurance: Assurance,
        stats: StatsRecorder,
    ):
        self._limit = settings.feedback_incorrect_threshold
        self._l1 = l1
        self._store = store
        self._knowledge = knowledge
        self._assurance = assurance
        self._stats = stats

    async def take(self, collection: str, question: str, correct: bool, entry_id: str | None) -> bool:
        """Count one judgement; whether there was an entry to count it with."""
        target = entry_id if entry_id is not None else await self._entry_of(collection, question)
        count = 0 if target is None else await self._store.update_feedback(collection, target, correct)
        if target is None or not count:
            return False
        self._stats.record_feedback(correct)
        entries = await self._store.with_ids(collection, [target])
        for entry in entries:
            self._assurance.rulings.remember(question, entry.question, entry.query, correct)
        if correct:
            return True
        if self._limit is not None and count >= self._limit:
            same = [] if entry_id is not None else await self._all_of(collection, question)
            await self._delete(collection, {target, *same}, [*entries])
        else:
            await self._l1.invalidate_entries([target])
        return True

    async def _entry_of(self, collection: str, question: str) -> str | None:
        found = await self._store.search_by_normalized_question(collection, normalize_question(question))
        return None if found is None else found.id

    async def _all_of(self, collection: str, question: str) -> list[str]:
        return [c.id for c in await self._store.with_text(collection, normalize_question(question))]

    async def _delete(self, collection: str, ids: set[str], known: Sequence[Candidate]) -> None:
        ordered = sorted(ids)
        entries = await self._store.with_ids(collection, ordered) or known
        try:
            await self._store.delete(collection, ordered)
        finally:  # after the rows, so that no search which still saw them can refill
            await self._l1.invalidate_entries(ordered)
        self._knowledge.forget(collection, entries)
