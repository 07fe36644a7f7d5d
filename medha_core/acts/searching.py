"""Searching: a question in, a hit or an honest miss out."""

import logging
from collections.abc import Mapping, Sequence
from time import monotonic, perf_counter

from medha_core.acts.parts import Filters, Parts
from medha_core.errors import ArgumentTypeError, ArgumentValueError, MedhaError
from medha_core.l1 import InMemoryL1Cache
from medha_core.pairs import check_question
from medha_core.scope import Scope
from medha_core.trace import Explanation, NoTrace
from medha_core.types import CacheHit, SearchStrategy, changed
from medha_core.waterfall.request import Request, failure, named

logger = logging.getLogger("medha_core")

_NO_TRACE = NoTrace()
_LOOK_EVERY = 0.5
"""Seconds after which a reader looks again whether another process has written."""


class Searching:
    """Asks the waterfall, and sees to it that a reader knows what the writer wrote."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self.lookup = parts.l1.lookup if isinstance(parts.l1, InMemoryL1Cache) else None
        self._follows = False
        """Whether another process writes what is read here."""
        self._look_at = self._seen = 0.0
        """When such a reader looks for new entries next, in monotonic seconds; up to which change it has."""

    def begin(self) -> None:
        """The store is open now."""
        self._follows = self._parts.backend.read_only

    def _is_behind(self) -> bool:
        return monotonic() >= self._look_at or self._parts.backend.generation != self._seen

    def peek(self, question: str, *, collection_name: str | None = None) -> CacheHit | None:
        """The hit that the first-level cache holds ready for a question, or None.

        Synchronous, about a microsecond, and blind to everything behind the first
        tier. None also where the first-level cache is not the in-memory one, and
        where a reader has yet to look at what the writer of its directory wrote.
        """
        parts, lookup = self._parts, self.lookup
        if lookup is None or parts.state != "started" or (self._follows and self._is_behind()):
            return None
        started = perf_counter()
        scope = parts.scope if collection_name is None else parts.scope_of(collection_name, None, False)
        hit = lookup(scope.key, question)
        if hit is not None:
            parts.stats.record(hit.strategy, perf_counter() - started)
            if hit.entry_id is not None:
                parts.backend.touch(scope.collection, hit.entry_id)
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
        if self._follows and self._is_behind():
            await self._look()
        parts = self._parts
        refusals = [await self._refused(*asked) for asked in zip(questions, scopes, strict=True)]
        requests = [
            Request(question, scope, Explanation(question) if explain else _NO_TRACE)
            for question, scope, refused in zip(questions, scopes, refusals, strict=True)
            if refused is None
        ]
        found = await parts.waterfall.answer(requests)
        seconds, logs = perf_counter() - started, self._logs
        answered = zip(requests, found, strict=True)
        answers = []
        for question, refused in zip(questions, refusals, strict=True):
            hit = self._answered(*next(answered), explain) if refused is None else refused
            parts.stats.record(SearchStrategy.ERROR if hit.error is not None else hit.strategy, seconds)
            if logs:
                logger.debug("%r: %s %r", question, hit.strategy.value, hit.generated_query)
            answers.append(hit)
        return answers

    def _answered(self, request: Request, hit: CacheHit, explain: bool) -> CacheHit:
        """What is told of one answer, once its entry has been counted as used."""
        if hit.entry_id is not None:
            self._parts.backend.touch(request.scope.collection, hit.entry_id)
            if hit.similarity is not None and hit.strategy is not SearchStrategy.L1_CACHE:
                self._parts.stats.record_similarity(hit.similarity)
        return changed(hit, explanation=request.trace) if explain else hit

    @property
    def _logs(self) -> bool:
        return self._parts.settings.log_questions and logger.isEnabledFor(logging.DEBUG)

    async def _refused(self, question: object, scope: Scope) -> CacheHit | None:
        """An error hit for what cannot be searched for, None for a question that can."""
        parts = self._parts
        try:
            parts.check_started()
            check_question(question, parts.settings)
            if not parts.knows(scope.collection):
                await parts.known(scope.collection)
        except Exception as error:  # noqa: BLE001 - a store of others may raise anything
            return failure(named(error), parts.settings)
        return None

    async def refresh(self) -> bool:
        """See at once what another process has written to the directory; whether there was anything.

        A reader (mode "r") does this by itself: before its next answer once something
        was replaced or forgotten, and at least twice a second while it is asked.
        """
        self._parts.check_started()
        seen, self._look_at = self._parts.backend.generation, monotonic() + _LOOK_EVERY
        changed = await self._parts.backend.refresh() or seen != self._seen
        if changed and not self._parts.l1.shared:
            # A better answer than one of these may have come, or one of them may be forgotten.
            # Of hits that are shared, the writer takes care.
            await self._parts.l1.invalidate_all()
        if changed:
            await self._parts.teacher.follow(forgotten=seen != self._seen)
        self._seen = seen
        return changed

    async def _look(self) -> None:
        """`refresh` before a search, which promises a hit and no exception."""
        try:
            await self.refresh()
        except MedhaError as error:
            logger.warning("cannot see whether the directory has changed: %s", error)
