"""Templates, best match first: reached by words, filled with values, held against the whole question."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from medha_core.errors import ArgumentTypeError, ParameterExtractionError
from medha_core.normalise import keywords, normalize_question
from medha_core.templates.gate import Gate
from medha_core.types import QueryTemplate

_SLOT = re.compile(r"\{(\w+)\}")
_SLOT_WORD = re.compile(r"\w*\{\w+\}\w*")
"""A slot with the letters around it: `{role}s`."""
_WORD = re.compile(r"\w+")
_TRIED = 64
"""Templates whose values are looked for at most; it bounds the time that slow patterns take together."""


def _words(text: str) -> frozenset[str]:
    """The words of a text, in the singular as far as a last letter tells."""
    found = _WORD.findall(text.lower())
    return frozenset(word[:-1] if len(word) > 3 and word[-1] == "s" else word for word in found)


_FILLERS = _words(
    "a an the of in on at to for from by with and or i is are was were be been do does did "
    "there have has had me my our us we you your please can could would show give tell list get find "
    "display fetch see want know need what which who how many much all any total it its that this "
    "these those"
)
"""Words that ask without saying what for. They need no like; whether they matter, the guard says."""


class Extractor(Protocol):
    """What this tier needs of a parameter extractor."""

    def check(self, template: QueryTemplate) -> None: ...

    def extract(self, question: str, template: QueryTemplate) -> dict[str, str]: ...

    def render_query(self, template: QueryTemplate, params: dict[str, str]) -> str: ...


class TemplateMatch(NamedTuple):
    """A template that fits a question, its query with the values in it, and its score."""

    template: QueryTemplate
    query: str
    score: float
    values: dict[str, str]


Agrees = Callable[[str, str, str], bool]
"""`(question, the template's text with its values in it, query)`: whether they ask for the same."""


class Templates:
    """Query templates, checked and indexed when they are given.

    Args:
        templates: the patterns. Raises `TemplateError` for one that no question could be answered with.
        extractor: finds the values of a template's parameters and renders its query.
    """

    def __init__(self, templates: Sequence[QueryTemplate], extractor: Extractor):
        for template in templates:
            if not isinstance(template, QueryTemplate):
                raise ArgumentTypeError("templates", "a list of QueryTemplate", template)
            extractor.check(template)
        self._templates = list(templates)
        self._extractor = extractor
        self._gates: dict[float, Gate] = {}

    def __len__(self) -> int:
        return len(self._templates)

    def match(self, question: str, threshold: float, agrees: Agrees | None = None) -> TemplateMatch | None:
        """The best template that scores at least `threshold` and whose query can be made.

        With `agrees`, a text of a template counts only if it and its values account for all
        words of the question, and the question for all of its words; and if `agrees` says so.
        """
        words = _words(question)
        made: dict[int, tuple[str, dict[str, str]] | None] = {}
        for score, place, text in self._gate(threshold).reached(_keywords(question)):
            template = self._templates[place]
            if agrees is not None and not _may_cover(words, template, text):
                continue
            if place not in made:
                if len(made) == _TRIED:
                    return None
                made[place] = self._make(question, template)
            if (found := made[place]) is None:
                continue
            query, values = found
            if agrees is None or (
                _covers(words, template, text, values) and agrees(question, _filled(text, values), query)
            ):
                return TemplateMatch(template, query, min(score, 1.0), values)
        return None

    def _gate(self, threshold: float) -> Gate:
        if threshold not in self._gates:
            self._gates[threshold] = Gate(self._templates, threshold)
        return self._gates[threshold]

    def _make(self, question: str, template: QueryTemplate) -> tuple[str, dict[str, str]] | None:
        """The template's query for a question, with its values; None where it cannot be made."""
        try:
            values = self._extractor.extract(question, template)
            return self._extractor.render_query(template, values), values
        except ParameterExtractionError:
            return None


def _keywords(question: str) -> frozenset[str]:
    """The words that templates are scored by: of the question as asked and normalised."""
    return frozenset(keywords(question)).union(keywords(normalize_question(question)))


def _may_cover(asked: frozenset[str], template: QueryTemplate, text: str) -> bool:
    """Whether the question says all of a text's words; the names of parameters may be left out.

    Where there are no parameters, the text must say all of the question's words too.
    """
    own, allowed = _own_words(text), _allowed(*template.parameters)
    return own - asked <= allowed and (bool(template.parameters) or asked - own <= allowed)


def _covers(asked: frozenset[str], template: QueryTemplate, text: str, values: dict[str, str]) -> bool:
    """Whether a text and the values account for all words of the question."""
    valued = frozenset().union(*map(_words, values.values()))
    return asked - _own_words(text) - valued <= _allowed(*template.parameters)


@lru_cache(maxsize=16_384)
def _own_words(text: str) -> frozenset[str]:
    return _words(_SLOT_WORD.sub(" ", text))


@lru_cache(maxsize=1024)
def _allowed(*parameters: str) -> frozenset[str]:
    return _FILLERS.union(*(_words(name.replace("_", " ")) for name in parameters))


def _filled(text: str, values: dict[str, str]) -> str:
    """A template's text with its values in it; a parameter the text has no slot for stands behind it."""
    filled = _SLOT.sub(lambda slot: values.get(slot[1], ""), text)
    unsaid = [value for name, value in values.items() if f"{{{name}}}" not in text]
    return " ".join([filled, *unsaid])
