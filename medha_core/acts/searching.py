"""Searching: a question in, a hit or an honest miss out."""

import logging
import math
from collections.abc import Mapping, Sequence
from time import monotonic, perf_counter

from medha_core.acts.parts import Filters, Parts
from medha_core.errors import ArgumentTypeError, ArgumentValueError, MedhaError
from medha_core.l1 import InMemoryL1Cache
from medha_core.request import Request, failure
from medha_core.scope import Scope
from medha_core.trace import Explanation, NoTrace
from medha_core.types import CacheHit
from medha_core.writer import check_question

logger = logging.getLogger("medha_core")

_NO_TRACE = NoTrace()
_LOOK_EVERY = 0.5
"""Seconds after which a reader looks again whether another process has written."""


class Searching:
    """Asks the waterfall, and sees to it that a reader knows what the writer wrote."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self.lookup = parts.l1.lookup if isinstance(parts.l1, InMemoryL1Cache) else None
        self.look_at = math.inf
        """When a reader of a directory looks next whether the writer has written, in monotonic seconds."""

    def peek(self, question: str) -> CacheHit | None:
        """The hit that the first-level cache holds ready for a question, or None.

        Synchronous, about a microsecond, and blind to everything behind the first
        tier. None also where the first-level cache is not the in-memory one, and
        where a reader has yet to look at what the writer of its directory wrote.
        """
        if self.lookup is None or self._parts.state != "started" or monotonic() >= self.look_at:
            return None
        started = perf_counter()
        hit = self.lookup(self._parts.scope.key, question)
        if hit is not None:
            self._parts.stats.record(hit.strategy, perf_counter() - started)
            if hit.entry_id is not None:
                self._parts.backend.touch(self._parts.scope.collection, hit.entry_id)
        return hit

    def ready(self, question: object) -> CacheHit | None:
        """`peek` that leaves it to the full path to say what is wrong with a question."""
        try:
            return self.peek(question)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None

    async def search(
        self,
        question: str,
        *,
        filters: Filters = None,
        collection_name: str | None = None,
        include_scoped: bool = False,
        explain: bool = False,
    ) -> CacheHit:
        """The stored query for a question, or an honest miss.

        Args:
            question: what the user asked.
            filters: only entries whose metadata holds these values may answer.
                Without filters, entries stored with metadata stay out, unless
                `include_scoped`.
            collection_name: None asks the collection of this cache.
            explain: attach what each tier saw as `hit.explanation`.

        Never raises for what is asked: strategy `ERROR` carries the reason in
        `hit.error`. Invalid filters raise `ValueError`.
        """
        if filters is None and collection_name is None and not include_scoped and not explain:
            hit = self.ready(question)
            if hit is not None:
                return hit
        scope = self._parts.scope_of(collection_name, filters, include_scoped)
        return (await self._answer([question], [scope], explain))[0]

    async def search_batch(
        self,
        questions: Sequence[str],
        collection_name: str | None = None,
        *,
        filters: Filters | Sequence[Filters] = None,
        include_scoped: bool = False,
        explain: bool = False,
    ) -> list[CacheHit]:
        """`search` for many questions with one embedding call; results in input order.

        `filters` is one filter for all, or a list with one (or None) for each question.
        """
        if isinstance(questions, str) or not isinstance(questions, Sequence):
            raise ArgumentTypeError("questions", "a list of questions", questions)
        if filters is not None and not isinstance(filters, (Mapping, Sequence)):
            raise ArgumentTypeError("filters", "a mapping, or a list with one for each question", filters)
        each = (
            [filters] * len(questions) if filters is None or isinstance(filters, Mapping) else list(filters)
        )
        if len(each) != len(questions):
            raise ArgumentValueError("filters", f"one for each of the {len(questions)} questions", len(each))
        scopes = [self._parts.scope_of(collection_name, one, include_scoped) for one in each]
        return await self._answer(questions, scopes, explain)

    async def _answer(
        self, questions: Sequence[str], scopes: Sequence[Scope], explain: bool
    ) -> list[CacheHit]:
        started = perf_counter()
        if monotonic() >= self.look_at:
            await self._look()
        hits: list[CacheHit | None] = [self._refused(question) for question in questions]
        requests = {
            i: Request(questions[i], scopes[i], Explanation(questions[i]) if explain else _NO_TRACE)
            for i, refused in enumerate(hits)
            if refused is None
        }
        found = await self._parts.waterfall.answer(list(requests.values()))
        seconds = perf_counter() - started
        for (i, request), hit in zip(requests.items(), found, strict=True):
            hits[i] = hit.model_copy(update={"explanation": request.trace}) if explain else hit
            if hit and hit.entry_id is not None:
                self._parts.backend.touch(request.scope.collection, hit.entry_id)
        answered = [hit for hit in hits if hit is not None]
        for hit in answered:
            self._parts.stats.record(hit.strategy, seconds)
        return answered

    def _refused(self, question: object) -> CacheHit | None:
        """An error hit for what cannot be searched for, None for a question that can."""
        try:
            self._parts.check_started()
            check_question(question, self._parts.settings)
        except MedhaError as error:
            return failure(error)
        return None

    async def refresh(self) -> bool:
        """See at once what another process has written to the directory; whether there was anything.

        A reader (mode "r") does this by itself while it is asked, at least once a second.
        """
        self._parts.check_started()
        self.look_at = monotonic() + _LOOK_EVERY if self._parts.backend.read_only else math.inf
        changed = await self._parts.backend.refresh()
        if changed:
            # A better answer than one of these may have come.
            await self._parts.l1.invalidate_all()
        return changed

    async def _look(self) -> None:
        """`refresh` before a search, which promises a hit and no exception."""
        try:
            await self.refresh()
        except MedhaError as error:
            logger.warning("cannot see whether the directory has changed: %s", error)
