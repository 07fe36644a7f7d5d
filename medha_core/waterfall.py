"""The waterfall: the tiers in order, the first accepted answer wins.

    L1 -> templates -> exact text -> embedding -> one vector search -> exact, semantic, fuzzy

No tier after the first sees a candidate's query unless the guard accepted it.
"""

import logging
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from rapidfuzz import fuzz

from medha_core.embedding import EmbeddingStep
from medha_core.errors import MedhaError
from medha_core.guard import Guard, Verdict
from medha_core.interfaces import Candidate, L1CacheBackend, VectorStorageBackend
from medha_core.metadata import metadata_matches
from medha_core.native import question_key
from medha_core.normalise import normalize_question
from medha_core.scope import Scope
from medha_core.settings import Settings
from medha_core.templates import Templates
from medha_core.trace import Explanation, NoTrace, Step
from medha_core.types import CacheHit, CacheResult, SearchStrategy

logger = logging.getLogger("medha_core")

MISS = CacheHit()
_JUDGED = 8
"""Candidates a tier hands to the guard at most; the right one is rarely further down."""


class Request(NamedTuple):
    """One question on its way through the tiers."""

    question: str
    scope: Scope
    trace: Explanation | NoTrace


def hit_from(row: CacheResult, strategy: SearchStrategy, confidence: float, cosine: float | None) -> CacheHit:
    """The hit that a stored row makes."""
    return CacheHit(
        generated_query=row.generated_query,
        response_summary=row.response_summary,
        confidence=confidence,
        strategy=strategy,
        template_used=row.template_id,
        expires_at=row.expires_at,
        metadata=row.metadata,
        entry_id=row.id,
        similarity=cosine,
    )


def failure(error: MedhaError) -> CacheHit:
    """The hit that says why there is none."""
    logger.warning("search failed: %s", error)
    return CacheHit(strategy=SearchStrategy.ERROR, error=str(error))


@contextmanager
def _named() -> Iterator[None]:
    """Errors that are not ours become ours: a store of somebody else's may raise anything."""
    try:
        yield
    except MedhaError:
        raise
    except Exception as error:
        raise MedhaError(f"a tier raised {type(error).__name__}: {error}") from error


class Waterfall:
    """Answers questions from the parts it is given; holds no state of its own."""

    def __init__(
        self,
        settings: Settings,
        l1: L1CacheBackend,
        store: VectorStorageBackend,
        embedding: EmbeddingStep,
        guard: Guard,
    ):
        self._settings = settings
        self._l1 = l1
        self._store = store
        self._embedding = embedding
        self._guard = guard
        self.templates: Templates | None = None

    async def answer(self, requests: Sequence[Request]) -> list[CacheHit]:
        """One hit, miss or error a request, in order. A single search is a batch of one."""
        generation = self._l1.generation
        hits = [await self._caught(self._before_embedding(request)) for request in requests]
        waiting = [i for i, hit in enumerate(hits) if hit is None]
        if waiting:
            found = await self._with_embedding([requests[i] for i in waiting])
            for i, hit in zip(waiting, found, strict=True):
                hits[i] = hit
        for request, hit in zip(requests, hits, strict=True):
            if hit and hit.strategy is not SearchStrategy.L1_CACHE:
                await self.remember(request.scope, request.question, hit, generation)
        return [MISS if hit is None else hit for hit in hits]

    async def remember(self, scope: Scope, question: str, hit: CacheHit, generation: int) -> None:
        """Keep a hit ready in L1, unless something was forgotten since `generation`."""
        ready = hit.model_copy(update={"strategy": SearchStrategy.L1_CACHE, "explanation": None})
        await self._l1.refill(question_key(scope.key, question).hex(), ready, generation)

    async def _caught(self, tier: Awaitable[CacheHit | None]) -> CacheHit | None:
        """A tier's answer. A search promises a value, so what a store raises becomes an error hit."""
        try:
            with _named():
                return await tier
        except MedhaError as error:
            return failure(error)

    # before the embedding: nothing here runs a model

    async def _before_embedding(self, request: Request) -> CacheHit | None:
        for name, tier in (
            ("l1", self._from_l1),
            ("template", self._from_template),
            ("text", self._from_text),
        ):
            with request.trace.step(name) as step:
                hit = await tier(request, step)
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
            explained=self._settings.guard != "off",
        )
        if found is None:
            return None
        return CacheHit(
            generated_query=found.query,
            confidence=found.score,
            strategy=SearchStrategy.TEMPLATE_MATCH,
            template_used=found.template.intent,
        )

    async def _from_text(self, request: Request, step: Step | NoTrace) -> CacheHit | None:
        """The exact tier for a question that is stored word for word: no vector is needed."""
        scope = request.scope
        same = [
            candidate
            for candidate in await self._store.with_text(
                scope.collection, normalize_question(request.question)
            )
            if (scope.filters or scope.include_scoped or not candidate.metadata)
            and metadata_matches(candidate.metadata, scope.filters)
        ]
        return await self._first_accepted(request, step, same, [1.0] * len(same), SearchStrategy.EXACT_MATCH)

    # after the embedding: one search feeds three tiers

    async def _with_embedding(self, requests: Sequence[Request]) -> list[CacheHit | None]:
        try:
            vectors = await self._embed(requests)
        except MedhaError as error:
            return [failure(error)] * len(requests)
        return [
            await self._caught(self._from_vector(request, vector))
            for request, vector in zip(requests, vectors, strict=True)
        ]

    async def _embed(self, requests: Sequence[Request]) -> np.ndarray:
        steps = [request.trace.step("embedding") for request in requests]
        with steps[0]:
            vectors = await self._embedding.vectors([request.question for request in requests])
        for step in steps:
            step.outcome = "done"
        return vectors

    async def _from_vector(self, request: Request, vector: np.ndarray) -> CacheHit | None:
        with request.trace.step("index") as step:
            found = self._readable(request, await self._nearest(request.scope, vector), step)
            step.outcome = f"{len(found)} found"
        for name, tier in (("exact", self._exact), ("semantic", self._semantic), ("fuzzy", self._fuzzy)):
            with request.trace.step(name) as step:
                hit = await tier(request, found, step)
                if hit is not None:
                    step.outcome = "hit"
                    return hit
        return None

    async def _nearest(self, scope: Scope, vector: np.ndarray) -> list[Candidate]:
        settings = self._settings
        soft = bool(scope.filters) and settings.metadata_filter_mode == "soft"
        found = await self._store.candidates(
            scope.collection,
            vector,
            max(settings.fuzzy_prefilter_top_k, _JUDGED),
            min(settings.score_threshold_fuzzy_prefilter, settings.score_threshold_semantic),
            None if soft else scope.filters,
            include_scoped=soft or scope.include_scoped,
        )
        if not soft:
            return found
        penalised = [
            candidate
            if metadata_matches(candidate.metadata, scope.filters)
            else candidate._replace(score=candidate.score * settings.metadata_filter_soft_penalty)
            for candidate in found
        ]
        return sorted(penalised, key=lambda candidate: -candidate.score)

    def _readable(self, request: Request, found: list[Candidate], step: Step | NoTrace) -> list[Candidate]:
        """The candidates that differ from the question in nothing that vectors cannot tell."""
        asked = self._embedding.unread(request.question)
        readable = []
        for candidate in found:
            stored = self._embedding.unread(candidate.question)
            if stored == asked:
                readable.append(candidate)
            else:
                step.saw(candidate, candidate.score, "unread", f"asked {asked}, stored {stored}")
        return readable

    async def _exact(self, request: Request, found: list[Candidate], step: Step | NoTrace) -> CacheHit | None:
        same = [c for c in found if c.score >= self._settings.score_threshold_exact]
        scores = [candidate.score for candidate in same]
        return await self._first_accepted(request, step, same, scores, SearchStrategy.EXACT_MATCH)

    async def _semantic(
        self, request: Request, found: list[Candidate], step: Step | NoTrace
    ) -> CacheHit | None:
        settings = self._settings
        near = [
            c for c in found if settings.score_threshold_semantic <= c.score < settings.score_threshold_exact
        ]
        scores = [candidate.score * 0.9 for candidate in near]
        return await self._first_accepted(request, step, near, scores, SearchStrategy.SEMANTIC_MATCH)

    async def _fuzzy(self, request: Request, found: list[Candidate], step: Step | NoTrace) -> CacheHit | None:
        settings = self._settings
        text = normalize_question(request.question)
        alike = [
            (ratio / 100.0, candidate)
            for candidate in found
            if settings.score_threshold_fuzzy_prefilter <= candidate.score < settings.score_threshold_semantic
            and (
                ratio := fuzz.ratio(
                    text, candidate.normalized_question, score_cutoff=settings.score_threshold_fuzzy
                )
            )
        ]
        alike.sort(key=lambda pair: -pair[0])
        return await self._first_accepted(
            request, step, [c for _, c in alike], [ratio for ratio, _ in alike], SearchStrategy.FUZZY_MATCH
        )

    async def _first_accepted(
        self,
        request: Request,
        step: Step | NoTrace,
        candidates: Sequence[Candidate],
        confidences: Sequence[float],
        strategy: SearchStrategy,
    ) -> CacheHit | None:
        """The best candidate the guard accepts and that is still there."""
        candidates = candidates[:_JUDGED]
        verdicts = self._guard.choose(request.question, candidates) if candidates else []
        for candidate, verdict, confidence in zip(candidates, verdicts, confidences, strict=False):
            hit = await self._taken(request, candidate, verdict, confidence, strategy)
            step.saw(candidate, confidence, verdict.reason, verdict.evidence)
            if hit is not None:
                return hit
        return None

    async def _taken(
        self,
        request: Request,
        candidate: Candidate,
        verdict: Verdict,
        confidence: float,
        strategy: SearchStrategy,
    ) -> CacheHit | None:
        if not verdict.accepted:
            return None
        row = await self._store.fetch(request.scope.collection, candidate)
        return None if row is None else hit_from(row, strategy, min(1.0, confidence), candidate.score)
