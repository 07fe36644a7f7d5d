"""Find stored questions that say the same words with other values, without any vector."""

from collections.abc import Iterator
from itertools import islice, product

from medha_core.guard.evidence import Form, Learned, form
from medha_core.guard.slips import correct
from medha_core.guard.view import opened_value, view
from medha_core.reading.features import Features, read_words
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.mentions import Mention

__all__ = ["alike"]

MAX_READINGS = 16
"""Ways of reading the values of one question (each may belong to several columns) that are tried."""
MAX_ALIKE = 4
"""Entries of one form that are worth judging; they differ in values only."""


def alike(asked: Features, learned: Learned, lexicon: Lexicon) -> list[object]:
    """Entries whose question, its values left open, says the words of the asked one; newest first."""
    found: dict[object, None] = {}
    for wanted in _forms(_corrected(asked, learned, lexicon), learned, lexicon):
        held = learned.entries.get(wanted, {})
        found.update(dict.fromkeys(islice(reversed(held), MAX_ALIKE)))
    return list(found)


def _corrected(asked: Features, learned: Learned, lexicon: Lexicon) -> Features:
    """The question with words nobody knows put right by words of stored questions."""
    fixed = {}
    for word in asked.words:
        if word.kind == "w" and not lexicon.is_common(word.text) and word.text not in learned.vocabulary:
            meant = correct(word.text, learned.vocabulary, lexicon)
            if meant:
                fixed[word.text] = meant
    if not fixed:
        return asked
    return read_words([w._replace(text=fixed.get(w.text, w.text)) for w in asked.words], lexicon)


def _forms(asked: Features, learned: Learned, lexicon: Lexicon) -> Iterator[Form]:
    spotted = learned.values.spot([word.text for word in asked.words])
    inside = {i for s in spotted for i in range(s.first, s.last)}
    numbers = [
        Mention(word.text, i, i + 1)
        for i, word in enumerate(asked.words)
        if word.kind == "n" and i not in inside
    ]
    choices = [
        sorted({opened_value(s.text, column) for column in learned.values.columns(s.text)}) for s in spotted
    ]
    for columns in islice(product(*choices), MAX_READINGS):
        values = [Mention(s.text, s.first, s.last, (), c[2:]) for s, c in zip(spotted, columns, strict=True)]
        yield form(view(asked, [*values, *numbers], lexicon).opened)
