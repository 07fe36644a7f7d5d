"""The template tier: a question that fits a pattern, its values put into the pattern's query."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from medha_core.errors import ParameterExtractionError
from medha_core.normalise import keyword_overlap_score
from medha_core.types import QueryTemplate

_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")
_FILLERS = frozenset(
    "a an the of in on at to for from by with and or is are was were be been do does did there have has had "
    "me my our us i we you your please can could would show give tell list get find display fetch see want "
    "know need what which who how many much all any total it its that this these those".split()
)
"""Words that ask without saying what for; a template need not explain them."""


class Extractor(Protocol):
    """What this tier needs of a parameter extractor."""

    def extract(self, question: str, template: QueryTemplate) -> dict[str, str]: ...

    def render_query(self, template: QueryTemplate, params: dict[str, str]) -> str: ...


class TemplateMatch(NamedTuple):
    """A template that fits a question, its query with the values in it, and its score."""

    template: QueryTemplate
    query: str
    score: float


class Templates:
    """Query templates, best match first.

    Args:
        templates: the patterns.
        extractor: finds the values of a template's parameters and renders its query.
    """

    def __init__(self, templates: Sequence[QueryTemplate], extractor: Extractor):
        self._templates = [(template, _known_words(template)) for template in templates]
        self._extractor = extractor

    def __len__(self) -> int:
        return len(self._templates)

    def match(self, question: str, threshold: float, *, explained: bool = True) -> TemplateMatch | None:
        """The best template that scores at least `threshold` and whose query can be made.

        With `explained`, a template is refused when the question holds words that
        neither the template nor its values account for.
        """
        scored = [
            (score, template, known)
            for template, known in self._templates
            if (score := _score(question, template)) >= threshold
        ]
        for score, template, known in sorted(scored, key=lambda found: -found[0]):
            try:
                values = self._extractor.extract(question, template)
                query = self._extractor.render_query(template, values)
            except ParameterExtractionError:
                continue
            if not explained or not _unexplained(question, known, values):
                return TemplateMatch(template, query, min(score, 1.0))
        return None


def _texts(template: QueryTemplate) -> list[str]:
    return [template.template_text, *template.aliases]


def _score(question: str, template: QueryTemplate) -> float:
    """0.5 word coverage + 0.3 for its parameters (all or refused) + 0.02 a step of priority."""
    overlap = max(keyword_overlap_score(question, text) for text in _texts(template))
    return 0.5 * overlap + 0.3 + 0.02 * (5 - template.priority)


def _known_words(template: QueryTemplate) -> frozenset[str]:
    words = [word for text in _texts(template) for word in _WORD.findall(_SLOT.sub(" ", text).lower())]
    return frozenset(words)


def _unexplained(question: str, known: frozenset[str], values: dict[str, str]) -> set[str]:
    """Words of the question that neither template, values nor common filler account for."""
    from_values = {word for value in values.values() for word in _WORD.findall(value.lower())}
    return set(_WORD.findall(question.lower())) - known - from_values - _FILLERS
