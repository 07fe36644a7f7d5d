"""The waterfall: the tiers in order, the first accepted answer wins.

    L1 -> templates -> exact text -> embedding -> one vector search -> guard -> tier

One search proposes for all the vector's tiers; the guard decides which candidate
may answer, and the thresholds say which tier that is.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from time import perf_counter

import numpy as np

from medha_core.deciding.assurance import Assurance
from medha_core.deciding.exchanged import Exchanged
from medha_core.embedding import CachedEmbedder
from medha_core.errors import MedhaError
from medha_core.interfaces import L1CacheBackend, VectorStorageBackend
from medha_core.learning.knowledge import Knowledge
from medha_core.native import question_key
from medha_core.normalise import normalize_question
from medha_core.scope import Scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder
from medha_core.templates import Templates
from medha_core.trace import NoTrace, Step
from medha_core.types import CacheHit, SearchStrategy, changed
from medha_core.waterfall.request import Request, failure, hit_from, is_visible, named
from medha_core.waterfall.vector_tiers import VectorTiers

MISS = CacheHit()
_LOOKS = 3
"""Times a text is looked up while what was found is gone when it is fetched."""


class Waterfall:
    """Answers questions from the parts it is given; holds no state of its own."""

    def __init__(
        self,
        settings: Settings,
        l1: L1CacheBackend,
        store: VectorStorageBackend,
        embedding: CachedEmbedder,
        knowledge: Knowledge,
        assurance: Assurance,
        stats: StatsRecorder,
    ):
        self._settings = settings
        self._l1 = l1
        self._store = store
        self._embedding = embedding
        self._stats = stats
        self._knowledge = knowledge
        self._by_vector = VectorTiers(settings, store, embedding, knowledge, assurance, stats)
        self.templates: Templates | None = None
        self.exchanged = Exchanged()

    def warm_up(self) -> None:
        """Read the guard's words now, so that the first question does not wait for it."""
        if not self._knowledge.is_off:
            self._knowledge.guard.features("")

    async def answer(self, requests: Sequence[Request]) -> list[CacheHit]:
        """One hit, miss or error a request, in order. A single search is a batch of one."""
        generation = self._l1.generation
        hits = [await self._caught(self._before_embedding(request)) for request in requests]
        waiting = [request for request, hit in zip(requests, hits, strict=True) if hit is None]
        found = iter(await self._with_embedding(waiting)) if waiting else iter(())
        answers = []
        for request, hit in zip(requests, hits, strict=True):
            answer = next(found) if hit is None else hit
            if answer is None:
                answer = MISS
            elif answer and answer.strategy is not SearchStrategy.L1_CACHE:
                await self.remember(request.scope, request.question, answer, generation)
            answers.append(answer)
        return answers

    async def remember(self, scope: Scope, question: str, hit: CacheHit, generation: int) -> None:
        """Keep a hit ready in L1, unless something was forgotten since `generation`."""
        if self._l1.shared and self._store.read_only:
            return
        ready = changed(hit, strategy=SearchStrategy.L1_CACHE, explanation=None)
        key = question_key(scope.key, question).hex()
        if hit.bound is not None:
            self.exchanged.add(key)
        await self._l1.refill(key, ready, generation)

    async def _caught(self, tier: Awaitable[CacheHit | None]) -> CacheHit | None:
        """A tier's answer. A search promises a value, so what a store raises becomes an error hit."""
        try:
            return await tier
        except Exception as error:  # noqa: BLE001 - a store of others may raise anything
            return failure(named(error), self._settings)

    # before the embedding: nothing here runs a model

    async def _before_embedding(self, request: Request) -> CacheHit | None:
        for name, tier in self._EARLY:
            with request.trace.step(name) as step:
                hit = await tier(self, request, step)
                if hit is not None:
                    step.outcome = "hit"
                    return hit
        return None

    async def _from_l1(self, request: Request, _step: Step | NoTrace) -> CacheHit | None:
        return await self._l1.get(question_key(request.scope.key, request.question).hex())

    async def _from_template(self, request: Request, _step: Step | NoTrace) -> CacheHit | None:
        if self.templates is None or request.scope.filters:
            return None
        found = self.templates.match(
            request.question,
            self._settings.score_threshold_template,
            None if self._knowledge.is_off else self._knowledge.agrees,
        )
        if found is None:
            return None
        return CacheHit(
            generated_query=found.query,
            confidence=found.score,
            strategy=SearchStrategy.TEMPLATE_MATCH,
            template_used=found.template.intent,
            parameters=found.values,
        )

    async def _from_text(self, request: Request, step: Step | NoTrace) -> CacheHit | None:
        """The exact tier for a question that is stored word for word: no vector is needed."""
        scope, question = request.scope, request.question
        normalized = normalize_question(question)
        for _ in range(_LOOKS):
            known = await self._store.with_text(
                scope.collection, normalized, scope.filters, scope.include_scoped
            )
            if not known:
                break
            same = question_key(b"", question)
            known = [
                one for one in known if is_visible(one, scope) and question_key(b"", one.question) == same
            ]
            for candidate in known:
                step.saw(candidate, 1.0, "same", "word for word")
                row = await self._store.fetch(scope.collection, candidate)
                if row is not None:
                    return hit_from(row, SearchStrategy.EXACT_MATCH, 1.0, 1.0)
            if not known:
                break
            # Another process replaced what was found: its successor is there.
        return None

    _EARLY = (("l1", _from_l1), ("template", _from_template), ("text", _from_text))

    # after the embedding: one search feeds three tiers

    async def _with_embedding(self, requests: Sequence[Request]) -> list[CacheHit | None]:
        try:
            vectors = await self._embed(requests)
        except MedhaError as error:
            failed = failure(error, self._settings)
            return [await self._caught(self._by_vector.by_spelling(one)) or failed for one in requests]
        asked = zip(requests, vectors, strict=True)
        searches = [self._caught(self._by_vector.answer(request, vector)) for request, vector in asked]
        if self._store.local:
            return [await search for search in searches]
        # A store at the other end of a network: the searches travel together.
        return await asyncio.gather(*searches)

    async def _embed(self, requests: Sequence[Request]) -> np.ndarray:
        steps = [request.trace.step("embedding") for request in requests]
        started = perf_counter()
        with steps[0]:
            try:
                vectors = await self._embedding.aembed_array([request.question for request in requests])
            except MedhaError:
                raise
            except Exception as error:  # an embedder of others may raise anything
                raise named(error) from error
        self._stats.record_embedding(perf_counter() - started)
        for step in steps:  # one call for all: each waited as long
            step.outcome, step.microseconds = "done", steps[0].microseconds
        return vectors
