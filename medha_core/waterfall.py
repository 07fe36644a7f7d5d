"""The waterfall: the tiers in order, the first accepted answer wins.

    L1 -> templates -> exact text -> embedding -> one vector search -> guard -> tier

One search proposes for all the vector's tiers; the guard decides which candidate
may answer, and the thresholds say which tier that is.
"""

import logging
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple

import numpy as np

from medha_core.assurance import Assurance
from medha_core.decision import Decision
from medha_core.embedding import EmbeddingStep
from medha_core.errors import MedhaError
from medha_core.interfaces import Candidate, L1CacheBackend, VectorStorageBackend
from medha_core.knowledge import Knowledge
from medha_core.metadata import dumps_metadata, metadata_matches
from medha_core.native import question_key
from medha_core.normalise import normalize_question
from medha_core.scope import Scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder
from medha_core.substitution import Substituted
from medha_core.templates import Templates
from medha_core.tiers import Tiers
from medha_core.trace import Explanation, NoTrace, Step
from medha_core.types import Bound, CacheHit, CacheResult, SearchStrategy

logger = logging.getLogger("medha_core")

MISS = CacheHit()
_JUDGED = 8
"""Candidates the guard weighs at most; the right one is rarely further down."""


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
        knowledge: Knowledge,
        assurance: Assurance,
        stats: StatsRecorder,
    ):
        self._settings = settings
        self._l1 = l1
        self._store = store
        self._embedding = embedding
        self._knowledge = knowledge
        self._assurance = assurance
        self._stats = stats
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
        scope, question = request.scope, request.question
        for candidate in await self._store.with_text(scope.collection, normalize_question(question)):
            if _is_visible(candidate, scope) and question_key(b"", candidate.question) == question_key(
                b"", question
            ):
                step.saw(candidate, 1.0, "same", "word for word")
                row = await self._store.fetch(scope.collection, candidate)
                if row is not None:
                    return hit_from(row, SearchStrategy.EXACT_MATCH, 1.0, 1.0)
        return None

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
        with steps[0], _named():
            vectors = await self._embedding.vectors([request.question for request in requests])
        for step in steps:  # one call for all: each waited as long
            step.outcome, step.microseconds = "done", steps[0].microseconds
        return vectors

    async def _from_vector(self, request: Request, vector: np.ndarray) -> CacheHit | None:
        with request.trace.step("index") as step:
            found = self._readable(request, await self._nearest(request.scope, vector), step)
            step.outcome = f"{len(found)} found"
        trust = await self._trust(request.scope.collection, found)
        tiers = Tiers(self._settings, request.question, trust)
        if trust:
            found.sort(key=lambda candidate: -tiers.boosted(candidate, candidate.score))
        with request.trace.step("guard") as step:
            if self._knowledge.is_off:
                return await self._unguarded(request, found, tiers, step)
            alike = self._readable(request, await self._alike(request, found), step)
            return await self._guarded(request, found + alike, tiers, step)

    async def _unguarded(
        self, request: Request, found: Sequence[Candidate], tiers: Tiers, step: Step | NoTrace
    ) -> CacheHit | None:
        """The first candidate that a threshold lets pass."""
        for candidate in tiers.sorted(found):
            strategy, confidence = tiers.of(candidate)
            step.saw(candidate, confidence, strategy.value)
            hit = await self._taken(request, candidate, strategy, confidence)
            if hit is not None:
                step.outcome = strategy.value
                return hit
        return None

    async def _guarded(
        self, request: Request, found: Sequence[Candidate], tiers: Tiers, step: Step | NoTrace
    ) -> CacheHit | None:
        """The candidate the guard chooses, if a threshold lets it pass or its values were exchanged."""
        if not found:
            return None
        started = perf_counter()
        decided = self._knowledge.decide(request.scope.collection, request.question, found)
        seconds = perf_counter() - started
        decided = await self._settled(request, found, decided, tiers)
        self._count(seconds, found, decided, tiers)
        for candidate, verdict in zip(found, decided.verdicts, strict=True):
            step.saw(candidate, candidate.score, verdict.reason.value, verdict.evidence)
        if decided.winner is None:
            return None
        candidate = found[decided.winner]
        if decided.substituted is not None:
            strategy, confidence = SearchStrategy.PARAMETRIC_MATCH, decided.confidence
        else:
            strategy, confidence = tiers.of(candidate)
            if strategy is SearchStrategy.NO_MATCH and not candidate.score:
                strategy, confidence = tiers.by_letters(
                    candidate
                )  # a slip took the vector away, not the words
        if strategy is SearchStrategy.NO_MATCH:
            return None
        step.outcome = strategy.value
        hit = await self._taken(request, candidate, strategy, confidence)
        return hit if hit is None or decided.substituted is None else _exchanged(hit, decided.substituted)

    async def _settled(
        self, request: Request, found: Sequence[Candidate], decided: Decision, tiers: Tiers
    ) -> Decision:
        """The decision held against the entry's record, what was ruled and, in doubt, the judge."""
        record = (0, 0)
        if decided.winner is not None:
            row = await self._store.fetch(request.scope.collection, found[decided.winner])
            record = (0, 0) if row is None else (row.feedback_correct, row.feedback_incorrect)
        return await self._assurance.settle(
            request.question, found, decided, record=record, reaches=tiers.reaches
        )

    def _count(self, seconds: float, found: Sequence[Candidate], decided: Decision, tiers: Tiers) -> None:
        """Add a decision, with the refused candidates that had reached a tier, to the statistics."""
        if not self._stats.enabled:
            return
        refused = [
            (verdict.reason.value, candidate.score)
            for candidate, verdict in zip(found, decided.verdicts, strict=True)
            if not verdict.accepted and tiers.reaches(candidate)
        ]
        best = max((score for _, score in refused), default=None)
        self._stats.record_guard(
            seconds, [reason for reason, _ in refused], best if decided.winner is None else None
        )

    async def _alike(self, request: Request, found: Sequence[Candidate]) -> list[Candidate]:
        """Entries that say the same words with other values and are too far for the vector to find."""
        scope, known = request.scope, {candidate.id for candidate in found}
        ids = self._knowledge.alike(scope.collection, dumps_metadata(scope.filters), request.question)
        missing = [entry_id for entry_id in ids if entry_id not in known]
        if not missing:
            return []
        entries = await self._store.with_ids(scope.collection, missing)
        return [entry._replace(score=0.0) for entry in entries if _is_visible(entry, scope)]

    async def _nearest(self, scope: Scope, vector: np.ndarray) -> list[Candidate]:
        settings = self._settings
        soft = bool(scope.filters) and settings.metadata_filter_mode == "soft"
        found = await self._store.candidates(
            scope.collection,
            vector,
            settings.fuzzy_prefilter_top_k if self._knowledge.is_off else _JUDGED,
            min(
                settings.score_threshold_fuzzy_prefilter,
                settings.semantic_threshold / (1 + settings.feedback_boost_factor),
            ),
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

    async def _trust(self, collection: str, found: Sequence[Candidate]) -> dict[str, float]:
        """Share of correct feedback of each entry that has any; read only where a boost is set."""
        if not self._settings.feedback_boost_factor:
            return {}
        rows = [await self._store.fetch(collection, candidate) for candidate in found]
        return {
            row.id: row.feedback_correct / (row.feedback_correct + row.feedback_incorrect)
            for row in rows
            if row is not None and row.feedback_correct
        }

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

    async def _taken(
        self, request: Request, candidate: Candidate, strategy: SearchStrategy, confidence: float
    ) -> CacheHit | None:
        """The hit for a candidate, or None when it is gone by now."""
        row = await self._store.fetch(request.scope.collection, candidate)
        return None if row is None else hit_from(row, strategy, min(1.0, confidence), candidate.score)


def _is_visible(candidate: Candidate, scope: Scope) -> bool:
    """Whether a caller with this scope may see an entry."""
    allowed = bool(scope.filters) or scope.include_scoped or not candidate.metadata
    return allowed and metadata_matches(candidate.metadata, scope.filters)


def _exchanged(hit: CacheHit, made: Substituted) -> CacheHit:
    return hit.model_copy(
        update={
            "generated_query": made.query,
            "response_summary": None,
            "parameters": made.parameters,
            "bound": Bound(made.bound_query, made.bind_values),
        }
    )
