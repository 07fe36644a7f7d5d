"""The vector's tiers: which of them a candidate reaches, by the thresholds of the settings."""

from collections.abc import Sequence

from rapidfuzz import fuzz

from medha_core.interfaces.storage import Candidate
from medha_core.normalise import normalize_question
from medha_core.settings import Settings
from medha_core.types import SearchStrategy

_ORDER = {SearchStrategy.EXACT_MATCH: 0, SearchStrategy.SEMANTIC_MATCH: 1, SearchStrategy.FUZZY_MATCH: 2}


class Tiers:
    """The tiers as one question meets them."""

    def __init__(self, settings: Settings, question: str):
        self._settings = settings
        self._text = normalize_question(question)

    def of(self, candidate: Candidate) -> tuple[SearchStrategy, float]:
        """The tier and the confidence on its scale.

        Cases: exact by cosine; semantic by cosine; fuzzy by the letters, for
        cosines over the prefilter; none.
        """
        settings, score = self._settings, candidate.score
        if score >= settings.score_threshold_exact:
            return SearchStrategy.EXACT_MATCH, score
        if score >= settings.score_threshold_semantic:
            return SearchStrategy.SEMANTIC_MATCH, score * 0.9
        if score >= settings.score_threshold_fuzzy_prefilter:
            ratio = fuzz.ratio(self._text, candidate.normalized_question)
            if ratio >= settings.score_threshold_fuzzy:
                return SearchStrategy.FUZZY_MATCH, ratio / 100.0
        return SearchStrategy.NO_MATCH, 0.0

    def sorted(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that reach a tier: exact and semantic by cosine, then fuzzy by letters."""
        reached = [(self.of(candidate), candidate) for candidate in candidates]
        passed = [(_ORDER[tier], -score, candidate) for (tier, score), candidate in reached if tier in _ORDER]
        return [candidate for _, _, candidate in sorted(passed, key=lambda found: found[:2])]
