"""The vector's tiers: which of them a candidate reaches, by the thresholds of the settings."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz

from medha_core.interfaces.storage import Candidate
from medha_core.normalise import normalize_question
from medha_core.settings import Settings
from medha_core.types import SearchStrategy

_NONE = (SearchStrategy.NO_MATCH, 0.0)
_ORDER = {SearchStrategy.EXACT_MATCH: 0, SearchStrategy.SEMANTIC_MATCH: 1, SearchStrategy.FUZZY_MATCH: 2}


class Thresholds(NamedTuple):
    """Where the tiers begin: cosines, a share of equal letters, and what feedback lifts a score by."""

    exact: float
    semantic: float
    prefilter: float
    letters: float
    boost: float

    @classmethod
    def of(cls, settings: Settings) -> "Thresholds":
        return cls(
            settings.score_threshold_exact,
            settings.semantic_threshold,
            settings.score_threshold_fuzzy_prefilter,
            settings.score_threshold_fuzzy / 100.0,
            settings.feedback_boost_factor,
        )

    @property
    def lowest(self) -> float:
        """The cosine below which no entry reaches a tier."""
        return min(self.prefilter, self.semantic / (1 + self.boost))


class Tiers:
    """The tiers as one question meets them.

    `trust` is, by entry, the share of its feedback that was correct; the boost times that lifts an entry
    in the semantic and the fuzzy tier.
    """

    def __init__(self, thresholds: Thresholds, question: str, trust: Mapping[str, float] | None = None):
        self._exact, self._semantic, self._prefilter, self._letters, self._boost = thresholds
        self._question = question
        self._text: str | None = None
        """The question as letters are compared with, once somebody does."""
        self._trust = trust or {}

    def boosted(self, candidate: Candidate, score: float) -> float:
        """A score lifted by the entry's feedback, at most 1."""
        trust = self._trust.get(candidate.id, 0.0)
        return min(1.0, score * (1 + self._boost * trust)) if trust else score

    def of(self, candidate: Candidate) -> tuple[SearchStrategy, float]:
        """The tier and the confidence on its scale.

        Cases: exact by cosine; semantic by cosine; fuzzy by the letters, for
        cosines over the prefilter; none.
        """
        score = candidate.score
        if score >= self._exact:
            return SearchStrategy.EXACT_MATCH, score
        semantic = self.boosted(candidate, score) if self._trust else score
        if semantic >= self._semantic:
            return SearchStrategy.SEMANTIC_MATCH, semantic * 0.9
        return self.by_letters(candidate) if score >= self._prefilter else _NONE

    def by_letters(self, candidate: Candidate) -> tuple[SearchStrategy, float]:
        """The fuzzy tier, whatever the cosine, and the confidence; or no tier."""
        if self._text is None:
            self._text = normalize_question(self._question)
        ratio = self.boosted(candidate, fuzz.ratio(self._text, candidate.normalized_question) / 100.0)
        return (SearchStrategy.FUZZY_MATCH, ratio) if ratio >= self._letters else _NONE

    def reaches(self, candidate: Candidate) -> bool:
        """Whether a candidate reaches any tier."""
        return self.of(candidate)[0] is not SearchStrategy.NO_MATCH

    def sorted(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that reach a tier: exact and semantic by cosine, then fuzzy by letters."""
        reached = [(self.of(candidate), candidate) for candidate in candidates]
        passed = [(_ORDER[tier], -score, candidate) for (tier, score), candidate in reached if tier in _ORDER]
        return [candidate for _, _, candidate in sorted(passed, key=lambda found: found[:2])]
