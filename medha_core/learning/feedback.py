"""What users say about answers: counted with the entry, and acted upon."""

from medha_core.deciding.assurance import Assurance
from medha_core.interfaces import L1CacheBackend, VectorStorageBackend
from medha_core.learning.forgetter import Forgetter
from medha_core.native import question_key
from medha_core.normalise import normalize_question
from medha_core.scope import make_scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder


class Feedback:
    """Takes judgements. A wrong answer leaves the first-level cache; too many of them delete the entry."""

    def __init__(
        self,
        settings: Settings,
        l1: L1CacheBackend,
        store: VectorStorageBackend,
        forgetter: Forgetter,
        assurance: Assurance,
        stats: StatsRecorder,
    ):
        self._limit = settings.feedback_incorrect_threshold
        self._l1 = l1
        self._store = store
        self._forgetter = forgetter
        self._assurance = assurance
        self._stats = stats

    async def take(self, collection: str, question: str, correct: bool, entry_id: str | None) -> bool:
        """Count one judgement; whether there was an entry to count it with."""
        target = entry_id if entry_id is not None else await self._entry_of(collection, question)
        count = 0 if target is None else await self._store.update_feedback(collection, target, correct)
        if target is None or not count:
            return False
        self._stats.record_feedback(correct)
        for stored, query in await self._said(collection, target):
            self._assurance.rulings.remember(question, stored, query, correct)
        if correct:
            return True
        if self._limit is not None and count >= self._limit:
            await self._forgetter.forget(collection, [target])
            if entry_id is None:
                await self._forgetter.forget_question(collection, question)
        else:
            await self._l1.invalidate_entries([target])
        return True

    async def _entry_of(self, collection: str, question: str) -> str | None:
        """The entry stored under this question, or else the one that L1 answers it with."""
        found = await self._store.search_by_normalized_question(collection, normalize_question(question))
        if found is not None:
            return found.id
        hit = await self._l1.get(question_key(make_scope(collection).key, question).hex())
        return None if hit is None else hit.entry_id

    async def _said(self, collection: str, entry_id: str) -> list[tuple[str, str]]:
        """Question and query of an entry, if it is there."""
        if self._store.local:
            return [(one.question, one.query) for one in await self._store.with_ids(collection, [entry_id])]
        rows = await self._store.get(collection, [entry_id])
        return [(row.original_question, row.generated_query) for row in rows]
