"""Finds a template's values in a question: declared patterns first, then recognisers, then forms."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args

from medha_core.concurrency.forking import lock
from medha_core.errors import ArgumentValueError, ParameterExtractionError, TemplateError
from medha_core.parameters import entities, forms
from medha_core.parameters.entities import Entity, LazyModel, Recogniser
from medha_core.parameters.forms import Span
from medha_core.parameters.patterns import pattern
from medha_core.parameters.rendering import plan_of, render
from medha_core.parameters.slots import Place
from medha_core.settings import Settings
from medha_core.types import QueryTemplate

__all__ = ["ParameterExtractor"]

_CACHED = 256
"""Questions whose entities are kept, for each recogniser."""
_NUMERIC = frozenset("count number limit top n year amount quantity days min max".split())
_DATED = frozenset("date day month since until".split())
_SPACY_LABELS = {
    "user": ("PERSON",),
    "person": ("PERSON",),
    "name": ("PERSON",),
    "company": ("ORG",),
    "org": ("ORG",),
    "organization": ("ORG",),
    "city": ("GPE",),
    "country": ("GPE",),
    "location": ("GPE", "LOC"),
}
_LANGUAGES = get_args(Settings.model_fields["query_language"].annotation)


class ParameterExtractor:
    """Values for the parameters of templates, and queries rendered with them. Safe across threads.

    Args:
        use_spacy: look for entities with spaCy, where it and an English model are installed.
        use_gliner: look for entities named like the parameters with GLiNER, where it is installed.
        gliner_model: its model.
        recogniser: your own, `(text, labels) -> entities`, asked before GLiNER and spaCy.
        spacy_model: a spaCy pipeline, or the name or directory of one, instead of the installed model.
        query_language: whose literal rules `render_query` follows, as in `Settings`.
    """

    def __init__(
        self,
        use_spacy: bool = True,
        use_gliner: bool = False,
        gliner_model: str = "urchade/gliner_medium-v2.1",
        *,
        recogniser: Recogniser | None = None,
        spacy_model: Any = None,
        query_language: str = "generic",
    ):
        if query_language not in _LANGUAGES:
            raise ArgumentValueError("query_language", " or ".join(map(repr, _LANGUAGES)), query_language)
        self._language = query_language
        self._own = _Remembered(recogniser) if recogniser is not None else None
        self._gliner = LazyModel("GLiNER", lambda: _Remembered(entities.gliner(gliner_model)))
        self._spacy_model = (spacy_model or entities.installed_spacy_model()) if use_spacy else None
        self._spacy = LazyModel("spaCy", lambda: _Remembered(entities.spacy_pipeline(self._spacy_model)))
        self._gliner_available = use_gliner and entities.gliner_installed()
        asked = [
            (self._own is not None, self._by_own),
            (self._gliner_available, self._by_gliner),
            (self.spacy_available, self._by_spacy),
        ]
        self._stages = [self._by_pattern, *(stage for is_there, stage in asked if is_there), self._by_form]

    def __repr__(self) -> str:
        used = [("own", self._own), ("gliner", self.gliner_available), ("spacy", self.spacy_available)]
        return f"<ParameterExtractor {self._language}, {', '.join(n for n, on in used if on) or 'forms'}>"

    @property
    def spacy_available(self) -> bool:
        """Whether spaCy is wanted, and it and a model are there."""
        return self._spacy_model is not None

    @property
    def gliner_available(self) -> bool:
        """Whether GLiNER is wanted and installed."""
        return self._gliner_available

    def load(self) -> None:
        """Load the recognisers now; without it, the first question that needs them does.

        Takes seconds. On an event loop call it in a thread; a question asked there
        before it is done goes without them.
        """
        for model, available in (
            (self._gliner, self.gliner_available),
            (self._spacy, self.spacy_available),
        ):
            if available:
                model.load()

    def check(self, template: QueryTemplate) -> None:
        """Raise `TemplateError` for a template that no question could be answered with."""
        names = set(template.parameters)
        if unknown := sorted(set(template.parameter_patterns) - names):
            raise TemplateError(
                f"template {template.intent!r}: parameter_patterns for {', '.join(unknown)}, "
                f"which parameters does not list"
            )
        for name, text in template.parameter_patterns.items():
            pattern(text, _where(template, name))
        slots = plan_of(template, self._language).slots
        if hidden := sorted({slot.name for slot in slots if slot.place is Place.COMMENT}):
            raise TemplateError(
                f"template {template.intent!r}: slots in a comment of its query: {', '.join(hidden)}"
            )
        if unfilled := sorted({slot.name for slot in slots} - names):
            raise TemplateError(
                f"template {template.intent!r}: its query has slots that parameters does not list: "
                f"{', '.join(unfilled)}"
            )

    def extract(self, question: str, template: QueryTemplate) -> dict[str, str]:
        """A value for each name in `template.parameters`.

        Declared patterns are tried first, then the recognisers, then the form: numbers
        for counts and years, dates, names. No part of the question gives two values.
        Raises `ParameterExtractionError` naming the parameters that found none.
        """
        found: dict[str, Span] = {}
        for stage in self._stages:
            missing = [name for name in template.parameters if name not in found]
            if not missing:
                break
            for name, span in stage(question, template, missing):
                if name not in found and not _overlaps(span, found.values()):
                    found[name] = span
        missing = [name for name in template.parameters if name not in found]
        if missing:
            raise ParameterExtractionError(f"template {template.intent!r}: no value for {', '.join(missing)}")
        return {name: found[name].value for name in template.parameters}

    def render_query(self, template: QueryTemplate, params: Mapping[str, Any]) -> str:
        """The template's query with its slots filled by the literal rules of `query_language`.

        Raises `ParameterExtractionError` for a slot without a value, for a
        relative time ("last week": a stored query would go stale) and for a
        value that could end a literal.
        """
        return render(template, params, self._language)

    def extract_entities(self, text: str) -> dict[str, list[str]]:
        """What the recognisers and the forms find in a text, by label, each once."""
        found: dict[str, list[str]] = {}
        spacy = self._spacy.get() if self.spacy_available else None
        for recogniser in (self._own, spacy):
            for label, value in recogniser(text, ()) if recogniser else ():
                found.setdefault(label, []).append(value)
        for label, form in (("NAME", forms.names), ("NUMBER", forms.numbers), ("DATE", forms.dates)):
            found.setdefault(label, []).extend(span.value for span in form(text))
        return {label: list(dict.fromkeys(values)) for label, values in found.items() if values}

    # the stages, each a stream of parameters with the part of the question they take

    def _by_pattern(
        self, question: str, template: QueryTemplate, missing: Sequence[str]
    ) -> Iterator[tuple[str, Span]]:
        for name in missing:
            declared = template.parameter_patterns.get(name)
            if declared:
                for start, end in pattern(declared, _where(template, name)).find(question):
                    yield name, Span(question[start:end], start, end, "")

    def _by_own(
        self, question: str, _template: QueryTemplate, missing: Sequence[str]
    ) -> Iterator[tuple[str, Span]]:
        return _labelled(self._own, question, missing, lambda name: (name,))

    def _by_gliner(
        self, question: str, _template: QueryTemplate, missing: Sequence[str]
    ) -> Iterator[tuple[str, Span]]:
        return _labelled(self._gliner.get(), question, missing, lambda name: (name,))

    def _by_spacy(
        self, question: str, _template: QueryTemplate, missing: Sequence[str]
    ) -> Iterator[tuple[str, Span]]:
        wanted = [name for name in missing if _SPACY_LABELS.get(name)]
        recogniser = self._spacy.get() if wanted else None
        return _labelled(recogniser, question, wanted, lambda name: _SPACY_LABELS[name])

    def _by_form(
        self, question: str, template: QueryTemplate, missing: Sequence[str]
    ) -> Iterator[tuple[str, Span]]:
        """First what stands where the slot stands in the template's text, then anything of the form."""
        own, leads = _read(template.template_text, *template.aliases)
        spans = {name: _of_form(name, question, own) for name in missing}
        for name in missing:
            before = leads.get(name, ())
            yield from ((name, span) for span in spans[name] if span.before in before)
        for name in missing:
            yield from ((name, span) for span in spans[name])


class _Remembered:
    """A recogniser that keeps what it found in recent questions."""

    def __init__(self, recogniser: Recogniser):
        self._recogniser = recogniser
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], list[Entity]] = OrderedDict()
        self._lock = lock()
        """Held while the kept ones change; not while the recogniser works."""

    def __call__(self, text: str, labels: Sequence[str]) -> list[Entity]:
        key = text, tuple(labels)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = [Entity(*one) for one in self._recogniser(text, labels)]
        with self._lock:
            self._kept[key] = found
            if len(self._kept) > _CACHED:
                self._kept.popitem(last=False)
        return found


def _where(template: QueryTemplate, name: str) -> str:
    return f"template {template.intent!r}, parameter_patterns[{name!r}]"


def _overlaps(span: Span, others: Any) -> bool:
    return any(span.start < other.end and other.start < span.end for other in others)


def _labelled(
    recogniser: Recogniser | None,
    question: str,
    names: Sequence[str],
    labels: Callable[[str], Sequence[str]],
) -> Iterator[tuple[str, Span]]:
    """Entities for the parameters whose labels they have, where they stand in the question."""
    found = list(recogniser(question, names)) if recogniser and names else []
    for name in names:
        wanted = {label.casefold() for label in labels(name)}
        for label, text in found:
            # GLiNER may take the label along: "city Berlin".
            value = text[len(name) :].lstrip() if text.casefold().startswith(f"{name.casefold()} ") else text
            if label.casefold() in wanted and value:
                yield from ((name, span) for span in _places(question, value))


def _places(question: str, value: str) -> Iterator[Span]:
    start = question.find(value)
    while start >= 0:
        yield Span(value, start, start + len(value), "")
        start = question.find(value, start + len(value))


def _of_form(name: str, question: str, own: frozenset[str]) -> list[Span]:
    """What may be a value for a parameter of that name, in the question's order."""
    parts = _parts(name)
    if parts & _DATED:
        return forms.dates(question)
    if parts & _NUMERIC:
        return forms.numbers(question)
    if "project" in parts and (named := forms.words_after(question, "project")):
        return named
    return forms.names(question, own)


@lru_cache(maxsize=4096)
def _parts(name: str) -> frozenset[str]:
    return frozenset(name.lower().split("_"))


@lru_cache(maxsize=4096)
def _read(*texts: str) -> tuple[frozenset[str], dict[str, set[str]]]:
    """The words of a template's texts, and for each slot those that stand right before it."""
    leads: dict[str, set[str]] = {}
    for text in texts:
        for slot in forms.SLOT.finditer(text):
            leads.setdefault(slot[1], set()).add(forms.last_word(text[: slot.start()]))
    return frozenset().union(*(forms.words(text) for text in texts)), leads
