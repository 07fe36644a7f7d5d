"""Which templates a question can reach, found by its rarest words without looking at the others.

A template scores by the share of its words that the question holds, so a threshold asks for a number of
them: with n words of which k must be there, one of any n - k + 1 must be. Those that the fewest
templates have are indexed; a question looks up its own words and weighs only what they lead to.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from medha_core.normalise import keywords
from medha_core.types import QueryTemplate

__all__ = ["Gate", "Reached"]

_SLACK = 1e-9
"""For sums of decimals that lie a rounding below a threshold."""


class Reached(NamedTuple):
    """A text of a template whose score reaches the threshold."""

    score: float
    place: int
    """Which template."""
    text: str
    """Its text, or one of its aliases."""


class _Text(NamedTuple):
    place: int
    text: str
    words: frozenset[str]
    base: float
    """What the template scores without a word of the question."""

    def score(self, asked: frozenset[str]) -> float:
        overlap = len(self.words & asked) / len(self.words) if self.words else 0.0
        return 0.5 * overlap + self.base


class Gate:
    """The texts of templates, indexed for one threshold.

    Scores: 0.5 of the share of a text's words that the question holds, the best of text and aliases;
    0.3 for its parameters, all of which must be found; 0.02 for each step of priority above 5.
    """

    def __init__(self, templates: Sequence[QueryTemplate], threshold: float):
        self._threshold = threshold - _SLACK
        texts = [
            _Text(place, text, frozenset(keywords(text, slots=True)), 0.3 + 0.02 * (5 - template.priority))
            for place, template in enumerate(templates)
            for text in (template.template_text, *template.aliases)
        ]
        common = Counter(word for text in texts for word in text.words)
        self._always: list[_Text] = []
        """Texts that need no word of the question."""
        self._by_word: dict[str, list[_Text]] = {}
        for text in texts:
            needed = math.ceil((self._threshold - text.base) / 0.5 * len(text.words))
            if needed <= 0 and text.base >= self._threshold:
                self._always.append(text)
            elif 0 < needed <= len(text.words):
                rarest = sorted(text.words, key=lambda word: (common[word], word))
                for word in rarest[: len(text.words) - needed + 1]:
                    self._by_word.setdefault(word, []).append(text)

    def reached(self, asked: frozenset[str]) -> list[Reached]:
        """The texts that a question with these words reaches, the best first."""
        scored = {(text.place, text.text): text.score(asked) for text in self._led_to(asked)}
        found = [Reached(score, *text) for text, score in scored.items() if score >= self._threshold]
        return sorted(found, key=lambda one: (-one.score, one.place)) if len(found) > 1 else found

    def _led_to(self, asked: Iterable[str]) -> Iterable[_Text]:
        yield from self._always
        for word in asked:
            yield from self._by_word.get(word, ())
