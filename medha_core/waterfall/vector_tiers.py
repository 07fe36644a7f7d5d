"""The tiers behind the embedding: one search proposes, the guard decides, the thresholds name the tier."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from medha_core.deciding.assurance import Assurance
from medha_core.deciding.decision import Decision
from medha_core.deciding.substitution import Substituted
from medha_core.deciding.tiers import Thresholds, Tiers
from medha_core.embedding import CachedEmbedder
from medha_core.interfaces import Candidate, VectorStorageBackend
from medha_core.interfaces.storage import Fetched
from medha_core.learning.knowledge import Knowledge
from medha_core.metadata import dumps_metadata, metadata_matches
from medha_core.normalise import differ_in_quoted_case, normalize_question, quotes
from medha_core.scope import Scope
from medha_core.settings import Settings
from medha_core.stats import StatsRecorder
from medha_core.trace import NoTrace, Step
from medha_core.types import Bound, CacheHit, SearchStrategy, changed
from medha_core.waterfall.request import Request, hit_from, is_visible

_JUDGED = 8
"""Candidates the guard weighs at most; the right one is rarely further down."""


class VectorTiers:
    """Answers a question by its vector. Holds no state of its own."""

    def __init__(
        self,
        settings: Settings,
        store: VectorStorageBackend,
        embedding: CachedEmbedder,
        knowledge: Knowledge,
        assurance: Assurance,
        stats: StatsRecorder,
    ):
        self._settings = settings
        self._thresholds = Thresholds.of(settings)
        self._judged = settings.fuzzy_prefilter_top_k if knowledge.is_off else _JUDGED
        self._store = store
        self._embedding = embedding
        self._knowledge = knowledge
        self._assurance = assurance
        self._stats = stats

    async def answer(self, request: Request, vector: np.ndarray) -> CacheHit | None:
        with request.trace.step("index") as step:
            found = self._readable(request, await self._nearest(request.scope, vector), step)
            step.outcome = f"{len(found)} found"
        trust = await self._trust(request.scope.collection, found) if self._thresholds.boost else None
        tiers = Tiers(self._thresholds, request.question, trust)
        if trust:
            found.sort(key=lambda candidate: -tiers.boosted(candidate, candidate.score))
        with request.trace.step("guard") as step:
            if self._knowledge.is_off:
                return await self._unguarded(request, found, tiers, step)
            await self._knowledge.before_deciding()
            alike = await self._alike(request, found)
            if alike:
                found = found + self._readable(request, alike, step)
            return await self._guarded(request, found, tiers, step)

    async def by_spelling(self, request: Request) -> CacheHit | None:
        """The fuzzy tier for a question that has no vector: stored questions that are spelt like it.

        To the guard, each is as far from the question as a candidate of this tier may be.
        """
        scope, settings = request.scope, self._settings
        with request.trace.step("spelling") as step:
            near = await self._store.spelled_like(
                scope.collection,
                normalize_question(request.question),
                settings.score_threshold_fuzzy,
                _JUDGED,
                scope.filters,
                scope.include_scoped,
            )
            far = min(self._thresholds.prefilter, self._thresholds.semantic - 1e-6)
            found = self._readable(request, [one._replace(score=far) for one in near], step)
            step.outcome = f"{len(found)} found"
        tiers = Tiers(self._thresholds._replace(prefilter=far), request.question)
        with request.trace.step("guard") as step:
            await self._knowledge.before_deciding()
            choose = self._unguarded if self._knowledge.is_off else self._guarded
            hit = await choose(request, found, tiers, step)
        return hit and changed(hit, similarity=None)

    async def _unguarded(
        self, request: Request, found: Sequence[Candidate], tiers: Tiers, step: Step | NoTrace
    ) -> CacheHit | None:
        """The first candidate that a threshold lets pass."""
        for candidate in tiers.sorted(found):
            strategy, confidence = tiers.of(candidate)
            step.saw(candidate, confidence, strategy.value)
            row = await self._store.fetch(request.scope.collection, candidate)
            if row is not None:
                step.outcome = strategy.value
                return hit_from(row, strategy, min(1.0, confidence), candidate.score)
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
        row = None
        if decided.winner is not None or self._assurance.has_judge:
            decided, row = await self._settled(request, found, decided, tiers)
        self._count(seconds, found, decided, tiers)
        if step.wanted:
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
                # Found by its words: a slip took the vector away, not what is asked.
                strategy, confidence = tiers.by_letters(candidate)
        if strategy is SearchStrategy.NO_MATCH or row is None:
            return None
        step.outcome = strategy.value
        hit = hit_from(row, strategy, min(1.0, confidence), candidate.score)
        return hit if decided.substituted is None else _exchanged(hit, decided.substituted)

    async def _settled(
        self, request: Request, found: Sequence[Candidate], decided: Decision, tiers: Tiers
    ) -> tuple[Decision, Fetched | None]:
        """The decision held against the entry's record, what was ruled and, in doubt, the judge.

        With the row of its winner, None when it is gone by now.
        """
        row = await self._row(request, found, decided)
        settled = await self._assurance.settle(
            request.question,
            found,
            decided,
            record=(0, 0) if row is None else (row.feedback_correct, row.feedback_incorrect),
            reaches=tiers.reaches,
        )
        if self._assurance.has_judge:  # which takes its time, and may have chosen another one
            row = await self._row(request, found, settled)
        return settled, row

    async def _row(self, request: Request, found: Sequence[Candidate], decided: Decision) -> Fetched | None:
        if decided.winner is None:
            return None
        return await self._store.fetch(request.scope.collection, found[decided.winner])

    def _count(self, seconds: float, found: Sequence[Candidate], decided: Decision, tiers: Tiers) -> None:
        """Add a decision, with the refused candidates that had reached a tier, to the statistics."""
        if not self._stats.enabled:
            return
        reasons, best = decided.near_misses(found, self._thresholds.semantic, tiers.reaches)
        self._stats.record_guard(seconds, reasons, best if decided.winner is None else None)

    async def _alike(self, request: Request, found: Sequence[Candidate]) -> list[Candidate]:
        """Entries that say the same words with other values and are too far for the vector to find."""
        scope = request.scope
        ids = self._knowledge.alike(scope.collection, dumps_metadata(scope.filters), request.question)
        if not ids:
            return []
        known = {candidate.id for candidate in found}
        missing = [entry_id for entry_id in ids if entry_id not in known]
        if not missing:
            return []
        entries = await self._store.with_ids(scope.collection, missing)
        return [entry._replace(score=0.0) for entry in entries if is_visible(entry, scope)]

    async def _nearest(self, scope: Scope, vector: np.ndarray) -> list[Candidate]:
        soft = bool(scope.filters) and self._settings.metadata_filter_mode == "soft"
        found = await self._store.candidates(
            scope.collection,
            vector,
            self._judged,
            self._thresholds.lowest,
            None if soft else scope.filters,
            include_scoped=soft or scope.include_scoped,
        )
        if not soft:
            return found
        penalised = [
            candidate
            if metadata_matches(candidate.metadata, scope.filters)
            else candidate._replace(score=candidate.score * self._settings.metadata_filter_soft_penalty)
            for candidate in found
        ]
        return sorted(penalised, key=lambda candidate: -candidate.score)

    async def _trust(self, collection: str, found: Sequence[Candidate]) -> dict[str, float]:
        """Share of correct feedback of each entry that has any; read only where a boost is set."""
        rows = [await self._store.fetch(collection, candidate) for candidate in found]
        return {
            row.id: row.feedback_correct / (row.feedback_correct + row.feedback_incorrect)
            for row in rows
            if row is not None and row.feedback_correct
        }

    def _readable(self, request: Request, found: list[Candidate], step: Step | NoTrace) -> list[Candidate]:
        """The candidates that differ from the question in nothing that vectors cannot tell."""
        question, embedding = request.question, self._embedding
        quoting = not self._knowledge.is_off and quotes(question)
        if embedding.reads_all and not quoting:
            return found
        asked, *stored = embedding.unread_of([question, *[one.question for one in found]])
        if not quoting and stored.count(asked) == len(stored):
            return found
        readable = []
        for candidate, unread in zip(found, stored, strict=True):
            if unread != asked:
                step.saw(candidate, candidate.score, "unread", f"asked {asked}, stored {unread}")
            elif quoting and differ_in_quoted_case(question, candidate.question):
                step.saw(candidate, candidate.score, "literal", "letters of a quoted text differ in case")
            else:
                readable.append(candidate)
        return readable


def _exchanged(hit: CacheHit, made: Substituted) -> CacheHit:
    return changed(
        hit,
        generated_query=made.query,
        response_summary=None,
        parameters=made.parameters,
        bound=Bound(made.bound_query, made.bind_values),
    )
