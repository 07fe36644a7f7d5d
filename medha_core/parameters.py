"""Values for a template's parameters: found in the question, refused when unsafe to insert."""

import re

from medha_core.errors import ParameterExtractionError, shown
from medha_core.types import QueryTemplate

__all__ = ["ParameterExtractor"]

_NUMERIC = frozenset({"count", "number", "limit", "top", "n"})
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_NAME = re.compile(r"\b[^\W\d_a-z][\w'-]*(?:\s+[^\W\d_a-z][\w'-]*)*")
_OPENERS = frozenset(
    "what which who whom whose when where why how show list get find give tell count display is are was were "
    "do does did has have had can could would should will in on at of for from by with the a an all and or "
    "please i me my we our top first last sum total average number".split()
)
"""Capitalised because they open a sentence, not because they name something."""
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"[^\W_]+")
_UNSAFE = re.compile(r"[^\w\s-]")
_RELATIVE_TIME = re.compile(
    r"yesterday|today|tomorrow|tonight|now"
    r"|(?:this|last|next|past|previous|current)\s+\w+"
    r"|(?:a|an|\d+)\s+\w+\s+ago|in\s+(?:a|an|\d+)\s+\w+",
    re.IGNORECASE,
)


class ParameterExtractor:
    """Finds parameter values by the template's own patterns, then by form (numbers, names)."""

    def extract(self, question: str, template: QueryTemplate) -> dict[str, str]:
        """A value for each name in `template.parameters`.

        Raises `ParameterExtractionError` naming the parameters that found none.
        """
        values = _by_pattern(question, template)
        for name in template.parameters:
            if name not in values:
                found = _by_form(question, template, name, set(values.values()))
                if found is not None:
                    values[name] = found
        missing = [name for name in template.parameters if name not in values]
        if missing:
            raise ParameterExtractionError(f"template {template.intent!r}: no value for {', '.join(missing)}")
        return values

    def render_query(self, template: QueryTemplate, params: dict[str, str]) -> str:
        """The template's query with its slots filled.

        Raises `ParameterExtractionError` for a slot without a value, for a
        relative time ("last week": a stored query would go stale) and for a
        value that could end a literal and that no declared pattern allows.
        """

        def fill(slot: re.Match[str]) -> str:
            name = slot.group(1)
            if name not in params:
                raise ParameterExtractionError(f"template {template.intent!r}: no value for slot {{{name}}}")
            return _checked(template, name, params[name])

        return _SLOT.sub(fill, template.query_template)


def _by_pattern(question: str, template: QueryTemplate) -> dict[str, str]:
    values = {}
    for name in template.parameters:
        pattern = template.parameter_patterns.get(name)
        found = re.search(pattern, question, re.IGNORECASE) if pattern else None
        if found:
            values[name] = found.group(1) if found.re.groups else found.group()
    return values


def _by_form(question: str, template: QueryTemplate, name: str, taken: set[str]) -> str | None:
    """The number or name for a slot: first one that stands where the slot stands, then any."""
    spans = _numbers(question) if name in _NUMERIC else _names(question, _own_words(template))
    free = [(before, value) for before, value in spans if value not in taken]
    lead = _words_before(template, name)
    leading = [value for before, value in free if before in lead]
    return next(iter(leading or [value for _, value in free]), None)


def _numbers(question: str) -> list[tuple[str, str]]:
    """Numbers, each with the word before it."""
    return [(_last_word(question[: found.start()]), found.group()) for found in _NUMBER.finditer(question)]


def _names(question: str, own_words: set[str]) -> list[tuple[str, str]]:
    """Capitalised spans ("New York"), each with the word before it.

    Words that only open a sentence, and the template's own, are no names.
    """
    spans = []
    for found in _NAME.finditer(question):
        before, words = _last_word(question[: found.start()]), found.group().split()
        while words and (words[0].lower() in _OPENERS or words[0].lower() in own_words):
            before = words.pop(0).lower()
        if words:
            spans.append((before, " ".join(words)))
    return spans


def _last_word(text: str) -> str:
    words = _WORD.findall(text.lower())
    return words[-1] if words else ""


def _texts(template: QueryTemplate) -> list[str]:
    return [template.template_text, *template.aliases]


def _own_words(template: QueryTemplate) -> set[str]:
    return {word for text in _texts(template) for word in _WORD.findall(_SLOT.sub(" ", text).lower())}


def _words_before(template: QueryTemplate, name: str) -> set[str]:
    """The words that stand right before a slot in the template's texts."""
    texts = [text.partition(f"{{{name}}}") for text in _texts(template)]
    return {_last_word(before) for before, slot, _ in texts if slot}


def _checked(template: QueryTemplate, name: str, value: str) -> str:
    where = f"template {template.intent!r}, parameter {name!r}"
    if _RELATIVE_TIME.fullmatch(value):
        raise ParameterExtractionError(f"{where}: {shown(value)} depends on today's date")
    if not value.strip():
        raise ParameterExtractionError(f"{where}: an empty value")
    if "--" in value or _UNSAFE.search(value):
        pattern = template.parameter_patterns.get(name)
        if not pattern or not re.fullmatch(pattern, value, re.IGNORECASE) or _ends_literal(value):
            raise ParameterExtractionError(f"{where}: {shown(value)} is not safe to insert")
    return value


def _ends_literal(value: str) -> bool:
    """Whether a value could close a quoted literal or open a comment in any query language."""
    return any(mark in value for mark in ("'", '"', "`", "\\", ";", "--", "/*", "\x00", "\n"))
